//! Single operations on pages: references, isolation, the last put, and large machines.
//!
//! `cargo bench -p mmcore-benches --bench pages [-- FILTER]`. `references` has the processor time of a get
//! and a put in multiples of that of a bare pair of a compare-exchange and a subtraction, in the same round;
//! under contention that of both threads. The isolation on two nodes has the wall time of two threads in
//! multiples of that of one. The other groups have nanoseconds of processor time, a page where a name has a
//! number of pages.
#![allow(missing_docs, reason = "a bench")]

use criterion::{Criterion, SamplingMode};
use mmcore::machine::{Config, Machine, NodeConfig};
use mmcore::page::Pfn;
use mmcore::release::{Packed, Release, Split};
use mmcore::rng::Rng;
use mmcore_benches::measures::{Beside, ProcessorTime};
use mmcore_benches::rounds::shuffle;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Pairs of a get and a put in one round.
const PAIRS: u64 = 200_000;
/// Pages of one call that isolates or puts.
const BATCH: usize = 512;

fn main() {
    let criterion = || Criterion::default().sample_size(20).measurement_time(Duration::from_secs(4));
    let beside = Beside { unit: "x bare pair" };
    references(&mut criterion().with_measurement(beside).configure_from_args());
    let mut by_processor = criterion().with_measurement(ProcessorTime).configure_from_args();
    last_puts(&mut by_processor);
    isolation(&mut by_processor);
    machines(&mut by_processor);
    let beside = Beside { unit: "x one thread" };
    isolation_on_two_nodes(&mut criterion().with_measurement(beside).configure_from_args());
}

/// Runs `work` on as many threads, at the same time.
fn on_threads(threads: usize, work: impl Fn(usize) + Sync) {
    if threads == 1 {
        return work(0);
    }
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(thread);
            });
        }
    });
}

/// The wall time that `work` takes, in nanoseconds.
fn wall(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64
}

/// A count as it would be without mmcore: a compare-exchange that takes one, a subtraction that gives it.
fn bare_pairs(word: &AtomicU64) {
    for _ in 0..PAIRS {
        // Relaxed: the exchange checks the value. Acquire and Release are those of a page's count.
        let mut seen = word.load(Ordering::Relaxed);
        while let Err(now) = word.compare_exchange_weak(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed)
        {
            seen = now;
        }
        black_box(word.fetch_sub(1, Ordering::Release));
    }
}

fn references(criterion: &mut Criterion<Beside>) {
    let machine = Machine::<Split>::new(&Config::new(1, 1024)).expect("a machine");
    let pfn = machine.alloc_pages(0, 0).expect("a page");
    let page = machine.page(pfn).expect("a record");
    let word = AtomicU64::new(1);
    let mut group = criterion.benchmark_group("references");
    group.sampling_mode(SamplingMode::Flat);
    for (name, threads) in [("alone", 1), ("contended", 2)] {
        group.bench_function(name, |bencher| {
            let pairs = |_| {
                for _ in 0..PAIRS {
                    assert!(page.try_get(), "the page has a reference");
                    machine.put(black_box(pfn));
                }
            };
            let mut bare = || ProcessorTime::of(|| on_threads(threads, |_| bare_pairs(&word)));
            let mut ours = || ProcessorTime::of(|| on_threads(threads, pairs));
            Beside::measure(bencher, &mut bare, &mut ours);
        });
    }
    group.finish();
}

/// A machine without contents, of which each node has `pages` pages on its lists.
fn listed<R: Release>(nodes: usize, pages: u32) -> (Machine<R>, Vec<Vec<Pfn>>) {
    let mut config = Config::new(nodes, 0);
    config.nodes = vec![NodeConfig { frames: pages + 1024, latency_ns: 100 }; nodes];
    config.backed = false;
    config.profile.release = R::DESIGN;
    let machine = Machine::<R>::new(&config).expect("a machine");
    let all = (0..nodes).map(|node| list(&machine, node, pages)).collect();
    (machine, all)
}

/// Allocates pages of a node and puts them on its list. The caller has the references.
fn list<R: Release>(machine: &Machine<R>, node: usize, pages: u32) -> Vec<Pfn> {
    let mut all: Vec<Pfn> = (0..pages).map(|_| machine.alloc_pages(node, 0).expect("a page")).collect();
    shuffle(&mut Rng::new(4, node as u64), &mut all);
    all.iter().for_each(|&pfn| machine.lru_add(pfn));
    machine.lru_drain_all();
    all
}

