//! A migrator asks for blocks, and breaks up the oldest block that it holds.

use crate::load::blocks::Blocks;
use crate::load::churn::{Churn, Kind};
use crate::load::config::LoadConfig;
use crate::load::fault::Finding;
use crate::load::gauge::Gauge;
use crate::load::planted::LostCopies;
use crate::load::rig::Member;
use crate::machine::Machine;
use crate::map::Area;
use crate::release::Release;
use crate::rng::Rng;
use std::sync::Arc;

/// A migrator of the load `compaction`.
#[derive(Debug)]
pub(in crate::load) struct Migrator {
    pub gauge: Gauge,
    pub(super) churn: Churn,
    pub(super) blocks: Blocks,
    /// Pages that the mutators read, for a planted fault.
    commons: Arc<Area>,
    rng: Rng,
    planted: LostCopies,
}

impl Member for Migrator {
    fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
    }
}

impl Migrator {
    pub(super) fn new(
        churn: Churn,
        commons: &Arc<Area>,
        gauge: Gauge,
        (order, most, me): (u8, usize, usize),
        config: &LoadConfig,
    ) -> Migrator {
        let blocks = Blocks::new(order, most, me, config.copy);
        let planted = LostCopies::new(config.planted.lost_copy);
        Migrator { gauge, churn, blocks, commons: Arc::clone(commons), rng: Rng::new(0, 0), planted }
    }

    /// Asks for a block, and breaks up the oldest one. Of the pages that go into its frames, about two thirds
    /// are anonymous and the others a pool's.
    pub fn step<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        let Migrator { gauge, churn, blocks, commons, rng, planted } = self;
        let Some(head) = blocks.request(machine, gauge)? else { return Ok(()) };
        gauge.did("blocks_broken_up");
        gauge.aside(|| {
            planted.lose_one(machine, || (&**commons, rng.below(commons.pages())));
            blocks.break_up(machine, head, rng, |rng| {
                let kind = if rng.below(3) == 0 { Kind::Movable } else { Kind::Anon };
                churn.replace(machine, kind, rng)
            })
        })
    }
}
