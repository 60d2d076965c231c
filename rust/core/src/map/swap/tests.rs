//! The rules of swap, one test each, on one thread. Recordings are named where they hold the rule.

use super::SwapUse;
use crate::audit::{Holder, Ledger};
use crate::error::Errno;
use crate::machine::{Config, Machine};
use crate::map::{AddressSpace, Advice, Area, Entry, FileKind, FileMap, PinKind, Pte};
use crate::memory::WORDS;
use crate::migrate::MoveFlags;
use crate::page::{Flags, PAGE_SIZE, Pfn};
use crate::profile::Profile;
use crate::release::Split;
use crate::stat::{Event, NodeItem};
use std::sync::Arc;

type Space = Arc<AddressSpace>;

fn on(kernel: &str) -> Machine<Split> {
    let profile = Profile::preset(kernel).unwrap();
    let machine = Machine::new(&Config { profile, ..Config::new(2, 64) }).unwrap();
    machine.swapon(16).unwrap();
    machine
}

/// Makes an area of written pages: page n holds n + 1 in its last word.
fn written(machine: &Machine<Split>, pages: u32) -> (Space, Arc<Area>) {
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, pages).unwrap();
    (0..pages).for_each(|page| write(machine, &area, page, u64::from(page) + 1));
    machine.lru_drain_all();
    (space, area)
}

fn write(machine: &Machine<Split>, area: &Area, page: u32, value: u64) {
    machine.write_word(area, page, WORDS - 1, value).unwrap();
}

fn read(machine: &Machine<Split>, area: &Area, page: u32) -> u64 {
    machine.read_word(area, page, WORDS - 1).unwrap()
}

fn pageout(machine: &Machine<Split>, space: &Space, area: &Area) {
    machine.madvise(space, area, 0..area.pages(), Advice::Pageout).unwrap();
}

fn slot(area: &Area, page: u32) -> Option<u32> {
    match area.look(page).entry() {
        Entry::Swap { slot } => Some(slot),
        _ => None,
    }
}

fn page(machine: &Machine<Split>, area: &Area, index: u32) -> Pfn {
    machine.page_at(area, index).unwrap()
}

fn flags(machine: &Machine<Split>, pfn: Pfn) -> Flags {
    machine.frames()[pfn].flags()
}

#[track_caller]
fn clean(machine: &Machine<Split>) {
    let findings = machine.audit(&Ledger::default());
    assert!(findings.is_empty(), "{findings:?}");
}

/// Exits the spaces and checks that every frame and every slot is free afterwards.
#[track_caller]
fn end(machine: &Machine<Split>, spaces: &[&Space]) {
    clean(machine);
    spaces.iter().for_each(|space| machine.exit(space));
    machine.lru_drain_all();
    clean(machine);
    let SwapUse { total, free } = machine.swap_use();
    assert_eq!(total, free);
    let free: u32 = (0..2).map(|node| machine.free_frames(node).0 + machine.free_frames(node).1).sum();
    assert_eq!(free, 128);
    assert_eq!(machine.stats.on_node(0, NodeItem::FilePages), 0);
}

#[test]
fn swapped_out_pages_read_back() {
    for (kernel, blocks) in [("6.1", 0), ("6.12", 4)] {
        let machine = on(kernel);
        let (space, area) = written(&machine, 3);
        pageout(&machine, &space, &area);
        assert!((0..3).all(|page| slot(&area, page).is_some()));
        assert_eq!(machine.swap_use(), SwapUse { total: 16, free: 13 });
        assert_eq!(machine.stats.events(Event::Pswpout), 3);
        assert_eq!(machine.free_frames(0).0 + machine.free_frames(0).1, 64);
        clean(&machine);
        assert_eq!((0..3).map(|page| read(&machine, &area, page)).collect::<Vec<_>>(), [1, 2, 3]);
        // Recording h35/6: the page is read past the cache, because no other process shares it. The
        // profile says whether pgpgin counts it.
        let count = |event| machine.stats.events(event);
        assert_eq!((count(Event::Pswpin), count(Event::Pgmajfault)), (3, 3));
        assert_eq!(count(Event::Pgpgin), 3 * blocks);
        let flags = flags(&machine, page(&machine, &area, 0));
        assert!(flags.contains(Flags::ANON_EXCLUSIVE) && !flags.intersects(Flags::SWAPCACHE | Flags::DIRTY));
        assert_eq!(machine.swap_use().free, 16);
        end(&machine, &[&space]);
    }
}

