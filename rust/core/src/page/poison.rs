//! `HWPOISON`: the flag that belongs to the frame and not to the page in it. It stays set when the
//! page is freed and another one begins.
//!
//! Memory failure sets the flag without a lock and without a reference, so at any moment: while the
//! frame is in use, between its last put and a free list, on a list, or on its way out of one. The
//! allocator does not hand out a poisoned frame, because the free path and the hand-out each
//! *refuse* such a frame in one atomic step. A refused frame is on no list and has no count, and
//! `REFUSED` in the same word records this. The step that clears `HWPOISON` therefore also reads
//! whether the frame must be given back to the allocator, or is still on its way to a list.

use super::record::Page;
use super::word::{Flags, Word};
use crate::sync::Ordering;

impl Page {
    /// Marks the frame as bad. Returns false if it was marked already (`TestSetPageHWPoison`).
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn poison(&self) -> bool {
        !self.set(Flags::HWPOISON).has(Flags::HWPOISON)
    }

    /// Refuses the frame if it is poisoned, and returns whether it did. Before the call the frame's
    /// count is zero, and the caller alone is responsible for the frame. After a refusal no thread
    /// is responsible for it, and it must reach neither a list nor a user.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn refuse(&self) -> bool {
        // Relaxed: poison that this load misses is set at the same moment, and counts as set after the call.
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if !old.has(Flags::HWPOISON) {
                return false;
            }
            // Release pairs with the Acquire in `unpoison`: the thread that gives the frame back
            // does so after this thread's accesses to it.
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

    /// Takes the reference by which poison keeps a frame, whatever the count is now
    /// (`page_ref_inc`). Clears `REFUSED`, because the last put of the poisoned frame may have
    /// refused it in between.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn hold_poisoned(&self) {
        // Relaxed: only the value is needed, and the exchange checks it.
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            let new = old.with_count(old.count() + 1).without(Flags::REFUSED);
            // Acquire pairs with the Release in `refuse`, or with that of the last drop: the former
            // user's accesses to the frame come first.
            match self.word.compare_exchange_weak(old.0, new.0, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => old = Word(now),
            }
        }
    }

    /// Clears the poison and returns the word before. If that word has `REFUSED`, the caller must
    /// give the frame back to the allocator.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn unpoison(&self) -> Word {
        let poison = Flags::HWPOISON.union(Flags::REFUSED);
        // Acquire pairs with the Release in `refuse`: the frame goes back to the allocator after
        // the accesses of the thread that refused it.
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
    fn a_frame_held_by_poison_is_no_longer_refused() {
        let page = Page::default();
        page.poison();
        page.refuse();
        page.hold_poisoned();
        assert_eq!((page.count(), page.flags()), (1, Flags::HWPOISON));
    }
}
