//! The contract of movable pages in different kernels: each test shows the effect of one field of
//! the profile (lifecycle 7.2, 7.6).

use crate::common::{assert_clean_with, used};
use mmcore::audit::{Handle, Ledger};
use mmcore::error::Errno;
use mmcore::machine::{Config, Machine};
use mmcore::migrate::{Mode, Reason};
use mmcore::movable::{PagePool, PoolPage};
use mmcore::page::{Flags, Pfn};
use mmcore::profile::Profile;
use mmcore::release::Chosen;
use std::cell::Cell;
use std::sync::Arc;

type M = Machine<Chosen>;

/// A machine of a kernel, with one field set, and a pool with one page on node 0.
fn with(kernel: &str, field: &str, value: &str) -> (M, Arc<PagePool>, PoolPage, Pfn) {
    let mut profile = Profile::preset(kernel).unwrap();
    if !field.is_empty() {
        profile.set(field, value).unwrap();
    }
    let machine = M::new(&Config { profile, ..Config::new(2, 64) }).unwrap();
    machine.bind_cpu(Some(0));
    let pool = PagePool::new(&machine).unwrap();
    let page = pool.add(&machine, 0).unwrap();
    let pfn = pool.pfn(page).unwrap();
    (machine, pool, page, pfn)
}

fn flags(machine: &M, pfn: Pfn) -> Flags {
    machine.page(pfn).unwrap().flags()
}

fn counter(machine: &M, name: &str) -> i64 {
    machine.vmstat(None).unwrap().into_iter().find(|&(counter, _)| counter == name).unwrap().1
}

fn clean(machine: &M, held: &[(Pfn, Handle)]) {
    let ledger = Ledger::default();
    held.iter().for_each(|&(pfn, handle)| ledger.add(pfn, handle));
    assert_clean_with(machine, &ledger);
}

#[test]
fn a_sticky_mark_stays_on_a_released_page_until_the_page_is_free() {
    for (kernel, sticks) in [("4.8", false), ("6.12", false), ("6.19", true)] {
        let (machine, pool, page, pfn) = with(kernel, "", "");
        machine.page(pfn).unwrap().get(pfn);
        pool.release(&machine, page).unwrap();
        assert_eq!(flags(&machine, pfn).contains(Flags::MOVABLE), sticks, "{kernel}");
        assert!(!machine.isolate_movable_page(pfn), "{kernel}: the page was released");
        clean(&machine, &[(pfn, Handle::Ref)]);
        machine.put(pfn);
        assert!(!flags(&machine, pfn).contains(Flags::MOVABLE), "{kernel}");
        assert_eq!((used(&machine), pool.census()), (0, (0, 1)), "{kernel}");
        clean(&machine, &[]);
    }
}

#[test]
fn a_put_that_looks_needs_a_mark_that_ends() {
    for release in ["hook", "hook_late", "packed"] {
        let (machine, pool, page, pfn) = with("6.19", "release", release);
        assert!(machine.isolate_movable_page(pfn));
        let mut list = vec![pfn];
        machine.page(pfn).unwrap().get(pfn);
        machine.migrate_pages(
            &mut list,
            &mut |_| machine.alloc_pages(1, 0).ok(),
            Mode::Sync,
            Reason::Compaction,
        );
        assert!(!flags(&machine, pfn).contains(Flags::MOVABLE), "{release}: the page has moved away");
        machine.put(pfn);
        assert_eq!(pool.census(), (1, 0), "{release}");
        pool.release(&machine, page).unwrap();
        assert_eq!((pool.census(), used(&machine)), ((0, 1), 0), "{release}");
    }
}

#[test]
fn soft_offline_takes_a_released_page_with_a_sticky_mark_for_a_movable_one() {
    for (kernel, errno) in [("6.12", Errno::EIO), ("6.19", Errno::EBUSY)] {
        let (machine, pool, page, pfn) = with(kernel, "", "");
        machine.page(pfn).unwrap().get(pfn);
        pool.release(&machine, page).unwrap();
        assert_eq!(machine.soft_offline_page(pfn).unwrap_err().errno, errno, "{kernel}");
        machine.put(pfn);
        clean(&machine, &[]);
    }
}

