//! The memory of x86: litmus tests with their outcomes, and what a missing fence in the core does.

use crate::small::Small;
use crate::texts::{explored, program};
use mmcore_explored::explore::{
    Checks, Exhaustive, Explorer, Method, Options, ProgramOptions, Sampling, Schedule, Search,
    explore_program, replay_program,
};
use mmcore_explored::program::MachineSpec;
use mmcore_explored::sync::Ordering::{Acquire, Relaxed, Release, SeqCst};
use mmcore_explored::sync::{AtomicU64, Lock, LockClass, Mutation, PlainU64, fence};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

/// Two words, a lock, and what the threads have read.
struct Litmus {
    x: AtomicU64,
    y: AtomicU64,
    lock: Lock<()>,
    read: [PlainU64; 4],
}

fn litmus() -> Small<Litmus> {
    Small::new(Litmus {
        x: AtomicU64::new(0),
        y: AtomicU64::new(0),
        lock: Lock::plain(LockClass::Leaf, ()),
        read: Default::default(),
    })
    .fingerprint(|all| all.read.iter().fold(0, |number, read| 10 * number + read.get()))
}

/// The fingerprints of all interleavings. Each schedule, replayed, has its outcome again.
fn outcomes(world: Small<Litmus>) -> BTreeSet<u64> {
    let search = Exhaustive { preemptions: None, ..Exhaustive::default() };
    let mut seen = Vec::new();
    let mut explorer = Explorer::with_options(world, Default::default());
    let report = search.visit(&mut explorer, |schedule, _| {
        seen.push((schedule.run.outcome.clone(), Schedule::new(schedule.threads.iter().copied())));
        ControlFlow::Continue(())
    });
    assert!(report.coverage.is_exhaustive());
    for (outcome, schedule) in seen.iter().take(200) {
        assert_eq!(explorer.replay(schedule).outcome, *outcome, "{schedule}");
    }
    seen.into_iter().map(|(outcome, _)| outcome.expect("no rule breaks")).collect()
}

/// Store buffering: each thread writes one word, does something, and reads the other word.
fn store_buffering(between: fn(&Litmus), order: mmcore_explored::sync::Ordering) -> Small<Litmus> {
    litmus()
        .thread(move |all| {
            all.x.store(1, order);
            between(all);
            all.read[0].set(all.y.load(Acquire));
        })
        .thread(move |all| {
            all.y.store(1, order);
            between(all);
            all.read[1].set(all.x.load(Acquire));
        })
}

#[test]
fn a_store_can_pass_a_later_load_of_its_thread() {
    let strong = BTreeSet::from([100, 1000, 1100]);
    let weak = BTreeSet::from([0, 100, 1000, 1100]);
    assert_eq!(outcomes(store_buffering(|_| (), Relaxed)), strong);
    assert_eq!(outcomes(store_buffering(|_| (), Relaxed).tso()), weak);
    assert_eq!(outcomes(store_buffering(|_| (), Release).tso()), weak);
    // A fence of acquire and release costs x86 nothing, and orders no load after a store.
    assert_eq!(
        outcomes(store_buffering(|_| fence(mmcore_explored::sync::Ordering::AcqRel), Relaxed).tso()),
        weak
    );
}

#[test]
fn what_empties_the_buffer_keeps_the_order() {
    let strong = BTreeSet::from([100, 1000, 1100]);
    assert_eq!(outcomes(store_buffering(|_| (), SeqCst).tso()), strong);
    assert_eq!(outcomes(store_buffering(|_| fence(SeqCst), Relaxed).tso()), strong);
    let changes: fn(&Litmus) = |all| drop(all.lock.lock());
    assert_eq!(outcomes(store_buffering(changes, Relaxed).tso()), strong);
    let exchange: fn(&Litmus) = |all| _ = all.x.compare_exchange(5, 6, Relaxed, Relaxed);
    assert!(!outcomes(store_buffering(exchange, Relaxed).tso()).contains(&0));
}

#[test]
fn a_thread_reads_its_own_store_before_others_do() {
    // Example n6 of the x86-TSO paper, with its result that no order of the steps explains.
    let world = || {
        litmus()
            .thread(|all| {
                all.x.store(1, Relaxed);
                all.read[0].set(all.x.load(Relaxed));
                all.read[1].set(all.y.load(Relaxed));
            })
            .thread(|all| {
                all.y.store(1, Relaxed);
                all.read[2].set(all.y.load(Relaxed));
                all.read[3].set(all.x.load(Relaxed));
            })
    };
    assert!(!outcomes(world()).contains(&1010));
    let weak = outcomes(world().tso());
    assert!(weak.contains(&1010));
    // No thread misses its own store.
    assert!(weak.iter().all(|read| read / 1000 == 1 && read / 10 % 10 == 1), "{weak:?}");
}

