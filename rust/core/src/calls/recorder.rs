//! The recorder of a machine: the recorded calls, and the faults that strike when a call is
//! entered.

use super::call::Recorded;
use crate::inject::plan::Plans;
use crate::sync::{AtomicU32, Lock, LockClass, OnceBox, Stat};

/// A machine's recorded calls, and the plans of the faults that strike when a call is entered.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// Not 0 while calls are recorded.
    pub(super) recording: AtomicU32,
    pub(super) calls: Lock<Vec<Recorded>>,
    /// Calls that were lost because the host had no memory for them. Counted under the lock.
    pub(super) lost: Stat,
    /// Faults that are armed.
    pub(crate) plans: Plans,
}

/// A machine's recorder, made when the first trace or fault needs it.
pub(crate) type Recording = OnceBox<Recorder>;

impl Recorder {
    pub(crate) fn new(recording: bool) -> Box<Recorder> {
        let calls = Lock::new(LockClass::Leaf, Vec::new());
        Box::new(Recorder {
            recording: AtomicU32::new(recording.into()),
            calls,
            lost: Stat::new(),
            plans: Plans::new(),
        })
    }

    /// Returns true if the word `recording` lies at `address`; for traces.
    pub(crate) fn is_at(&self, address: usize) -> bool {
        std::ptr::from_ref(&self.recording).addr() == address
    }

    /// Makes the recorder of a new machine, which records calls from the beginning if `recording`
    /// is true.
    pub(crate) fn of(recording: bool) -> Recording {
        match recording {
            true => Recording::with_value(Recorder::new(true)),
            false => Recording::new(),
        }
    }
}
