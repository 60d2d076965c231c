//! Large pages in each kernel: how they migrate, when they are queued to be split, how a split
//! treats parts of zeroes, and how a hard failure treats a page that cannot be split.

use super::*;
use crate::map::Policy;
use crate::migrate::MbindFlags;
use crate::page::HUGE_ORDER;
use crate::profile::MigrationOrder;

/// Makes a machine with the profile of a kernel, and writes one large page of `order` on it.
fn written_on(kernel: &str, order: u8) -> (M, Space, Arc<Area>) {
    let (frames, pages) = (64.max(4 << order), 1 << order);
    let config = Config { profile: Profile::preset(kernel).unwrap(), ..Config::new(2, frames) };
    let machine: M = Machine::new(&config).unwrap();
    let space = machine.address_space().unwrap();
    let area = machine.mmap_large(&space, pages, order).unwrap();
    fill(&machine, &area);
    machine.lru_drain_all();
    (machine, space, area)
}

#[test]
fn large_pages_are_split_before_they_migrate_or_move_whole() {
    use MigrationOrder::{Batched, OneByOne};
    for (kernel, migration, after) in
        [("4.8", OneByOne, 0), ("6.1", OneByOne, ORDER), ("6.12", Batched, ORDER)]
    {
        let (machine, space, area) = written_on(kernel, ORDER);
        assert_eq!(machine.profile().migration, migration);
        let (migrated, left) = migrate(&machine, folio(&machine, &area, 0).head, Reason::Syscall);
        assert_eq!((migrated.succeeded, migrated.failed, left), (PAGES, 0, 0), "{kernel}");
        let moved = |page| order(&machine, &area, page) == after && node(&machine, &area, page) == 1;
        assert!((0..PAGES).all(moved), "{kernel}");
        holds(&machine, &area, 0..PAGES);
        end(&machine, &[&space]);
    }
}

#[test]
fn where_large_pages_cannot_move_a_call_splits_the_page_and_moves_the_named_part() {
    let (machine, space, area) = written_on("4.8", ORDER);
    let held = machine.pin(&area, 1, PinKind::Get, true).unwrap();
    let move_third = || machine.move_pages(&space, &[area.address(2)], &[1], MoveFlags::default());
    assert_eq!(move_third().status, [Some(Errno::EBUSY.status())]);
    machine.unpin(held, PinKind::Get);
    assert_eq!(move_third().status, [Some(1)]);
    assert_eq!([0, 1, 2, 3].map(|page| node(&machine, &area, page)), [0, 0, 1, 0]);
    assert!((0..PAGES).all(|page| order(&machine, &area, page) == 0));
    machine
        .mbind(&space, &area, 0..1, Policy::Bind(1), MbindFlags { move_own: true, ..MbindFlags::default() })
        .unwrap();
    assert_eq!([0, 1, 2, 3].map(|page| node(&machine, &area, page)), [1, 0, 1, 0]);
    holds(&machine, &area, 0..PAGES);
    end(&machine, &[&space]);
}

#[test]
fn parts_move_one_by_one_too_where_there_is_no_room_for_the_large_page() {
    for (room, failed, left) in [(4, 0, 0), (3, 1, 1), (0, 1, 4)] {
        let (machine, space, area) = written_on("6.1", ORDER);
        let head = folio(&machine, &area, 0).head;
        without_room(&machine, 1, room, || {
            let (migrated, rest) = migrate(&machine, head, Reason::Syscall);
            assert_eq!((migrated.failed, rest, migrated.split), (failed, left, 1), "room for {room}");
            assert_eq!(migrated.succeeded, room);
        });
        holds(&machine, &area, 0..PAGES);
        end(&machine, &[&space]);
    }
}

