//! `move_pages` and the migration of mapped anonymous pages, under every release design.

use crate::common::{assert_clean, machine, used};
use mmcore::error::Errno;
use mmcore::machine::{Config, Machine};
use mmcore::map::{Area, PinKind};
use mmcore::memory::{CopyKind, WORDS};
use mmcore::migrate::MoveFlags;
use mmcore::page::Flags;
use mmcore::profile::{PRESETS, Profile};
use mmcore::release::{Release, Split};
use mmcore::stat::Event;

for_each_design!(
    pages_move_with_their_content,
    one_status_a_page,
    a_pinned_page_stays_and_is_mapped_as_before,
    a_full_node_stops_the_migration,
    a_node_that_does_not_exist_hides_the_error_of_the_run_before_it,
    shared_pages_move_only_with_move_all,
);

fn addresses(area: &Area) -> Vec<u64> {
    (0..area.pages()).map(|index| area.address(index)).collect()
}

fn fill<R: Release>(machine: &Machine<R>, area: &Area) {
    for index in 0..area.pages() {
        machine.write_word(area, index, 3, 0xabc0 + u64::from(index)).unwrap();
    }
}

#[track_caller]
fn expect_filled<R: Release>(machine: &Machine<R>, area: &Area) {
    for index in 0..area.pages() {
        assert_eq!(machine.read_word(area, index, 3).unwrap(), 0xabc0 + u64::from(index));
    }
}

fn pages_move_with_their_content<R: Release>() {
    let machine = machine::<R>(2, 4096);
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 1500).unwrap();
    fill(&machine, &area);
    for node in [1, 0, 1] {
        let moved = machine.move_pages(&space, &addresses(&area), &vec![node; 1500], MoveFlags::default());
        assert_eq!(moved.ret, Ok(0));
        assert!(moved.status.iter().all(|&status| status == Some(node as i32)));
        assert_eq!(machine.query_pages(&space, &addresses(&area)), Ok(vec![node as i32; 1500]));
        machine.lru_drain_all();
        assert_eq!(used(&machine), 1500);
        assert_clean(&machine);
    }
    expect_filled(&machine, &area);
    machine.exit(&space);
    machine.lru_drain_all();
    assert_eq!(used(&machine), 0);
    assert_clean(&machine);
}

fn one_status_a_page<R: Release>() {
    let machine = machine::<R>(2, 256);
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 6).unwrap();
    for index in [0, 1, 4] {
        machine.write_word(&area, index, 0, 1).unwrap();
    }
    machine.read_word(&area, 2, 0).unwrap();
    let asked: Vec<u64> = [0, 1, 2, 3, 4].iter().map(|&index| area.address(index)).chain([4096]).collect();
    let moved = machine.move_pages(&space, &asked, &[1, 1, 1, 1, 0, 1], MoveFlags::default());
    assert_eq!(moved.ret, Ok(0));
    let efault = Some(Errno::EFAULT.status());
    // Moved, moved, zero page, hole, already there, outside.
    assert_eq!(moved.status, [Some(1), Some(1), efault, Some(Errno::ENOENT.status()), Some(0), efault]);
    let bad = machine.move_pages(&space, &asked[..1], &[7], MoveFlags::default());
    assert_eq!(bad.ret, Err(Errno::ENODEV));
    machine.exit(&space);
    assert_clean(&machine);
}

fn a_node_that_does_not_exist_hides_the_error_of_the_run_before_it<R: Release>() {
    let mut config = Config::new(2, 64);
    config.nodes[1].frames = 4;
    config.profile.release = R::DESIGN;
    let machine = Machine::<R>::new(&config).unwrap();
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 11).unwrap();
    fill(&machine, &area);
    let nodes: Vec<u32> = (0..11).map(|index| if index < 10 { 1 } else { 7 }).collect();
    let moved = machine.move_pages(&space, &addresses(&area), &nodes, MoveFlags::default());
    assert_eq!(moved.ret, Err(Errno::ENODEV));
    // The run has moved as far as there were frames.
    assert_eq!(machine.query_pages(&space, &addresses(&area)).unwrap().iter().sum::<i32>(), 4);
    expect_filled(&machine, &area);
    machine.exit(&space);
    assert_clean(&machine);
}

fn a_pinned_page_stays_and_is_mapped_as_before<R: Release>() {
    for kind in [PinKind::Get, PinKind::Pin] {
        let machine = machine::<R>(2, 256);
        let space = machine.address_space().unwrap();
        let area = machine.mmap(&space, 3).unwrap();
        fill(&machine, &area);
        machine.lru_drain_all();
        let pinned = machine.pin(&area, 1, kind, true).unwrap();
        let before = machine.page(pinned).unwrap().word();
        let moved = machine.move_pages(&space, &addresses(&area), &[1, 1, 1], MoveFlags::default());
        assert_eq!(moved.ret, Ok(1), "{kind:?}");
        assert_eq!(machine.query_pages(&space, &addresses(&area)), Ok(vec![1, 0, 1]));
        machine.lru_drain_all();
        // The entry's dirty bit has reached the page; nothing else changed (recording h02/7).
        assert_eq!(machine.page(pinned).unwrap().word(), before.with(Flags::DIRTY));
        assert_eq!(machine.page_at(&area, 1), Some(pinned));
        expect_filled(&machine, &area);
        machine.unpin(pinned, kind);
        let moved = machine.move_pages(&space, &addresses(&area), &[1, 1, 1], MoveFlags::default());
        assert_eq!(moved.ret, Ok(0));
        machine.lru_drain_all();
        assert_clean(&machine);
        machine.exit(&space);
    }
}

