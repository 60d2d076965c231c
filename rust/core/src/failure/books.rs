//! The books of memory failure: the number of poisoned frames, and lists of these frames, with and
//! without a reference that their poison holds.

use crate::page::{Page, Pfn};
use crate::sync::{Guard, Lock, LockClass, Mutation, mutated};
use std::collections::BTreeMap;
use std::ops::Range;

/// A machine's record of its bad frames.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Serialises soft offline, hard failure and unpoison (`mf_mutex`).
    pub(crate) mutex: Lock<()>,
    /// The books. Their lock is held for moments only, so that a thread that reads them need not
    /// wait until a failure is handled.
    pub(crate) books: Lock<Books>,
}

/// The failure for which a frame is poisoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// Soft offline: the content is safe, or there was none. No thread uses the frame.
    Soft,
    /// Hard failure: the content is lost. Threads that held the page may still hold it.
    Hard,
}

/// The number of poisoned frames, and lists of them.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Books {
    /// The number of poisoned frames (`num_poisoned_pages`).
    pub counted: i64,
    /// Frames on which poison holds a reference, each with its failure.
    pub held: BTreeMap<Pfn, Cause>,
    /// Poisoned frames on which poison holds no reference, each with its failure. The page of such a
    /// frame is in use or being handled, or the frame has no page: its last put was refused, or it was
    /// left on its free list, where the allocator refuses it.
    pub unheld: BTreeMap<Pfn, Cause>,
    /// The number of poisoned frames that went offline with their memory block. They stay counted,
    /// as in the kernel, although their flag is gone.
    pub gone: i64,
    /// True once the zero page is poisoned, which cannot be undone.
    pub zero: bool,
}

impl Failure {
    pub(crate) fn new() -> Failure {
        Failure {
            mutex: Lock::plain(LockClass::Failure, ()),
            books: Lock::plain(LockClass::Leaf, Books::default()),
        }
    }

    /// Takes the mutex of failures. Under the mutation `poison-without-mutex` it is not taken.
    pub(crate) fn serial(&self) -> Option<Guard<'_, ()>> {
        (!mutated(Mutation::PoisonWithoutMutex)).then(|| self.mutex.lock())
    }

    /// Counts a poisoned frame. `held` tells whether poison holds a reference on it.
    pub(super) fn count(&self, pfn: Pfn, cause: Cause, held: bool) {
        let mut books = self.books.lock();
        books.counted += 1;
        let frames = if held { &mut books.held } else { &mut books.unheld };
        frames.insert(pfn, cause);
    }

    /// Takes a frame that is not poisoned any more out of the books.
    pub(super) fn uncount(&self, pfn: Pfn) {
        let mut books = self.books.lock();
        books.counted -= 1;
        books.held.remove(&pfn);
        books.unheld.remove(&pfn);
    }

    /// Takes the frames of a range that went offline off the lists, but for those that other threads hold
    /// on to (ascending in `held_on`). `gone` of the others were poisoned; their number is kept, because they
    /// stay counted.
    pub(crate) fn forget(&self, range: Range<Pfn>, held_on: &[Pfn], gone: u32) {
        let mut books = self.books.lock();
        books.gone += i64::from(gone);
        books.held.retain(|pfn, _| !range.contains(pfn) || held_on.binary_search(pfn).is_ok());
        books.unheld.retain(|pfn, _| !range.contains(pfn));
    }

    /// Flags a frame as poisoned and counts it, as one that failed hard. Returns false if the frame
    /// was flagged already. The caller holds the mutex of failures.
    pub(crate) fn flag(&self, pfn: Pfn, page: &Page) -> bool {
        let flagged = page.poison();
        if flagged {
            self.count(pfn, Cause::Hard, false);
        }
        flagged
    }

    /// The zero page's count, as recorded calls show it: 1, or 2 once the page is poisoned. Its
    /// mappings take no reference.
    pub(crate) fn zero_page_count(&self) -> u32 {
        1 + u32::from(self.books.lock().zero)
    }
}
