//! Large pages in mappings, and their splits into base pages; one rule a test, on one thread.

use crate::audit::{Handle, Ledger};
use crate::error::Errno;
use crate::machine::{Config, Machine};
use crate::map::{AddressSpace, Advice, Area, Entry, PinKind};
use crate::migrate::{Mode, MoveFlags, Reason};
use crate::page::{Flags, Folio, PAGE_SIZE, PIN, Pfn};
use crate::profile::{LruPolicy, Profile};
use crate::release::Split;
use crate::stat::{Event, NodeItem};
use std::sync::Arc;

mod kernels;
mod swap;

type M = Machine<Split>;
type Space = Arc<AddressSpace>;

/// The number of base pages of a large page in these tests.
const PAGES: u32 = 4;
const ORDER: u8 = 2;

/// Makes a machine with a region of pages that faults make large, each filled with its number.
fn written(pages: u32) -> (M, Space, Arc<Area>) {
    let machine = Machine::new(&Config::new(2, 64)).unwrap();
    let space = machine.address_space().unwrap();
    let area = machine.mmap_large(&space, pages, ORDER).unwrap();
    fill(&machine, &area);
    machine.lru_drain_all();
    (machine, space, area)
}

fn fill(machine: &M, area: &Area) {
    for page in 0..area.pages() {
        let bytes = [(page % 251) as u8 + 1; PAGE_SIZE];
        machine.write_bytes(area, u64::from(page) * PAGE_SIZE as u64, &bytes).unwrap();
    }
}

fn at(machine: &M, area: &Area, page: u32) -> Pfn {
    machine.page_at(area, page).unwrap()
}

fn folio(machine: &M, area: &Area, page: u32) -> Folio {
    machine.frames().folio(at(machine, area, page))
}

fn order(machine: &M, area: &Area, page: u32) -> u8 {
    machine.frames()[folio(machine, area, page).head].order()
}

fn node(machine: &M, area: &Area, page: u32) -> usize {
    machine.node_of(at(machine, area, page))
}

#[track_caller]
fn clean(machine: &M, ledger: &Ledger) {
    let findings = machine.audit(ledger);
    assert!(findings.is_empty(), "{findings:?}");
}

#[track_caller]
fn holds(machine: &M, area: &Area, pages: impl IntoIterator<Item = u32>) {
    for page in pages {
        let mut bytes = [0; PAGE_SIZE];
        machine.read_bytes(area, u64::from(page) * PAGE_SIZE as u64, &mut bytes).unwrap();
        assert_eq!(bytes, [(page % 251) as u8 + 1; PAGE_SIZE], "page {page}");
    }
}

/// Exits the spaces and checks that every frame is free afterwards.
#[track_caller]
fn end(machine: &M, spaces: &[&Space]) {
    clean(machine, &Ledger::default());
    spaces.iter().for_each(|space| machine.exit(space));
    machine.lru_drain_all();
    clean(machine, &Ledger::default());
    let free: u32 = (0..2).map(|node| machine.free_frames(node)).map(|(buddy, arrays)| buddy + arrays).sum();
    assert_eq!(free, machine.nodes.iter().map(|node| node.frames).sum::<u32>());
    assert!((0..2).all(|node| machine.stats().on_node(node, NodeItem::AnonPages) == 0));
}

/// Runs `work` while all but `left` frames of a node are taken.
fn without_room(machine: &M, node: usize, left: u32, work: impl FnOnce()) {
    let mut taken = Vec::new();
    while let Ok(pfn) = machine.alloc_pages(node, 0) {
        taken.push(pfn);
    }
    // Only every second frame is given back, so that no two of them form a larger block.
    let given: Vec<Pfn> = taken.iter().copied().filter(|pfn| pfn.0 % 2 == 0).take(left as usize).collect();
    machine.put_all(&given);
    work();
    machine.put_all(&taken.into_iter().filter(|pfn| !given.contains(pfn)).collect::<Vec<_>>());
}

