//! Every search finds each kind of bug as a result, and the result replays.

use crate::small::{self, Small};
use mmcore_explored::explore::{
    Coverage, Exhaustive, Explorer, Method, Options, Report, Sampling, Schedule, World, explore, rule,
};
use mmcore_explored::sync::Ordering::{Relaxed, Release};
use mmcore_explored::sync::{AtomicU64, Lock, LockClass};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

const OPTIONS: Options = Options { max_steps: 2_000, ..Options::DEFAULT };

fn exhaust<W: World>(world: W) -> Report {
    Exhaustive::default().search(&mut Explorer::with_options(world, OPTIONS))
}

fn sample<W: World>(build: impl Fn() -> W + Sync, method: Method) -> Report {
    let sampling = Sampling { method, schedules: 5_000, seed: 1 };
    explore(build, &sampling, OPTIONS, 2, &AtomicBool::new(false))
}

/// Checks that every search finds `rule`, and that the schedule it returns breaks the rule again,
/// as it is and when shrunk.
fn every_search_finds<W: World>(rule: &str, build: impl Fn() -> W + Sync) {
    let mut reports = vec![exhaust(build())];
    for method in [Method::Walk { stay: 0 }, Method::Pct { depth: 2 }, Method::Portfolio] {
        reports.push(sample(&build, method));
    }
    for report in reports {
        let found = report.counterexample.unwrap_or_else(|| panic!("{rule} not found"));
        assert_eq!(found.violation.rule, rule, "{}", found.violation);
        let mut explorer = Explorer::with_options(build(), OPTIONS);
        assert_eq!(explorer.replay(&found.schedule).outcome, Err(found.violation));
        let shrunk = explorer.shrink(&found.schedule, 500).expect("the violation");
        assert_eq!(explorer.replay(&shrunk.schedule).outcome, Err(shrunk.violation.clone()));
        assert!(shrunk.minimal && shrunk.runs <= 500);
        assert!(shrunk.preemptions <= 1, "{shrunk:?}");
    }
}

#[test]
fn a_lost_update_is_found() {
    every_search_finds("lost update", small::lost_update);
}

#[test]
fn a_deadlock_is_found() {
    every_search_finds(rule::DEADLOCK, small::deadlock);
}

#[test]
fn a_lock_out_of_order_is_found() {
    every_search_finds(rule::LOCK_ORDER, small::wrong_order);
}

#[test]
fn a_lost_wakeup_is_found() {
    every_search_finds(rule::LOST_WAKEUP, || small::sleeper(false));
}

#[test]
fn publishing_without_release_is_a_data_race() {
    every_search_finds(rule::DATA_RACE, || small::publish(Relaxed));
}

#[test]
fn a_lock_never_released_is_a_deadlock() {
    every_search_finds(rule::DEADLOCK, small::missing_unlock);
}

#[test]
fn an_endless_loop_makes_no_progress() {
    every_search_finds(rule::NO_PROGRESS, small::livelock);
}

#[test]
fn sound_worlds_pass_and_are_covered() {
    fn passes<W: World>(world: W) {
        let report =
            Exhaustive { preemptions: None, ..Exhaustive::default() }.search(&mut Explorer::new(world));
        assert_eq!(report.counterexample, None);
        assert_eq!(report.coverage, Coverage::Complete);
    }
    passes(small::sound_counter());
    passes(small::sleeper(true));
    passes(small::publish(Release));
    passes(small::get_put(2, 1));
}

#[test]
fn without_reduction_every_interleaving_is_run_once() {
    fn schedules<W: World>(world: W) -> u64 {
        let search = Exhaustive { preemptions: None, reduce: false, ..Exhaustive::default() };
        search.search(&mut Explorer::new(world)).schedules
    }
    // Two threads of three steps each: 6! / (3! 3!).
    let steps = |word: &AtomicU64| (0..3).for_each(|_| _ = word.fetch_add(1, Relaxed));
    assert_eq!(schedules(Small::new(AtomicU64::new(0)).thread(steps).thread(steps)), 20);
    // A step, then a lock that is taken and released. Whichever thread is the second with the lock, its step
    // has four places before that.
    let locks = |(word, lock): &(AtomicU64, Lock<u64>)| {
        word.fetch_add(1, Relaxed);
        drop(lock.lock());
    };
    let state = (AtomicU64::new(0), Lock::plain(LockClass::Leaf, 0));
    assert_eq!(schedules(Small::new(state).thread(locks).thread(locks)), 8);
}

#[test]
fn a_limit_reached_is_no_pass() {
    let search = Exhaustive { limit: 10, reduce: false, ..Exhaustive::default() };
    let report = search.search(&mut Explorer::new(small::get_put(2, 2)));
    assert_eq!(report.schedules, 10);
    assert!(matches!(report.coverage, Coverage::Incomplete(_)));
    // A visitor that ends the search for a reason of its own has seen no violation.
    let mut explorer = Explorer::new(small::get_put(2, 2));
    let stopped = Exhaustive::default().visit(&mut explorer, |_, index| match index {
        2 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(stopped.coverage, Coverage::Incomplete("stopped after 3 schedules".into()));
    let stopped = Exhaustive::default().search_until(&mut explorer, || true);
    assert_eq!(stopped.coverage, Coverage::Incomplete("stopped after 1 schedules".into()));
    assert_eq!(exhaust(small::lost_update()).coverage, Coverage::Incomplete("stopped at a violation".into()));
    let bounded = exhaust(small::get_put(2, 2));
    assert_eq!(bounded.coverage, Coverage::Bounded { preemptions: 2 });
    assert_eq!(sample(|| small::get_put(2, 2), Method::Portfolio).coverage, Coverage::Sampled);
}

#[test]
fn jobs_do_not_change_the_outcome() {
    let run = |jobs| {
        let sampling = Sampling { method: Method::Portfolio, schedules: 20_000, seed: 3 };
        let rare = || {
            small::lost_update().check(|counter| match counter.load(Relaxed) {
                2 => Ok(()),
                _ => Err(mmcore_explored::explore::Violation::new("lost update", "")),
            })
        };
        explore(rare, &sampling, Options::default(), jobs, &AtomicBool::new(false))
    };
    assert_eq!(run(1), run(2));
    assert_eq!(run(2), run(5));
}

#[test]
fn a_counterexample_replays_a_thousand_times() {
    let found = exhaust(small::deadlock()).counterexample.expect("a deadlock");
    let mut explorer = Explorer::new(small::deadlock());
    let first = explorer.trace(&found.schedule);
    assert!(first.outcome.is_err());
    for _ in 0..1_000 {
        assert_eq!(explorer.trace(&found.schedule), first);
    }
    // Another world has other addresses.
    let elsewhere = Explorer::new(small::deadlock()).trace(&found.schedule);
    assert_eq!(elsewhere.hash, first.hash);
}

#[test]
fn a_trace_has_values_and_names_of_words() {
    let trace =
        Explorer::new(small::lost_update()).trace(&"0,1x2,0".parse::<Schedule>().expect("a schedule"));
    let rows: Vec<_> = trace.rows.iter().map(|row| (row.thread, row.before, row.after)).collect();
    assert_eq!(rows, [(0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 1, 1)]);
    assert!(trace.rows.iter().all(|row| row.object == "unnamed word 0"));
    assert!(trace.to_string().contains("lost update: counter is 1"), "{trace}");
}
