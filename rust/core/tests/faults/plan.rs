//! The counts of a plan, and the references and flags that it leaves.

use crate::common::{assert_clean, machine, used};
use mmcore::audit::{Holder, Ledger};
use mmcore::error::Errno;
use mmcore::inject::{Hit, Kind, Left};
use mmcore::page::Flags;
use mmcore::release::Split;

#[test]
fn sites_are_counted_from_the_arming_on() {
    let machine = machine::<Split>(1, 16);
    let first = machine.alloc_pages(0, 0).unwrap();
    let plan = machine.arm(Kind::NoMemory, 1, 2);
    assert_eq!((plan.passed(), plan.fired()), (0, 0));
    let second = machine.alloc_pages(0, 0).unwrap();
    for _ in 0..2 {
        let error = machine.alloc_pages(0, 0).unwrap_err();
        assert_eq!(error.errno, Errno::ENOMEM);
        assert!(error.to_string().contains("injected"), "{error}");
    }
    let third = machine.alloc_pages_near(0, 0).unwrap();
    assert_eq!((plan.passed(), plan.fired()), (4, 2));
    assert_eq!(plan.hits(), [Hit { site: "frame", pfn: None }; 2]);
    assert_eq!(machine.disarm(&plan), Left::default());
    let fourth = machine.alloc_pages(0, 0).unwrap();
    assert_eq!(plan.passed(), 4, "nothing is counted after the end");
    machine.put_all(&[first, second, third, fourth]);
    assert_eq!(used(&machine), 0);
    assert_clean(&machine);
}

#[test]
fn an_allocation_with_a_fallback_is_one_site() {
    let machine = machine::<Split>(2, 16);
    let plan = machine.arm(Kind::NoMemory, 0, 1);
    assert_eq!(machine.alloc_pages_near(0, 0).unwrap_err().errno, Errno::ENOMEM);
    assert_eq!(plan.passed(), 1);
    machine.disarm(&plan);
}

#[test]
fn plans_count_each_for_itself() {
    let machine = machine::<Split>(1, 16);
    let (one, two) = (machine.arm(Kind::NoMemory, 0, 1), machine.arm(Kind::NoMemory, 1, 1));
    assert!(machine.alloc_pages(0, 0).is_err() && machine.alloc_pages(0, 0).is_err());
    assert_eq!((one.passed(), one.fired(), two.passed(), two.fired()), (2, 1, 2, 1));
    machine.disarm(&one);
    machine.disarm(&two);
    assert_eq!(machine.disarm(&one), Left::default());
}

#[test]
fn a_reference_that_a_fault_holds_has_a_holder_until_it_ends() {
    let machine = machine::<Split>(1, 16);
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 1).unwrap();
    machine.write_word(&area, 0, 0, 1).unwrap();
    machine.lru_drain_all();
    let pfn = machine.page_at(&area, 0).unwrap();
    let plan = machine.arm(Kind::ExtraPin, 0, 1);
    machine.isolate(pfn).unwrap();
    machine.putback(pfn);
    machine.lru_drain_all();
    assert_eq!(machine.page(pfn).unwrap().count(), 2);
    assert!(machine.holders(pfn, &Ledger::default()).contains(&Holder::Fault));
    assert_clean(&machine);
    let left = machine.disarm(&plan);
    assert_eq!(left.references, [pfn]);
    assert!(machine.settle(left).is_empty());
    assert_eq!(machine.page(pfn).unwrap().count(), 1);
    machine.exit(&space);
    assert_eq!(used(&machine), 0);
    assert_clean(&machine);
}

#[test]
fn a_frame_that_a_fault_flags_is_counted_at_once_and_handled_at_the_end() {
    let machine = machine::<Split>(1, 16);
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 1).unwrap();
    machine.write_word(&area, 0, 0, 1).unwrap();
    machine.lru_drain_all();
    let pfn = machine.page_at(&area, 0).unwrap();
    let plan = machine.arm(Kind::Poison, 0, 1);
    machine.isolate(pfn).unwrap();
    machine.putback(pfn);
    machine.lru_drain_all();
    assert!(machine.page(pfn).unwrap().flags().contains(Flags::HWPOISON));
    assert_eq!((machine.num_poisoned_pages(), machine.read_word(&area, 0, 0)), (1, Ok(1)));
    assert_clean(&machine);
    machine.set_early_kill(&space, true);
    let signals = machine.settle(machine.disarm(&plan));
    assert_eq!(signals.iter().map(|signal| signal.address).collect::<Vec<_>>(), [area.address(0)]);
    assert_eq!(machine.read_word(&area, 0, 0).unwrap_err().errno, Errno::EHWPOISON);
    assert_eq!(machine.num_poisoned_pages(), 1);
    assert_clean(&machine);
}

#[test]
fn a_killed_thread_stays_killed_until_the_fault_ends() {
    let machine = machine::<Split>(1, 16);
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 2).unwrap();
    let plan = machine.arm(Kind::Killed, 0, 1);
    assert_eq!(machine.fork(&space).unwrap_err().errno, Errno::EINTR);
    assert_eq!(machine.munmap(&space, &area, 0..1).unwrap_err().errno, Errno::EINTR);
    // Another thread is not killed.
    std::thread::scope(|scope| {
        scope.spawn(|| machine.write_word(&area, 0, 0, 1).unwrap());
    });
    machine.disarm(&plan);
    machine.munmap(&space, &area, 0..1).unwrap();
    machine.exit(&space);
    assert_clean(&machine);
}
