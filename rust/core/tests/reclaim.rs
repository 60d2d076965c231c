//! Aging and reclaim of a node's lists (lifecycle 5.8), under every release design.

use crate::common::{assert_clean, machine, used};
use mmcore::lru::SWAP_CLUSTER_MAX;
use mmcore::machine::{Config, Machine};
use mmcore::map::{AddressSpace, Advice, Area, File, FileKind};
use mmcore::page::{Flags, PAGE_SIZE};
use mmcore::profile::LruPolicy;
use mmcore::release::{Release, Split};
use mmcore::stat::Event;
use std::sync::Arc;

fn anon<R: Release>(machine: &Machine<R>, pages: u32) -> (Arc<AddressSpace>, Arc<Area>) {
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, pages).unwrap();
    (0..pages).for_each(|page| machine.write_word(&area, page, 0, u64::from(page) + 1).unwrap());
    machine.lru_drain_all();
    (space, area)
}

fn cached<R: Release>(machine: &Machine<R>, pages: u32) -> Arc<File> {
    let file = machine.file(FileKind::Disk, pages).unwrap();
    (0..pages).for_each(|page| read(machine, &file, page));
    machine.lru_drain_all();
    file
}

fn read<R: Release>(machine: &Machine<R>, file: &File, page: u32) {
    machine.file_read(file, u64::from(page) * PAGE_SIZE as u64, &mut [0], 0).unwrap();
}

fn list<R: Release>(machine: &Machine<R>, name: &str) -> i64 {
    machine.vmstat(Some(0)).unwrap().into_iter().find(|(counter, _)| *counter == name).unwrap().1
}

fn flags<R: Release>(machine: &Machine<R>, area: &Area, page: u32) -> Flags {
    machine.frames()[machine.page_at(area, page).unwrap()].flags()
}

fn event<R: Release>(machine: &Machine<R>, event: Event) -> i64 {
    machine.stats().events(event)
}

fn a_page_in_use_gets_a_second_chance<R: Release>() {
    let machine = machine::<R>(1, 256);
    machine.swapon(64).unwrap();
    let (space, area) = anon(&machine, 1);
    // The page was used since the last scan: it gets `REFERENCED` and stays.
    assert_eq!(machine.reclaim(0, 1).unwrap(), 0);
    assert!(flags(&machine, &area, 0).contains(Flags::REFERENCED));
    // The page was used again and is activated. No page is inactive then, so reclaim deactivates it
    // at once.
    assert_eq!(machine.read_word(&area, 0, 0).unwrap(), 1);
    assert_eq!(machine.reclaim(0, 1).unwrap(), 0);
    assert_eq!((event(&machine, Event::Pgactivate), event(&machine, Event::Pgdeactivate)), (1, 1));
    assert!(flags(&machine, &area, 0).contains(Flags::WORKINGSET));
    // The page was not used again: it is evicted.
    assert_eq!(machine.reclaim(0, 1).unwrap(), 1);
    assert!(machine.page_at(&area, 0).is_none());
    assert_eq!((event(&machine, Event::PgstealAnon), event(&machine, Event::PgstealDirect)), (1, 1));
    assert_eq!((event(&machine, Event::PgscanAnon), event(&machine, Event::PgscanDirect)), (3, 3));
    assert_clean(&machine);
    // The page is read back. The competing lists are empty, so the one eviction in between is too
    // long a distance for the working set.
    assert_eq!(machine.read_word(&area, 0, 0).unwrap(), 1);
    assert_eq!(list(&machine, "workingset_refault_anon"), 1);
    assert_eq!(list(&machine, "workingset_activate_anon"), 0);
    machine.exit(&space);
    assert_clean(&machine);
}

fn a_page_that_two_processes_use_is_active<R: Release>() {
    let machine = machine::<R>(1, 256);
    machine.swapon(64).unwrap();
    let (space, area) = anon(&machine, 1);
    let child = machine.fork(&space).unwrap();
    let (theirs, _) = child.find(area.address(0)).unwrap();
    machine.read_word(&theirs, 0, 0).unwrap();
    machine.read_word(&area, 0, 0).unwrap();
    assert_eq!(machine.reclaim(0, 1).unwrap(), 0);
    assert_eq!(event(&machine, Event::Pgactivate), 1);
    machine.exit(&child);
    machine.exit(&space);
    assert_clean(&machine);
}

