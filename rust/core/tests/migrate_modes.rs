//! The modes of a migration: the locks and writes for which each mode waits, and the number of its
//! attempts, in both orders.

use crate::common::{assert_clean, assert_clean_with};
use mmcore::audit::{Handle, Ledger};
use mmcore::calls::Call;
use mmcore::machine::{Config, Machine};
use mmcore::map::{AddressSpace, Area, FileKind, FileMap, PinKind, Policy};
use mmcore::migrate::{MbindFlags, Mode, NewPage, Outcome, Reason};
use mmcore::page::{Flags, Pfn};
use mmcore::release::Split;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

type TestMachine = Machine<Split>;

fn machine(kernel: &str, set: &[(&str, &str)]) -> TestMachine {
    let mut config = Config::new(2, 64);
    config.profile = mmcore::profile::Profile::preset(kernel).unwrap();
    set.iter().for_each(|(field, value)| config.profile.set(field, value).unwrap());
    config.calls = true;
    Machine::new(&config).unwrap()
}

/// The number of destination pages that the migration asked for, and the last outcome.
#[derive(Default)]
struct Heard {
    asked: u32,
    last: Option<Outcome>,
}

struct Listener<'a>(&'a TestMachine, Heard);

impl NewPage for Listener<'_> {
    fn get_new_page(&mut self, _src: Pfn) -> Option<Pfn> {
        self.1.asked += 1;
        self.0.alloc_pages(1, 0).ok()
    }

    fn ended(&mut self, _src: Pfn, outcome: Outcome) {
        self.1.last = Some(outcome);
    }
}

fn migrate(machine: &TestMachine, pfn: Pfn, mode: Mode) -> (Heard, u32) {
    machine.isolate(pfn).unwrap();
    let mut list = vec![pfn];
    let mut listener = Listener(machine, Heard::default());
    let result = machine.migrate_pages(&mut list, &mut listener, mode, Reason::Compaction);
    machine.putback_movable_pages(&mut list);
    machine.lru_drain_all();
    (listener.1, result.retries)
}

/// Runs a migration against an obstacle that is lifted later. Returns true if the migration waited for it,
/// and the outcome.
fn waits_for(machine: &TestMachine, pfn: Pfn, mode: Mode, lift: impl FnOnce()) -> (bool, Outcome) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let migrating = scope.spawn(|| {
            let heard = migrate(machine, pfn, mode).0;
            // Relaxed: the outcome itself is passed by the join.
            ended.store(true, Ordering::Relaxed);
            heard.last.unwrap()
        });
        // This time is long enough for all attempts that do not wait.
        for _ in 0..30 {
            std::thread::sleep(Duration::from_millis(10));
            if ended.load(Ordering::Relaxed) {
                break;
            }
        }
        let waits = !ended.load(Ordering::Relaxed);
        lift();
        (waits, migrating.join().unwrap())
    })
}

/// The outcome of a migration while the obstacle is there, or `WAITS` if the migration waits and
/// then moves the page.
fn meets(machine: &TestMachine, pfn: Pfn, mode: Mode, lift: impl FnOnce()) -> Result<Outcome, ()> {
    match waits_for(machine, pfn, mode, lift) {
        (true, Outcome::Moved(_)) => WAITS,
        (waits, outcome) => {
            assert!(!waits, "it waited, and then {outcome:?}");
            Ok(outcome)
        }
    }
}

const WAITS: Result<Outcome, ()> = Err(());
const AGAIN: Result<Outcome, ()> = Ok(Outcome::Again);
const REFUSED: Result<Outcome, ()> = Ok(Outcome::Refused);

fn anonymous(machine: &TestMachine) -> (Arc<AddressSpace>, Arc<Area>, Pfn) {
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, 1).unwrap();
    machine.write_word(&area, 0, 0, 7).unwrap();
    machine.lru_drain_all();
    let pfn = machine.page_at(&area, 0).unwrap();
    (space, area, pfn)
}

#[test]
fn the_modes_that_wait_for_a_page_lock() {
    for kernel in ["6.1", "6.12"] {
        for (mode, expected) in [(Mode::Async, AGAIN), (Mode::SyncLight, WAITS), (Mode::Sync, WAITS)] {
            let machine = machine(kernel, &[]);
            let (_space, area, pfn) = anonymous(&machine);
            assert!(machine.page(pfn).unwrap().flags().contains(Flags::UPTODATE));
            // This thread unlocks the page itself, in `meets`.
            machine.page(pfn).unwrap().lock();
            let met = meets(&machine, pfn, mode, || machine.page(pfn).unwrap().unlock(pfn));
            assert_eq!(met, expected, "{kernel} {mode:?}");
            assert_eq!(machine.read_word(&area, 0, 0).unwrap(), 7);
            assert_clean(&machine);
        }
    }
}

#[test]
fn a_light_migration_waits_for_the_lock_of_a_page_that_is_being_read_only_one_by_one() {
    let table = [("6.1", [AGAIN, WAITS, WAITS]), ("6.12", [AGAIN, AGAIN, WAITS])];
    for (kernel, row) in table {
        for (mode, expected) in [Mode::Async, Mode::SyncLight, Mode::Sync].into_iter().zip(row) {
            let machine = machine(kernel, &[]);
            let pfn = machine.alloc_pages(0, 0).unwrap();
            machine.lru_add(pfn);
            machine.lru_drain_all();
            let page = machine.page(pfn).unwrap();
            assert!(!page.flags().contains(Flags::UPTODATE));
            page.lock();
            // The test also keeps a reference, so the page cannot move even when it is unlocked.
            // Only the waiting is tested.
            let (waits, last) = waits_for(&machine, pfn, mode, || page.unlock(pfn));
            assert_eq!((waits, last), (expected.is_err(), Outcome::Again), "{kernel} {mode:?}");
            assert!(page.flags().contains(Flags::LRU));
            machine.put(pfn);
            assert_clean(&machine);
        }
    }
}