#[test]
fn a_clean_page_from_swap_is_written_again() {
    let machine = on("6.12");
    let (space, area) = written(&machine, 1);
    for _ in 0..3 {
        pageout(&machine, &space, &area);
        assert!(slot(&area, 0).is_some());
        assert_eq!(read(&machine, &area, 0), 1);
        machine.lru_drain_all();
    }
    assert_eq!(machine.stats.events(Event::Pswpout), 3);
    end(&machine, &[&space]);
}

#[test]
fn a_load_of_a_swapped_page_maps_it_writable_as_the_profile_says() {
    for (kernel, reused) in [("6.1", 1), ("6.12", 0)] {
        let machine = on(kernel);
        let (space, area) = written(&machine, 1);
        pageout(&machine, &space, &area);
        read(&machine, &area, 0);
        write(&machine, &area, 0, 7);
        assert_eq!(machine.stats.events(Event::Pgreuse), reused);
        end(&machine, &[&space]);
    }
}

#[test]
fn a_held_page_stays_in_the_swap_cache_and_is_found_there() {
    // Recordings h13/18 to h13/22.
    let machine = on("6.1");
    let (space, area) = written(&machine, 1);
    let pinned = machine.pin(&area, 0, PinKind::Get, false).unwrap();
    pageout(&machine, &space, &area);
    let slot = slot(&area, 0).unwrap();
    assert!(flags(&machine, pinned).contains(Flags::SWAPCACHE | Flags::DIRTY));
    assert_eq!(machine.stats.on_node(0, NodeItem::Swapcached), 1);
    assert_eq!(machine.stats.on_node(0, NodeItem::FilePages), 1);
    let holders = machine.holders(pinned, &Ledger::default());
    assert!(holders.contains(&Holder::SwapCache { slot }), "{holders:?}");
    machine.unpin(pinned, PinKind::Get);
    clean(&machine);
    machine.lru_drain_all();
    write(&machine, &area, 0, 9);
    assert_eq!(page(&machine, &area, 0), pinned);
    assert_eq!((machine.stats.events(Event::Pswpin), machine.stats.events(Event::Pswpout)), (0, 0));
    assert!(!flags(&machine, pinned).contains(Flags::SWAPCACHE));
    end(&machine, &[&space]);
}

#[test]
fn a_pinned_page_is_not_swapped_out() {
    let machine = on("6.12");
    let (space, area) = written(&machine, 1);
    let pinned = machine.pin(&area, 0, PinKind::Pin, true).unwrap();
    pageout(&machine, &space, &area);
    assert_eq!(page(&machine, &area, 0), pinned);
    assert_eq!(machine.swap_use().free, 16);
    machine.unpin(pinned, PinKind::Pin);
    end(&machine, &[&space]);
}

