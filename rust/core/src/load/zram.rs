//! Zram: users swap pages to a compressed device in the machine's own memory, while migrators ask for blocks
//! as in the load `compaction`.
//!
//! ```text
//!   user: accesses to a third more pages than there are frames
//!           | fault: the page is decompressed          | few frames free: old pages are reclaimed
//!           v                                          v
//!   frames  [ LRU pages | pages of zsmalloc | free ]   swap on zram: compressed into zsmalloc
//!                 ^ both kinds move for blocks
//!   migrator: asks for a block; frames of its oldest block go to pages that it swaps in
//! ```
//!
//! # The pages
//!
//! | share | content | in zram |
//! |---|---|---|
//! | 1/16 | zeroes | same-filled, without an object |
//! | 1/16 | nearly all words are random | does not compress |
//! | the rest | 32 to 192 random words | 300 to 1,700 bytes |
//!
//! Each page has one user that writes to it, and only to one word in sixteen, so that the device never
//! outgrows the node. All users read all pages and check each word that they read. At the end every word is
//! compared with its exact content.

mod migrator;
mod pages;
mod user;

use super::blocks::Blocks;
use super::config::LoadConfig;
use super::fault::{Finding, LoadError};
use super::gauge::Gauge;
use super::report::{Round, Stored};
use super::rig::Workload;
use crate::machine::Machine;
use crate::map::AddressSpace;
use crate::page::Pfn;
use crate::release::Release;
use crate::stat::Event;
use migrator::Migrator;
use pages::{Pages, Place};
use std::sync::Arc;
use user::User;

/// The fewest pageblocks of the node for each migrator. Fewer than two migrators count as two.
const MIN_BLOCKS: u32 = 8;

/// The load `zram`.
#[derive(Debug)]
pub(super) struct ZramStorm {
    space: Arc<AddressSpace>,
    place: Arc<Place>,
    migrators: Vec<Migrator>,
    users: Vec<User>,
    /// Pages read from the device and written to it before this round.
    before: [i64; 2],
}

/// The events of pages that are read from the device and written to it.
const SWAPPED: [Event; 2] = [Event::Pswpin, Event::Pswpout];

impl ZramStorm {
    /// Builds the machine with its device, and writes to every page, so that most are swapped out.
    pub fn set_up<R: Release>(config: &LoadConfig) -> Result<(Machine<R>, ZramStorm), LoadError> {
        let pages = config.page_count();
        let shape = config.machine(&[pages / 4 * 3])?;
        let order = shape.profile.pageblock_order;
        let frames = shape.nodes[0].frames;
        let needed = (MIN_BLOCKS * (config.migrators as u32).max(2)) << order;
        if frames < needed || frames < pages / 4 * 3 {
            return Err(LoadError::Config(format!(
                "a node of {frames} pages is too small for {pages} pages on zram: {} are needed",
                needed.max(pages / 4 * 3)
            )));
        }
        let machine = Machine::new(&shape)?;
        let space = machine.address_space()?;
        let users = config.mutator_count() as u32;
        let place = Arc::new(Place::new(&machine, &space, (pages, users, frames / 5))?);
        let mut load = ZramStorm {
            space,
            place: Arc::clone(&place),
            migrators: (0..config.migrators)
                .map(|me| {
                    let most = ((frames >> order) / 12 / config.migrators as u32).max(1) as usize;
                    let blocks = Blocks::new(order, most, me, true);
                    Migrator::new(&place, blocks, Gauge::new(config.planted.slowdown), config)
                })
                .collect(),
            users: (0..users).map(|me| User::new(Pages::new(&place, me))).collect(),
            before: [0; 2],
        };
        let populated = load.users.iter_mut().try_for_each(|user| user.pages.populate(&machine));
        populated.map_err(|finding| match finding {
            Finding::Refused { error, .. } => LoadError::SetUp(error),
            other => LoadError::Config(format!("the set-up failed: {other}")),
        })?;
        machine.lru_drain_all();
        load.before = SWAPPED.map(|event| machine.stats.events(event));
        Ok((machine, load))
    }
}

impl Workload for ZramStorm {
    type Migrator = Migrator;
    type User = User;

    fn members(&mut self) -> (&mut Vec<Migrator>, &mut Vec<User>) {
        (&mut self.migrators, &mut self.users)
    }

    fn gauge(migrator: &mut Migrator) -> &mut Gauge {
        &mut migrator.gauge
    }

    fn migrate<R: Release>(machine: &Machine<R>, migrator: &mut Migrator) -> Result<bool, Finding> {
        migrator.step(machine)?;
        Ok(true)
    }

    fn use_memory<R: Release>(machine: &Machine<R>, user: &mut User) -> Result<(), Finding> {
        user.step(machine)
    }

    fn describe<R: Release>(&mut self, machine: &Machine<R>, round: &mut Round) {
        let stat = self.place.zram.mm_stat();
        round.stored = Some(Stored {
            content_bytes: stat.orig,
            compressed_bytes: stat.compr,
            pool_bytes: stat.used,
            same_pages: stat.same,
            huge_pages: stat.huge,
        });
        let now = SWAPPED.map(|event| machine.stats.events(event));
        for (name, (now, before)) in
            ["swapped_in", "swapped_out"].into_iter().zip(now.into_iter().zip(self.before))
        {
            round.did.insert(name, (now - before) as u64);
        }
        self.before = now;
    }

    fn holds(&self) -> Vec<Pfn> {
        self.migrators.iter().flat_map(|migrator| migrator.blocks.held()).collect()
    }

    fn verify<R: Release>(&mut self, machine: &Machine<R>) -> Result<u64, Finding> {
        let mut words = 0;
        for migrator in &self.migrators {
            words += migrator.blocks.verify(machine)?;
        }
        for user in &mut self.users {
            words += user.pages.verify(machine)?;
        }
        Ok(words)
    }

    fn tear_down<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        self.migrators.iter_mut().for_each(|migrator| migrator.blocks.leave(machine));
        machine.exit(&self.space);
        machine.swapoff().map_err(Finding::refused("swapoff"))?;
        self.place.zram.reset(machine).map_err(Finding::refused("the reset of zram"))
    }
}