#[test]
fn a_frame_with_a_sticky_mark_that_was_taken_offline_stays_offline() {
    for (kernel, back) in [("6.12", Ok(())), ("6.19", Err(Errno::EBUSY))] {
        let (machine, pool, page, pfn) = with(kernel, "", "");
        machine.soft_offline_page(pfn).unwrap();
        assert_ne!(pool.pfn(page).unwrap(), pfn, "{kernel}: the page has moved");
        clean(&machine, &[]);
        assert_eq!(machine.unpoison_memory(pfn).map_err(|error| error.errno), back, "{kernel}");
        clean(&machine, &[]);
    }
}

/// Isolates the page, releases it, and migrates it. Returns how many targets were allocated.
fn migrated_after_its_release(machine: &M, pool: &PagePool, page: PoolPage, pfn: Pfn) -> u32 {
    assert!(machine.isolate_movable_page(pfn));
    pool.release(machine, page).unwrap();
    let (mut list, targets) = (vec![pfn], Cell::new(0));
    let mut target = |_| {
        targets.set(targets.get() + 1);
        machine.alloc_pages(1, 0).ok()
    };
    let result = machine.migrate_pages(&mut list, &mut target, Mode::Sync, Reason::Compaction);
    assert_eq!((result.succeeded, list.len()), (1, 0), "a page that was freed counts as moved");
    targets.get()
}

#[test]
fn a_page_freed_while_isolated_needs_no_target_where_that_is_checked_first() {
    for (kernel, targets) in [("4.8", 0), ("6.1", 0), ("6.12", 0), ("6.19", 1)] {
        let (machine, pool, page, pfn) = with(kernel, "", "");
        assert_eq!(migrated_after_its_release(&machine, &pool, page, pfn), targets, "{kernel}");
        machine.lru_drain_all();
        assert_eq!((used(&machine), counter(&machine, "pgmigrate_success")), (0, 1), "{kernel}");
        clean(&machine, &[]);
    }
}

#[test]
fn the_target_of_a_released_page_waits_in_a_batch_in_old_kernels() {
    for (kernel, waits) in [("4.8", 1), ("6.1", 0), ("6.19", 0)] {
        let (machine, pool, page, pfn) = with(kernel, "", "");
        // Another reference hides from the first check that the page was freed.
        machine.page(pfn).unwrap().get(pfn);
        assert_eq!(migrated_after_its_release(&machine, &pool, page, pfn), 1, "{kernel}");
        assert_eq!(used(&machine) - 1, waits, "{kernel}: the blank target");
        clean(&machine, &[(pfn, Handle::Ref)]);
        machine.lru_drain_all();
        machine.put(pfn);
        assert_eq!(used(&machine), 0, "{kernel}");
        clean(&machine, &[]);
    }
}

#[test]
fn isolated_movable_pages_count_as_pages_of_files_in_old_kernels() {
    for (kernel, counted) in [("4.8", 1), ("6.1", 0), ("6.12", 0)] {
        let (machine, pool, page, pfn) = with(kernel, "", "");
        let isolated = || counter(&machine, "nr_isolated_file");
        assert!(machine.isolate_movable_page(pfn));
        assert_eq!(isolated(), counted, "{kernel}");
        clean(&machine, &[(pfn, Handle::IsolatedMovable)]);
        machine.putback_movable_page(pfn);
        assert_eq!(isolated(), 0, "{kernel}: put back");
        assert!(machine.isolate_movable_page(pfn));
        let mut list = vec![pfn];
        machine.migrate_pages(
            &mut list,
            &mut |_| machine.alloc_pages(1, 0).ok(),
            Mode::Sync,
            Reason::Compaction,
        );
        assert_eq!(isolated(), 0, "{kernel}: migrated");
        let pfn = pool.pfn(page).unwrap();
        assert!(machine.isolate_movable_page(pfn));
        pool.release(&machine, page).unwrap();
        machine.putback_movable_page(pfn);
        assert_eq!((isolated(), used(&machine)), (0, 0), "{kernel}: released");
        clean(&machine, &[]);
    }
}

#[test]
fn soft_offline_moves_a_movable_page_since_4_11() {
    for (kernel, errno) in [("4.8", Some(Errno::EIO)), ("6.1", None), ("6.19", None)] {
        let (machine, pool, page, pfn) = with(kernel, "", "");
        assert_eq!(machine.soft_offline_page(pfn).err().map(|error| error.errno), errno, "{kernel}");
        assert_eq!(pool.pfn(page).unwrap() == pfn, errno.is_some(), "{kernel}");
        clean(&machine, &[]);
    }
}