#[test]
fn stores_of_a_thread_stay_in_order() {
    let world = litmus()
        .thread(|all| {
            all.x.store(1, Relaxed);
            all.y.store(1, Relaxed);
        })
        .thread(|all| {
            all.read[0].set(all.y.load(Relaxed));
            all.read[1].set(all.x.load(Relaxed));
        });
    // Message passing: who sees the second store sees the first.
    assert_eq!(outcomes(world.tso()), BTreeSet::from([0, 100, 1100]));
}

#[test]
fn all_threads_see_the_stores_of_others_in_one_order() {
    // Independent reads of independent writes.
    let world = litmus()
        .thread(|all| all.x.store(1, Relaxed))
        .thread(|all| all.y.store(1, Relaxed))
        .thread(|all| {
            all.read[0].set(all.x.load(Relaxed));
            all.read[1].set(all.y.load(Relaxed));
        })
        .thread(|all| {
            all.read[2].set(all.y.load(Relaxed));
            all.read[3].set(all.x.load(Relaxed));
        });
    let search = Exhaustive { preemptions: Some(3), ..Exhaustive::default() };
    let mut explorer = Explorer::with_options(world.tso(), Default::default());
    let mut seen = BTreeSet::new();
    search.visit(&mut explorer, |schedule, _| {
        seen.extend(schedule.run.outcome.clone());
        ControlFlow::Continue(())
    });
    assert!(seen.contains(&1111) && seen.contains(&1110) && !seen.contains(&1010), "{seen:?}");
}

#[test]
fn a_sample_draws_when_stores_leave_their_buffers() {
    let build = || {
        store_buffering(|_| (), Relaxed).tso().check(|all| {
            match all.read.iter().all(|read| read.get() == 0) {
                true => Err(mmcore_explored::explore::Violation::new("both missed", "")),
                false => Ok(()),
            }
        })
    };
    for method in [Method::Walk { stay: 0 }, Method::Pct { depth: 2 }, Method::Portfolio] {
        let sampling = Sampling { method, schedules: 200, seed: 1 };
        let stop = AtomicBool::new(false);
        let report = mmcore_explored::explore::explore(build, &sampling, Default::default(), 1, &stop);
        let found = report.counterexample.expect("some schedule delays both stores");
        let mut explorer = Explorer::with_options(build(), Default::default());
        let shrunk = explorer.shrink(&found.schedule, 200).expect("the violation");
        assert_eq!(explorer.replay(&shrunk.schedule).outcome, Err(shrunk.violation));
    }
}

#[test]
fn a_word_can_end_with_its_store_in_a_buffer() {
    let world = litmus()
        .thread(|all| {
            for value in 0..3 {
                let word = Box::new(AtomicU64::new(0));
                word.store(value, Relaxed);
                all.read[0].set(word.load(Relaxed));
            }
        })
        .thread(|all| all.x.store(1, Relaxed));
    assert_eq!(outcomes(world.tso()), BTreeSet::from([2000]));
}

/// A page moves while another thread uses it.
const MOVE: &str =
    "machine memory=tso\nmap r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  write r0\n";

fn searched(text: &str, mutation: Option<Mutation>) -> Option<String> {
    let search = Search::Sample(Sampling { method: Method::Portfolio, schedules: 20_000, seed: 0 });
    let report = explored(text, &ProgramOptions { search, mutation, ..ProgramOptions::default() });
    report.counterexample.map(|found| format!("{}\n{}", found.rule, found.program))
}

#[test]
fn an_access_needs_its_fence_on_x86() {
    assert_eq!(searched(MOVE, None), None);
    let fence = Some(Mutation::EnterWithoutFence);
    let found = searched(MOVE, fence).expect("a broken rule");
    // The smallest program still needs the buffers.
    assert!(found.contains("memory=tso"), "{found}");
    assert_eq!(searched(&MOVE.replace("machine memory=tso\n", ""), fence), None);
}

/// The moments of an operation were taken for those of the next one when a store left its buffer between two
/// turns of the operation's thread.
#[test]
fn an_operation_keeps_its_moments_where_a_store_leaves_its_buffer() {
    let text = "machine nodes=1 pages=8 memory=tso\nmap r0 anon 2\nwrite r0\ndrain\nzs_open 1\nallocate p3\n\
                thread A\n  zs_del 0\n  soft_offline r0\nthread C\n  free p3\n";
    let options = Options { checks: Checks::All, ..Options::DEFAULT };
    for step in 100..300 {
        let schedule = format!("0x{step},4").parse().unwrap();
        let machine = MachineSpec::default();
        let replayed = replay_program(&program(text), &machine, &schedule, options, None).unwrap();
        assert_eq!(replayed.rule, None, "{schedule}: {:?}", replayed.detail);
    }
}

#[test]
fn a_program_with_buffers_has_four_threads_at_most() {
    let threads: String = ["A", "B", "C", "D", "E"].map(|name| format!("thread {name}\n  drain\n")).concat();
    let text = format!("machine memory=tso\n{threads}");
    let refused =
        explore_program(&program(&text), &ProgramOptions::default(), &AtomicBool::new(false)).unwrap_err();
    assert!(refused.to_string().contains("4 threads at most"), "{refused}");
}