fn an_active_list_is_shrunk_only_where_the_inactive_one_is_short<R: Release>() {
    let machine = machine::<R>(1, 512);
    machine.swapon(64).unwrap();
    let (space, area) = anon(&machine, 100);
    let activate = |pages: std::ops::Range<u32>| {
        for page in pages {
            let pfn = machine.page_at(&area, page).unwrap();
            machine.mark_page_accessed(pfn);
            machine.mark_page_accessed(pfn);
        }
        machine.lru_drain_all();
    };
    activate(0..40);
    assert_eq!((list(&machine, "nr_inactive_anon"), list(&machine, "nr_active_anon")), (60, 40));
    assert_eq!(machine.age_node(0).unwrap(), 0);
    activate(40..60);
    assert_eq!(machine.age_node(0).unwrap(), SWAP_CLUSTER_MAX);
    assert_eq!((list(&machine, "nr_inactive_anon"), list(&machine, "nr_active_anon")), (72, 28));
    assert_eq!(event(&machine, Event::Pgrefill), 32);
    assert_eq!(event(&machine, Event::Pgdeactivate), 32);
    // The pages that were activated first are deactivated, although their accessed bits are set:
    // aging does not consider them.
    assert!((0..32).all(|page| flags(&machine, &area, page).contains(Flags::WORKINGSET)));
    assert!(!flags(&machine, &area, 32).contains(Flags::WORKINGSET));
    machine.exit(&space);
    assert_clean(&machine);
}

fn clean_pages_of_files_go_oldest_first<R: Release>() {
    let machine = machine::<R>(1, 256);
    let file = cached(&machine, 20);
    assert_eq!(machine.reclaim(0, 5).unwrap(), 5);
    let evicted: Vec<u32> = (0..20).filter(|&page| file.cached_page(page).is_none()).collect();
    assert_eq!(evicted, [0, 1, 2, 3, 4]);
    assert_eq!(event(&machine, Event::PgstealFile), 5);
    // The page that was evicted last is read again: a refault.
    read(&machine, &file, 4);
    machine.lru_drain_all();
    assert_eq!(list(&machine, "workingset_refault_file"), 1);
    assert_clean(&machine);
}

fn what_must_stay_stays<R: Release>() {
    let machine = machine::<R>(1, 256);
    let file = cached(&machine, 2);
    // The dirty page stays, because reclaim writes no page of a disk's file.
    machine.file_write(&file, 0, &[1], 0).unwrap();
    assert_eq!(machine.reclaim(0, 2).unwrap(), 1);
    let pfn = file.cached_page(0).unwrap();
    assert!(machine.frames()[pfn].flags().contains(Flags::DIRTY | Flags::RECLAIM));
    // A locked page goes to the unevictable list, whatever list it was on.
    let (space, area) = anon(&machine, 2);
    machine.swapon(64).unwrap();
    machine.mlock(&space, &area, 0..1).unwrap();
    machine.lru_drain_all();
    // The scan of files frees no page, so that anonymous memory is scanned too.
    (0..3).for_each(|_| _ = machine.reclaim(0, 2).unwrap());
    assert!(machine.page_at(&area, 0).is_some() && machine.page_at(&area, 1).is_none());
    assert_eq!(list(&machine, "nr_unevictable"), 1);
    machine.exit(&space);
    assert_clean(&machine);
}

fn no_frame_is_freed_of_anonymous_memory_without_swap<R: Release>() {
    let machine = machine::<R>(1, 256);
    let (space, area) = anon(&machine, 8);
    assert_eq!((machine.reclaim(0, 8).unwrap(), machine.reclaim(0, 8).unwrap()), (0, 0));
    assert_eq!(event(&machine, Event::PgscanAnon), 0);
    assert!((0..8).all(|page| machine.page_at(&area, page).is_some()));
    assert!(machine.reclaim(1, 1).is_err() && machine.age_node(1).is_err());
    machine.exit(&space);
    assert_clean(&machine);
}

