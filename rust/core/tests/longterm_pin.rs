//! Lasting pins of pages on nodes that are only for movable pages, under every release design.

use crate::common::{assert_clean_with, used};
use mmcore::audit::{Handle, Ledger};
use mmcore::calls::Call;
use mmcore::error::Errno;
use mmcore::machine::{Config, Machine};
use mmcore::map::{Area, FileKind, FileMap, PinKind};
use mmcore::migrate::{Mode, Reason};
use mmcore::page::{Flags, PIN, Pfn};
use mmcore::release::Release;
use std::sync::Arc;

for_each_design!(
    a_pinned_page_leaves_a_node_for_movable_pages,
    a_batch_of_another_cpu_is_drained_although_the_page_is_on_its_list,
    a_page_with_another_reference_cannot_leave,
    a_file_s_page_leaves_too,
    a_machine_needs_another_node,
);

/// A machine whose node 1 is only for movable pages, with an area that prefers this node.
fn machine<R: Release>() -> (Machine<R>, Arc<mmcore::map::AddressSpace>, Arc<Area>) {
    let mut config = Config::new(2, 64);
    config.profile.release = R::DESIGN;
    config.movable = vec![1];
    config.calls = true;
    let machine = Machine::new(&config).unwrap();
    machine.bind_cpu(Some(0));
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 1).unwrap();
    machine.prefer(&area, 1).unwrap();
    (machine, space, area)
}

fn written<R: Release>(machine: &Machine<R>, area: &Area) -> Pfn {
    machine.write_word(area, 0, 0, 42).unwrap();
    machine.lru_drain_all();
    let pfn = machine.page_at(area, 0).unwrap();
    assert_eq!(machine.node_of(pfn), 1);
    pfn
}

#[track_caller]
fn pinned<R: Release>(machine: &Machine<R>, area: &Area) -> Pfn {
    let pfn = machine.pin_longterm(area, 0, true).unwrap();
    assert_eq!((machine.node_of(pfn), machine.page_at(area, 0)), (0, Some(pfn)));
    assert_eq!(machine.read_word(area, 0, 0).unwrap(), 42);
    pfn
}

fn check_end<R: Release>(machine: &Machine<R>, space: &Arc<mmcore::map::AddressSpace>) {
    machine.exit(space);
    machine.lru_drain_all();
    assert_eq!(used(machine), 0);
    assert_clean_with(machine, &Ledger::default());
}

fn a_pinned_page_leaves_a_node_for_movable_pages<R: Release>() {
    let (machine, space, area) = machine::<R>();
    written(&machine, &area);
    machine.take_calls();
    let pfn = pinned(&machine, &area);
    let moved = machine.take_calls().into_iter().find_map(|call| match call.call {
        Call::MmMigratePages { succeeded, mode, reason, .. } => Some((succeeded, mode, reason)),
        _ => None,
    });
    assert_eq!(moved, Some((1, Mode::Sync, Reason::LongtermPin)));
    machine.lru_drain_all();
    assert_eq!(machine.page(pfn).unwrap().count(), 1 + PIN);
    let ledger = Ledger::default();
    ledger.add(pfn, Handle::Pin);
    assert_clean_with(&machine, &ledger);
    machine.unpin(pfn, PinKind::Pin);
    check_end(&machine, &space);
}

/// The flag `LRU` does not tell whether a batch holds the page (kernel 98c6d259319e).
fn a_batch_of_another_cpu_is_drained_although_the_page_is_on_its_list<R: Release>() {
    let (machine, space, area) = machine::<R>();
    let pfn = written(&machine, &area);
    machine.bind_cpu(Some(1));
    // The second mark queues the page for activation.
    machine.mark_page_accessed(pfn);
    machine.mark_page_accessed(pfn);
    machine.bind_cpu(Some(0));
    let page = machine.page(pfn).unwrap();
    assert!(page.flags().contains(Flags::LRU));
    assert_eq!(page.count(), 2);
    let pfn = pinned(&machine, &area);
    machine.unpin(pfn, PinKind::Pin);
    check_end(&machine, &space);
}

fn a_page_with_another_reference_cannot_leave<R: Release>() {
    let (machine, space, area) = machine::<R>();
    let pfn = written(&machine, &area);
    let ledger = Ledger::default();
    machine.hold(&ledger, pfn).unwrap();
    let error = machine.pin_longterm(&area, 0, true).unwrap_err();
    assert_eq!((error.errno, error.pfn), (Errno::ENOMEM, Some(pfn)));
    machine.lru_drain_all();
    assert_eq!((machine.page_at(&area, 0), machine.page(pfn).unwrap().count()), (Some(pfn), 2));
    assert_clean_with(&machine, &ledger);
    machine.let_go(&ledger, pfn, Handle::Ref);
    check_end(&machine, &space);
}

fn a_file_s_page_leaves_too<R: Release>() {
    let (machine, space, _) = machine::<R>();
    let file = machine.file(FileKind::Tmpfs, 1).unwrap();
    let map = FileMap { file: Arc::clone(&file), first: 0, private: false, random: false };
    let area = machine.mmap_file(&space, map, 1).unwrap();
    machine.prefer(&area, 1).unwrap();
    written(&machine, &area);
    let pfn = pinned(&machine, &area);
    machine.unpin(pfn, PinKind::Pin);
    machine.exit(&space);
    machine.remove_file(&file);
    check_end(&machine, &space);
}

fn a_machine_needs_another_node<R: Release>() {
    let mut config = Config::new(2, 64);
    config.profile.release = R::DESIGN;
    for movable in [vec![0, 1], vec![2]] {
        config.movable = movable;
        assert_eq!(Machine::<R>::new(&config).map(drop).unwrap_err().errno, Errno::EINVAL);
    }
}
