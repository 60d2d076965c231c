//! Failures as a process asks for them: `madvise` with MADV_SOFT_OFFLINE and MADV_HWPOISON.

use super::kill::Signal;
use crate::error::Result;
use crate::machine::Machine;
use crate::map::{AddressSpace, Area, Entry, PinKind};
use crate::page::{Flags, Pfn, ZERO_PAGE};
use crate::release::Release;
use crate::rng::Rng;
use std::ops::Range;

/// Which failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Injection {
    /// `MADV_SOFT_OFFLINE`
    SoftOffline,
    /// `MADV_HWPOISON`
    Hwpoison,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// The first page that failed ends the call; pages before it are done.
    pub result: Result<()>,
    /// Who was told, in order.
    pub signals: Vec<Signal>,
}

/// What became of frames that were struck at random.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Struck {
    /// Frames that are poisoned now and were not before, in order.
    pub poisoned: Vec<Pfn>,
    /// Those that could not be offlined.
    pub refused: u32,
    /// Who was told, in order.
    pub signals: Vec<Signal>,
}

impl<R: Release> Machine<R> {
    /// Strikes each frame of the machine with this probability, whoever uses it; what is random follows from
    /// `seed`.
    pub fn strike(&self, rate: f64, seed: u64, what: Injection) -> Struck {
        let mut rng = Rng::new(seed, 0);
        let threshold = (rate.clamp(0.0, 1.0) * (1u64 << 32) as f64) as u64;
        let mut struck = Struck::default();
        for pfn in (0..self.frames.len()).map(Pfn) {
            if rng.bits() >> 32 >= threshold || self.frames[pfn].word().has(Flags::HWPOISON) {
                continue;
            }
            match what {
                Injection::SoftOffline => {
                    if self.soft_offline_page(pfn).is_err() {
                        struck.refused += 1;
                        continue;
                    }
                }
                Injection::Hwpoison => struck.signals.extend(self.memory_failure(pfn, None).signals),
            }
            struck.poisoned.push(pfn);
        }
        struck
    }

    /// Fails the frames behind pages of an area, one after the other. Each is faulted in for a read if it is
    /// not there; a hole of anonymous memory gets the zero page, which cannot be handled.
    ///
    /// Errors as [`Machine::soft_offline_page`] and [`Machine::memory_failure`]; `EFAULT` where nothing is mapped, or a
    /// poisoned entry is.
    pub fn inject_failure(
        &self,
        space: &AddressSpace,
        area: &Area,
        pages: Range<u32>,
        what: Injection,
    ) -> Injected {
        let mut signals = Vec::new();
        let result = space.covers(area, &pages).and_then(|()| {
            pages.into_iter().try_for_each(|index| self.inject_at(space, area, index, what, &mut signals))
        });
        Injected { result, signals }
    }

    fn inject_at(
        &self,
        space: &AddressSpace,
        area: &Area,
        index: u32,
        what: Injection,
        signals: &mut Vec<Signal>,
    ) -> Result<()> {
        let pfn = self.get_for_failure(area, index)?;
        // On later kernels the caller counts as one who has just touched the page.
        let current = self.profile.hwpoison_action_required.then_some(space);
        match (what, pfn) {
            (Injection::SoftOffline, ZERO_PAGE) => self.soft_offline_zero_page(),
            (Injection::SoftOffline, pfn) => self.soft_offline(pfn, true),
            (Injection::Hwpoison, ZERO_PAGE) => self.fail_zero_page(),
            (Injection::Hwpoison, pfn) => {
                let handled = self.fail(pfn, true, current);
                signals.extend(handled.signals);
                handled.result
            }
        }
    }

    /// A reference on the page behind an address (`get_user_pages_fast` without FOLL_WRITE), or the zero page.
    fn get_for_failure(&self, area: &Area, index: u32) -> Result<Pfn> {
        if index < area.pages() && area.file().is_none() {
            if area.look(index).unlocked().entry() == Entry::None {
                self.fault(area, index, false)?;
            }
            if matches!(area.look(index).unlocked().entry(), Entry::Present { zero: true, .. }) {
                return Ok(ZERO_PAGE);
            }
        }
        self.pin(area, index, PinKind::Get, false)
    }
}
