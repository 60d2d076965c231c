//! The page that a fault brings back from swap.

use crate::page::Pfn;

/// A page with the content of a swap slot, locked, with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::map) struct Swapped {
    pub pfn: Pfn,
    pub slot: u32,
    /// True if the page is in the swap cache. Otherwise it was read past the cache, and the slot is
    /// marked as being read.
    pub cached: bool,
    /// True if the page was read from the swap space, false if it was found in the cache.
    pub read: bool,
}