#[test]
fn a_fault_maps_a_whole_large_page_with_a_reference_and_a_mapping_for_each_entry() {
    let (machine, space, area) = written(2 * PAGES + 1);
    let first = folio(&machine, &area, 1);
    assert!(first.large && area.address(0).is_multiple_of(u64::from(PAGES) * PAGE_SIZE as u64));
    assert!((0..PAGES).all(|page| at(&machine, &area, page) == first.head.plus(page)));
    let head = &machine.frames()[first.head];
    assert_eq!((head.count(), head.mapcount(), machine.frames().folio_mapcount(first)), (PAGES, 1, PAGES));
    assert!(head.flags().contains(Flags::LRU | Flags::ANON | Flags::ANON_EXCLUSIVE));
    // The remainder at the end of the area is a base page.
    assert_eq!([0, 4, 8].map(|page| order(&machine, &area, page)), [2, 2, 0]);
    assert_eq!(machine.stats().on_node(0, NodeItem::AnonPages), 9);
    assert_eq!(machine.holders(at(&machine, &area, 2), &Ledger::default()).len(), PAGES as usize);
    holds(&machine, &area, 0..9);
    end(&machine, &[&space]);
}

#[test]
fn a_fault_takes_a_base_page_where_no_large_one_fits_or_is_free() {
    let machine: M = Machine::new(&Config::new(2, 64)).unwrap();
    let space = machine.address_space().unwrap();
    let area = machine.mmap_large(&space, 3 * PAGES, ORDER).unwrap();
    // One block has a zero page already, another an unmapped page.
    machine.read_word(&area, 0, 0).unwrap();
    machine.munmap(&space, &area, 4..5).unwrap();
    machine.write_word(&area, 1, 0, 1).unwrap();
    machine.write_word(&area, 5, 0, 1).unwrap();
    assert_eq!((order(&machine, &area, 1), order(&machine, &area, 5)), (0, 0));
    assert!(machine.page_at(&area, 2).is_none());
    let small = machine.mmap_large(&space, PAGES, ORDER).unwrap();
    without_room(&machine, 0, 8, || {
        without_room(&machine, 1, 8, || {
            machine.write_word(&small, 0, 0, 1).unwrap();
            assert_eq!((order(&machine, &small, 0), machine.page_at(&small, 1)), (0, None));
        });
    });
    end(&machine, &[&space]);
}

#[test]
fn unmapping_a_part_leaves_the_large_page_with_fewer_mappings() {
    let (machine, space, area) = written(PAGES);
    let folio = folio(&machine, &area, 0);
    machine.munmap(&space, &area, 1..3).unwrap();
    assert_eq!((machine.frames()[folio.head].count(), machine.frames().folio_mapcount(folio)), (2, 2));
    assert_eq!(machine.stats().on_node(0, NodeItem::AnonPages), 2);
    holds(&machine, &area, [0, 3]);
    end(&machine, &[&space]);
}

#[test]
fn a_split_gives_each_part_its_own_count_flags_and_place() {
    let (machine, space, area) = written(PAGES);
    let head = folio(&machine, &area, 0).head;
    (0..2).for_each(|_| machine.mark_page_accessed(head));
    machine.split_huge_page(head.plus(2)).unwrap();
    for page in 0..PAGES {
        let pfn = at(&machine, &area, page);
        let record = &machine.frames()[pfn];
        assert_eq!((pfn, record.order(), record.count(), record.mapcount()), (head.plus(page), 0, 1, 1));
        let flags = Flags::LRU | Flags::ACTIVE | Flags::ANON | Flags::ANON_EXCLUSIVE | Flags::UPTODATE;
        assert!(record.flags().contains(flags) && !record.flags().intersects(Flags::HEAD | Flags::TAIL));
    }
    holds(&machine, &area, 0..PAGES);
    // Each part is an exclusive page of its own, so a store makes no copy.
    fill(&machine, &area);
    assert_eq!(machine.stats().events(Event::Pgreuse), 0);
    end(&machine, &[&space]);
}

