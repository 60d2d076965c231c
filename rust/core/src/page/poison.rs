//! `HWPOISON`: the one flag that belongs to the frame and outlives every life of it.
//!
//! Memory failure sets it without a lock and without a reference, so it can come at any moment: while
//! the frame is in use, between its last put and a free list, on a list, on its way out of one. What
//! keeps a poisoned frame from being handed out is one atomic step at each end of the allocator's
//! ownership: the free path and the hand-out *refuse* it. A refused frame is on no list and has no count;
//! the same word says so, so that unpoisoning knows, in the step that takes the flag off, whether the
//! frame is to be given back or is still on its way to a list by itself.

use super::{Flags, Page, Word};
use crate::sync::Ordering;

impl Page {
    /// Marks the frame as bad; false if it was already (`TestSetPageHWPoison`).
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn poison(&self) -> bool {
        !self.set(Flags::HWPOISON).has(Flags::HWPOISON)
    }

    /// The frame, whose count is zero and which the caller alone is responsible for, is not to reach a list
    /// or a user if it is poisoned; true says that it is refused, and nobody's from now on.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn refuse(&self) -> bool {
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if !old.has(Flags::HWPOISON) {
                return false;
            }
            // Release pairs with the Acquire in `unpoison`: who gives the frame back comes after our use.
            match self.word.compare_exchange_weak(
                old.0,
                old.with(Flags::REFUSED).0,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => old = Word(now),
            }
        }
    }

    /// The reference by which poison keeps a frame, whatever its count is by now (`page_ref_inc`): the last
    /// put of a poisoned frame may have refused it.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn hold_poisoned(&self) {
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            let new = old.with_count(old.count() + 1).without(Flags::REFUSED);
            // Acquire pairs with the Release in `refuse`, or in the last drop.
            match self.word.compare_exchange_weak(old.0, new.0, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => old = Word(now),
            }
        }
    }

    /// Takes the poison off and returns the word before: with `REFUSED`, the frame is the caller's to give
    /// back to the allocator.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn unpoison(&self) -> Word {
        let poison = Flags::HWPOISON.union(Flags::REFUSED);
        // Acquire pairs with the Release in `refuse`.
        Word(self.word.fetch_and(!poison.bits(), Ordering::Acquire))
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_refused_only_while_it_is_poisoned() {
        let page = Page::default();
        assert!(!page.refuse());
        assert!(page.poison() && !page.poison());
        assert!(page.refuse());
        assert!(page.word().has(Flags::HWPOISON | Flags::REFUSED));
        assert!(page.unpoison().has(Flags::REFUSED));
        assert_eq!(page.word(), Word(0));
    }

    #[test]
    fn what_poison_holds_is_not_refused_any_more() {
        let page = Page::default();
        page.poison();
        page.refuse();
        page.hold_poisoned();
        assert_eq!((page.count(), page.flags()), (1, Flags::HWPOISON));
    }
}
