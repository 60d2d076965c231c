//! The rules of faults, copy on write, fork, pins and unmapping, one test each, on one thread.

use super::{AddressSpace, Area, Entry, PinKind, Pte};
use crate::audit::{Handle, Ledger};
use crate::error::Errno;
use crate::machine::{Config, Machine};
use crate::page::{Flags, PAGE_SIZE, PIN, Pfn};
use crate::release::Split;
use crate::stat::{Event, NodeItem};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

type Space = Arc<AddressSpace>;

fn machine() -> Machine<Split> {
    Machine::new(&Config::new(2, 256)).unwrap()
}

fn mapped(pages: u32) -> (Machine<Split>, Space, Arc<Area>) {
    let machine = machine();
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, pages).unwrap();
    (machine, space, area)
}

/// Returns the child's area at the same address.
fn twin(child: &Space, area: &Area) -> Arc<Area> {
    child.find(area.address(0)).expect("fork copies every area").0
}

fn in_use(machine: &Machine<Split>) -> u32 {
    let free = |node| machine.free_frames(node).0 + machine.free_frames(node).1;
    machine.nodes().iter().map(|node| node.frames).sum::<u32>() - free(0) - free(1)
}

#[track_caller]
fn clean(machine: &Machine<Split>, ledger: &Ledger) {
    let findings = machine.audit(ledger);
    assert!(findings.is_empty(), "{findings:?}");
}

/// Exits the spaces and checks that afterwards every frame is free and every counter zero.
#[track_caller]
fn end(machine: &Machine<Split>, spaces: &[&Space]) {
    clean(machine, &Ledger::default());
    for space in spaces {
        machine.exit(space);
    }
    machine.lru_drain_all();
    clean(machine, &Ledger::default());
    assert_eq!(in_use(machine), 0);
    assert_eq!(machine.spaces().len(), 0);
    assert_eq!(machine.stats.on_node(0, NodeItem::AnonPages), 0);
}

fn flags(machine: &Machine<Split>, pfn: Pfn) -> Flags {
    machine.frames()[pfn].flags()
}

#[test]
fn a_read_of_nothing_maps_the_zero_page_and_needs_no_frame() {
    let (machine, space, area) = mapped(4);
    assert_eq!(machine.read_word(&area, 1, 7).unwrap(), 0);
    assert_eq!(area.look(1).entry(), Entry::Present { pfn: Pfn(0), zero: true });
    assert_eq!(machine.page_at(&area, 1), None);
    assert_eq!(in_use(&machine), 0);
    end(&machine, &[&space]);
}

#[test]
fn a_first_write_maps_an_exclusive_page_that_waits_in_a_batch() {
    let (machine, space, area) = mapped(4);
    machine.read_word(&area, 2, 0).unwrap();
    machine.write_word(&area, 2, 3, 42).unwrap();
    let pfn = machine.page_at(&area, 2).unwrap();
    let page = &machine.frames()[pfn];
    // Recording h01/2.
    let expected = Flags::UPTODATE | Flags::SWAPBACKED | Flags::ANON | Flags::ANON_EXCLUSIVE;
    assert_eq!((page.flags(), page.count(), page.mapcount()), (expected, 2, 1));
    assert_eq!((machine.read_word(&area, 2, 3).unwrap(), machine.read_word(&area, 2, 4).unwrap()), (42, 0));
    assert_eq!(machine.stats.on_node(0, NodeItem::AnonPages), 1);
    // Recording h01/3.
    machine.lru_drain_all();
    assert_eq!((page.flags(), page.count()), (expected | Flags::LRU, 1));
    // One fault maps the zero page and one the new page; an access through its entry does not
    // fault.
    assert_eq!(machine.stats.events(Event::Pgfault), 2);
    end(&machine, &[&space]);
}

#[test]
fn an_access_makes_its_entry_young_and_dirty() {
    let (machine, space, area) = mapped(1);
    machine.write_word(&area, 0, 0, 1).unwrap();
    let child = machine.fork(&space).unwrap();
    let theirs = twin(&child, &area);
    assert!(theirs.look(0).has(Pte::DIRTY) && !theirs.look(0).has(Pte::YOUNG));
    machine.read_word(&theirs, 0, 0).unwrap();
    assert!(theirs.look(0).has(Pte::YOUNG));
    end(&machine, &[&space, &child]);
}