#[test]
fn a_split_frees_unmapped_parts() {
    let (machine, space, area) = written(PAGES);
    let head = folio(&machine, &area, 0).head;
    machine.munmap(&space, &area, 0..2).unwrap();
    machine.split_huge_page(head).unwrap();
    assert_eq!([0, 1, 2, 3].map(|part| machine.frames()[head.plus(part)].count()), [0, 0, 1, 1]);
    holds(&machine, &area, 2..4);
    end(&machine, &[&space]);
}

#[test]
fn a_page_with_another_holder_is_not_split() {
    let (machine, space, area) = written(PAGES);
    let head = folio(&machine, &area, 0).head;
    let refused = |expected: u32| {
        let error = machine.split_huge_page(head).unwrap_err();
        assert_eq!(error.errno, Errno::EAGAIN);
        assert_eq!((order(&machine, &area, 3), machine.frames()[head].count()), (ORDER, expected));
    };
    let pinned = machine.pin(&area, 2, PinKind::Pin, true).unwrap();
    refused(PAGES + PIN);
    machine.unpin(pinned, PinKind::Pin);
    let held = machine.get_page_at(&area, 1).unwrap();
    assert_eq!(held, head);
    refused(PAGES + 1);
    machine.put(held);
    machine.isolate(head).unwrap();
    refused(PAGES + 1);
    machine.putback(head);
    holds(&machine, &area, 0..PAGES);
    machine.split_huge_page(head).unwrap();
    end(&machine, &[&space]);
}

#[test]
fn an_allocated_page_is_split_among_its_handles() {
    let machine: M = Machine::new(&Config::new(2, 64)).unwrap();
    let ledger = Ledger::default();
    let head = machine.hold_new(&ledger, 0, ORDER).unwrap();
    machine.lru_add(head);
    let parts = machine.split_held(&ledger, head, Handle::Ref).unwrap();
    assert_eq!(parts.len(), 3);
    clean(&machine, &ledger);
    for pfn in (0..PAGES).map(|part| head.plus(part)) {
        assert_eq!(machine.frames()[pfn].flags(), Flags::LRU);
        machine.let_go(&ledger, pfn, Handle::Ref);
    }
    end(&machine, &[]);
}

#[test]
fn a_child_shares_the_large_page_and_a_store_copies_one_base_page() {
    let (machine, space, area) = written(PAGES);
    let child = machine.fork(&space).unwrap();
    let theirs = child.find(area.address(0)).unwrap().0;
    let folio = folio(&machine, &area, 0);
    assert_eq!(machine.frames().folio_mapcount(folio), 2 * PAGES);
    machine.write_word(&area, 1, 0, 7).unwrap();
    assert_eq!((order(&machine, &area, 1), order(&machine, &theirs, 1)), (0, ORDER));
    assert_eq!(machine.frames().folio_mapcount(folio), 2 * PAGES - 1);
    holds(&machine, &theirs, 0..PAGES);
    holds(&machine, &area, [0, 2, 3]);
    // The page is shared by two spaces. After a split the entries of both lead to its parts.
    machine.split_huge_page(folio.head).unwrap();
    assert_eq!(machine.frames()[folio.head.plus(1)].mapcount(), 1);
    assert_eq!(machine.frames()[folio.head.plus(2)].mapcount(), 2);
    holds(&machine, &theirs, 0..PAGES);
    end(&machine, &[&space, &child]);
}

#[test]
fn a_fork_copies_the_parts_of_a_page_that_may_be_pinned() {
    let (machine, space, area) = written(PAGES);
    let pinned = machine.pin(&area, 2, PinKind::Pin, true).unwrap();
    let child = machine.fork(&space).unwrap();
    let theirs = child.find(area.address(0)).unwrap().0;
    assert!(
        (0..PAGES).all(|page| order(&machine, &theirs, page) == 0 && order(&machine, &area, page) == ORDER)
    );
    assert_eq!(at(&machine, &area, 2), pinned);
    holds(&machine, &theirs, 0..PAGES);
    machine.unpin(pinned, PinKind::Pin);
    end(&machine, &[&space, &child]);
}