#[test]
fn a_page_that_was_unmapped_entry_by_entry_is_split_by_the_next_migration() {
    for (kernel, after) in [("6.1", ORDER), ("6.12", 0), ("6.19", 0)] {
        let (machine, space, area) = written_on(kernel, ORDER);
        for to in [1, 0] {
            let address = [area.address(2)];
            let moved = machine.move_pages(&space, &address, &[to], MoveFlags::default());
            assert_eq!((moved.ret, moved.status), (Ok(0), vec![Some(to as i32)]));
            assert!((0..PAGES).all(|page| node(&machine, &area, page) == to as usize), "{kernel}");
            assert_eq!(order(&machine, &area, 0), if to == 1 { ORDER } else { after }, "{kernel}");
        }
        holds(&machine, &area, 0..PAGES);
        end(&machine, &[&space]);
    }
}

#[test]
fn a_failed_migration_also_queues_the_page_to_be_split_by_the_next() {
    let (machine, space, area) = written(PAGES);
    let held = machine.pin(&area, 2, PinKind::Get, true).unwrap();
    assert_eq!(migrate(&machine, folio(&machine, &area, 0).head, Reason::Syscall).0.failed, 1);
    machine.unpin(held, PinKind::Get);
    assert_eq!(order(&machine, &area, 0), ORDER);
    let (migrated, left) = migrate(&machine, folio(&machine, &area, 0).head, Reason::Syscall);
    assert_eq!((migrated.split, migrated.succeeded, left), (1, PAGES, 0));
    end(&machine, &[&space]);
}

#[test]
fn a_page_of_the_size_of_a_huge_entry_moves_whole_again_and_again() {
    let (machine, space, area) = written_on("6.12", HUGE_ORDER);
    for to in [1, 0, 1] {
        let moved = machine.move_pages(&space, &[area.address(7)], &[to], MoveFlags::default());
        assert_eq!((moved.ret, order(&machine, &area, 0)), (Ok(0), HUGE_ORDER));
    }
    // The page moves whole until one of its parts is unmapped.
    let counted = |event| machine.stats().events(event);
    assert_eq!([Event::ThpFaultAlloc, Event::ThpDeferredSplitPage].map(counted), [1, 0]);
    machine.munmap(&space, &area, 0..1).unwrap();
    machine.munmap(&space, &area, 1..2).unwrap();
    assert_eq!(counted(Event::ThpDeferredSplitPage), 1, "it waits already");
    machine.move_pages(&space, &[area.address(7)], &[0], MoveFlags::default());
    assert_eq!((order(&machine, &area, 7), node(&machine, &area, 7)), (0, 0));
    end(&machine, &[&space]);
}

#[test]
fn a_fault_without_a_free_huge_page_counts_a_fallback_and_takes_a_base_page() {
    let (frames, pages) = (1 << HUGE_ORDER, 1 << HUGE_ORDER);
    let machine: M = Machine::new(&Config::new(1, frames)).unwrap();
    let space = machine.address_space().unwrap();
    let taken = machine.alloc_pages(0, 0).unwrap();
    let area = machine.mmap_large(&space, pages, HUGE_ORDER).unwrap();
    machine.write_word(&area, 0, 0, 1).unwrap();
    let counted = |event| machine.stats().events(event);
    assert_eq!([Event::ThpFaultAlloc, Event::ThpFaultFallback].map(counted), [0, 1]);
    assert_eq!(order(&machine, &area, 0), 0);
    machine.put(taken);
    end(&machine, &[&space]);
}

#[test]
fn a_page_of_order_1_is_never_queued_to_be_split() {
    let (machine, space, area) = written_on("6.12", 1);
    for to in [1, 0] {
        machine.move_pages(&space, &[area.address(0)], &[to], MoveFlags::default());
        assert_eq!(order(&machine, &area, 0), 1);
    }
    end(&machine, &[&space]);
}

