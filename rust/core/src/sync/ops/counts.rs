//! The counts of operations at the door, and the counters that the changes of a structure raise.

use serde::Serialize;

/// Operations at the door, as counted in `mmcore-counted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ops {
    /// Atomic read-modify-writes: swap, compare-exchange (successful or not), fetch-and-op.
    pub rmw: u64,
    /// Fences, of any ordering.
    pub fences: u64,
    /// Acquisitions of a node's LRU lock.
    pub lruvec_locks: u64,
    /// Acquisitions of a batch lock. The kernel disables preemption instead of taking a lock, so
    /// these acquisitions are counted apart.
    pub batch_locks: u64,
    /// Acquisitions of all other locks.
    pub other_locks: u64,
    /// Pages queued in a per-CPU batch.
    pub pagevec_inserts: u64,
    /// Links into and unlinks from an intrusive list.
    pub list_ops: u64,
    /// Flushes of the TLB, each of any number of entries.
    pub tlb_flushes: u64,
}

impl Ops {
    /// Returns the field-wise sum.
    #[must_use]
    pub fn plus(self, other: Ops) -> Ops {
        self.zip(other, u64::wrapping_add)
    }

    /// Returns the field-wise difference: the operations since `earlier` was taken.
    #[must_use]
    pub fn minus(self, earlier: Ops) -> Ops {
        self.zip(earlier, u64::wrapping_sub)
    }

    fn zip(self, other: Ops, f: impl Fn(u64, u64) -> u64) -> Ops {
        Ops {
            rmw: f(self.rmw, other.rmw),
            fences: f(self.fences, other.fences),
            lruvec_locks: f(self.lruvec_locks, other.lruvec_locks),
            batch_locks: f(self.batch_locks, other.batch_locks),
            other_locks: f(self.other_locks, other.other_locks),
            pagevec_inserts: f(self.pagevec_inserts, other.pagevec_inserts),
            list_ops: f(self.list_ops, other.list_ops),
            tlb_flushes: f(self.tlb_flushes, other.tlb_flushes),
        }
    }
}

/// Names the counter for the changes of a [`Tallied`](crate::sync::Tallied) structure.
pub trait Kind: 'static {
    /// Raises the counter by one change.
    fn bump(ops: &mut Ops);
}

/// Changes of an intrusive list: links and unlinks.
#[derive(Debug)]
pub struct ListOps;

impl Kind for ListOps {
    fn bump(ops: &mut Ops) {
        ops.list_ops += 1;
    }
}

/// Insertions into a per-CPU batch.
#[derive(Debug)]
pub struct PagevecInserts;

impl Kind for PagevecInserts {
    fn bump(ops: &mut Ops) {
        ops.pagevec_inserts += 1;
    }
}
