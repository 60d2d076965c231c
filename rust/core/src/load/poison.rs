//! Frames that go bad under a load.
//!
//! Before a migration call a migrator may strike: it soft-offlines a random frame of the machine,
//! free or used, or makes a page of the load fail hard. Poisoned frames are unpoisoned once there
//! are many, so that a long load does not run out of frames. None of this is measured as migration.

use super::fault::Finding;
use super::gauge::Gauge;
use crate::failure::Injection;
use crate::machine::Machine;
use crate::map::{AddressSpace, Area};
use crate::page::Pfn;
use crate::release::Release;
use crate::rng::Rng;

/// From this number of poisoned frames on, a strike first unpoisons one of them.
const KEPT: usize = 64;

/// Makes frames fail, before a given share of the migration calls.
#[derive(Clone, Debug)]
pub(super) struct Poison {
    /// Probability of a strike before a call, times 2^32.
    rate: u64,
    rng: Rng,
}

impl Poison {
    /// Makes a poison that strikes before this share of the calls.
    pub fn new(rate: f64) -> Poison {
        Poison { rate: (rate * (1u64 << 32) as f64) as u64, rng: Rng::new(0, 1) }
    }

    /// Derives the generator of all later strikes from `rng`.
    pub fn reseed(&mut self, rng: &mut Rng) {
        self.rng = Rng::new(rng.bits(), 1);
    }

    /// Draws whether to strike before this call.
    pub fn strikes(&mut self) -> bool {
        self.rate > 0 && self.rng.bits() >> 32 < self.rate
    }

    /// Draws a number below `n`.
    pub fn below(&mut self, n: u32) -> u32 {
        self.rng.below(n)
    }

    /// Soft-offlines a random frame.
    pub fn offline<R: Release>(&mut self, machine: &Machine<R>, gauge: &mut Gauge) {
        self.relieve(machine, gauge);
        let pfn = Pfn(self.rng.below(machine.frames().len()));
        gauge.did(match machine.soft_offline_page(pfn) {
            Ok(()) => "soft_offlined",
            Err(_) => "soft_offline_refused",
        });
    }

    /// Makes the page behind an address fail hard.
    pub fn lose<R: Release>(
        &mut self,
        machine: &Machine<R>,
        gauge: &mut Gauge,
        (space, area, index): (&AddressSpace, &Area, u32),
    ) {
        self.relieve(machine, gauge);
        // A page that is not mapped is left alone: the injection would fault it in.
        if machine.page_at(area, index).is_some() {
            let injected = machine.inject_failure(space, area, index..index + 1, Injection::Hwpoison);
            gauge.did(if injected.result.is_ok() { "lost" } else { "failed_in_use" });
        }
    }

    /// Unpoisons a random poisoned frame if there are many.
    fn relieve<R: Release>(&mut self, machine: &Machine<R>, gauge: &mut Gauge) {
        let poisoned = machine.poisoned_frames();
        if poisoned.len() >= KEPT {
            let pfn = poisoned[self.rng.below(poisoned.len() as u32) as usize];
            // The call fails if the frame is still in use, or if another thread has unpoisoned it.
            if machine.unpoison_memory(pfn).is_ok() {
                gauge.did("unpoisoned");
            }
        }
    }
}

/// Unpoisons all frames at the end of a load, when no page is used.
pub(super) fn relieve_all<R: Release>(machine: &Machine<R>) -> Result<(), Finding> {
    let unpoison = |pfn| machine.unpoison_memory(pfn).map_err(Finding::refused("unpoison"));
    machine.poisoned_frames().into_iter().try_for_each(unpoison)
}
