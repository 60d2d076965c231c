//! Changes of the page word that the `packed` release design merges into one step each.

use super::lives;
use super::pfn::Pfn;
use super::reckon;
use super::record::Page;
use super::refcount::Dropped;
use super::word::{Flags, Word};
use crate::sync::{LockClass, Mutation, Ordering, broken, mutated, released};

impl Page {
    /// Clears `LRU` and takes a reference in one step. Returns false, with nothing changed, if
    /// `LRU` was clear. The caller holds a reference.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn claim_lru(&self, pfn: Pfn) -> bool {
        // Relaxed: only the value is needed, and the exchange checks it. A page without `LRU` is left alone.
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if !old.has(Flags::LRU) {
                return false;
            }
            if old.count() == 0 || old.count() >= Word::COUNT_LIMIT - 1 {
                broken("claim without a reference", format_args!("page {pfn} ({old})"));
            }
            let new = old.without(Flags::LRU).with_count(old.count() + 1);
            // AcqRel: as in `test_and_clear_lru`.
            match self.word.compare_exchange_weak(old.0, new.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    reckon::changed(self, old, new);
                    lives::took(self, 1);
                    return true;
                }
                Err(now) => old = Word(now),
            }
        }
    }

    /// Freezes a page that is locked and has exactly `expected` references; one comparison checks
    /// both. Otherwise nothing changes, and the error holds the count.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn freeze_locked(&self, expected: u32) -> Result<(), u32> {
        // Relaxed: only the value is needed, and the exchange checks it. A refusal reads nothing of the page.
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if old.count() != expected || !old.has(Flags::LOCKED) {
                return Err(old.count());
            }
            // AcqRel: as in `freeze`. Another bit, such as `WAITERS`, may change between the load
            // and this step; the loop then tries again, because only the count and the lock decide.
            match self.word.compare_exchange_weak(
                old.0,
                old.with_count(0).0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => old = Word(now),
            }
        }
    }

    /// Releases the page lock and drops one reference, in one step unless a thread sleeps on the
    /// page.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn unlock_and_drop(&self, pfn: Pfn) -> Dropped {
        // Relaxed: only the value is needed, and the exchange checks it.
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if !old.has(Flags::LOCKED) || old.count() == 0 {
                broken("unlock of an unlocked page", format_args!("page {pfn} ({old})"));
            }
            if old.has(Flags::WAITERS) && !mutated(Mutation::PackedIgnoresWaiters) {
                self.unlock(pfn);
                return self.drop_refs(pfn, 1);
            }
            let new = old.without(Flags::LOCKED).with_count(old.count() - 1);
            // Release: as in `unlock` and in `drop_refs`, both of which this step replaces.
            match self.word.compare_exchange_weak(old.0, new.0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => {
                    released(LockClass::Page, self.lock_key());
                    return self.dropped(pfn, old.without(Flags::LOCKED), 1);
                }
                Err(now) => old = Word(now),
            }
        }
    }
}
