//! Faults planted on purpose, to see that they are found. They live here, beside the protocol: it has
//! no branch for them.

use crate::machine::Machine;
use crate::memory::WORDS;
use crate::page::Pfn;
use crate::release::Release;
use std::time::Instant;

/// A protocol that takes longer than it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slowdown {
    share: f64,
    /// Nanoseconds of an ordinary page: a running median, which a preempted call hardly moves.
    ordinary: f64,
}

impl Slowdown {
    /// Longer by `share`.
    pub fn new(share: f64) -> Slowdown {
        Slowdown { share, ordinary: 0.0 }
    }

    /// The call that began at `start` has handled `pages` pages: spins for the share of its time. Time in
    /// which the thread did not have the processor is not the protocol's: a call counts no more than
    /// thrice an ordinary one.
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

/// One page in so many loses its copy.
const ONE_IN: u64 = 64;

/// Copies that are lost. What a migration without its copy would leave in the new frame is what that
/// frame held before: it is remembered when the frame is chosen, and put back once the migration has
/// succeeded.
#[derive(Debug, Default)]
pub(super) struct LostCopies {
    active: bool,
    seen: u64,
    before: Vec<(Pfn, Pfn, Vec<u64>)>,
}

impl LostCopies {
    /// Loses copies only if `active`.
    pub fn new(active: bool) -> LostCopies {
        LostCopies { active, ..LostCopies::default() }
    }

    /// `to` was chosen as the destination of `from`.
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

    /// The migration is over; the pages in `left` have not moved.
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
