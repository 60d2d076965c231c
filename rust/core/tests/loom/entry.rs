//! Page-table entries: the lock bit, the data that an entry publishes, and the bits that accesses
//! set.

use crate::{assert_clean, join, machine, models, start};
use mmcore::map::{Area, Pte};
use mmcore::page::Pfn;
use mmcore::release::Split;
use mmcore::sync::PlainU64;
use std::sync::Arc;

struct Mapped {
    area: Arc<Area>,
    /// Data under the entry's lock.
    locked: PlainU64,
    /// Data that the entry publishes.
    frame: PlainU64,
}

fn mapped() -> Arc<Mapped> {
    let machine = machine::<Split>(1);
    let space = machine.address_space().expect("the first");
    let area = machine.mmap(&space, 1).expect("one page");
    Arc::new(Mapped { area, locked: PlainU64::new(0), frame: PlainU64::new(0) })
}

impl Mapped {
    fn change(&self) {
        self.locked.set(self.locked.get() + 1);
    }

    /// Checks, without a lock, that a present entry leads to a frame that is ready.
    fn look(&self) {
        if self.area.look(0).has(Pte::PRESENT) {
            assert_eq!(self.frame.get(), 7, "an entry in front of its page");
        }
    }
}

/// A present, writable mapping.
const PRESENT: Pte = Pte::present(Pfn(0), Pte::WRITE);

models! {
    /// Two threads hold the entry's lock one after the other; the guard's drop gives it back.
    lock_and_drop(None) {
        let shared = mapped();
        let hold = |shared: &Mapped| {
            let _guard = shared.area.lock(0);
            shared.change();
        };
        let other = start(&shared, hold);
        hold(&shared);
        join([other]);
        assert_eq!(shared.locked.get(), 2);
    }

    /// The lock is given back together with a new entry.
    lock_and_finish(None) {
        let shared = mapped();
        let hold = |shared: &Mapped| {
            let guard = shared.area.lock(0);
            shared.change();
            let pte = guard.pte();
            guard.finish(Pte(pte.0 ^ Pte::YOUNG));
        };
        let other = start(&shared, hold);
        hold(&shared);
        join([other]);
        assert_eq!(shared.locked.get(), 2);
        assert_eq!(shared.area.look(0), Pte::NONE);
    }

    /// The lock is given back together with the new content of a cleared entry.
    lock_and_fill(None) {
        let shared = mapped();
        let hold = |shared: &Mapped| {
            let guard = shared.area.lock(0);
            shared.change();
            // The entry was empty, and is made empty again.
            guard.fill(Pte::NONE);
        };
        let other = start(&shared, hold);
        hold(&shared);
        join([other]);
        assert_eq!(shared.locked.get(), 2);
    }

    /// The lock is given back with an entry computed from its last state.
    lock_and_finish_with(None) {
        let shared = mapped();
        let hold = |shared: &Mapped| {
            let guard = shared.area.lock(0);
            shared.change();
            guard.finish_with(|old| Pte(old.0 ^ Pte::YOUNG));
        };
        let other = start(&shared, hold);
        hold(&shared);
        join([other]);
        assert_eq!(shared.locked.get(), 2);
        assert_eq!(shared.area.look(0), Pte::NONE);
    }

    /// `finish` publishes the page.
    publish_by_finish(None) {
        let shared = mapped();
        let walker = start(&shared, Mapped::look);
        let guard = shared.area.lock(0);
        shared.frame.set(7);
        guard.finish(PRESENT);
        join([walker]);
    }

    /// `finish_with` publishes the page.
    publish_by_finish_with(None) {
        let shared = mapped();
        let walker = start(&shared, Mapped::look);
        let guard = shared.area.lock(0);
        shared.frame.set(7);
        guard.finish_with(|_| PRESENT);
        join([walker]);
    }

    /// `replace` publishes the page, before the lock is given back.
    publish_by_replace(None) {
        let shared = mapped();
        let walker = start(&shared, Mapped::look);
        let mut guard = shared.area.lock(0);
        shared.frame.set(7);
        guard.replace(PRESENT);
        drop(guard);
        join([walker]);
    }

    /// An access sets the dirty bit while the entry is replaced: the bit is in the old entry, or
    /// the access must read the entry again.
    dirty_against_finish_with(None) {
        let shared = mapped();
        shared.area.lock(0).finish(PRESENT);
        let user = start(&shared, |shared| {
            let seen = shared.area.look(0);
            if seen.has(Pte::PRESENT) && shared.area.touch(0, seen, Pte::DIRTY) {
                shared.locked.set(1);
            }
        });
        let old = shared.area.lock(0).finish_with(|old| Pte::migration(Pfn(0), old.bits(Pte::DIRTY)));
        let now = shared.area.look(0);
        join([user]);
        let dirtied = shared.locked.get() == 1;
        assert_eq!(old.has(Pte::DIRTY), dirtied, "a store without its dirty bit, or the bit without a store");
        assert_eq!(now.has(Pte::DIRTY), dirtied);
    }

    /// Two threads unmap the two halves of an area: exactly one of them takes the area down, and
    /// sees the other's work.
    two_unmappers(Some(2)) {
        let machine = machine::<Split>(2);
        let space = machine.address_space().expect("the first");
        let area = machine.mmap(&space, 2).expect("two pages");
        let other = {
            let (space, area) = (Arc::clone(&space), Arc::clone(&area));
            start(&machine, move |machine| machine.munmap(&space, &area, 0..1).expect("mapped"))
        };
        machine.munmap(&space, &area, 1..2).expect("mapped");
        join([other]);
        assert!(space.areas.read().is_empty(), "an area that nobody took down");
        assert_clean(&machine);
    }
}
