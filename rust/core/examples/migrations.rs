//! Migrates one page over and over under one release design and nothing else: what an instruction
//! counter is pointed at (`benches/instructions.py`).
//!
//! `migrations DESIGN MIGRATIONS`. Migrations of 0 is the set-up alone, to be subtracted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example reports")]

use mmcore::machine::{Config, Machine};
use mmcore::migrate::MoveFlags;
use mmcore::profile::Design;
use mmcore::release::{Hook, HookLate, Mine, Packed, Putback, Release, Split};

/// Pages moved by one call: a full round of any profile's batches.
const PAGES: u32 = 310;

fn migrations<R: Release>(rounds: u32) {
    let mut config = Config::new(2, 4096);
    config.backed = false;
    config.profile.release = R::DESIGN;
    let machine = Machine::<R>::new(&config).expect("a machine");
    let space = machine.address_space().expect("a space");
    let area = machine.mmap(&space, PAGES).expect("an area");
    for index in 0..PAGES {
        machine.write_word(&area, index, 0, 1).expect("a write");
    }
    let addresses: Vec<u64> = (0..PAGES).map(|index| area.address(index)).collect();
    for round in 0..rounds {
        let nodes = vec![1 - round % 2; PAGES as usize];
        let moved = machine.move_pages(&space, &addresses, &nodes, MoveFlags::default());
        assert_eq!(moved.ret, Ok(0));
        // The pages that still wait in batches belong to this round.
        machine.lru_drain_all();
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (Some(Ok(design)), Some(Ok(count))) =
        (args.first().map(|a| a.parse::<Design>()), args.get(1).map(|a| a.parse::<u32>()))
    else {
        eprintln!("usage: migrations DESIGN MIGRATIONS");
        std::process::exit(2);
    };
    let rounds = count.div_ceil(PAGES);
    match design {
        Design::Putback => migrations::<Putback>(rounds),
        Design::Split => migrations::<Split>(rounds),
        Design::Hook => migrations::<Hook>(rounds),
        Design::HookLate => migrations::<HookLate>(rounds),
        Design::Packed => migrations::<Packed>(rounds),
        Design::Mine => migrations::<Mine>(rounds),
    }
    println!("{}", rounds * PAGES);
}
