//! Content that is on its way between a page and its backing store: `UPTODATE` and `WRITEBACK`.
//!
//! | flag | set | cleared | says |
//! |---|---|---|---|
//! | `UPTODATE` | when the content is there, page lock held | when the frame is freed | the bytes may be read without the lock |
//! | `WRITEBACK` | page lock held, after every mapping was write-protected | by the end of the write, without the page lock | the device still reads the frame: it must stay where it is |
//!
//! Neither carries a reference. A page under writeback cannot leave its file (truncation waits,
//! eviction refuses), so the file's own reference keeps it.

use super::{Flags, Page, Pfn, Word};
use crate::sync::{Ordering, broken, park};

impl Page {
    /// Sets flags after the content that they speak of (`UPTODATE`). The page lock is held.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn publish(&self, flags: Flags) {
        // Release pairs with the Acquire of `word`: who sees the flags sees the content.
        self.word.fetch_or(flags.bits(), Ordering::Release);
    }

    /// Ends a write to the backing store and wakes who waits for it (`folio_end_writeback`).
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn end_writeback(&self, pfn: Pfn) {
        // Release pairs with the Acquire of `word`: who finds the mark gone comes after the device's reads.
        let old = Word(self.word.fetch_and(!Flags::WRITEBACK.bits(), Ordering::Release));
        if !old.has(Flags::WRITEBACK) {
            broken("end of a writeback that never began", format_args!("page {pfn} ({old})"));
        }
        if old.has(Flags::WAITERS) {
            self.wake();
        }
    }

    /// Sleeps until nobody writes the page to its backing store (`folio_wait_writeback`). The caller has a
    /// reference, and may hold the page lock, which the end of a write does not need.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn wait_writeback(&self) {
        // Each round follows from a wake-up: sleepers on the page lock share the queue.
        while self.word().has(Flags::WRITEBACK) {
            park(&self.word, || {
                // As in `wait_unlocked`: set under the queue's lock, so the end of the write finds us. Relaxed: that
                // lock orders it.
                let old = Word(self.word.fetch_or(Flags::WAITERS.bits(), Ordering::Relaxed));
                if old.has(Flags::WRITEBACK) {
                    return true;
                }
                if !old.any(Flags::WAITERS | Flags::LOCKED) {
                    // Ended in between, and nobody would come to clear the mark. Relaxed: as above.
                    self.word.fetch_and(!Flags::WAITERS.bits(), Ordering::Relaxed);
                }
                false
            });
        }
    }
}