#[test]
fn a_large_page_moves_whole_and_only_its_first_part_is_queued() {
    let (machine, space, area) = written(PAGES);
    let addresses: Vec<u64> = (0..PAGES).map(|page| area.address(page)).collect();
    let moved = machine.move_pages(&space, &addresses, &[1; PAGES as usize], MoveFlags::default());
    // The second part fails, because the page is isolated by then, and ends the run. The others are
    // found on the new node.
    assert_eq!(moved.ret, Ok(0));
    assert_eq!(moved.status, [Some(1), Some(Errno::EBUSY.status()), Some(1), Some(1)]);
    assert!((0..PAGES).all(|page| order(&machine, &area, page) == ORDER && node(&machine, &area, page) == 1));
    assert_eq!(machine.stats().events(Event::PgmigrateSuccess), i64::from(PAGES));
    holds(&machine, &area, 0..PAGES);
    end(&machine, &[&space]);
}

#[test]
fn nr_isolated_counts_base_pages() {
    let (machine, space, area) = written(PAGES);
    let head = folio(&machine, &area, 0).head;
    machine.isolate(head).unwrap();
    assert_eq!(machine.stats().on_node(0, NodeItem::IsolatedAnon), i64::from(PAGES));
    machine.putback(head);
    assert_eq!(machine.stats().on_node(0, NodeItem::IsolatedAnon), 0);
    end(&machine, &[&space]);
}

/// Isolates the page, migrates it to node 1, and puts the remaining pages back. Returns the result
/// and the number of these pages.
fn migrate(machine: &M, head: Pfn, reason: Reason) -> (crate::migrate::Migrated, usize) {
    machine.isolate(head).unwrap();
    let mut list = vec![head];
    let mut target = |src: Pfn| machine.alloc_pages(1, machine.frames()[src].order()).ok();
    let migrated = machine.migrate_pages(&mut list, &mut target, Mode::Sync, reason);
    let left = list.len();
    machine.putback_movable_pages(&mut list);
    (migrated, left)
}

#[test]
fn without_room_for_the_large_page_its_parts_move_and_it_fails_unless_all_moved() {
    for (room, failed, left) in [(4, 0, 0), (3, 1, 1), (0, 1, 4)] {
        let (machine, space, area) = written(PAGES);
        let head = folio(&machine, &area, 0).head;
        without_room(&machine, 1, room, || {
            let (migrated, rest) = migrate(&machine, head, Reason::Syscall);
            assert_eq!((migrated.failed, rest, migrated.errno), (failed, left, None), "room for {room}");
            assert_eq!((migrated.split, migrated.succeeded), (1, room.min(PAGES)));
            // Parts after the first that finds no room are not tried.
            assert_eq!(migrated.failed_pages, left.min(1) as u32);
        });
        assert!((0..PAGES).all(|page| order(&machine, &area, page) == 0));
        holds(&machine, &area, 0..PAGES);
        end(&machine, &[&space]);
    }
}

#[test]
fn numa_balancing_does_not_split_a_page_for_want_of_room() {
    let (machine, space, area) = written(PAGES);
    let head = folio(&machine, &area, 0).head;
    without_room(&machine, 1, 4, || {
        let (migrated, left) = migrate(&machine, head, Reason::NumaMisplaced);
        assert_eq!((migrated.errno, migrated.failed, left), (Some(Errno::ENOMEM), 1, 1));
        assert_eq!(migrated.failed_pages, PAGES);
    });
    assert_eq!(order(&machine, &area, 0), ORDER);
    end(&machine, &[&space]);
}

#[test]
fn a_page_that_is_mapped_in_parts_moves_in_parts() {
    let (machine, space, area) = written(PAGES);
    let head = folio(&machine, &area, 0).head;
    machine.munmap(&space, &area, 3..4).unwrap();
    let (migrated, left) = migrate(&machine, head, Reason::Syscall);
    // The unmapped part is freed: its isolation's reference was its last one.
    assert_eq!((migrated.split, migrated.failed, left), (1, 0, 0));
    assert!((0..3).all(|page| order(&machine, &area, page) == 0 && node(&machine, &area, page) == 1));
    holds(&machine, &area, 0..3);
    end(&machine, &[&space]);
}

