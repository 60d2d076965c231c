//! Memory blocks that go offline and come online, and contiguous ranges.

use mmcore::alloc::MigrateType;
use mmcore::audit::Ledger;
use mmcore::error::Errno;
use mmcore::failure::Injection;
use mmcore::hotplug::{BlockState, ZoneKind};
use mmcore::machine::{Config, Machine};
use mmcore::map::{AddressSpace, Area, FileKind, FileMap, PinKind};
use mmcore::page::Pfn;
use mmcore::profile::Profile;
use mmcore::release::Split;
use mmcore::stat::Event;
use std::ops::Range;
use std::sync::Arc;

/// Two nodes of 4 memory blocks of 16 frames, in pageblocks of 8.
fn machine(kernel: &str) -> Machine<Split> {
    let mut profile = Profile::preset(kernel).unwrap();
    profile.set("pageblock_order", "3").unwrap();
    Machine::new(&Config { block: 16, profile, ..Config::new(2, 64) }).unwrap()
}

fn clean(machine: &Machine<Split>) {
    let findings = machine.audit(&Ledger::default());
    assert!(findings.is_empty(), "{findings:#?}");
}

/// Maps and writes pages on a node; each holds its number. The address space goes to the test with the
/// area, because the area is unmapped when its space ends.
fn written(machine: &Machine<Split>, node: usize, pages: u32) -> (Arc<AddressSpace>, Arc<Area>) {
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, pages).unwrap();
    machine.prefer(&area, node).unwrap();
    for page in 0..pages {
        machine.write_word(&area, page, 0, u64::from(page) + 1).unwrap();
    }
    machine.lru_drain_all();
    (space, area)
}

fn intact(machine: &Machine<Split>, area: &Area) {
    for page in 0..area.pages() {
        assert_eq!(machine.read_word(area, page, 0), Ok(u64::from(page) + 1), "page {page}");
    }
}

fn nodes(machine: &Machine<Split>, area: &Area) -> Vec<usize> {
    (0..area.pages()).map(|page| machine.node_of(machine.page_at(area, page).unwrap())).collect()
}

fn range(first: u32, count: u32) -> Range<Pfn> {
    Pfn(first)..Pfn(first + count)
}

#[test]
fn an_offline_block_has_no_frames_and_its_pages_are_on_another_node() {
    for kernel in ["6.1", "6.12"] {
        let machine = machine(kernel);
        let (_space, area) = written(&machine, 1, 20);
        assert_eq!(machine.offline_block(1, 0, 4), Ok(()));
        assert_eq!(machine.block_state(1, 0), Ok(BlockState::Offline));
        assert_eq!(nodes(&machine, &area), [[0; 16].as_slice(), &[1; 4]].concat());
        machine.drain_pcp(1);
        assert_eq!(machine.free_frames(1), (44, 0));
        intact(&machine, &area);
        clean(&machine);
        assert_eq!(machine.online_block(1, 0, Some(ZoneKind::Movable)), Ok(()));
        assert_eq!(machine.free_frames(1), (60, 0));
        assert_eq!(machine.valid_zones(1, 0), Ok(vec![ZoneKind::Movable]));
        clean(&machine);
    }
}

#[test]
fn a_block_comes_and_goes_once_and_has_to_exist() {
    let machine = machine("6.12");
    let errno = |result: Result<(), mmcore::error::Error>| result.unwrap_err().errno;
    assert_eq!(errno(machine.online_block(1, 0, None)), Errno::EINVAL);
    assert_eq!(machine.offline_block(1, 0, 1), Ok(()));
    assert_eq!(errno(machine.offline_block(1, 0, 1)), Errno::EINVAL);
    assert_eq!(errno(machine.offline_block(1, 4, 1)), Errno::EINVAL);
    assert_eq!(errno(machine.offline_block(2, 0, 1)), Errno::EINVAL);
    assert_eq!(machine.valid_zones(1, 0), Ok(vec![ZoneKind::Kernel, ZoneKind::Movable]));
    for (node, block) in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2)] {
        assert_eq!(machine.offline_block(node, block, 1), Ok(()), "{node} {block}");
    }
    assert_eq!(errno(machine.offline_block(1, 3, 1)), Errno::EBUSY);
    clean(&machine);
}