#[test]
fn faults_allocate_on_the_preferred_node_and_fall_back() {
    let (machine, space, area) = mapped(300);
    assert_eq!(machine.prefer(&area, 2).unwrap_err().errno, Errno::EINVAL);
    machine.prefer(&area, 1).unwrap();
    for index in 0..300 {
        machine.write_word(&area, index, 0, 1).unwrap();
    }
    let on_node_1 = (0..300).filter(|&index| machine.node_of(machine.page_at(&area, index).unwrap()) == 1);
    assert_eq!(on_node_1.count(), 256);
    end(&machine, &[&space]);
}

#[test]
fn without_a_frame_a_fault_changes_nothing() {
    let (machine, space, area) = mapped(512);
    let more = machine.mmap(&space, 1).unwrap();
    for index in 0..512 {
        machine.write_word(&area, index, 0, 1).unwrap();
    }
    let before = more.look(0);
    assert_eq!(machine.write_word(&more, 0, 0, 1).unwrap_err().errno, Errno::ENOMEM);
    assert_eq!(more.look(0), before);
    // A copy needs a frame too, but a read does not.
    let child = machine.fork(&space).unwrap();
    let theirs = twin(&child, &area);
    assert_eq!(machine.write_word(&theirs, 0, 0, 2).unwrap_err().errno, Errno::ENOMEM);
    assert_eq!(machine.read_word(&theirs, 0, 0).unwrap(), 1);
    end(&machine, &[&space, &child]);
}

#[test]
fn a_forked_page_is_copied_by_the_first_writer_and_reused_by_the_last() {
    let (machine, space, area) = mapped(1);
    machine.write_word(&area, 0, 0, 1).unwrap();
    machine.lru_drain_all();
    let child = machine.fork(&space).unwrap();
    let theirs = twin(&child, &area);
    let shared = machine.page_at(&area, 0).unwrap();
    // Recording h04/4.
    assert_eq!(machine.page_at(&theirs, 0), Some(shared));
    assert_eq!((machine.frames()[shared].count(), machine.frames()[shared].mapcount()), (2, 2));
    assert!(!flags(&machine, shared).contains(Flags::ANON_EXCLUSIVE));

    machine.write_word(&theirs, 0, 0, 2).unwrap();
    assert_eq!((machine.read_word(&area, 0, 0).unwrap(), machine.read_word(&theirs, 0, 0).unwrap()), (1, 2));
    assert_ne!(machine.page_at(&theirs, 0), Some(shared));
    assert_eq!((machine.frames()[shared].count(), machine.frames()[shared].mapcount()), (1, 1));
    assert_eq!(machine.stats.events(Event::Pgreuse), 0);

    machine.write_word(&area, 0, 0, 3).unwrap();
    assert_eq!(machine.page_at(&area, 0), Some(shared));
    assert!(flags(&machine, shared).contains(Flags::ANON_EXCLUSIVE));
    assert_eq!(machine.stats.events(Event::Pgreuse), 1);
    end(&machine, &[&space, &child]);
}

#[test]
fn reuse_discounts_this_cpus_batch_but_not_another_holder() {
    let (machine, space, area) = mapped(2);
    machine.write_word(&area, 0, 0, 1).unwrap();
    machine.write_word(&area, 1, 0, 1).unwrap();
    // Both pages are still in the batch, and another holder has a reference on the second.
    let (first, held) = (machine.page_at(&area, 0).unwrap(), machine.get_page_at(&area, 1).unwrap());
    let child = machine.fork(&space).unwrap();
    machine.exit(&child);
    machine.write_word(&area, 0, 0, 2).unwrap();
    machine.write_word(&area, 1, 0, 2).unwrap();
    assert_eq!(machine.page_at(&area, 0), Some(first));
    assert_ne!(machine.page_at(&area, 1), Some(held));
    machine.put(held);
    end(&machine, &[&space]);
}

