//! Schedules drawn at random: walks and PCT.
//!
//! PCT: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A randomized scheduler with probabilistic
//! guarantees of finding bugs", ASPLOS 2010. There are two departures. The number of steps `k` is
//! that of the program's default schedule, not a bound given beforehand. And a thread that executes
//! [`PATIENCE`] steps in a row while others could run gets the lowest priority; otherwise a retry
//! loop would run up to the bound on steps.

use super::explorer::Explorer;
use super::world::World;
use crate::rng::Rng;
use crate::sync::explored::{Choice, Strategy, THREADS, Threads, View, threads_in};

/// Steps in a row after which PCT lets another thread run, and a walk draws a thread anew.
const PATIENCE: u32 = 512;

/// The method by which a random schedule is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The walk draws one of the runnable threads. After each step this thread goes on with probability
    /// `stay` / 256, or if a draw among the runnable threads finds it again. Otherwise the walk draws anew,
    /// and may draw the same thread.
    Walk {
        /// Stickiness.
        stay: u8,
    },
    /// Random priorities, and `depth - 1` random steps at which the running thread gets the lowest
    /// priority.
    Pct {
        /// The depth of the bugs to be found: the number of ordered steps that a bug needs. A depth
        /// above 9 counts as 9.
        depth: u8,
    },
    /// The methods in turn: uniform and sticky walks, PCT of depth 2 to 4. No single method finds every
    /// bug early.
    Portfolio,
}

/// The methods of the portfolio, in turn.
const TURNS: [Method; 8] = [
    Method::Walk { stay: 0 },
    Method::Pct { depth: 3 },
    Method::Walk { stay: 192 },
    Method::Pct { depth: 2 },
    Method::Walk { stay: 0 },
    Method::Pct { depth: 3 },
    Method::Walk { stay: 240 },
    Method::Pct { depth: 4 },
];

impl Method {
    /// The method of schedule number `index`.
    pub fn at(self, index: u64) -> Method {
        match self {
            Method::Portfolio => TURNS[(index % TURNS.len() as u64) as usize],
            other => other,
        }
    }
}

/// A number of random schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The method by which each schedule is drawn.
    pub method: Method,
    /// The number of schedules.
    pub schedules: u64,
    /// The seed. Schedule `i` depends only on the seed and on `i`.
    pub seed: u64,
}

/// The steps of the default schedule, over which PCT spreads its change points.
pub(super) fn length<W: World>(explorer: &mut Explorer<W>) -> u32 {
    explorer.replay(&super::Schedule::default()).steps.max(1)
}

/// One random schedule.
pub(super) enum Sampler {
    Walk(Walk),
    Pct(Pct),
}

impl Sampler {
    /// Schedule number `index` for a program of about `length` steps.
    pub fn new(sampling: &Sampling, index: u64, length: u32) -> Sampler {
        let rng = Rng::new(sampling.seed, index);
        match sampling.method.at(index) {
            Method::Pct { depth } => Sampler::Pct(Pct::new(rng, depth, length)),
            Method::Walk { stay } => Sampler::Walk(Walk { rng, stay: stay.into(), owed: 0 }),
            Method::Portfolio => Sampler::Walk(Walk { rng, stay: 0, owed: 0 }),
        }
    }
}

impl Strategy for Sampler {
    fn choose(&mut self, view: View) -> Choice {
        match self {
            Sampler::Walk(walk) => walk.choose(view),
            Sampler::Pct(pct) => pct.choose(view),
        }
    }
}

pub(super) struct Walk {
    rng: Rng,
    stay: u32,
    /// The number of draws that the walk has put off while only one thread could run, because their outcome
    /// is known. The walk makes them before its next draw, so that a seed gives
    /// the same schedules as if no draw had been put off.
    owed: u32,
}

impl Walk {
    /// Draws a thread, and the number of steps for which the following draws keep it. Threads that
    /// become runnable in between wait until the stretch is over.
    #[inline]
    fn choose(&mut self, view: View) -> Choice {
        while self.owed > 0 {
            self.owed -= 1;
            self.keeps(1);
        }
        let count = view.runnable.count_ones();
        let bits = self.rng.bits();
        let thread = nth(view.runnable, ((u64::from(count) * (bits >> 32)) >> 32) as u32);
        let steps = match (count, self.stay) {
            // With two threads each draw is a fair coin. The low bits of this draw are used as the next
            // coins.
            (2, 0) => 1 + (bits as u32).trailing_ones(),
            _ => self.stretch(count),
        };
        Choice { thread, until: view.step.saturating_add(steps) }
    }
}

