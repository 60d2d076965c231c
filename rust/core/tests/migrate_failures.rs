//! A failed migration leaves the page as it was: each obstacle is tested in each order and mode,
//! under every release design. Three pages are migrated, of which the middle one cannot move.

use crate::common::{assert_clean_with, used};
use mmcore::audit::{Handle, Ledger};
use mmcore::error::Errno;
use mmcore::machine::{Config, Machine};
use mmcore::map::{AddressSpace, Area, File, FileKind, FileMap, PinKind, Writeback};
use mmcore::migrate::{Mode, NewPage, Outcome, Reason};
use mmcore::movable::{PagePool, PageView, PoolOwner, PoolPage};
use mmcore::page::{Flags, Pfn};
use mmcore::profile::{CopyOrder, MigrationOrder};
use mmcore::release::Release;
use mmcore::stat::{Event, NodeItem};
use std::collections::HashMap;
use std::sync::Arc;

for_each_design!(
    a_mapped_page_that_cannot_move_stays_as_it_was,
    a_page_of_a_file_that_cannot_move_stays_as_it_was,
    a_movable_page_whose_owner_refuses_stays_as_it_was,
    without_a_page_to_move_to_the_migration_ends,
);

const WORD: usize = 3;

/// All combinations of order, copy and mode.
fn settings() -> Vec<(MigrationOrder, CopyOrder, Mode)> {
    let mut settings = Vec::new();
    for &order in MigrationOrder::ALL {
        for &copy in CopyOrder::ALL {
            settings.extend(Mode::NAMES.iter().map(|&(_, mode)| (order, copy, mode)));
        }
    }
    settings
}

fn machine<R: Release>(order: MigrationOrder, copy: CopyOrder) -> Machine<R> {
    let mut config = Config::new(2, 64);
    config.profile.release = R::DESIGN;
    config.profile.copy = copy;
    config.profile.migration = order;
    if order == MigrationOrder::OneByOne {
        (config.profile.passes, config.profile.sync_passes) = (10, 0);
    }
    Machine::new(&config).unwrap()
}

/// Allocates on node 1, but not for the page `without`, and notes the outcome of each page.
struct Listener<'a, R: Release> {
    machine: &'a Machine<R>,
    without: Option<Pfn>,
    heard: HashMap<Pfn, Outcome>,
}

impl<R: Release> NewPage for Listener<'_, R> {
    fn get_new_page(&mut self, src: Pfn) -> Option<Pfn> {
        (self.without != Some(src)).then(|| self.machine.alloc_pages(1, 0).unwrap())
    }

    fn ended(&mut self, src: Pfn, outcome: Outcome) {
        self.heard.insert(src, outcome);
    }
}

/// The state of a page that a failed migration must not change.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    flags: Flags,
    count: u32,
    mapcount: u32,
    word: u64,
}

fn see<R: Release>(machine: &Machine<R>, pfn: Pfn) -> Seen {
    let page = machine.page(pfn).unwrap();
    let word = machine.memory().load(pfn, WORD);
    // Only a drain decides the list of a page in a batch.
    machine.lru_drain_all();
    // `DIRTY` is left out: the unmap moves it from the entry to the page, where it stays after a
    // failure, as in the kernel.
    let flags = page.flags().difference(Flags::DIRTY);
    Seen { flags, count: page.count(), mapcount: page.mapcount(), word }
}

/// Migrates three pages of which the middle one cannot move. Its `Seen` must not change, and the
/// others must move.
#[track_caller]
fn fails<R: Release>(
    machine: &Machine<R>,
    pages: &[Pfn; 3],
    mode: Mode,
    expected: Outcome,
    ledger: &Ledger,
    isolate: impl Fn(Pfn),
) {
    let before = see(machine, pages[1]);
    let frames = used(machine);
    let counted = |event| machine.stats().events(event);
    let (succeeded, failed) = (counted(Event::PgmigrateSuccess), counted(Event::PgmigrateFail));
    pages.iter().for_each(|&pfn| isolate(pfn));
    let without = (expected == Outcome::NoMemory).then_some(pages[1]);
    let mut listener = Listener { machine, without, heard: HashMap::new() };
    let mut list = pages.to_vec();
    let result = machine.migrate_pages(&mut list, &mut listener, mode, Reason::Compaction);
    let heard = |at: usize| listener.heard.get(&pages[at]).copied();
    assert_eq!(heard(1), Some(expected), "{mode:?}");
    assert!(matches!(heard(0), Some(Outcome::Moved(_))), "{mode:?}: {:?}", heard(0));
    let moved = match expected {
        // The migration ended before it tried the third page.
        Outcome::NoMemory => {
            assert_eq!((heard(2), &list[..]), (None, &pages[1..]));
            assert_eq!((result.errno, result.ret()), (Some(Errno::ENOMEM), Errno::ENOMEM.status()));
            1
        }
        _ => {
            assert!(matches!(heard(2), Some(Outcome::Moved(_))), "{mode:?}: {:?}", heard(2));
            assert_eq!((&list[..], result.ret()), (&pages[1..2], 1));
            2
        }
    };
    assert_eq!((result.succeeded, result.failed), (moved, 1));
    assert_eq!(result.refused, u32::from(expected == Outcome::Refused));
    machine.putback_movable_pages(&mut list);
    assert_eq!(see(machine, pages[1]), before, "{mode:?}");
    assert_eq!(used(machine), frames);
    assert_eq!(counted(Event::PgmigrateSuccess) - succeeded, i64::from(moved));
    assert_eq!(counted(Event::PgmigrateFail) - failed, 1);
    for item in [NodeItem::IsolatedAnon, NodeItem::IsolatedFile] {
        assert_eq!((0..2).map(|node| machine.stats().on_node(node, item)).sum::<i64>(), 0);
    }
    assert_clean_with(machine, ledger);
}