#[test]
fn children_of_children_share_until_they_write() {
    let (machine, space, area) = mapped(3);
    for index in 0..2 {
        machine.write_word(&area, index, 1, 10 + u64::from(index)).unwrap();
    }
    machine.read_word(&area, 2, 0).unwrap();
    let child = machine.fork(&space).unwrap();
    let grandchild = machine.fork(&child).unwrap();
    let (one, two) = (twin(&child, &area), twin(&grandchild, &area));
    assert_eq!(machine.frames()[machine.page_at(&area, 0).unwrap()].mapcount(), 3);
    assert_eq!(two.look(2).entry(), Entry::Present { pfn: Pfn(0), zero: true });
    machine.write_word(&two, 0, 1, 99).unwrap();
    machine.exit(&space);
    assert_eq!(machine.read_word(&one, 0, 1).unwrap(), 10);
    assert_eq!(machine.read_word(&two, 0, 1).unwrap(), 99);
    assert_eq!(machine.read_word(&two, 1, 1).unwrap(), 11);
    end(&machine, &[&child, &grandchild]);
}

#[test]
fn a_pin_counts_1024_and_a_reference_one() {
    let (machine, space, area) = mapped(1);
    machine.write_word(&area, 0, 0, 1).unwrap();
    machine.lru_drain_all();
    let ledger = Ledger::default();
    let pfn = machine.pin(&area, 0, PinKind::Pin, true).unwrap();
    ledger.add(pfn, Handle::Pin);
    // Recording h03/4.
    assert_eq!(machine.frames()[pfn].count(), 1 + PIN);
    assert!(flags(&machine, pfn).contains(Flags::REFERENCED));
    assert_eq!(machine.pin(&area, 0, PinKind::Get, false).unwrap(), pfn);
    ledger.add(pfn, Handle::Ref);
    assert_eq!(machine.frames()[pfn].count(), 2 + PIN);
    clean(&machine, &ledger);
    machine.unpin(pfn, PinKind::Get);
    machine.unpin(pfn, PinKind::Pin);
    assert_eq!(machine.frames()[pfn].count(), 1);
    end(&machine, &[&space]);
}

#[test]
fn a_pin_of_a_shared_page_takes_a_copy_and_a_reference_does_not() {
    let (machine, space, area) = mapped(2);
    for index in 0..2 {
        machine.write_word(&area, index, 0, 5).unwrap();
    }
    machine.lru_drain_all();
    let child = machine.fork(&space).unwrap();
    let shared = machine.page_at(&area, 0).unwrap();
    assert_eq!(machine.pin(&area, 0, PinKind::Get, false).unwrap(), shared);
    machine.unpin(shared, PinKind::Get);
    // A pin for reading gets a page of its own, which stays write-protected.
    let pinned = machine.pin(&area, 0, PinKind::Pin, false).unwrap();
    assert_ne!(pinned, shared);
    assert!(flags(&machine, pinned).contains(Flags::ANON_EXCLUSIVE) && !area.look(0).has(Pte::WRITE));
    machine.write_word(&area, 0, 0, 6).unwrap();
    assert_eq!(machine.page_at(&area, 0), Some(pinned));
    assert_eq!(machine.memory().load(pinned, 0), 6);
    assert_eq!(machine.read_word(&twin(&child, &area), 0, 0).unwrap(), 5);
    machine.unpin(pinned, PinKind::Pin);
    end(&machine, &[&space, &child]);
}

#[test]
fn fork_copies_a_pinned_page_at_once_so_that_the_parent_keeps_it() {
    let (machine, space, area) = mapped(1);
    let pinned = machine.pin(&area, 0, PinKind::Pin, true).unwrap();
    machine.write_word(&area, 0, 0, 1).unwrap();
    let child = machine.fork(&space).unwrap();
    let theirs = twin(&child, &area);
    assert_ne!(machine.page_at(&theirs, 0), Some(pinned));
    machine.write_word(&area, 0, 0, 2).unwrap();
    assert_eq!(machine.page_at(&area, 0), Some(pinned));
    assert_eq!(machine.read_word(&theirs, 0, 0).unwrap(), 1);
    machine.unpin(pinned, PinKind::Pin);
    end(&machine, &[&space, &child]);
}

#[test]
fn a_failed_fork_leaves_nothing_behind() {
    let (machine, space, area) = mapped(512);
    for index in 0..512 {
        machine.write_word(&area, index, 0, 1).unwrap();
    }
    let pinned = machine.pin(&area, 500, PinKind::Pin, true).unwrap();
    assert_eq!(machine.fork(&space).unwrap_err().errno, Errno::ENOMEM);
    assert_eq!(machine.spaces().len(), 1);
    machine.lru_drain_all();
    assert_eq!(machine.frames()[machine.page_at(&area, 0).unwrap()].count(), 1);
    machine.write_word(&area, 0, 0, 2).unwrap();
    machine.unpin(pinned, PinKind::Pin);
    end(&machine, &[&space]);
}

