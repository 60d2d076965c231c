//! Memory failure, rule by rule: the result for each kind of page, the references that are left,
//! and unpoison.

use mmcore::audit::Ledger;
use mmcore::error::Errno;
use mmcore::failure::{Code, Injection, Signal, Verdict};
use mmcore::machine::{Config, Machine};
use mmcore::map::{AddressSpace, Area, Entry, FileKind, FileMap, PinKind};
use mmcore::page::{Flags, Pfn};
use mmcore::release::Split;
use std::sync::Arc;

struct Bench {
    machine: Machine<Split>,
    space: Arc<AddressSpace>,
}

impl Bench {
    fn new(kernel: &str) -> Bench {
        let mut config = Config::new(2, 64);
        config.profile = mmcore::profile::Profile::preset(kernel).unwrap();
        let machine = Machine::new(&config).unwrap();
        let space = machine.address_space().unwrap();
        Bench { machine, space }
    }

    /// Maps anonymous memory, writes it and drains, so that its pages are on their lists.
    fn anon(&self, pages: u32) -> Arc<Area> {
        let area = self.machine.mmap(&self.space, pages).unwrap();
        self.write(&area);
        area
    }

    fn file(&self, kind: FileKind, pages: u32) -> Arc<Area> {
        let file = self.machine.file(kind, pages).unwrap();
        let map = FileMap { file, first: 0, private: false, random: false };
        self.machine.mmap_file(&self.space, map, pages).unwrap()
    }

    fn write(&self, area: &Area) {
        for index in 0..area.pages() {
            self.machine.write_word(area, index, 0, 7).unwrap();
        }
        self.machine.lru_drain_all();
    }

    fn pfn(&self, area: &Area, index: u32) -> Pfn {
        self.machine.page_at(area, index).expect("mapped")
    }

    fn flags(&self, pfn: Pfn) -> Flags {
        self.machine.page(pfn).unwrap().flags()
    }

    fn count(&self, pfn: Pfn) -> u32 {
        self.machine.page(pfn).unwrap().count()
    }

    #[track_caller]
    fn clean(&self, poisoned: i64) {
        let findings = self.machine.audit(&Ledger::default());
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(self.machine.num_poisoned_pages(), poisoned);
    }
}

#[test]
fn soft_offline_moves_the_content_and_keeps_the_frame() {
    let bench = Bench::new("6.12");
    let area = bench.anon(1);
    let old = bench.pfn(&area, 0);
    bench.machine.soft_offline_page(old).unwrap();
    let new = bench.pfn(&area, 0);
    assert_ne!(new, old);
    assert_eq!(bench.machine.read_word(&area, 0, 0), Ok(7));
    assert!(bench.flags(old).contains(Flags::HWPOISON) && !bench.flags(new).contains(Flags::HWPOISON));
    assert_eq!(bench.count(old), 1, "poison's own");
    bench.clean(1);
    // A second call finds the work done and succeeds.
    bench.machine.soft_offline_page(old).unwrap();
    bench.clean(1);
    bench.machine.unpoison_memory(old).unwrap();
    assert_eq!((bench.count(old), bench.flags(old).contains(Flags::HWPOISON)), (0, false));
    bench.clean(0);
}

#[test]
fn a_failed_soft_offline_changes_nothing() {
    let bench = Bench::new("6.12");
    let area = bench.anon(1);
    let pfn = bench.machine.pin(&area, 0, PinKind::Get, false).unwrap();
    let error = bench.machine.soft_offline_page(pfn).unwrap_err();
    assert_eq!(error.errno, Errno::EBUSY);
    assert_eq!(bench.pfn(&area, 0), pfn);
    assert_eq!(bench.machine.num_poisoned_pages(), 0);
    assert!(!bench.flags(pfn).contains(Flags::HWPOISON));
    bench.machine.lru_drain_all();
    assert_eq!(bench.count(pfn), 2, "the entry's and the pin's");
    bench.machine.unpin(pfn, PinKind::Get);
    bench.clean(0);
    bench.machine.soft_offline_page(pfn).unwrap();
    bench.clean(1);
}

