//! The place of a machine's swap space.

use super::store::Swap;
use crate::sync::{LockClass, PlainU32, RwLock};
use std::sync::Arc;

/// The largest number of slots of a swap space: the `private` field of a page must be able to name
/// each.
pub const MAX_SWAP_SLOTS: u32 = (1 << 28) - 1;

/// The swap space of a machine, if it has one.
#[derive(Debug)]
pub(crate) struct SwapSpace {
    pub(crate) now: RwLock<Option<Arc<Swap>>>,
    /// Not 0 if there was ever a swap space. Only then can a page be in the swap cache. swapon sets
    /// the word before the first page can enter the cache.
    pub(super) ever: PlainU32,
}

impl SwapSpace {
    pub(crate) fn new() -> SwapSpace {
        SwapSpace { now: RwLock::new(LockClass::Leaf, None), ever: PlainU32::new(0) }
    }

    /// Names the word at `address` for traces; `None` if it is not a word of the swap space.
    pub(crate) fn field_at(&self, address: usize) -> Option<String> {
        if std::ptr::from_ref(&self.ever).addr() == address {
            return Some("whether there was ever swap space".into());
        }
        self.now.read().as_ref()?.field_at(address)
    }

    /// Returns the number of free slots; 0 without a swap space.
    pub(crate) fn free_slots(&self) -> u32 {
        let now = self.now.read().clone();
        now.map_or(0, |swap| swap.in_use().free)
    }
}