#[test]
fn unmapped_pages_fault_and_the_others_stay() {
    let (machine, space, area) = mapped(100);
    for index in 0..100 {
        machine.write_word(&area, index, 0, u64::from(index)).unwrap();
    }
    machine.munmap(&space, &area, 10..90).unwrap();
    machine.munmap(&space, &area, 80..95).unwrap();
    assert_eq!(in_use(&machine), 15);
    for index in [10, 89, 94] {
        assert_eq!(machine.read_word(&area, index, 0).unwrap_err().errno, Errno::EFAULT);
        assert_eq!(machine.write_word(&area, index, 0, 1).unwrap_err().errno, Errno::EFAULT);
        assert_eq!(machine.pin(&area, index, PinKind::Get, false).unwrap_err().errno, Errno::EFAULT);
        assert!(space.find(area.address(index)).is_none());
    }
    assert_eq!(machine.read_word(&area, 9, 0).unwrap(), 9);
    assert_eq!(machine.read_word(&area, 95, 0).unwrap(), 95);
    let child = machine.fork(&space).unwrap();
    assert!(child.find(area.address(10)).is_none() && child.find(area.address(9)).is_some());
    // The area ends with its last pages.
    machine.munmap(&space, &area, 0..100).unwrap();
    assert!(space.areas.read().is_empty());
    machine.munmap(&child, &twin(&child, &area), 0..100).unwrap();
    end(&machine, &[&space, &child]);
}

#[test]
fn munmap_drains_this_cpus_batches() {
    // Recording h05/3.
    let (machine, space, area) = mapped(3);
    machine.write_word(&area, 0, 0, 1).unwrap();
    machine.munmap(&space, &area, 2..3).unwrap();
    assert!(flags(&machine, machine.page_at(&area, 0).unwrap()).contains(Flags::LRU));
    end(&machine, &[&space]);
}

#[test]
fn addresses_are_found_and_gaps_are_not() {
    let (machine, space, area) = mapped(3);
    let other = machine.mmap(&space, 2).unwrap();
    let page = PAGE_SIZE as u64;
    let (found, index) = space.find(area.address(2) + 17).unwrap();
    assert!(Arc::ptr_eq(&found, &area) && index == 2);
    assert!(space.find(area.address(2) + page).is_none());
    assert!(space.find(area.address(0) - 1).is_none());
    assert!(space.find(u64::MAX).is_none());
    assert!(Arc::ptr_eq(&space.find(other.address(0)).unwrap().0, &other));
    assert!(space.find(other.address(1) + page).is_none());
    end(&machine, &[&space]);
}

#[test]
fn misuse_is_refused() {
    let (machine, space, area) = mapped(2);
    let stranger = machine.address_space().unwrap();
    let refused = |result: crate::error::Result<()>, errno| assert_eq!(result.unwrap_err().errno, errno);
    refused(machine.mmap(&space, 0).map(drop), Errno::EINVAL);
    refused(machine.munmap(&stranger, &area, 0..1), Errno::EINVAL);
    refused(machine.munmap(&space, &area, 1..3), Errno::EINVAL);
    refused(machine.munmap(&space, &area, 1..1), Errno::EINVAL);
    refused(machine.read_word(&area, 2, 0).map(drop), Errno::EFAULT);
    refused(machine.read_word(&area, 0, 512).map(drop), Errno::EINVAL);
    refused(machine.write_bytes(&area, 2 * PAGE_SIZE as u64 - 1, b"ab"), Errno::EFAULT);
    refused(machine.write_bytes(&area, u64::MAX, b"ab"), Errno::EFAULT);
    assert_eq!((machine.page_at(&area, 2), machine.get_page_at(&area, 2)), (None, None));
    machine.exit(&stranger);
    machine.exit(&stranger);
    refused(machine.mmap(&stranger, 1).map(drop), Errno::ESRCH);
    refused(machine.fork(&stranger).map(drop), Errno::ESRCH);
    end(&machine, &[&space]);
}

