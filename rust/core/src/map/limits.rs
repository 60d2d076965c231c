//! Tests of limits that users can reach: the call is refused there, and the machine is as before.

use super::areas::LIMIT;
use super::{AddressSpace, Area, FileKind, FileMap, PinKind};
use crate::audit::{Handle, Ledger};
use crate::error::Errno;
use crate::machine::{Config, Machine};
use crate::movable::PagePool;
use crate::page::{PIN, Word};
use crate::release::{Hook, HookLate, Release, Split};
use std::sync::Arc;

fn machine(frames: u32) -> Machine<Split> {
    let mut config = Config::new(1, frames);
    config.profile.release = crate::profile::Design::Split;
    Machine::new(&config).unwrap()
}

fn clean<R: Release>(machine: &Machine<R>, ledger: &Ledger) {
    let findings = machine.audit(ledger);
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The state that a refused call must leave unchanged.
#[derive(Debug, PartialEq)]
struct State {
    free: u32,
    spaces: usize,
    counts: Vec<(u32, u32)>,
}

fn state(machine: &Machine<Split>, areas: &[&Arc<Area>]) -> State {
    machine.lru_drain_all();
    let (buddy, arrays) = machine.free_frames(0);
    let count = |area: &&Arc<Area>| {
        let page = machine.page(machine.page_at(area, 0).unwrap()).unwrap();
        (page.count(), page.mapcount())
    };
    State { free: buddy + arrays, spaces: machine.spaces().len(), counts: areas.iter().map(count).collect() }
}

#[test]
fn forks_of_a_large_page_are_limited_by_its_count() {
    let machine = machine(4096);
    let ledger = Ledger::default();
    let space = machine.address_space().unwrap();
    let other = machine.mmap(&space, 1).unwrap();
    // The limit counts 2^10 references for an area of this order, even if the area has one page
    // only. A fork of such a short area is faster than of an area with a whole large page.
    let area = machine.mmap_large(&space, 1, 10).unwrap();
    machine.write_word(&other, 0, 0, 1).unwrap();
    machine.write_word(&area, 0, 0, 1).unwrap();
    let most = Word::MAPPED_LIMIT >> 10;
    let children: Vec<Arc<AddressSpace>> = (1..most).map(|_| machine.fork(&space).unwrap()).collect();
    let before = state(&machine, &[&area, &other]);
    assert_eq!(before.counts, [(most, most); 2]);
    for _ in 0..3 {
        let error = machine.fork(&space).unwrap_err();
        assert_eq!(error.errno, Errno::ENOMEM);
        assert!(error.to_string().contains(&format!("{most} address spaces")), "{error}");
        // The fork had shared the other area before it failed; the sharing is undone.
        assert_eq!(state(&machine, &[&area, &other]), before);
    }
    // The count still has room for a pin and for the core's own references.
    let pfn = machine.pin(&other, 0, PinKind::Get, false).unwrap();
    machine.unpin(pfn, PinKind::Get);
    machine.write_word(&area, 0, 0, 2).unwrap();
    machine.exit(&children[7]);
    let again = machine.fork(&space).unwrap();
    assert!(machine.fork(&space).is_err());
    children.iter().chain([&again, &space]).for_each(|space| machine.exit(space));
    clean(&machine, &ledger);
}

#[test]
fn a_fork_that_fails_half_way_is_undone_in_files_and_lineages() {
    for private in [false, true] {
        let machine = machine(256);
        let space = machine.address_space().unwrap();
        let file = machine.file(FileKind::Tmpfs, 4).unwrap();
        let anon = machine.mmap(&space, 4).unwrap();
        let map = FileMap { file: Arc::clone(&file), first: 0, private, random: false };
        let area = machine.mmap_file(&space, map.clone(), 4).unwrap();
        for area in [&anon, &area] {
            (0..4).for_each(|index| machine.write_word(area, index, 0, 7).unwrap());
        }
        LIMIT.set(Some(3));
        let children: Vec<_> = (0..2).map(|_| machine.fork(&space).unwrap()).collect();
        let before = state(&machine, &[&anon, &area]);
        assert_eq!(machine.fork(&space).unwrap_err().errno, Errno::ENOMEM);
        assert_eq!(state(&machine, &[&anon, &area]), before);
        // One more mapping of the file is refused, and the lineage that a private mapping has got
        // is removed.
        let error = machine.mmap_file(&space, map.clone(), 1).unwrap_err();
        assert!(error.to_string().contains("3 areas map this file"), "{error}");
        assert_eq!(space.areas.read().len(), 2);
        assert_eq!(state(&machine, &[&anon, &area]), before);
        clean(&machine, &Ledger::default());
        machine.exit(&children[0]);
        machine.mmap_file(&space, map, 1).unwrap();
        LIMIT.set(None);
        machine.exit(&space);
        machine.exit(&children[1]);
        machine.remove_file(&file);
        assert!(machine.files().is_empty(), "no link is left over");
        clean(&machine, &Ledger::default());
        let (buddy, arrays) = machine.free_frames(0);
        assert_eq!(buddy + arrays, 256);
    }
}

#[test]
fn pins_and_references_have_a_limit_that_leaves_room_for_forks() {
    for order in [0, 4] {
        let machine = machine(256);
        let space = machine.address_space().unwrap();
        let area = machine.mmap_large(&space, 16, order).unwrap();
        machine.write_word(&area, 0, 0, 1).unwrap();
        machine.lru_drain_all();
        let mut pinned = Vec::new();
        let refused = loop {
            match machine.pin(&area, 0, PinKind::Pin, true) {
                Ok(pfn) => pinned.push(pfn),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.errno, Errno::ENOMEM);
        assert!(pinned.len() as u32 > Word::OUTSIDE_LIMIT / PIN - 2);
        let count = || machine.page(pinned[0]).unwrap().count();
        let before = count();
        let ledger = Ledger::default();
        pinned.iter().for_each(|&pfn| ledger.add(pfn, Handle::Pin));
        assert!(machine.pin(&area, 0, PinKind::Pin, true).is_err());
        let refused = machine.hold_pin(&ledger, pinned[0]).unwrap_err();
        assert_eq!((refused.errno, count()), (Errno::ENOMEM, before));
        clean(&machine, &ledger);
        // A fork copies a pinned page, and the core's own references are not refused.
        let child = machine.fork(&space).unwrap();
        assert_eq!(count(), before);
        machine.exit(&child);
        for &pfn in &pinned {
            machine.let_go(&ledger, pfn, Handle::Pin);
        }
        machine.exit(&space);
        clean(&machine, &ledger);
    }
}

#[test]
fn a_space_beyond_the_last_number_is_refused() {
    let machine = machine(64);
    let space = machine.address_space().unwrap();
    machine.spaces.run_out();
    assert_eq!(machine.address_space().unwrap_err().errno, Errno::EAGAIN);
    assert_eq!(machine.fork(&space).unwrap_err().errno, Errno::EAGAIN);
    assert_eq!(machine.spaces().len(), 1);
    machine.exit(&space);
    clean(&machine, &Ledger::default());
}

#[test]
fn an_area_beyond_the_last_owner_slot_is_refused() {
    let mut config = Config::new(1, 64);
    config.owners = 4;
    let machine = Machine::<Split>::new(&config).unwrap();
    let space = machine.address_space().unwrap();
    let areas: Vec<_> = (0..4).map(|_| machine.mmap(&space, 1).unwrap()).collect();
    assert_eq!(machine.mmap(&space, 1).unwrap_err().errno, Errno::ENOMEM);
    assert_eq!(machine.file(FileKind::Disk, 1).unwrap_err().errno, Errno::ENOMEM);
    assert_eq!(PagePool::new(&machine).unwrap_err().errno, Errno::ENOMEM);
    assert_eq!(space.areas.read().len(), 4);
    machine.munmap(&space, &areas[2], 0..1).unwrap();
    machine.mmap(&space, 1).unwrap();
    machine.exit(&space);
    clean(&machine, &Ledger::default());
}

/// Closes pools whose pages are still held when they are released. The release designs differ in
/// the moment at which such a page leaves the pool: at its release, if the design clears a mark
/// then, or with its last reference, if the last put tells the pool.
fn a_closed_pool_gives_its_owner_slot_back_with_its_last_page<R: Release>() {
    let mut config = Config::new(1, 64);
    config.owners = 1;
    config.profile.release = R::DESIGN;
    let machine = Machine::<R>::new(&config).unwrap();
    let ledger = Ledger::default();
    let is_taken = || PagePool::new(&machine).map(|pool| pool.close(&machine)).is_err();
    // There are more rounds than an owner slot has generations.
    for life in 0..300 {
        let pool = PagePool::new(&machine).unwrap();
        let pages: Vec<_> = (0..life % 3).map(|_| pool.add(&machine, 0).unwrap()).collect();
        assert!(is_taken());
        let held: Vec<_> = pages.iter().map(|&page| pool.pfn(page).unwrap()).collect();
        held.iter().for_each(|&pfn| machine.hold(&ledger, pfn).unwrap());
        pool.close(&machine);
        assert_eq!(pool.add(&machine, 0).unwrap_err().errno, Errno::EINVAL);
        let mut left = pages.len();
        for (page, pfn) in pages.into_iter().zip(held) {
            assert!(is_taken());
            pool.release(&machine, page).unwrap();
            left -= 1;
            assert_eq!(is_taken(), left > 0 || machine.put_looks());
            machine.let_go(&ledger, pfn, Handle::Ref);
        }
        assert!(!is_taken());
        pool.close(&machine);
    }
    clean(&machine, &ledger);
}

#[test]
fn a_closed_pool_gives_its_owner_slot_back() {
    a_closed_pool_gives_its_owner_slot_back_with_its_last_page::<Split>();
    a_closed_pool_gives_its_owner_slot_back_with_its_last_page::<Hook>();
    a_closed_pool_gives_its_owner_slot_back_with_its_last_page::<HookLate>();
}

#[test]
fn a_held_page_outlives_many_owners_of_its_slot() {
    let machine = machine(64);
    let ledger = Ledger::default();
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 2).unwrap();
    (0..2).for_each(|index| machine.write_word(&area, index, 0, 1).unwrap());
    machine.lru_drain_all();
    let [kept, moved] = [0, 1].map(|index| machine.page_at(&area, index).unwrap());
    let token = machine.hold_isolated(&ledger, kept).unwrap();
    machine.hold(&ledger, moved).unwrap();
    machine.munmap(&space, &area, 0..2).unwrap();
    // The owner id that the old pages name is used again, by an owner with other pages at the same
    // places.
    for _ in 0..600 {
        let area = machine.mmap(&space, 2).unwrap();
        (0..2).for_each(|index| machine.write_word(&area, index, 0, 2).unwrap());
        machine.lru_drain_all();
        clean(&machine, &ledger);
        assert!(machine.holders(kept, &ledger).len() == 1);
        machine.munmap(&space, &area, 0..2).unwrap();
    }
    machine.let_go(&ledger, kept, token);
    machine.lru_drain_all();
    let held = machine.hold_isolated(&ledger, moved).unwrap();
    machine.let_go(&ledger, moved, held);
    machine.let_go(&ledger, moved, Handle::Ref);
    machine.lru_drain_all();
    machine.exit(&space);
    clean(&machine, &ledger);
    let (buddy, arrays) = machine.free_frames(0);
    assert_eq!(buddy + arrays, 64);
}

#[test]
fn spaces_that_were_dropped_are_forgotten() {
    let machine = machine(64);
    for _ in 0..1000 {
        drop(machine.address_space().unwrap());
    }
    assert!(machine.spaces.known() <= 130);
    assert!(machine.spaces().is_empty());
}