#[test]
fn the_daemons_of_a_node_end_with_its_last_memory() {
    // With 72 frames the last 8 fill no whole block, and stay online.
    for (frames, ended) in [(64, 1), (72, 0)] {
        let mut profile = Profile::preset("6.12").unwrap();
        profile.set("pageblock_order", "3").unwrap();
        let config = Config { block: 16, profile, ..Config::new(2, frames) };
        let machine = Machine::<Split>::new(&config).unwrap();
        (0..4).for_each(|block| assert_eq!(machine.offline_block(1, block, 1), Ok(()), "{block}"));
        assert_eq!(machine.stats().events(Event::CompactDaemonWake), ended, "{frames} frames");
        clean(&machine);
    }
}

#[test]
fn a_pinned_page_keeps_a_block_until_the_signal_and_the_others_have_moved() {
    let machine = machine("6.12");
    let (_space, area) = written(&machine, 1, 8);
    let pinned = machine.pin(&area, 3, PinKind::Get, false).unwrap();
    assert_eq!(machine.offline_block(1, 0, 4).unwrap_err().errno, Errno::EINTR);
    assert_eq!(nodes(&machine, &area), [0, 0, 0, 1, 0, 0, 0, 0]);
    machine.unpin(pinned, PinKind::Get);
    intact(&machine, &area);
    clean(&machine);
    assert_eq!(machine.offline_block(1, 0, 4), Ok(()));
    clean(&machine);
}

#[test]
fn a_page_of_the_kernel_keeps_its_block_and_nothing_moves() {
    let machine = machine("6.12");
    let (_space, area) = written(&machine, 1, 4);
    let pages = machine.alloc_kernel_pages(1, 2).unwrap();
    let block = (pages[0].0 - 64) / 16;
    let before = machine.stats().events(Event::PgmigrateSuccess);
    assert_eq!(machine.offline_block(1, block, 4).unwrap_err().errno, Errno::EBUSY);
    assert_eq!(machine.stats().events(Event::PgmigrateSuccess), before);
    pages.into_iter().for_each(|pfn| machine.put(pfn));
    assert_eq!(machine.offline_block(1, block, 4), Ok(()));
    intact(&machine, &area);
    clean(&machine);
}

#[test]
fn pages_of_the_kernel_lie_in_the_kernels_zone() {
    let machine = machine("6.12");
    assert_eq!(machine.offline_block(1, 0, 1), Ok(()));
    assert_eq!(machine.online_block(1, 0, Some(ZoneKind::Movable)), Ok(()));
    let pages = machine.alloc_kernel_pages(1, 64).unwrap();
    assert_eq!(pages.len(), 48);
    assert!(pages.iter().all(|&pfn| !machine.is_for_movable(pfn)));
    assert_eq!(machine.offline_block(1, 0, 1), Ok(()));
    pages.into_iter().for_each(|pfn| machine.put(pfn));
    clean(&machine);
}

#[test]
fn poisoned_frames_go_with_their_block_and_stay_counted() {
    for (kernel, comes_back) in [("6.1", Ok(())), ("6.12", Err(Errno::EHWPOISON))] {
        let machine = machine(kernel);
        let space = machine.address_space().unwrap();
        let area = machine.mmap(&space, 4).unwrap();
        machine.prefer(&area, 1).unwrap();
        (0..4).for_each(|page| machine.write_word(&area, page, 0, 7).unwrap());
        machine.lru_drain_all();
        let frame = machine.page_at(&area, 0).unwrap();
        let lost = machine.page_at(&area, 1).unwrap();
        assert_eq!(machine.inject_failure(&space, &area, 0..1, Injection::SoftOffline).result, Ok(()));
        machine.lru_drain_all();
        assert_eq!(machine.memory_failure(lost, None).result, Ok(()));
        assert_eq!(machine.soft_offline_page(Pfn(64 + 15)), Ok(()));
        assert_eq!(machine.num_poisoned_pages(), 3);
        assert_eq!(machine.offline_block(1, 0, 4), Ok(()));
        assert_eq!(machine.num_poisoned_pages(), 3);
        assert_eq!(machine.unpoison_memory(frame).unwrap_err().errno, Errno::EIO);
        assert_eq!(machine.soft_offline_page(frame).unwrap_err().errno, Errno::EIO);
        assert_eq!(machine.memory_failure(frame, None).result.unwrap_err().errno, Errno::ENXIO);
        clean(&machine);
        assert_eq!(machine.online_block(1, 0, None).map_err(|error| error.errno), comes_back);
        assert_eq!(machine.free_frames(1).0, if comes_back.is_ok() { 64 } else { 48 });
        clean(&machine);
    }
}

