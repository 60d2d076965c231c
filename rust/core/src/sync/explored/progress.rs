//! Records when each thread last began or ended an operation, to tell a long schedule from an endless one.

use super::step::THREADS;
use std::cell::Cell;

/// The most steps for which a schedule goes on under the fair scheduler.
pub(super) const FAIR_STEPS: u32 = 8_192;

/// The steps at which the threads of the running schedule last began or ended an operation.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// For each thread the number of the next step when the thread last began or ended an operation.
    pub marks: Cell<[u32; THREADS]>,
    pub fair: Cell<Option<Fair>>,
}

/// A schedule that goes on under the fair scheduler.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fair {
    /// The first step under the fair scheduler.
    pub first_step: u32,
    /// The step at which the running turn ends.
    pub turn_end: u32,
    /// The thread that alone had taken the latest steps when the schedule reached its bound, and only
    /// repeated them; `None` if there was no such thread.
    pub repeats: Option<usize>,
    /// The step after the last operation that ended under the fair scheduler.
    pub ended: u32,
}

impl Progress {
    pub fn begin(&self) {
        self.marks.set([0; THREADS]);
        self.fair.set(None);
    }
}