#[test]
fn a_pinned_large_page_stays_and_its_mappings_with_it() {
    let (machine, space, area) = written(PAGES);
    let head = folio(&machine, &area, 0).head;
    let pinned = machine.pin(&area, 1, PinKind::Pin, true).unwrap();
    let (migrated, left) = migrate(&machine, head, Reason::Syscall);
    assert_eq!((migrated.failed, migrated.failed_pages, left), (1, PAGES, 1));
    assert_eq!((at(&machine, &area, 1), order(&machine, &area, 1)), (pinned, ORDER));
    machine.unpin(pinned, PinKind::Pin);
    holds(&machine, &area, 0..PAGES);
    end(&machine, &[&space]);
}

#[test]
fn soft_offline_takes_one_part_and_leaves_the_others() {
    let (machine, space, area) = written(PAGES);
    let bad = at(&machine, &area, 2);
    machine.soft_offline_page(bad).unwrap();
    assert_eq!(machine.num_poisoned_pages(), 1);
    assert_ne!(at(&machine, &area, 2), bad);
    assert!((0..PAGES).all(|page| order(&machine, &area, page) == 0));
    holds(&machine, &area, 0..PAGES);
    machine.unpoison_memory(bad).unwrap();
    end(&machine, &[&space]);
}

#[test]
fn soft_offline_of_a_part_of_a_page_that_is_held_is_refused_and_changes_nothing() {
    let (machine, space, area) = written(PAGES);
    let pinned = machine.pin(&area, 0, PinKind::Pin, true).unwrap();
    let count = machine.frames()[pinned].count();
    let error = machine.soft_offline_page(at(&machine, &area, 2)).unwrap_err();
    assert_eq!(error.errno, Errno::EBUSY);
    assert_eq!((machine.frames()[pinned].count(), order(&machine, &area, 2)), (count, ORDER));
    assert_eq!(machine.num_poisoned_pages(), 0);
    machine.unpin(pinned, PinKind::Pin);
    end(&machine, &[&space]);
}

#[test]
fn a_hard_failure_takes_one_part_and_keeps_a_reference_on_it() {
    let (machine, space, area) = written(PAGES);
    let bad = at(&machine, &area, 1);
    machine.memory_failure(bad, None).result.unwrap();
    let record = &machine.frames()[bad];
    assert_eq!((record.count(), record.order(), record.mapcount()), (1, 0, 0));
    assert!(matches!(area.look(1).entry(), Entry::Hwpoison { .. }));
    holds(&machine, &area, [0, 2, 3]);
    clean(&machine, &Ledger::default());
    machine.munmap(&space, &area, 1..2).unwrap();
    machine.unpoison_memory(bad).unwrap();
    end(&machine, &[&space]);
}

#[test]
fn a_hard_failure_of_a_page_that_is_not_split_kills_and_keeps_no_reference() {
    let (machine, space, area) = written(PAGES);
    let pinned = machine.pin(&area, 0, PinKind::Pin, true).unwrap();
    let (bad, count) = (at(&machine, &area, 3), machine.frames()[pinned].count());
    let handled = machine.memory_failure(bad, Some(&space));
    assert_eq!(handled.result.unwrap_err().errno, Errno::EHWPOISON);
    assert_eq!(handled.signals.iter().map(|signal| signal.address).collect::<Vec<_>>(), [area.address(3)]);
    assert_eq!(machine.frames()[pinned].count(), count);
    assert!(machine.frames()[bad].flags().contains(Flags::HWPOISON));
    assert!(machine.frames()[pinned].flags().contains(Flags::HAS_HWPOISONED));
    machine.unpin(pinned, PinKind::Pin);
    // The page does not migrate. When it is freed, its good frames are usable again.
    let head = folio(&machine, &area, 0).head;
    assert_eq!(migrate(&machine, head, Reason::Syscall).0.failed, 1);
    machine.exit(&space);
    machine.lru_drain_all();
    clean(&machine, &Ledger::default());
    assert_eq!(machine.frames()[bad].flags(), Flags::HWPOISON | Flags::REFUSED);
    machine.unpoison_memory(bad).unwrap();
    end(&machine, &[]);
}