#[test]
fn frames_of_a_block_that_stays_online_are_handed_out_upwards_and_last() {
    // Recording o7004/19: the pages that come back get the lowest frames of each size.
    let machine = machine("6.12");
    let (_space, area) = written(&machine, 1, 16);
    let pins = [3, 9].map(|page| machine.pin(&area, page, PinKind::Get, false).unwrap());
    let first = machine.nodes()[1].base.0;
    assert_eq!(pins.map(|pfn| pfn.0 - first), [3, 9]);
    assert_eq!(machine.offline_block(1, 0, 4).unwrap_err().errno, Errno::EINTR);
    let got: Vec<u32> = (0..4).map(|_| machine.alloc_pages(1, 0).unwrap().0 - first).collect();
    assert_eq!(got, [2, 8, 0, 1]);
}

#[test]
fn a_lost_page_of_shared_memory_does_not_keep_its_block_and_its_frame_has_one_user() {
    // Recording o7001: the file holds the lost page, so that accesses are told of the loss.
    for kernel in ["6.1", "6.12"] {
        let machine = machine(kernel);
        let space = machine.address_space().unwrap();
        let file = machine.file(FileKind::Tmpfs, 4).unwrap();
        let map = FileMap { file: Arc::clone(&file), first: 0, private: false, random: false };
        let area = machine.mmap_file(&space, map, 4).unwrap();
        machine.prefer(&area, 1).unwrap();
        (0..4).for_each(|page| machine.write_word(&area, page, 0, u64::from(page) + 1).unwrap());
        machine.lru_drain_all();
        let lost = machine.page_at(&area, 2).unwrap();
        assert_eq!(machine.memory_failure(lost, None).result, Ok(()));
        assert_eq!(machine.offline_block(1, 0, 4), Ok(()));
        assert_eq!((machine.num_poisoned_pages(), machine.page(lost).unwrap().count()), (1, 2));
        assert_eq!(machine.unpoison_memory(lost).unwrap_err().errno, Errno::EIO);
        let nodes: Vec<_> =
            [0, 1, 3].map(|page| machine.node_of(machine.page_at(&area, page).unwrap())).into();
        assert_eq!(nodes, [0, 0, 0]);
        clean(&machine);
        if kernel == "6.12" {
            assert_eq!(machine.online_block(1, 0, None).unwrap_err().errno, Errno::EHWPOISON);
        } else {
            // The frame stays out as long as the file holds it.
            assert_eq!(machine.online_block(1, 0, None), Ok(()));
            assert_eq!(machine.free_frames(1).0, 63);
            clean(&machine);
            assert_eq!(machine.offline_block(1, 0, 4), Ok(()));
        }
        machine.exit(&space);
        machine.remove_file(&file);
        clean(&machine);
        if kernel == "6.1" {
            assert_eq!(machine.online_block(1, 0, None), Ok(()));
            machine.drain_pcp(1);
            assert_eq!(machine.free_frames(1).0, 64);
            clean(&machine);
        }
        assert_eq!(machine.num_poisoned_pages(), 1);
    }
}

#[test]
fn a_contiguous_range_is_emptied_taken_and_given_back() {
    let machine = machine("6.12");
    let (_space, area) = written(&machine, 0, 30);
    let free = || {
        machine.drain_pcp(0);
        machine.free_frames(0).0
    };
    let before = free();
    // Neither end is that of a pageblock.
    assert_eq!(machine.alloc_contig_range(range(3, 17)), Ok(()));
    assert_eq!(free(), before - 17);
    intact(&machine, &area);
    let inside = |pfn: Pfn| (3..20).contains(&pfn.0);
    assert!((0..30).all(|page| !inside(machine.page_at(&area, page).unwrap())));
    machine.free_contig_range(range(3, 17));
    assert_eq!(free(), before);
    clean(&machine);
}