#[test]
fn a_page_in_a_batch_is_brought_out_first() {
    let bench = Bench::new("6.12");
    let area = bench.machine.mmap(&bench.space, 1).unwrap();
    bench.machine.write_word(&area, 0, 0, 7).unwrap();
    let pfn = bench.pfn(&area, 0);
    assert!(!bench.flags(pfn).contains(Flags::LRU));
    bench.machine.soft_offline_page(pfn).unwrap();
    bench.clean(1);
}

#[test]
fn a_free_frame_is_taken_out_of_its_block_and_given_back() {
    let bench = Bench::new("6.12");
    let area = bench.anon(1);
    let pfn = bench.pfn(&area, 0);
    bench.machine.munmap(&bench.space, &area, 0..1).unwrap();
    let (buddy, arrays) = bench.machine.free_frames(0);
    assert_eq!(buddy + arrays, 64);
    bench.machine.soft_offline_page(pfn).unwrap();
    bench.clean(1);
    let (buddy, arrays) = bench.machine.free_frames(0);
    assert_eq!(buddy + arrays, 63, "one frame less, not one block");
    // No allocation gives out the bad frame.
    let all: Vec<Pfn> = (0..63).map(|_| bench.machine.alloc_pages(0, 0).unwrap()).collect();
    assert!(!all.contains(&pfn));
    assert!(bench.machine.alloc_pages(0, 0).is_err());
    bench.machine.put_all(&all);
    bench.machine.unpoison_memory(pfn).unwrap();
    bench.clean(0);
    let (buddy, arrays) = bench.machine.free_frames(0);
    assert_eq!(buddy + arrays, 64);
}

#[test]
fn a_frame_that_was_never_used_can_fail() {
    let bench = Bench::new("6.12");
    let handled = bench.machine.memory_failure(Pfn(63), None);
    assert_eq!((handled.verdict, handled.result), (Verdict::Recovered, Ok(())));
    bench.clean(1);
    bench.machine.unpoison_memory(Pfn(63)).unwrap();
    bench.clean(0);
}

#[test]
fn a_clean_cached_page_is_dropped_and_read_again() {
    let bench = Bench::new("6.12");
    let area = bench.file(FileKind::Disk, 1);
    bench.machine.read_word(&area, 0, 0).unwrap();
    bench.machine.lru_drain_all();
    let pfn = bench.pfn(&area, 0);
    bench.machine.madvise(&bench.space, &area, 0..1, mmcore::map::Advice::Dontneed).unwrap();
    bench.machine.soft_offline_page(pfn).unwrap();
    assert_eq!(area.file().unwrap().file.cached(), 0);
    bench.clean(1);
    assert_eq!(bench.machine.read_word(&area, 0, 0), Ok(0));
}

#[test]
fn hard_failure_leaves_poisoned_entries_in_every_process() {
    let bench = Bench::new("6.12");
    let area = bench.anon(1);
    let child = bench.machine.fork(&bench.space).unwrap();
    let pfn = bench.pfn(&area, 0);
    let handled = bench.machine.memory_failure(pfn, None);
    assert_eq!((handled.verdict, &handled.signals[..]), (Verdict::Recovered, &[][..]));
    for area in [&area, &child.areas.read()[0]] {
        assert_eq!(area.look(0).entry(), Entry::Hwpoison { pfn });
        let error = bench.machine.read_word(area, 0, 0).unwrap_err();
        assert_eq!((error.errno, error.pfn), (Errno::EHWPOISON, Some(pfn)));
    }
    assert_eq!(bench.count(pfn), 1);
    bench.clean(1);
    let again = bench.machine.memory_failure(pfn, None);
    assert_eq!(again.verdict, Verdict::AlreadyPoisoned);
    assert_eq!(again.result.unwrap_err().errno, Errno::EHWPOISON);
    // The entries stay poisoned until they are dropped; then a fault maps a new page.
    bench.machine.unpoison_memory(pfn).unwrap();
    bench.clean(0);
    assert_eq!(bench.machine.read_word(&area, 0, 0).unwrap_err().errno, Errno::EHWPOISON);
    bench.machine.madvise(&bench.space, &area, 0..1, mmcore::map::Advice::Dontneed).unwrap();
    assert_eq!(bench.machine.read_word(&area, 0, 0), Ok(0));
}