#[test]
fn parent_and_child_share_the_page_that_comes_back() {
    let machine = on("6.12");
    let (space, area) = written(&machine, 1);
    pageout(&machine, &space, &area);
    let child = machine.fork(&space).unwrap();
    let theirs = child.find(area.address(0)).unwrap().0;
    clean(&machine);
    // The first read brings the page back for both; the second finds it in the cache.
    assert_eq!((read(&machine, &area, 0), machine.stats.events(Event::Pgmajfault)), (1, 1));
    let shared = page(&machine, &area, 0);
    assert!(flags(&machine, shared).contains(Flags::SWAPCACHE));
    assert!(!flags(&machine, shared).contains(Flags::ANON_EXCLUSIVE));
    clean(&machine);
    assert_eq!((read(&machine, &theirs, 0), machine.stats.events(Event::Pgmajfault)), (1, 1));
    assert_eq!(page(&machine, &theirs, 0), shared);
    // No entry names the slot any more, but only a page that belongs to one process gives it up.
    assert_eq!(machine.swap_use().free, 15);
    write(&machine, &theirs, 0, 5);
    assert_ne!(page(&machine, &theirs, 0), shared);
    write(&machine, &area, 0, 6);
    assert_eq!((read(&machine, &area, 0), read(&machine, &theirs, 0)), (6, 5));
    assert_eq!(machine.swap_use().free, 16);
    end(&machine, &[&space, &child]);
}

#[test]
fn a_store_to_a_shared_swap_entry_copies_the_page() {
    let machine = on("6.1");
    let (space, area) = written(&machine, 1);
    pageout(&machine, &space, &area);
    let child = machine.fork(&space).unwrap();
    let theirs = child.find(area.address(0)).unwrap().0;
    write(&machine, &theirs, 0, 5);
    assert!(slot(&area, 0).is_some());
    clean(&machine);
    assert_eq!((read(&machine, &area, 0), read(&machine, &theirs, 0)), (1, 5));
    end(&machine, &[&space, &child]);
}

#[test]
fn removed_entries_free_their_slots() {
    let machine = on("6.12");
    let (space, area) = written(&machine, 4);
    pageout(&machine, &space, &area);
    let child = machine.fork(&space).unwrap();
    machine.madvise(&space, &area, 0..1, Advice::Dontneed).unwrap();
    machine.madvise(&space, &area, 1..2, Advice::Free).unwrap();
    machine.munmap(&space, &area, 2..3).unwrap();
    assert_eq!(machine.swap_use().free, 12);
    clean(&machine);
    machine.exit(&child);
    assert_eq!(machine.swap_use().free, 15);
    assert_eq!((read(&machine, &area, 0), read(&machine, &area, 1)), (0, 0));
    end(&machine, &[&space]);
}

#[test]
fn a_page_in_the_swap_cache_moves() {
    for kernel in ["6.1", "6.12"] {
        let machine = on(kernel);
        let (space, area) = written(&machine, 1);
        pageout(&machine, &space, &area);
        let child = machine.fork(&space).unwrap();
        let theirs = child.find(area.address(0)).unwrap().0;
        assert_eq!(read(&machine, &area, 0), 1);
        machine.lru_drain_all();
        let before = page(&machine, &area, 0);
        let moved = machine.move_pages(&space, &[area.address(0)], &[1], MoveFlags { all: true });
        assert_eq!(moved.status, [Some(1)]);
        let after = page(&machine, &area, 0);
        assert_ne!(before, after);
        assert!(flags(&machine, after).contains(Flags::SWAPCACHE | Flags::ANON));
        let cached = |node| machine.stats.on_node(node, NodeItem::Swapcached);
        assert_eq!((cached(0), cached(1)), (0, 1));
        clean(&machine);
        assert_eq!(read(&machine, &theirs, 0), 1);
        assert_eq!(page(&machine, &theirs, 0), after);
        end(&machine, &[&space, &child]);
    }
}

#[test]
fn a_swapped_out_page_has_no_node() {
    // Recordings h13/13 and h13/14.
    let machine = on("6.12");
    let (space, area) = written(&machine, 1);
    pageout(&machine, &space, &area);
    let enoent = Errno::ENOENT.status();
    let moved = machine.move_pages(&space, &[area.address(0)], &[1], MoveFlags::default());
    assert_eq!((moved.ret, moved.status), (Ok(0), vec![Some(enoent)]));
    assert_eq!(machine.query_pages(&space, &[area.address(0)]), Ok(vec![enoent]));
    end(&machine, &[&space]);
}

