//! The rules of files, one test each, on one thread. A comment names the recording that shows a rule.

use super::{Evicted, File, FileKind, FileMap};
use crate::audit::{Handle, Holder, Ledger};
use crate::error::Errno;
use crate::lru::LruList;
use crate::machine::{Config, Machine};
use crate::map::{AddressSpace, Advice, Area, Entry, PinKind, Pte};
use crate::memory::WORDS;
use crate::migrate::{Mode, MoveFlags, Reason};
use crate::page::{Flags, PAGE_SIZE, Pfn};
use crate::profile::Profile;
use crate::release::{Packed, Release, Split};
use crate::stat::{Event, NodeItem};
use std::sync::Arc;

type Space = Arc<AddressSpace>;

const PAGE: u64 = PAGE_SIZE as u64;

fn machine() -> Machine<Split> {
    Machine::new(&Config::new(2, 64)).unwrap()
}

fn map<R: Release>(machine: &Machine<R>, space: &Space, file: &Arc<File>, private: bool) -> Arc<Area> {
    let map = FileMap { file: Arc::clone(file), first: 0, private, random: true };
    machine.mmap_file(space, map, file.capacity()).unwrap()
}

/// Makes a machine with one space that maps all of a file.
fn mapped(kind: FileKind, pages: u32, private: bool) -> (Machine<Split>, Space, Arc<File>, Arc<Area>) {
    let machine = machine();
    let space = machine.address_space().unwrap();
    let file = machine.file(kind, pages).unwrap();
    if kind == FileKind::Disk {
        for page in 0..pages {
            machine.write_disk(&file, page, &[u64::from(page) + 100; WORDS]).unwrap();
        }
    }
    let area = map(&machine, &space, &file, private);
    (machine, space, file, area)
}

/// Returns flags, references and mappings of the page behind an entry.
fn state<R: Release>(machine: &Machine<R>, area: &Area, index: u32) -> (Flags, u32, u32) {
    let page = &machine.frames()[machine.page_at(area, index).unwrap()];
    (page.flags(), page.count(), page.mapcount())
}

fn count<R: Release>(machine: &Machine<R>, node: usize, item: NodeItem) -> i64 {
    machine.stats().on_node(node, item)
}

fn word<R: Release>(machine: &Machine<R>, file: &File, page: u64) -> u64 {
    let mut bytes = [0; 8];
    machine.file_read(file, page * PAGE, &mut bytes, 0).unwrap();
    u64::from_le_bytes(bytes)
}

#[track_caller]
fn clean<R: Release>(machine: &Machine<R>, ledger: &Ledger) {
    let findings = machine.audit(ledger);
    assert!(findings.is_empty(), "{findings:?}");
}

/// Exits the spaces, removes the files, and checks that every frame is free and every counter zero.
#[track_caller]
fn end<R: Release>(machine: &Machine<R>, spaces: &[&Space], files: &[&File]) {
    clean(machine, &Ledger::default());
    spaces.iter().for_each(|space| machine.exit(space));
    clean(machine, &Ledger::default());
    files.iter().for_each(|file| machine.remove_file(file));
    machine.lru_drain_all();
    clean(machine, &Ledger::default());
    for (node, of) in machine.nodes().iter().enumerate() {
        let (buddy, arrays) = machine.free_frames(node);
        assert_eq!(buddy + arrays, of.frames, "node {node}");
    }
    assert!(machine.files().is_empty());
}

const DISK: Flags = Flags::FILE.union(Flags::UPTODATE).union(Flags::MAPPEDTODISK);
const SHMEM: Flags = Flags::FILE.union(Flags::UPTODATE).union(Flags::SWAPBACKED);

