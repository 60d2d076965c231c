//! A CPU's LRU batches.

use crate::page::Pfn;
use crate::sync::Tallied;
use crate::sync::ops::PagevecInserts;
use arrayvec::ArrayVec;

/// Pages a batch can hold at most; the profile says how many it does hold.
pub const PAGEVEC_MAX: usize = 31;

/// The pages of one batch.
pub type Pagevec = ArrayVec<Pfn, PAGEVEC_MAX>;

/// The batches of one CPU, under its batch lock. Each page in one holds a reference of the batch.
#[derive(Clone, Debug, Hash)]
pub struct Batches {
    add: Tallied<Pagevec, PagevecInserts>,
}

impl Default for Batches {
    fn default() -> Self {
        Batches { add: Tallied::new(Pagevec::new_const()) }
    }
}

impl Batches {
    /// Queues a page; true if the batch holds `capacity` pages now and must be drained.
    #[inline]
    pub(crate) fn push(&mut self, pfn: Pfn, capacity: usize) -> bool {
        let add = self.add.op();
        add.push(pfn);
        add.len() >= capacity
    }

    /// Empties the add batch. Not an insertion: the look is free, so is the leaving.
    #[inline]
    pub(crate) fn take_all(&mut self) -> Pagevec {
        let pages = self.add.look().clone();
        self.add = Tallied::new(Pagevec::new_const());
        pages
    }

    /// Nothing queued?
    pub fn is_empty(&self) -> bool {
        self.add.look().is_empty()
    }

    /// The pages waiting to be added.
    pub fn added(&self) -> &[Pfn] {
        self.add.look()
    }
}
