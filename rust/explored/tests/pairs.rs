//! The coverage of pairs counts exactly the steps that were neighbours.

use crate::small::Small;
use crate::texts::program;
use mmcore_explored::explore::{
    Exhaustive, Explorer, Method, Options, Pairs, ProgramOptions, Sampling, Search, explore_program,
};
use mmcore_explored::sync::{AtomicU64, Lock, LockClass, Ordering::Relaxed, PlainU64, RwLock};
use std::sync::atomic::AtomicBool;

const OPTIONS: Options = Options { pairs: true, ..Options::DEFAULT };

/// The pairs of all interleavings of a world.
fn all<S>(world: Small<S>) -> Pairs {
    let search = Exhaustive { preemptions: None, reduce: false, limit: u64::MAX };
    search.search(&mut Explorer::with_options(world, OPTIONS)).pairs.expect("they were asked for")
}

/// The counts of each pair, by the kind of its object.
fn counts(pairs: &Pairs) -> Vec<(&str, [u64; 2])> {
    pairs.pairs.iter().map(|(pair, counts)| (pair.object.as_str(), *counts)).collect()
}

#[test]
fn a_write_and_a_read_are_a_pair_in_each_order() {
    let world = Small::new(AtomicU64::new(0))
        .thread(|word| word.store(1, Relaxed))
        .thread(|word| _ = word.load(Relaxed));
    let pairs = all(world);
    assert_eq!(counts(&pairs), [("unnamed word", [1, 1])]);
    // Each of the two lines ran in both schedules, and was in a pair in both.
    assert_eq!(pairs.lines.values().collect::<Vec<_>>(), [&[2, 2], &[2, 2]]);
    assert!(pairs.lines.keys().all(|line| line.place.contains("tests/pairs.rs:")), "{pairs:?}");
}

#[test]
fn two_reads_and_the_steps_of_one_thread_are_no_pair() {
    let reads = |word: &AtomicU64| _ = word.load(Relaxed);
    assert_eq!(counts(&all(Small::new(AtomicU64::new(0)).thread(reads).thread(reads))), []);
    let both = |word: &AtomicU64| {
        word.store(1, Relaxed);
        word.load(Relaxed);
    };
    assert_eq!(counts(&all(Small::new(AtomicU64::new(0)).thread(both).thread(|_| ()))), []);
}

#[test]
fn a_failed_exchange_only_reads() {
    let fails = |word: &AtomicU64| _ = word.compare_exchange(7, 8, Relaxed, Relaxed);
    assert_eq!(counts(&all(Small::new(AtomicU64::new(0)).thread(fails).thread(fails))), []);
}

#[test]
fn critical_sections_are_a_pair_of_their_lock() {
    let section = |lock: &Lock<u64>| *lock.lock() += 1;
    let pairs = all(Small::new(Lock::new(LockClass::Lruvec, 0)).thread(section).thread(section));
    let [(object, [both, 0])] = counts(&pairs)[..] else { panic!("{pairs:?}") };
    assert_eq!((object, both > 0), ("lruvec lock", true));
}

#[test]
fn readers_of_a_lock_are_a_pair_with_a_writer_alone() {
    let reads = |lock: &RwLock<u64>| _ = *lock.read();
    let new = || Small::new(RwLock::new(LockClass::Faults, 0));
    assert_eq!(counts(&all(new().thread(reads).thread(reads))), []);
    let pairs = all(new().thread(reads).thread(|lock| *lock.write() += 1));
    let [(object, [one, other])] = counts(&pairs)[..] else { panic!("{pairs:?}") };
    assert_eq!((object, one > 0, other > 0), ("fault lock", true, true));
}

#[test]
fn a_look_and_the_write_that_it_races_with_are_a_pair() {
    let world = Small::new((PlainU64::new(0), AtomicU64::new(0))).thread(|(cell, _)| _ = cell.peek()).thread(
        |(cell, word)| {
            word.store(1, Relaxed);
            cell.set(1);
        },
    );
    let [(_, [before, after])] = counts(&all(world))[..] else { panic!("one pair") };
    assert!(before > 0 && after > 0);
}

#[test]
fn an_object_at_the_address_of_a_dropped_one_is_another_object() {
    let own = |_: &()| {
        let word = Box::new(AtomicU64::new(0));
        word.store(1, Relaxed);
        word.store(2, Relaxed);
    };
    assert_eq!(counts(&all(Small::new(()).thread(own).thread(own))), []);
}

const RACE: &str = "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  read r0\n  fork c1\n";

fn explored(search: Search, jobs: usize, pairs: bool) -> Option<Pairs> {
    let options = Options { pairs, ..Options::default() };
    let options = ProgramOptions { search, jobs, options, ..ProgramOptions::default() };
    explore_program(&program(RACE), &options, &AtomicBool::new(false)).unwrap().pairs
}

#[test]
fn the_pairs_do_not_depend_on_the_jobs() {
    let search = Search::Sample(Sampling { method: Method::Portfolio, schedules: 3_000, seed: 1 });
    let one = explored(search, 1, true).unwrap();
    assert_eq!(Some(&one), explored(search, 3, true).as_ref());
    assert_eq!(explored(search, 1, false), None);
    // The reader walks the table while the migration puts the entry back, and reads it before and after.
    let walked = one.pairs.iter().find(|(pair, _)| {
        (pair.object.as_str(), pair.first.as_str(), pair.second.as_str())
            == ("entry", "restore_entries", "walk")
    });
    assert!(walked.is_some_and(|(_, orders)| orders[0] > 0 && orders[1] > 0), "{one:?}");
}

#[test]
fn more_preemptions_cover_more_pairs() {
    let within = |bound| {
        let search = Exhaustive { preemptions: Some(bound), ..Exhaustive::default() };
        explored(Search::Exhaustive(search), 1, true).unwrap()
    };
    let (none, two) = (within(0), within(2));
    assert!(none.pairs.len() < two.pairs.len());
    let seen = |pairs: &Pairs| pairs.pairs.values().flatten().filter(|count| **count > 0).count();
    assert!(seen(&none) < seen(&two));
}
