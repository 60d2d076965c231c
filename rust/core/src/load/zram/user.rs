//! A user accesses pages, mostly in a window that wanders over all pages, and reclaims old pages when few
//! frames are free.

use super::pages::Pages;
use crate::load::fault::Finding;
use crate::load::rig::{Counts, Member, Uses};
use crate::machine::Machine;
use crate::memory::WORDS;
use crate::release::Release;
use crate::rng::Rng;

/// Accesses of one step. The thread notices a stop only between two steps.
const ACCESSES: u32 = 64;
/// The window has one page in this many.
const WINDOW_SHARE: u32 = 8;

/// A user of the load `zram`.
#[derive(Debug)]
pub(in crate::load) struct User {
    pub(super) pages: Pages,
    rng: Rng,
    counts: Counts,
    /// The first page of the window.
    window: u32,
}

impl Member for User {
    fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
    }
}

impl Uses for User {
    fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

impl User {
    pub(super) fn new(pages: Pages) -> User {
        User { pages, rng: Rng::new(0, 0), counts: Counts::default(), window: 0 }
    }

    /// Reclaims old pages if few frames are free, and then makes some accesses: one in eight anywhere, the
    /// others in the window. One in three is a write, to the user's own page near the chosen one.
    pub fn step<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        let User { pages, rng, .. } = self;
        let count = pages.count();
        pages.place.relieve(machine, pages.place.low)?;
        for _ in 0..ACCESSES {
            let page = match rng.below(8) {
                0 => rng.below(count),
                _ => (self.window + rng.below((count / WINDOW_SHARE).max(1))) % count,
            };
            match rng.below(3) {
                0 => pages.write(machine, pages.own_near(page))?,
                _ => pages.read(machine, page, rng.below(WORDS as u32))?,
            }
        }
        self.window = (self.window + 1) % count;
        self.counts.accesses[0] += u64::from(ACCESSES);
        Ok(())
    }
}