/// Three written pages of `area` that are on their lists.
fn written<R: Release>(machine: &Machine<R>, area: &Area) -> [Pfn; 3] {
    for index in 0..3 {
        machine.write_word(area, index, WORD, 100 + u64::from(index)).unwrap();
    }
    machine.lru_drain_all();
    [0, 1, 2].map(|index| machine.page_at(area, index).unwrap())
}

#[track_caller]
fn read<R: Release>(machine: &Machine<R>, area: &Area) {
    for index in 0..3 {
        assert_eq!(machine.read_word(area, index, WORD).unwrap(), 100 + u64::from(index));
    }
}

#[derive(Clone, Copy, Debug)]
enum Obstacle {
    Reference,
    Pin,
    Shared,
    Locked,
    NoPage,
}

fn a_mapped_page_that_cannot_move_stays_as_it_was<R: Release>() {
    use Obstacle::{Locked, NoPage, Pin, Reference, Shared};
    for (order, copy, mode) in settings() {
        for obstacle in [Reference, Pin, Shared, Locked, NoPage] {
            // The other modes wait for the lock; `migrate_modes.rs` tests them.
            if matches!(obstacle, Locked) && mode != Mode::Async {
                continue;
            }
            let machine = machine::<R>(order, copy);
            let space = machine.address_space().unwrap();
            let area = machine.mmap(&space, 3).unwrap();
            let pages = written(&machine, &area);
            let page = machine.page(pages[1]).unwrap();
            let ledger = Ledger::default();
            let mut child: Option<Arc<AddressSpace>> = None;
            match obstacle {
                Reference => machine.hold(&ledger, pages[1]).unwrap(),
                Pin => {
                    machine.pin(&area, 1, PinKind::Pin, true).unwrap();
                    ledger.add(pages[1], Handle::Pin);
                }
                Shared => {
                    child = Some(machine.fork(&space).unwrap());
                    machine.hold(&ledger, pages[1]).unwrap();
                }
                Locked => assert!(machine.hold_lock(&ledger, pages[1]).unwrap()),
                NoPage => {}
            }
            let expected = if matches!(obstacle, NoPage) { Outcome::NoMemory } else { Outcome::Again };
            fails(&machine, &pages, mode, expected, &ledger, |pfn| machine.isolate(pfn).unwrap());
            read(&machine, &area);
            // Without the obstacle the page moves.
            match obstacle {
                Reference | Shared => machine.let_go(&ledger, pages[1], Handle::Ref),
                Pin => machine.let_go(&ledger, pages[1], Handle::Pin),
                Locked => machine.let_go(&ledger, pages[1], Handle::Lock),
                NoPage => {}
            }
            machine.isolate(pages[1]).unwrap();
            let mut target = |_| machine.alloc_pages(1, 0).ok();
            let result = machine.migrate_pages(&mut vec![pages[1]], &mut target, mode, Reason::Compaction);
            assert_eq!((result.ret(), result.succeeded), (0, 1), "{obstacle:?}");
            assert_eq!(machine.node_of(machine.page_at(&area, 1).unwrap()), 1);
            assert_eq!(page.mapcount(), 0);
            read(&machine, &area);
            machine.exit(&space);
            child.iter().for_each(|child| machine.exit(child));
            machine.lru_drain_all();
            assert_eq!(used(&machine), 0);
            assert_clean_with(&machine, &ledger);
        }
    }
}