#[test]
fn a_process_that_accesses_a_poisoned_page_again_gets_a_signal_in_later_kernels() {
    for (kernel, errno) in [("4.8", None), ("6.1", Some(Errno::EHWPOISON)), ("6.12", Some(Errno::EHWPOISON))]
    {
        let bench = Bench::new(kernel);
        let area = bench.anon(1);
        let stranger = bench.machine.address_space().unwrap();
        let pfn = bench.pfn(&area, 0);
        bench.machine.memory_failure(pfn, None).result.unwrap();
        let fail_again = |current: Option<&AddressSpace>| {
            let again = bench.machine.memory_failure(pfn, current);
            let addresses: Vec<u64> = again.signals.iter().map(|signal| signal.address).collect();
            (again.result.err().map(|error| error.errno), addresses)
        };
        assert_eq!(fail_again(None), (errno, vec![]), "{kernel}");
        let has = if errno.is_some() { vec![area.address(0)] } else { vec![] };
        assert_eq!(fail_again(Some(&bench.space)), (errno, has), "{kernel}");
        // A process that does not map the page any more can try its access again.
        assert_eq!(fail_again(Some(&stranger)), (None, vec![]), "{kernel}");
        let soft = bench.machine.soft_offline_page(pfn).err().map(|error| error.errno);
        assert_eq!(soft, (kernel == "4.8").then_some(Errno::EBUSY), "{kernel}");
        bench.machine.unpoison_memory(pfn).unwrap();
        bench.clean(0);
    }
}

#[test]
fn a_process_with_early_kill_gets_its_signal_at_once_if_data_was_lost() {
    let bench = Bench::new("6.12");
    let area = bench.anon(2);
    let child = bench.machine.fork(&bench.space).unwrap();
    bench.machine.set_early_kill(&bench.space, true);
    let signal =
        |space: &AddressSpace, index, code| Signal { space: space.id, address: area.address(index), code };
    let handled = bench.machine.memory_failure(bench.pfn(&area, 0), None);
    assert_eq!(handled.signals, [signal(&bench.space, 0, Code::ActionOptional)]);
    // The process whose access has met the failure is always signalled, with "action required".
    let handled = bench.machine.memory_failure(bench.pfn(&area, 1), Some(&child));
    let both = [signal(&bench.space, 1, Code::ActionOptional), signal(&child, 1, Code::ActionRequired)];
    assert_eq!(handled.signals, both);
    bench.clean(2);
}

#[test]
fn early_kill_is_inherited() {
    let bench = Bench::new("6.12");
    bench.machine.set_early_kill(&bench.space, true);
    let child = bench.machine.fork(&bench.space).unwrap();
    assert!(bench.machine.early_kill(&child));
    bench.machine.exit(&child);
    assert!(!bench.machine.early_kill(&child));
}

#[test]
fn a_pinned_page_is_recovered_and_keeps_its_pins() {
    let bench = Bench::new("6.12");
    let area = bench.anon(1);
    let pfn = bench.machine.pin(&area, 0, PinKind::Pin, true).unwrap();
    let handled = bench.machine.memory_failure(pfn, None);
    assert_eq!(handled.verdict, Verdict::Recovered);
    assert_eq!(bench.count(pfn), 1025);
    assert_eq!(bench.machine.unpoison_memory(pfn).unwrap_err().errno, Errno::EBUSY);
    bench.machine.unpin(pfn, PinKind::Pin);
    bench.clean(1);
    bench.machine.unpoison_memory(pfn).unwrap();
    bench.clean(0);
}

