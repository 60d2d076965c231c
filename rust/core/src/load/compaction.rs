//! Compaction: requests for blocks of a fragmented node, while other threads use its memory.
//!
//! # The node
//!
//! | pages | share of the frames | users |
//! |---|---|---|
//! | commons | 24 % | every mutator reads all of them and writes its own words; some are pinned for a while |
//! | anonymous pages that come and go | 22 % | one thread each |
//! | pages of a pool of movable pages | 11 % | one mutator or migrator each |
//! | pages that cannot move | 3 % | one mutator each |
//! | blocks | up to an eighth | the migrator that asked for them |
//!
//! The set-up fills the node in random order, with twice the shares of all kinds but the commons. Then it
//! removes random pages until the shares are as above, so that the free frames lie in pieces. A migrator
//! asks for blocks of the size of a pageblock, and breaks up the oldest block that it holds (`blocks`).
//! The mutators meanwhile use all kinds of pages and replace some. With `alone` the mutators only take
//! part in the set-up.
//!
//! Every word that is read is checked, as in a storm. A block must keep the marks that its holder has
//! written to it.

mod migrator;
mod mutator;

use super::churn::{Churn, Kind, Shares};
use super::config::LoadConfig;
use super::content::Layout;
use super::fault::{Finding, LoadError, unless_interrupted};
use super::gauge::Gauge;
use super::ground::{Ground, Terms};
use super::rig::Workload;
use crate::machine::Machine;
use crate::map::AddressSpace;
use crate::movable::PagePool;
use crate::page::Pfn;
use crate::release::Release;
use crate::rng::Rng;
use migrator::Migrator;
use mutator::Mutator;
use std::sync::Arc;

/// The fewest pageblocks of the node for each migrator. A smaller node has no room for the blocks
/// that the migrators hold.
const MIN_BLOCKS: u32 = 8;

/// The number of writes of each mutator to each common page before the first round.
const FIRST_WRITES: u32 = 4;

/// The load `compaction`.
#[derive(Debug)]
pub(super) struct Compaction {
    space: Arc<AddressSpace>,
    pool: Arc<PagePool>,
    migrators: Vec<Migrator>,
    mutators: Vec<Mutator>,
    /// With `alone`: mutators that take no part in the rounds.
    resting: Vec<Mutator>,
}

/// Numbers of pages.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    commons: u32,
    migrator: Shares,
    mutator: Shares,
    /// Blocks that a migrator holds.
    blocks: usize,
}

impl Sizes {
    fn of(config: &LoadConfig, frames: u32, order: u8) -> Sizes {
        let (migrators, mutators) = (config.migrators as u32, config.mutator_count() as u32);
        let share = |percent: u32| frames / 100 * percent;
        Sizes {
            commons: share(24),
            migrator: Shares { anon: share(12) / migrators, movable: share(6) / migrators, unmovable: 0 },
            mutator: Shares {
                anon: share(10) / mutators,
                movable: share(5) / mutators,
                unmovable: share(3) / mutators,
            },
            blocks: ((frames >> order) / 8 / migrators).max(1) as usize,
        }
    }
}

impl Compaction {
    /// Builds the machine and fragments its node.
    pub fn set_up<R: Release>(config: &LoadConfig) -> Result<(Machine<R>, Compaction), LoadError> {
        let shape = config.machine(&[config.page_count()])?;
        let order = shape.profile.pageblock_order;
        let frames = shape.nodes[0].frames;
        let needed = (MIN_BLOCKS * (config.migrators as u32).max(2)) << order;
        if frames < needed {
            return Err(LoadError::Config(format!(
                "a node of {frames} pages is too small to be compacted: {needed} are needed, {} pageblocks",
                needed >> order
            )));
        }
        let sizes = Sizes::of(config, frames, order);
        let machine = Machine::new(&shape)?;
        let space = machine.address_space()?;
        let pool = PagePool::new(&machine)?;
        let commons = machine.mmap(&space, sizes.commons)?;
        // Each mutator and migrator has a number of its own as a writer. The mutators have the lower
        // numbers.
        let mutators = config.mutator_count() as u32;
        let layout = Layout::new(mutators + config.migrators as u32);
        let terms = |me: u32| Terms { layout, me, backed: config.copy };
        let mut next = sizes.commons;
        let mut churn = |me: u32, shares: Shares| {
            let first = next;
            next += shares.numbers();
            Churn::new(&machine, &pool, terms(me), shares, first)
        };
        let mutators = (0..mutators)
            .map(|me| Ok(Mutator::new(churn(me, sizes.mutator)?, Ground::shared(terms(me), &commons, 0))))
            .collect::<Result<Vec<_>, LoadError>>()?;
        let migrators = (0..config.migrators)
            .map(|me| {
                let churn = churn(mutators.len() as u32 + me as u32, sizes.migrator)?;
                let gauge = Gauge::new(config.planted.slowdown);
                Ok(Migrator::new(churn, &commons, gauge, (order, sizes.blocks, me), config))
            })
            .collect::<Result<Vec<_>, LoadError>>()?;
        let mut load = Compaction { space, pool, migrators, mutators, resting: Vec::new() };
        load.populate(&machine, sizes.commons, config.seed).map_err(|finding| match finding {
            Finding::Refused { error, .. } => LoadError::SetUp(error),
            other => LoadError::Config(format!("the set-up failed: {other}")),
        })?;
        if config.alone {
            load.resting = std::mem::take(&mut load.mutators);
        }
        Ok((machine, load))
    }

