//! Memory pressure: watermarks, reclaim and compaction by allocations, daemons, out of memory.

use crate::common::assert_clean;
use mmcore::balloon::Balloon;
use mmcore::error::{Errno, Why};
use mmcore::machine::{Config, Machine};
use mmcore::map::{AddressSpace, Advice, Area, File, FileKind};
use mmcore::page::Pfn;
use mmcore::pressure::{Daemons, Surroundings};
use mmcore::release::{Release, Split};
use mmcore::stat::Event;
use mmcore::zram::{Compressor, Zram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn pressed(nodes: usize, frames: u32) -> Config {
    Config { pressure: true, ..Config::new(nodes, frames) }
}

fn machine(nodes: usize, frames: u32) -> Machine<Split> {
    Machine::new(&pressed(nodes, frames)).unwrap()
}

fn free<R: Release>(machine: &Machine<R>) -> u32 {
    (0..machine.nodes().len()).map(|node| machine.free_frames(node).0).sum()
}

fn read_page<R: Release>(machine: &Machine<R>, file: &File, page: u32) -> mmcore::error::Result<()> {
    machine.file_read(file, u64::from(page) * 4096, &mut [0; 8], 0)
}

/// Regions of so many pages together; one region cannot be larger than the machine.
struct Memory {
    space: Arc<AddressSpace>,
    areas: Vec<Arc<Area>>,
    each: u32,
}

impl Memory {
    fn new(machine: &Machine<Split>, each: u32, regions: u32) -> Memory {
        let space = machine.address_space().unwrap();
        let areas = (0..regions).map(|_| machine.mmap(&space, each).unwrap()).collect();
        Memory { space, areas, each }
    }

    fn write(&self, machine: &Machine<Split>, page: u32, word: u64) -> mmcore::error::Result<()> {
        machine.write_word(&self.areas[(page / self.each) as usize], page % self.each, 0, word)
    }

    fn read(&self, machine: &Machine<Split>, page: u32) -> mmcore::error::Result<u64> {
        machine.read_word(&self.areas[(page / self.each) as usize], page % self.each, 0)
    }
}

#[test]
fn watermarks_follow_the_reserve() {
    let machine = machine(2, 1 << 16);
    assert_eq!(machine.min_free_kbytes(), 2896);
    let marks = machine.watermarks(0).unwrap();
    assert_eq!((marks.min, marks.low, marks.high), (362, 452, 542));
    machine.set_min_free_kbytes(8192).unwrap();
    assert_eq!(machine.watermarks(1).unwrap().min, 1024);
    assert_eq!(machine.watermarks(2).unwrap_err().errno, Errno::EINVAL);
    let calm: Machine<Split> = Machine::new(&Config::new(1, 64)).unwrap();
    assert_eq!(calm.set_min_free_kbytes(4).unwrap_err().errno, Errno::EINVAL);
    assert_eq!((calm.watermarks(0).unwrap().high, calm.min_free_kbytes()), (0, 0));
}

#[test]
fn an_allocation_reclaims_what_a_file_does_not_need() {
    let machine = machine(1, 256);
    let file = machine.file(FileKind::Disk, 400).unwrap();
    for page in 0..400 {
        read_page(&machine, &file, page).unwrap();
    }
    let event = |event| machine.stats().events(event);
    assert!(event(Event::Allocstall) > 0 && event(Event::PgstealDirect) > 0);
    assert_eq!(event(Event::OomKill), 0);
    let marks = machine.watermarks(0).unwrap();
    assert!(free(&machine) + 128 > marks.min, "the reserve is left");
    machine.drop_caches();
    assert_clean(&machine);
}

#[test]
fn memory_in_use_is_swapped_out_and_comes_back() {
    let machine = machine(1, 128);
    machine.swapon(512).unwrap();
    let memory = Memory::new(&machine, 100, 4);
    for page in 0..400 {
        memory.write(&machine, page, u64::from(page) + 1).unwrap();
    }
    for page in 0..400 {
        assert_eq!(memory.read(&machine, page).unwrap(), u64::from(page) + 1);
    }
    assert!(machine.stats().events(Event::Pswpout) >= 272);
    machine.exit(&memory.space);
    assert_clean(&machine);
}

#[test]
fn swap_on_zram_takes_its_frames_from_the_reserve() {
    let machine = machine(1, 256);
    let device = Zram::new(&machine, 1024, Compressor::default()).unwrap();
    machine.swapon_zram(&device).unwrap();
    let memory = Memory::new(&machine, 200, 3);
    for page in 0..600 {
        memory.write(&machine, page, u64::from(page) + 1).unwrap();
    }
    for page in 0..600 {
        assert_eq!(memory.read(&machine, page).unwrap(), u64::from(page) + 1);
    }
    assert!(machine.stats().events(Event::Pswpout) > 300);
    machine.exit(&memory.space);
    machine.swapoff().unwrap();
    device.reset(&machine).unwrap();
    machine.lru_drain_all();
    assert_clean(&machine);
}

#[test]
fn memory_that_cannot_be_reclaimed_ends_out_of_memory() {
    let machine = machine(2, 64);
    let memory = Memory::new(&machine, 100, 4);
    let mut written = 0;
    let error = loop {
        match memory.write(&machine, written, 1) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.errno, Errno::ENOMEM);
    assert_eq!(error.why, Why::OutOfMemory { order: 0 });
    let marks: u32 = (0..2).map(|node| machine.watermarks(node).unwrap().min).sum();
    assert_eq!(written, 128 - marks, "the reserve is left");
    assert_eq!(machine.stats().events(Event::OomKill), 1);
    // An allocation that accepts one node alone says nothing about the machine.
    assert!(matches!(machine.alloc_pages(0, 0).unwrap_err().why, Why::NoFrame { .. }));
    assert_eq!(machine.stats().events(Event::OomKill), 1);
    machine.madvise(&memory.space, &memory.areas[0], 0..4, Advice::Dontneed).unwrap();
    memory.write(&machine, written, 1).unwrap();
    machine.exit(&memory.space);
    assert_clean(&machine);
}

#[test]
fn the_balloon_is_asked_before_an_allocation_is_out_of_memory() {
    let mut config = pressed(1, 128);
    config.profile.deflate_on_oom = true;
    let machine: Machine<Split> = Machine::new(&config).unwrap();
    let balloon = Balloon::new(&machine).unwrap();
    let got = balloon.inflate(&machine, 200, 0).unwrap();
    assert!(got > 100 && got <= 128 - machine.watermarks(0).unwrap().min, "{got}");
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 64).unwrap();
    for page in 0..64 {
        machine.write_word(&area, page, 0, 1).unwrap();
    }
    assert!(balloon.size() < got);
    assert_eq!(machine.stats().events(Event::OomKill), 0);
    machine.exit(&space);
    balloon.deflate(&machine, got);
    assert_clean(&machine);
}

