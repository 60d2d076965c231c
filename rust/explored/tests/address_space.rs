//! Address spaces under the explorer. In each world two or three operations race on one or two
//! pages; afterwards the audit checks all references, mappings and counters.

use crate::audited;
use mmcore_explored::audit::{Handle, Ledger};
use mmcore_explored::error::Errno;
use mmcore_explored::explore::{
    Coverage, Exhaustive, Explorer, Method, Options, Report, Sampling, Violation, World, explore,
};
use mmcore_explored::machine::{Config, Machine};
use mmcore_explored::map::{AddressSpace, Area, PinKind};
use mmcore_explored::migrate::{Mode, Reason};
use mmcore_explored::page::Pfn;
use mmcore_explored::release::{Designed, Split};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const OPTIONS: Options = Options::DEFAULT;

type Role = fn(&Race);

/// A machine with one space of two written pages, a child that shares them, and the action of each
/// thread.
struct Race {
    machine: Machine<Split>,
    space: Arc<AddressSpace>,
    child: Arc<AddressSpace>,
    area: Arc<Area>,
    roles: Vec<Role>,
}

impl Race {
    fn new(roles: &[Role]) -> Race {
        let machine = Machine::new(&Config { cpus: 1, ..Config::new(2, 8) }).unwrap();
        assert_eq!(machine.profile().release, Split::DESIGN);
        let space = machine.address_space().unwrap();
        let area = machine.mmap(&space, 2).unwrap();
        for page in 0..2 {
            machine.write_word(&area, page, 0, 1).unwrap();
        }
        machine.lru_drain_all();
        let child = machine.fork(&space).unwrap();
        Race { machine, space, child, area, roles: roles.to_vec() }
    }

    /// The same without the child, so that the pages are exclusive again.
    fn alone(roles: &[Role]) -> Race {
        let race = Race::new(roles);
        race.machine.exit(&race.child);
        race.write(0, 1);
        race.write(1, 1);
        race
    }

    fn read(&self, area: &Area, page: u32) -> u64 {
        self.machine.read_word(area, page, 0).unwrap()
    }

    fn write(&self, page: u32, value: u64) {
        self.machine.write_word(&self.area, page, 0, value).unwrap();
    }
}

