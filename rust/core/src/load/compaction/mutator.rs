//! A mutator uses pages of all kinds, replaces some, and checks every word that it reads.

use crate::load::churn::{Churn, Kind};
use crate::load::fault::Finding;
use crate::load::ground::Ground;
use crate::load::rig::{Counts, Member, Uses};
use crate::machine::Machine;
use crate::map::PinKind;
use crate::memory::WORDS;
use crate::page::Pfn;
use crate::release::Release;
use crate::rng::Rng;

/// Operations of one step. The thread notices a stop only between two steps.
const OPERATIONS: u32 = 64;

/// A mutator of the load `compaction`.
#[derive(Debug)]
pub(in crate::load) struct Mutator {
    pub(super) churn: Churn,
    pub(super) commons: Ground,
    rng: Rng,
    counts: Counts,
    /// A common page that is pinned, which therefore cannot move.
    pinned: Option<Pfn>,
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
    pub(super) fn new(churn: Churn, commons: Ground) -> Mutator {
        Mutator { churn, commons, rng: Rng::new(0, 0), counts: Counts::default(), pinned: None }
    }

    /// Makes some random operations.
    pub fn step<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        let Mutator { churn, rng, .. } = self;
        let mut replaced = 0;
        for _ in 0..OPERATIONS {
            // Shares are of 4096.
            match rng.below(4096) {
                0..1600 => {
                    let (index, word) = (rng.below(self.commons.area.pages()), rng.below(WORDS as u32));
                    self.commons.read(machine, index, word)?;
                }
                1600..2500 => {
                    self.commons.write(machine, rng.below(self.commons.area.pages()))?;
                }
                2500..2900 => churn.access(machine, false, rng)?,
                2900..3200 => churn.access(machine, true, rng)?,
                3200..3400 => churn.access_movable(machine, false, rng)?,
                3400..3600 => churn.access_movable(machine, true, rng)?,
                kind @ 3600..4080 => {
                    let kind = match kind {
                        3600..3900 => Kind::Anon,
                        3900..4030 => Kind::Movable,
                        _ => Kind::Unmovable,
                    };
                    churn.replace(machine, kind, rng)?;
                    replaced += 1;
                }
                _ => match self.pinned.take() {
                    Some(pfn) => machine.unpin(pfn, PinKind::Pin),
                    None => {
                        let index = rng.below(self.commons.area.pages());
                        let pinned = machine.pin(&self.commons.area, index, PinKind::Pin, true);
                        self.pinned = Some(pinned.map_err(Finding::refused("a pin"))?);
                    }
                },
            }
        }
        self.counts.accesses[0] += u64::from(OPERATIONS - replaced);
        *self.counts.did.entry("pages_replaced").or_default() += u64::from(replaced);
        Ok(())
    }

    /// Releases the pin, if one is held.
    pub fn let_go<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        self.pinned.take().into_iter().for_each(|pfn| machine.unpin(pfn, PinKind::Pin));
        Ok(())
    }
}
