//! The faults that threads have armed for their own next operations, as data.
//!
//! Each thread slot has a word, which only its thread reads and writes. No access to it is a step of the
//! explorer, and nothing about it is shared: other threads run as they would without the fault.

use crate::sync::{MAX_THREADS, OnceBox, PlainU32, thread_slot};

/// The faults of the threads.
#[derive(Debug)]
pub(crate) struct ArmedFaults {
    of: [PlainU32; MAX_THREADS],
}

/// A machine's faults of threads, made when the first one is armed. Without any, a site costs one test of a
/// word that never changes.
pub(crate) type Faults = OnceBox<ArmedFaults>;

/// The fault of a thread; its word has a byte for each field.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Armed {
    /// A number for the kind; 0 if no fault is armed.
    pub kind: u8,
    /// The number of sites that pass before the fault strikes.
    pub ahead: u8,
    /// The number of sites at which the fault is still to strike.
    pub times: u8,
    /// The number of sites at which the fault has struck.
    pub struck: u8,
}

impl ArmedFaults {
    pub(super) fn new() -> Box<ArmedFaults> {
        Box::new(ArmedFaults { of: std::array::from_fn(|_| PlainU32::new(0)) })
    }

    /// The fault of the calling thread.
    pub(super) fn mine(&self) -> Armed {
        let [kind, ahead, times, struck] = self.of[thread_slot()].get().to_le_bytes();
        Armed { kind, ahead, times, struck }
    }

    /// Changes the fault of the calling thread.
    pub(super) fn set(&self, Armed { kind, ahead, times, struck }: Armed) {
        self.of[thread_slot()].set(u32::from_le_bytes([kind, ahead, times, struck]));
    }

    /// Passes a site of the calling thread; returns true if its fault strikes. A fault that `stays` strikes
    /// at all sites from its first one on.
    #[cold]
    pub(super) fn passes(&self, kind: u8, stays: bool) -> bool {
        let mut armed = self.mine();
        if armed.kind != kind {
            return false;
        }
        match armed {
            Armed { ahead: 1.., .. } => armed.ahead -= 1,
            Armed { times: 1.., .. } => {
                armed.times -= 1;
                armed.struck += 1;
            }
            _ => return stays,
        }
        let strikes = armed.struck > 0;
        self.set(armed);
        strikes
    }
}