#[test]
fn bytes_cross_words_and_pages() {
    let (machine, space, area) = mapped(3);
    let text: Vec<u8> = (0..PAGE_SIZE + 300).map(|n| (n % 251) as u8 + 1).collect();
    let offset = PAGE_SIZE as u64 - 13;
    machine.write_bytes(&area, offset, &text).unwrap();
    let mut back = vec![0; text.len() + 20];
    machine.read_bytes(&area, offset - 10, &mut back).unwrap();
    assert_eq!(back[..10], [0; 10]);
    assert_eq!(back[10..10 + text.len()], text);
    assert_eq!(back[10 + text.len()..], [0; 10]);
    machine.write_bytes(&area, 3 * PAGE_SIZE as u64, &[]).unwrap();
    end(&machine, &[&space]);
}

#[test]
fn an_unbacked_machine_has_the_records_without_the_bytes() {
    let machine: Machine<Split> = Machine::new(&Config { backed: false, ..Config::new(2, 256) }).unwrap();
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 2).unwrap();
    machine.write_word(&area, 0, 0, 7).unwrap();
    machine.write_bytes(&area, 5, b"gone").unwrap();
    let mut back = [1; 4];
    machine.read_bytes(&area, 5, &mut back).unwrap();
    assert_eq!((machine.read_word(&area, 0, 0).unwrap(), back), (0, [0; 4]));
    let child = machine.fork(&space).unwrap();
    machine.write_word(&twin(&child, &area), 0, 0, 7).unwrap();
    end(&machine, &[&space, &child]);
}

#[test]
fn the_audit_reports_a_space_that_was_dropped_without_an_exit() {
    let (machine, space, area) = mapped(1);
    machine.write_word(&area, 0, 0, 1).unwrap();
    drop(space);
    assert_eq!(machine.spaces().len(), 0);
    machine.lru_drain_all();
    assert_eq!(in_use(&machine), 1);
    let findings = machine.audit(&Ledger::default());
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].to_string().contains("dropped without an exit"), "{findings:?}");
}

#[test]
fn a_migration_entry_is_unmapped_and_forked_without_touching_its_page() {
    let (machine, space, area) = mapped(2);
    for index in 0..2 {
        machine.write_word(&area, index, 0, 7).unwrap();
    }
    machine.lru_drain_all();
    let (stays, goes) = (machine.page_at(&area, 0).unwrap(), machine.page_at(&area, 1).unwrap());
    for pfn in [stays, goes] {
        machine.isolate(pfn).unwrap();
        machine.page(pfn).unwrap().lock();
        assert!(machine.unmap_to_migration(pfn));
    }
    machine.munmap(&space, &area, 1..2).unwrap();
    let child = machine.fork(&space).unwrap();
    let theirs = twin(&child, &area);
    for pfn in [stays, goes] {
        machine.restore_mappings(pfn, pfn);
        machine.page(pfn).unwrap().unlock(pfn);
        machine.putback(pfn);
    }
    // The mappings are restored in both spaces, shared and write-protected.
    for area in [&area, &theirs] {
        assert_eq!(machine.page_at(area, 0), Some(stays));
        assert!(!area.look(0).has(Pte::WRITE) && !flags(&machine, stays).contains(Flags::ANON_EXCLUSIVE));
    }
    machine.lru_drain_all();
    assert_eq!(machine.frames()[goes].count(), 0);
    end(&machine, &[&space, &child]);
}

/// Runs `operation` while another thread is inside an access, and checks that the operation does not
/// end before the access does.
fn waits_for_accesses(machine: &Machine<Split>, operation: impl FnOnce() + Send) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let section = machine.tlb.enter();
        scope.spawn(|| {
            operation();
            ended.store(true, Ordering::Relaxed);
        });
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!ended.load(Ordering::Relaxed), "a thread may still use the old entry");
        drop(section);
    });
    assert!(ended.load(Ordering::Relaxed));
}

#[test]
fn a_replaced_entry_is_flushed_before_the_call_ends() {
    let (machine, space, area) = mapped(1);
    machine.write_word(&area, 0, 0, 1).unwrap();
    let child = std::sync::Mutex::new(None);
    waits_for_accesses(&machine, || *child.lock().unwrap() = Some(machine.fork(&space).unwrap()));
    waits_for_accesses(&machine, || machine.write_word(&area, 0, 0, 2).unwrap());
    waits_for_accesses(&machine, || machine.munmap(&space, &area, 0..1).unwrap());
    let child = child.into_inner().unwrap().unwrap();
    waits_for_accesses(&machine, || machine.exit(&child));
    end(&machine, &[&space, &child]);
}
