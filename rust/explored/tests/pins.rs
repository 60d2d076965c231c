//! Pins by frame number under the explorer. A page that was pinned by its number stays where it is until the
//! pin is given back, whichever operation tries to move it meanwhile, and whatever kind of page it is.

use crate::audited;
use mmcore_explored::audit::{Handle, Ledger};
use mmcore_explored::error::Errno;
use mmcore_explored::explore::{Coverage, Exhaustive, Explorer, Options, Violation, World};
use mmcore_explored::machine::{Config, Machine};
use mmcore_explored::map::{AddressSpace, Advice, Area, FileKind, FileMap};
use mmcore_explored::migrate::{Mode, Reason};
use mmcore_explored::movable::{PagePool, PoolPage};
use mmcore_explored::page::Pfn;
use mmcore_explored::profile::Profile;
use mmcore_explored::release::Split;
use std::sync::Arc;

/// The way by which the page is found.
enum Way {
    /// An entry of an area: the page of this index.
    Entry { space: Arc<AddressSpace>, area: Arc<Area>, index: u32 },
    /// A pool of movable pages.
    Pool { pool: Arc<PagePool>, which: PoolPage },
}

type Role = fn(&Pinned);

/// A machine with one page, and the action of each thread.
struct Pinned {
    machine: Machine<Split>,
    way: Way,
    pfn: Pfn,
    roles: Vec<Role>,
}

impl World for Pinned {
    fn threads(&self) -> usize {
        self.roles.len()
    }

    fn run(&self, thread: usize) {
        self.roles[thread](self);
    }

    fn check(&self) -> Result<(), Violation> {
        audited(&self.machine)
    }
}

impl Pinned {
    fn machine(kernel: Option<&str>) -> Machine<Split> {
        let profile = kernel.map_or_else(Profile::default, |name| Profile::preset(name).unwrap());
        let machine = Machine::new(&Config { cpus: 1, profile, ..Config::new(2, 8) }).unwrap();
        machine.swapon(8).unwrap();
        machine
    }

    /// The last page of an area, written.
    fn mapped(machine: Machine<Split>, space: Arc<AddressSpace>, area: Arc<Area>) -> Pinned {
        let index = area.pages() - 1;
        for page in 0..area.pages() {
            machine.write_word(&area, page, 0, 1).unwrap();
        }
        machine.lru_drain_all();
        let pfn = machine.page_at(&area, index).unwrap();
        Pinned { machine, way: Way::Entry { space, area, index }, pfn, roles: Vec::new() }
    }

    fn anon() -> Pinned {
        let machine = Pinned::machine(None);
        let space = machine.address_space().unwrap();
        let area = machine.mmap(&space, 1).unwrap();
        Pinned::mapped(machine, space, area)
    }

    /// A part of a large page that is not its head.
    fn part() -> Pinned {
        let machine = Pinned::machine(None);
        let space = machine.address_space().unwrap();
        let area = machine.mmap_large(&space, 2, 1).unwrap();
        Pinned::mapped(machine, space, area)
    }

    fn of_file(kind: FileKind) -> Pinned {
        let machine = Pinned::machine(None);
        let space = machine.address_space().unwrap();
        let file = machine.file(kind, 1).unwrap();
        let map = FileMap { file, first: 0, private: false, random: false };
        let area = machine.mmap_file(&space, map, 1).unwrap();
        Pinned::mapped(machine, space, area)
    }

    fn tmpfs() -> Pinned {
        Pinned::of_file(FileKind::Tmpfs)
    }

    fn disk() -> Pinned {
        Pinned::of_file(FileKind::Disk)
    }

    fn movable() -> Pinned {
        Pinned::movable_on(None)
    }

    /// In a kernel whose pins are plain references, which owners do not count.
    fn movable_with_plain_pins() -> Pinned {
        Pinned::movable_on(Some("4.8"))
    }

