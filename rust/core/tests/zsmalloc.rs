//! A pool of zsmalloc against a map of bytes, on one thread and on several, while pages move.

use mmcore::audit::Ledger;
use mmcore::error::Errno;
use mmcore::machine::{Config, Machine};
use mmcore::map::Advice;
use mmcore::migrate::{Mode, Reason};
use mmcore::page::Pfn;
use mmcore::profile::Profile;
use mmcore::release::Split;
use mmcore::sync::patiently;
use mmcore::zram::{BLOCK_WORDS, Compressor, Words, Zram};
use mmcore::zsmalloc::{Handle, ZsPool};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const KERNELS: [&str; 4] = ["4.8", "6.1", "6.12", "6.19"];

fn machine(kernel: &str, frames: u32) -> Machine<Split> {
    let mut config = Config::new(2, frames);
    config.profile = Profile::preset(kernel).unwrap();
    Machine::new(&config).unwrap()
}

fn free_frames(machine: &Machine<Split>) -> u32 {
    (0..2).map(|node| machine.free_frames(node)).map(|(buddy, arrays)| buddy + arrays).sum()
}

fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 24) as u8
        })
        .collect()
}

/// Moves every page that can be isolated to the other node. Returns how many moved.
fn move_all(machine: &Machine<Split>) -> u32 {
    let frames = machine.frames().len();
    let mut list: Vec<Pfn> = (0..frames).map(Pfn).filter(|&pfn| machine.isolate_movable_page(pfn)).collect();
    let mut elsewhere = |from| machine.alloc_pages(1 - machine.node_of(from), 0).ok();
    let moved = machine.migrate_pages(&mut list, &mut elsewhere, Mode::Sync, Reason::Compaction);
    machine.putback_movable_pages(&mut list);
    moved.succeeded
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u64),
    Free(usize),
    Compact,
    Move,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![1usize..200, 200usize..1800, 1800usize..=4096];
    let step = prop_oneof![
        6 => (len, any::<u64>()).prop_map(|(len, seed)| Step::Put(len, seed)),
        4 => any::<usize>().prop_map(Step::Free),
        1 => Just(Step::Compact),
        1 => Just(Step::Move),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_pool_is_a_map_of_bytes(kernel in 0usize..4, steps in steps()) {
        let machine = machine(KERNELS[kernel], 1 << 10);
        let before = free_frames(&machine);
        let pool = ZsPool::new(&machine).unwrap();
        let mut model: BTreeMap<Handle, Vec<u8>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(len, seed) => {
                    let bytes = content(seed, len);
                    let handle = pool.put(&machine, &bytes, 0).unwrap();
                    prop_assert!(model.insert(handle, bytes).is_none());
                }
                Step::Free(which) => {
                    if let Some(handle) = model.keys().nth(which % model.len().max(1)).copied() {
                        pool.free(&machine, handle).unwrap();
                        model.remove(&handle);
                        prop_assert!(pool.get(&machine, handle).is_err());
                        prop_assert!(pool.free(&machine, handle).is_err());
                    }
                }
                Step::Compact => {
                    let before = pool.pages();
                    prop_assert_eq!(pool.compact(&machine), before - pool.pages());
                }
                Step::Move => {
                    prop_assert_eq!(u64::from(move_all(&machine)), pool.pages());
                }
            }
            for (&handle, bytes) in &model {
                prop_assert_eq!(&pool.get(&machine, handle).unwrap(), bytes);
            }
            prop_assert_eq!(machine.audit(&Ledger::default()), vec![]);
        }
        prop_assert_eq!(pool.stats().objects, model.len() as u64);
        for handle in model.into_keys() {
            pool.free(&machine, handle).unwrap();
        }
        pool.close(&machine).unwrap();
        prop_assert_eq!(free_frames(&machine), before);
        prop_assert_eq!(machine.audit(&Ledger::default()), vec![]);
    }
}

