//! Stores and loads of a zram device beside the bare compressor, and beside a peer of its kind: a map of
//! boxes, in which each compressed page is an allocation of its own.
//!
//! `cargo bench -p mmcore-benches --bench zram [-- FILTER]`: MB a second of processor time. It begins with
//! the bytes that each stored page takes beyond its compressed bytes.
#![allow(missing_docs, clippy::print_stdout, reason = "a bench reports")]

use criterion::{Criterion, SamplingMode, Throughput};
use mmcore::machine::{Config, Machine};
use mmcore::release::Split;
use mmcore::rng::Rng;
use mmcore::zram::{Compressor, Words, Zram};
use mmcore_benches::measures::ProcessorTime;
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

const PAGE: usize = 4096;
/// Pages of a device.
const COUNT: u32 = 2048;

/// Pages of which `random` bytes do not compress.
fn pages(random: usize) -> Vec<Words> {
    let mut rng = Rng::new(5, random as u64);
    let mut page = || {
        let mut words = [0; PAGE / 8];
        words[..random / 8].iter_mut().for_each(|word| *word = rng.bits());
        words
    };
    (0..COUNT).map(|_| page()).collect()
}

fn bytes(words: &Words) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .with_measurement(ProcessorTime)
        .configure_from_args();
    for random in [300, 1500, 2500] {
        let pages = pages(random);
        for (name, compressor) in [("zram, lz4", Compressor::Lz4), ("zram, lz4_flex", Compressor::Lz4Flex)] {
            device(&mut criterion, name, random, compressor, &pages);
        }
        let plain: Vec<Vec<u8>> = pages.iter().map(bytes).collect();
        bare(&mut criterion, random, &plain);
        boxes(&mut criterion, random, &plain);
    }
}

/// Measures a round of stores and one of loads, of all pages.
fn measure(
    criterion: &mut Criterion<ProcessorTime>,
    name: &str,
    random: usize,
    mut store: impl FnMut(),
    mut load: impl FnMut(),
) {
    let mut group = criterion.benchmark_group(format!("{name}, {random} of {PAGE} bytes random"));
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Bytes(u64::from(COUNT) * PAGE as u64));
    group.bench_function("store", |bencher| bencher.iter(&mut store));
    group.bench_function("load", |bencher| bencher.iter(&mut load));
    group.finish();
}

fn device(
    criterion: &mut Criterion<ProcessorTime>,
    name: &str,
    random: usize,
    compressor: Compressor,
    pages: &[Words],
) {
    let machine = Machine::<Split>::new(&Config::new(1, 2 * COUNT)).expect("a machine");
    let zram = Zram::new(&machine, COUNT, compressor).expect("a device");
    let store = || {
        for (block, words) in (0..).zip(pages) {
            zram.write(&machine, block, words, 0).expect("room");
        }
    };
    // The filter may leave the stores out, and a block that holds nothing would cost a load nothing.
    store();
    let stat = zram.mm_stat();
    let overhead = (stat.used - stat.compr) as f64 / f64::from(COUNT);
    println!(
        "{name}, {random} of {PAGE} bytes random: {overhead:.0} bytes a page beyond the compressed ones"
    );
    let mut into = [0; PAGE / 8];
    measure(criterion, name, random, store, || {
        for block in 0..COUNT {
            zram.read(&machine, block, &mut into).expect("a block");
        }
        black_box(&into);
    });
}

fn bare(criterion: &mut Criterion<ProcessorTime>, random: usize, plain: &[Vec<u8>]) {
    let compress =
        |page: &[u8], output: &mut [u8]| lz4_flex::block::compress_into(page, output).expect("room");
    let mut output = vec![0; 2 * PAGE];
    let packed: Vec<Vec<u8>> = plain
        .iter()
        .map(|page| {
            let len = compress(page, &mut output);
            output[..len].to_vec()
        })
        .collect();
    let mut into = vec![0; PAGE];
    let store = || {
        for page in plain {
            black_box(compress(page, &mut output));
        }
    };
    measure(criterion, "bare lz4_flex", random, store, || {
        for page in &packed {
            lz4_flex::block::decompress_into(page, &mut into).expect("valid");
        }
        black_box(&into);
    });
}

fn boxes(criterion: &mut Criterion<ProcessorTime>, random: usize, plain: &[Vec<u8>]) {
    let fill = |map: &mut HashMap<u32, Box<[u8]>>| {
        let mut output = vec![0; 2 * PAGE];
        for (block, page) in (0..).zip(plain) {
            let len = lz4_flex::block::compress_into(page, &mut output).expect("room");
            map.insert(block, output[..len].into());
        }
    };
    let mut map = HashMap::new();
    fill(&mut map);
    // The table has an entry of 24 bytes and a byte of its own for 7 of 8 places; the host's allocator
    // rounds each box up to 16 bytes, and adds 8.
    let of_table = map.capacity() as f64 / 7.0 * 8.0 * 25.0 / f64::from(COUNT);
    let rounded = |len: usize| ((len + 8).next_multiple_of(16) - len) as f64;
    let of_boxes: f64 = map.values().map(|page| rounded(page.len())).sum();
    let overhead = of_table + of_boxes / f64::from(COUNT);
    let name = "map of boxes, lz4_flex";
    println!(
        "{name}, {random} of {PAGE} bytes random: {overhead:.0} bytes a page beyond the compressed ones"
    );
    let mut into = vec![0; PAGE];
    let store = || fill(&mut HashMap::new());
    measure(criterion, name, random, store, || {
        for block in 0..COUNT {
            lz4_flex::block::decompress_into(&map[&block], &mut into).expect("valid");
        }
        black_box(&into);
    });
}
