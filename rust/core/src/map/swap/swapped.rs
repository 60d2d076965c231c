//! The page that a fault brings back from swap.

use crate::page::{Folio, Pfn};

/// A frame with the content of a swap slot. Its page is locked, with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::map) struct Swapped {
    /// The frame.
    pub pfn: Pfn,
    /// The page of which the frame is a part.
    pub folio: Folio,
    pub slot: u32,
    /// True if the page is in the swap cache. Otherwise it was read past the cache, and the slot is
    /// marked as being read.
    pub cached: bool,
    /// True if the page was read from the swap space, false if it was found in the cache.
    pub read: bool,
}
