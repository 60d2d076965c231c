//! The 64-bit page word: flags below, reference count on top.
//!
//! | bits | what |
//! |---|---|
//! | 0..=31 | flags, see [`Flags`]: who sets which, under which lock |
//! | 32..=34 | generation + 1 of the multi-generational policy, 0 when on no such list |
//! | 35..=36 | accesses through files beyond the first (`REFERENCED`), of the same policy |
//! | 37..=63 | reference count, 27 bits |
//!
//! The count sits on top so that an overflow or underflow carries out of the word and never
//! reaches a flag; it is guarded far from its end (see [`Word::COUNT_LIMIT`]) and stops with an
//! error.

use std::fmt;

bitflags::bitflags! {
    /// The flags of a page, under the kernel's names.
    ///
    /// | flag | set by (lock) | cleared by (lock) |
    /// |---|---|---|
    /// | `LOCKED` | lock, trylock | unlock |
    /// | `WAITERS` | a sleeper that found the page locked | the waker, under the wait queue's lock |
    /// | `LRU` | adding to a list (lruvec) | isolation claims it with one atomic; last put (lruvec) |
    /// | `ACTIVE` | activation (lruvec), refault, local add batch | deactivation (lruvec), isolator |
    /// | `UNEVICTABLE` | adding (lruvec) | adding, last put (lruvec) |
    /// | `ISOLATED` | core after the owner's isolate said yes (page lock) | core (page lock) |
    /// | `MOVABLE` | owner at insertion (page lock) | owner (page lock), or the free path under the designs that look |
    /// | `HWPOISON` | memory failure, without any lock | unpoison; outlives the page's life |
    /// | `REFUSED` | the free path and the allocator, with a count of zero | unpoison, or the failure that holds the frame |
    /// | `BUDDY` | entering a free list (zone lock) | leaving it (zone lock) |
    /// | `ANON` | first mapping; with the owner slot | free path |
    /// | `ANON_EXCLUSIVE` | fault, copy (page-table lock) | fork, unmap (page-table lock) |
    /// | `HEAD`, `TAIL` | allocation of a large page | free, split (frozen) |
    /// | the rest | see lifecycle 1.3 | |
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Flags: u64 {
        /// The page lock.
        const LOCKED = 1 << 0;
        /// Somebody sleeps on the page lock.
        const WAITERS = 1 << 1;
        /// On an LRU list.
        const LRU = 1 << 2;
        /// Belongs on an active list.
        const ACTIVE = 1 << 3;
        /// Accessed since last looked at.
        const REFERENCED = 1 << 4;
        /// Was active once; its refault tells of thrashing.
        const WORKINGSET = 1 << 5;
        /// Belongs on the unevictable list.
        const UNEVICTABLE = 1 << 6;
        /// Mapped into a locked area.
        const MLOCKED = 1 << 7;
        /// Newer than its backing store.
        const DIRTY = 1 << 8;
        /// Being written to its backing store.
        const WRITEBACK = 1 << 9;
        /// Content is valid.
        const UPTODATE = 1 << 10;
        /// `private` belongs to the file (buffers); holds a reference.
        const PRIVATE = 1 << 11;
        /// Backed by swap: belongs on the anon lists.
        const SWAPBACKED = 1 << 12;
        /// In the swap cache; holds a reference.
        const SWAPCACHE = 1 << 13;
        /// To be reclaimed when writeback ends.
        const RECLAIM = 1 << 14;
        /// A movable page that a migration has isolated.
        const ISOLATED = 1 << 15;
        /// Outside the LRU, with an owner that can move it.
        const MOVABLE = 1 << 16;
        /// Never to be touched (the zero page).
        const RESERVED = 1 << 17;
        /// The frame is bad.
        const HWPOISON = 1 << 18;
        /// An I/O error was seen (6.1; the flag is gone in 6.12).
        const ERROR = 1 << 19;
        /// Owned by an anonymous mapping.
        const ANON = 1 << 20;
        /// This anonymous page belongs to one process alone.
        const ANON_EXCLUSIVE = 1 << 21;
        /// Head of a large page.
        const HEAD = 1 << 22;
        /// Tail of a large page.
        const TAIL = 1 << 23;
        /// Head of a free block in the buddy lists.
        const BUDDY = 1 << 24;
        /// File blocks are allocated on disk.
        const MAPPEDTODISK = 1 << 25;
        /// File system's own mark (exported as `OWNER_PRIVATE`).
        const OWNER_PRIVATE = 1 << 26;
        /// Some base page of this large page is poisoned.
        const HAS_HWPOISONED = 1 << 27;
        /// Not yet looked at by idle tracking.
        const IDLE = 1 << 28;
        /// Seen young by idle tracking.
        const YOUNG = 1 << 29;
        /// Belongs to a file (owner slot is a file's).
        const FILE = 1 << 30;
        /// A poisoned frame that the allocator has refused: its count is zero and it is on no list. Whoever
        /// takes the poison off gives it back.
        const REFUSED = 1 << 31;
    }
}

impl Flags {
    /// Must be clear when the last reference goes (lifecycle 1.3, "checked at free").
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
    /// Lowest bit of the count.
    pub const COUNT_SHIFT: u32 = 37;
    /// One reference.
    pub const ONE: u64 = 1 << Self::COUNT_SHIFT;
    /// The guard: no operation raises a count to this value or beyond. Half of what the field
    /// can hold, so that every thread may overshoot once before it steps back.
    pub const COUNT_LIMIT: u32 = 1 << 26;
    /// References from outside the core (pins, handles) stop here, whoever has the others. What the core takes for
    /// itself (entries, batches, isolations) has the other half, so that no user can bring it to its guard.
    pub const OUTSIDE_LIMIT: u32 = Self::COUNT_LIMIT / 2;
    /// References of entries stop here: so many areas of base pages can share a page ([`Areas`](crate::map::Areas)).
    /// With those from outside this leaves 2^20 to what the core takes for moments.
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

    /// Are all of `flags` set?
    #[inline]
    pub const fn has(self, flags: Flags) -> bool {
        self.0 & flags.bits() == flags.bits()
    }

    /// Is any of `flags` set?
    #[inline]
    pub const fn any(self, flags: Flags) -> bool {
        self.0 & flags.bits() != 0
    }

    /// The list generation, if the page is on a generation's list.
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

    /// Accesses through files beyond the first.
    #[inline]
    pub const fn more_accesses(self) -> u8 {
        ((self.0 & Self::ACCESSES_MASK) >> Self::ACCESSES_SHIFT) as u8
    }

    /// The same word with one access through a file more, as far as they are counted.
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

    /// The same word without any access.
    #[inline]
    #[must_use]
    pub const fn without_accesses(self) -> Word {
        Word(self.0 & !Self::ACCESSES_MASK).without(Flags::REFERENCED)
    }

    /// log2 of the accesses, 3 for a page of the working set.
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
