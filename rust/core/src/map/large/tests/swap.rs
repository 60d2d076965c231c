//! Large pages in the swap space and in the swap cache.

use super::*;
use crate::map::SwapUse;
use crate::page::HUGE_ORDER;

/// Makes a machine with swap space. One base page is swapped out, so that slot 0 is taken; then large
/// pages of `order` are written, `pages` base pages together.
fn swapping(kernel: &str, order: u8, pages: u32, slots: u32) -> (M, Space, Arc<Area>) {
    let frames = 64.max(4 << order);
    let config = Config { profile: Profile::preset(kernel).unwrap(), ..Config::new(2, frames) };
    let machine: M = Machine::new(&config).unwrap();
    machine.swapon(slots).unwrap();
    let space = machine.address_space().unwrap();
    let base = machine.mmap(&space, 1).unwrap();
    machine.write_word(&base, 0, 0, 1).unwrap();
    machine.lru_drain_all();
    pageout(&machine, &space, &base);
    assert_eq!(slot(&base, 0), Some(0));
    let area = machine.mmap_large(&space, pages, order).unwrap();
    fill(&machine, &area);
    machine.lru_drain_all();
    (machine, space, area)
}

fn pageout(machine: &M, space: &Space, area: &Area) {
    machine.madvise(space, area, 0..area.pages(), Advice::Pageout).unwrap();
}

fn slot(area: &Area, page: u32) -> Option<u32> {
    match area.look(page).entry() {
        Entry::Swap { slot } => Some(slot),
        _ => None,
    }
}

fn slots(area: &Area) -> Vec<Option<u32>> {
    (0..area.pages()).map(|page| slot(area, page)).collect()
}

fn used(machine: &M) -> u32 {
    let SwapUse { total, free } = machine.swap_use();
    total - free
}

/// Puts the large page into the swap cache and unmaps it, as a reclaim does whose write fails.
fn unmapped(machine: &M, area: &Area) -> Pfn {
    let head = folio(machine, area, 0).head;
    let page = &machine.frames()[head];
    page.lock();
    assert!(machine.add_to_swap(head) && machine.unmap_to_swap(head, false));
    machine.tlb.flush();
    page.unlock(head);
    assert_eq!(
        (page.count(), machine.frames().folio_mapcount(folio_of(machine, head))),
        (1 << page.order(), 0)
    );
    head
}

fn folio_of(machine: &M, pfn: Pfn) -> Folio {
    machine.frames().folio(pfn)
}

/// A large page of 6.12 in the swap cache, in slots 4 to 7, with swap entries.
fn cached() -> (M, Space, Arc<Area>, Pfn) {
    let (machine, space, area) = swapping("6.12", ORDER, PAGES, 16);
    let head = unmapped(&machine, &area);
    assert_eq!(slots(&area), [4, 5, 6, 7].map(Some));
    clean(&machine, &Ledger::default());
    (machine, space, area, head)
}

#[test]
fn reclaim_swaps_a_large_page_whole_where_the_kernel_does() {
    for (kernel, order, whole) in [
        ("4.8", ORDER, false),
        ("6.1", ORDER, false),
        ("6.1", HUGE_ORDER, true),
        ("6.12", ORDER, true),
        ("6.12", HUGE_ORDER, true),
    ] {
        let (machine, space, area) = swapping(kernel, order, 1 << order, 2 << order);
        pageout(&machine, &space, &area);
        // A run of slots begins at a multiple of its length; single slots are used in order.
        let first = if whole { 1 << order } else { 1 };
        let run: Vec<_> = (first..first + (1 << order)).map(Some).collect();
        assert_eq!(slots(&area), run, "{kernel}");
        assert_eq!(used(&machine), 1 + (1 << order));
        let events = |event| machine.stats().events(event);
        assert_eq!(events(Event::Pswpout), 1 + (1 << order));
        let huge = i64::from(order == HUGE_ORDER);
        assert_eq!((events(Event::ThpSwpout), events(Event::ThpSplitPage)), (huge, 0));
        holds(&machine, &area, 0..1 << order);
        // Kernels that read past the swap cache free the slots at once.
        assert!(used(&machine) == 1 || kernel == "4.8");
        assert!((0..1 << order).all(|page| self::order(&machine, &area, page) == 0), "read in base pages");
        end(&machine, &[&space]);
    }
}

