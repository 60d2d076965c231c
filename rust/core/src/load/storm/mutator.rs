//! A mutator reads, writes, pins, shares and frees pages, and checks every word that it reads.

use super::place::{FIRST_WRITES, NURSERY_PAGES, Place, ROOM_PAGES, Sizes};
use crate::error::{Errno, Error};
use crate::load::content::{MAX_SEQUENCE, Violation, Wrong};
use crate::load::fault::{Finding, unless_short};
use crate::load::ground::{Ground, Terms};
use crate::load::rig::{Counts, Member, Uses};
use crate::machine::Machine;
use crate::map::{AddressSpace, Area, Entry, PinKind};
use crate::memory::WORDS;
use crate::movable::PoolPage;
use crate::page::Pfn;
use crate::release::Release;
use crate::rng::Rng;
use std::sync::Arc;

/// Operations of one step. The thread notices a stop only between two steps.
const OPERATIONS: u32 = 64;
/// Number of nursery pages that a mutator checks in each forked child.
const CHILD_LOOKS: u32 = 8;

/// A page number of the pool, with the page that has it now, if any.
#[derive(Clone, Copy, Debug)]
struct Movable {
    which: Option<PoolPage>,
    written: u32,
}

/// A pin that is held for a while, and the pinned page.
#[derive(Clone, Copy, Debug)]
struct Held {
    index: u32,
    pfn: Pfn,
}

/// A mutator of the load `storm`. Its own pages have consecutive numbers: first the nursery's, then
/// the rooms', then the pool's.
#[derive(Debug)]
pub(in crate::load) struct Mutator {
    terms: Terms,
    place: Arc<Place>,
    rng: Rng,
    counts: Counts,
    commons: Ground,
    family: Ground,
    nursery: Ground,
    rooms: Vec<Ground>,
    pool: Vec<Movable>,
    /// The first page number of the pool's pages.
    pool_first: u32,
    held: Option<Held>,
}

impl Member for Mutator {
    fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
    }
}

impl Uses for Mutator {
    fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

impl Mutator {
    /// Maps the mutator's own pages, and writes to them and to its part of the shared ones.
    pub(super) fn settle<R: Release>(
        machine: &Machine<R>,
        place: &Arc<Place>,
        terms: Terms,
        sizes: Sizes,
        (commons, family): (Ground, Ground),
        first: u32,
    ) -> Result<Mutator, Error> {
        let nursery = machine.mmap(&place.family, NURSERY_PAGES)?;
        let rooms_first = first + NURSERY_PAGES;
        let rooms = (0..sizes.rooms).map(|room| {
            let area = machine.mmap(&place.homes[terms.me as usize], ROOM_PAGES)?;
            machine.prefer(&area, room as usize % machine.nodes().len())?;
            Ok(Ground::private(terms, area, rooms_first + room * ROOM_PAGES))
        });
        let rooms = rooms.collect::<Result<Vec<_>, Error>>()?;
        let mut mutator = Mutator {
            terms,
            place: Arc::clone(place),
            rng: Rng::new(0, 0),
            counts: Counts::default(),
            commons,
            family,
            nursery: Ground::private(terms, nursery, first),
            rooms,
            pool: vec![Movable { which: None, written: 0 }; sizes.pool as usize],
            pool_first: rooms_first + sizes.rooms * ROOM_PAGES,
            held: None,
        };
        mutator.populate(machine)?;
        Ok(mutator)
    }

    fn populate<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Error> {
        let refused = |finding| match finding {
            Finding::Refused { error, .. } => error,
            other => Error::new(Errno::EIO, other.to_string()),
        };
        let (me, writers) = (self.terms.me, self.terms.layout.writers());
        let nodes = machine.nodes().len() as u32;
        let pages = self.commons.area.pages();
        // Every mutator populates a part of the commons, spread over the nodes.
        for index in (me..pages).step_by(writers as usize) {
            Error::unless_interrupted()?;
            let node = u64::from(index) * u64::from(nodes) / u64::from(pages);
            machine.prefer(&self.commons.area, node as usize)?;
            for _ in 0..FIRST_WRITES {
                self.commons.write(machine, index).map_err(refused)?;
            }
        }
        let own = self.rooms.iter_mut().chain([&mut self.family, &mut self.nursery]);
        for ground in own {
            for index in 0..ground.area.pages() {
                Error::unless_interrupted()?;
                for _ in 0..FIRST_WRITES {
                    ground.write(machine, index).map_err(refused)?;
                }
            }
        }
        for slot in 0..self.pool.len() {
            let which = self.place.pool.add(machine, slot % nodes as usize)?;
            self.pool[slot].which = Some(which);
        }
        Ok(())
    }

