//! Complete migrations of cold pages beside bare copies of as many pages, and the protocol alone.
//!
//! `cargo bench -p mmcore-benches --bench migrate [-- FILTER]`. A value of the groups `copy`, `migrate` and
//! `migrate beside copy` is the processor time of a round in multiples of that of the base in the same round,
//! so one divided by it is the speed. `threads` has the wall time of two threads in multiples of that of one.
//! `protocol` has nanoseconds of processor time a page, without a copy: cold over all pages, warm over 310.
#![allow(missing_docs, clippy::print_stdout, reason = "a bench reports")]

use criterion::{Criterion, SamplingMode};
use mmcore::memory::CopyKind;
use mmcore::release::{Packed, Putback, Release, Split};
use mmcore_benches::measures::{Beside, ProcessorTime};
use mmcore_benches::rounds::{Copies, Copy, Migrations, Round, host, memcpy, pages, streamed, together};
use std::time::Duration;

/// Pages of a protocol that is warm.
const WARM: u32 = 310;
/// The time for which turns are measured, with the rounds of the base.
const TIME: Duration = Duration::from_secs(8);

fn main() {
    let pages = pages();
    println!("{}", host(pages));
    let criterion = || Criterion::default().sample_size(15).measurement_time(TIME);
    let beside = |unit| criterion().with_measurement(Beside { unit }).configure_from_args();
    copies(&mut beside("x memcpy"), pages);
    migrations(&mut beside("x memcpy"), "migrate", pages, memcpy);
    migrations(&mut beside("x best copy"), "migrate beside copy", pages, streamed);
    threads(&mut beside("x one thread"), pages);
    protocol(&mut criterion().with_measurement(ProcessorTime).configure_from_args(), pages);
}

fn one<T>(mut all: Vec<T>) -> T {
    assert_eq!(all.len(), 1, "one thread was asked for");
    all.remove(0)
}

/// Measures rounds beside those of a base, both of which are made when the filter takes the benchmark.
fn measure<A: Round, B: Round>(
    criterion: &mut Criterion<Beside>,
    group: &str,
    name: &str,
    base: impl Fn() -> A,
    variant: impl Fn() -> B,
) {
    let mut group = criterion.benchmark_group(group);
    group.sampling_mode(SamplingMode::Flat);
    let mut made = None;
    group.bench_function(name, |bencher| {
        let (base, variant) = made.get_or_insert_with(|| (base(), variant()));
        Beside::measure(bencher, &mut || base.timed(), &mut || variant.timed());
    });
    if let Some((base, variant)) = made {
        let (base, variant) = (100.0 * base.neighbours(), 100.0 * variant.neighbours());
        println!("copies that follow a neighbour: {base:.1} % of the base's, {variant:.1} %");
    }
    group.finish();
}

fn copies(criterion: &mut Criterion<Beside>, pages: u32) {
    for kind in CopyKind::ALL.into_iter().skip_while(|kind| *kind != CopyKind::best()) {
        let base = || one(Copies::new(pages, &Copies::memory(pages, CopyKind::best()), memcpy, 1));
        let variant = || one(Copies::new(pages, &Copies::memory(pages, kind), streamed, 1));
        measure(criterion, "copy", kind.name(), base, variant);
    }
}

fn migrations(criterion: &mut Criterion<Beside>, group: &str, pages: u32, copy: Copy) {
    let base = || one(Copies::new(pages, &Copies::memory(pages, CopyKind::best()), copy, 1));
    fn of<R: Release>(pages: u32) -> Migrations<R> {
        one(Migrations::new(pages, true, 1))
    }
    measure(criterion, group, "split", base, || of::<Split>(pages));
    measure(criterion, group, "putback", base, || of::<Putback>(pages));
    measure(criterion, group, "packed", base, || of::<Packed>(pages));
}

/// Two threads on different pages beside one thread on all of them: migrations, and bare copies.
fn threads(criterion: &mut Criterion<Beside>, pages: u32) {
    let mut group = criterion.benchmark_group("threads");
    group.sampling_mode(SamplingMode::Flat);
    let mut made = None;
    group.bench_function("split", |bencher| {
        let new = |threads| Migrations::<Split>::new(pages, true, threads);
        let (single, double) = made.get_or_insert_with(|| (new(1), new(2)));
        Beside::measure(bencher, &mut || together(single), &mut || together(double));
    });
    let mut made = None;
    group.bench_function("memcpy", |bencher| {
        let memory = || Copies::memory(pages, CopyKind::best());
        let new = |threads| Copies::new(pages, &memory(), memcpy, threads);
        let (single, double) = made.get_or_insert_with(|| (new(1), new(2)));
        Beside::measure(bencher, &mut || together(single), &mut || together(double));
    });
    group.finish();
}

fn protocol(criterion: &mut Criterion<ProcessorTime>, pages: u32) {
    let mut group = criterion.benchmark_group("protocol");
    group.sampling_mode(SamplingMode::Flat);
    for (name, pages) in [("cold", pages), ("warm", WARM)] {
        let mut made = None;
        group.bench_function(name, |bencher| {
            let round = made.get_or_insert_with(|| one(Migrations::<Split>::new(pages, false, 1)));
            bencher.iter_custom(|rounds| {
                let all: f64 = (0..rounds).map(|_| round.timed()).sum();
                all / f64::from(pages)
            });
        });
    }
    group.finish();
}
