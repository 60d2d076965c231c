//! Rounds of migrations and of bare copies, between two halves of some memory, to and fro.
//!
//! # What makes the copies comparable
//!
//! The pages of a round lie on every other frame, and both the sources and the destinations are in a new
//! random order each round. Without the frames in between, freed frames would merge, and the next round
//! would find its destinations side by side. [`Round::neighbours`] tells how many copies follow a neighbour
//! of theirs. Pages are cold only if a half is larger than the last-level cache; [`host`] says whether it is.

use crate::measures::ProcessorTime;
use mmcore::machine::{Config, Machine, NodeConfig};
use mmcore::map::{AddressSpace, Area, Entry};
use mmcore::memory::{CopyKind, Memory};
use mmcore::migrate::MoveFlags;
use mmcore::page::{PAGE_SIZE, Pfn};
use mmcore::release::Release;
use mmcore::rng::Rng;
use std::sync::Arc;
use std::time::Instant;

/// Pages that one call moves.
pub const BATCH: usize = 512;
/// Frames of a node beyond those that its pages need.
const SPARE: u32 = 256;

/// The pages of a round: `MMCORE_BENCH_PAGES`, or 65,536.
///
/// # Panics
/// If the variable is no number of at least 1,024.
pub fn pages() -> u32 {
    let told = std::env::var("MMCORE_BENCH_PAGES").ok();
    let pages = told.map_or(64 << 10, |text| text.parse().expect("MMCORE_BENCH_PAGES is a number"));
    assert!(pages >= 1 << 10, "MMCORE_BENCH_PAGES is at least 1024");
    pages
}

/// One line about the processor, its last-level cache, and whether pages are cold.
pub fn host(pages: u32) -> String {
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
        Some(_) => "THE PAGES FIT INTO THE CACHE: measure more of them (MMCORE_BENCH_PAGES)",
        None => "whether the pages are cold is not known",
    };
    format!(
        "{}, last-level cache {}, {} MiB on each side: {cold}",
        model.map_or("unknown processor", |(_, name)| name.trim()),
        cache.map_or("unknown".to_owned(), |kib| format!("{} MiB", kib >> 10)),
        half >> 10
    )
}

/// Puts values into a random order.
pub fn shuffle<T>(rng: &mut Rng, values: &mut [T]) {
    for at in (1..values.len()).rev() {
        values.swap(at, rng.below(at as u32 + 1) as usize);
    }
}

/// The share of copies whose frame lies beside the frame of the copy before.
fn neighbours(frames: &[Pfn]) -> f64 {
    let beside = frames.windows(2).filter(|pair| pair[0].0.abs_diff(pair[1].0) <= 2).count();
    beside as f64 / frames.len().max(1) as f64
}

/// Something that moves or copies all its pages once a round.
pub trait Round {
    /// Takes the pages of the next round and their order.
    fn prepare(&mut self);

    /// Moves them.
    fn run(&mut self);

    /// The share of copies of the last round that follow a neighbour, on the busier side.
    fn neighbours(&self) -> f64;

    /// Runs a round; returns its processor time in nanoseconds.
    fn timed(&mut self) -> f64 {
        self.prepare();
        ProcessorTime::of(|| self.run())
    }
}

/// Runs rounds on threads of their own at the same time; returns the wall time in nanoseconds.
pub fn together<T: Round + Send>(rounds: &mut [T]) -> f64 {
    rounds.iter_mut().for_each(Round::prepare);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for round in rounds {
            scope.spawn(|| round.run());
        }
    });
    start.elapsed().as_nanos() as f64
}

/// Migrations of an area's pages to the other of a machine's two nodes.
pub struct Migrations<R: Release> {
    machine: Arc<Machine<R>>,
    space: Arc<AddressSpace>,
    area: Arc<Area>,
    rng: Rng,
    node: u32,
    order: Vec<u32>,
    addresses: Vec<u64>,
    from: Vec<Pfn>,
}

impl<R: Release> Migrations<R> {
    /// Makes a machine and `threads` areas on it, of `pages` pages together.
    ///
    /// # Panics
    /// If the host has not enough memory.
    pub fn new(pages: u32, backed: bool, threads: u32) -> Vec<Migrations<R>> {
        let mut config = Config::new(2, 0);
        config.nodes = vec![NodeConfig { frames: 2 * pages + SPARE * threads, latency_ns: 100 }; 2];
        config.backed = backed;
        config.profile.release = R::DESIGN;
        let machine = Arc::new(Machine::<R>::new(&config).expect("a machine"));
        for node in 0..2 {
            let mut frames: Vec<Pfn> = std::iter::from_fn(|| machine.alloc_pages(node, 0).ok())
                .filter(|pfn| pfn.0 % 2 == 1)
                .collect();
            shuffle(&mut Rng::new(1, node as u64), &mut frames);
            machine.put_all(&frames);
        }
        let of_one = |thread: u32| {
            let pages = pages / threads;
            let space = machine.address_space().expect("a space");
            let area = machine.mmap(&space, pages).expect("an area");
            for index in 0..pages {
                machine.write_word(&area, index, 0, u64::from(index)).expect("a write");
            }
            Migrations {
                machine: Arc::clone(&machine),
                space,
                area,
                rng: Rng::new(2, u64::from(thread)),
                node: 0,
                order: (0..pages).collect(),
                addresses: Vec::new(),
                from: Vec::new(),
            }
        };
        (0..threads).map(of_one).collect()
    }