#[test]
fn the_loss_of_dirty_file_data_is_told_once() {
    let bench = Bench::new("6.12");
    let area = bench.file(FileKind::Disk, 2);
    let file = Arc::clone(&area.file().unwrap().file);
    bench.write(&area);
    bench.machine.sync_file(&file, 0..2).unwrap();
    bench.machine.write_word(&area, 1, 0, 8).unwrap();
    // The page is clean, so no data is lost, and the mapping is only removed.
    let clean = bench.machine.memory_failure(bench.pfn(&area, 0), None);
    assert_eq!((clean.verdict, area.look(0).entry()), (Verdict::Recovered, Entry::None));
    assert_eq!(bench.machine.read_word(&area, 0, 0), Ok(7));
    assert!(bench.machine.sync_file(&file, 0..2).is_ok());
    bench.machine.write_word(&area, 1, 0, 9).unwrap();
    let dirty = bench.machine.memory_failure(bench.pfn(&area, 1), None);
    assert_eq!(dirty.verdict, Verdict::Recovered);
    assert_eq!(bench.machine.read_word(&area, 1, 0).unwrap_err().errno, Errno::EHWPOISON);
    assert_eq!(bench.machine.sync_file(&file, 0..2).unwrap_err().errno, Errno::EIO);
    assert_eq!(bench.machine.sync_file(&file, 0..2), Ok(0));
    // The disk holds the content of the last successful write.
    let mut bytes = [0; 8];
    bench.machine.file_read(&file, 4096, &mut bytes, 0).unwrap();
    assert_eq!(u64::from_le_bytes(bytes), 8);
    bench.clean(2);
}

#[test]
fn a_memory_file_keeps_its_lost_page_for_all_to_see() {
    let bench = Bench::new("6.12");
    let area = bench.file(FileKind::Tmpfs, 1);
    let file = Arc::clone(&area.file().unwrap().file);
    bench.write(&area);
    let pfn = bench.pfn(&area, 0);
    assert_eq!(bench.machine.memory_failure(pfn, None).verdict, Verdict::Recovered);
    assert_eq!((bench.count(pfn), file.cached_page(0)), (2, Some(pfn)));
    bench.machine.madvise(&bench.space, &area, 0..1, mmcore::map::Advice::Dontneed).unwrap();
    assert_eq!(bench.machine.read_word(&area, 0, 0).unwrap_err().errno, Errno::EHWPOISON);
    assert_eq!(bench.machine.file_read(&file, 0, &mut [0; 8], 0).unwrap_err().errno, Errno::EIO);
    assert_eq!(bench.machine.file_write(&file, 0, &[1; 8], 0).unwrap_err().errno, Errno::EIO);
    assert_eq!(bench.machine.unpoison_memory(pfn).unwrap_err().errno, Errno::EBUSY);
    bench.clean(1);
    // The truncation drops the file's reference on the frame.
    bench.machine.truncate_file(&file, 0).unwrap();
    bench.machine.unpoison_memory(pfn).unwrap();
    bench.clean(0);
}

#[test]
fn a_page_without_mapping_and_file_is_flagged_and_refused_when_it_is_freed() {
    let bench = Bench::new("6.12");
    let pfn = bench.machine.alloc_pages(0, 0).unwrap();
    assert_eq!(bench.machine.soft_offline_page(pfn).unwrap_err().errno, Errno::EIO);
    let handled = bench.machine.memory_failure(pfn, None);
    assert_eq!((handled.verdict, handled.result.unwrap_err().errno), (Verdict::Ignored, Errno::EBUSY));
    bench.machine.put(pfn);
    bench.clean(1);
    assert_eq!(bench.count(pfn), 0);
    assert!((0..63).all(|_| bench.machine.alloc_pages(0, 0).is_ok_and(|got| got != pfn)));
    bench.machine.unpoison_memory(pfn).unwrap();
    assert_eq!(bench.machine.alloc_pages(0, 0), Ok(pfn));
}

