//! Per-CPU batches: a page goes from the adding thread through a batch to a list, whichever thread
//! drains.

use crate::{assert_clean, join, machine, models, start, used};
use mmcore::machine::Machine;
use mmcore::page::{Flags, Pfn};
use mmcore::release::Split;
use std::sync::Arc;

fn with_pages<const N: usize>() -> (Arc<Machine<Split>>, [Pfn; N]) {
    let machine = machine::<Split>(N as u32);
    let pages = std::array::from_fn(|_| machine.alloc_pages(0, 0).expect("as many frames as pages"));
    (machine, pages)
}

fn on_a_list(machine: &Machine<Split>, pfn: Pfn) -> bool {
    machine.frames()[pfn].flags().contains(Flags::LRU)
}

fn put_all(machine: &Machine<Split>, pages: &[Pfn]) {
    machine.lru_drain_all();
    machine.put_all(pages);
    assert_eq!(used(machine), 0);
    assert_clean(machine);
}

models! {
    /// One thread queues a page, another drains it.
    hand_over(None) {
        let (machine, [page]) = with_pages();
        let drainer = start(&machine, Machine::lru_drain_all);
        machine.lru_add(page);
        join([drainer]);
        put_all(&machine, &[page]);
    }

    /// Two threads share a batch.
    two_adders(None) {
        let (machine, pages) = with_pages::<2>();
        let [one, two] = pages;
        let other = start(&machine, move |machine| machine.lru_add(one));
        machine.lru_add(two);
        join([other]);
        put_all(&machine, &pages);
    }

    /// A drain drops the last reference of a page.
    put_against_drain(None) {
        let (machine, [page]) = with_pages();
        machine.lru_add(page);
        let drainer = start(&machine, Machine::lru_drain_all);
        machine.put(page);
        join([drainer]);
        assert_eq!(used(&machine), 0);
        assert_clean(&machine);
    }

    /// Once batches are disabled no page stays in one, whenever it was queued.
    disable_against_add(None) {
        let (machine, [page]) = with_pages();
        let disabler = start(&machine, Machine::lru_cache_disable);
        machine.lru_add(page);
        join([disabler]);
        assert!(on_a_list(&machine, page), "left in a batch although batches are disabled");
        machine.lru_cache_enable();
        put_all(&machine, &[page]);
    }

    /// After batches are enabled again pages may stay in them, and none is lost.
    enable_against_add(None) {
        let (machine, [page]) = with_pages();
        machine.lru_cache_disable();
        let enabler = start(&machine, Machine::lru_cache_enable);
        machine.lru_add(page);
        join([enabler]);
        put_all(&machine, &[page]);
    }
}