#[test]
fn a_read_of_a_disk_file_reads_the_page_in_and_maps_it_without_the_right_to_write() {
    let (machine, space, file, area) = mapped(FileKind::Disk, 5, false);
    assert_eq!(machine.read_word(&area, 3, 0).unwrap(), 103);
    // Recording h08/2.
    assert_eq!(state(&machine, &area, 3), (DISK, 3, 1));
    assert!(!area.look(3).has(Pte::WRITE));
    assert_eq!(machine.stats().events(Event::Pgmajfault), 1);
    assert_eq!(machine.stats().events(Event::Pgpgin), 4);
    assert_eq!((count(&machine, 0, NodeItem::FileMapped), count(&machine, 0, NodeItem::FilePages)), (1, 1));
    machine.lru_drain_all();
    assert_eq!(state(&machine, &area, 3), (DISK | Flags::LRU, 2, 1));
    end(&machine, &[&space], &[&file]);
}

#[test]
fn a_shared_write_makes_the_page_dirty_and_gives_it_private_data() {
    let (machine, space, file, area) = mapped(FileKind::Disk, 2, false);
    machine.read_word(&area, 0, 0).unwrap();
    machine.write_word(&area, 0, 1, 7).unwrap();
    machine.write_word(&area, 1, 1, 8).unwrap();
    // Recording h08/3: `pgreuse` counts the page that was mapped. Recording g0005/1: it does not
    // count the other.
    let dirty = DISK | Flags::DIRTY | Flags::PRIVATE;
    assert_eq!(state(&machine, &area, 0), (dirty, 4, 1));
    assert_eq!(state(&machine, &area, 1), (dirty, 4, 1));
    assert_eq!(machine.stats().events(Event::Pgreuse), 1);
    assert_eq!(machine.stats().events(Event::Pgmajfault), 2);
    assert_eq!(count(&machine, 0, NodeItem::FileDirty), 2);
    let pfn = machine.page_at(&area, 0).unwrap();
    let holders = machine.holders(pfn, &Ledger::default());
    assert!(holders.contains(&Holder::Cache { file: file.owner.0, index: 0 }), "{holders:?}");
    assert!(holders.contains(&Holder::Private), "{holders:?}");
    assert_eq!(holders.iter().map(Holder::references).sum::<u32>(), 4);
    end(&machine, &[&space], &[&file]);
}

#[test]
fn memory_files_have_zeroes_and_may_be_written_as_soon_as_they_are_mapped() {
    for kind in [FileKind::Tmpfs, FileKind::Shm] {
        let (machine, space, file, area) = mapped(kind, 3, false);
        assert_eq!(machine.read_word(&area, 0, 0).unwrap(), 0);
        machine.write_word(&area, 1, 0, 5).unwrap();
        // Recordings h07/3 and h07/2.
        assert_eq!(state(&machine, &area, 0), (SHMEM, 3, 1));
        assert_eq!(state(&machine, &area, 1), (SHMEM | Flags::DIRTY, 3, 1));
        let faults = machine.stats().events(Event::Pgfault);
        machine.write_word(&area, 0, 0, 6).unwrap();
        assert_eq!(machine.stats().events(Event::Pgfault), faults);
        // Only the entry is dirty yet, not the page.
        assert_eq!(state(&machine, &area, 0), (SHMEM, 3, 1));
        assert_eq!(count(&machine, 0, NodeItem::Shmem), 2);
        assert_eq!(count(&machine, 0, NodeItem::FileDirty), 0);
        assert_eq!(machine.stats().events(Event::Pgmajfault), 0);
        machine.munmap(&space, &area, 0..1).unwrap();
        let pfn = file.slot(0).page().unwrap();
        assert!(machine.frames()[pfn].word().has(Flags::DIRTY));
        assert_eq!(word(&machine, &file, 0), 6);
        end(&machine, &[&space], &[&file]);
    }
}