    fn movable_on(kernel: Option<&str>) -> Pinned {
        let machine = Pinned::machine(kernel);
        let pool = PagePool::new(&machine).unwrap();
        let which = pool.add(&machine, 0).unwrap();
        pool.write(&machine, which, 0, 1).unwrap();
        let pfn = pool.pfn(which).unwrap();
        Pinned { machine, way: Way::Pool { pool, which }, pfn, roles: Vec::new() }
    }

    fn read(&self) -> u64 {
        match &self.way {
            Way::Entry { area, index, .. } => self.machine.read_word(area, *index, 0).unwrap(),
            Way::Pool { pool, which } => pool.read(&self.machine, *which, 0).unwrap(),
        }
    }

    /// The frame in which the page is found now; None while a migration or reclaim has it unmapped.
    fn found(&self) -> Option<Pfn> {
        match &self.way {
            Way::Entry { area, index, .. } => self.machine.page_at(area, *index),
            Way::Pool { pool, which } => pool.pfn(*which).ok(),
        }
    }
}

/// Pins the page by the number of its frame, as a device would, and stores into the frame. Each store must be
/// found through the page's entry or owner while the pin is held, and the last one afterwards too.
fn pin(race: &Pinned) {
    let ledger = Ledger::default();
    match race.machine.hold_pin(&ledger, race.pfn) {
        Ok(()) => {
            for value in 7..9 {
                race.machine.memory().store(race.pfn, 0, value);
                assert_eq!(race.read(), value, "the page is not where it was pinned");
                assert!(race.found().is_none_or(|now| now == race.pfn), "the pinned page has moved");
            }
            race.machine.let_go(&ledger, race.pfn, Handle::Pin);
            assert_eq!(race.read(), 8, "a store through the pin is lost");
        }
        // The page is locked, or it has moved.
        Err(error) => assert!([Errno::EAGAIN, Errno::EBUSY].contains(&error.errno), "{error}"),
    }
}

/// Isolates the page and migrates it to the other node.
fn migrate(race: &Pinned) {
    let ledger = Ledger::default();
    let Ok(handle) = race.machine.hold_isolated(&ledger, race.pfn) else { return };
    let reason = Reason::Compaction;
    let _ = race.machine.migrate_isolated(&ledger, race.pfn, handle, 1, Mode::Async, reason);
}

/// Takes the frame offline, for which the page must leave it.
fn soft_offline(race: &Pinned) {
    let _ = race.machine.soft_offline_page(race.pfn);
}

/// Writes the page to the swap space or the disk, and frees the frame.
fn page_out(race: &Pinned) {
    let Way::Entry { space, area, index } = &race.way else { unreachable!() };
    race.machine.madvise(space, area, *index..*index + 1, Advice::Pageout).unwrap();
}

/// Splits a large page; a split leaves each part in its frame.
fn split(race: &Pinned) {
    let _ = race.machine.split_huge_page(race.pfn);
}

/// No schedule with up to two preemptions moves the page, or loses a store.
#[track_caller]
fn stays(build: fn() -> Pinned, others: &[Role]) {
    for &other in others {
        let race = Pinned { roles: vec![other, pin], ..build() };
        let report = Exhaustive::default().search(&mut Explorer::with_options(race, Options::DEFAULT));
        assert!(report.counterexample.is_none(), "{report:?}");
        assert!(matches!(report.coverage, Coverage::Bounded { .. } | Coverage::Complete), "{report:?}");
    }
}

#[test]
fn an_anonymous_page_that_is_pinned_by_its_number_stays() {
    stays(Pinned::anon, &[migrate, soft_offline, page_out]);
}

#[test]
fn a_part_of_a_large_page_that_is_pinned_by_its_number_stays() {
    stays(Pinned::part, &[migrate, soft_offline, page_out, split]);
}

#[test]
fn a_page_of_a_file_that_is_pinned_by_its_number_stays() {
    stays(Pinned::tmpfs, &[migrate, soft_offline, page_out]);
    stays(Pinned::disk, &[migrate, soft_offline, page_out]);
}

#[test]
fn a_movable_page_that_is_pinned_by_its_number_stays() {
    stays(Pinned::movable, &[migrate, soft_offline]);
    stays(Pinned::movable_with_plain_pins, &[migrate, soft_offline]);
}
