//! Faults planted on purpose, to see that they are found. They live here, beside the protocol: it has
//! no branch for them.

use crate::machine::Machine;
use crate::memory::WORDS;
use crate::page::Pfn;
use crate::release::Release;
use std::time::Instant;

/// Spins for a share of the time since `start`: what a protocol that much slower would take.
pub(super) fn spin_for(start: Instant, share: f64) {
    let end = start.elapsed().mul_f64(1.0 + share);
    while start.elapsed() < end {
        std::hint::spin_loop();
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
