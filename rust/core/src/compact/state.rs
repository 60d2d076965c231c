//! The state of compaction that a node keeps between two runs, and the settings of compaction.

use crate::sync::{AtomicU32, Ordering};

/// A failure leaves out at most 63 requests, the 64th runs again (`COMPACT_MAX_DEFER_SHIFT`).
const MAX_DEFER_SHIFT: u8 = 6;

/// The state that a node keeps between two runs (`compact_*` of `struct zone`), protected by the zone
/// lock. Frames are numbers within the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remembered {
    /// The frame at which the next migrate scanner begins: that of an asynchronous run, and that of any
    /// other run.
    pub migrate: [u32; 2],
    /// The frame at which the next free scanner begins.
    pub free: u32,
    /// True if the skip hints were ever cleared. A run that begins at the node's start after that scans
    /// the whole node.
    pub cleared: bool,
    /// True if the skip hints are to be cleared when the node's reclaimer has nothing to do.
    pub flush: bool,
    considered: u32,
    defer_shift: u8,
    order_failed: u8,
}

impl Remembered {
    /// A node of `frames` frames that was never compacted.
    pub fn new(frames: u32, block_order: u8) -> Remembered {
        let free = (frames - 1) >> block_order << block_order;
        Remembered {
            migrate: [0; 2],
            free,
            cleared: false,
            flush: false,
            considered: 0,
            defer_shift: 0,
            order_failed: 0,
        }
    }

    /// Lets the next run begin at the borders of the node (`reset_cached_positions`).
    pub fn reset_positions(&mut self, frames: u32, block_order: u8) {
        self.migrate = [0; 2];
        self.free = (frames - 1) >> block_order << block_order;
    }

    /// Notes that a run for a block of `order` has failed (`defer_compaction`): the next runs are left
    /// out, twice as many as after the failure before.
    pub fn defer(&mut self, order: u8) {
        self.considered = 0;
        self.defer_shift = (self.defer_shift + 1).min(MAX_DEFER_SHIFT);
        self.order_failed = self.order_failed.min(order);
    }

    /// Returns true if a run for a block of `order` is to be left out, and counts it
    /// (`compaction_deferred`).
    pub fn is_deferred(&mut self, order: u8) -> bool {
        if order < self.order_failed {
            return false;
        }
        let limit = 1 << self.defer_shift;
        self.considered = (self.considered + 1).min(limit);
        self.considered < limit
    }

    /// Notes that a block of `order` was made or, with `allocated`, handed out
    /// (`compaction_defer_reset`).
    pub fn succeed(&mut self, order: u8, allocated: bool) {
        if allocated {
            self.considered = 0;
            self.defer_shift = 0;
        }
        if order >= self.order_failed {
            self.order_failed = order + 1;
        }
    }

    /// Returns true if a run for a block of `order` is made again after the largest number of requests
    /// was left out (`compaction_restarting`).
    pub fn is_restarting(&self, order: u8) -> bool {
        order >= self.order_failed
            && self.defer_shift == MAX_DEFER_SHIFT
            && self.considered >= 1 << self.defer_shift
    }

    /// The number of requests that a failure leaves out, counting the one that then runs (`limit` in traces).
    pub fn defer_limit(&self) -> u32 {
        1 << self.defer_shift
    }

    /// The number of requests that have been left out since the last failure (`compact_considered`).
    pub fn considered(&self) -> u32 {
        self.considered
    }

    /// The smallest order for which requests are left out (`compact_order_failed`).
    pub fn order_failed(&self) -> u8 {
        self.order_failed
    }
}

/// The settings of compaction, under the names of `/proc/sys/vm`.
#[derive(Debug)]
pub struct CompactSettings {
    /// True if the migrate scanner takes pages of the unevictable list.
    unevictable_allowed: AtomicU32,
    /// The eagerness with which background runs lower the fragmentation: 0, not at all, to 100.
    proactiveness: AtomicU32,
}

impl Default for CompactSettings {
    fn default() -> Self {
        CompactSettings { unevictable_allowed: AtomicU32::new(1), proactiveness: AtomicU32::new(20) }
    }
}

impl CompactSettings {
    /// The name of the word at `address`, for traces. `None` for any other address.
    pub fn field_at(&self, address: usize) -> Option<&'static str> {
        let fields = [
            (&self.unevictable_allowed, "compact_unevictable_allowed"),
            (&self.proactiveness, "compaction_proactiveness"),
        ];
        fields.iter().find(|(word, _)| std::ptr::from_ref(*word).addr() == address).map(|(_, name)| *name)
    }

    /// `compact_unevictable_allowed`: whether compaction moves pages of the unevictable list.
    pub fn unevictable_allowed(&self) -> bool {
        // Relaxed: a setting orders nothing, and a run may still use the old one.
        self.unevictable_allowed.load(Ordering::Relaxed) != 0
    }

    /// `compaction_proactiveness`.
    pub fn proactiveness(&self) -> u32 {
        // Relaxed: as above.
        self.proactiveness.load(Ordering::Relaxed)
    }

    /// Sets `compaction_proactiveness`, from 0 to 100.
    pub fn set_proactiveness(&self, proactiveness: u32) {
        // Relaxed: as above.
        self.proactiveness.store(proactiveness, Ordering::Relaxed);
    }

    /// Sets `compact_unevictable_allowed`.
    pub fn set_unevictable_allowed(&self, allowed: bool) {
        // Relaxed: as above.
        self.unevictable_allowed.store(u32::from(allowed), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_runs_that_are_left_out_up_to_64() {
        // The requests of c32: the limits of the recorded runs are 2, 4 and 8.
        let mut node = Remembered::new(3805, 9);
        let mut limits = Vec::new();
        for _ in 0..8 {
            let left_out = (0..).take_while(|_| node.is_deferred(9)).count() as u32;
            assert_eq!(left_out, node.defer_limit() - 1);
            node.defer(9);
            limits.push(node.defer_limit());
        }
        assert_eq!(limits, [2, 4, 8, 16, 32, 64, 64, 64]);
        assert!(!node.is_restarting(9));
        while node.is_deferred(9) {}
        assert!(node.is_restarting(9));
        node.succeed(9, true);
        assert_eq!((node.defer_limit(), node.is_deferred(9)), (1, false));
    }
}
