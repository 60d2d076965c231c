//! The reference count: references taken and dropped, pins, freezes (lifecycle 3.1).

use super::lives;
use super::pfn::Pfn;
use super::reckon;
use super::record::Page;
use super::word::{Flags, Word};
use crate::error::{Errno, Error, Result, Why};
use crate::sync::{Mutation, Ordering, broken, fence, mutated};

/// The number that one pin adds to the count of a page (`GUP_PIN_COUNTING_BIAS`).
pub const PIN: u32 = 1024;

/// The state of a page after references were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The page has other references.
    Live,
    /// The count is zero, and the caller alone is responsible for the page. Holds the word that the
    /// drop found, with a count of zero.
    Last(Word),
}

impl Page {
    /// Takes one more reference for a caller that already has one.
    ///
    /// A count of zero breaks a rule, because the caller's own reference is missing.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn get(&self, pfn: Pfn) {
        self.get_more(pfn, 1);
    }

    /// Takes `n` more references for a caller that already has one.
    ///
    /// A count of zero breaks a rule, as for [`Page::get`].
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn get_more(&self, pfn: Pfn, n: u32) {
        // Relaxed: everything that the caller may read was published before it got its first
        // reference.
        let old = Word(self.word.fetch_add(u64::from(n) << Word::COUNT_SHIFT, Ordering::Relaxed));
        if old.count() == 0 || old.count() >= Word::COUNT_LIMIT - n {
            self.get_failed(pfn, old, n);
        }
        lives::took(self, 1);
    }

    #[cold]
    #[cfg_attr(feature = "explored", track_caller)]
    fn get_failed(&self, pfn: Pfn, old: Word, n: u32) -> ! {
        // Relaxed: the broken rule below stops the run, and no access depends on the repaired
        // count.
        self.word.fetch_sub(u64::from(n) << Word::COUNT_SHIFT, Ordering::Relaxed);
        if old.count() == 0 {
            broken("get on zero", format_args!("page {pfn} has no reference to copy ({old})"))
        }
        broken("reference count overflow", format_args!("page {pfn} ({old})"))
    }

    /// Adds `n` references at once for a user outside of the core (pins, handles). `ENOMEM` if the
    /// count would reach [`Word::OUTSIDE_LIMIT`], as in the kernel's GUP; `EBUSY` if the count is
    /// zero.
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
                    // Acquire on success pairs with the Release of `unfreeze` and of the
                    // allocator's hand-out: a thread that gets a reference sees the fields that
                    // were published before.
                    match self.word.compare_exchange_weak(
                        old.0,
                        old.with_count(count + n).0,
                        Ordering::Acquire,
                        Ordering::Relaxed,
                    ) {
                        Ok(_) => {
                            lives::took(self, n);
                            return Ok(());
                        }
                        Err(now) => old = Word(now),
                    }
                }
            }
        }
    }

    /// Takes a reference for a caller that knows only a frame number (`get_page_unless_zero`).
    /// Returns false if the count is zero (the frame is free or frozen), or at its limit.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn try_get(&self) -> bool {
        // Relaxed: only the value is needed, and the exchange checks it. A refusal reads nothing of the page.
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if old.count() == 0 || old.count() >= Word::COUNT_LIMIT - 1 {
                return false;
            }
            // Acquire: as below. The count may be zero by now, which is the defect.
            if mutated(Mutation::TryGetInTwoSteps) {
                self.word.fetch_add(Word::ONE, Ordering::Acquire);
                return true;
            }
            // Acquire pairs with the Release of `unfreeze`: a thread that gets a page that was just
            // published sees its mapping, index and flags (lifecycle 3.1, pairing 1).
            match self.word.compare_exchange_weak(
                old.0,
                old.0 + Word::ONE,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    lives::took(self, 1);
                    return true;
                }
                Err(_) if mutated(Mutation::TryGetGivesUp) => return false,
                Err(now) => old = Word(now),
            }
        }
    }

    /// Drops `n` references of the caller.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn drop_refs(&self, pfn: Pfn, n: u32) -> Dropped {
        // Release: this holder's accesses to the page happen before the page is freed or frozen. It
        // pairs with the fence in `dropped` and with the Acquire of `freeze`.
        let old = Word(self.word.fetch_sub(u64::from(n) << Word::COUNT_SHIFT, Ordering::Release));
        if mutated(Mutation::LastPutByLook) {
            let now = self.word();
            return if now.count() == 0 { Dropped::Last(now) } else { Dropped::Live };
        }
        self.dropped(pfn, old, n)
    }

    /// Tells whether a drop of `n` references, which found the word `old`, was the last one.
    /// Release designs that drop with another read-modify-write share this function.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn dropped(&self, pfn: Pfn, old: Word, n: u32) -> Dropped {
        lives::gave(self, n);
        let count = old.count();
        if count > n && count < Word::COUNT_LIMIT + PIN {
            return Dropped::Live;
        }
        if count != n {
            // Relaxed: the broken rule below stops the run, and no access depends on the repaired
            // count.
            self.word.fetch_add(u64::from(n) << Word::COUNT_SHIFT, Ordering::Relaxed);
            broken("put on zero", format_args!("page {pfn} lost {n} of {count} references ({old})"));
        }
        // Acquire pairs with the Release of every earlier drop: the accesses of all other holders
        // happen before the page is freed.
        fence(Ordering::Acquire);
        Dropped::Last(old.with_count(0))
    }

    /// Takes the count from exactly `expected` to zero, so that no thread can take a reference
    /// (`folio_ref_freeze`). If others hold references, nothing changes and the error holds the
    /// count.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn freeze(&self, expected: u32) -> Result<(), u32> {
        // Relaxed: only the value is needed, and the exchange checks it. A refusal reads nothing of the page.
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if old.count() != expected {
                return Err(old.count());
            }
            // Release: as below. A reference taken since the load is overwritten, which is the defect.
            if mutated(Mutation::FreezeInTwoSteps) {
                self.word.store(old.with_count(0).0, Ordering::Release);
                return Ok(());
            }
            // AcqRel: Acquire pairs with the Release of the last other holder's drop, so that a
            // test of `DIRTY` after the freeze sees that holder's store (lifecycle 3.1, pairing 2).
            // Release makes this thread's earlier writes visible before the count is seen as zero.
            match self.word.compare_exchange_weak(
                old.0,
                old.with_count(0).0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                // The word has changed since the load, perhaps only in a flag: look again.
                Err(now) => old = Word(now),
            }
        }
    }

    /// Ends a freeze with `count` references. Everything that a new holder may read was written
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

    /// Claims a page for an isolation: clears `LRU` and returns whether it was set. The thread that
    /// clears it owns the page's place on the list.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn test_and_clear_lru(&self) -> bool {
        // AcqRel: Acquire pairs with the unlock of the lruvec lock under which `LRU` was set.
        // Release keeps the taking of the caller's reference before the claim (lifecycle 3.4,
        // isolation against the last put).
        let old = Word(self.word.fetch_and(!Flags::LRU.bits(), Ordering::AcqRel));
        reckon::changed(self, old, old.without(Flags::LRU));
        old.has(Flags::LRU)
    }
}