#[test]
fn threads_keep_their_bytes_while_pages_and_objects_move() {
    for kernel in KERNELS {
        let machine = Arc::new(machine(kernel, 1 << 11));
        let before = free_frames(&machine);
        let pool = ZsPool::new(&*machine).unwrap();
        // There are pages to move also if the mover is done before the other threads begin.
        let kept: Vec<Handle> = (0..40).map(|n| pool.put(&machine, &content(n, 1000), 0).unwrap()).collect();
        std::thread::scope(|scope| {
            for thread in 0..3u64 {
                let (machine, pool) = (&*machine, &*pool);
                scope.spawn(move || {
                    let mut mine: Vec<(Handle, Vec<u8>)> = Vec::new();
                    for round in 0..1500u64 {
                        let bytes = content(round * 4 + thread, 1 + (round * 37 % 2000) as usize);
                        mine.push((pool.put(machine, &bytes, 0).unwrap(), bytes));
                        let (handle, bytes) = &mine[round as usize * 7 % mine.len()];
                        assert_eq!(&pool.get(machine, *handle).unwrap(), bytes, "{kernel}");
                        if mine.len() > 150 {
                            let (handle, bytes) = mine.swap_remove(round as usize * 13 % 150);
                            assert_eq!(pool.get(machine, handle).unwrap(), bytes, "{kernel}");
                            pool.free(machine, handle).unwrap();
                        }
                        pool.free_empty(machine);
                    }
                    for (handle, bytes) in mine {
                        assert_eq!(pool.get(machine, handle).unwrap(), bytes, "{kernel}");
                        pool.free(machine, handle).unwrap();
                    }
                });
            }
            let (machine, pool) = (&*machine, &*pool);
            scope.spawn(move || {
                let mut moved = 0;
                for _ in 0..60 {
                    moved += move_all(machine);
                    pool.compact(machine);
                }
                assert!(moved > 0, "{kernel}: no page moved");
            });
        });
        for (n, handle) in (0..).zip(kept) {
            assert_eq!(pool.get(&machine, handle).unwrap(), content(n, 1000), "{kernel}");
            pool.free(&machine, handle).unwrap();
        }
        pool.close(&*machine).unwrap();
        assert_eq!(free_frames(&machine), before, "{kernel}");
        assert_eq!(machine.audit(&Ledger::default()), vec![], "{kernel}");
    }
}

#[test]
fn a_pool_with_objects_is_not_closed() {
    let machine = machine("6.12", 64);
    let pool = ZsPool::new(&machine).unwrap();
    let handle = pool.put(&machine, b"here", 0).unwrap();
    assert!(pool.close(&machine).unwrap_err().to_string().contains("free them first"));
    pool.free(&machine, handle).unwrap();
    pool.close(&machine).unwrap();
}

