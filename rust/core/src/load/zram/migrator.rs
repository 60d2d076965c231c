//! A migrator asks for blocks, and swaps pages in to fill the frames of a block that it gives up. From time
//! to time the migrator compacts the objects of zsmalloc.

use super::pages::Place;
use crate::load::blocks::Blocks;
use crate::load::config::LoadConfig;
use crate::load::fault::Finding;
use crate::load::gauge::Gauge;
use crate::load::planted::LostCopies;
use crate::load::rig::Member;
use crate::machine::Machine;
use crate::map::Entry;
use crate::release::Release;
use crate::rng::Rng;
use std::sync::Arc;

/// The most draws of a page to swap in. If none of the drawn pages is swapped out, nearly all pages are in
/// memory, and no page is swapped in.
const DRAWS: u32 = 16;
/// One step in this many begins with a compaction of zsmalloc's objects.
const OBJECTS_EVERY: u32 = 16;

/// A migrator of the load `zram`.
#[derive(Debug)]
pub(in crate::load) struct Migrator {
    pub gauge: Gauge,
    pub(super) blocks: Blocks,
    place: Arc<Place>,
    rng: Rng,
    planted: LostCopies,
}

impl Member for Migrator {
    fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
    }
}

impl Migrator {
    pub(super) fn new(place: &Arc<Place>, blocks: Blocks, gauge: Gauge, config: &LoadConfig) -> Migrator {
        let planted = LostCopies::new(config.planted.lost_copy);
        Migrator { gauge, blocks, place: Arc::clone(place), rng: Rng::new(0, 0), planted }
    }

    /// Asks for a block, and breaks up the oldest one.
    pub fn step<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        let Migrator { gauge, blocks, place, rng, planted } = self;
        // The users reclaim; the migrator only helps if they fall behind.
        gauge.aside(|| place.relieve(machine, place.low / 2))?;
        if rng.below(OBJECTS_EVERY) == 0 {
            let freed = gauge.aside(|| place.zram.pool().compact(machine));
            *gauge.did.entry("zspages_freed").or_default() += freed;
        }
        let Some(head) = blocks.request(machine, gauge)? else { return Ok(()) };
        gauge.did("blocks_broken_up");
        gauge.aside(|| {
            planted.lose_one(machine, || place.at(rng.below(place.pages())));
            blocks.break_up(machine, head, rng, |rng| swap_in(machine, place, rng))
        })
    }
}

/// Reads a random page that is swapped out.
fn swap_in<R: Release>(machine: &Machine<R>, place: &Place, rng: &mut Rng) -> Result<(), Finding> {
    for _ in 0..DRAWS {
        let (area, index) = place.at(rng.below(place.pages()));
        if matches!(area.look(index).entry(), Entry::Swap { .. }) {
            return place.access(machine, "a load", || machine.read_word(area, index, 0)).map(drop);
        }
    }
    Ok(())
}
