//! Aging and reclaim of a node's lists (lifecycle 5.8), in every design.

mod common;

use common::{assert_clean, machine};
use mmcore::lru::SWAP_CLUSTER_MAX;
use mmcore::machine::Machine;
use mmcore::map::{AddressSpace, Area, File, FileKind};
use mmcore::page::{Flags, PAGE_SIZE};
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
    // Used since the last look: it is remembered.
    assert_eq!(machine.reclaim(0, 1).unwrap(), 0);
    assert!(flags(&machine, &area, 0).contains(Flags::REFERENCED));
    // Used again: active, for a moment. There is no inactive page, so that it grows old at once.
    assert_eq!(machine.read_word(&area, 0, 0).unwrap(), 1);
    assert_eq!(machine.reclaim(0, 1).unwrap(), 0);
    assert_eq!((event(&machine, Event::Pgactivate), event(&machine, Event::Pgdeactivate)), (1, 1));
    assert!(flags(&machine, &area, 0).contains(Flags::WORKINGSET));
    // Not used any more: it goes.
    assert_eq!(machine.reclaim(0, 1).unwrap(), 1);
    assert!(machine.page_at(&area, 0).is_none());
    assert_eq!((event(&machine, Event::PgstealAnon), event(&machine, Event::PgstealDirect)), (1, 1));
    assert_eq!((event(&machine, Event::PgscanAnon), event(&machine, Event::PgscanDirect)), (3, 3));
    assert_clean(&machine);
    // Back; with nothing that competes, one eviction is too long to be one of the working set.
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
    // The ones that were activated first, and their last use is forgotten: nobody asked for it.
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
    // One that comes back soon enough is one of the working set.
    read(&machine, &file, 4);
    machine.lru_drain_all();
    assert_eq!(list(&machine, "workingset_refault_file"), 1);
    assert_clean(&machine);
}

fn what_must_stay_stays<R: Release>() {
    let machine = machine::<R>(1, 256);
    let file = cached(&machine, 2);
    // Dirty: somebody else writes files.
    machine.file_write(&file, 0, &[1], 0).unwrap();
    assert_eq!(machine.reclaim(0, 2).unwrap(), 1);
    let pfn = file.cached_page(0).unwrap();
    assert!(machine.frames()[pfn].flags().contains(Flags::DIRTY | Flags::RECLAIM));
    // Locked into memory: on its way to the unevictable list, whatever list it was on.
    let (space, area) = anon(&machine, 2);
    machine.swapon(64).unwrap();
    machine.mlock(&space, &area, 0..1).unwrap();
    machine.lru_drain_all();
    // The dirty page alone gives nothing, so that anonymous memory is looked at too.
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

for_each_design!(
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
                        let value = round << 16 | u64::from(page) + 1;
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
