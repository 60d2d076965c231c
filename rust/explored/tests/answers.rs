//! An answer of an operation is true at some moment of the operation, and a page takes no marks along into
//! its next life. Each of the defects here is seen by one of these rules and by no other.

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