#[test]
fn a_large_page_without_a_run_of_slots_is_split_and_swapped_in_parts() {
    // There are four slots, and slot 0 is taken. Three parts get the other slots, the last part none.
    let (machine, space, area) = swapping("6.12", ORDER, PAGES, 4);
    pageout(&machine, &space, &area);
    assert_eq!(slots(&area), [Some(1), Some(2), Some(3), None]);
    holds(&machine, &area, 0..PAGES);
    end(&machine, &[&space]);
    let (machine, space, area) = swapping("6.12", HUGE_ORDER, 512, 513);
    pageout(&machine, &space, &area);
    let events = |event| machine.stats().events(event);
    assert_eq!((events(Event::ThpSwpout), events(Event::ThpSwpoutFallback)), (0, 1));
    assert_eq!((events(Event::ThpSplitPage), used(&machine)), (1, 513));
    holds(&machine, &area, 0..512);
    end(&machine, &[&space]);
}

#[test]
fn a_page_that_waits_to_be_split_is_swapped_in_parts() {
    let (machine, space, area) = swapping("6.12", ORDER, PAGES, 16);
    machine.munmap(&space, &area, 2..3).unwrap();
    assert_eq!(machine.reclaim(0, PAGES).unwrap(), 3);
    assert_eq!(slots(&area), [Some(1), Some(2), None, Some(3)]);
    end(&machine, &[&space]);
}

#[test]
fn slots_that_were_freed_form_a_run_again() {
    let (machine, space, area) = swapping("6.12", ORDER, 3 * PAGES, 8);
    let out = |pages: std::ops::Range<u32>| {
        machine.madvise(&space, &area, pages.clone(), Advice::Pageout).unwrap();
        slot(&area, pages.start)
    };
    assert_eq!(out(0..4), Some(4));
    // The first three parts get the slots that were passed over, the last part none.
    assert_eq!((out(4..8), slot(&area, 7)), (Some(1), None));
    holds(&machine, &area, 0..PAGES);
    assert_eq!(out(8..12), Some(4));
    holds(&machine, &area, 0..3 * PAGES);
    end(&machine, &[&space]);
}

#[test]
fn a_fault_maps_the_cached_page_whole_or_one_part_of_it() {
    for kernel in ["6.1", "6.12"] {
        let (machine, space, area) = swapping(kernel, ORDER, PAGES, 16);
        let head = unmapped(&machine, &area);
        holds(&machine, &area, 2..3);
        let whole = kernel == "6.12";
        let expected = if whole { [None; 4] } else { [Some(4), Some(5), None, Some(7)] };
        assert_eq!(slots(&area), expected, "{kernel}");
        let page = &machine.frames()[head];
        let mapped = if whole { PAGES } else { 1 };
        assert_eq!(
            (page.count(), machine.frames().folio_mapcount(folio_of(&machine, head))),
            (PAGES + mapped, mapped)
        );
        assert!(page.flags().contains(Flags::SWAPCACHE));
        assert_eq!(machine.stats().events(Event::Pswpin), 0);
        // The page belongs to the process alone, so a store makes no copy.
        machine.write_word(&area, 2, 0, 7).unwrap();
        assert_eq!(at(&machine, &area, 2), head.plus(2));
        clean(&machine, &Ledger::default());
        assert_eq!(machine.holders(head, &Ledger::default()).len() as u32, PAGES + mapped);
        machine.madvise(&space, &area, 0..PAGES, Advice::Dontneed).unwrap();
        assert_eq!(used(&machine), 1, "the page gives all its slots up");
        end(&machine, &[&space]);
    }
}

#[test]
fn a_store_takes_the_page_out_of_the_swap_cache_if_it_maps_all_its_users() {
    let (machine, space, area, head) = cached();
    machine.write_word(&area, 1, 0, 7).unwrap();
    assert!(!machine.frames()[head].flags().contains(Flags::SWAPCACHE));
    assert_eq!((machine.frames()[head].count(), used(&machine)), (PAGES, 1));
    holds(&machine, &area, [0, 2, 3]);
    end(&machine, &[&space]);
}

#[test]
fn entries_that_are_not_alike_are_mapped_one_by_one() {
    let (machine, space, area, head) = cached();
    machine.madvise(&space, &area, 0..1, Advice::Dontneed).unwrap();
    holds(&machine, &area, 2..3);
    assert_eq!(slots(&area), [None, Some(5), None, Some(7)]);
    assert_eq!(machine.page_at(&area, 0), None);
    assert_eq!(machine.frames()[head].count(), PAGES + 1);
    end(&machine, &[&space]);
}

