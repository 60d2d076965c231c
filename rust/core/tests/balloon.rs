//! The balloon under every release design: how pages come in, leave, move, and are given back.

use crate::common::{assert_clean, assert_clean_with, machine, used};
use mmcore::audit::{Handle, Ledger};
use mmcore::balloon::Balloon;
use mmcore::error::Errno;
use mmcore::machine::{Config, Machine};
use mmcore::migrate::{Mode, Reason};
use mmcore::movable::MovableOps;
use mmcore::page::{Flags, Pfn};
use mmcore::profile::Profile;
use mmcore::release::{Chosen, Release};

for_each_design!(
    pages_come_in_and_leave,
    the_last_page_in_leaves_first,
    a_page_moves_and_keeps_its_number,
    an_isolated_or_locked_page_stays,
    managed_pages_move_with_a_page,
);

fn counter<R: Release>(machine: &Machine<R>, name: &str) -> i64 {
    machine.vmstat(None).unwrap().into_iter().find(|&(counter, _)| counter == name).unwrap().1
}

fn managed<R: Release>(machine: &Machine<R>) -> [i64; 2] {
    [0, 1].map(|node| machine.managed_pages(node).unwrap())
}

fn moved<R: Release>(machine: &Machine<R>, pfn: Pfn, node: usize) -> bool {
    assert!(machine.isolate_movable_page(pfn));
    let mut list = vec![pfn];
    let mut target = |_| machine.alloc_pages(node, 0).ok();
    machine.migrate_pages(&mut list, &mut target, Mode::Sync, Reason::Compaction);
    let moved = list.is_empty();
    machine.putback_movable_pages(&mut list);
    moved
}