#[test]
fn mappings_and_the_file_show_the_same_bytes() {
    let (machine, space, file, area) = mapped(FileKind::Disk, 2, false);
    let other = machine.address_space().unwrap();
    let theirs = map(&machine, &other, &file, false);
    machine.file_write(&file, PAGE + 16, b"by the file", 0).unwrap();
    let mut seen = [0; 11];
    machine.read_bytes(&theirs, PAGE + 16, &mut seen).unwrap();
    assert_eq!(&seen, b"by the file");
    machine.write_bytes(&area, PAGE + 16, b"by mapping!").unwrap();
    machine.file_read(&file, PAGE + 16, &mut seen, 0).unwrap();
    assert_eq!(&seen, b"by mapping!");
    assert_eq!(machine.page_at(&area, 1), machine.page_at(&theirs, 1));
    // Words that were not written hold the content of the disk.
    assert_eq!(machine.read_word(&theirs, 1, 0).unwrap(), 101);
    end(&machine, &[&space, &other], &[&file]);
}

#[test]
fn a_private_write_is_seen_by_nobody_else() {
    let (machine, space, file, area) = mapped(FileKind::Disk, 3, true);
    machine.read_word(&area, 0, 0).unwrap();
    let cached = machine.page_at(&area, 0).unwrap();
    machine.write_word(&area, 0, 0, 1).unwrap();
    machine.write_word(&area, 1, 0, 2).unwrap();
    // Recording h09/2: one page was mapped before, the other was not.
    let own = Flags::UPTODATE | Flags::SWAPBACKED | Flags::ANON | Flags::ANON_EXCLUSIVE;
    assert_eq!(state(&machine, &area, 0), (own, 2, 1));
    assert_eq!(state(&machine, &area, 1), (own, 2, 1));
    assert_eq!((count(&machine, 0, NodeItem::AnonPages), count(&machine, 0, NodeItem::FileMapped)), (2, 0));
    assert_eq!(count(&machine, 0, NodeItem::FileDirty), 0);
    assert_eq!(machine.frames()[cached].mapcount(), 0);
    assert_eq!((word(&machine, &file, 0), word(&machine, &file, 1)), (100, 101));
    assert_eq!((machine.read_word(&area, 0, 1).unwrap(), machine.read_word(&area, 0, 0).unwrap()), (100, 1));
    // A page that is not copied yet shows the stores to the file.
    machine.file_write(&file, 2 * PAGE, &9u64.to_le_bytes(), 0).unwrap();
    assert_eq!(machine.read_word(&area, 2, 0).unwrap(), 9);
    end(&machine, &[&space], &[&file]);
}

#[test]
fn fork_copies_the_entries_of_a_file_only_after_a_private_copy() {
    // Recording h38/3: no entry of a shared mapping is copied.
    let (machine, space, file, area) = mapped(FileKind::Shm, 2, false);
    machine.write_word(&area, 0, 0, 1).unwrap();
    let child = machine.fork(&space).unwrap();
    let theirs = child.find(area.address(0)).unwrap().0;
    assert_eq!(theirs.look(0).entry(), Entry::None);
    machine.write_word(&theirs, 0, 1, 2).unwrap();
    assert_eq!((state(&machine, &area, 0).2, machine.read_word(&area, 0, 1).unwrap()), (2, 2));
    end(&machine, &[&space, &child], &[&file]);

    // Recording h09/7: every entry of a private mapping that has a copy of its own is copied.
    let (machine, space, file, area) = mapped(FileKind::Disk, 3, true);
    machine.read_word(&area, 0, 0).unwrap();
    let untouched = machine.fork(&space).unwrap();
    assert_eq!(untouched.find(area.address(0)).unwrap().0.look(0).entry(), Entry::None);
    machine.write_word(&area, 1, 0, 5).unwrap();
    let child = machine.fork(&space).unwrap();
    let theirs = child.find(area.address(0)).unwrap().0;
    for index in 0..2 {
        assert_eq!(machine.page_at(&theirs, index), machine.page_at(&area, index));
        assert_eq!(state(&machine, &area, index).2, 2);
    }
    machine.write_word(&theirs, 1, 0, 6).unwrap();
    assert_eq!((machine.read_word(&area, 1, 0).unwrap(), machine.read_word(&theirs, 1, 0).unwrap()), (5, 6));
    end(&machine, &[&space, &untouched, &child], &[&file]);
}

