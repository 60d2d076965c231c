//! Storm: migrators move random pages between nodes while mutators read, write, pin, share and free
//! them. Every word is checked.
//!
//! # The ground
//!
//! | ground | pages of the working set | who uses it |
//! |---|---|---|
//! | commons | half | every mutator reads all of it and writes its own words |
//! | family | 256 | the same, in a space that is forked again and again |
//! | nurseries | 32 each | one mutator, in the same space |
//! | rooms | most of the rest, 64 each | one mutator, in a space of its own; unmapped and mapped anew |
//! | pool | a sixteenth | movable pages outside of the LRU, one mutator each |
//!
//! More than half of all accesses go to commons and family. What the words say, and how a reader judges
//! them, is the business of [`content`](super::content).
//!
//! With a poison rate, migrators also take frames out of use: softly any frame, which nobody may notice; hard
//! those of rooms, whose mutator gets a bus error on its next access there, and then moves house.
//!
//! Half of the migration calls are `move_pages` on addresses, the others walk frame numbers from a
//! random one on and take what they find, as compaction does.

mod ground;
mod migrator;
mod mutator;

use super::config::LoadConfig;
use super::content::Layout;
use super::fault::{Finding, LoadError};
use super::gauge::Gauge;
use super::poison;
use super::rig::Workload;
use crate::error::{Errno, Error};
use crate::machine::{Config, Machine};
use crate::map::AddressSpace;
use crate::movable::PagePool;
use crate::release::Release;
use ground::{Ground, Terms};
use migrator::Migrator;
use mutator::Mutator;
use std::sync::Arc;

/// Pages that all mutators share in the space that is forked.
const FAMILY_PAGES: u32 = 256;
/// Pages of each mutator in the space that is forked.
const NURSERY_PAGES: u32 = 32;
/// Pages mapped and unmapped at once.
const ROOM_PAGES: u32 = 64;
/// Writes that each page gets before the first round.
const FIRST_WRITES: u32 = 16;

/// What all members know.
#[derive(Debug)]
struct Place {
    /// Not forked, and never unmapped.
    commons: Arc<AddressSpace>,
    /// Forked.
    family: Arc<AddressSpace>,
    /// One for each mutator.
    homes: Vec<Arc<AddressSpace>>,
    pool: Arc<PagePool>,
}

impl Place {
    fn spaces(&self) -> impl Iterator<Item = &Arc<AddressSpace>> {
        [&self.commons, &self.family].into_iter().chain(&self.homes)
    }
}

/// How many pages of each kind there are.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    commons: u32,
    /// Of each mutator.
    rooms: u32,
    /// Of each mutator.
    pool: u32,
}

impl Sizes {
    fn of(config: &LoadConfig) -> Sizes {
        let (threads, pages) = (config.mutator_count() as u32, config.page_count());
        let commons = pages / 2;
        let pool = (pages / 16 / threads).max(1);
        let shared = commons + FAMILY_PAGES + (NURSERY_PAGES + pool) * threads;
        let rooms = (pages.saturating_sub(shared) / threads / ROOM_PAGES).max(1);
        Sizes { commons, rooms, pool }
    }

    fn of_each(self) -> u32 {
        NURSERY_PAGES + self.rooms * ROOM_PAGES + self.pool
    }

    fn total(self, threads: u32) -> u32 {
        self.commons + FAMILY_PAGES + self.of_each() * threads
    }
}

/// The load.
#[derive(Debug)]
pub(super) struct Storm {
    place: Arc<Place>,
    migrators: Vec<Migrator>,
    mutators: Vec<Mutator>,
    /// Mutators that have written to their pages and stay away until the end.
    resting: Vec<Mutator>,
}

