//! The behaviour of kernels that are older than the recorded ones. Each test shows the effect of a
//! field of the profile for which the presets before 6.1 choose another value. The sources of the
//! values are in the profile's table.

use crate::common::{assert_clean_with, used};
use mmcore::audit::{Handle, Ledger};
use mmcore::calls::Call;
use mmcore::error::Errno;
use mmcore::failure::{Injection, Verdict};
use mmcore::machine::{Config, Machine};
use mmcore::map::{AddressSpace, Advice, Area, FileKind, FileMap, PinKind, Policy};
use mmcore::migrate::MbindFlags;
use mmcore::page::{Flags, PIN, Pfn};
use mmcore::profile::Profile;
use mmcore::release::Chosen;
use std::sync::Arc;

type M = Machine<Chosen>;
type Space = Arc<AddressSpace>;

/// A machine with two nodes and the preset `kernel`.
fn on(kernel: &str) -> M {
    with(Profile::preset(kernel).unwrap())
}

fn with(profile: Profile) -> M {
    let machine = M::new(&Config { profile, calls: true, ..Config::new(2, 64) }).unwrap();
    machine.bind_cpu(Some(0));
    machine
}

/// Anonymous memory that was written to, with its pages on the LRU lists.
fn written(machine: &M, pages: u32) -> (Space, Arc<Area>) {
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, pages).unwrap();
    (0..pages).for_each(|page| machine.write_word(&area, page, 0, u64::from(page) + 1).unwrap());
    machine.lru_drain_all();
    (space, area)
}

fn flags(machine: &M, pfn: Pfn) -> Flags {
    machine.page(pfn).unwrap().flags()
}

fn count(machine: &M, pfn: Pfn) -> u32 {
    machine.page(pfn).unwrap().count()
}

fn counter(machine: &M, name: &str) -> i64 {
    machine.vmstat(None).unwrap().into_iter().find(|&(counter, _)| counter == name).unwrap().1
}

/// The number of such calls since the calls were last taken.
fn calls(machine: &M, wanted: impl Fn(&Call) -> bool) -> usize {
    machine.take_calls().iter().filter(|call| wanted(&call.call)).count()
}

#[track_caller]
fn end(machine: &M, spaces: &[&Space]) {
    spaces.iter().for_each(|space| machine.exit(space));
    machine.lru_drain_all();
    assert_eq!(used(machine), 0);
    assert_clean_with(machine, &Ledger::default());
}

/// The area at the same address in a child of fork.
fn of_child(child: &Space, area: &Area) -> Arc<Area> {
    child.find(area.address(0)).unwrap().0
}

#[test]
fn a_pin_is_one_reference_and_fork_shares_the_page() {
    for (kernel, references, shared) in [("4.8", 1, true), ("6.1", PIN, false)] {
        let machine = on(kernel);
        let (space, area) = written(&machine, 1);
        let pfn = machine.pin(&area, 0, PinKind::Pin, true).unwrap();
        assert_eq!(count(&machine, pfn), 1 + references, "{kernel}");
        let ledger = Ledger::default();
        ledger.add(pfn, Handle::Pin);
        assert_clean_with(&machine, &ledger);
        let child = machine.fork(&space).unwrap();
        let theirs = of_child(&child, &area);
        assert_eq!(machine.page_at(&theirs, 0) == Some(pfn), shared, "{kernel}");
        // A store after the fork goes to another page than the device's.
        machine.write_word(&area, 0, 0, 9).unwrap();
        assert_eq!(machine.page_at(&area, 0) == Some(pfn), !shared, "{kernel}");
        assert_clean_with(&machine, &ledger);
        machine.let_go(&ledger, pfn, Handle::Pin);
        end(&machine, &[&child, &space]);
    }
}

#[test]
fn a_pin_by_frame_number_is_one_reference_too() {
    let machine = on("4.5");
    let (space, area) = written(&machine, 1);
    let (pfn, ledger) = (machine.page_at(&area, 0).unwrap(), Ledger::default());
    machine.hold_pin(&ledger, pfn).unwrap();
    assert_eq!(count(&machine, pfn), 2);
    assert_clean_with(&machine, &ledger);
    machine.let_go(&ledger, pfn, Handle::Pin);
    assert_eq!(count(&machine, pfn), 1);
    end(&machine, &[&space]);
}