fn a_full_node_stops_the_migration<R: Release>() {
    let mut config = Config::new(2, 64);
    config.nodes[1].frames = 4;
    config.profile.release = R::DESIGN;
    let machine = Machine::<R>::new(&config).unwrap();
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 10).unwrap();
    fill(&machine, &area);
    let moved = machine.move_pages(&space, &addresses(&area), &[1; 10], MoveFlags::default());
    assert_eq!(moved.ret, Err(Errno::ENOMEM));
    expect_filled(&machine, &area);
    machine.lru_drain_all();
    assert_clean(&machine);
    machine.exit(&space);
    machine.lru_drain_all();
    assert_eq!(used(&machine), 0);
}

fn shared_pages_move_only_with_move_all<R: Release>() {
    let machine = machine::<R>(2, 256);
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 4).unwrap();
    fill(&machine, &area);
    let child = machine.fork(&space).unwrap();
    let eacces = Some(Errno::EACCES.status());
    let moved = machine.move_pages(&space, &addresses(&area), &[1; 4], MoveFlags::default());
    assert_eq!((moved.ret, moved.status), (Ok(0), vec![eacces; 4]));
    let moved = machine.move_pages(&space, &addresses(&area), &[1; 4], MoveFlags { all: true });
    assert_eq!((moved.ret, moved.status), (Ok(0), vec![Some(1); 4]));
    let (twin, _) = child.find(area.address(0)).unwrap();
    expect_filled(&machine, &twin);
    expect_filled(&machine, &area);
    machine.lru_drain_all();
    assert_clean(&machine);
    machine.exit(&child);
    machine.exit(&space);
    machine.lru_drain_all();
    assert_eq!(used(&machine), 0);
}

#[test]
fn every_kernel_moves_and_counts_alike() {
    for kernel in PRESETS {
        let mut config = Config::new(2, 256);
        config.profile = Profile::preset(kernel).unwrap();
        config.profile.set("release", "split").unwrap();
        let machine = Machine::<Split>::new(&config).unwrap();
        let space = machine.address_space().unwrap();
        let area = machine.mmap(&space, 20).unwrap();
        fill(&machine, &area);
        let moved = machine.move_pages(&space, &addresses(&area), &[1; 20], MoveFlags::default());
        assert_eq!(moved.ret, Ok(0), "{kernel}");
        assert_eq!(machine.stats().events(Event::PgmigrateSuccess), 20);
        machine.lru_drain_all();
        assert_clean(&machine);
        machine.exit(&space);
    }
}

/// 150 pages are more than two windows of pages that are copied back to back.
#[test]
fn each_way_to_copy_moves_every_word() {
    for kind in CopyKind::ALL.into_iter().filter(|kind| kind.is_available()) {
        let config = Config { copy: Some(kind), ..Config::new(2, 512) };
        let machine = Machine::<Split>::new(&config).unwrap();
        let space = machine.address_space().unwrap();
        let area = machine.mmap(&space, 150).unwrap();
        let word_of = |index: u32, word: usize| u64::from(index) << 32 | word as u64;
        for (index, word) in (0..150).flat_map(|index| (0..WORDS).map(move |word| (index, word))) {
            machine.write_word(&area, index, word, word_of(index, word)).unwrap();
        }
        for node in [1, 0] {
            let moved = machine.move_pages(&space, &addresses(&area), &[node; 150], MoveFlags::default());
            assert_eq!(moved.ret, Ok(0), "{kind:?}");
            for (index, word) in (0..150).flat_map(|index| (0..WORDS).map(move |word| (index, word))) {
                assert_eq!(machine.read_word(&area, index, word), Ok(word_of(index, word)), "{kind:?}");
            }
        }
        assert_clean(&machine);
    }
}

#[test]
fn a_way_to_copy_that_the_processor_lacks_is_refused() {
    for kind in CopyKind::ALL {
        let machine = Machine::<Split>::new(&Config { copy: Some(kind), ..Config::new(2, 64) });
        assert_eq!(machine.err().map(|error| error.errno), (!kind.is_available()).then_some(Errno::EINVAL));
    }
}

/// One page of the window cannot be switched, because somebody holds a reference to it. It is copied anew at
/// each attempt, and does not hold up the others.
#[test]
fn a_held_page_among_pages_copied_back_to_back_stays_with_its_content() {
    let machine = machine::<Split>(2, 512);
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 100).unwrap();
    fill(&machine, &area);
    let held = machine.page_at(&area, 50).unwrap();
    assert!(machine.frames()[held].try_get());
    let moved = machine.move_pages(&space, &addresses(&area), &[1; 100], MoveFlags::default());
    assert_eq!(moved.ret, Ok(1));
    expect_filled(&machine, &area);
    assert_eq!(machine.page_at(&area, 50), Some(held));
    machine.put(held);
    let moved = machine.move_pages(&space, &[area.address(50)], &[1], MoveFlags::default());
    assert_eq!(moved.ret, Ok(0));
    expect_filled(&machine, &area);
    assert_clean(&machine);
}