    fn frames(&self) -> Vec<Pfn> {
        let frame_at = |&index: &u32| match self.area.read(index) {
            Entry::Present { pfn, .. } => Some(pfn),
            _ => None,
        };
        self.order.iter().filter_map(frame_at).collect()
    }
}

impl<R: Release> Round for Migrations<R> {
    fn prepare(&mut self) {
        self.node = 1 - self.node;
        shuffle(&mut self.rng, &mut self.order);
        self.addresses = self.order.iter().map(|&index| self.area.address(index)).collect();
        self.from = self.frames();
    }

    fn run(&mut self) {
        let nodes = [self.node; BATCH];
        for batch in self.addresses.chunks(BATCH) {
            let nodes = &nodes[..batch.len()];
            let moved = self.machine.move_pages(&self.space, batch, nodes, MoveFlags::default());
            assert_eq!(moved.ret, Ok(0));
        }
    }

    fn neighbours(&self) -> f64 {
        neighbours(&self.from).max(neighbours(&self.frames()))
    }
}

/// The way to copy a batch of frames.
pub type Copy = fn(&Memory, &[(Pfn, Pfn)]);

/// Copies of all pages between two halves of some memory, batch by batch.
#[derive(Debug)]
pub struct Copies {
    memory: Arc<Memory>,
    copy: Copy,
    rng: Rng,
    from: Vec<Pfn>,
    to: Vec<Pfn>,
    pairs: Vec<(Pfn, Pfn)>,
}

impl Copies {
    /// Memory for bare copies: as much as a machine's, with each frame touched.
    ///
    /// # Panics
    /// If the host has not enough memory.
    pub fn memory(pages: u32, kind: CopyKind) -> Arc<Memory> {
        let memory = Memory::backed(4 * pages, kind).expect("memory");
        (0..4 * pages).for_each(|pfn| memory.store(Pfn(pfn), 0, 1));
        Arc::new(memory)
    }

    /// Copies of `pages` pages in as many parts as there are threads.
    pub fn new(pages: u32, memory: &Arc<Memory>, copy: Copy, threads: u32) -> Vec<Copies> {
        let half = |first: u32| -> Vec<Pfn> { (0..pages).map(|index| Pfn(first + 2 * index + 1)).collect() };
        let (from, to) = (half(0), half(2 * pages));
        let each = (pages / threads) as usize;
        let of_one = |(thread, (from, to)): (u64, (&[Pfn], &[Pfn]))| Copies {
            memory: Arc::clone(memory),
            copy,
            rng: Rng::new(3, thread),
            from: from.to_vec(),
            to: to.to_vec(),
            pairs: Vec::new(),
        };
        (0..).zip(from.chunks(each).zip(to.chunks(each))).map(of_one).collect()
    }
}

impl Round for Copies {
    fn prepare(&mut self) {
        std::mem::swap(&mut self.from, &mut self.to);
        shuffle(&mut self.rng, &mut self.from);
        shuffle(&mut self.rng, &mut self.to);
        self.pairs = self.from.iter().copied().zip(self.to.iter().copied()).collect();
    }

    fn run(&mut self) {
        self.pairs.chunks(BATCH).for_each(|batch| (self.copy)(&self.memory, batch));
    }

    fn neighbours(&self) -> f64 {
        neighbours(&self.from).max(neighbours(&self.to))
    }
}

/// The core's own copy, by the way of the memory.
pub fn streamed(memory: &Memory, batch: &[(Pfn, Pfn)]) {
    memory.copy_pages(batch.iter().copied());
}

/// libc's `memcpy`.
pub fn memcpy(memory: &Memory, batch: &[(Pfn, Pfn)]) {
    for &(from, to) in batch {
        let frame = |pfn| memory.frame(pfn).expect("backed").as_ptr();
        let (from, to) = (frame(from), frame(to).cast_mut());
        // SAFETY: the ranges are two distinct frames, PAGE_SIZE bytes each, and no other thread uses them.
        unsafe { libc::memcpy(to.cast(), from.cast(), PAGE_SIZE) };
    }
}
