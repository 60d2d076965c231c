//! A ledger of the holds on pages that callers of the core keep for longer than one call.

use crate::page::Pfn;
use crate::sync::{Lock, LockClass};
use std::collections::BTreeMap;

/// A hold on a page that a caller of the core keeps for longer than one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handle {
    /// A counted reference.
    Ref,
    /// A pin: 1024 references, or one in a kernel that does not count pins.
    Pin,
    /// An isolation token of an LRU page, counted in `nr_isolated_*`.
    Isolated,
    /// An isolation token of a movable page.
    IsolatedMovable,
    /// The page lock, with a reference.
    Lock,
    /// A freeze of the page: the count is zero, whatever references the other handles hold.
    Frozen,
    /// A write of the page to its backing store, begun and not ended. The write holds no reference.
    Writeback,
}

/// The handles that callers hold. The audit cannot find these handles in the machine itself. A
/// caller that keeps references across calls (an interpreter, a binding) keeps a ledger beside the
/// machine.
#[derive(Debug)]
pub struct Ledger(Lock<BTreeMap<(Pfn, Handle), u32>>);

impl Default for Ledger {
    fn default() -> Self {
        Ledger(Lock::plain(LockClass::Leaf, BTreeMap::new()))
    }
}

impl Ledger {
    /// Records that a handle was taken.
    pub fn add(&self, pfn: Pfn, handle: Handle) {
        *self.0.lock().entry((pfn, handle)).or_default() += 1;
    }

    /// Records that a handle was given back. Returns false if the ledger has no such handle.
    pub fn remove(&self, pfn: Pfn, handle: Handle) -> bool {
        let mut entries = self.0.lock();
        match entries.get_mut(&(pfn, handle)) {
            Some(1) => entries.remove(&(pfn, handle)).is_some(),
            Some(n) => {
                *n -= 1;
                true
            }
            None => false,
        }
    }

    /// Returns the handles on one frame, with their counts.
    pub fn of(&self, pfn: Pfn) -> Vec<(Handle, u32)> {
        let entries = self.0.lock();
        entries
            .range((pfn, Handle::Ref)..=(pfn, Handle::Writeback))
            .map(|(&(_, handle), &n)| (handle, n))
            .collect()
    }

    /// Returns all handles with their counts, by frame.
    pub fn handles(&self) -> Vec<(Pfn, Handle, u32)> {
        self.0.lock().iter().map(|(&(pfn, handle), &n)| (pfn, handle, n)).collect()
    }
}
