//! Vector clocks: how much of each thread's past another thread knows.

use super::step::THREADS;

/// A vector clock: for each thread, the part of its past that the clock's owner knows. Component
/// `t` of thread `t`'s own clock grows at each release of the thread. So another thread knows an
/// access stamped with this component only if it has acquired a release of thread `t` that came
/// *after* the access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock(pub [u32; THREADS]);

/// For each thread, a clock in which its component is 1.
static ONE: [[u32; THREADS]; THREADS] = {
    let mut ones = [[0; THREADS]; THREADS];
    let mut thread = 0;
    while thread < THREADS {
        ones[thread][thread] = 1;
        thread += 1;
    }
    ones
};

impl Clock {
    pub const ZERO: Clock = Clock([0; THREADS]);

    /// Returns the component-wise maximum.
    #[inline]
    #[must_use]
    pub fn join(self, other: Clock) -> Clock {
        let mut out = self;
        for (mine, theirs) in out.0.iter_mut().zip(other.0) {
            *mine = (*mine).max(theirs);
        }
        out
    }

    /// Returns this clock with component `thread` set to `value`.
    #[inline]
    #[must_use]
    pub fn with(mut self, thread: usize, value: u32) -> Clock {
        self.0[thread] = value;
        self
    }

    /// Returns this clock after a release of `thread`.
    #[inline]
    #[must_use]
    pub fn raised(mut self, thread: usize) -> Clock {
        // All components are written, although only one changes. If that one were written alone, the
        // processor would have to wait for this write before it could read the whole clock again.
        for (own, one) in self.0.iter_mut().zip(ONE[thread & (THREADS - 1)]) {
            *own += one;
        }
        self
    }

    /// Returns the lowest thread, if any, of which `self` has seen more than `other`.
    #[inline]
    pub fn first_beyond(self, other: Clock) -> Option<usize> {
        (0..THREADS).find(|&t| self.0[t] > other.0[t])
    }
}