#[test]
fn parent_and_child_share_the_cached_page() {
    let (machine, space, area, head) = cached();
    let child = machine.fork(&space).unwrap();
    let theirs = child.find(area.address(0)).unwrap().0;
    holds(&machine, &area, 0..1);
    assert_eq!((slots(&area), slot(&theirs, 3)), (vec![None; 4], Some(7)));
    machine.write_word(&area, 3, 0, 7).unwrap();
    assert_ne!(at(&machine, &area, 3), head.plus(3));
    holds(&machine, &theirs, 0..PAGES);
    assert_eq!(at(&machine, &theirs, 3), head.plus(3));
    holds(&machine, &area, 0..3);
    end(&machine, &[&space, &child]);
}

#[test]
fn a_migration_gives_each_slot_its_part_of_the_new_page() {
    let (machine, space, area, head) = cached();
    let (migrated, left) = migrate(&machine, head, Reason::Syscall);
    assert_eq!((migrated.succeeded, left), (PAGES, 0));
    clean(&machine, &Ledger::default());
    holds(&machine, &area, 0..PAGES);
    assert!((0..PAGES).all(|page| node(&machine, &area, page) == 1 && order(&machine, &area, page) == ORDER));
    end(&machine, &[&space]);
}

#[test]
fn without_room_the_parts_of_a_cached_page_move_in_their_slots() {
    let (machine, space, area, head) = cached();
    without_room(&machine, 1, 3, || {
        let (migrated, left) = migrate(&machine, head, Reason::Syscall);
        assert_eq!((migrated.split, migrated.succeeded, left), (1, 3, 1));
    });
    clean(&machine, &Ledger::default());
    assert_eq!(slots(&area), [4, 5, 6, 7].map(Some));
    holds(&machine, &area, 0..PAGES);
    end(&machine, &[&space]);
}

#[test]
fn a_split_leaves_each_part_in_its_slot_and_frees_those_that_nothing_names() {
    let (machine, space, area, head) = cached();
    machine.madvise(&space, &area, 1..2, Advice::Dontneed).unwrap();
    machine.split_huge_page(head.plus(3)).unwrap();
    let cached = |part: u32| {
        let page = &machine.frames()[head.plus(part)];
        (page.count(), page.order(), page.flags().contains(Flags::SWAPCACHE))
    };
    assert_eq!([0, 1, 2, 3].map(cached), [(1, 0, true), (0, 0, false), (1, 0, true), (1, 0, true)]);
    assert_eq!(used(&machine), 4);
    holds(&machine, &area, [0, 2, 3]);
    assert_eq!(machine.stats().events(Event::Pswpin), 0);
    end(&machine, &[&space]);
}

#[test]
fn a_cached_page_with_another_holder_is_not_split() {
    let (machine, space, area, head) = cached();
    assert_eq!(machine.try_get_page(head.plus(2)), Some(head));
    assert_eq!(machine.split_huge_page(head).unwrap_err().errno, Errno::EAGAIN);
    machine.put(head);
    machine.split_huge_page(head).unwrap();
    holds(&machine, &area, 0..PAGES);
    end(&machine, &[&space]);
}

#[test]
fn a_later_reclaim_writes_and_evicts_the_cached_page_whole() {
    let (machine, space, area, head) = cached();
    assert_eq!(machine.reclaim(0, PAGES).unwrap(), PAGES);
    assert_eq!((machine.frames()[head].count(), used(&machine)), (0, 1 + PAGES));
    assert_eq!(machine.stats().events(Event::Pswpout), 1 + i64::from(PAGES));
    holds(&machine, &area, 0..PAGES);
    assert_eq!(machine.stats().on_node(0, NodeItem::WorkingsetRefaultAnon), i64::from(PAGES));
    end(&machine, &[&space]);
}

#[test]
fn swapoff_maps_all_parts_of_the_cached_page() {
    let (machine, space, area, head) = cached();
    machine.swapoff().unwrap();
    assert!((0..PAGES).all(|page| at(&machine, &area, page) == head.plus(page)));
    assert_eq!(machine.frames()[head].count(), PAGES);
    holds(&machine, &area, 0..PAGES);
    end(&machine, &[&space]);
}

#[test]
fn memory_failure_splits_the_cached_page() {
    let (machine, space, area, head) = cached();
    let bad = head.plus(1);
    machine.soft_offline_page(bad).unwrap();
    holds(&machine, &area, 0..PAGES);
    assert_ne!(at(&machine, &area, 1), bad);
    machine.unpoison_memory(bad).unwrap();
    end(&machine, &[&space]);
    let (machine, space, area, head) = cached();
    let bad = head.plus(1);
    machine.memory_failure(bad, None).result.unwrap();
    assert_eq!(machine.read_word(&area, 1, 0).unwrap_err().errno, Errno::EHWPOISON);
    holds(&machine, &area, [0, 2, 3]);
    machine.exit(&space);
    clean(&machine, &Ledger::default());
}
