//! Compares complete single-thread migrations of cold pages with bare copies of as many pages: libc's
//! `memcpy`, and the core's own copy. The variants take turns, round by round, in one run.
//!
//! `cargo bench -p mmcore --bench migrate [-- PAGES ROUNDS DESIGN... kinds]` measures 65536 pages, 15
//! rounds and the design `split` unless told otherwise; `kinds` adds each way to copy that the processor
//! has. A debug build is refused.
//!
//! # What makes the copies comparable
//!
//! Each variant copies between two halves of its memory, to and fro. Its pages lie on every other frame,
//! and both the sources and the destinations are in a new random order each round. Without the frames in
//! between, freed frames would merge, and the next round would find its destinations side by side. The
//! report states how many copies follow a neighbour of theirs, and whether a half is larger than the
//! last-level cache; only then are the pages cold.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench reports")]

use mmcore::machine::{Config, Machine, NodeConfig};
use mmcore::map::{Area, Entry};
use mmcore::memory::{CopyKind, Memory};
use mmcore::migrate::MoveFlags;
use mmcore::page::{PAGE_SIZE, Pfn};
use mmcore::profile::Design;
use mmcore::release::{Hook, HookLate, Mine, Packed, Putback, Release, Split};
use std::sync::Arc;
use std::time::Instant;

/// Pages that one call moves.
const BATCH: usize = 512;
/// Frames of a node beyond those that its pages need.
const SPARE: u32 = 256;

/// The measurement of one round.
struct Took {
    /// Nanoseconds a page.
    each: f64,
    /// The frames of the sources and of the destinations, in the order in which they were copied.
    frames: (Vec<Pfn>, Vec<Pfn>),
}

/// Runs one round with a source of random numbers.
type Round = Box<dyn FnMut(&mut Rng) -> Took>;

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("migrate: this is a debug build; run it with `cargo bench`");
        std::process::exit(2);
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let numbers: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let mut designs: Vec<Design> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if designs.is_empty() {
        designs.push(Design::Split);
    }
    let pages = numbers.first().copied().unwrap_or(64 << 10) as u32;
    let rounds = numbers.get(1).copied().unwrap_or(15).max(6);

    println!("{}", host(pages));
    println!("{pages} pages, {rounds} rounds, batches of {BATCH}, one thread, new random order each round");
    let bare = Arc::new(bare(pages, CopyKind::best()));
    let mut variants: Vec<(String, Round)> = vec![
        ("memcpy".to_owned(), copies(pages, Arc::clone(&bare), memcpy)),
        (format!("copy, {}", CopyKind::best().name()), copies(pages, bare, streamed)),
    ];
    if words.iter().any(|word| word == "kinds") {
        for kind in CopyKind::ALL.into_iter().skip_while(|kind| *kind != CopyKind::best()).skip(1) {
            let memory = Arc::new(self::bare(pages, kind));
            variants.push((format!("copy, {}", kind.name()), copies(pages, memory, streamed)));
        }
    }
    for backed in [true, false] {
        for &design in &designs {
            let name = format!("{design}{}", if backed { "" } else { ", no copy" });
            variants.push((name, migration_by(design, pages, backed)));
        }
    }
    report(variants, rounds);
}

/// The processor, its last-level cache, and whether pages are cold.
fn host(pages: u32) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let cache = (0..8)
        .map_while(|index| {
            let size = read(&format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size"));
            size.trim().strip_suffix('K')?.parse::<u64>().ok()
        })
        .max();
    let half = (u64::from(pages) * PAGE_SIZE as u64) >> 10;
    let cold = match cache {
        Some(kib) if half >= 2 * kib => "the pages are cold",
        Some(_) => "THE PAGES FIT INTO THE CACHE: measure more of them",
        None => "whether the pages are cold is not known",
    };
    format!(
        "{}, last-level cache {}, {} MiB on each side: {cold}",
        model.map_or("unknown processor", |(_, name)| name.trim()),
        cache.map_or("unknown".to_owned(), |kib| format!("{} MiB", kib >> 10)),
        half >> 10
    )
}

/// Runs all variants in turns and prints their figures.
fn report(mut variants: Vec<(String, Round)>, rounds: usize) {
    let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
    // The first round touches memory for the first time, and is not counted.
    let mut samples = vec![Vec::new(); variants.len()];
    let mut adjacent = vec![(0.0f64, 0.0f64); variants.len()];
    for round in 0..=rounds {
        for (at, (_, run)) in variants.iter_mut().enumerate() {
            let took = run(&mut rng);
            if round > 0 {
                samples[at].push(took.each);
                adjacent[at].0 = adjacent[at].0.max(neighbours(&took.frames.0));
                adjacent[at].1 = adjacent[at].1.max(neighbours(&took.frames.1));
            }
        }
    }
    println!(
        "{:22} {:>9} {:>19}   {:>24}   most neighbours, from and to",
        "", "ns a page", "(min..max)", "x memcpy (95 % interval)"
    );
    for (at, (name, _)) in variants.iter().enumerate() {
        let [_, middle, _] = interval(&samples[at]);
        let (least, most) = extremes(&samples[at]);
        let speeds: Vec<f64> = samples[0].iter().zip(&samples[at]).map(|(base, each)| base / each).collect();
        let [slow, speed, fast] = interval(&speeds);
        println!(
            "{name:22} {middle:9.1} {:>19}   {speed:8.3} {:>15}   {:.1} %, {:.1} %",
            format!("({least:.1}..{most:.1})"),
            format!("({slow:.3}..{fast:.3})"),
            100.0 * adjacent[at].0,
            100.0 * adjacent[at].1
        );
    }
}