/// Moves every page of the area to node 1.
fn move_all<R: Release>(machine: &Machine<R>, space: &Space, area: &Area, all: bool) -> Vec<Option<i32>> {
    let addresses: Vec<u64> = (0..area.pages()).map(|index| area.address(index)).collect();
    let nodes = vec![1; addresses.len()];
    machine.move_pages(space, &addresses, &nodes, MoveFlags { all }).status
}

fn moves_with_its_slot_mark_and_data<R: Release>(profile: Profile) {
    let mut config = Config::new(2, 64);
    config.profile = profile;
    let machine = Machine::<R>::new(&config).unwrap();
    let space = machine.address_space().unwrap();
    let file = machine.file(FileKind::Disk, 3).unwrap();
    let area = map(&machine, &space, &file, false);
    for index in 0..3 {
        machine.read_word(&area, index, 0).unwrap();
    }
    machine.write_word(&area, 1, 0, 11).unwrap();
    let before: Vec<Pfn> = (0..3).map(|index| machine.page_at(&area, index).unwrap()).collect();
    // Recording h08/5.
    assert_eq!(move_all(&machine, &space, &area, false), [Some(1); 3]);
    let clean_page = (DISK | Flags::LRU, 2, 1);
    let dirty = (DISK | Flags::LRU | Flags::DIRTY | Flags::PRIVATE, 3, 1);
    for index in 0..3 {
        let now = machine.page_at(&area, index).unwrap();
        assert_eq!(state(&machine, &area, index), if index == 1 { dirty } else { clean_page });
        assert_eq!((machine.node_of(now), file.slot(index).page()), (1, Some(now)));
        assert_eq!(machine.frames()[before[index as usize]].count(), 0);
    }
    for (item, pages) in [(NodeItem::FilePages, 3), (NodeItem::FileMapped, 3), (NodeItem::FileDirty, 1)] {
        assert_eq!((count(&machine, 0, item), count(&machine, 1, item)), (0, pages), "{}", item.name());
    }
    assert_eq!(machine.stats().events(Event::PgmigrateSuccess), 3);
    assert_eq!(machine.read_word(&area, 1, 0).unwrap(), 11);
    // The dirty mark has moved with the page, so the disk gets the written content.
    assert_eq!(machine.sync_file(&file, 0..3).unwrap(), 1);
    end(&machine, &[&space], &[&file]);
}

#[test]
fn a_file_page_moves_with_its_slot_its_dirty_mark_and_its_private_data() {
    for kernel in ["6.1", "6.12"] {
        moves_with_its_slot_mark_and_data::<Split>(Profile::preset(kernel).unwrap());
        let mut packed = Profile::preset(kernel).unwrap();
        packed.set("release", "packed").unwrap();
        moves_with_its_slot_mark_and_data::<Packed>(packed);
    }
}

#[test]
fn a_page_that_two_processes_map_moves_only_with_the_flag_all() {
    let (machine, space, file, area) = mapped(FileKind::Shm, 2, false);
    for index in 0..2 {
        machine.write_word(&area, index, 0, 1).unwrap();
    }
    let child = machine.fork(&space).unwrap();
    let theirs = child.find(area.address(0)).unwrap().0;
    machine.read_word(&theirs, 1, 0).unwrap();
    // Recordings h38/6 and h38/7.
    assert_eq!(move_all(&machine, &space, &area, false), [Some(1), Some(Errno::EACCES.status())]);
    assert_eq!(move_all(&machine, &space, &area, true), [Some(1), Some(1)]);
    assert_eq!(machine.page_at(&area, 1), machine.page_at(&theirs, 1));
    assert_eq!(machine.node_of(machine.page_at(&theirs, 1).unwrap()), 1);
    end(&machine, &[&space, &child], &[&file]);
}

