//! Frames that go bad under a load.
//!
//! Before a migration call a migrator may strike: it soft-offlines a random frame of the machine, whoever uses
//! it, or has a page of the load fail for good. So that a long load does not run out of frames, old poison is
//! taken off again as soon as there is much of it. None of this is measured as migration.

use super::fault::Finding;
use super::gauge::Gauge;
use crate::failure::Injection;
use crate::machine::Machine;
use crate::map::{AddressSpace, Area};
use crate::page::Pfn;
use crate::release::Release;
use crate::rng::Rng;

/// Poisoned frames that a load keeps, about.
const KEPT: usize = 64;

/// Poisons at a rate.
#[derive(Clone, Debug)]
pub(super) struct Poison {
    /// Strikes a call, times 2^32.
    rate: u64,
    rng: Rng,
}

impl Poison {
    /// Strikes in this share of the calls.
    pub fn new(rate: f64) -> Poison {
        Poison { rate: (rate * (1u64 << 32) as f64) as u64, rng: Rng::new(0, 1) }
    }

    /// From here on what is random follows from `rng`.
    pub fn reseed(&mut self, rng: &mut Rng) {
        self.rng = Rng::new(rng.bits(), 1);
    }

    /// Is it time?
    pub fn strikes(&mut self) -> bool {
        self.rate > 0 && self.rng.bits() >> 32 < self.rate
    }

    /// A number below `n`.
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

    /// Has the page behind an address fail for good.
    pub fn lose<R: Release>(
        &mut self,
        machine: &Machine<R>,
        gauge: &mut Gauge,
        (space, area, index): (&AddressSpace, &Area, u32),
    ) {
        self.relieve(machine, gauge);
        // Without faulting a page in that nobody has.
        if machine.page_at(area, index).is_some() {
            let injected = machine.inject_failure(space, area, index..index + 1, Injection::Hwpoison);
            gauge.did(if injected.result.is_ok() { "lost" } else { "failed_in_use" });
        }
    }

    /// Takes the poison off a frame, if there are many.
    fn relieve<R: Release>(&mut self, machine: &Machine<R>, gauge: &mut Gauge) {
        let poisoned = machine.poisoned_frames();
        if poisoned.len() >= KEPT {
            let pfn = poisoned[self.rng.below(poisoned.len() as u32) as usize];
            // Somebody may still use it, or another thread was faster.
            if machine.unpoison_memory(pfn).is_ok() {
                gauge.did("unpoisoned");
            }
        }
    }
}

/// Takes all poison off, at the end of a load, when nobody uses any page.
pub(super) fn relieve_all<R: Release>(machine: &Machine<R>) -> Result<(), Finding> {
    let unpoison = |pfn| machine.unpoison_memory(pfn).map_err(Finding::refused("unpoison"));
    machine.poisoned_frames().into_iter().try_for_each(unpoison)
}
