//! Compares complete single-thread migrations of cold pages, under each release design, with a bare
//! libc `memcpy` of as many pages. The variants take turns, round by round, in one run.
//!
//! `cargo bench -p mmcore --bench migrate [-- PAGES ROUNDS]` prints the machine's sizes, the
//! medians and the spread. A debug build is refused.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench reports")]

use mmcore::machine::{Config, Machine, NodeConfig};
use mmcore::map::Area;
use mmcore::migrate::MoveFlags;
use mmcore::page::{PAGE_SIZE, Pfn};
use mmcore::release::{Hook, HookLate, Packed, Putback, Release, Split};
use std::time::Instant;

/// Runs one round and returns nanoseconds a page.
type Round = Box<dyn FnMut() -> f64>;

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("migrate: this is a debug build; run it with `cargo bench`");
        std::process::exit(2);
    }
    let numbers: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let pages = numbers.first().copied().unwrap_or(64 << 10) as u32;
    let rounds = numbers.get(1).copied().unwrap_or(9);
    println!("{pages} pages, {rounds} rounds, batches of 512, one thread; ns a page: median (min..max)");

    let mut variants: Vec<(&str, Round)> = vec![("memcpy", memcpy(pages))];
    for backed in [true, false] {
        variants.push((name(backed, "putback"), migration::<Putback>(pages, backed)));
        variants.push((name(backed, "split"), migration::<Split>(pages, backed)));
        variants.push((name(backed, "hook"), migration::<Hook>(pages, backed)));
        variants.push((name(backed, "hook_late"), migration::<HookLate>(pages, backed)));
        variants.push((name(backed, "packed"), migration::<Packed>(pages, backed)));
    }
    let mut samples = vec![Vec::new(); variants.len()];
    for _ in 0..rounds {
        for (variant, samples) in variants.iter_mut().zip(&mut samples) {
            samples.push(variant.1());
        }
    }
    let median = |samples: &mut Vec<f64>| {
        samples.sort_by(f64::total_cmp);
        samples[samples.len() / 2]
    };
    let base = median(&mut samples[0]);
    for ((name, _), samples) in variants.iter().zip(&mut samples) {
        let m = median(samples);
        println!(
            "{name:24} {m:8.1} ({:.1}..{:.1})   {:.2} × memcpy's speed",
            samples[0],
            samples[samples.len() - 1],
            base / m
        );
    }
}

fn name(backed: bool, design: &'static str) -> &'static str {
    Box::leak(format!("{design}{}", if backed { "" } else { ", no copy" }).into_boxed_str())
}

/// A fixed permutation of the pages. No page is used again shortly after its last use, so every
/// access is to a cold page.
fn shuffled(pages: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..pages).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for i in (1..order.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(i, (state % (i as u64 + 1)) as usize);
    }
    order
}

fn migration<R: Release>(pages: u32, backed: bool) -> Round {
    let mut config = Config::new(2, 0);
    config.nodes = vec![NodeConfig { frames: pages + 4096, latency_ns: 100 }; 2];
    config.backed = backed;
    config.profile.release = R::DESIGN;
    let machine = Machine::<R>::new(&config).expect("a machine");
    let space = machine.address_space().expect("a space");
    let area = machine.mmap(&space, pages).expect("an area");
    for index in 0..pages {
        machine.write_word(&area, index, 0, u64::from(index)).expect("a write");
    }
    let order: Vec<u64> = shuffled(pages).iter().map(|&index| Area::address(&area, index)).collect();
    let mut node = 0;
    Box::new(move || {
        node = 1 - node;
        let nodes = vec![node; 512];
        let start = Instant::now();
        for batch in order.chunks(512) {
            let moved = machine.move_pages(&space, batch, &nodes[..batch.len()], MoveFlags::default());
            assert_eq!(moved.ret, Ok(0));
        }
        start.elapsed().as_nanos() as f64 / f64::from(pages)
    })
}

fn memcpy(pages: u32) -> Round {
    let memory = mmcore::memory::Memory::backed(2 * pages).expect("memory");
    for pfn in 0..2 * pages {
        memory.store(Pfn(pfn), 0, 1);
    }
    let order = shuffled(pages);
    Box::new(move || {
        let start = Instant::now();
        for &index in &order {
            let from = memory.frame(Pfn(index)).expect("backed").as_ptr();
            let to = memory.frame(Pfn(index + pages)).expect("backed").as_ptr().cast_mut();
            // SAFETY: the ranges are two distinct frames of this thread's own memory, PAGE_SIZE
            // bytes each.
            unsafe { libc::memcpy(to.cast(), from.cast(), PAGE_SIZE) };
        }
        start.elapsed().as_nanos() as f64 / f64::from(pages)
    })
}
