//! The reference count: get, try_get, put, freeze, unfreeze, pins (lifecycle 3.1).

use super::{Flags, Page, Pfn, Word};
use crate::error::{Errno, Error, Result, Why};
use crate::sync::{Mutation, Ordering, broken, fence, mutated};

/// What one pin adds to the count of a small page (`GUP_PIN_COUNTING_BIAS`).
pub const PIN: u32 = 1024;

/// What a dropped reference left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Others still hold the page.
    Live,
    /// The count is zero: the caller alone is responsible for the page now. Carries the word as
    /// the drop found it, with the count already taken off.
    Last(Word),
}

impl Page {
    /// One more reference for a caller that already has one.
    ///
    /// Stops on a count of zero: the caller's own reference was not there.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn get(&self, pfn: Pfn) {
        // Relaxed: the caller's reference already orders everything it may look at.
        let old = Word(self.word.fetch_add(Word::ONE, Ordering::Relaxed));
        if old.count() == 0 || old.count() >= Word::COUNT_LIMIT - 1 {
            self.get_failed(pfn, old);
        }
    }

    #[cold]
    #[cfg_attr(feature = "explored", track_caller)]
    fn get_failed(&self, pfn: Pfn, old: Word) -> ! {
        // Relaxed: only repairs the number before stopping.
        self.word.fetch_sub(Word::ONE, Ordering::Relaxed);
        if old.count() == 0 {
            broken("get on zero", format_args!("page {pfn} has no reference to copy ({old})"))
        }
        broken("reference count overflow", format_args!("page {pfn} ({old})"))
    }

    /// `n` references at once for a user outside of the core (pins, handles), refused with `ENOMEM` as
    /// the kernel's GUP does when the count would reach [`Word::OUTSIDE_LIMIT`], and with `EBUSY` on a
    /// count of zero.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn try_add(&self, pfn: Pfn, n: u32) -> Result<()> {
        let mut old = self.word();
        loop {
            match old.count() {
                0 => return Err(Error::at(Errno::EBUSY, pfn, Why::NoReference)),
                count if count >= Word::OUTSIDE_LIMIT - n => {
                    return Err(Error::at(Errno::ENOMEM, pfn, Why::CountLimit { count }));
                }
                count => {
                    // Acquire on success pairs with the Release of `unfreeze` and of the allocator's
                    // hand-out: whoever gets a reference sees the fields published before it.
                    match self.word.compare_exchange_weak(
                        old.0,
                        old.with_count(count + n).0,
                        Ordering::Acquire,
                        Ordering::Relaxed,
                    ) {
                        Ok(_) => return Ok(()),
                        Err(now) => old = Word(now),
                    }
                }
            }
        }
    }

    /// A reference from a bare frame number: fails if the count is zero (free or frozen) or at
    /// its guard. `get_page_unless_zero`.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn try_get(&self) -> bool {
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if old.count() == 0 || old.count() >= Word::COUNT_LIMIT - 1 {
                return false;
            }
            if mutated(Mutation::TryGetInTwoSteps) {
                self.word.fetch_add(Word::ONE, Ordering::Acquire);
                return true;
            }
            // Acquire pairs with the Release of `unfreeze`: mapping, index and flags of a page that
            // was just published are visible to whoever gets it (lifecycle 3.1, pairing 1).
            match self.word.compare_exchange_weak(
                old.0,
                old.0 + Word::ONE,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => old = Word(now),
            }
        }
    }

    /// Drops `n` references of the caller.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn drop_refs(&self, pfn: Pfn, n: u32) -> Dropped {
        // Release: what this holder did to the page happens before whoever frees or freezes it
        // (pairs with the fence below and with the Acquire of `freeze`).
        let old = Word(self.word.fetch_sub(u64::from(n) << Word::COUNT_SHIFT, Ordering::Release));
        if mutated(Mutation::LastPutByLook) {
            let now = self.word();
            return if now.count() == 0 { Dropped::Last(now) } else { Dropped::Live };
        }
        self.dropped(pfn, old, n)
    }

    /// The judgement on a drop of `n` that found `old`; shared with the designs whose drop is
    /// another read-modify-write.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn dropped(&self, pfn: Pfn, old: Word, n: u32) -> Dropped {
        let count = old.count();
        if count > n && count < Word::COUNT_LIMIT + PIN {
            return Dropped::Live;
        }
        if count != n {
            // Relaxed: only repairs the number before stopping.
            self.word.fetch_add(u64::from(n) << Word::COUNT_SHIFT, Ordering::Relaxed);
            broken("put on zero", format_args!("page {pfn} lost {n} of {count} references ({old})"));
        }
        // Acquire pairs with the Release of every earlier drop: all that other holders did to the
        // page happened before it is freed.
        fence(Ordering::Acquire);
        Dropped::Last(old.with_count(0))
    }

    /// Takes the count from exactly `expected` to zero, so that nobody can gain a reference
    /// (`folio_ref_freeze`). Fails, changing nothing, if others hold references.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn freeze(&self, expected: u32) -> Result<(), u32> {
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if old.count() != expected {
                return Err(old.count());
            }
            if mutated(Mutation::FreezeInTwoSteps) {
                self.word.store(old.with_count(0).0, Ordering::Release);
                return Ok(());
            }
            // AcqRel: Acquire pairs with the Release of the last other holder's drop, so that
            // `DIRTY` tested after the freeze has that holder's store (lifecycle 3.1, pairing 2);
            // Release orders our own earlier writes before the page looks free.
            match self.word.compare_exchange_weak(
                old.0,
                old.with_count(0).0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                // A flag changed, not the count: try again.
                Err(now) => old = Word(now),
            }
        }
    }

    /// Ends a freeze with `count` references; everything a new holder may read was written
    /// before.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn unfreeze(&self, pfn: Pfn, count: u32) {
        // Release pairs with the Acquire of `try_get`.
        let old = Word(self.word.fetch_add(u64::from(count) << Word::COUNT_SHIFT, Ordering::Release));
        if old.count() != 0 || count == 0 {
            broken("unfreeze of a live page", format_args!("page {pfn} ({old}) to {count}"));
        }
    }

    /// The isolation claim: clears `LRU` and says whether it was set. Whoever clears it owns the
    /// page's place on the list.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn test_and_clear_lru(&self) -> bool {
        // AcqRel: Acquire pairs with the lruvec unlock after which `LRU` was set; Release keeps the
        // caller's reference (taken before) in front of the claim (lifecycle 3.4, isolate vs last put).
        Word(self.word.fetch_and(!Flags::LRU.bits(), Ordering::AcqRel)).has(Flags::LRU)
    }
}