#[test]
fn without_a_free_slot_a_page_comes_back_active() {
    let machine = on("6.12");
    let (space, area) = written(&machine, 18);
    pageout(&machine, &space, &area);
    let kept: Vec<u32> = (0..18).filter(|&page| slot(&area, page).is_none()).collect();
    assert_eq!(kept, [16, 17]);
    assert!(flags(&machine, page(&machine, &area, 16)).contains(Flags::ACTIVE));
    assert_eq!(machine.stats.events(Event::Pgactivate), 2);
    // More than half of the slots are in use, so a page that comes back gives its slot up.
    assert_eq!(read(&machine, &area, 0), 1);
    end(&machine, &[&space]);
}

#[test]
fn locked_memory_stays_and_mlock_brings_swapped_pages_back() {
    let machine = on("6.1");
    let (space, area) = written(&machine, 1);
    pageout(&machine, &space, &area);
    machine.mlock(&space, &area, 0..1).unwrap();
    let pfn = page(&machine, &area, 0);
    assert!(flags(&machine, pfn).contains(Flags::MLOCKED | Flags::UNEVICTABLE));
    clean(&machine);
    assert!(machine.madvise(&space, &area, 0..1, Advice::Pageout).is_err());
    machine.munlock(&space, &area, 0..1).unwrap();
    end(&machine, &[&space]);
}

#[test]
fn lazily_freed_memory_is_dropped_unless_it_was_written() {
    let machine = on("6.12");
    let (space, area) = written(&machine, 2);
    machine.madvise(&space, &area, 0..2, Advice::Free).unwrap();
    machine.lru_drain_all();
    write(&machine, &area, 1, 8);
    let before = page(&machine, &area, 1);
    pageout(&machine, &space, &area);
    assert_eq!(area.look(0), Pte::NONE);
    assert_eq!(machine.stats.events(Event::Pglazyfreed), 1);
    assert_eq!(page(&machine, &area, 1), before);
    assert!(flags(&machine, before).contains(Flags::SWAPBACKED | Flags::DIRTY | Flags::ACTIVE));
    assert_eq!((read(&machine, &area, 0), read(&machine, &area, 1)), (0, 8));
    end(&machine, &[&space]);
}

#[test]
fn a_memory_files_page_goes_to_swap_and_back() {
    let machine = on("6.12");
    let space = machine.address_space().unwrap();
    let file = machine.file(FileKind::Tmpfs, 2).unwrap();
    let map = FileMap { file: Arc::clone(&file), first: 0, private: false, random: true };
    let area = machine.mmap_file(&space, map, 2).unwrap();
    (0..2).for_each(|page| write(&machine, &area, page, u64::from(page) + 1));
    machine.lru_drain_all();
    pageout(&machine, &space, &area);
    // Recording g0003/7: the entry is empty, and the file's slot names the swap slot.
    assert_eq!(area.look(0), Pte::NONE);
    assert_eq!((file.cached(), machine.swap_use().free), (0, 14));
    assert_eq!(machine.stats.on_node(0, NodeItem::Shmem), 0);
    assert_eq!(machine.file_word(&file, 1, WORDS - 1), 2);
    clean(&machine);
    // Recording g0003/16.
    assert_eq!(read(&machine, &area, 0), 1);
    let flags = flags(&machine, page(&machine, &area, 0));
    assert!(flags.contains(Flags::DIRTY | Flags::SWAPBACKED) && !flags.contains(Flags::SWAPCACHE));
    assert_eq!(machine.stats.events(Event::Pgmajfault), 1);
    let mut bytes = [0; 8];
    let at = 2 * PAGE_SIZE as u64 - 8;
    machine.file_read(&file, at, &mut bytes, 0).unwrap();
    assert_eq!((u64::from_le_bytes(bytes), machine.stats.events(Event::Pgmajfault)), (2, 1));
    machine.lru_drain_all();
    pageout(&machine, &space, &area);
    machine.remove_file(&file);
    // The end of the file frees its swap slots too.
    machine.exit(&space);
    assert_eq!(machine.swap_use().free, 16);
    end(&machine, &[]);
}

