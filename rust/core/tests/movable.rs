//! The contract of movable pages, under every release design.

use crate::common::{assert_clean, machine, used};
use mmcore::migrate::{Mode, Reason};
use mmcore::movable::PagePool;
use mmcore::release::Release;

for_each_design!(
    a_page_moves_with_its_content,
    a_page_without_a_target_goes_back_to_its_owner,
    a_page_let_go_while_isolated_is_released_once,
    an_isolated_page_cannot_be_isolated_again,
);

fn a_page_moves_with_its_content<R: Release>() {
    let machine = machine::<R>(2, 64);
    let pool = PagePool::new(&machine).unwrap();
    let page = pool.add(&machine, 0).unwrap();
    pool.write(&machine, page, 7, 0xfeed).unwrap();
    let before = pool.pfn(page).unwrap();

    assert!(machine.isolate_movable_page(before));
    let mut list = vec![before];
    let result = machine.migrate_pages(
        &mut list,
        &mut |_| machine.alloc_pages(1, 0).ok(),
        Mode::Sync,
        Reason::Compaction,
    );
    assert_eq!((result.succeeded, result.failed, list.len()), (1, 0, 0));
    let after = pool.pfn(page).unwrap();
    assert_eq!(machine.node_of(after), 1);
    assert_eq!(pool.read(&machine, page, 7).unwrap(), 0xfeed);
    assert_eq!(used(&machine), 1);
    assert_clean(&machine);

    pool.release(&machine, page).unwrap();
    assert_eq!(pool.census(), (0, 1));
    assert_eq!(used(&machine), 0);
    assert_clean(&machine);
}

fn a_page_without_a_target_goes_back_to_its_owner<R: Release>() {
    let machine = machine::<R>(2, 64);
    let pool = PagePool::new(&machine).unwrap();
    let page = pool.add(&machine, 0).unwrap();
    let pfn = pool.pfn(page).unwrap();
    assert!(machine.isolate_movable_page(pfn));
    let mut list = vec![pfn];
    let result = machine.migrate_pages(&mut list, &mut |_| None, Mode::Sync, Reason::Compaction);
    assert_eq!(result.errno, Some(mmcore::error::Errno::ENOMEM));
    assert_eq!(list, [pfn]);
    machine.putback_movable_pages(&mut list);
    assert_eq!(pool.pfn(page).unwrap(), pfn);
    assert_clean(&machine);
}

fn a_page_let_go_while_isolated_is_released_once<R: Release>() {
    let machine = machine::<R>(2, 64);
    let pool = PagePool::new(&machine).unwrap();
    let page = pool.add(&machine, 0).unwrap();
    let pfn = pool.pfn(page).unwrap();
    assert!(machine.isolate_movable_page(pfn));
    pool.release(&machine, page).unwrap();
    assert_eq!(used(&machine), 1, "the isolation keeps the page");
    let mut list = vec![pfn];
    machine.migrate_pages(&mut list, &mut |_| machine.alloc_pages(1, 0).ok(), Mode::Sync, Reason::Compaction);
    machine.putback_movable_pages(&mut list);
    machine.lru_drain_all();
    assert_eq!(pool.census(), (0, 1));
    assert_eq!(used(&machine), 0);
    assert_clean(&machine);
}

fn an_isolated_page_cannot_be_isolated_again<R: Release>() {
    let machine = machine::<R>(1, 64);
    let pool = PagePool::new(&machine).unwrap();
    let page = pool.add(&machine, 0).unwrap();
    let pfn = pool.pfn(page).unwrap();
    assert!(machine.isolate_movable_page(pfn));
    assert!(!machine.isolate_movable_page(pfn));
    machine.putback_movable_page(pfn);
    assert!(machine.isolate_movable_page(pfn));
    machine.putback_movable_page(pfn);
    assert_clean(&machine);
}