fn a_page_of_a_file_that_cannot_move_stays_as_it_was<R: Release>() {
    for (order, copy, mode) in settings() {
        for writeback in [false, true] {
            // A synchronous migration waits for the write; `migrate_modes.rs` tests it.
            if writeback && mode == Mode::Sync {
                continue;
            }
            let machine = machine::<R>(order, copy);
            let space = machine.address_space().unwrap();
            let file: Arc<File> = machine.file(FileKind::Disk, 3).unwrap();
            let map = FileMap { file: Arc::clone(&file), first: 0, private: false, random: false };
            let area = machine.mmap_file(&space, map, 3).unwrap();
            let pages = written(&machine, &area);
            let ledger = Ledger::default();
            let mut write: Option<Writeback> = None;
            if writeback {
                write = machine.begin_writeback(&file, 1).unwrap();
                ledger.add(pages[1], Handle::Writeback);
            } else {
                machine.hold(&ledger, pages[1]).unwrap();
            }
            let expected = if writeback { Outcome::Refused } else { Outcome::Again };
            fails(&machine, &pages, mode, expected, &ledger, |pfn| machine.isolate(pfn).unwrap());
            read(&machine, &area);
            match write {
                Some(write) => {
                    ledger.remove(pages[1], Handle::Writeback);
                    machine.end_writeback(&file, write);
                }
                None => machine.let_go(&ledger, pages[1], Handle::Ref),
            }
            machine.exit(&space);
            machine.remove_file(&file);
            machine.lru_drain_all();
            assert_eq!(used(&machine), 0);
            assert_clean_with(&machine, &ledger);
        }
    }
}

/// An owner that refuses to migrate one page.
#[derive(Debug)]
struct Refuses(std::sync::Mutex<Option<Pfn>>, Errno);

impl PoolOwner for Refuses {
    fn isolate(&self, _view: &dyn PageView, _pfn: Pfn) -> bool {
        true
    }

    fn migrate(&self, _view: &dyn PageView, from: Pfn, _to: Pfn, _mode: Mode) -> Result<bool, Errno> {
        if *self.0.lock().unwrap() == Some(from) { Err(self.1) } else { Ok(false) }
    }

    fn putback(&self, _view: &dyn PageView, _pfn: Pfn) {}

    fn released(&self, _view: &dyn PageView, _pfn: Pfn) {}
}

fn a_movable_page_whose_owner_refuses_stays_as_it_was<R: Release>() {
    for (order, copy, mode) in settings() {
        for (errno, expected) in [
            (Errno::EAGAIN, Outcome::Again),
            (Errno::EBUSY, Outcome::Refused),
            (Errno::EIO, Outcome::Refused),
        ] {
            let machine = machine::<R>(order, copy);
            let owner = Arc::new(Refuses(std::sync::Mutex::new(None), errno));
            let pool = PagePool::with_owner(&machine, owner.clone()).unwrap();
            let numbers: [PoolPage; 3] = [0, 1, 2].map(|_| pool.add(&machine, 0).unwrap());
            let pages = numbers.map(|number| pool.pfn(number).unwrap());
            for (value, number) in numbers.iter().enumerate() {
                pool.write(&machine, *number, WORD, value as u64).unwrap();
            }
            *owner.0.lock().unwrap() = Some(pages[1]);
            fails(&machine, &pages, mode, expected, &Ledger::default(), |pfn| {
                assert!(machine.isolate_movable_page(pfn));
            });
            for (value, number) in numbers.iter().enumerate() {
                assert_eq!(pool.read(&machine, *number, WORD).unwrap(), value as u64);
                pool.release(&machine, *number).unwrap();
            }
            assert_eq!((used(&machine), pool.census()), (0, (0, 3)));
            assert_clean_with(&machine, &Ledger::default());
        }
    }
}

fn without_a_page_to_move_to_the_migration_ends<R: Release>() {
    for (order, copy, mode) in settings() {
        let machine = machine::<R>(order, copy);
        let space = machine.address_space().unwrap();
        let area = machine.mmap(&space, 3).unwrap();
        let pages = written(&machine, &area);
        let taken: Vec<Pfn> = std::iter::from_fn(|| machine.alloc_pages(1, 0).ok()).collect();
        pages.iter().for_each(|&pfn| machine.isolate(pfn).unwrap());
        let mut list = pages.to_vec();
        let mut target = |_| machine.alloc_pages(1, 0).ok();
        let result = machine.migrate_pages(&mut list, &mut target, mode, Reason::Syscall);
        assert_eq!((result.ret(), result.failed), (Errno::ENOMEM.status(), 1));
        assert_eq!(list, pages);
        machine.putback_movable_pages(&mut list);
        machine.put_all(&taken);
        machine.lru_drain_all();
        assert_eq!(pages, [0, 1, 2].map(|index| machine.page_at(&area, index).unwrap()));
        read(&machine, &area);
        machine.exit(&space);
        machine.lru_drain_all();
        assert_eq!(used(&machine), 0);
        assert_clean_with(&machine, &Ledger::default());
    }
}