#[test]
fn a_pinned_page_is_unmapped_by_pageout_and_stays_in_the_swap_cache() {
    for (kernel, unmapped) in [("4.8", true), ("6.12", false)] {
        let machine = on(kernel);
        machine.swapon(8).unwrap();
        let (space, area) = written(&machine, 1);
        let pfn = machine.pin(&area, 0, PinKind::Pin, true).unwrap();
        machine.madvise(&space, &area, 0..1, Advice::Pageout).unwrap();
        machine.lru_drain_all();
        assert_eq!(machine.page_at(&area, 0).is_none(), unmapped, "{kernel}");
        assert_eq!(flags(&machine, pfn).contains(Flags::SWAPCACHE), unmapped, "{kernel}");
        // A store finds the page in the swap cache, so the device and the process still use the
        // same page.
        machine.write_word(&area, 0, 0, 5).unwrap();
        assert_eq!((machine.page_at(&area, 0), machine.read_word(&area, 0, 0).unwrap()), (Some(pfn), 5));
        machine.unpin(pfn, PinKind::Pin);
        end(&machine, &[&space]);
    }
}

#[test]
fn a_lasting_pin_leaves_a_page_on_a_node_for_movable_pages() {
    for (kernel, node) in [("4.5", 1), ("4.8", 1), ("6.1", 0)] {
        let mut config = Config::new(2, 64);
        config.profile = Profile::preset(kernel).unwrap();
        config.movable = vec![1];
        let machine = M::new(&config).unwrap();
        let space = machine.address_space().unwrap();
        let area = machine.mmap(&space, 1).unwrap();
        machine.prefer(&area, 1).unwrap();
        machine.write_word(&area, 0, 0, 1).unwrap();
        machine.lru_drain_all();
        let pfn = machine.pin_longterm(&area, 0, true).unwrap();
        assert_eq!(machine.node_of(pfn), node, "{kernel}");
        machine.unpin(pfn, PinKind::Pin);
        end(&machine, &[&space]);
    }
}

#[test]
fn mappings_alone_decide_whether_a_store_reuses_a_page() {
    for (kernel, kept) in [("4.8", true), ("6.1", false)] {
        let machine = on(kernel);
        let (space, area) = written(&machine, 1);
        let pfn = machine.page_at(&area, 0).unwrap();
        assert_eq!(flags(&machine, pfn).contains(Flags::ANON_EXCLUSIVE), !kept, "{kernel}");
        let child = machine.fork(&space).unwrap();
        let held = machine.get_page_at(&area, 0).unwrap();
        machine.exit(&child);
        // No other entry maps the page, but there is another reference on it.
        machine.write_word(&area, 0, 0, 2).unwrap();
        assert_eq!(machine.page_at(&area, 0) == Some(pfn), kept, "{kernel}");
        machine.put(held);
        // While another entry maps the page, a store copies it in every kernel.
        let (child, before) = (machine.fork(&space).unwrap(), machine.page_at(&area, 0));
        machine.write_word(&area, 0, 0, 3).unwrap();
        assert_ne!(machine.page_at(&area, 0), before);
        assert_eq!(machine.read_word(&of_child(&child, &area), 0, 0).unwrap(), 2);
        end(&machine, &[&child, &space]);
    }
}

#[test]
fn a_swap_entry_counts_as_a_mapping_of_its_page() {
    let machine = on("4.8");
    machine.swapon(8).unwrap();
    let (space, area) = written(&machine, 1);
    let child = machine.fork(&space).unwrap();
    let theirs = of_child(&child, &area);
    machine.madvise(&space, &area, 0..1, Advice::Dontneed).unwrap();
    machine.write_word(&area, 0, 0, 8).unwrap();
    let again = machine.fork(&space).unwrap();
    let third = of_child(&again, &area);
    // Every process of the lineage has the page in swap, and one process reads it back.
    machine.lru_drain_all();
    let pfn = machine.page_at(&area, 0).unwrap();
    machine.exit(&again);
    machine.madvise(&space, &area, 0..1, Advice::Pageout).unwrap();
    assert_eq!(machine.page_at(&area, 0), None, "page {pfn} is in swap");
    let last = machine.fork(&space).unwrap();
    assert_eq!(machine.read_word(&area, 0, 0).unwrap(), 8);
    let shared = machine.page_at(&area, 0).unwrap();
    machine.write_word(&area, 0, 0, 9).unwrap();
    assert_ne!(machine.page_at(&area, 0), Some(shared), "another process's entry of swap leads to it");
    assert_eq!(machine.read_word(&of_child(&last, &area), 0, 0).unwrap(), 8);
    assert_eq!(machine.read_word(&theirs, 0, 0).unwrap(), 1);
    drop(third);
    end(&machine, &[&last, &child, &space]);
}