    /// Makes some random operations.
    pub fn step<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        for _ in 0..OPERATIONS {
            // Of 4096 operations, 2400 are accesses to pages of all mutators.
            match self.rng.below(4096) {
                0..1200 => self.access(machine, |m| &mut m.commons, false)?,
                1200..1900 => self.access(machine, |m| &mut m.commons, true)?,
                1900..2200 => self.access(machine, |m| &mut m.family, false)?,
                2200..2400 => self.access(machine, |m| &mut m.family, true)?,
                2400..3100 => self.in_a_room(machine, false)?,
                3100..3750 => self.in_a_room(machine, true)?,
                3750..3850 => self.access(machine, |m| &mut m.nursery, true)?,
                3850..3950 => self.pool_read(machine)?,
                3950..4050 => self.pool_write(machine)?,
                4050..4070 => self.pin_or_unpin(machine)?,
                4070..4086 => self.pool_churn(machine)?,
                4086..4094 => self.move_house(machine)?,
                _ => self.fork(machine)?,
            }
        }
        Ok(())
    }

    /// Makes one access to a random page.
    #[inline]
    fn access<R: Release>(
        &mut self,
        machine: &Machine<R>,
        ground: impl FnOnce(&mut Mutator) -> &mut Ground,
        write: bool,
    ) -> Result<(), Finding> {
        let (page, word) = (self.rng.bits(), self.rng.below(WORDS as u32));
        let ground = ground(self);
        let index = (((page >> 32) * u64::from(ground.area.pages())) >> 32) as u32;
        let node = ground.frame(machine, index).map_or(0, |pfn| machine.node_of(pfn));
        if write {
            ground.write(machine, index)?;
        } else {
            ground.read(machine, index, word)?;
        }
        self.counts.accesses[node] += 1;
        Ok(())
    }

    #[inline]
    fn in_a_room<R: Release>(&mut self, machine: &Machine<R>, write: bool) -> Result<(), Finding> {
        let room = self.rng.below(self.rooms.len() as u32) as usize;
        match self.access(machine, |m| &mut m.rooms[room], write) {
            Err(Finding::Refused { error, .. }) if error.errno == Errno::EHWPOISON => {
                *self.counts.did.entry("bus_errors").or_default() += 1;
                // A bus error is right only if a page of this room was lost.
                match self.is_lost(room) {
                    true => self.rebuild(machine, room),
                    false => Err(Finding::refused("an access to a good page")(error)),
                }
            }
            done => done,
        }
    }

    /// Returns true if a page of the room has a poisoned entry.
    fn is_lost(&self, room: usize) -> bool {
        let area = &self.rooms[room].area;
        let lost = |index| matches!(area.look(index).unlocked().entry(), Entry::Hwpoison { .. });
        (0..area.pages()).any(lost)
    }

