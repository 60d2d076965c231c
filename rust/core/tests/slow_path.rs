//! The rules of allocations under memory pressure, each on a machine made for it: which nodes are
//! reclaimed, what a migration's target may cost, when compaction is left out, which daemons are woken.

use crate::common::assert_clean;
use mmcore::alloc::MigrateType;
use mmcore::balloon::Balloon;
use mmcore::compact::{CompactPriority, CompactStatus};
use mmcore::error::{Errno, Why};
use mmcore::machine::{Config, Machine};
use mmcore::map::{AddressSpace, Advice, Area, File, FileKind, FileMap};
use mmcore::page::Pfn;
use mmcore::pressure::{Daemons, Surroundings};
use mmcore::release::Split;
use mmcore::stat::Event;
use mmcore::zsmalloc::ZsPool;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn config(nodes: usize, frames: u32) -> Config {
    let mut config = Config { pressure: true, ..Config::new(nodes, frames) };
    config.profile.pageblock_order = 4;
    config
}

fn machine(nodes: usize, frames: u32) -> Machine<Split> {
    Machine::new(&config(nodes, frames)).unwrap()
}

fn event(machine: &Machine<Split>, event: Event) -> i64 {
    machine.stats().events(event)
}

/// Fills a node with anonymous pages, and returns the region.
fn fill(machine: &Machine<Split>, node: usize, pages: u32) -> (Arc<AddressSpace>, Arc<Area>) {
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, pages).unwrap();
    machine.prefer(&area, node).unwrap();
    for page in 0..pages {
        machine.write_word(&area, page, 0, 1).unwrap();
    }
    machine.lru_drain_all();
    (space, area)
}

/// Reads pages of a file on a disk, each once.
fn read(machine: &Machine<Split>, pages: u32) -> Arc<File> {
    let file = machine.file(FileKind::Disk, pages).unwrap();
    for page in 0..pages {
        machine.file_read(&file, u64::from(page) * 4096, &mut [0; 8], 0).unwrap();
    }
    machine.lru_drain_all();
    file
}

/// Takes every frame of a node for pages that neither move nor can be reclaimed, and frees every second
/// page again.
fn stuck(machine: &Machine<Split>) -> Vec<Pfn> {
    machine.set_min_free_kbytes(0).unwrap();
    let mut pages: Vec<Pfn> = std::iter::from_fn(|| machine.alloc_pages(0, 0).ok()).collect();
    pages.sort_unstable();
    let (kept, freed): (Vec<_>, Vec<_>) = pages.into_iter().partition(|pfn| pfn.0 % 2 == 0);
    freed.into_iter().for_each(|pfn| machine.put(pfn));
    machine.drain_pcp(0);
    kept
}

#[test]
fn isolated_pages_of_one_class_do_not_keep_the_other_from_reclaim() {
    let machine = machine(1, 256);
    let (space, area) = fill(&machine, 0, 1);
    let pfn = machine.page_at(&area, 0).unwrap();
    machine.isolate(pfn).unwrap();
    read(&machine, 400);
    assert!(event(&machine, Event::PgstealDirect) > 0);
    machine.putback(pfn);
    machine.exit(&space);
    machine.drop_caches();
    machine.lru_drain_all();
    assert_clean(&machine);
}

#[test]
fn offlining_does_not_reclaim_one_node_while_another_has_room() {
    let machine: Machine<Split> = Machine::new(&Config { block: 256, ..config(3, 256) }).unwrap();
    machine.swapon(1024).unwrap();
    let (space, area) = fill(&machine, 0, 100);
    let full = machine.watermarks(1).unwrap().low;
    let (other, _) = fill(&machine, 1, 256 - full);
    machine.offline_block(0, 0, 4).unwrap();
    let nodes: Vec<usize> =
        (0..100).map(|page| machine.node_of(machine.page_at(&area, page).unwrap())).collect();
    assert!(nodes.iter().all(|&node| node > 0) && nodes.contains(&2), "{nodes:?}");
    assert_eq!((event(&machine, Event::Pswpout), event(&machine, Event::Allocstall)), (0, 0));
    machine.exit(&space);
    machine.exit(&other);
    assert_clean(&machine);
}

/// A machine whose balloon has all frames beside the pages of a region.
fn ballooned() -> (Machine<Split>, Arc<Balloon>, Arc<AddressSpace>, Arc<Area>) {
    let mut config = config(1, 256);
    config.profile.deflate_on_oom = true;
    let machine: Machine<Split> = Machine::new(&config).unwrap();
    let (space, area) = fill(&machine, 0, 64);
    let balloon = Balloon::new(&machine).unwrap();
    balloon.inflate(&machine, 256, 0).unwrap();
    machine.drain_pcp(0);
    (machine, balloon, space, area)
}