impl Walk {
    /// Draws whether the thread goes on.
    #[inline]
    fn keeps(&mut self, count: u32) -> bool {
        self.rng.below(256) < self.stay || self.rng.below(count) == 0
    }

    /// The number of draws in a row that keep the thread.
    fn stretch(&mut self, count: u32) -> u32 {
        if count == 1 {
            self.owed = PATIENCE - 1;
            return PATIENCE;
        }
        let mut steps = 1;
        while steps < PATIENCE && self.keeps(count) {
            steps += 1;
        }
        steps
    }
}

/// The `n`-th thread of a set.
#[inline]
fn nth(set: Threads, n: u32) -> usize {
    let mut set = set;
    for _ in 0..n {
        set &= set - 1;
    }
    set.trailing_zeros() as usize
}

pub(super) struct Pct {
    /// The runnable thread with the highest priority runs.
    priority: [i32; THREADS],
    /// Steps before which the running thread gets the lowest priority, ascending.
    changes: [u32; MAX_CHANGES],
    next_change: usize,
    lowest: i32,
    /// The step at which the running thread began its stretch.
    stretch_start: u32,
}

const MAX_CHANGES: usize = 8;

impl Pct {
    fn new(mut rng: Rng, depth: u8, length: u32) -> Self {
        let mut priority: [i32; THREADS] = std::array::from_fn(|t| t as i32);
        for last in (1..THREADS).rev() {
            priority.swap(last, rng.below(last as u32 + 1) as usize);
        }
        let mut changes = [u32::MAX; MAX_CHANGES];
        for change in changes.iter_mut().take(usize::from(depth.saturating_sub(1))) {
            *change = 1 + rng.below(length);
        }
        changes.sort_unstable();
        Pct { priority, changes, next_change: 0, lowest: 0, stretch_start: 0 }
    }

    fn put_last(&mut self, thread: usize) {
        self.lowest -= 1;
        self.priority[thread] = self.lowest;
    }

    fn choose(&mut self, view: View) -> Choice {
        while self.next_change < MAX_CHANGES && self.changes[self.next_change] <= view.step {
            self.next_change += 1;
            if let Some(current) = view.current {
                self.put_last(current);
            }
        }
        let highest = |pct: &Pct| threads_in(view.runnable).max_by_key(|&t| pct.priority[t]);
        let mut thread = highest(self).unwrap_or(0);
        if view.current != Some(thread) {
            self.stretch_start = view.step;
        } else if view.step - self.stretch_start >= PATIENCE {
            self.put_last(thread);
            self.stretch_start = view.step;
            thread = highest(self).unwrap_or(thread);
        }
        // If no thread waits, nothing changes before the next change point or the end of `PATIENCE`.
        // Otherwise a waiting thread may become runnable with the highest priority at any step, so the
        // strategy is asked again at each.
        let change = self.changes.get(self.next_change).copied().unwrap_or(u32::MAX);
        let until = if view.runnable == view.alive {
            change.min(view.step.saturating_add(PATIENCE))
        } else {
            view.step + 1
        };
        Choice { thread, until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_makes_the_draws_that_it_has_put_off() {
        let view = |runnable| View { step: 0, current: Some(0), runnable, alive: 0b111 };
        for stay in [0, 192] {
            let mut walk = Walk { rng: Rng::new(1, 2), stay, owed: 0 };
            assert_eq!(walk.choose(view(0b001)).until, PATIENCE);
            let mut rng = Rng::new(1, 2);
            rng.bits();
            (1..PATIENCE).for_each(|_| _ = rng.below(256) < stay || rng.below(1) == 0);
            let mut drawn = Walk { rng, stay, owed: 0 };
            for _ in 0..20 {
                let [one, other] = [&mut walk, &mut drawn].map(|walk| walk.choose(view(0b111)));
                assert_eq!((one.thread, one.until), (other.thread, other.until));
            }
        }
    }
}