#[test]
fn an_unexpected_reference_keeps_a_file_page_where_it_is() {
    let (machine, space, file, area) = mapped(FileKind::Disk, 2, false);
    machine.write_word(&area, 0, 0, 1).unwrap();
    machine.lru_drain_all();
    let before = (machine.page_at(&area, 0), state(&machine, &area, 0));
    let pfn = machine.pin(&area, 0, PinKind::Get, false).unwrap();
    let ledger = Ledger::default();
    ledger.add(pfn, Handle::Ref);
    move_all(&machine, &space, &area, false);
    assert_eq!(machine.page_at(&area, 0), before.0);
    assert_eq!(machine.stats().events(Event::PgmigrateFail), 1);
    clean(&machine, &ledger);
    machine.unpin(pfn, PinKind::Get);
    machine.lru_drain_all();
    let (flags, references, mappings) = state(&machine, &area, 0);
    assert_eq!((flags - Flags::REFERENCED, references, mappings), before.1);
    end(&machine, &[&space], &[&file]);
}

#[test]
fn a_page_under_writeback_moves_only_when_the_migration_may_wait() {
    for mode in [Mode::Async, Mode::SyncLight] {
        let (machine, space, file, area) = mapped(FileKind::Disk, 1, false);
        machine.write_word(&area, 0, 0, 77).unwrap();
        machine.lru_drain_all();
        let write = machine.begin_writeback(&file, 0).unwrap().expect("it is dirty");
        let ledger = Ledger::default();
        ledger.add(write.pfn, Handle::Writeback);
        clean(&machine, &ledger);
        machine.isolate(write.pfn).unwrap();
        let mut list = vec![write.pfn];
        let mut target = |_| machine.alloc_pages(1, 0).ok();
        let result = machine.migrate_pages(&mut list, &mut target, mode, Reason::Compaction);
        assert_eq!((result.succeeded, result.failed, list.len()), (0, 1, 1));
        machine.putback_movable_pages(&mut list);
        machine.lru_drain_all();
        clean(&machine, &ledger);
        machine.end_writeback(&file, write);
        assert_eq!(move_all(&machine, &space, &area, false), [Some(1)]);
        assert_eq!(file.disk.as_ref().unwrap()[0].get(), 77);
        end(&machine, &[&space], &[&file]);
    }
}

#[test]
fn a_sync_migration_waits_for_the_write_to_end() {
    let (machine, space, file, area) = mapped(FileKind::Disk, 1, false);
    machine.write_word(&area, 0, 0, 78).unwrap();
    let write = machine.begin_writeback(&file, 0).unwrap().expect("it is dirty");
    std::thread::scope(|scope| {
        let moved = scope.spawn(|| move_all(&machine, &space, &area, false));
        while !machine.frames()[write.pfn].word().has(Flags::WAITERS) {
            std::thread::yield_now();
        }
        assert_eq!(file.slot(0).page(), Some(write.pfn));
        machine.end_writeback(&file, write);
        assert_eq!(moved.join().unwrap(), [Some(1)]);
    });
    assert_eq!(machine.read_word(&area, 0, 0).unwrap(), 78);
    end(&machine, &[&space], &[&file]);
}

#[test]
fn a_write_back_write_protects_the_page_and_the_next_store_faults() {
    let (machine, space, file, area) = mapped(FileKind::Disk, 2, false);
    machine.write_word(&area, 0, 0, 1).unwrap();
    machine.lru_drain_all();
    assert_eq!(machine.sync_file(&file, 0..2).unwrap(), 1);
    // Recordings h42/4 and h42/5.
    assert_eq!(state(&machine, &area, 0), (DISK | Flags::LRU | Flags::PRIVATE, 3, 1));
    assert_eq!(count(&machine, 0, NodeItem::FileDirty), 0);
    assert!(!area.look(0).has(Pte::WRITE) && !area.look(0).has(Pte::DIRTY));
    assert_eq!(machine.stats().events(Event::Pgreuse), 0);
    machine.write_word(&area, 0, 0, 2).unwrap();
    assert_eq!((machine.stats().events(Event::Pgreuse), count(&machine, 0, NodeItem::FileDirty)), (1, 1));
    assert_eq!(file.disk.as_ref().unwrap()[0].get(), 1);
    assert_eq!(machine.sync_all(), 1);
    assert_eq!(file.disk.as_ref().unwrap()[0].get(), 2);
    assert_eq!(machine.sync_all(), 0);
    end(&machine, &[&space], &[&file]);
}