/// A region of all frames of which every second page is gone; no block of four frames is free.
fn in_pieces(machine: &Machine<Split>) -> Arc<AddressSpace> {
    let space = machine.address_space().unwrap();
    let frames = machine.frames().len();
    let area = machine.mmap(&space, frames).unwrap();
    machine.set_min_free_kbytes(0).unwrap();
    for page in 0..frames {
        machine.write_word(&area, page, 0, 1).unwrap();
    }
    for page in (0..frames).step_by(2) {
        machine.madvise(&space, &area, page..page + 1, Advice::Dontneed).unwrap();
    }
    machine.lru_drain_all();
    machine.drain_pcp(0);
    space
}

#[test]
fn an_allocation_compacts_for_a_block() {
    for order in [2, 4] {
        let mut config = pressed(1, 256);
        config.profile.pageblock_order = 4;
        let machine: Machine<Split> = Machine::new(&config).unwrap();
        let space = in_pieces(&machine);
        assert!(machine.alloc_pages_nowait(0, order).is_err());
        let pfn = machine.alloc_pages(0, order).unwrap();
        let event = |event| machine.stats().events(event);
        assert_eq!((event(Event::CompactStall), event(Event::CompactSuccess)), (1, 1), "order {order}");
        machine.put(pfn);
        machine.exit(&space);
        assert_clean(&machine);
    }
}

#[test]
fn kswapd_frees_up_to_the_high_watermark() {
    let machine = machine(1, 1024);
    let file = machine.file(FileKind::Disk, 3000).unwrap();
    let marks = machine.watermarks(0).unwrap();
    let mut pages = 0..3000;
    let woken = pages.find_map(|page| {
        read_page(&machine, &file, page).unwrap();
        machine.take_wanted_kswapd(0)
    });
    assert_eq!(woken, Some(0), "the daemon is woken");
    assert!(free(&machine) <= marks.low);
    machine.kswapd(0, 0).unwrap();
    assert!(free(&machine) > marks.high);
    let event = |event| machine.stats().events(event);
    assert_eq!((event(Event::Pageoutrun), event(Event::PgstealDirect)), (1, 0));
    assert!(event(Event::PgstealKswapd) > 0);
    assert_eq!(machine.kswapd(0, 0).unwrap(), 0, "nothing is missing");
    assert_eq!(machine.kswapd(1, 0).unwrap_err().errno, Errno::EINVAL);
}

fn nothing_around() -> Surroundings {
    Arc::new(|work| work())
}

