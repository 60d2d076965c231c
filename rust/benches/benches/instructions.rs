//! Instructions of migrations under each release design, counted by callgrind through gungraun.
//!
//! `cargo bench -p mmcore-benches --bench instructions`; it needs valgrind and `gungraun-runner`. The same
//! binary and input give the same count, whatever else the host does. A count is that of [`PAGES`] pages that
//! move there and back, without a copy; the making of the machine is not in it.
#![allow(missing_docs, reason = "the macros make functions without documentation")]

use gungraun::prelude::*;
use mmcore::machine::{Config, Machine};
use mmcore::map::{AddressSpace, Area};
use mmcore::migrate::MoveFlags;
use mmcore::release::{Hook, HookLate, Packed, Putback, Release, Split};
use std::hint::black_box;
use std::sync::Arc;

/// Pages moved by one call: a full round of any profile's batches.
const PAGES: u32 = 310;

/// A machine whose pages have moved there and back once, so that all tables are made.
struct Moved<R: Release> {
    machine: Machine<R>,
    space: Arc<AddressSpace>,
    #[expect(dead_code, reason = "the pages live as long as the area is mapped")]
    area: Arc<Area>,
    addresses: Vec<u64>,
    nodes: [Vec<u32>; 2],
}

fn moved<R: Release>() -> Moved<R> {
    let mut config = Config::new(2, 4096);
    config.backed = false;
    config.profile.release = R::DESIGN;
    let machine = Machine::<R>::new(&config).expect("a machine");
    let space = machine.address_space().expect("a space");
    let area = machine.mmap(&space, PAGES).expect("an area");
    for index in 0..PAGES {
        machine.write_word(&area, index, 0, 1).expect("a write");
    }
    let addresses = (0..PAGES).map(|index| area.address(index)).collect();
    let nodes = [0, 1].map(|node| vec![1 - node; PAGES as usize]);
    there_and_back(Moved { machine, space, area, addresses, nodes })
}

fn there_and_back<R: Release>(moved: Moved<R>) -> Moved<R> {
    for nodes in &moved.nodes {
        let result = moved.machine.move_pages(&moved.space, &moved.addresses, nodes, MoveFlags::default());
        assert_eq!(result.ret, Ok(0));
        // The pages that the batches still hold belong to this round.
        moved.machine.lru_drain_all();
    }
    moved
}

#[library_benchmark]
#[bench::putback(moved::<Putback>())]
fn putback(machine: Moved<Putback>) -> Moved<Putback> {
    black_box(there_and_back(machine))
}

#[library_benchmark]
#[bench::split(moved::<Split>())]
fn split(machine: Moved<Split>) -> Moved<Split> {
    black_box(there_and_back(machine))
}

#[library_benchmark]
#[bench::hook(moved::<Hook>())]
fn hook(machine: Moved<Hook>) -> Moved<Hook> {
    black_box(there_and_back(machine))
}

#[library_benchmark]
#[bench::hook_late(moved::<HookLate>())]
fn hook_late(machine: Moved<HookLate>) -> Moved<HookLate> {
    black_box(there_and_back(machine))
}

#[library_benchmark]
#[bench::packed(moved::<Packed>())]
fn packed(machine: Moved<Packed>) -> Moved<Packed> {
    black_box(there_and_back(machine))
}

library_benchmark_group!(name = migrations, benchmarks = [putback, split, hook, hook_late, packed]);
main!(library_benchmark_groups = migrations);
