//! A thread that sleeps on a page and is woken spuriously checks its reason again, and sleeps
//! again.

use crate::common::{assert_clean, machine, used};
use mmcore::audit::{Handle, Ledger};
use mmcore::inject::Kind;
use mmcore::migrate::{Mode, Reason};
use mmcore::page::{Flags, Pfn};
use mmcore::release::Release;
use std::sync::atomic::{AtomicBool, Ordering};

for_each_design!(
    a_sleeper_on_a_page_lock_sleeps_again,
    users_of_migrated_pages_see_nothing_of_wake_ups_for_no_reason,
);

fn a_sleeper_on_a_page_lock_sleeps_again<R: Release>() {
    let machine = machine::<R>(1, 16);
    let (ledger, got) = (Ledger::default(), AtomicBool::new(false));
    let pfn = machine.alloc_pages(0, 0).unwrap();
    assert!(machine.hold_lock(&ledger, pfn).unwrap());
    let page = machine.page(pfn).unwrap();
    let plan = machine.arm(Kind::SpuriousWakeup, 0, u64::MAX);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            page.lock();
            got.store(true, Ordering::Release);
            page.unlock(pfn);
        });
        for _ in 0..100 {
            // The flag shows that the sleeper is queued.
            while !page.flags().contains(Flags::WAITERS) {
                std::thread::yield_now();
            }
            // This call is a step on the page, so the fault wakes the sleepers. It fails, because
            // the page is on no list.
            assert!(machine.isolate(pfn).is_err());
            assert!(!got.load(Ordering::Acquire), "the lock is held");
        }
        machine.let_go(&ledger, pfn, Handle::Lock);
    });
    assert!(got.load(Ordering::Acquire));
    assert!(plan.fired() >= 100);
    machine.disarm(&plan);
    machine.put(pfn);
    assert_eq!(used(&machine), 0);
    assert_clean(&machine);
}

fn users_of_migrated_pages_see_nothing_of_wake_ups_for_no_reason<R: Release>() {
    let machine = machine::<R>(2, 64);
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 2).unwrap();
    (0..2).for_each(|index| machine.write_word(&area, index, 1, u64::from(index)).unwrap());
    let plan = machine.arm(Kind::SpuriousWakeup, 0, u64::MAX);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::Acquire) {
                    (0..2).for_each(|index| {
                        assert_eq!(machine.read_word(&area, index, 1), Ok(u64::from(index)));
                        machine.write_word(&area, index, 1, u64::from(index)).unwrap();
                    });
                }
            });
        }
        for round in 0..200 {
            machine.lru_drain_all();
            let pages: Vec<Pfn> = (0..2).filter_map(|index| machine.page_at(&area, index)).collect();
            let mut list: Vec<Pfn> = pages.into_iter().filter(|&pfn| machine.isolate(pfn).is_ok()).collect();
            let mut target = |_| machine.alloc_pages(1 - round % 2, 0).ok();
            machine.migrate_pages(&mut list, &mut target, Mode::Sync, Reason::Syscall);
            machine.putback_movable_pages(&mut list);
        }
        ended.store(true, Ordering::Release);
    });
    assert!(plan.fired() > 0);
    machine.disarm(&plan);
    machine.exit(&space);
    machine.lru_drain_all();
    assert_eq!(used(&machine), 0);
    assert_clean(&machine);
}
