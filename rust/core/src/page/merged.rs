//! Changes of the page word that take several steps of the kernel in one: for the release design `packed`,
//! and for machines whose profile merges the atomic operations of a migration (`atomics=merged`).

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

    /// Takes the reference of a mapping, and marks the page as exclusive to that mapping, in one step. The
    /// caller holds a reference and the page lock.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn get_exclusive(&self, pfn: Pfn) {
        // Relaxed: only the value is needed, and the exchange checks it.
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if old.count() == 0 || old.count() >= Word::COUNT_LIMIT - 1 {
                broken("get on zero", format_args!("page {pfn} has no reference to copy ({old})"));
            }
            let new = old.with(Flags::ANON_EXCLUSIVE).with_count(old.count() + 1);
            // Relaxed: as in `get_more` and in `set`, both of which this step replaces.
            match self.word.compare_exchange_weak(old.0, new.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    reckon::changed(self, old, new);
                    return lives::took(self, 1);
                }
                Err(now) => old = Word(now),
            }
        }
    }

    /// Drops the reference of a mapping that was the only one of the page, takes back the mark that the page
    /// is exclusive to it, and sets `DIRTY` if the mapping was `dirty`, in one step. The caller holds
    /// another reference and the page lock; the page is in no cache.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn put_exclusive(&self, pfn: Pfn, dirty: bool) {
        let set = if dirty { Flags::DIRTY } else { Flags::empty() };
        // Relaxed: only the value is needed, and the exchange checks it.
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if old.count() < 2 {
                broken("put on zero", format_args!("page {pfn} is put by its only user ({old})"));
            }
            let new = old.without(Flags::ANON_EXCLUSIVE).with(set).with_count(old.count() - 1);
            // Release: as in `drop_refs`, which this step replaces, together with `set` and `clear`.
            match self.word.compare_exchange_weak(old.0, new.0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => {
                    reckon::changed(self, old, new);
                    return lives::gave(self, 1);
                }
                Err(now) => old = Word(now),
            }
        }
    }
}