#[test]
fn a_store_reuses_a_page_from_swap_that_one_entry_names() {
    let machine = on("4.8");
    machine.swapon(8).unwrap();
    let (space, area) = written(&machine, 2);
    machine.madvise(&space, &area, 0..2, Advice::Pageout).unwrap();
    assert_eq!(machine.read_word(&area, 0, 0).unwrap(), 1);
    let pfn = machine.page_at(&area, 0).unwrap();
    // The page was read into the swap cache, and stays there until the first store.
    assert!(flags(&machine, pfn).contains(Flags::SWAPCACHE));
    machine.write_word(&area, 0, 0, 4).unwrap();
    assert_eq!(machine.page_at(&area, 0), Some(pfn));
    assert!(!flags(&machine, pfn).contains(Flags::SWAPCACHE));
    machine.write_word(&area, 1, 0, 6).unwrap();
    assert_eq!([0, 1].map(|page| machine.read_word(&area, page, 0).unwrap()), [4, 6]);
    assert_eq!(machine.swap_use().free, 8);
    end(&machine, &[&space]);
}

#[test]
fn a_load_from_swap_leaves_its_page_in_the_swap_cache() {
    for (kernel, cached) in [("4.5", true), ("4.8", true), ("6.1", false)] {
        let machine = on(kernel);
        machine.swapon(8).unwrap();
        let (space, area) = written(&machine, 1);
        machine.madvise(&space, &area, 0..1, Advice::Pageout).unwrap();
        machine.read_word(&area, 0, 0).unwrap();
        let pfn = machine.page_at(&area, 0).unwrap();
        assert_eq!(flags(&machine, pfn).contains(Flags::SWAPCACHE), cached, "{kernel}");
        end(&machine, &[&space]);
    }
}

#[test]
fn anonymous_pages_begin_active_and_come_back_active() {
    for (kernel, active) in [("4.5", 2), ("4.8", 2), ("6.1", 0)] {
        let machine = on(kernel);
        machine.swapon(8).unwrap();
        let (space, area) = written(&machine, 2);
        assert_eq!(counter(&machine, "nr_active_anon"), active, "{kernel}");
        assert_eq!(counter(&machine, "nr_inactive_anon"), 2 - active, "{kernel}");
        machine.madvise(&space, &area, 0..2, Advice::Pageout).unwrap();
        machine.read_word(&area, 0, 0).unwrap();
        machine.lru_drain_all();
        let pfn = machine.page_at(&area, 0).unwrap();
        if active > 0 {
            assert!(flags(&machine, pfn).contains(Flags::ACTIVE));
            assert_eq!(counter(&machine, "workingset_refault_anon"), 0);
        } else {
            assert_eq!(counter(&machine, "workingset_refault_anon"), 1);
        }
        end(&machine, &[&space]);
    }
}

#[test]
fn one_use_is_enough_for_an_anonymous_page_to_stay() {
    for (kernel, active) in [("4.8", 4), ("6.1", 0)] {
        let machine = on(kernel);
        machine.swapon(8).unwrap();
        let (space, area) = written(&machine, 4);
        machine.madvise(&space, &area, 0..4, Advice::Cold).unwrap();
        machine.lru_drain_all();
        assert_eq!(counter(&machine, "nr_inactive_anon"), 4);
        assert!((0..4).all(|page| machine.read_word(&area, page, 0).is_ok()));
        let before = counter(&machine, "pgactivate");
        machine.reclaim(0, 1).unwrap();
        assert_eq!(counter(&machine, "pgactivate") - before, active, "{kernel}");
        end(&machine, &[&space]);
    }
}

#[test]
fn no_flag_remembers_that_a_page_was_active() {
    for (kernel, marked) in [("4.8", false), ("6.1", true)] {
        let machine = on(kernel);
        let (space, area) = written(&machine, 1);
        let pfn = machine.page_at(&area, 0).unwrap();
        (0..2).for_each(|_| machine.mark_page_accessed(pfn));
        machine.lru_drain_all();
        assert!(flags(&machine, pfn).contains(Flags::ACTIVE));
        machine.madvise(&space, &area, 0..1, Advice::Cold).unwrap();
        machine.lru_drain_all();
        assert!(!flags(&machine, pfn).contains(Flags::ACTIVE));
        assert_eq!(flags(&machine, pfn).contains(Flags::WORKINGSET), marked, "{kernel}");
        end(&machine, &[&space]);
    }
}

#[test]
fn madv_free_frees_at_once_without_free_swap() {
    for (kernel, slots, at_once) in [("4.8", 0, true), ("4.8", 8, false), ("6.1", 0, false)] {
        let machine = on(kernel);
        if slots > 0 {
            machine.swapon(slots).unwrap();
        }
        let (space, area) = written(&machine, 2);
        machine.madvise(&space, &area, 0..2, Advice::Free).unwrap();
        assert_eq!(machine.page_at(&area, 0).is_none(), at_once, "{kernel} with {slots} slots");
        machine.lru_drain_all();
        assert_eq!(counter(&machine, "pglazyfree"), if at_once { 0 } else { 2 });
        end(&machine, &[&space]);
    }
}