#[test]
fn one_bad_frame_does_not_cost_its_large_page() {
    let bench = Bench::new("6.12");
    let head = bench.machine.alloc_pages(0, 3).unwrap();
    assert_eq!(bench.machine.soft_offline_page(head.plus(5)).unwrap_err().errno, Errno::EIO);
    let handled = bench.machine.memory_failure(head.plus(5), None);
    assert_eq!(handled.verdict, Verdict::Ignored);
    bench.machine.put(head);
    bench.clean(1);
    let (buddy, arrays) = bench.machine.free_frames(0);
    assert_eq!(buddy + arrays, 63);
    bench.machine.unpoison_memory(head.plus(5)).unwrap();
    bench.clean(0);
    let (buddy, arrays) = bench.machine.free_frames(0);
    assert_eq!(buddy + arrays, 64);
}

#[test]
fn the_zero_page_is_counted_though_nothing_can_be_done() {
    let bench = Bench::new("6.12");
    let area = bench.machine.mmap(&bench.space, 2).unwrap();
    let inject =
        |index, what| bench.machine.inject_failure(&bench.space, &area, index..index + 1, what).result;
    assert_eq!(inject(0, Injection::SoftOffline).unwrap_err().errno, Errno::EIO);
    assert_eq!(inject(0, Injection::Hwpoison).unwrap_err().errno, Errno::EBUSY);
    bench.clean(1);
    assert_eq!(bench.machine.read_word(&area, 1, 0), Ok(0));
    assert_eq!(inject(1, Injection::Hwpoison).unwrap_err().errno, Errno::EHWPOISON);
    bench.clean(1);
}

#[test]
fn a_range_ends_at_the_first_failure() {
    let bench = Bench::new("6.12");
    let area = bench.anon(3);
    let pinned = bench.machine.pin(&area, 1, PinKind::Get, false).unwrap();
    let frames = [0, 1, 2].map(|index| bench.pfn(&area, index));
    let injected = bench.machine.inject_failure(&bench.space, &area, 0..3, Injection::SoftOffline);
    assert_eq!(injected.result.unwrap_err().errno, Errno::EBUSY);
    assert!(bench.flags(frames[0]).contains(Flags::HWPOISON));
    assert!(!bench.flags(frames[2]).contains(Flags::HWPOISON));
    bench.machine.unpin(pinned, PinKind::Get);
    bench.clean(1);
}

#[test]
fn kernels_differ_in_the_signal_for_a_page_that_a_process_poisons_itself() {
    for (kernel, told) in [("6.1", 0), ("6.12", 1)] {
        let bench = Bench::new(kernel);
        let area = bench.anon(1);
        let pfn = bench.pfn(&area, 0);
        let injected = bench.machine.inject_failure(&bench.space, &area, 0..1, Injection::Hwpoison);
        assert_eq!((injected.result, injected.signals.len()), (Ok(()), told), "{kernel}");
        assert_eq!(bench.flags(pfn).contains(Flags::ERROR), kernel == "6.1");
        bench.clean(1);
    }
}

#[test]
fn a_frame_outside_of_the_machine_is_none() {
    let bench = Bench::new("6.12");
    let beyond = Pfn(1 << 20);
    assert_eq!(bench.machine.soft_offline_page(beyond).unwrap_err().errno, Errno::ENXIO);
    assert_eq!(bench.machine.memory_failure(beyond, None).result.unwrap_err().errno, Errno::ENXIO);
    assert_eq!(bench.machine.unpoison_memory(beyond).unwrap_err().errno, Errno::ENXIO);
    bench.clean(0);
}