#[test]
fn pageout_swaps_a_large_page_in_parts() {
    let (machine, space, area) = written(2 * PAGES);
    machine.swapon(64).unwrap();
    machine.madvise(&space, &area, 2..8, Advice::Pageout).unwrap();
    let out = |page: u32| matches!(area.look(page).entry(), Entry::Swap { .. });
    assert_eq!((0..8).map(out).collect::<Vec<_>>(), [false, false, true, true, true, true, true, true]);
    assert_eq!(order(&machine, &area, 0), 0);
    holds(&machine, &area, 0..8);
    machine.swapoff().unwrap();
    end(&machine, &[&space]);
}

#[test]
fn advice_for_a_part_of_a_large_page_splits_it_and_for_all_of_it_does_not() {
    let (machine, space, area) = written(2 * PAGES);
    machine.madvise(&space, &area, 0..6, Advice::Cold).unwrap();
    assert_eq!([0, 4, 7].map(|page| order(&machine, &area, page)), [ORDER, 0, 0]);
    machine.madvise(&space, &area, 0..1, Advice::Free).unwrap();
    assert_eq!(order(&machine, &area, 1), 0);
    machine.madvise(&space, &area, 0..8, Advice::Dontneed).unwrap();
    end(&machine, &[&space]);
}

#[test]
fn a_locked_large_page_is_unevictable_until_the_last_entry_is_unlocked() {
    let (machine, space, area) = written(PAGES);
    let head = folio(&machine, &area, 0).head;
    let unevictable = || machine.frames()[head].flags().contains(Flags::UNEVICTABLE | Flags::MLOCKED);
    machine.mlock(&space, &area, 0..PAGES).unwrap();
    assert!(unevictable());
    assert_eq!(machine.stats().on_node(0, NodeItem::Mlock), i64::from(PAGES));
    machine.munlock(&space, &area, 0..3).unwrap();
    assert!(unevictable());
    machine.split_huge_page(head).unwrap();
    clean(&machine, &Ledger::default());
    machine.munlock(&space, &area, 0..PAGES).unwrap();
    machine.lru_drain_all();
    assert_eq!(machine.stats().on_node(0, NodeItem::Mlock), 0);
    end(&machine, &[&space]);
}

#[test]
fn reclaim_judges_a_large_page_by_its_use_and_takes_its_parts() {
    for lru_policy in [LruPolicy::TwoList, LruPolicy::Mglru] {
        let profile = Profile { lru_policy, ..Profile::preset("6.12").unwrap() };
        let machine: M = Machine::new(&Config { profile, ..Config::new(2, 64) }).unwrap();
        let space = machine.address_space().unwrap();
        let area = machine.mmap_large(&space, 2 * PAGES, ORDER).unwrap();
        fill(&machine, &area);
        machine.lru_drain_all();
        machine.swapon(64).unwrap();
        clean(&machine, &Ledger::default());
        // All pages were used just now, and each scan clears their accessed bits.
        let freed: u32 = (0..4).map(|_| machine.reclaim(0, 2 * PAGES).unwrap()).sum();
        assert_eq!(freed, 2 * PAGES, "{lru_policy:?}");
        assert!((0..2 * PAGES).all(|page| matches!(area.look(page).entry(), Entry::Swap { .. })));
        holds(&machine, &area, 0..2 * PAGES);
        machine.swapoff().unwrap();
        end(&machine, &[&space]);
        // A split works on the lists of either policy.
        let space = machine.address_space().unwrap();
        let area = machine.mmap_large(&space, PAGES, ORDER).unwrap();
        fill(&machine, &area);
        machine.lru_drain_all();
        machine.split_huge_page(at(&machine, &area, 1)).unwrap();
        end(&machine, &[&space]);
    }
}