#[test]
fn a_busy_range_is_left_as_it_was() {
    let machine = machine("6.12");
    let (_space, area) = written(&machine, 0, 8);
    let types = machine.pageblock_types(0);
    let pinned = machine.pin(&area, 5, PinKind::Get, false).unwrap();
    let error = machine.alloc_contig_range(range(0, 16)).unwrap_err();
    assert_eq!((error.errno, error.pfn), (Errno::EBUSY, Some(pinned)));
    machine.unpin(pinned, PinKind::Get);
    assert_eq!(machine.pageblock_types(0), types);
    let kernel = machine.alloc_kernel_pages(0, 1).unwrap()[0];
    let types = machine.pageblock_types(0);
    let moved = machine.stats().events(Event::PgmigrateSuccess);
    let error = machine.alloc_contig_range(Pfn(kernel.0 & !7)..Pfn((kernel.0 & !7) + 8)).unwrap_err();
    assert_eq!((error.errno, error.pfn), (Errno::EBUSY, Some(kernel)));
    assert_eq!((machine.pageblock_types(0), machine.stats().events(Event::PgmigrateSuccess)), (types, moved));
    machine.put(kernel);
    for wrong in [range(0, 0), range(60, 8), range(120, 16)] {
        assert_eq!(machine.alloc_contig_range(wrong).unwrap_err().errno, Errno::EINVAL);
    }
    intact(&machine, &area);
    clean(&machine);
}

#[test]
fn a_pool_gets_the_first_range_that_can_be_emptied_and_gives_way_to_an_offlining() {
    let mut profile = Profile::preset("6.12").unwrap();
    profile.set("pageblock_order", "9").unwrap();
    let config = Config { block: 4096, profile, backed: false, ..Config::new(2, 8192) };
    let machine = Machine::<Split>::new(&config).unwrap();
    let (_space, area) = written(&machine, 0, 40);
    // 2^11 frames are more than the buddy allocator has in a block.
    assert_eq!(machine.set_huge_pages(0, 11, 2), Ok(2));
    let first: Vec<Pfn> = machine.huge_pages().iter().map(|page| page.first).collect();
    assert_eq!(first, [Pfn(0), Pfn(2048)]);
    assert!((0..40).all(|page| machine.page_at(&area, page).unwrap() >= Pfn(4096)));
    assert_eq!(machine.set_huge_pages(1, 9, 3), Ok(3));
    clean(&machine);
    assert_eq!(machine.offline_block(1, 0, 4), Ok(()));
    assert_eq!(machine.set_huge_pages(1, 9, 0), Ok(0));
    assert_eq!(machine.set_huge_pages(0, 11, 0), Ok(0));
    clean(&machine);
}

#[test]
fn pages_of_the_kernel_do_not_come_from_isolated_pageblocks() {
    let machine = machine("6.12");
    assert_eq!(machine.offline_block(1, 0, 1), Ok(()));
    assert_eq!(machine.online_block(1, 0, Some(ZoneKind::Movable)), Ok(()));
    let isolated = Pfn(64 + 16)..Pfn(64 + 24);
    machine.isolate_pageblocks(isolated.clone()).unwrap();
    let pages = machine.alloc_kernel_pages(1, u32::MAX).unwrap();
    assert_eq!(pages.len(), 40, "the other pageblocks of the kernel's zone");
    assert!(!pages.iter().any(|pfn| isolated.contains(pfn)));
    machine.undo_isolate_pageblocks(isolated, MigrateType::Movable).unwrap();
    pages.into_iter().for_each(|pfn| machine.put(pfn));
    assert_eq!(machine.alloc_kernel_pages(2, 0).unwrap_err().errno, Errno::EINVAL);
    clean(&machine);
}

#[test]
fn an_undone_isolation_leaves_movable_pageblocks() {
    let machine = machine("6.12");
    machine.set_pageblock_type(Pfn(0), MigrateType::Reclaimable).unwrap();
    machine.alloc_contig_range(Pfn(0)..Pfn(4)).unwrap();
    machine.free_contig_range(Pfn(0)..Pfn(4));
    assert_eq!(machine.pageblock_type(Pfn(0)), Ok(MigrateType::Movable));
    clean(&machine);
}
