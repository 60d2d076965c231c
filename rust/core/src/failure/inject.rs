//! Failures on purpose: those that a process asks for, by `madvise` with MADV_SOFT_OFFLINE and
//! MADV_HWPOISON, and those that strike frames at random.

use super::hard::Verdict;
use super::kill::Signal;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::map::{AddressSpace, Area, Entry, PinKind};
use crate::page::{Flags, Pfn, ZERO_PAGE};
use crate::release::Release;
use crate::rng::Rng;
use crate::sync::interrupted;
use std::ops::Range;

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Injection {
    /// `MADV_SOFT_OFFLINE`
    SoftOffline,
    /// `MADV_HWPOISON`
    Hwpoison,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// The call ends at the first page with an error; the pages before it are done.
    pub result: Result<()>,
    /// Frames that were poisoned by the call, in order; also the frame of a page whose failure could not be
    /// handled.
    pub poisoned: Vec<Pfn>,
    /// The signals that were sent, in order.
    pub signals: Vec<Signal>,
}

/// The result of striking frames at random.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Struck {
    /// Frames that were poisoned by the call, in order.
    pub poisoned: Vec<Pfn>,
    /// Number of frames that were struck and have no poison from this call.
    pub refused: u32,
    /// The signals that were sent, in order.
    pub signals: Vec<Signal>,
}

impl<R: Release> Machine<R> {
    /// Strikes each frame that is online and not poisoned with the probability `rate`, whether it is in
    /// use or not. `seed` decides which frames are struck. After an interruption no further frame is.
    pub fn strike(&self, rate: f64, seed: u64, what: Injection) -> Struck {
        let mut rng = Rng::new(seed, 0);
        let threshold = (rate.clamp(0.0, 1.0) * (1u64 << 32) as f64) as u64;
        let mut struck = Struck::default();
        for pfn in (0..self.frames.len()).map(Pfn).take_while(|_| !interrupted()) {
            if rng.bits() >> 32 >= threshold
                || !self.is_online(pfn)
                || self.frames[pfn].word().has(Flags::HWPOISON)
            {
                continue;
            }
            let offlined = match what {
                Injection::SoftOffline => self.soft_offline_page(pfn).is_ok(),
                Injection::Hwpoison => {
                    let handled = self.memory_failure(pfn, None);
                    struck.signals.extend(handled.signals);
                    // Another thread may have poisoned the frame first. A frame has no poison either if its
                    // block went offline meanwhile, or if its large page could not be split and the kernel
                    // forgets the failure.
                    handled.verdict != Verdict::AlreadyPoisoned
                        && self.frames[pfn].word().has(Flags::HWPOISON)
                }
            };
            match offlined {
                true => struck.poisoned.push(pfn),
                false => struck.refused += 1,
            }
        }
        struck
    }

    /// Fails the frames of an area's pages, one after the other. A page that is not present is
    /// faulted in for a read first. A hole of anonymous memory gets the zero page, which cannot be
    /// handled.
    ///
    /// Errors as [`Machine::soft_offline_page`] and [`Machine::memory_failure`]; `EFAULT` where no
    /// page is mapped, or where the entry is poisoned.
    pub fn inject_failure(
        &self,
        space: &AddressSpace,
        area: &Area,
        pages: Range<u32>,
        what: Injection,
    ) -> Injected {
        let mut injected = Injected { result: Ok(()), poisoned: Vec::new(), signals: Vec::new() };
        injected.result = space.covers(area, &pages).and_then(|()| {
            pages.into_iter().try_for_each(|index| {
                Error::unless_interrupted()?;
                self.inject_at(space, area, index, what, &mut injected)
            })
        });
        injected
    }

    fn inject_at(
        &self,
        space: &AddressSpace,
        area: &Area,
        index: u32,
        what: Injection,
        injected: &mut Injected,
    ) -> Result<()> {
        let pfn = self.get_for_failure(area, index)?;
        let poisoned = || pfn != ZERO_PAGE && self.frames[pfn].word().has(Flags::HWPOISON);
        let before = poisoned();
        // On later kernels the calling process counts as one that has just touched the page.
        let current = self.profile.hwpoison_action_required.then_some(space);
        let result = match (what, pfn) {
            (Injection::SoftOffline, ZERO_PAGE) => self.soft_offline_zero_page(),
            (Injection::SoftOffline, pfn) => self.soft_offline(pfn, true),
            (Injection::Hwpoison, ZERO_PAGE) => self.fail_zero_page(),
            (Injection::Hwpoison, pfn) => {
                let handled = self.fail(pfn, true, current);
                injected.signals.extend(handled.signals);
                handled.result
            }
        };
        if !before && poisoned() {
            injected.poisoned.push(pfn);
        }
        result
    }

    /// Takes a reference on the page behind an address (`get_user_pages_fast` without FOLL_WRITE);
    /// none on the zero page.
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
