//! Compares stores and loads of a zram device with the bare compressors, and with a peer of its kind: a map
//! of boxes, in which each compressed page is an allocation of its own.
//!
//! `cargo bench -p mmcore --bench zram [-- PAGES ROUNDS]` prints bytes a second, and the bytes that each
//! stored page takes beyond its compressed bytes. A debug build is refused.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench reports")]

use mmcore::machine::{Config, Machine};
use mmcore::release::Split;
use mmcore::zram::{Compressor, Words, Zram};
use std::collections::HashMap;
use std::time::Instant;

const PAGE: usize = 4096;

/// Pages of which `random` bytes do not compress.
fn pages(count: usize, random: usize) -> Vec<Words> {
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    let mut page = || {
        let mut words = [0; PAGE / 8];
        for word in &mut words[..random / 8] {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            *word = x;
        }
        words
    };
    (0..count).map(|_| page()).collect()
}

fn bytes(words: &Words) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// MB a second of `work` on `count` pages.
fn rate(count: usize, work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    (count * PAGE) as f64 / 1e6 / begin.elapsed().as_secs_f64()
}

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("zram: this is a debug build; run it with `cargo bench`");
        std::process::exit(2);
    }
    let numbers: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let count = numbers.first().copied().unwrap_or(8192);
    let rounds = numbers.get(1).copied().unwrap_or(5);
    println!(
        "{count} pages, {rounds} rounds, one thread; MB/s: median; overhead: bytes a page beyond its compressed bytes"
    );
    for random in [300, 1500, 2500] {
        let pages = pages(count, random);
        let plain: Vec<Vec<u8>> = pages.iter().map(bytes).collect();
        let mut rows: Vec<(&str, Vec<f64>, Vec<f64>, f64)> = Vec::new();
        for (name, compressor) in [("zram, lz4", Compressor::Lz4), ("zram, lz4_flex", Compressor::Lz4Flex)] {
            let mut row = (name, Vec::new(), Vec::new(), 0.0);
            for _ in 0..rounds {
                let machine = Machine::<Split>::new(&Config::new(1, 2 * count as u32)).expect("a machine");
                let zram = Zram::new(&machine, count as u32, compressor).expect("a device");
                row.1.push(rate(count, || {
                    for (block, words) in (0..).zip(&pages) {
                        zram.write(&machine, block, words, 0).expect("room");
                    }
                }));
                let mut into = [0; PAGE / 8];
                row.2.push(rate(count, || {
                    for block in 0..count as u32 {
                        zram.read(&machine, block, &mut into).expect("a block");
                    }
                }));
                let stat = zram.mm_stat();
                row.3 = (stat.used - stat.compr) as f64 / count as f64;
            }
            rows.push(row);
        }
        let mut bare = ("bare lz4_flex", Vec::new(), Vec::new(), 0.0);
        let mut peer = ("map of boxes, lz4_flex", Vec::new(), Vec::new(), 0.0);
        for _ in 0..rounds {
            let mut output = vec![0; 2 * PAGE];
            let mut one = Vec::new();
            bare.1.push(rate(count, || {
                for page in &plain {
                    let len = lz4_flex::block::compress_into(page, &mut output).expect("room");
                    one = output[..len].to_vec();
                }
            }));
            let mut into = vec![0; PAGE];
            bare.2.push(rate(count, || {
                for _ in &plain {
                    lz4_flex::block::decompress_into(&one, &mut into).expect("valid");
                }
            }));
            let mut map: HashMap<u32, Box<[u8]>> = HashMap::new();
            peer.1.push(rate(count, || {
                for (block, page) in (0..).zip(&plain) {
                    let len = lz4_flex::block::compress_into(page, &mut output).expect("room");
                    map.insert(block, output[..len].into());
                }
            }));
            peer.2.push(rate(count, || {
                for block in 0..count as u32 {
                    lz4_flex::block::decompress_into(&map[&block], &mut into).expect("valid");
                }
            }));
            // The table has an entry of 24 bytes and a byte of its own for 7 of 8 places; the host's
            // allocator rounds each box up to 16 bytes, and adds 8.
            let of_table = map.capacity() as f64 / 7.0 * 8.0 * 25.0 / count as f64;
            let rounded = |len: usize| ((len + 8).next_multiple_of(16) - len) as f64;
            let boxes: f64 = map.values().map(|page| rounded(page.len())).sum();
            peer.3 = of_table + boxes / count as f64;
        }
        rows.extend([bare, peer]);
        println!(
            "\n{random} of {PAGE} bytes random\n{:<24} {:>8} {:>8} {:>9}",
            "", "store", "load", "overhead"
        );
        for (name, mut store, mut load, overhead) in rows {
            println!("{name:<24} {:>8.0} {:>8.0} {overhead:>9.0}", median(&mut store), median(&mut load));
        }
    }
}