#[test]
fn the_modes_that_wait_for_a_write_to_disk() {
    for kernel in ["6.1", "6.12"] {
        for (mode, expected) in [(Mode::Async, REFUSED), (Mode::SyncLight, REFUSED), (Mode::Sync, WAITS)] {
            let machine = machine(kernel, &[]);
            let space = machine.address_space().unwrap();
            let file = machine.file(FileKind::Disk, 1).unwrap();
            let map = FileMap { file: Arc::clone(&file), first: 0, private: false, random: false };
            let area = machine.mmap_file(&space, map, 1).unwrap();
            machine.write_word(&area, 0, 0, 8).unwrap();
            machine.lru_drain_all();
            let write = machine.begin_writeback(&file, 0).unwrap().expect("it is dirty");
            let pfn = write.pfn;
            let ledger = Ledger::default();
            ledger.add(pfn, Handle::Writeback);
            assert_clean_with(&machine, &ledger);
            let met = meets(&machine, pfn, mode, || machine.end_writeback(&file, write));
            assert_eq!(met, expected, "{kernel} {mode:?}");
            assert_eq!(machine.read_word(&area, 0, 0).unwrap(), 8);
            assert_clean(&machine);
        }
    }
}

/// The batches that the migration began, as mode and passes.
fn batches(machine: &TestMachine) -> Vec<(u8, u8)> {
    let entered = machine.take_calls().into_iter().filter(|call| call.ret.is_none());
    entered
        .filter_map(|call| match call.call {
            Call::MigratePagesBatch { mode, passes } => Some((mode, passes)),
            _ => None,
        })
        .collect()
}

/// The destination pages, retries and batches of the migration of a page that is referenced all the
/// time.
fn tries(kernel: &str, set: &[(&str, &str)], mode: Mode) -> (u32, u32, Vec<(u8, u8)>) {
    let machine = machine(kernel, set);
    let (_space, _area, pfn) = anonymous(&machine);
    let ledger = Ledger::default();
    machine.hold(&ledger, pfn).unwrap();
    machine.take_calls();
    let (heard, retries) = migrate(&machine, pfn, mode);
    assert_eq!(heard.last, Some(Outcome::Again));
    let batches = batches(&machine);
    machine.let_go(&ledger, pfn, Handle::Ref);
    assert_clean(&machine);
    (heard.asked, retries, batches)
}

#[test]
fn a_batch_ends_with_the_page_that_fills_it() {
    // A batch has 512 base pages, however many of them a page has.
    for (order, pages, expected) in [(9, 3 << 9, 3), (8, 3 << 8, 2), (10, 2 << 10, 2)] {
        let mut config = Config::new(2, 4 << 10);
        config.backed = false;
        config.calls = true;
        let machine = TestMachine::new(&config).unwrap();
        machine.bind_cpu(Some(0));
        let space = machine.address_space().unwrap();
        let area = machine.mmap_large(&space, pages, order).unwrap();
        machine.mlock(&space, &area, 0..pages).unwrap();
        machine.munlock(&space, &area, 0..pages).unwrap();
        machine.lru_drain_all();
        machine.take_calls();
        let moves = MbindFlags { move_own: true, ..MbindFlags::default() };
        machine.mbind(&space, &area, 0..pages, Policy::Bind(1), moves).unwrap();
        assert_eq!(batches(&machine).len(), expected, "order {order}");
        let node = |page| machine.page_at(&area, page).map(|pfn| machine.node_of(pfn));
        assert!((0..pages).all(|page| node(page) == Some(1)), "order {order}");
    }
}

#[test]
fn one_by_one_each_pass_has_a_new_page() {
    for mode in [Mode::Async, Mode::SyncLight, Mode::Sync] {
        assert_eq!(tries("6.1", &[], mode), (10, 10, vec![]));
        assert_eq!(tries("6.1", &[("passes", "2")], mode), (2, 2, vec![]));
    }
}

#[test]
fn in_a_batch_a_page_that_stays_unmapped_keeps_its_new_page() {
    assert_eq!(tries("6.12", &[], Mode::Async), (1, 10, vec![(0, 10)]));
    for (mode, number) in [(Mode::SyncLight, 1), (Mode::Sync, 2)] {
        assert_eq!(tries("6.12", &[], mode), (2, 10, vec![(0, 3), (number, 7)]));
        let short = [("passes", "1"), ("sync_passes", "2")];
        assert_eq!(tries("6.12", &short, mode), (2, 3, vec![(0, 1), (number, 2)]));
    }
}

#[test]
fn where_unmapping_fails_each_pass_has_a_new_page() {
    let machine = machine("6.12", &[]);
    let (_space, area, pfn) = anonymous(&machine);
    machine.pin(&area, 0, PinKind::Pin, true).unwrap();
    let (heard, retries) = migrate(&machine, pfn, Mode::Async);
    assert_eq!((heard.last, heard.asked, retries), (Some(Outcome::Again), 10, 10));
    machine.unpin(pfn, PinKind::Pin);
    assert_clean(&machine);
}
