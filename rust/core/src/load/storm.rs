//! Storm: migrators move random pages between nodes while mutators read, write, pin, share and free
//! them. Every word that is read is checked.
//!
//! # The ground
//!
//! | ground | pages of the working set | users |
//! |---|---|---|
//! | commons | half | every mutator reads all of it and writes its own words |
//! | family | 256 | as commons, in a space that is forked again and again |
//! | nurseries | 32 each | one mutator, in the space of the family |
//! | rooms | most of the rest, 64 each | one mutator, in a space of its own; unmapped and mapped anew |
//! | pool | a sixteenth | movable pages outside of the LRU, one mutator each |
//!
//! More than half of all accesses go to commons and family. The module [`content`](super::content)
//! defines the words and how a reader judges them.
//!
//! With a poison rate, migrators also take frames out of use. A soft offline may hit any frame, and
//! no mutator may notice it. A hard failure hits only a frame of a room; the room's mutator gets a
//! bus error on its next access to the page and replaces the room.
//!
//! Half of the migration calls are `move_pages` on addresses. The other calls walk frame numbers
//! from a random one on and take the pages that they find, as compaction does.

mod migrator;
mod mutator;
mod place;

use super::config::LoadConfig;
use super::content::Layout;
use super::fault::{Finding, LoadError};
use super::gauge::Gauge;
use super::ground::{Ground, Terms};
use super::poison;
use super::rig::Workload;
use crate::machine::{Config, Machine};
use crate::movable::PagePool;
use crate::release::Release;
use migrator::Migrator;
use mutator::Mutator;
use place::{FAMILY_PAGES, Place, Sizes};
use std::sync::Arc;

/// The load `storm`.
#[derive(Debug)]
pub(super) struct Storm {
    place: Arc<Place>,
    migrators: Vec<Migrator>,
    mutators: Vec<Mutator>,
    /// With `alone`: mutators that have written to their pages and take no part in the rounds.
    resting: Vec<Mutator>,
}

impl Storm {
    /// Builds the machine, with the working set mapped, spread over the nodes and written to.
    pub fn set_up<R: Release>(config: &LoadConfig) -> Result<(Machine<R>, Storm), LoadError> {
        let (sizes, mutators) = (Sizes::of(config), config.mutator_count());
        let total = sizes.total(mutators as u32);
        // Each node has room for the whole working set, unless the configuration gives the nodes, so that
        // a migration never fails for want of frames.
        let room = total + total / 8 + 1024;
        let shape = config.machine(&[room, room])?;
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
        "the nodes have {total} pages together, the storm needs {needed}: give larger nodes, or fewer pages"
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

    fn migrate<R: Release>(machine: &Machine<R>, migrator: &mut Migrator) -> Result<bool, Finding> {
        migrator.step(machine);
        Ok(true)
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