#[test]
fn mlock_drains_the_batches_of_all_cpus() {
    for (kernel, drained) in [("4.5", true), ("4.8", true), ("6.1", false)] {
        let machine = on(kernel);
        let (space, area) = written(&machine, 1);
        let other = machine.mmap(&space, 1).unwrap();
        machine.bind_cpu(Some(1));
        machine.write_word(&other, 0, 0, 1).unwrap();
        machine.bind_cpu(Some(0));
        machine.mlock(&space, &area, 0..1).unwrap();
        let waits = machine.page_at(&other, 0).unwrap();
        assert_eq!(flags(&machine, waits).contains(Flags::LRU), drained, "{kernel}");
        machine.munlock(&space, &area, 0..1).unwrap();
        end(&machine, &[&space]);
    }
}

#[test]
fn a_failure_that_an_old_kernel_forgets_is_not_listed_among_the_poisoned_frames() {
    for (kernel, poisoned) in [("4.5", false), ("4.8", false), ("6.1", true)] {
        let machine = on(kernel);
        let space = machine.address_space().unwrap();
        let area = machine.mmap_large(&space, 4, 2).unwrap();
        machine.write_word(&area, 0, 0, 1).unwrap();
        machine.lru_drain_all();
        // The other holder keeps the large page from being split.
        let pfn = machine.pin(&area, 0, PinKind::Get, false).unwrap();
        let struck = machine.strike(1.0, 0, Injection::Hwpoison);
        let parts = |pfn: &&Pfn| (0..4).any(|page| machine.page_at(&area, page) == Some(**pfn));
        assert_eq!(struck.poisoned.iter().filter(parts).count(), if poisoned { 4 } else { 0 }, "{kernel}");
        let flagged = |&pfn: &Pfn| flags(&machine, pfn).contains(Flags::HWPOISON);
        assert!(struck.poisoned.iter().all(flagged), "{kernel}");
        assert_eq!(struck.poisoned.len() + struck.refused as usize, 128, "{kernel}");
        machine.unpin(pfn, PinKind::Get);
        machine.exit(&space);
    }
}

#[test]
fn a_large_page_waits_in_a_batch() {
    for (kernel, waits) in [("4.5", true), ("4.8", false), ("6.1", false)] {
        let machine = on(kernel);
        let space = machine.address_space().unwrap();
        let area = machine.mmap_large(&space, 4, 2).unwrap();
        machine.write_word(&area, 0, 0, 1).unwrap();
        let pfn = machine.page_at(&area, 0).unwrap();
        assert_eq!(flags(&machine, pfn).contains(Flags::LRU), !waits, "{kernel}");
        end(&machine, &[&space]);
    }
}

#[test]
fn a_strict_mbind_that_moves_nothing_ignores_misplaced_pages() {
    for (kernel, result) in [("4.5", Ok(())), ("4.8", Ok(())), ("6.1", Err(Errno::EIO))] {
        let machine = on(kernel);
        let (space, area) = written(&machine, 1);
        let strict = MbindFlags { strict: true, ..MbindFlags::default() };
        let bound = machine.mbind(&space, &area, 0..1, Policy::Bind(1), strict);
        assert_eq!(bound.map_err(|error| error.errno), result, "{kernel}");
        end(&machine, &[&space]);
    }
}

#[test]
fn soft_offline_of_a_page_that_cannot_move_fails_with_eio() {
    for (kernel, errno) in [("4.5", Errno::EIO), ("4.8", Errno::EIO), ("6.1", Errno::EBUSY)] {
        let machine = on(kernel);
        let (space, area) = written(&machine, 1);
        let held = machine.get_page_at(&area, 0).unwrap();
        assert_eq!(machine.soft_offline_page(held).unwrap_err().errno, errno, "{kernel}");
        machine.put(held);
        machine.lru_drain_all();
        machine.exit(&space);
    }
}

#[test]
fn a_page_that_memory_failure_cannot_handle_is_looked_at_twice() {
    for (kernel, shaken) in [("4.5", 1), ("4.8", 1), ("6.1", 3)] {
        let machine = on(kernel);
        // The page is on no list, and is no driver's movable page.
        let pfn = machine.alloc_pages(0, 0).unwrap();
        machine.take_calls();
        assert_eq!(machine.soft_offline_page(pfn).unwrap_err().errno, Errno::EIO);
        assert_eq!(calls(&machine, |call| matches!(call, Call::ShakePage)), shaken, "{kernel}");
        machine.put(pfn);
    }
}