    /// Fills the node with pages of all kinds in random order, then removes half of all but the common
    /// ones.
    fn populate<R: Release>(&mut self, machine: &Machine<R>, commons: u32, seed: u64) -> Result<(), Finding> {
        let mut rng = Rng::new(seed, u64::from(u32::MAX));
        let churns = self.mutators.iter().map(|mutator| &mutator.churn);
        let churns = churns.chain(self.migrators.iter().map(|migrator| &migrator.churn));
        let mut pages: Vec<(Option<usize>, Kind)> = (0..commons).map(|_| (None, Kind::Anon)).collect();
        for (number, churn) in churns.enumerate() {
            pages.extend(churn.first_pages().map(|kind| (Some(number), kind)));
        }
        for at in (1..pages.len()).rev() {
            pages.swap(at, rng.below(at as u32 + 1) as usize);
        }
        let mut common = 0;
        for (owner, kind) in pages {
            unless_interrupted()?;
            match owner.and_then(|number| self.churns().nth(number)) {
                Some(churn) => churn.add(machine, kind, &mut rng)?,
                None => {
                    for mutator in &mut self.mutators {
                        for _ in 0..FIRST_WRITES {
                            mutator.commons.write(machine, common)?;
                        }
                    }
                    common += 1;
                }
            }
        }
        self.churns().try_for_each(|churn| churn.thin_out(machine, &mut rng))?;
        machine.lru_drain_all();
        machine.drain_pcp(0);
        Ok(())
    }

    fn churns(&mut self) -> impl Iterator<Item = &mut Churn> {
        let mutators = self.mutators.iter_mut().chain(&mut self.resting).map(|mutator| &mut mutator.churn);
        mutators.chain(self.migrators.iter_mut().map(|migrator| &mut migrator.churn))
    }
}

impl Workload for Compaction {
    type Migrator = Migrator;
    type User = Mutator;

    fn members(&mut self) -> (&mut Vec<Migrator>, &mut Vec<Mutator>) {
        (&mut self.migrators, &mut self.mutators)
    }

    fn gauge(migrator: &mut Migrator) -> &mut Gauge {
        &mut migrator.gauge
    }

    fn migrate<R: Release>(machine: &Machine<R>, migrator: &mut Migrator) -> Result<bool, Finding> {
        migrator.step(machine)?;
        Ok(true)
    }

    fn use_memory<R: Release>(machine: &Machine<R>, user: &mut Mutator) -> Result<(), Finding> {
        user.step(machine)
    }

    fn pause<R: Release>(machine: &Machine<R>, user: &mut Mutator) -> Result<(), Finding> {
        user.let_go(machine)
    }

    fn holds(&self) -> Vec<Pfn> {
        let mutators = self.mutators.iter().chain(&self.resting);
        let unmovable = mutators.flat_map(|mutator| mutator.churn.holds());
        unmovable.chain(self.migrators.iter().flat_map(|migrator| migrator.blocks.held())).collect()
    }

    fn verify<R: Release>(&mut self, machine: &Machine<R>) -> Result<u64, Finding> {
        let mut words = 0;
        for churn in self.churns() {
            words += churn.verify(machine)?;
        }
        for mutator in self.mutators.iter_mut().chain(&mut self.resting) {
            words += mutator.commons.verify(machine)?;
        }
        for migrator in &self.migrators {
            words += migrator.blocks.verify(machine)?;
        }
        Ok(words)
    }

    fn tear_down<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        self.migrators.iter_mut().for_each(|migrator| migrator.blocks.leave(machine));
        self.churns().try_for_each(|churn| churn.leave(machine))?;
        machine.exit(&self.space);
        self.pool.close(machine);
        Ok(())
    }
}