#[test]
fn swapoff_brings_everything_back() {
    let machine = on("6.12");
    let (space, area) = written(&machine, 3);
    pageout(&machine, &space, &area);
    let child = machine.fork(&space).unwrap();
    let theirs = child.find(area.address(0)).unwrap().0;
    let file = machine.file(FileKind::Shm, 1).unwrap();
    let map = FileMap { file: Arc::clone(&file), first: 0, private: false, random: false };
    let shared = machine.mmap_file(&space, map, 1).unwrap();
    write(&machine, &shared, 0, 4);
    machine.lru_drain_all();
    pageout(&machine, &space, &shared);
    machine.swapoff().unwrap();
    assert_eq!(machine.swap_use(), SwapUse::default());
    clean(&machine);
    assert!((0..3).all(|page| machine.page_at(&area, page) == machine.page_at(&theirs, page)));
    assert!((0..3).all(|index| flags(&machine, page(&machine, &area, index)).contains(Flags::DIRTY)));
    let faults = machine.stats.events(Event::Pgmajfault);
    assert_eq!((read(&machine, &area, 2), read(&machine, &theirs, 2), read(&machine, &shared, 0)), (3, 3, 4));
    assert_eq!(machine.stats.events(Event::Pgmajfault), faults);
    machine.remove_file(&file);
    end(&machine, &[&space, &child]);
}

#[test]
fn swapoff_without_room_changes_nothing() {
    let machine = on("6.12");
    let (space, area) = written(&machine, 2);
    pageout(&machine, &space, &area);
    let mut taken = Vec::new();
    while let Ok(pfn) = machine.alloc_pages_near(0, 0) {
        taken.push(pfn);
    }
    assert_eq!(machine.swapoff().unwrap_err().errno, Errno::ENOMEM);
    machine.put_all(&taken);
    clean(&machine);
    assert_eq!(read(&machine, &area, 1), 2);
    // The failed swapoff gives slots out again.
    machine.lru_drain_all();
    pageout(&machine, &space, &area);
    assert_eq!(machine.swap_use().free, 14);
    end(&machine, &[&space]);
}

#[test]
fn there_is_one_swap_space_at_a_time() {
    let machine = on("6.12");
    assert_eq!(machine.swapon(4).unwrap_err().errno, Errno::EBUSY);
    machine.swapoff().unwrap();
    assert_eq!(machine.swapoff().unwrap_err().errno, Errno::EINVAL);
    assert_eq!(machine.swapon(0).unwrap_err().errno, Errno::EINVAL);
    machine.swapon(4).unwrap();
    end(&machine, &[]);
}

#[test]
fn a_page_that_was_away_for_long_comes_back_inactive() {
    let machine = on("6.12");
    let (space, area) = written(&machine, 8);
    pageout(&machine, &space, &area);
    // The lists are empty, so any refault distance is too long, except that of the page evicted
    // last.
    let active = |index| {
        read(&machine, &area, index);
        flags(&machine, page(&machine, &area, index)).contains(Flags::ACTIVE)
    };
    assert!(!active(0));
    let refaults = machine.stats.on_node(0, NodeItem::WorkingsetRefaultAnon);
    assert_eq!((refaults, machine.stats.on_node(0, NodeItem::WorkingsetActivateAnon)), (1, 0));
    // With enough file pages on the lists, the pages count as part of the working set.
    let file = machine.file(FileKind::Disk, 16).unwrap();
    let map = FileMap { file: Arc::clone(&file), first: 0, private: false, random: true };
    let mapped = machine.mmap_file(&space, map, 16).unwrap();
    (0..16).for_each(|page| assert_eq!(read(&machine, &mapped, page), 0));
    machine.lru_drain_all();
    assert!(active(1));
    assert_eq!(machine.stats.on_node(0, NodeItem::WorkingsetActivateAnon), 1);
    machine.remove_file(&file);
    end(&machine, &[&space]);
}
