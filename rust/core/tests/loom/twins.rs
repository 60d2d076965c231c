//! The protocols with one mistake each, which must fail: a model that cannot fail shows nothing.
//!
//! `orderings` makes mistakes of memory ordering in the core itself, one by one. The mistakes here
//! are of another kind: the right atomics in the wrong order, or two atomics where there must be
//! one.

use crate::orderings::quiet;
use crate::{PFN, join, start};
use mmcore::page::{Dropped, Flags, Page};
use mmcore::sync::loom::Model;
use mmcore::sync::{AtomicU32, Lock, LockClass, Ordering, PlainU64};
use std::sync::Arc;

/// Fails unless the model fails with the expected message.
#[track_caller]
fn must_fail(name: &'static str, with: &str, program: fn()) {
    quiet();
    let outcome = Model { name, preemptions: None, program }.run();
    let failure = outcome.failure.unwrap_or_else(|| {
        panic!("{name} holds in all {} executions: the model shows nothing", outcome.executions)
    });
    assert!(failure.contains(with), "{name} fails in another way: {failure}");
}

fn live(references: u32, flags: Flags) -> Arc<Page> {
    let page = Page::default();
    page.set(flags);
    page.hand_out(PFN, Flags::empty()).expect("not poisoned");
    for _ in 1..references {
        page.get(PFN);
    }
    Arc::new(page)
}

/// An unlock checks for sleepers before it clears the lock. A thread that falls asleep in between
/// is never woken.
#[test]
fn an_unlock_in_two_steps_loses_a_sleeper() {
    must_fail("unlock in two steps", "deadlock", || {
        let page = live(1, Flags::LOCKED);
        let sleeper = start(&page, |page| page.wait_unlocked(|| true));
        if page.flags().contains(Flags::WAITERS) {
            page.unlock(PFN);
        } else {
            page.clear(Flags::LOCKED);
        }
        join([sleeper]);
    });
}

/// A claim checks `LRU` and clears it in a second step: two isolators own one page.
#[test]
fn a_claim_in_two_steps_is_had_twice() {
    fn claim(page: &Page) -> bool {
        page.flags().contains(Flags::LRU) && page.clear(Flags::LRU).has(Flags::UPTODATE)
    }
    must_fail("claim in two steps", "claimed twice", || {
        let page = live(2, Flags::LRU | Flags::UPTODATE);
        let claimed = Arc::new(AtomicU32::new(0));
        let other = {
            let claimed = Arc::clone(&claimed);
            start(&page, move |page| {
                claimed.fetch_add(u32::from(claim(page)), Ordering::Relaxed);
            })
        };
        claimed.fetch_add(u32::from(claim(&page)), Ordering::Relaxed);
        join([other]);
        assert_eq!(claimed.load(Ordering::Relaxed), 1, "claimed twice");
    });
}

/// A put checks whether it is the last before it drops its reference. Two puts can both see another
/// holder, and no one frees the page.
#[test]
fn a_put_that_looks_first_leaks() {
    fn put(page: &Page, freed: &AtomicU32) {
        let last = page.count() == 1;
        page.drop_refs(PFN, 1);
        freed.fetch_add(u32::from(last), Ordering::Relaxed);
    }
    must_fail("put that looks first", "freed once", || {
        let page = live(2, Flags::empty());
        let freed = Arc::new(AtomicU32::new(0));
        let other = {
            let freed = Arc::clone(&freed);
            start(&page, move |page| put(page, &freed))
        };
        put(&page, &freed);
        join([other]);
        assert_eq!(freed.load(Ordering::Relaxed), 1, "freed once");
    });
}

/// `hook` without its lock: the mark is cleared between the check and the drop, and `released` is
/// called on an owner that is gone.
#[test]
fn a_hook_without_its_lock_tells_an_owner_that_is_gone() {
    must_fail("hook without its lock", "released after its owner let go", || {
        let page = live(2, Flags::MOVABLE);
        let owner = start(&page, |page| {
            page.clear(Flags::MOVABLE);
            page.drop_refs(PFN, 1);
        });
        let movable = page.word().has(Flags::MOVABLE);
        if let Dropped::Last(word) = page.drop_refs(PFN, 1) {
            assert!(!movable || word.has(Flags::MOVABLE), "released after its owner let go");
        }
        join([owner]);
    });
}

/// An adder checks whether batches are disabled before it takes the batch's lock.
#[test]
fn a_look_before_the_batch_lock_leaves_a_page_behind() {
    struct Batch {
        disabled: AtomicU32,
        pages: Lock<Vec<u32>>,
    }
    must_fail("look before the batch lock", "left in a batch", || {
        let batch =
            Arc::new(Batch { disabled: AtomicU32::new(0), pages: Lock::new(LockClass::Batch, Vec::new()) });
        let adder = start(&batch, |batch| {
            let at_once = batch.disabled.load(Ordering::Acquire) > 0;
            let mut pages = batch.pages.lock();
            pages.push(1);
            if at_once {
                pages.clear();
            }
        });
        batch.disabled.fetch_add(1, Ordering::AcqRel);
        batch.pages.lock().clear();
        join([adder]);
        assert!(batch.pages.lock().is_empty(), "left in a batch");
    });
}

/// Two threads change plain data without a protocol: loom must report the race.
#[test]
fn plain_data_without_a_protocol_is_a_race() {
    must_fail("plain data without a protocol", "Causality violation", || {
        let shared = Arc::new(PlainU64::new(0));
        let other = start(&shared, |shared| shared.set(1));
        shared.set(2);
        join([other]);
    });
}