#[test]
fn a_target_of_a_migration_is_not_worth_the_pages_of_the_balloon() {
    let (machine, balloon, space, area) = ballooned();
    let size = balloon.size();
    let pfn = machine.page_at(&area, 0).unwrap();
    let range = pfn..Pfn(pfn.0 + 1);
    assert_eq!(machine.alloc_contig_range(range).unwrap_err().errno, Errno::ENOMEM);
    let soft = machine.soft_offline_page(pfn);
    assert_eq!(soft.unwrap_err().errno, Errno::ENOMEM);
    assert_eq!((balloon.size(), event(&machine, Event::OomKill)), (size, 0));
    // An allocation of a process has no other way.
    let more = machine.mmap(&space, 8).unwrap();
    for page in 0..8 {
        machine.write_word(&more, page, 0, 1).unwrap();
    }
    assert!(balloon.size() < size);
    machine.exit(&space);
    balloon.deflate(&machine, size);
    machine.lru_drain_all();
    assert_clean(&machine);
}

#[test]
fn an_allocation_without_io_asks_the_balloon_and_proves_no_lack_of_memory() {
    let (machine, balloon, space, _) = ballooned();
    let pool = ZsPool::new(&machine).unwrap();
    let mut handles = Vec::new();
    let error = loop {
        // Each object takes a page of its own.
        match pool.put(&machine, &[1; 4000], 0) {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
    };
    assert_eq!(balloon.size(), 0, "{} objects", handles.len());
    assert!(matches!(error.why, Why::NoFrame { .. }), "{error}");
    assert_eq!(event(&machine, Event::OomKill), 0);
    handles.into_iter().for_each(|handle| pool.free(&machine, handle).unwrap());
    pool.close(&machine).unwrap();
    machine.exit(&space);
    assert_clean(&machine);
}

#[test]
fn watermarks_follow_the_memory_that_is_online() {
    let machine: Machine<Split> =
        Machine::new(&Config { block: 4096, offline: vec![1], ..config(2, 1 << 14) }).unwrap();
    let alone = (machine.min_free_kbytes(), machine.watermarks(0).unwrap());
    assert_eq!(alone.0, reserve_of(1 << 14));
    assert_eq!((alone.1.min, machine.watermarks(1).unwrap().high), (alone.0 / 4, 0));
    for block in 0..4 {
        machine.online_block(1, block, None).unwrap();
    }
    assert_eq!(machine.min_free_kbytes(), reserve_of(1 << 15));
    let each = machine.watermarks(0).unwrap();
    assert_eq!((each, each.min), (machine.watermarks(1).unwrap(), machine.min_free_kbytes() / 4 / 2));
    machine.offline_block(1, 0, 4).unwrap();
    let [whole, less] = [0, 1].map(|node| machine.watermarks(node).unwrap().min);
    assert_eq!(less, (u64::from(machine.min_free_kbytes() / 4) * 3 / 7) as u32);
    assert!(whole > less && machine.managed_pages(1) == Ok(3 * 4096));
    (1..4).for_each(|block| machine.offline_block(1, block, 4).unwrap());
    assert_eq!((machine.min_free_kbytes(), machine.watermarks(0).unwrap()), alone);
    // A larger reserve that was set stays.
    machine.set_min_free_kbytes(4000).unwrap();
    machine.online_block(1, 0, None).unwrap();
    assert_eq!(machine.min_free_kbytes(), 4000);
    assert_eq!(machine.watermarks(1).unwrap().min, 1000 / 5);
}

/// The kernel's reserve for a machine of so many frames, in KiB.
fn reserve_of(frames: u64) -> u32 {
    (frames * 4 * 16).isqrt() as u32
}

#[test]
fn the_daemons_of_a_node_without_memory_sleep() {
    let machine: Machine<Split> =
        Machine::new(&Config { block: 256, offline: vec![1], ..config(2, 256) }).unwrap();
    let (space, _) = fill(&machine, 0, 247);
    assert!(machine.take_wanted_kswapd(0).is_some());
    assert_eq!(machine.take_wanted_kswapd(1), None);
    machine.exit(&space);
}

#[test]
fn a_free_block_below_the_watermark_is_no_success_of_compaction() {
    let machine = machine(1, 256);
    // 32 frames are free, in one block, and the reserve is of 24.
    let (space, area) = fill(&machine, 0, 224);
    machine.drain_pcp(0);
    machine.set_min_free_kbytes(24 * 4).unwrap();
    assert_eq!(machine.watermarks(0).unwrap().min, 24);
    assert!(machine.layout(0).unwrap().free_blocks[4] + machine.layout(0).unwrap().free_blocks[5] > 0);
    let status = |order| machine.compact_for(0, order, CompactPriority::SyncLight, false).unwrap().status;
    assert_eq!(status(4), CompactStatus::Skipped);
    assert_eq!(status(3), CompactStatus::Success);
    machine.madvise(&space, &area, 0..16, Advice::Dontneed).unwrap();
    machine.drain_pcp(0);
    assert_eq!(status(4), CompactStatus::Success);
    machine.exit(&space);
}

#[test]
fn reclaim_for_a_large_block_ends_where_compaction_has_memory_enough() {
    for (order, reclaims) in [(4, false), (3, true)] {
        let machine = machine(1, 1024);
        let kept = stuck(&machine);
        read(&machine, 200);
        assert!(machine.alloc_pages(0, order).is_err(), "order {order}");
        assert!(event(&machine, Event::Allocstall) > 0);
        assert_eq!(event(&machine, Event::PgstealDirect) > 0, reclaims, "order {order}");
        kept.into_iter().for_each(|pfn| machine.put(pfn));
        machine.drop_caches();
        assert_clean(&machine);
    }
}

#[test]
fn reclaim_compacts_a_pool_that_has_more_pages_than_it_needs() {
    let machine = machine(1, 1024);
    let pool = ZsPool::new(&machine).unwrap();
    let mut handles: Vec<_> = (0..400u32).map(|n| pool.put(&machine, &[n as u8; 1500], 0).unwrap()).collect();
    let mut kept = Vec::new();
    for (number, handle) in handles.drain(..).enumerate() {
        match number % 5 {
            0 => kept.push((number, handle)),
            _ => pool.free(&machine, handle).unwrap(),
        }
    }
    let pages = pool.pages();
    machine.reclaim(0, 64).unwrap();
    assert!(pool.pages() < pages / 2, "{} of {pages}", pool.pages());
    assert!(pool.stats().compacted > 0);
    for (number, handle) in kept {
        assert_eq!(pool.get(&machine, handle).unwrap(), [number as u8; 1500]);
        pool.free(&machine, handle).unwrap();
    }
    pool.close(&machine).unwrap();
    machine.drain_pcp(0);
    // A closed pool is not asked any more.
    machine.reclaim(0, 64).unwrap();
    assert_clean(&machine);
}

#[test]
fn a_pool_of_huge_pages_tries_more_than_one_round() {
    let machine = machine(1, 1024);
    machine.swapon(2048).unwrap();
    let (space, _) = fill(&machine, 0, 1000);
    let got = machine.set_huge_pages(0, 5, 20).unwrap();
    assert!(got > 12, "{got} pages, {} pages swapped out", event(&machine, Event::Pswpout));
    assert_eq!(event(&machine, Event::OomKill), 0);
    machine.set_huge_pages(0, 5, 0).unwrap();
    machine.exit(&space);
    assert_clean(&machine);
}

#[test]
fn a_block_that_is_free_already_is_no_success_of_the_compacting_daemon() {
    let machine = machine(1, 512);
    let kept = stuck(&machine);
    let run = machine.compact_for(0, 4, CompactPriority::SyncLight, false).unwrap();
    assert_ne!(run.status, CompactStatus::Success);
    assert_eq!(machine.compaction_state(0).unwrap().order_failed(), 0);
    kept.into_iter().for_each(|pfn| machine.put(pfn));
    machine.drain_pcp(0);
    assert_eq!(machine.kcompactd(0, 4).unwrap().status, CompactStatus::Deferred);
    assert_eq!(machine.kcompactd(0, 4).unwrap().status, CompactStatus::Success);
    let state = machine.compaction_state(0).unwrap();
    assert_eq!((state.order_failed(), state.defer_limit()), (0, 2));
}

#[test]
fn the_reclaiming_daemon_hands_over_to_the_compacting_one_when_it_can_sleep() {
    // Nothing can be reclaimed: the daemon would not sleep.
    let full = machine(1, 256);
    let (space, _) = fill(&full, 0, 247);
    assert_eq!(full.kswapd(0, 3).unwrap(), 0);
    assert_eq!(full.take_wanted_kcompactd(0), None);
    full.exit(&space);
    // kswapd frees frames here and there: as many as a block has, but no block.
    let machine = machine(1, 512);
    let kept = stuck(&machine);
    read(&machine, 250);
    machine.set_min_free_kbytes(64).unwrap();
    assert!(machine.kswapd(0, 3).unwrap() >= 16);
    assert_eq!(machine.take_wanted_kcompactd(0), Some(3));
    kept.into_iter().for_each(|pfn| machine.put(pfn));
    machine.drop_caches();
    assert_clean(&machine);
}

#[test]
fn a_new_proactiveness_has_the_nodes_checked_at_once() {
    let machine = Arc::new(machine(1, 512));
    let kept = stuck(&machine);
    let around: Surroundings = Arc::new(|work| work());
    let daemons = Daemons::start(&machine, &around).unwrap();
    let scanned = || event(&machine, Event::CompactDaemonMigrateScanned);
    let more_than = |before: i64, longest| {
        let began = Instant::now();
        while scanned() <= before && began.elapsed() < Duration::from_secs(longest) {
            std::thread::sleep(Duration::from_millis(5));
        }
        scanned() > before
    };
    assert!(more_than(0, 10));
    // The run has lowered nothing, so the next check would be 32 seconds later.
    let before = scanned();
    assert!(!more_than(before, 2));
    machine.set_compaction_proactiveness(100).unwrap();
    assert!(more_than(before, 5));
    daemons.stop();
    kept.into_iter().for_each(|pfn| machine.put(pfn));
}

#[test]
fn a_pageblock_that_compaction_takes_half_of_becomes_movable() {
    let mut config = config(1, 1024);
    config.profile.pageblock_order = 6;
    let machine: Machine<Split> = Machine::new(&config).unwrap();
    machine.set_min_free_kbytes(0).unwrap();
    let (space, area) = fill(&machine, 0, 1024);
    // The upper halves of the last four pageblocks are free, and each eighth frame of the others.
    for page in 0..1024 {
        let frame = machine.page_at(&area, page).unwrap().0;
        if if frame >= 768 { frame % 64 >= 32 } else { frame % 8 == 3 } {
            machine.madvise(&space, &area, page..page + 1, Advice::Dontneed).unwrap();
        }
    }
    machine.drain_pcp(0);
    for block in 12..16 {
        machine.set_pageblock_type(Pfn(64 * block), MigrateType::Unmovable).unwrap();
    }
    // The targets of this run may come from any pageblock.
    let run = machine.compact_for(0, 6, CompactPriority::SyncFull, true).unwrap();
    assert!(run.moves.iter().any(|(_, to)| to.0 >= 992), "{run:?}");
    assert_eq!(machine.pageblock_types(0).unwrap()[15], MigrateType::Movable);
    machine.exit(&space);
    assert_clean(&machine);
}

#[test]
fn no_scanner_enters_memory_that_is_offline() {
    let machine: Machine<Split> = Machine::new(&Config { block: 64, ..config(2, 256) }).unwrap();
    let (space, area) = fill(&machine, 0, 200);
    for page in (0..200).step_by(2) {
        machine.madvise(&space, &area, page..page + 1, Advice::Dontneed).unwrap();
    }
    for block in [0, 2] {
        machine.offline_block(0, block, 4).unwrap();
    }
    let run = machine.compact(0, true).unwrap();
    let offline = |frame: u32| matches!(frame / 64, 0 | 2);
    for event in &run.events {
        use mmcore::compact::CompactEvent::{IsolateFreepages, IsolateMigratepages};
        if let IsolateMigratepages { start, scanned, .. } | IsolateFreepages { start, scanned, .. } = event {
            assert!(!offline(*start) || *scanned == 0, "{event:?}");
        }
    }
    assert!(run.migrated > 0);
    machine.exit(&space);
    assert_clean(&machine);
}

#[test]
fn a_locked_page_of_a_file_that_is_mlocked_is_passed_over() {
    let machine = Arc::new(machine(1, 256));
    let file = machine.file(FileKind::Disk, 1).unwrap();
    let space = machine.address_space().unwrap();
    let area =
        machine.mmap_file(&space, FileMap { file, first: 0, private: false, random: false }, 1).unwrap();
    machine.write_word(&area, 0, 0, 1).unwrap();
    machine.mlock(&space, &area, 0..1).unwrap();
    machine.lru_drain_all();
    let pfn = machine.page_at(&area, 0).unwrap();
    machine.frames()[pfn].lock();
    let (done, end) = std::sync::mpsc::channel();
    let other = Arc::clone(&machine);
    let thread = std::thread::spawn(move || {
        other.compact(0, false).unwrap();
        done.send(()).unwrap();
    });
    let passed = end.recv_timeout(Duration::from_secs(5));
    machine.frames()[pfn].unlock(pfn);
    thread.join().unwrap();
    assert!(passed.is_ok(), "the run has waited for the page lock");
    machine.exit(&space);
}

#[test]
fn a_huge_page_that_cannot_be_replaced_leaves_no_memory_for_a_range() {
    let machine = machine(1, 256);
    assert!(machine.set_huge_pages(0, 6, 4).unwrap() >= 3);
    let first = machine.huge_pages()[0].first;
    // The rest of the memory is in use.
    while machine.alloc_pages(0, 5).is_ok() {}
    let error = machine.alloc_contig_range(first..Pfn(first.0 + 16)).unwrap_err();
    assert_eq!(error.errno, Errno::ENOMEM);
}