/// The share of copies whose frame lies beside the frame of the copy before.
fn neighbours(frames: &[Pfn]) -> f64 {
    let beside = frames.windows(2).filter(|pair| pair[0].0.abs_diff(pair[1].0) <= 2).count();
    beside as f64 / frames.len().max(1) as f64
}

fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::MAX, f64::MIN), |(least, most), &value| (least.min(value), most.max(value)))
}

/// The median, between the ends of its interval of at least 95 % (the order statistics of the sign test,
/// which assumes nothing about the noise).
fn interval(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    // The probability that at most `low` of the values lie below the true median.
    let (mut low, mut term, mut tail) = (0, 0.5f64.powi(count as i32), 0.0);
    while low < count / 2 && tail + term <= 0.025 {
        tail += term;
        term *= (count - low) as f64 / (low + 1) as f64;
        low += 1;
    }
    let low = low.saturating_sub(1);
    [sorted[low], (sorted[count / 2] + sorted[(count - 1) / 2]) / 2.0, sorted[count - 1 - low]]
}

/// A small generator of random numbers (xorshift).
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn shuffle<T>(&mut self, values: &mut [T]) {
        for at in (1..values.len()).rev() {
            values.swap(at, self.below(at + 1));
        }
    }
}

fn migration_by(design: Design, pages: u32, backed: bool) -> Round {
    match design {
        Design::Putback => migration::<Putback>(pages, backed),
        Design::Split => migration::<Split>(pages, backed),
        Design::Hook => migration::<Hook>(pages, backed),
        Design::HookLate => migration::<HookLate>(pages, backed),
        Design::Packed => migration::<Packed>(pages, backed),
        Design::Mine => migration::<Mine>(pages, backed),
    }
}

/// Migrations of all pages of a machine to the other of its two nodes.
fn migration<R: Release>(pages: u32, backed: bool) -> Round {
    let mut config = Config::new(2, 0);
    config.nodes = vec![NodeConfig { frames: 2 * pages + SPARE, latency_ns: 100 }; 2];
    config.backed = backed;
    config.profile.release = R::DESIGN;
    let machine = Machine::<R>::new(&config).expect("a machine");
    for node in 0..2 {
        let mut frames: Vec<Pfn> =
            std::iter::from_fn(|| machine.alloc_pages(node, 0).ok()).filter(|pfn| pfn.0 % 2 == 1).collect();
        Rng(1 + node as u64).shuffle(&mut frames);
        machine.put_all(&frames);
    }
    let space = machine.address_space().expect("a space");
    let area = machine.mmap(&space, pages).expect("an area");
    for index in 0..pages {
        machine.write_word(&area, index, 0, u64::from(index)).expect("a write");
    }
    let mut order: Vec<u32> = (0..pages).collect();
    let mut node = 0;
    Box::new(move |rng| {
        node = 1 - node;
        let nodes = vec![node; BATCH];
        rng.shuffle(&mut order);
        let addresses: Vec<u64> = order.iter().map(|&index| Area::address(&area, index)).collect();
        let frames = || order.iter().filter_map(|&index| frame_at(&area, index)).collect();
        let from = frames();
        let start = Instant::now();
        for batch in addresses.chunks(BATCH) {
            let moved = machine.move_pages(&space, batch, &nodes[..batch.len()], MoveFlags::default());
            assert_eq!(moved.ret, Ok(0));
        }
        Took { each: start.elapsed().as_nanos() as f64 / f64::from(pages), frames: (from, frames()) }
    })
}

fn frame_at(area: &Area, index: u32) -> Option<Pfn> {
    match area.read(index) {
        Entry::Present { pfn, .. } => Some(pfn),
        _ => None,
    }
}

/// Memory for bare copies: as much as a machine's, with each frame touched.
fn bare(pages: u32, kind: CopyKind) -> Memory {
    let memory = Memory::backed(4 * pages, kind).expect("memory");
    (0..4 * pages).for_each(|pfn| memory.store(Pfn(pfn), 0, 1));
    memory
}

/// Copies of all pages between two halves of `memory`, batch by batch.
fn copies(pages: u32, memory: Arc<Memory>, copy: impl Fn(&Memory, &[(Pfn, Pfn)]) + 'static) -> Round {
    let half = |first: u32| (0..pages).map(|index| Pfn(first + 2 * index + 1)).collect::<Vec<_>>();
    let (mut from, mut to) = (half(0), half(2 * pages));
    Box::new(move |rng| {
        std::mem::swap(&mut from, &mut to);
        rng.shuffle(&mut from);
        rng.shuffle(&mut to);
        let pairs: Vec<(Pfn, Pfn)> = from.iter().copied().zip(to.iter().copied()).collect();
        let start = Instant::now();
        pairs.chunks(BATCH).for_each(|batch| copy(&memory, batch));
        let each = start.elapsed().as_nanos() as f64 / f64::from(pages);
        Took { each, frames: (from.clone(), to.clone()) }
    })
}

fn streamed(memory: &Memory, batch: &[(Pfn, Pfn)]) {
    memory.copy_pages(batch.iter().copied());
}

fn memcpy(memory: &Memory, batch: &[(Pfn, Pfn)]) {
    for &(from, to) in batch {
        let frame = |pfn| memory.frame(pfn).expect("backed").as_ptr();
        let (from, to) = (frame(from), frame(to).cast_mut());
        // SAFETY: the ranges are two distinct frames of this thread's own memory, PAGE_SIZE bytes
        // each.
        unsafe { libc::memcpy(to.cast(), from.cast(), PAGE_SIZE) };
    }
}