#[test]
fn a_page_that_reclaim_met_under_writeback_goes_to_the_tail_when_the_write_ends() {
    let (machine, space, file, area) = mapped(FileKind::Disk, 3, false);
    (0..3).for_each(|page| machine.write_word(&area, page, 0, 7).unwrap());
    machine.lru_drain_all();
    let write = machine.begin_writeback(&file, 1).unwrap().expect("it is dirty");
    machine.madvise(&space, &area, 1..2, Advice::Pageout).unwrap();
    machine.lru_drain_all();
    let page = &machine.frames()[write.pfn];
    assert!(page.word().has(Flags::RECLAIM | Flags::WRITEBACK | Flags::ACTIVE));
    machine.end_writeback(&file, write);
    assert!(!page.word().any(Flags::RECLAIM | Flags::WRITEBACK));
    // The page waits in a batch.
    assert_eq!(machine.stats().events(Event::Pgrotated), 0);
    machine.lru_drain_all();
    assert_eq!(machine.stats().events(Event::Pgrotated), 1);
    let tail = machine.nodes()[0].lruvec.lock().list(LruList::InactiveFile).tail();
    assert_eq!(tail, Some(write.pfn));
    // A page that is written to before the end of its write stays where it is.
    machine.write_word(&area, 1, 0, 8).unwrap();
    let write = machine.begin_writeback(&file, 1).unwrap().expect("it is dirty");
    machine.madvise(&space, &area, 1..2, Advice::Pageout).unwrap();
    machine.write_word(&area, 1, 0, 9).unwrap();
    machine.end_writeback(&file, write);
    machine.lru_drain_all();
    assert_eq!(machine.stats().events(Event::Pgrotated), 1);
    end(&machine, &[&space], &[&file]);
}

#[test]
fn a_page_that_could_not_be_dropped_is_old_and_marked() {
    let (machine, space, file, area) = mapped(FileKind::Disk, 3, false);
    // Page 0 is mapped and page 1 dirty. Page 2 has private data, and another holder has a
    // reference on it.
    machine.read_word(&area, 0, 0).unwrap();
    for page in 1..3 {
        machine.file_write(&file, page * PAGE, &[1; 8], 0).unwrap();
    }
    assert_eq!(machine.sync_file(&file, 2..3).unwrap(), 1);
    machine.lru_drain_all();
    let held = file.slot(2).page().unwrap();
    machine.frames()[held].get(held);
    let active = Flags::ACTIVE | Flags::REFERENCED;
    for page in 0..3 {
        let pfn = file.slot(page).page().unwrap();
        machine.isolate(pfn).unwrap();
        machine.frames()[pfn].set(active);
        machine.putback(pfn);
    }
    assert_eq!(machine.drop_caches(), Evicted { evicted: 0, kept: 3 });
    let word = |page| machine.frames()[file.slot(page).page().unwrap()].word();
    assert!(word(0).has(active) && !word(0).has(Flags::RECLAIM));
    assert!(!word(1).any(active) && word(1).has(Flags::RECLAIM));
    assert!(!word(2).any(active) && !word(2).has(Flags::RECLAIM));
    let events = |event| machine.stats().events(event);
    assert_eq!((events(Event::Pgdeactivate), events(Event::Pgrotated)), (2, 1));
    machine.put(held);
    // Once page 1 is written, the next call drops it. Page 2 could have been dropped before.
    assert_eq!(machine.sync_file(&file, 0..3).unwrap(), 1);
    assert_eq!(events(Event::Pgrotated), 2);
    assert_eq!(machine.drop_caches(), Evicted { evicted: 2, kept: 1 });
    end(&machine, &[&space], &[&file]);
}

