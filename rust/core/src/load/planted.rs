//! Planted faults, with which tests show that a comparison finds a slowdown or a lost copy. The
//! faults act from outside, so the protocol has no branch for them.

use crate::machine::Machine;
use crate::map::Area;
use crate::memory::WORDS;
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::{AtomicU64, Ordering};
use std::time::Instant;

/// Prolongs each call, as a slower protocol would.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slowdown {
    share: f64,
    /// Nanoseconds of an ordinary page, as a running median, which a preempted call hardly moves.
    ordinary: f64,
}

impl Slowdown {
    /// Prolongs calls by `share` of their time; 0 plants nothing.
    pub fn new(share: f64) -> Slowdown {
        Slowdown { share, ordinary: 0.0 }
    }

    /// Spins for the share of the time of a call that began at `start` and handled `pages` pages. A
    /// page counts for at most three times the ordinary time. A longer call was preempted, and the
    /// time of the preemption does not belong to the protocol.
    #[inline]
    pub fn prolong(&mut self, start: Instant, pages: u64) {
        if self.share == 0.0 || pages == 0 {
            return;
        }
        let took = start.elapsed().as_nanos() as f64;
        let each = took / pages as f64;
        if self.ordinary == 0.0 {
            self.ordinary = each;
        }
        const STEP: f64 = 1.0 / 64.0;
        self.ordinary *= if each > self.ordinary { 1.0 + STEP } else { 1.0 - STEP };
        let end = took + self.share * each.min(3.0 * self.ordinary) * pages as f64;
        while (start.elapsed().as_nanos() as f64) < end {
            std::hint::spin_loop();
        }
    }
}

/// Does `each` read-modify-writes for each of `pages` pages. The counting build counts them like those of a
/// costlier protocol.
pub(super) fn atomics(each: u32, pages: u64) {
    let word = AtomicU64::new(0);
    for _ in 0..u64::from(each) * pages {
        // Relaxed: the word belongs to this function alone.
        word.fetch_add(1, Ordering::Relaxed);
    }
}

/// One page in this many loses its copy.
const ONE_IN: u64 = 64;
/// The most draws of a page to clear. If none of the drawn pages is mapped, nearly all pages are
/// swapped out, and no page loses its content.
const DRAWS: u32 = 16;

/// Lost copies. A migration that forgets its copy leaves the former content in the new frame. To
/// plant this fault, the content of a frame is saved when the frame is chosen, and restored after
/// the migration has succeeded.
#[derive(Debug, Default)]
pub(super) struct LostCopies {
    active: bool,
    seen: u64,
    before: Vec<(Pfn, Pfn, Vec<u64>)>,
}

impl LostCopies {
    /// Makes a fault that loses copies if it is `active`.
    pub fn new(active: bool) -> LostCopies {
        LostCopies { active, ..LostCopies::default() }
    }

    /// Saves the content of `to`, which was chosen as the destination of `from`, for one page in
    /// [`ONE_IN`].
    #[inline]
    pub fn chosen<R: Release>(&mut self, machine: &Machine<R>, from: Pfn, to: Pfn) {
        if self.active {
            self.seen += 1;
            if self.seen.is_multiple_of(ONE_IN) {
                let words = (0..WORDS).map(|word| machine.memory().load(to, word)).collect();
                self.before.push((from, to, words));
            }
        }
    }

    /// Clears the content of a mapped page, as a migration does that forgets its copy. The loads use this
    /// function where compaction chooses the targets. `draw` names a page, which may be swapped out.
    pub fn lose_one<'a, R: Release>(
        &mut self,
        machine: &Machine<R>,
        mut draw: impl FnMut() -> (&'a Area, u32),
    ) {
        for (area, index) in (0..DRAWS).take_while(|_| self.active).map(|_| draw()) {
            // The reference keeps the page where it is.
            if let Some(pfn) = machine.get_page_at(area, index) {
                (0..WORDS).for_each(|word| machine.memory().store(pfn, word, 0));
                return machine.put(pfn);
            }
        }
    }

    /// Restores the saved contents after a migration, except for the pages in `left`, which have
    /// not moved.
    #[inline]
    pub fn lose<R: Release>(&mut self, machine: &Machine<R>, left: &[Pfn]) {
        for (from, to, words) in self.before.drain(..) {
            if !left.contains(&from) {
                for (word, value) in words.into_iter().enumerate() {
                    machine.memory().store(to, word, value);
                }
            }
        }
    }
}
