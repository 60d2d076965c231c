//! The 64-bit page word: the flags in the low bits, the reference count in the high bits.
//!
//! | bits | what |
//! |---|---|
//! | 0..=31 | flags; [`Flags`] tells which code sets each, and under which lock |
//! | 32..=34 | generation + 1 of the multi-generational LRU; 0 for a page on no generation's list |
//! | 35..=36 | the number of accesses through a file after the first one, which sets `REFERENCED`; for the multi-generational LRU |
//! | 37..=63 | reference count, 27 bits |
//!
//! The count is in the highest bits, so that the carry of an overflow or underflow is lost and never
//! changes a flag. Its limit is half of what the bits can hold ([`Word::COUNT_LIMIT`]); an operation that
//! would reach the limit fails or breaks a rule.

use std::fmt;

bitflags::bitflags! {
    /// The flags of a page, under the kernel's names.
    ///
    /// | flag | set by (lock) | cleared by (lock) |
    /// |---|---|---|
    /// | `LOCKED` | lock, trylock | unlock |
    /// | `WAITERS` | a sleeper that found the page locked or under write-back | the waker, under the wait queue's lock |
    /// | `LRU` | adding to a list (lruvec) | the claim of an isolation, in one atomic operation; last put (lruvec) |
    /// | `ACTIVE` | activation (lruvec), refault, local add batch | deactivation (lruvec), isolator |
    /// | `UNEVICTABLE` | adding (lruvec) | adding, last put (lruvec) |
    /// | `ISOLATED` | the core, after the owner's isolate succeeded (page lock) | the core (page lock) |
    /// | `MOVABLE` | owner at insertion (page lock) | owner (page lock); the free path, in profiles whose mark stays until the page is freed, and in release designs whose put looks for movable pages |
    /// | `HWPOISON` | memory failure, under its mutex alone | unpoison; outlives the page's life |
    /// | `REFUSED` | the free path and the allocator, with a count of zero | unpoison, or memory failure when it takes its reference on the frame |
    /// | `BUDDY` | entering a free list (zone lock) | leaving it (zone lock) |
    /// | `ANON` | first mapping, together with the owner's slot | free path |
    /// | `ANON_EXCLUSIVE` | fault, copy (page-table lock) | fork, unmap (page-table lock) |
    /// | `HEAD`, `TAIL` | allocation of a large page | free, split (frozen) |
    /// | all others | see lifecycle 1.3 | |
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Flags: u64 {
        /// The page lock.
        const LOCKED = 1 << 0;
        /// A thread sleeps on the page lock or on a write-back.
        const WAITERS = 1 << 1;
        /// The page is on an LRU list.
        const LRU = 1 << 2;
        /// The page belongs on an active list.
        const ACTIVE = 1 << 3;
        /// The page was accessed since the last scan.
        const REFERENCED = 1 << 4;
        /// The page was active once, so that its refault is a sign of thrashing.
        const WORKINGSET = 1 << 5;
        /// The page belongs on the unevictable list.
        const UNEVICTABLE = 1 << 6;
        /// The page is mapped into a locked area.
        const MLOCKED = 1 << 7;
        /// The content is newer than the backing store's.
        const DIRTY = 1 << 8;
        /// The content is being written to the backing store.
        const WRITEBACK = 1 << 9;
        /// The content is valid.
        const UPTODATE = 1 << 10;
        /// The file has attached private data (buffers) to the page, and holds a reference for it.
        const PRIVATE = 1 << 11;
        /// The page is backed by swap, and belongs on the anonymous lists.
        const SWAPBACKED = 1 << 12;
        /// The page is in the swap cache, which holds a reference.
        const SWAPCACHE = 1 << 13;
        /// The page is to be reclaimed when its write-back ends. On the first tail of a large page
        /// the flag has another meaning, see `large`.
        const RECLAIM = 1 << 14;
        /// The page is movable, and isolated from its owner.
        const ISOLATED = 1 << 15;
        /// The page is outside the LRU, and its owner can move it.
        const MOVABLE = 1 << 16;
        /// The page must never be freed or moved (the zero page).
        const RESERVED = 1 << 17;
        /// The frame is bad.
        const HWPOISON = 1 << 18;
        /// An I/O error was seen (in 6.1; kernel 6.12 has no such flag).
        const ERROR = 1 << 19;
        /// The page is owned by an anonymous mapping.
        const ANON = 1 << 20;
        /// The page is anonymous and belongs to one process alone.
        const ANON_EXCLUSIVE = 1 << 21;
        /// The frame is the head of a large page.
        const HEAD = 1 << 22;
        /// The frame is a tail of a large page.
        const TAIL = 1 << 23;
        /// The frame is the first one of a free block in the buddy allocator.
        const BUDDY = 1 << 24;
        /// The file's blocks for the page are allocated on the disk.
        const MAPPEDTODISK = 1 << 25;
        /// The file system's own mark (shown as `OWNER_PRIVATE`).
        const OWNER_PRIVATE = 1 << 26;
        /// A base page of this large page is poisoned.
        const HAS_HWPOISONED = 1 << 27;
        /// The page was not accessed since idle tracking marked it.
        const IDLE = 1 << 28;
        /// Idle tracking has seen an access that reclaim has not seen.
        const YOUNG = 1 << 29;
        /// The page belongs to a file: the field `owner` of its record names the file's slot.
        const FILE = 1 << 30;
        /// The frame is poisoned and the allocator has refused it: its count is zero and it is on
        /// no list. The thread that clears the poison gives the frame back.
        const REFUSED = 1 << 31;
    }
}