    /// Replaces the rooms of which a page was lost. A room that stayed because memory is short could not be
    /// verified, so the error is then the one of the mapping.
    pub fn leave_lost_rooms<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        let lost: Vec<usize> = (0..self.rooms.len()).filter(|&room| self.is_lost(room)).collect();
        lost.into_iter().try_for_each(|room| {
            let area = self.map_room(machine).map_err(Finding::refused("mmap"))?;
            self.move_into(machine, room, area)
        })
    }

    /// Returns a random slot of the pool and its page number.
    fn pool_slot(&mut self) -> (usize, u32) {
        let slot = self.rng.below(self.pool.len() as u32);
        (slot as usize, self.pool_first + slot)
    }

    fn pool_read<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        let (slot, page) = self.pool_slot();
        let word = self.rng.below(WORDS as u32);
        let Movable { which: Some(which), written } = self.pool[slot] else { return Ok(()) };
        let value = self.place.pool.read(machine, which, word as usize);
        let value = value.map_err(Finding::refused("a pool's load"))?;
        Ok(self.terms.check_private(page, word, value, written)?)
    }

    fn pool_write<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        let (slot, page) = self.pool_slot();
        let Movable { which: Some(which), written } = self.pool[slot] else { return Ok(()) };
        if written == MAX_SEQUENCE {
            return Ok(());
        }
        let (word, value) = self.terms.stamp(page, written + 1);
        let stored = self.place.pool.write(machine, which, word as usize, value);
        stored.map_err(Finding::refused("a pool's store"))?;
        self.pool[slot].written += 1;
        Ok(())
    }

    /// Releases a page of the pool, or adds a new page under a number without one.
    fn pool_churn<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        let (slot, _) = self.pool_slot();
        let node = self.rng.below(machine.nodes().len() as u32) as usize;
        let which = match self.pool[slot].which {
            Some(which) => {
                let gone = self.place.pool.release(machine, which);
                gone.map_err(Finding::refused("a pool's release"))?;
                *self.counts.did.entry("pool_releases").or_default() += 1;
                None
            }
            None => unless_short("a pool's add", self.place.pool.add(machine, node))?,
        };
        self.pool[slot] = Movable { which, written: 0 };
        Ok(())
    }

    /// Takes a pin, or releases the one that is held. A pinned page does not move, so a write
    /// through the mapping must reach the pinned frame.
    fn pin_or_unpin<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        if self.held.is_some() {
            return self.let_go(machine);
        }
        let index = self.rng.below(self.commons.area.pages());
        let pinned = machine.pin(&self.commons.area, index, PinKind::Pin, true);
        let pfn = pinned.map_err(Finding::refused("a pin"))?;
        self.held = Some(Held { index, pfn });
        *self.counts.did.entry("pins").or_default() += 1;
        Ok(())
    }

    /// Releases the pin, if one is held, and first checks that a write through the mapping reaches
    /// the pinned frame.
    pub fn let_go<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        let Some(Held { index, pfn }) = self.held.take() else { return Ok(()) };
        if let Some((word, _)) = self.commons.write(machine, index)? {
            let value = machine.memory().load(pfn, word as usize);
            self.commons.check(index, word, value)?;
        }
        machine.unpin(pfn, PinKind::Pin);
        Ok(())
    }

    /// Replaces a random room.
    fn move_house<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        let room = self.rng.below(self.rooms.len() as u32) as usize;
        self.rebuild(machine, room)
    }

    /// Unmaps a room and maps another one under its page numbers. If memory is short, the room stays.
    fn rebuild<R: Release>(&mut self, machine: &Machine<R>, room: usize) -> Result<(), Finding> {
        match unless_short("mmap", self.map_room(machine))? {
            Some(area) => self.move_into(machine, room, area),
            None => Ok(()),
        }
    }

    fn map_room<R: Release>(&self, machine: &Machine<R>) -> Result<Arc<Area>, Error> {
        machine.mmap(&self.place.homes[self.terms.me as usize], ROOM_PAGES)
    }

    /// Replaces a room by a fresh area.
    fn move_into<R: Release>(
        &mut self,
        machine: &Machine<R>,
        room: usize,
        area: Arc<Area>,
    ) -> Result<(), Finding> {
        let home = &self.place.homes[self.terms.me as usize];
        let old = &self.rooms[room];
        let node = self.rng.below(machine.nodes().len() as u32) as usize;
        machine.prefer(&area, node).map_err(Finding::refused("a preference"))?;
        machine.munmap(home, &old.area, 0..ROOM_PAGES).map_err(Finding::refused("munmap"))?;
        self.rooms[room] = Ground::private(self.terms, area, old.page(0));
        *self.counts.did.entry("remaps").or_default() += 1;
        Ok(())
    }

    /// Forks the space of the family. The child must see the content that the parent had at the
    /// fork, although threads of the parent go on writing. The parent must not see the child's
    /// writes.
    fn fork<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        let Some(child) = unless_short("fork", machine.fork(&self.place.family))? else { return Ok(()) };
        *self.counts.did.entry("forks").or_default() += 1;
        let looked = self.look_at_child(machine, &child);
        machine.exit(&child);
        looked
    }

    fn look_at_child<R: Release>(
        &mut self,
        machine: &Machine<R>,
        child: &AddressSpace,
    ) -> Result<(), Finding> {
        let (Some(nursery), Some(family)) = (twin(child, &self.nursery), twin(child, &self.family)) else {
            let error = Error::new(Errno::EFAULT, "an area is missing in the child");
            return Err(Finding::refused("fork")(error));
        };
        let read = |area: &Area, index: u32, word: u32| {
            machine.read_word(area, index, word as usize).map_err(Finding::refused("a child's load"))
        };
        let (shared, shared_word) = (self.rng.below(self.family.area.pages()), self.rng.below(WORDS as u32));
        let before = read(&family, shared, shared_word)?;
        self.family.check(shared, shared_word, before)?;
        // Each page is used once, so the parent's writes before the fork are all its writes so far.
        let start = self.rng.below(NURSERY_PAGES);
        for index in (start..start + CHILD_LOOKS).map(|index| index % NURSERY_PAGES) {
            let word = self.rng.below(WORDS as u32);
            let page = self.nursery.page(index);
            let then = self.nursery.written(index);
            self.nursery.write(machine, index)?;
            let value = read(&nursery, index, word)?;
            self.terms.check_private(page, word, value, then)?;
            // The child writes to the word that the parent's next write will use.
            let (word, value) = self.terms.stamp(page, then + 2);
            let stored = machine.write_word(&nursery, index, word as usize, value);
            stored.map_err(Finding::refused("a child's store"))?;
            self.nursery.read(machine, index, word)?;
        }
        self.family.write(machine, shared)?;
        let after = read(&family, shared, shared_word)?;
        if self.terms.backed && after != before {
            let page = self.family.page(shared);
            let wrong = Wrong::Changed { before };
            return Err(Violation { page, word: shared_word, value: after, wrong }.into());
        }
        Ok(())
    }

    /// Checks the words of the mutator's own pages exactly, and the words of shared pages against
    /// the writes that the mutator has seen.
    pub fn verify<R: Release>(&mut self, machine: &Machine<R>) -> Result<u64, Finding> {
        let mut words = 0;
        let grounds = [&mut self.commons, &mut self.family, &mut self.nursery];
        for ground in grounds.into_iter().chain(&mut self.rooms) {
            words += ground.verify(machine)?;
        }
        for (page, movable) in (self.pool_first..).zip(&self.pool) {
            let Some(which) = movable.which else { continue };
            for word in 0..WORDS as u32 {
                let value = self.place.pool.read(machine, which, word as usize);
                let value = value.map_err(Finding::refused("a pool's load"))?;
                self.terms.check_private(page, word, value, movable.written)?;
            }
            words += WORDS as u64;
        }
        Ok(words)
    }

    /// Releases the mutator's pages of the pool. The spaces are shared and end later.
    pub fn leave<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        for movable in &mut self.pool {
            if let Some(which) = movable.which.take() {
                let gone = self.place.pool.release(machine, which);
                gone.map_err(Finding::refused("a pool's release"))?;
            }
        }
        Ok(())
    }
}

