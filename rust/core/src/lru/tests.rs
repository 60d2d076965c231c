//! Pages that are isolated, put back and put all at once end in the same state as pages taken one by one.

use crate::machine::{Config, Machine, NodeConfig};
use crate::migrate::tests::{same, state};
use crate::page::{Flags, Pfn};
use crate::release::{Hook, Packed, Putback, Release, Split};
use proptest::prelude::*;

/// The marks that a page may have.
const MARKS: [Flags; 6] = [
    Flags::empty(),
    Flags::SWAPBACKED,
    Flags::SWAPBACKED.union(Flags::ACTIVE),
    Flags::ACTIVE,
    Flags::MLOCKED,
    Flags::HWPOISON,
];

/// A page: its node, its order, its mark, and whether it is on its list or still waits in a batch.
#[derive(Clone, Copy, Debug)]
struct Kind {
    node: usize,
    order: u8,
    mark: Flags,
    listed: bool,
    /// The page is among those that are isolated.
    taken: bool,
    /// The isolation's reference becomes the only one.
    given_up: bool,
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let order = prop_oneof![9 => Just(0u8), 1 => Just(2u8)];
    let mark = prop_oneof![2 => Just(Flags::SWAPBACKED), 1 => prop::sample::select(&MARKS[..])];
    let [listed, taken] = [0.95, 0.8].map(prop::bool::weighted);
    let kind = (0..2usize, order, mark, listed, taken, prop::bool::weighted(0.3));
    let kind = kind.prop_map(|(node, order, mark, listed, taken, given_up)| Kind {
        node,
        order,
        mark,
        listed,
        taken,
        given_up,
    });
    prop::collection::vec(kind, 1..220)
}

/// Performs each step for all pages together, or for one page after the other; returns the states after the
/// steps.
fn states<R: Release>(kinds: &[(Kind, u32)], pagevec: u8, together: bool) -> Vec<String> {
    let mut config = Config::new(2, 2048);
    config.nodes = vec![NodeConfig { frames: 1024, ..config.nodes[0] }; 2];
    config.backed = false;
    config.profile.release = R::DESIGN;
    config.profile.pagevec = pagevec;
    let machine = Machine::<R>::new(&config).unwrap();
    let mut pages: Vec<(Pfn, Kind, u32)> = Vec::new();
    for &(kind, rank) in kinds {
        let pfn = machine.alloc_pages(kind.node, kind.order).unwrap();
        machine.frames[pfn].set(kind.mark);
        pages.push((pfn, kind, rank));
    }
    let add = |listed: bool| {
        let wanted = pages.iter().filter(|(_, kind, _)| kind.listed == listed);
        wanted.for_each(|&(pfn, ..)| machine.lru_add(pfn));
    };
    add(true);
    machine.lru_drain_all();
    add(false);
    // The steps take the pages by rank: either shuffled, or in the order of the list and of memory.
    pages.sort_by_key(|&(.., rank)| rank);
    let chosen = |wanted: &dyn Fn(&Kind) -> bool| -> Vec<Pfn> {
        pages.iter().filter(|(_, kind, _)| wanted(kind)).map(|&(pfn, ..)| pfn).collect()
    };
    let put = |pages: Vec<Pfn>| match together {
        true => machine.put_all(&pages),
        false => pages.into_iter().for_each(|pfn| machine.put(pfn)),
    };
    let mut seen = Vec::new();
    let taken = chosen(&|kind| kind.taken);
    let isolated = match together {
        true => machine.isolate_all(&taken).unwrap(),
        false => taken.into_iter().filter(|&pfn| machine.isolate(pfn).is_ok()).collect(),
    };
    seen.push(state(&machine, &[]));
    put(chosen(&|kind| kind.given_up));
    seen.push(state(&machine, &[]));
    match together {
        true => machine.putback_all(&isolated),
        false => isolated.into_iter().for_each(|pfn| machine.putback(pfn)),
    }
    seen.push(state(&machine, &[]));
    put(chosen(&|kind| !kind.given_up));
    seen.push(state(&machine, &[]));
    machine.lru_drain_all();
    seen.push(state(&machine, &[]));
    seen
}

fn equal<R: Release>(kinds: &[(Kind, u32)], pagevec: u8) -> Result<(), TestCaseError> {
    let [together, alone] = [true, false].map(|together| states::<R>(kinds, pagevec, together));
    together.iter().zip(&alone).try_for_each(|(one, other)| same(one, other))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn pages_isolated_put_back_and_put_together_end_as_one_by_one(
        kinds in kinds(),
        ranks in prop::collection::vec(0u32..400, 220),
        sorted in any::<bool>(),
        pagevec in 1u8..=31,
    ) {
        let rank = |at: usize| if sorted { at as u32 } else { ranks[at] };
        let ranked = kinds.into_iter().enumerate().map(|(at, kind)| (kind, rank(at)));
        let kinds: Vec<(Kind, u32)> = ranked.collect();
        equal::<Split>(&kinds, pagevec)?;
        equal::<Putback>(&kinds, pagevec)?;
        equal::<Hook>(&kinds, pagevec)?;
        equal::<Packed>(&kinds, pagevec)?;
    }
}
