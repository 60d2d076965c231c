//! `UPTODATE` and `WRITEBACK`: the flags of the transfers between a page and its backing store.
//!
//! | flag | set | cleared | says |
//! |---|---|---|---|
//! | `UPTODATE` | when the content is complete, under the page lock or while the page is private | when the frame is freed | the bytes may be read without the lock |
//! | `WRITEBACK` | under the page lock, after every mapping was write-protected | by the end of the write, without the page lock | the device still reads the frame, so the page must stay in it |
//!
//! Neither flag holds a reference. A page under write-back cannot leave its file, because
//! truncation waits for the write and eviction refuses the page. So the file's reference keeps the
//! page until the write ends; the thread that ends it has a reference of its own, so that the page lives
//! until its sleepers are woken.

use super::lives;
use super::pfn::Pfn;
use super::reckon;
use super::record::Page;
use super::word::{Flags, Word};
use crate::sync::{Ordering, broken, park};

impl Page {
    /// Sets flags that tell of content after the content was written: `UPTODATE`, or `MOVABLE` of a
    /// movable page. The caller holds the page lock, or has just allocated the page and not shared
    /// it.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn publish(&self, flags: Flags) {
        // Release pairs with the Acquire of `word`: a thread that sees the flags sees the content.
        let old = Word(self.word.fetch_or(flags.bits(), Ordering::Release));
        reckon::changed(self, old, old.with(flags));
    }

    /// Ends a write to the backing store, and wakes the threads that wait for its end
    /// (`folio_end_writeback`). The caller has a reference.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn end_writeback(&self, pfn: Pfn) {
        let life = lives::life_of(self);
        // Release pairs with the Acquire of `word`: a thread that finds the flag clear comes after
        // the device's reads.
        let old = Word(self.word.fetch_and(!Flags::WRITEBACK.bits(), Ordering::Release));
        if !old.has(Flags::WRITEBACK) {
            broken("end of a writeback that never began", format_args!("page {pfn} ({old})"));
        }
        if old.has(Flags::WAITERS) {
            self.wake(life);
        }
    }

    /// Sleeps until no write of the page to its backing store is under way
    /// (`folio_wait_writeback`). The caller has a reference. It may hold the page lock, because the
    /// end of a write does not take that lock.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn wait_writeback(&self) {
        let life = lives::life_of(self);
        // The flag is read again after each wake-up: sleepers on the page lock share the queue, so
        // an unlock wakes this thread, too.
        while self.word().has(Flags::WRITEBACK) {
            park(&self.word, || {
                // The mark is set under the queue's lock, as in `sleeps` of the page lock, so the
                // end of the write finds the sleeper. Relaxed: the queue's lock orders the two.
                let old = Word(self.word.fetch_or(Flags::WAITERS.bits(), Ordering::Relaxed));
                if old.has(Flags::WRITEBACK) {
                    return true;
                }
                if !old.any(Flags::WAITERS | Flags::LOCKED) {
                    // The write ended before the mark was set, and no unlock is to come that would
                    // clear the mark. So this thread clears it. Relaxed: as above.
                    self.word.fetch_and(!Flags::WAITERS.bits(), Ordering::Relaxed);
                }
                false
            });
        }
        lives::check_wait(self, life);
    }
}
