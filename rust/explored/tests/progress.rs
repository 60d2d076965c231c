//! Schedules that do not end, and operations that never succeed.

use crate::small::{self, Small};
use mmcore_explored::explore::{
    Checks, Exhaustive, Explorer, Options, ProgramOptions, Schedule, Search, Violation, World,
    explore_program, rule,
};
use mmcore_explored::program::parse;
use mmcore_explored::sync::Ordering::{Acquire, Relaxed, Release};
use mmcore_explored::sync::{AtomicU64, Mutation};
use std::sync::atomic::AtomicBool;

const OPTIONS: Options = Options { max_steps: 5_000, ..Options::DEFAULT };

/// The violation of the default schedule, and the steps that were kept of it.
fn default_schedule<W: World>(world: W) -> (Violation, u32) {
    let run = Explorer::with_options(world, OPTIONS).replay(&Schedule::default());
    (run.outcome.expect_err("the default schedule does not end"), run.steps)
}

/// A thread that waits for the store of another one, and takes a step in each round.
fn spinning() -> Small<AtomicU64> {
    Small::new(AtomicU64::new(0))
        .thread(|word| while word.load(Acquire) == 0 {})
        .thread(|word| word.store(1, Release))
}

#[test]
fn a_thread_that_waits_without_sleeping_is_a_busy_wait() {
    let (found, steps) = default_schedule(spinning());
    assert_eq!(found.rule, rule::BUSY_WAIT, "{found}");
    assert_eq!(steps, 2, "two rounds of one step are left of the loop");
    let report = Exhaustive::default().search(&mut Explorer::with_options(spinning(), OPTIONS));
    let found = report.counterexample.expect("a busy wait");
    let again = Explorer::with_options(spinning(), OPTIONS).replay(&found.schedule);
    assert_eq!(again.outcome, Err(found.violation), "what is left shows the loop again");
}

#[test]
fn a_loop_that_nobody_can_end_is_no_busy_wait() {
    let (found, steps) = default_schedule(small::livelock());
    assert_eq!(found.rule, rule::NO_PROGRESS, "{found}");
    assert!(steps > OPTIONS.max_steps, "the other thread ran under the fair scheduler alone");
    let tso = small::livelock().tso();
    assert_eq!(default_schedule(tso).0.rule, rule::NO_PROGRESS);
}

#[test]
fn two_threads_that_undo_each_others_work_make_no_progress() {
    // Each thread waits for a number that the other one overwrites before it can be seen.
    let give_way = |mine: u64| move |word: &AtomicU64| while word.swap(mine, Relaxed) != 3 {};
    let world = Small::new(AtomicU64::new(0)).thread(give_way(1)).thread(give_way(2));
    let (found, _) = default_schedule(world);
    assert_eq!(found.rule, rule::NO_PROGRESS);
    assert!(found.detail.contains("thread 0 repeats itself; thread 1 repeats itself"), "{found}");
}

#[test]
fn a_thread_that_goes_on_to_new_words_is_only_long() {
    let words: Vec<AtomicU64> = (0..20_000).map(AtomicU64::new).collect();
    let walk = |words: &Vec<AtomicU64>| words.iter().for_each(|word| word.store(0, Relaxed));
    let (found, _) = default_schedule(Small::new(words).thread(walk));
    assert_eq!(found, Violation::new(rule::STEP_BOUND, "no end within 5000 steps"));
    // An end under the fair scheduler is one too late.
    let words: Vec<AtomicU64> = (0..6_000).map(AtomicU64::new).collect();
    assert_eq!(default_schedule(Small::new(words).thread(walk)).0.rule, rule::STEP_BOUND);
}

/// The rule that a program breaks with this defect.
fn found(program: &str, mutation: Mutation) -> Option<String> {
    let options = ProgramOptions {
        search: Search::Exhaustive(Exhaustive { limit: 20_000, ..Exhaustive::default() }),
        mutation: Some(mutation),
        options: Options { checks: Checks::All, ..Options::DEFAULT },
        ..ProgramOptions::default()
    };
    let report = explore_program(&parse(program).unwrap(), &options, &AtomicBool::new(false)).unwrap();
    report.counterexample.map(|found| found.rule)
}

#[test]
fn a_page_that_is_freed_under_a_sleeper_is_found_before_the_sleeper_is_lost() {
    let program = "map r0 anon 1\nwrite r0\ndrain\nthread A\n  move r0 node=1\nthread B\n  read r0\n";
    let rule = found(program, Mutation::UnlockWithoutWaking);
    assert_eq!(rule.as_deref(), Some("a page ends without sleepers"));
}