impl World for Race {
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

/// Writes one page, then the other.
fn write_in_turn(race: &Race) {
    race.write(0, 2);
    assert_eq!(race.read(&race.area, 0), 2);
    race.write(1, 2);
    assert_eq!(race.read(&race.area, 1), 2);
}

/// Reads twice: the page must not go back to an older value.
fn read_twice(race: &Race) {
    let first = race.read(&race.area, 0);
    let second = race.read(&race.area, 0);
    assert!(first <= second, "page 0 went from {first} to {second}");
}

/// Forks. The child has no later write without the earlier one, and its memory does not change.
fn fork(race: &Race) {
    let child = race.machine.fork(&race.space).unwrap();
    let (area, _) = child.find(race.area.address(0)).unwrap();
    let (first, second) = (race.read(&area, 0), race.read(&area, 1));
    assert!(first >= second, "the child sees the second write without the first");
    race.machine.write_word(&area, 1, 0, 9).unwrap();
    assert_eq!(race.read(&area, 0), first, "the parent writes to the child's memory");
    race.machine.exit(&child);
}

/// Pins the first page by the number of its frame. While the pin is held, the process must read
/// each store into the frame.
fn pin_by_number(race: &Race) {
    let ledger = Ledger::default();
    let Some(pfn) = race.machine.page_at(&race.area, 0) else { return };
    match race.machine.hold_pin(&ledger, pfn) {
        Ok(()) => {
            race.machine.memory().store(pfn, 0, 7);
            assert_eq!(race.read(&race.area, 0), 7, "the page is not where it was pinned");
            // While a migration retries, the entry maps no page.
            assert!(race.machine.page_at(&race.area, 0).is_none_or(|now| now == pfn));
            race.machine.let_go(&ledger, pfn, Handle::Pin);
        }
        // The page is locked, or it has moved or was freed.
        Err(error) => assert!([Errno::EAGAIN, Errno::EBUSY].contains(&error.errno), "{error}"),
    }
}

/// Unmaps the first page.
fn unmap(race: &Race) {
    race.machine.munmap(&race.space, &race.area, 0..1).unwrap();
    let gone = race.machine.read_word(&race.area, 0, 0).unwrap_err();
    assert_eq!(gone.errno, Errno::EFAULT);
}

/// Reads and writes the first page, which another thread may unmap; its frame may then get other
/// content.
fn touch_unmappable(race: &Race) {
    match race.machine.read_word(&race.area, 0, 0) {
        Ok(value) => assert_eq!(value, 1),
        Err(error) => assert_eq!(error.errno, Errno::EFAULT),
    }
    if let Err(error) = race.machine.write_word(&race.area, 0, 0, 1) {
        assert_eq!(error.errno, Errno::EFAULT);
    }
}

/// Reads the first page: its first content, or the value that another thread writes.
fn read_once(race: &Race) {
    let value = race.read(&race.area, 0);
    assert!(value == 1 || value == 2, "page 0 reads {value}");
}

/// Writes to the shared page, which copies it, then allocates and fills frames.
fn write_and_reuse(race: &Race) {
    race.write(0, 2);
    reuse_frames(race);
}

/// Ends the child: its pages lose a mapping, and the parent's mapping may be the last.
fn end_child(race: &Race) {
    race.machine.exit(&race.child);
}

/// Allocates frames and fills them.
fn reuse_frames(race: &Race) {
    let area = race.machine.mmap(&race.space, 1).unwrap();
    race.machine.write_word(&area, 0, 0, 7).unwrap();
    race.machine.munmap(&race.space, &area, 0..1).unwrap();
}

/// Pins the first page, which must then be the mapped one.
fn pin(race: &Race) {
    let pfn = race.machine.pin(&race.area, 0, PinKind::Pin, true).unwrap();
    race.write(0, 3);
    assert_eq!(race.machine.memory().load(pfn, 0), 3, "the pinned page is not the mapped one");
    race.machine.unpin(pfn, PinKind::Pin);
}

/// Migrates the first page to the other node if it can be isolated.
fn migrate(race: &Race) {
    let machine = &race.machine;
    let Some(pfn) = machine.get_page_at(&race.area, 0) else { return };
    let isolated = machine.isolate(pfn).is_ok();
    machine.put(pfn);
    if isolated {
        let mut list = vec![pfn];
        let target = &mut |_: Pfn| machine.alloc_pages(1, 0).ok();
        machine.migrate_pages(&mut list, target, Mode::Async, Reason::Syscall);
        list.into_iter().for_each(|pfn| machine.putback(pfn));
    }
}

#[track_caller]
fn holds(build: fn(&[Role]) -> Race, roles: &[Role]) {
    holds_in(3_000, build, roles);
}

#[track_caller]
fn holds_in(schedules: u64, build: fn(&[Role]) -> Race, roles: &[Role]) {
    let none = |report: Report| {
        if let Some(found) = report.counterexample {
            let trace = Explorer::with_options(build(roles), OPTIONS).trace(&found.schedule);
            panic!("{}\nschedule {}\n{trace}", found.violation, found.schedule);
        }
    };
    let sampling = Sampling { method: Method::Portfolio, schedules, seed: 1 };
    none(explore(|| build(roles), &sampling, OPTIONS, 2, &AtomicBool::new(false)));
    let search = Exhaustive { preemptions: Some(1), limit: 3_000, ..Exhaustive::default() };
    none(search.search(&mut Explorer::with_options(build(roles), OPTIONS)));
}

#[test]
fn a_fork_is_a_snapshot() {
    holds(Race::alone, &[write_in_turn, fork]);
    holds(Race::alone, &[write_in_turn, fork, read_twice]);
}

#[test]
fn forks_of_one_space_do_not_disturb_each_other() {
    holds(Race::alone, &[fork, fork]);
    holds(Race::new, &[fork, end_child]);
}

#[test]
fn a_copied_page_is_not_used_again() {
    // Without the flush in the copying fault, a violation takes four switches at the right places.
    holds_in(50_000, Race::new, &[read_once, write_and_reuse, end_child]);
    holds(Race::new, &[write_in_turn, read_twice, end_child]);
}

#[test]
fn an_unmapped_page_is_not_used_again() {
    holds(Race::alone, &[unmap, touch_unmappable]);
    holds(Race::alone, &[unmap, touch_unmappable, reuse_frames]);
}

#[test]
fn a_pin_outlives_a_fork() {
    holds(Race::alone, &[pin, fork]);
    holds(Race::new, &[pin, fork]);
}

#[test]
fn a_page_pinned_by_its_number_stays() {
    holds(Race::alone, &[migrate, pin_by_number]);
    holds(Race::alone, &[migrate, pin_by_number, read_twice]);
    holds(Race::new, &[migrate, pin_by_number]);
    // The whole space within the bound, and not a sample of it.
    let all = Exhaustive::default();
    for build in [Race::alone, Race::new] {
        let race = build(&[migrate, pin_by_number]);
        let report = all.search(&mut Explorer::with_options(race, OPTIONS));
        assert!(report.counterexample.is_none(), "{report:?}");
        assert!(matches!(report.coverage, Coverage::Bounded { .. } | Coverage::Complete), "{report:?}");
    }
}

#[test]
fn an_access_waits_for_a_migration() {
    holds(Race::alone, &[migrate, write_in_turn]);
    holds(Race::new, &[migrate, write_in_turn, read_twice]);
}

#[test]
fn a_migration_meets_fork_and_unmap() {
    holds(Race::alone, &[migrate, fork]);
    holds(Race::new, &[migrate, end_child, write_in_turn]);
    holds(Race::alone, &[migrate, unmap]);
    holds(Race::alone, &[migrate, fork, write_in_turn]);
    holds(Race::alone, &[migrate, unmap, touch_unmappable]);
}