#[test]
fn daemons_work_in_the_background_and_stop() {
    let machine = Arc::new(machine(2, 1024));
    let daemons = Daemons::start(&machine, &nothing_around()).unwrap();
    let file = machine.file(FileKind::Disk, 6000).unwrap();
    for page in 0..6000 {
        read_page(&machine, &file, page).unwrap();
    }
    let began = Instant::now();
    while machine.stats().events(Event::PgstealKswapd) == 0 && began.elapsed() < Duration::from_secs(10) {
        read_page(&machine, &file, 0).unwrap();
        std::thread::yield_now();
    }
    assert!(machine.stats().events(Event::Pageoutrun) > 0);
    daemons.stop();
    machine.drop_caches();
    machine.lru_drain_all();
    assert_clean(&machine);
}

/// A machine at 100 % use: threads write more memory than there is, and another one reads a file, allocates
/// blocks and compacts, while the daemons run. Pages go to plain `swap`, or compressed into the same memory.
/// Every word is right, nothing hangs, nothing is lost.
fn storm(seconds: u64, swap: bool) {
    let mut config = pressed(2, 1024);
    config.profile.pageblock_order = 5;
    let machine: Arc<Machine<Split>> = Arc::new(Machine::new(&config).unwrap());
    let device = Zram::new(&machine, 2048, Compressor::default()).unwrap();
    match swap {
        true => machine.swapon(2048).unwrap(),
        false => machine.swapon_zram(&device).unwrap(),
    }
    let daemons = Daemons::start(&machine, &nothing_around()).unwrap();
    let file = machine.file(FileKind::Disk, 1500).unwrap();
    let stop = AtomicBool::new(false);
    let (refused, done) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for number in 0..3u64 {
            let (machine, stop, refused, done) = (&machine, &stop, &refused, &done);
            scope.spawn(move || {
                let space = machine.address_space().unwrap();
                let area = machine.mmap(&space, 900).unwrap();
                let mut written = vec![0u64; 900];
                let mut state = number + 1;
                while !stop.load(Ordering::Relaxed) {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    let page = (state >> 33) as u32 % 900;
                    let expected = written[page as usize];
                    if expected > 0 && state & 1 << 20 != 0 {
                        match machine.read_word(&area, page, 0) {
                            Ok(found) => assert_eq!(found, expected, "page {page}"),
                            Err(error) => assert_eq!(error.errno, Errno::ENOMEM, "{error}"),
                        }
                    } else {
                        match machine.write_word(&area, page, 0, state) {
                            Ok(()) => written[page as usize] = state,
                            Err(error) => {
                                assert_eq!(error.errno, Errno::ENOMEM, "{error}");
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
                for (page, &expected) in written.iter().enumerate().filter(|(_, word)| **word > 0) {
                    // Memory may still be short: other threads have not ended.
                    let began = Instant::now();
                    loop {
                        match machine.read_word(&area, page as u32, 0) {
                            Ok(found) => break assert_eq!(found, expected, "page {page}"),
                            Err(error) => assert!(began.elapsed() < Duration::from_secs(20), "{error}"),
                        }
                    }
                }
                machine.exit(&space);
            });
        }
        let (machine, stop, file) = (&machine, &stop, &file);
        scope.spawn(move || {
            let mut held: Vec<Pfn> = Vec::new();
            let mut round = 0u32;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                match machine.alloc_pages_near((round % 2) as usize, (round % 6) as u8) {
                    Ok(pfn) => held.push(pfn),
                    Err(error) => assert_eq!(error.errno, Errno::ENOMEM, "{error}"),
                }
                if held.len() > 12 || (round.is_multiple_of(7) && !held.is_empty()) {
                    machine.put(held.swap_remove(round as usize % held.len()));
                }
                _ = read_page(machine, file, round % 1500);
                if round.is_multiple_of(50) {
                    machine.compact((round as usize / 50) % 2, false).unwrap();
                }
            }
            held.into_iter().for_each(|pfn| machine.put(pfn));
        });
        std::thread::sleep(Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
    });
    daemons.stop();
    let event = |event| machine.stats().events(event);
    let (direct, background) = (event(Event::PgstealDirect), event(Event::PgstealKswapd));
    let stalls = event(Event::CompactStall);
    let figures = format!(
        "{} accesses, {} refused, reclaimed {direct} directly and {background} in the background, {stalls} \
         stalls of compaction, {} successful, out of memory {}",
        done.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed),
        event(Event::CompactSuccess),
        event(Event::OomKill),
    );
    assert!(direct > 0 && background > 0 && stalls > 0, "{figures}");
    machine.drop_caches();
    machine.swapoff().unwrap();
    device.reset(&machine).unwrap();
    machine.lru_drain_all();
    assert_clean(&machine);
}

#[test]
fn a_storm_at_full_use_loses_nothing() {
    storm(3, true);
}

#[test]
fn a_storm_at_full_use_with_compressed_swap_loses_nothing() {
    storm(3, false);
}

/// By hand: `cargo test -p mmcore --release --test suite -- pressure --ignored`.
#[test]
#[ignore = "takes two minutes"]
fn a_minute_of_storm() {
    storm(60, true);
    storm(60, false);
}