impl Storm {
    /// A machine with its working set mapped, spread over the nodes and written to.
    pub fn set_up<R: Release>(config: &LoadConfig) -> Result<(Machine<R>, Storm), LoadError> {
        let (sizes, mutators) = (Sizes::of(config), config.mutator_count());
        let total = sizes.total(mutators as u32);
        // Every node could take everything: then migration never fails for want of memory.
        let room = total + total / 8 + 1024;
        let shape = config.machine([room, room])?;
        fits(&shape, room)?;
        let machine = Machine::new(&shape)?;

        let place = Arc::new(Place {
            commons: machine.address_space()?,
            family: machine.address_space()?,
            homes: (0..mutators).map(|_| machine.address_space()).collect::<Result<_, _>>()?,
            pool: PagePool::new(&machine)?,
        });
        let layout = Layout::new(mutators as u32);
        let commons = machine.mmap(&place.commons, sizes.commons)?;
        let family = machine.mmap(&place.family, FAMILY_PAGES)?;
        let mutators = (0..mutators as u32).map(|me| {
            let terms = Terms { layout, me, backed: config.copy };
            let commons = Ground::shared(terms, &commons, 0);
            let family = Ground::shared(terms, &family, sizes.commons);
            let first = sizes.commons + FAMILY_PAGES + me * sizes.of_each();
            Mutator::settle(&machine, &place, terms, sizes, (commons, family), first)
        });
        let mutators = mutators.collect::<Result<Vec<_>, _>>()?;
        let gauge = Gauge::new(config.planted.slowdown);
        let migrators = (0..config.migrators).map(|_| Migrator::new(&place, gauge.clone(), config)).collect();
        machine.lru_drain_all();
        let (mutators, resting) = if config.alone { (Vec::new(), mutators) } else { (mutators, Vec::new()) };
        Ok((machine, Storm { place, migrators, mutators, resting }))
    }
}

/// Refuses nodes that cannot hold the working set.
fn fits(shape: &Config, needed: u32) -> Result<(), LoadError> {
    let total: u64 = shape.nodes.iter().map(|node| u64::from(node.frames)).sum();
    if total >= u64::from(needed) {
        return Ok(());
    }
    Err(LoadError::Config(format!(
        "the nodes have {total} pages together, the storm needs {needed}: larger nodes, or fewer pages"
    )))
}

impl Workload for Storm {
    type Migrator = Migrator;
    type User = Mutator;

    fn members(&mut self) -> (&mut Vec<Migrator>, &mut Vec<Mutator>) {
        (&mut self.migrators, &mut self.mutators)
    }

    fn gauge(migrator: &mut Migrator) -> &mut Gauge {
        &mut migrator.gauge
    }

    fn migrate<R: Release>(machine: &Machine<R>, migrator: &mut Migrator) -> bool {
        migrator.step(machine);
        true
    }

    fn use_memory<R: Release>(machine: &Machine<R>, user: &mut Mutator) -> Result<(), Finding> {
        user.step(machine)
    }

    fn pause<R: Release>(machine: &Machine<R>, user: &mut Mutator) -> Result<(), Finding> {
        user.let_go(machine)
    }

    fn verify<R: Release>(&mut self, machine: &Machine<R>) -> Result<u64, Finding> {
        let mut words = 0;
        for mutator in self.mutators.iter_mut().chain(&mut self.resting) {
            mutator.leave_lost_rooms(machine)?;
            words += mutator.verify(machine)?;
        }
        Ok(words)
    }

    fn tear_down<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        for mutator in self.mutators.iter_mut().chain(&mut self.resting) {
            mutator.leave(machine)?;
        }
        for space in self.place.spaces() {
            machine.exit(space);
        }
        poison::relieve_all(machine)
    }
}

/// Memory may be short for a moment: what the machine refuses for that reason is simply not done.
fn unless_short<T>(operation: &'static str, result: Result<T, Error>) -> Result<Option<T>, Finding> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.errno == Errno::ENOMEM => Ok(None),
        Err(error) => Err(Finding::refused(operation)(error)),
    }
}
