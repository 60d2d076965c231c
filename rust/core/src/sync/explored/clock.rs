//! Vector clocks: who knows of whom.

use super::THREADS;

/// For each thread, how much of its past is known. Component `t` of thread `t`'s own clock grows
/// at each of its releases, so an access stamped with it is known to another thread only if a
/// release *after* the access was acquired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock(pub [u32; THREADS]);

impl Clock {
    pub const ZERO: Clock = Clock([0; THREADS]);

    /// The component-wise maximum.
    #[inline]
    #[must_use]
    pub fn join(self, other: Clock) -> Clock {
        let mut out = self;
        for (mine, theirs) in out.0.iter_mut().zip(other.0) {
            *mine = (*mine).max(theirs);
        }
        out
    }

    /// This clock with component `thread` set to `value`.
    #[inline]
    #[must_use]
    pub fn with(mut self, thread: usize, value: u32) -> Clock {
        self.0[thread] = value;
        self
    }

    /// The lowest thread, if any, of which `self` has seen more than `other`.
    #[inline]
    pub fn first_beyond(self, other: Clock) -> Option<usize> {
        (0..THREADS).find(|&t| self.0[t] > other.0[t])
    }
}
