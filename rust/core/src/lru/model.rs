//! The reference model of the LRU lists and of the batches: a plain vector for each, which the explored
//! build keeps beside the real one.
//!
//! The real lists are links in page records, the real batches are emptied and filled by the code that the
//! explorer is to check. Each operation reports its *meaning* to the model (a page was activated, rotated,
//! isolated; a batch is drained). The model computes where the page belongs, and compares the order of its
//! vector with the order of the real list under the lruvec lock. A page that goes to the wrong end of a list
//! shows at once, and so does a batch that is drained backwards, or a drain that takes the batch of another
//! CPU, although every page is on the list that its flags name.
//!
//! Only the explored build has a model, and only where everything is checked
//! ([`Checks::All`](crate::explore::Checks::All)). In every other build the functions are empty and cost
//! nothing.

#[cfg(not(feature = "explored"))]
mod empty;
#[cfg(feature = "explored")]
mod explored;

#[cfg(not(feature = "explored"))]
pub(crate) use empty::*;
#[cfg(feature = "explored")]
pub(crate) use explored::*;

use crate::page::{Pfn, Word};

/// A change of a page and its list. A `Word` in a variant is the page's word from before the change.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "explored"),
    allow(dead_code, reason = "only the model of the explored build reads it")
)]
pub(crate) enum Verb {
    /// A page that was on no list went to its list: from a batch, from an isolation, or from the
    /// unevictable list.
    Added,
    /// The page left its list: isolated, freed, or moved to the unevictable list.
    Removed,
    /// A drain activated the page.
    Activated(Word),
    /// A drain deactivated the page, or made it one that is freed without being written.
    Deactivated,
    /// A drain rotated the page, so that reclaim takes it next.
    Rotated,
    /// A drain deactivated the page of a file that could not be dropped.
    FileDeactivated(Word),
    /// A part of a large page became a page of its own, and was linked in front of the head. The variant
    /// names this head.
    SplitFrom(Pfn),
    /// A scan spared the page: it is the last one that a scan reaches.
    Spared,
    /// A scan moved the page from the oldest generation to the next younger one.
    Younger,
    /// The page went to the youngest generation, because it was used.
    Promoted,
}