/// Performs reclaim, aging, isolation, mlock and advice in turn, and audits after each.
fn every_policy_keeps_its_books<R: Release>() {
    for &policy in LruPolicy::ALL {
        let mut config = Config::new(2, 256);
        config.profile.release = R::DESIGN;
        config.profile.lru_policy = policy;
        let machine = Machine::<R>::new(&config).unwrap();
        machine.swapon(256).unwrap();
        let file = cached(&machine, 40);
        machine.file_write(&file, 0, &[1], 0).unwrap();
        let (space, area) = anon(&machine, 60);
        assert_clean(&machine);
        machine.madvise(&space, &area, 0..10, Advice::Cold).unwrap();
        machine.madvise(&space, &area, 10..14, Advice::Free).unwrap();
        machine.mlock(&space, &area, 20..24).unwrap();
        machine.lru_drain_all();
        assert_clean(&machine);
        let mut freed = 0;
        for round in 0..10 {
            freed += machine.reclaim(0, 7).unwrap();
            assert_clean(&machine);
            machine.age_node(0).unwrap();
            assert_clean(&machine);
            let pages = (round * 4)..(round * 4 + 6);
            pages.clone().for_each(|page| read(&machine, &file, page % 40));
            for page in pages {
                let found = machine.read_word(&area, page, 0).unwrap();
                assert!(found == u64::from(page) + 1 || (10..14).contains(&page) && found == 0, "{policy}");
            }
            machine.lru_drain_all();
            assert_clean(&machine);
            if let Some(pfn) = machine.get_page_at(&area, 30) {
                assert!(machine.isolate(pfn).is_ok());
                machine.putback(pfn);
                machine.put(pfn);
            }
        }
        assert!(freed > 40, "{policy}: {freed}");
        machine.munlock(&space, &area, 20..24).unwrap();
        machine.exit(&space);
        assert_clean(&machine);
        machine.remove_file(&file);
        machine.lru_drain_all();
        assert_clean(&machine);
        assert_eq!(used(&machine), 0, "{policy}");
    }
}

/// Under `mglru` a page that was accessed through an entry since the last aging is in the youngest
/// generation, and an isolation keeps the age of a page.
fn a_generation_is_as_old_as_its_last_use<R: Release>() {
    let mut config = Config::new(2, 256);
    config.profile.release = R::DESIGN;
    config.profile.lru_policy = LruPolicy::Mglru;
    let machine = Machine::<R>::new(&config).unwrap();
    machine.swapon(256).unwrap();
    let (space, area) = anon(&machine, 30);
    // New anonymous pages are in the second youngest generation, which counts as active.
    assert_eq!((list(&machine, "nr_inactive_anon"), list(&machine, "nr_active_anon")), (0, 30));
    // The writes have set the accessed bit of all pages. Later only ten pages are read.
    assert_eq!(machine.age_node(0).unwrap(), 30);
    (0..10).for_each(|page| _ = machine.read_word(&area, page, 0).unwrap());
    assert_eq!(machine.age_node(0).unwrap(), 10);
    assert_eq!((list(&machine, "nr_inactive_anon"), list(&machine, "nr_active_anon")), (20, 10));
    assert_eq!(machine.reclaim(0, 20).unwrap(), 20);
    assert!((0..10).all(|page| machine.page_at(&area, page).is_some()));
    // A page isolated from an active generation has `ACTIVE`, and its putback makes it active
    // again.
    let pfn = machine.get_page_at(&area, 0).unwrap();
    machine.isolate(pfn).unwrap();
    assert!(machine.frames()[pfn].flags().contains(Flags::ACTIVE));
    machine.putback(pfn);
    machine.lru_drain_all();
    assert!(!machine.frames()[pfn].flags().contains(Flags::ACTIVE));
    assert_eq!(list(&machine, "nr_active_anon"), 10);
    machine.put(pfn);
    machine.exit(&space);
    assert_clean(&machine);
}

for_each_design!(
    every_policy_keeps_its_books,
    a_generation_is_as_old_as_its_last_use,
    a_page_in_use_gets_a_second_chance,
    a_page_that_two_processes_use_is_active,
    an_active_list_is_shrunk_only_where_the_inactive_one_is_short,
    clean_pages_of_files_go_oldest_first,
    what_must_stay_stays,
    no_frame_is_freed_of_anonymous_memory_without_swap,
);

#[test]
fn threads_that_reclaim_while_others_use_memory_lose_nothing() {
    let machine = machine::<Split>(1, 2048);
    machine.swapon(4096).unwrap();
    let (space, area) = anon(&machine, 512);
    let (machine, area) = (&machine, &area);
    let freed: u32 = std::thread::scope(|scope| {
        let reclaimers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(move || {
                    (0..300)
                        .map(|_| {
                            machine.age_node(0).unwrap();
                            machine.reclaim(0, 16).unwrap()
                        })
                        .sum::<u32>()
                })
            })
            .collect();
        for thread in 0..2u32 {
            scope.spawn(move || {
                for round in 0..40u64 {
                    for page in (thread..512).step_by(2) {
                        let found = machine.read_word(area, page, 0).unwrap();
                        assert_eq!(found & 0xffff, u64::from(page) + 1);
                        let value = (round << 16) | (u64::from(page) + 1);
                        machine.write_word(area, page, 0, value).unwrap();
                    }
                }
            });
        }
        reclaimers.into_iter().map(|reclaimer| reclaimer.join().unwrap()).sum()
    });
    assert!(freed > 0);
    machine.exit(&space);
    assert_clean(machine);
}
