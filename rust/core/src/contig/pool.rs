//! The huge pages that the machine keeps in pools, by node and size (`nr_hugepages`).

use crate::page::Pfn;
use crate::sync::{Lock, LockClass};
use std::ops::Range;

/// A huge page of a pool: 2^`order` contiguous frames that nobody uses yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HugePage {
    /// The first frame.
    pub first: Pfn,
    /// log2 of the number of frames. Above the buddy allocator's largest order, each frame is a page
    /// of its own.
    pub order: u8,
}

impl HugePage {
    /// True if the page has frames in a range.
    pub(super) fn overlaps(&self, range: &Range<Pfn>) -> bool {
        self.first < range.end && self.first.plus(1 << self.order) > range.start
    }
}

/// The pools of all nodes, in the order in which the pages came.
#[derive(Debug)]
pub(crate) struct HugePages {
    pub pages: Lock<Vec<HugePage>>,
}

impl HugePages {
    pub(crate) fn new() -> HugePages {
        HugePages { pages: Lock::plain(LockClass::Leaf, Vec::new()) }
    }
}