#[test]
fn unpoisoning_a_good_page_is_no_error() {
    for (kernel, result) in [("4.5", Ok(())), ("4.8", Ok(())), ("6.1", Err(Errno::EBUSY))] {
        let machine = on(kernel);
        let (space, area) = written(&machine, 1);
        let pfn = machine.page_at(&area, 0).unwrap();
        let asked = machine.unpoison_memory(pfn).map_err(|error| error.errno);
        assert_eq!(asked, result, "{kernel}");
        assert_eq!((machine.page_at(&area, 0), machine.num_poisoned_pages()), (Some(pfn), 0));
        end(&machine, &[&space]);
    }
}

#[test]
fn a_free_frame_that_failed_stays_on_its_list_and_is_not_handed_out() {
    for (kernel, verdict, free) in
        [("4.5", Verdict::Delayed, 64), ("4.8", Verdict::Delayed, 64), ("6.1", Verdict::Recovered, 63)]
    {
        let machine = on(kernel);
        let bad = Pfn(5);
        let handled = machine.memory_failure(bad, None);
        assert_eq!((handled.verdict, handled.result.is_ok()), (verdict, true), "{kernel}");
        assert_eq!((machine.free_frames(0).0, machine.num_poisoned_pages()), (free, 1), "{kernel}");
        assert_clean_with(&machine, &Ledger::default());
        let taken: Vec<Pfn> = std::iter::from_fn(|| machine.alloc_pages(0, 0).ok()).collect();
        assert!(taken.len() == 63 && !taken.contains(&bad), "{kernel}");
        taken.into_iter().for_each(|pfn| machine.put(pfn));
        machine.unpoison_memory(bad).unwrap();
        assert_eq!((used(&machine), machine.num_poisoned_pages()), (0, 0), "{kernel}");
        assert_clean_with(&machine, &Ledger::default());
    }
}

#[test]
fn a_lost_page_of_a_memory_file_leaves_it() {
    for (kernel, verdict) in
        [("4.5", Verdict::Recovered), ("4.8", Verdict::Recovered), ("6.1", Verdict::Failed)]
    {
        let machine = on(kernel);
        let space = machine.address_space().unwrap();
        let file = machine.file(FileKind::Tmpfs, 1).unwrap();
        let map = FileMap { file: Arc::clone(&file), first: 0, private: false, random: false };
        let area = machine.mmap_file(&space, map, 1).unwrap();
        machine.write_word(&area, 0, 0, 7).unwrap();
        machine.lru_drain_all();
        let pfn = machine.page_at(&area, 0).unwrap();
        let handled = machine.memory_failure(pfn, None);
        let stays = verdict != Verdict::Recovered;
        assert_eq!(file.cached_page(0) == Some(pfn), stays, "{kernel}: {}", handled.verdict);
        let mut word = [1; 8];
        let read = machine.file_read(&file, 0, &mut word, 0).map_err(|error| error.errno);
        match stays {
            true => assert_eq!(read, Err(Errno::EIO), "{kernel}"),
            false => assert_eq!((read, word, handled.verdict), (Ok(()), [0; 8], verdict), "{kernel}"),
        }
        assert_clean_with(&machine, &Ledger::default());
    }
}

#[test]
fn a_fault_leaves_a_bad_page_in_its_file() {
    for (kernel, read) in [("4.5", Err(Errno::EHWPOISON)), ("4.8", Err(Errno::EHWPOISON)), ("6.1", Ok(0))] {
        let machine = on(kernel);
        let space = machine.address_space().unwrap();
        let file = machine.file(FileKind::Disk, 1).unwrap();
        let map = FileMap { file: Arc::clone(&file), first: 0, private: false, random: false };
        let area = machine.mmap_file(&space, map, 1).unwrap();
        machine.file_read(&file, 0, &mut [0; 8], 0).unwrap();
        machine.lru_drain_all();
        let (pfn, ledger) = (file.cached_page(0).unwrap(), Ledger::default());
        // An isolated page is of no kind that can be handled, so the failure flags it and leaves it
        // in its file.
        machine.hold_isolated(&ledger, pfn).unwrap();
        assert!(machine.memory_failure(pfn, None).result.is_err());
        machine.let_go(&ledger, pfn, Handle::Isolated);
        machine.lru_drain_all();
        assert_eq!(machine.read_word(&area, 0, 0).map_err(|error| error.errno), read, "{kernel}");
    }
}