#[test]
fn a_split_replaces_parts_of_zeroes_by_the_zero_page_and_frees_their_frames() {
    for (kernel, zero) in [("6.1", false), ("6.12", true)] {
        let config = Config { profile: Profile::preset(kernel).unwrap(), ..Config::new(2, 64) };
        let machine: M = Machine::new(&config).unwrap();
        let space = machine.address_space().unwrap();
        let area = machine.mmap_large(&space, 2 * PAGES, ORDER).unwrap();
        machine.write_word(&area, 1, 0, 1).unwrap();
        machine.write_word(&area, 5, 0, 1).unwrap();
        machine.mlock(&space, &area, PAGES..2 * PAGES).unwrap();
        let child = machine.fork(&space).unwrap();
        machine.lru_drain_all();
        for page in [0, 4] {
            machine.split_huge_page(at(&machine, &area, page)).unwrap();
        }
        let theirs = child.find(area.address(0)).unwrap().0;
        for area in [&area, &theirs] {
            let unused = |page: u32| matches!(area.look(page).entry(), Entry::Present { zero: true, .. });
            // Parts that were written keep their frames. So do mlocked parts, in the child too,
            // although the parent alone has locked them.
            assert_eq!((0..PAGES).map(unused).collect::<Vec<_>>(), [zero, false, zero, zero], "{kernel}");
            assert!((PAGES..2 * PAGES).all(|page| !unused(page)));
        }
        machine.lru_drain_all();
        assert_eq!(machine.stats().on_node(0, NodeItem::AnonPages), if zero { 5 } else { 8 });
        assert_eq!((machine.read_word(&area, 0, 0), machine.read_word(&area, 1, 0)), (Ok(0), Ok(1)));
        machine.write_word(&area, 0, 0, 2).unwrap();
        assert_eq!((machine.read_word(&area, 0, 0), machine.read_word(&theirs, 0, 0)), (Ok(2), Ok(0)));
        machine.munlock(&space, &area, 0..2 * PAGES).unwrap();
        machine.lru_drain_all();
        end(&machine, &[&space, &child]);
    }
}

#[test]
fn the_caller_of_a_split_frees_the_part_of_zeroes_that_it_asked_for() {
    let config = Config { profile: Profile::preset("6.12").unwrap(), ..Config::new(2, 64) };
    let machine: M = Machine::new(&config).unwrap();
    let space = machine.address_space().unwrap();
    let area = machine.mmap_large(&space, PAGES, ORDER).unwrap();
    machine.write_word(&area, 0, 0, 1).unwrap();
    machine.lru_drain_all();
    let bad = at(&machine, &area, 2);
    machine.soft_offline_page(bad).unwrap();
    assert_eq!((machine.num_poisoned_pages(), machine.frames()[bad].mapcount()), (1, 0));
    assert_eq!(machine.read_word(&area, 2, 0), Ok(0));
    machine.unpoison_memory(bad).unwrap();
    end(&machine, &[&space]);
}

#[test]
fn a_hard_failure_of_a_page_that_stays_large_is_told_kept_silent_or_forgotten() {
    for (kernel, errno, counted, told) in
        [("4.8", Errno::EBUSY, 0, 0), ("6.1", Errno::EBUSY, 1, 0), ("6.12", Errno::EHWPOISON, 1, 1)]
    {
        let (machine, space, area) = written_on(kernel, ORDER);
        let pinned = machine.pin(&area, 0, PinKind::Pin, true).unwrap();
        let bad = at(&machine, &area, 3);
        let handled = machine.memory_failure(bad, Some(&space));
        assert_eq!(handled.result.unwrap_err().errno, errno, "{kernel}");
        assert_eq!((machine.num_poisoned_pages(), handled.signals.len()), (counted, told), "{kernel}");
        assert_eq!(machine.frames()[bad].flags().contains(Flags::HWPOISON), counted > 0);
        assert_eq!(machine.frames()[pinned].flags().contains(Flags::HAS_HWPOISONED), counted > 0);
        // The same frame fails a second time.
        let again = machine.memory_failure(bad, Some(&space));
        let tells = counted > 0;
        assert_eq!(
            again.result.map_err(|error| error.errno),
            Err(if tells { Errno::EHWPOISON } else { Errno::EBUSY })
        );
        assert_eq!(again.signals.len(), usize::from(tells), "{kernel}");
        machine.unpin(pinned, PinKind::Pin);
        machine.exit(&space);
        machine.lru_drain_all();
        if counted > 0 {
            machine.unpoison_memory(bad).unwrap();
        }
        end(&machine, &[]);
    }
}