impl Flags {
    /// The flags that must be clear when the last reference is dropped (lifecycle 1.3, "checked at
    /// free").
    pub const CHECK_AT_FREE: Flags = Flags::LOCKED
        .union(Flags::LRU)
        .union(Flags::ACTIVE)
        .union(Flags::WRITEBACK)
        .union(Flags::PRIVATE)
        .union(Flags::SWAPCACHE)
        .union(Flags::UNEVICTABLE)
        .union(Flags::RESERVED)
        .union(Flags::ISOLATED)
        .union(Flags::BUDDY);
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        for (i, (name, _)) in self.iter_names().enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { "|" })?;
        }
        Ok(())
    }
}

/// One value of the page word.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Word(pub u64);

impl Word {
    /// The lowest bit of the count.
    pub const COUNT_SHIFT: u32 = 37;
    /// One reference.
    pub const ONE: u64 = 1 << Self::COUNT_SHIFT;
    /// The limit of a count. An operation that would raise a count to this value fails or breaks a rule.
    /// `Page::get` adds before it checks, so each thread may exceed the limit once before it takes its
    /// reference back. The limit is therefore half of what the bits can hold.
    pub const COUNT_LIMIT: u32 = 1 << 26;
    /// The limit for references from outside the core (pins, handles), compared with the whole count: half
    /// of `COUNT_LIMIT`. The other half is for the core's references (entries, batches, isolations), so
    /// that no user can make the core reach `COUNT_LIMIT`.
    pub const OUTSIDE_LIMIT: u32 = Self::COUNT_LIMIT / 2;
    /// The most references that entries may hold on one page, and so the most areas of base pages that can
    /// share the page ([`Areas`](crate::map::Areas)). This limit and `OUTSIDE_LIMIT` leave 2^20 references
    /// for those that the core holds for a moment.
    pub const MAPPED_LIMIT: u32 = Self::COUNT_LIMIT - Self::OUTSIDE_LIMIT - (1 << 20);
    const _ROOM: () = assert!(Self::OUTSIDE_LIMIT + Self::MAPPED_LIMIT + (1 << 20) <= Self::COUNT_LIMIT);
    const GEN_SHIFT: u32 = 32;
    const GEN_MASK: u64 = 0b111 << Self::GEN_SHIFT;
    const ACCESSES_SHIFT: u32 = 35;
    const ACCESSES_MASK: u64 = 0b11 << Self::ACCESSES_SHIFT;

    /// The reference count.
    #[inline]
    pub const fn count(self) -> u32 {
        (self.0 >> Self::COUNT_SHIFT) as u32
    }