/// Returns the child's area at the addresses of an area of the parent.
fn twin(child: &AddressSpace, ground: &Ground) -> Option<Arc<Area>> {
    child.areas.read().iter().find(|area| area.first == ground.area.first).cloned()
}

#[cfg(all(test, not(any(feature = "explored", feature = "counted"))))]
mod tests {
    use super::*;
    use crate::inject::Kind;
    use crate::load::LoadConfig;
    use crate::load::storm::Storm;
    use crate::release::Split;

    #[test]
    fn a_lost_room_that_no_memory_replaces_is_no_wrong_content() {
        let config = LoadConfig { pages: 2048, mutators: 1, ..LoadConfig::default() };
        let (machine, mut storm) = Storm::set_up::<Split>(&config).unwrap();
        let mutator = &mut storm.mutators[0];
        let pfn = machine.page_at(&mutator.rooms[0].area, 0).unwrap();
        assert_eq!(machine.memory_failure(pfn, None).result, Ok(()));
        let short = machine.arm(Kind::NoMemory, 0, u64::MAX);
        let Err(Finding::Refused { operation, error }) = mutator.leave_lost_rooms(&machine) else {
            panic!("the room was replaced without memory");
        };
        assert_eq!((operation, error.errno), ("mmap", Errno::ENOMEM));
        machine.settle(machine.disarm(&short));
        mutator.leave_lost_rooms(&machine).unwrap();
        mutator.verify(&machine).unwrap();
    }
}