#[test]
fn without_a_frame_nothing_is_stored_and_nothing_is_lost() {
    let machine = machine("6.12", 8);
    let pool = ZsPool::new(&machine).unwrap();
    let mut handles = Vec::new();
    let error = loop {
        match pool.put(&machine, &[1; 4096], 0) {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
    };
    assert_eq!((error.errno.name(), handles.len()), (Some("ENOMEM"), 16));
    assert!(pool.put(&machine, &[1; 100], 0).is_err());
    handles.into_iter().for_each(|handle| pool.free(&machine, handle).unwrap());
    pool.close(&machine).unwrap();
    assert_eq!(machine.audit(&Ledger::default()), vec![]);
}

/// Runs a call that would wait for ever, and returns its error.
fn interrupted(call: impl FnOnce() -> mmcore::error::Result<()>) -> Option<Errno> {
    patiently(Duration::from_millis(20), call).err().map(|error| error.errno)
}

#[test]
fn a_close_that_waits_for_an_isolated_page_is_interrupted() {
    let machine = machine("4.8", 64);
    let pool = ZsPool::new(&machine).unwrap();
    let handle = pool.put(&machine, b"here", 0).unwrap();
    let page = pool.page(0).unwrap();
    assert!(machine.isolate_movable_page(page));
    pool.free(&machine, handle).unwrap();
    assert_eq!(interrupted(|| pool.close(&machine)), Some(Errno::EINTR));
    assert!(!pool.is_closed());
    let handle = pool.put(&machine, b"there", 0).unwrap();
    machine.putback_movable_page(page);
    pool.free(&machine, handle).unwrap();
    pool.close(&machine).unwrap();
    assert!(pool.is_closed() && pool.put(&machine, b"gone", 0).is_err());
    assert_eq!(machine.audit(&Ledger::default()), vec![]);
}

/// A block that does not compress.
fn mixed(seed: u64) -> Words {
    let mut words: Words = [0; BLOCK_WORDS];
    let bytes = content(seed, 8 * BLOCK_WORDS);
    words.iter_mut().zip(bytes.chunks(8)).for_each(|(word, bytes)| {
        *word = u64::from_le_bytes(bytes.try_into().unwrap());
    });
    words
}

#[test]
fn a_reset_that_waits_for_an_isolated_page_is_interrupted() {
    let machine = machine("4.8", 64);
    let device = Zram::new(&machine, 8, Compressor::default()).unwrap();
    device.write(&machine, 0, &mixed(1), 0).unwrap();
    let page = device.pool().page(0).unwrap();
    assert!(machine.isolate_movable_page(page));
    assert_eq!(interrupted(|| device.reset(&machine)), Some(Errno::EINTR));
    device.write(&machine, 1, &mixed(2), 0).unwrap();
    machine.putback_movable_page(page);
    device.reset(&machine).unwrap();
    assert_eq!(machine.audit(&Ledger::default()), vec![]);
}

#[test]
fn a_pool_is_open_while_a_page_of_it_is_left() {
    for kernel in KERNELS {
        let machine = machine(kernel, 64);
        let pool = ZsPool::new(&machine).unwrap();
        let before = free_frames(&machine);
        let handle = pool.put(&machine, b"here", 0).unwrap();
        let page = pool.page(0).unwrap();
        assert!(machine.frames()[page].trylock());
        pool.free(&machine, handle).unwrap();
        assert!(pool.has_work());
        assert_eq!(interrupted(|| pool.close(&machine)), Some(Errno::EINTR), "{kernel}");
        machine.frames()[page].unlock(page);
        assert_eq!((pool.is_closed(), pool.pages() > 0), (false, true), "{kernel}");
        // The pool still has its owner slot, so its page can be isolated.
        if machine.isolate_movable_page(page) {
            machine.putback_movable_page(page);
        }
        pool.close(&machine).unwrap();
        assert_eq!((pool.pages(), free_frames(&machine)), (0, before), "{kernel}");
        assert_eq!(machine.audit(&Ledger::default()), vec![], "{kernel}");
    }
}

#[test]
fn a_device_that_was_reset_takes_no_content() {
    let machine = machine("6.12", 64);
    let device = Zram::new(&machine, 8, Compressor::default()).unwrap();
    device.reset(&machine).unwrap();
    for words in [[7; BLOCK_WORDS], mixed(1)] {
        assert_eq!(device.write(&machine, 0, &words, 0).unwrap_err().errno, Errno::EINVAL);
    }
    assert_eq!((device.mm_stat().orig, device.mm_stat().same), (0, 0));
    assert_eq!(machine.swapon_zram(&device).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(machine.swap_use().total, 0);
    device.reset(&machine).unwrap();
}

#[test]
fn a_device_that_is_the_swap_space_is_not_reset() {
    let machine = machine("6.12", 64);
    let device = Zram::new(&machine, 8, Compressor::default()).unwrap();
    device.write(&machine, 0, &mixed(1), 0).unwrap();
    machine.swapon_zram(&device).unwrap();
    assert_eq!(device.reset(&machine).unwrap_err().errno, Errno::EBUSY);
    let mut words: Words = [0; BLOCK_WORDS];
    device.read(&machine, 0, &mut words).unwrap();
    assert!(words == mixed(1), "the blocks have their content");
    machine.swapoff().unwrap();
    device.reset(&machine).unwrap();
}

#[test]
fn empty_zspages_of_the_swap_device_are_freed_by_reclaim_and_swapoff() {
    for end in ["reclaim", "swapoff"] {
        let machine = machine("6.12", 256);
        let device = Zram::new(&machine, 64, Compressor::default()).unwrap();
        machine.swapon_zram(&device).unwrap();
        let space = machine.address_space().unwrap();
        let area = machine.mmap(&space, 8).unwrap();
        for page in 0..8 {
            machine.write_word(&area, page, 0, u64::from(page) + 1).unwrap();
        }
        machine.madvise(&space, &area, 0..8, Advice::Pageout).unwrap();
        let locked = device.pool().all_pages();
        assert!(!locked.is_empty());
        assert!(locked.iter().all(|&pfn| machine.frames()[pfn].trylock()));
        machine.exit(&space);
        assert!(device.pool().pages() > 0 && device.pool().stats().objects == 0);
        assert_eq!(machine.reclaim(0, 1).unwrap(), 0, "locked pages are not waited for");
        locked.iter().for_each(|&pfn| machine.frames()[pfn].unlock(pfn));
        match end {
            "reclaim" => _ = machine.reclaim(0, 1).unwrap(),
            _ => machine.swapoff().unwrap(),
        }
        assert_eq!(device.pool().pages(), 0, "{end}");
        assert_eq!(machine.audit(&Ledger::default()), vec![], "{end}");
    }
}

#[test]
fn the_error_for_an_object_larger_than_a_page_depends_on_the_kernel() {
    for (kernel, errno) in [("4.8", Errno::EINVAL), ("6.1", Errno::EINVAL), ("6.12", Errno::ENOSPC)] {
        let machine = machine(kernel, 64);
        let pool = ZsPool::new(&machine).unwrap();
        assert_eq!(pool.alloc(&machine, 4097, 0).unwrap_err().errno, errno, "{kernel}");
        assert_eq!(pool.alloc(&machine, 0, 0).unwrap_err().errno, Errno::EINVAL, "{kernel}");
    }
}

#[test]
fn a_reset_forgets_the_limit_and_the_figures_of_a_device() {
    let machine = machine("6.12", 64);
    let device = Zram::new(&machine, 8, Compressor::default()).unwrap();
    device.set_limit(1 << 20);
    let words: Words = std::array::from_fn(|word| word as u64);
    device.write(&machine, 0, &words, 0).unwrap();
    assert!(device.mm_stat().used_max > 0);
    device.reset(&machine).unwrap();
    assert_eq!(device.mm_stat(), mmcore::zram::MmStat::default());
}