    /// The flags.
    #[inline]
    pub const fn flags(self) -> Flags {
        Flags::from_bits_truncate(self.0)
    }

    /// True if all of `flags` are set.
    #[inline]
    pub const fn has(self, flags: Flags) -> bool {
        self.0 & flags.bits() == flags.bits()
    }

    /// True if any of `flags` is set.
    #[inline]
    pub const fn any(self, flags: Flags) -> bool {
        self.0 & flags.bits() != 0
    }

    /// The generation on whose list the page is; `None` if it is on no such list.
    #[inline]
    pub const fn generation(self) -> Option<u8> {
        match ((self.0 & Self::GEN_MASK) >> Self::GEN_SHIFT) as u8 {
            0 => None,
            n => Some(n - 1),
        }
    }

    /// The same word on the list of a generation, or on none.
    #[inline]
    #[must_use]
    pub const fn with_generation(self, generation: Option<u8>) -> Word {
        let bits = match generation {
            Some(generation) => (generation as u64 + 1) << Self::GEN_SHIFT,
            None => 0,
        };
        Word(self.0 & !Self::GEN_MASK | bits)
    }

    /// The number of accesses through a file that followed the first one, at most three.
    #[inline]
    pub const fn more_accesses(self) -> u8 {
        ((self.0 & Self::ACCESSES_MASK) >> Self::ACCESSES_SHIFT) as u8
    }

    /// The same word with one more access through a file. Up to four accesses are counted.
    #[inline]
    #[must_use]
    pub const fn with_access(self) -> Word {
        if !self.has(Flags::REFERENCED) {
            return self.with(Flags::REFERENCED);
        }
        match self.more_accesses() {
            3 => self,
            _ => Word(self.0 + (1 << Self::ACCESSES_SHIFT)),
        }
    }

    /// The word with no access counted and without `REFERENCED`.
    #[inline]
    #[must_use]
    pub const fn without_accesses(self) -> Word {
        Word(self.0 & !Self::ACCESSES_MASK).without(Flags::REFERENCED)
    }

    /// The tier of the page: 0 to 2 by the number of accesses, 3 for a page of the working set.
    #[inline]
    pub const fn tier(self) -> usize {
        match (self.has(Flags::WORKINGSET), self.more_accesses()) {
            (true, _) => 3,
            (false, 0) => 0,
            (false, 1) => 1,
            (false, _) => 2,
        }
    }

    /// The same word with another count.
    #[inline]
    #[must_use]
    pub const fn with_count(self, count: u32) -> Word {
        Word(self.0 & (Self::ONE - 1) | (count as u64) << Self::COUNT_SHIFT)
    }

    /// The same word with `flags` set.
    #[inline]
    #[must_use]
    pub const fn with(self, flags: Flags) -> Word {
        Word(self.0 | flags.bits())
    }

    /// The same word with `flags` clear.
    #[inline]
    #[must_use]
    pub const fn without(self, flags: Flags) -> Word {
        Word(self.0 & !flags.bits())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count(), self.flags())
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn count_and_flags_do_not_touch_each_other(bits in 0u64..1 << 37, count in 0u32..1 << 27) {
            let word = Word(bits).with_count(count);
            prop_assert_eq!(word.count(), count);
            prop_assert_eq!(word.flags(), Flags::from_bits_truncate(bits));
            prop_assert_eq!(word.with_count(0).0, bits);
            let moved = word.with_generation(Some(2)).with_access();
            prop_assert_eq!((moved.count(), moved.generation()), (count, Some(2)));
            let gone = moved.with_generation(None).without_accesses();
            prop_assert_eq!((gone.count(), gone.generation(), gone.tier() % 3), (count, None, 0));
            prop_assert_eq!(gone.flags(), word.flags() - Flags::REFERENCED);
        }
    }

    #[test]
    fn an_underflow_never_reaches_a_flag() {
        let word = Word(Flags::all().bits());
        let below = Word(word.0.wrapping_sub(Word::ONE));
        assert_eq!(below.flags(), Flags::all());
        assert!(below.count() >= Word::COUNT_LIMIT);
    }
}