#[test]
fn eviction_takes_only_clean_and_unused_pages() {
    let (machine, space, file, area) = mapped(FileKind::Disk, 5, false);
    // Page 0 is clean, 1 mapped, 2 dirty, 3 held, and 4 clean with private data.
    for page in 0..5 {
        word(&machine, &file, page);
    }
    machine.read_word(&area, 1, 0).unwrap();
    for page in [2, 4] {
        machine.file_write(&file, page * PAGE, &7u64.to_le_bytes(), 0).unwrap();
    }
    assert_eq!(machine.sync_file(&file, 4..5).unwrap(), 1);
    let held = file.slot(3).page().unwrap();
    machine.frames()[held].get(held);
    assert_eq!(machine.drop_caches(), Evicted { evicted: 2, kept: 3 });
    machine.put(held);
    assert!(file.slot(0).page().is_none() && file.slot(4).page().is_none());
    assert_eq!(count(&machine, 0, NodeItem::FilePages), 3);
    // Dropped pages are read in again; the content of the others shows that they were kept.
    assert_eq!((0..5).map(|page| word(&machine, &file, page)).collect::<Vec<_>>(), [100, 101, 7, 103, 7]);
    end(&machine, &[&space], &[&file]);
}

#[test]
fn a_truncation_takes_pages_mappings_and_private_copies() {
    let (machine, space, file, shared) = mapped(FileKind::Disk, 4, false);
    let private = map(&machine, &space, &file, true);
    for index in 0..4 {
        machine.write_word(&shared, index, 0, 1).unwrap();
        machine.write_word(&private, index, 0, 2).unwrap();
    }
    machine.truncate_file(&file, 1).unwrap();
    assert_eq!((file.pages(), machine.page_at(&shared, 1), machine.page_at(&private, 3)), (1, None, None));
    for area in [&shared, &private] {
        assert_eq!(machine.read_word(area, 1, 0).unwrap_err().errno, Errno::EFAULT);
        assert_eq!(machine.write_word(area, 3, 0, 1).unwrap_err().errno, Errno::EFAULT);
    }
    assert_eq!(machine.file_read(&file, PAGE, &mut [0], 0).unwrap_err().errno, Errno::EFAULT);
    assert_eq!(
        (machine.read_word(&shared, 0, 0).unwrap(), machine.read_word(&private, 0, 0).unwrap()),
        (1, 2)
    );
    assert_eq!(machine.truncate_file(&file, 2).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(count(&machine, 0, NodeItem::FileDirty), 1);
    end(&machine, &[&space], &[&file]);
}

#[test]
fn a_removed_file_lives_until_nobody_maps_it() {
    let (machine, space, file, area) = mapped(FileKind::Tmpfs, 2, false);
    machine.write_word(&area, 0, 0, 3).unwrap();
    machine.remove_file(&file);
    machine.remove_file(&file);
    assert_eq!(machine.read_word(&area, 0, 0).unwrap(), 3);
    assert_eq!(machine.file_read(&file, 0, &mut [0], 0).unwrap_err().errno, Errno::EBADF);
    let map = FileMap { file: Arc::clone(&file), first: 0, private: false, random: false };
    assert_eq!(machine.mmap_file(&space, map, 1).unwrap_err().errno, Errno::EBADF);
    assert_eq!(machine.files().len(), 1);
    let child = machine.fork(&space).unwrap();
    machine.exit(&space);
    assert_eq!(count(&machine, 0, NodeItem::Shmem), 1);
    clean(&machine, &Ledger::default());
    end(&machine, &[&child], &[]);
}

#[test]
fn part_of_a_file_can_be_mapped_and_its_pages_move_by_their_place_in_the_file() {
    let machine = machine();
    let space = machine.address_space().unwrap();
    let file = machine.file(FileKind::Tmpfs, 8).unwrap();
    let window = |first| FileMap { file: Arc::clone(&file), first, private: false, random: false };
    let (low, high) =
        (machine.mmap_file(&space, window(2), 3).unwrap(), machine.mmap_file(&space, window(4), 4).unwrap());
    machine.write_word(&low, 2, 0, 44).unwrap();
    assert_eq!(machine.read_word(&high, 0, 0).unwrap(), 44);
    assert_eq!(word(&machine, &file, 4), 44);
    assert_eq!(move_all(&machine, &space, &high, true)[0], Some(1));
    assert_eq!(machine.page_at(&low, 2), machine.page_at(&high, 0));
    assert_eq!(machine.node_of(machine.page_at(&low, 2).unwrap()), 1);
    assert_eq!(machine.mmap_file(&space, window(6), 3).unwrap_err().errno, Errno::EINVAL);
    end(&machine, &[&space], &[&file]);
}

#[test]
fn an_isolated_file_page_counts_as_file_and_goes_back_to_the_file_lists() {
    let (machine, space, file, area) = mapped(FileKind::Disk, 1, false);
    machine.read_word(&area, 0, 0).unwrap();
    machine.lru_drain_all();
    let pfn = machine.page_at(&area, 0).unwrap();
    machine.isolate(pfn).unwrap();
    assert_eq!(count(&machine, 0, NodeItem::IsolatedFile), 1);
    machine.putback(pfn);
    machine.lru_drain_all();
    let inactive = machine.vmstat(Some(0)).unwrap().into_iter().find(|(name, _)| *name == "nr_inactive_file");
    assert_eq!(inactive, Some(("nr_inactive_file", 1)));
    end(&machine, &[&space], &[&file]);
}

#[test]
fn a_page_truncated_while_isolated_is_freed_by_its_migration() {
    let (machine, space, file, area) = mapped(FileKind::Disk, 1, false);
    machine.write_word(&area, 0, 0, 1).unwrap();
    machine.lru_drain_all();
    let pfn = machine.page_at(&area, 0).unwrap();
    machine.isolate(pfn).unwrap();
    machine.truncate_file(&file, 0).unwrap();
    let mut list = vec![pfn];
    let mut target = |_| machine.alloc_pages(1, 0).ok();
    let result = machine.migrate_pages(&mut list, &mut target, Mode::Sync, Reason::Compaction);
    assert_eq!((result.succeeded, result.failed), (1, 0));
    assert_eq!(machine.frames()[pfn].count(), 0);
    end(&machine, &[&space], &[&file]);
}

#[test]
fn without_frames_a_fault_fails_and_nothing_has_changed() {
    let machine = Machine::<Split>::new(&Config::new(1, 4)).unwrap();
    let space = machine.address_space().unwrap();
    let file = machine.file(FileKind::Disk, 4).unwrap();
    let area = map(&machine, &space, &file, true);
    for index in 0..3 {
        machine.read_word(&area, index, 0).unwrap();
    }
    // The last frame goes to the file's page, and no frame is left for the copy.
    assert_eq!(machine.write_word(&area, 3, 0, 1).unwrap_err().errno, Errno::ENOMEM);
    clean(&machine, &Ledger::default());
    assert_eq!(area.look(3).entry(), Entry::None);
    assert_eq!(machine.read_word(&area, 3, 0).unwrap(), 0);
    let other = machine.file(FileKind::Disk, 1).unwrap();
    assert_eq!(machine.file_read(&other, 0, &mut [0], 0).unwrap_err().errno, Errno::ENOMEM);
    machine.munmap(&space, &area, 0..1).unwrap();
    machine.lru_drain_all();
    assert_eq!(machine.drop_caches().evicted, 1);
    machine.file_read(&other, 0, &mut [0], 0).unwrap();
    end(&machine, &[&space], &[&file, &other]);
}