/// A way to put the references of pages.
type Put = fn(&Machine<Split>, &[Pfn]);

/// The last put of pages that are on a list, in batches and one by one, down to the free frame.
fn last_puts(criterion: &mut Criterion<ProcessorTime>) {
    let mut group = criterion.benchmark_group("last put");
    group.sampling_mode(SamplingMode::Flat);
    let together: Put = |machine, pages| machine.put_all(pages);
    let alone: Put = |machine, pages| pages.iter().for_each(|&pfn| machine.put(pfn));
    let ways = [("", together), (" one by one", alone)];
    for (pages, (way, put)) in
        [310, 65_536, 262_144].into_iter().flat_map(|pages| ways.map(|way| (pages, way)))
    {
        let mut made = None;
        group.bench_function(format!("{pages}{way}"), |bencher| {
            let (machine, all) = made.get_or_insert_with(|| listed(1, pages));
            bencher.iter_custom(|rounds| {
                let mut took = 0.0;
                for _ in 0..rounds {
                    took += ProcessorTime::of(|| {
                        all[0].chunks(BATCH).for_each(|batch| put(machine, batch));
                    });
                    all[0] = list(machine, 0, pages);
                }
                took / f64::from(pages)
            });
        });
    }
    group.finish();
}

/// Isolates pages and puts them back, batch by batch.
fn there_and_back<R: Release>(machine: &Machine<R>, pages: &[Pfn]) {
    for batch in pages.chunks(BATCH) {
        let isolated = machine.isolate_all(batch).expect("memory for a batch");
        assert_eq!(isolated.len(), batch.len(), "all are on a list");
        machine.putback_all(&isolated);
        machine.lru_drain_local();
    }
}

/// The same, page by page.
fn one_by_one<R: Release>(machine: &Machine<R>, pages: &[Pfn]) {
    for batch in pages.chunks(BATCH) {
        batch.iter().for_each(|&pfn| machine.isolate(pfn).expect("it is on a list"));
        batch.iter().for_each(|&pfn| machine.putback(pfn));
        machine.lru_drain_local();
    }
}

fn isolation(criterion: &mut Criterion<ProcessorTime>) {
    isolation_by(criterion, "262144", there_and_back::<Split>);
    isolation_by(criterion, "262144 under packed", there_and_back::<Packed>);
    isolation_by(criterion, "262144 one by one", one_by_one::<Split>);
}

fn isolation_by<R: Release>(
    criterion: &mut Criterion<ProcessorTime>,
    name: &str,
    work: impl Fn(&Machine<R>, &[Pfn]),
) {
    let mut group = criterion.benchmark_group("isolate and put back");
    group.sampling_mode(SamplingMode::Flat);
    let pages = 262_144;
    let mut made = None;
    group.bench_function(name, |bencher| {
        let (machine, all) = made.get_or_insert_with(|| listed::<R>(1, pages));
        bencher.iter_custom(|rounds| {
            let all: f64 = (0..rounds).map(|_| ProcessorTime::of(|| work(machine, &all[0]))).sum();
            all / f64::from(pages)
        });
    });
    group.finish();
}

/// Two threads, each on the pages of its own node, beside one thread on the pages of both.
fn isolation_on_two_nodes(criterion: &mut Criterion<Beside>) {
    let mut group = criterion.benchmark_group("isolate and put back on two nodes");
    group.sampling_mode(SamplingMode::Flat);
    let mut made = None;
    group.bench_function("262144", |bencher| {
        let (machine, all) = made.get_or_insert_with(|| listed::<Split>(2, 131_072));
        let mut single = || wall(|| all.iter().for_each(|pages| there_and_back(machine, pages)));
        let mut double = || wall(|| on_threads(2, |thread| there_and_back(machine, &all[thread])));
        Beside::measure(bencher, &mut single, &mut double);
    });
    group.finish();
}

/// The making of a machine of 2^28 frames without contents (1 TiB). Its frames cost time when they are used.
fn machines(criterion: &mut Criterion<ProcessorTime>) {
    let mut group = criterion.benchmark_group("machine");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.bench_function("268435456", |bencher| {
        let mut config = Config::new(1, 1 << 28);
        config.backed = false;
        bencher.iter_custom(|rounds| {
            let made = |_| {
                let mut machine = None;
                let took = ProcessorTime::of(|| machine = Some(Machine::<Split>::new(&config)));
                machine.expect("it was made").expect("a machine");
                took
            };
            (0..rounds).map(made).sum()
        });
    });
    group.finish();
}