fn pages_come_in_and_leave<R: Release>() {
    let machine = machine::<R>(2, 600);
    let balloon = Balloon::new(&machine).unwrap();
    assert_eq!(balloon.inflate(&machine, 700, 1).unwrap(), 700, "three batches, on both nodes");
    assert_eq!((balloon.size(), used(&machine)), (700, 700));
    assert_eq!(managed(&machine), [500, 0]);
    assert_eq!(counter(&machine, "balloon_inflate"), 700);
    assert_eq!(counter(&machine, "nr_balloon_pages"), 0, "6.12 does not count them");
    assert_clean(&machine);
    assert_eq!(balloon.inflate(&machine, 9_999, 0).unwrap(), 500, "all that is left");
    assert_eq!(balloon.deflate(&machine, 300), 300);
    assert_clean(&machine);
    assert_eq!(balloon.resize(&machine, 10, 0).unwrap(), 10);
    assert_eq!(balloon.resize(&machine, 20, 0).unwrap(), 20);
    assert_eq!(balloon.deflate(&machine, u32::MAX), 20);
    assert_eq!((balloon.size(), used(&machine), managed(&machine)), (0, 0, [600, 600]));
    assert_eq!(counter(&machine, "balloon_inflate"), counter(&machine, "balloon_deflate"));
    assert_clean(&machine);
    assert_eq!(balloon.inflate(&machine, 1, 2).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(Balloon::new(&machine).unwrap_err().errno, Errno::EBUSY, "one balloon is enough");
}

fn the_last_page_in_leaves_first<R: Release>() {
    let machine = machine::<R>(1, 64);
    let balloon = Balloon::new(&machine).unwrap();
    balloon.inflate(&machine, 3, 0).unwrap();
    let listed = balloon.listed();
    assert_eq!([0, 1, 2].map(|number| balloon.page(number).unwrap()), [listed[2], listed[1], listed[0]]);
    assert_eq!(balloon.deflate(&machine, 1), 1);
    assert_eq!(balloon.listed(), listed[1..]);
    assert_eq!(balloon.page(2), None);
}

fn a_page_moves_and_keeps_its_number<R: Release>() {
    let machine = machine::<R>(2, 64);
    let balloon = Balloon::new(&machine).unwrap();
    balloon.inflate(&machine, 2, 0).unwrap();
    let before = balloon.page(0).unwrap();
    assert!(moved(&machine, before, 1));
    let after = balloon.page(0).unwrap();
    assert_eq!(machine.node_of(after), 1);
    assert_eq!(balloon.listed()[0], after, "a new page is the first to leave");
    assert!(machine.page(after).unwrap().flags().contains(Flags::MOVABLE));
    assert_eq!((counter(&machine, "balloon_migrate"), used(&machine)), (1, 2));
    assert_clean(&machine);
}

fn an_isolated_or_locked_page_stays<R: Release>() {
    let machine = machine::<R>(1, 64);
    let balloon = Balloon::new(&machine).unwrap();
    balloon.inflate(&machine, 3, 0).unwrap();
    let [isolated, locked] = [0, 1].map(|number| balloon.page(number).unwrap());
    assert!(machine.isolate_movable_page(isolated) && !machine.isolate_movable_page(isolated));
    assert_eq!((balloon.size(), balloon.isolated()), (3, 1));
    let ledger = Ledger::default();
    ledger.add(isolated, Handle::IsolatedMovable);
    assert_clean_with(&machine, &ledger);
    let page = machine.page(locked).unwrap();
    page.lock();
    assert!(!machine.isolate_movable_page(locked), "its lock is held");
    assert_eq!((balloon.deflate(&machine, 9), balloon.size()), (1, 2));
    page.unlock(locked);
    machine.putback_movable_page(isolated);
    assert_eq!((balloon.isolated(), balloon.listed()[0]), (0, isolated));
    assert_eq!(balloon.deflate(&machine, 9), 2);
    assert_eq!(used(&machine), 0);
    assert_clean(&machine);
}

fn managed_pages_move_with_a_page<R: Release>() {
    let machine = machine::<R>(2, 64);
    let balloon = Balloon::new(&machine).unwrap();
    balloon.inflate(&machine, 4, 0).unwrap();
    assert_eq!(managed(&machine), [60, 64]);
    assert!(moved(&machine, balloon.page(1).unwrap(), 1));
    assert_eq!(managed(&machine), [61, 63]);
    assert!(moved(&machine, balloon.page(0).unwrap(), 0));
    assert_eq!(managed(&machine), [61, 63], "a page that moves within its node changes nothing");
    assert_clean(&machine);
    assert_eq!(balloon.deflate(&machine, 9), 4);
    assert_eq!(managed(&machine), [64, 64]);
    assert_clean(&machine);
}

/// A machine of a kernel with a balloon that deflates on out-of-memory, or does not.
fn in_need(kernel: &str, deflate: &str) -> Machine<Chosen> {
    let mut profile = Profile::preset(kernel).unwrap();
    profile.set("deflate_on_oom", deflate).unwrap();
    let machine = Machine::new(&Config { profile, ..Config::new(2, 512) }).unwrap();
    machine.bind_cpu(Some(0));
    machine
}

#[test]
fn an_allocation_that_finds_no_frame_deflates_the_balloon() {
    let machine = in_need("6.12", "true");
    let balloon = Balloon::new(&machine).unwrap();
    assert_eq!(balloon.inflate(&machine, u32::MAX, 0).unwrap(), 1024);
    assert_eq!(managed(&machine), [512, 512], "the pages stay managed pages");
    assert!(machine.alloc_pages(0, 0).is_err(), "an allocation from one node alone does not ask");
    assert!(machine.alloc_pages_near(0, 4).is_err(), "a large order does not ask");
    assert_eq!(balloon.size(), 1024);
    let pfn = machine.alloc_pages_near(0, 0).unwrap();
    assert_eq!((balloon.size(), counter(&machine, "balloon_deflate")), (768, 256), "256 at a time");
    let mut pages = vec![pfn];
    while let Ok(pfn) = machine.alloc_pages_near(0, 0) {
        pages.push(pfn);
    }
    assert_eq!((pages.len(), balloon.size()), (1024, 0), "the balloon gives everything");
    pages.into_iter().for_each(|pfn| machine.put(pfn));
    assert_eq!(used(&machine), 0);
    assert_clean(&machine);
}

#[test]
fn a_balloon_without_that_feature_keeps_its_pages() {
    let machine = in_need("6.12", "false");
    let balloon = Balloon::new(&machine).unwrap();
    balloon.inflate(&machine, u32::MAX, 0).unwrap();
    assert_eq!(machine.alloc_pages_near(0, 0).unwrap_err().errno, Errno::ENOMEM);
    assert_eq!((balloon.size(), managed(&machine)), (1024, [0, 0]));
    assert_clean(&machine);
}

#[test]
fn a_kernel_since_6_16_counts_the_pages_of_the_balloon() {
    let machine = in_need("6.19", "false");
    let balloon = Balloon::new(&machine).unwrap();
    balloon.inflate(&machine, 5, 0).unwrap();
    assert!(moved(&machine, balloon.page(0).unwrap(), 1));
    let on = |node| {
        let counters = machine.vmstat(Some(node)).unwrap();
        counters.into_iter().find(|&(name, _)| name == "nr_balloon_pages").unwrap().1
    };
    assert_eq!([on(0), on(1)], [4, 1]);
    assert_clean(&machine);
    balloon.deflate(&machine, 5);
    assert_eq!([on(0), on(1)], [0, 0]);
    assert_clean(&machine);
}

#[test]
fn soft_offline_replaces_a_page_of_the_balloon() {
    for kernel in ["6.1", "6.12", "6.19"] {
        let machine = in_need(kernel, "false");
        let balloon = Balloon::new(&machine).unwrap();
        balloon.inflate(&machine, 2, 0).unwrap();
        let bad = balloon.page(1).unwrap();
        machine.soft_offline_page(bad).unwrap();
        assert_ne!(balloon.page(1), Some(bad), "{kernel}");
        assert_eq!((balloon.size(), counter(&machine, "balloon_migrate")), (2, 1), "{kernel}");
        assert_clean(&machine);
        assert_eq!(balloon.deflate(&machine, 2), 2, "{kernel}");
        assert_clean(&machine);
    }
}

#[test]
fn the_pages_of_a_message_go_in_from_the_last_one_on_since_4_15() {
    let order = |kernel: &str| {
        let mut config = Config::new(1, 64);
        config.profile = Profile::preset(kernel).unwrap();
        let machine: Machine<mmcore::release::Split> = Machine::new(&config).unwrap();
        let balloon = Balloon::new(&machine).unwrap();
        balloon.inflate(&machine, 10, 0).unwrap();
        let held = MovableOps::<mmcore::release::Split>::held(&*balloon);
        balloon.deflate(&machine, 10);
        let again: Vec<Pfn> = (0..10).map(|_| machine.alloc_pages(0, 0).unwrap()).collect();
        (held, again)
    };
    let ((old, freed), (new, freed_too)) = (order("4.8"), order("6.1"));
    assert_eq!(new, old.iter().rev().copied().collect::<Vec<_>>());
    // The pages leave from the head of the list. 4.8 frees them in this order, 6.1 from the last one on, and
    // an allocation takes the frame that was freed last.
    assert_eq!(freed, old.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(freed_too, new);
}
