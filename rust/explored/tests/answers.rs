//! An answer of an operation is true at some moment of the operation, a page that can be found is ready,
//! and a page takes no marks along into its next life. Each of the defects here is seen by one of these
//! rules and by no other.

use mmcore_explored::explore::{
    Checks, Exhaustive, Explorer, Method, Options, ProgramOptions, Sampling, Search, Violation, World,
    explore_program,
};
use mmcore_explored::program::parse;
use mmcore_explored::sync::explored::watched;
use mmcore_explored::sync::{AtomicU64, Mutation, Ordering::Relaxed, broken};
use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::AtomicBool;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/mmcore/data/mutations");

/// A thread watches its one load, while another thread stores 1 and 2.
struct Watched {
    word: AtomicU64,
    seen: RefCell<Vec<u64>>,
}

impl World for Watched {
    fn threads(&self) -> usize {
        2
    }

    fn begin(&self) {
        self.seen.borrow_mut().clear();
    }

    fn run(&self, thread: usize) {
        if thread == 1 {
            self.word.store(1, Relaxed);
            self.word.store(2, Relaxed);
            return;
        }
        let look = |fresh: bool| {
            let mut seen = self.seen.borrow_mut();
            if fresh {
                seen.clear();
            }
            seen.push(self.word.load(Relaxed));
        };
        let read = watched(&look, || self.word.load(Relaxed));
        let seen = self.seen.borrow();
        if !seen.contains(&read) {
            broken("a thread reads the state of a moment", format_args!("{read}, of {seen:?}"));
        }
        if seen.iter().any(|value| *value < read) {
            broken("no moment is before the first step", format_args!("{read}, of {seen:?}"));
        }
    }

    fn check(&self) -> Result<(), Violation> {
        Ok(())
    }
}

#[test]
fn an_operation_is_looked_at_from_its_first_step_to_its_return() {
    let world = Watched { word: AtomicU64::new(0), seen: RefCell::default() };
    let mut explorer = Explorer::new(world);
    let all = Exhaustive { preemptions: None, reduce: false, ..Exhaustive::default() };
    let report = all.search(&mut explorer);
    assert_eq!(report.counterexample, None);
    // A look is no step: three steps have three places for the load.
    assert_eq!((report.schedules, report.steps), (3, 9));
}

/// Asserts that each search for the defect ends with one of the rules.
fn seen_only_by(mutation: Mutation, rules: &[&str]) {
    let name = mutation.name();
    let path = Path::new(DATA).join(format!("{name}.mm"));
    let program = parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    for seed in 0..5 {
        let search = Search::Sample(Sampling { method: Method::Portfolio, schedules: 20_000, seed });
        let checked = |checks| {
            let options = ProgramOptions {
                search,
                options: Options { checks, ..Options::default() },
                mutation: Some(mutation),
                shrink: 0,
                ..ProgramOptions::default()
            };
            explore_program(&program, &options, &AtomicBool::new(false)).unwrap().counterexample
        };
        assert_eq!(checked(Checks::State), None, "{name}");
        let found = checked(Checks::All).unwrap_or_else(|| panic!("{name} is not found"));
        assert!(rules.contains(&found.rule.as_str()), "{name}: {}: {}", found.rule, found.detail);
    }
}

#[test]
fn an_answer_that_was_never_true_is_found() {
    for mutation in [
        Mutation::TrylockGivesUp,
        Mutation::TryGetGivesUp,
        Mutation::FailedMoveClaimed,
        Mutation::QueryIgnoresLock,
        Mutation::MlockForgetsFault,
        Mutation::OfflineBelievesFree,
        Mutation::SyncSkipsLocked,
        Mutation::SyncDoesNotWait,
    ] {
        seen_only_by(mutation, &["an answer is true at some moment of its operation"]);
    }
}

#[test]
fn a_mark_that_outlives_its_page_is_found() {
    let rules = ["a page ends without marks", "a page begins without marks"];
    seen_only_by(Mutation::AccessesOutlivePage, &rules);
    seen_only_by(Mutation::OwnerOutlivesFile, &rules);
    seen_only_by(Mutation::SlotOutlivesCache, &rules);
}

#[test]
fn a_page_that_is_found_before_it_is_ready_is_seen_by_a_look() {
    for mutation in [
        Mutation::CacheSlotFirst,
        Mutation::ReplacementSlotFirst,
        Mutation::SwapSlotFirst,
        Mutation::EntryFirst,
        Mutation::ForkEntryFirst,
        Mutation::ReferenceBeforeOrder,
        Mutation::ThawBeforeSplit,
        Mutation::AnonBeforeOwner,
    ] {
        seen_only_by(mutation, &["a page that can be found is ready"]);
    }
}

/// Asserts that no schedule with so many preemptions at most breaks a rule.
fn holds(preemptions: u32, text: &str) {
    let exhaustive = Exhaustive { preemptions: Some(preemptions), ..Exhaustive::default() };
    let options = ProgramOptions {
        search: Search::Exhaustive(exhaustive),
        options: Options { checks: Checks::All, ..Options::default() },
        ..ProgramOptions::default()
    };
    let report = explore_program(&parse(text).unwrap(), &options, &AtomicBool::new(false)).unwrap();
    assert_eq!(report.counterexample, None, "{text}");
}

#[test]
fn a_punch_of_no_page_drops_none() {
    holds(1, "map r0 anon 2\nwrite r0\nthread A\n  punch r0 keep=0 of=0");
}

#[test]
fn a_frame_that_another_page_gets_at_once_has_lost_its_own() {
    // The frame of the first page is the new frame of the second one.
    holds(
        1,
        "machine pages=4 cpus=1\nmap r0 anon 2\nwrite r0\nthread A\n  move r0:0,1 node=1\n\
         thread B\n  isolate r0:1,0\n  migrate r0:1,0 node=1",
    );
}

#[test]
fn old_kernels_answer_a_second_failure_without_a_look() {
    // The first failure leaves the isolated page mapped.
    for kernel in ["4.5", "4.8", "6.1"] {
        holds(
            1,
            &format!(
                "machine kernel={kernel}\nmap r0 anon 1\nwrite r0\ndrain\nisolate r0\n\
             thread A\n  phys hard r0\n  phys hard r0"
            ),
        );
    }
}

#[test]
fn more_pages_than_are_looked_at_are_not_collected() {
    // Billions of pages beyond the region's end.
    holds(1, "map r0 anon 1\nwrite r0\nthread A\n  query r0:0-4294967294\nthread B\n  mlock r0:0-4294967294");
}

#[test]
fn the_mark_of_another_part_takes_a_mark_away() {
    // The page waits in the batch of another CPU, so that its activation shows nothing.
    holds(
        2,
        "machine kernel=4.8 nodes=1 pages=2 cpus=1\nmap r0 anon 2 order=1\n\
         thread A\n  age\nthread B\n  write r0\nthread C\n  mark_accessed r0",
    );
}

#[test]
fn a_large_page_moves_once_for_each_part() {
    holds(
        2,
        "machine pages=2 cpus=1\nmap r0 anon 2 order=1\nwrite r0\ndrain\n\
         thread A\n  move r0 node=1 alt\nthread B\n  read r0",
    );
}
