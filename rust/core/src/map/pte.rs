//! A page-table entry.
//!
//! | bits | present | migration | swap | hwpoison |
//! |---|---|---|---|---|
//! | 0 | 1 | 0 | 0 | 0 |
//! | 1 | writable | was writable | – | – |
//! | 2, 3 | young, dirty (set by the access itself) | was young, dirty | – | – |
//! | 4 | zero page: counts nothing | – | – | – |
//! | 5 | – | was exclusive | was exclusive | – |
//! | 6, 7 | – | kind 1 | kind 2 | kind 3 |
//! | 8 | the entry's lock | lock | lock | lock |
//! | 32..63 | frame | frame | slot | frame |
//!
//! All-zero is "nothing mapped", so tables cost nothing until they are used.
//!
//! The lock bit is the page-table lock, one for each entry. Accesses through a present entry do not
//! look at it (hardware would not either); faults, unmaps and the reverse map take it.

use crate::page::Pfn;
use std::fmt;

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    None,
    /// A frame; `zero` for the zero page, which is not counted.
    Present {
        /// The frame.
        pfn: Pfn,
        /// Is this the zero page?
        zero: bool,
    },
    /// A page that is being migrated: whoever needs it waits for its page lock.
    Migration {
        /// The source frame.
        pfn: Pfn,
    },
    /// Swapped out.
    Swap {
        /// The swap slot.
        slot: u32,
    },
    /// The frame is bad: an access gets SIGBUS.
    Hwpoison {
        /// The bad frame.
        pfn: Pfn,
    },
}

/// The value of a page-table entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Pte(pub u64);

impl Pte {
    /// Nothing mapped.
    pub const NONE: Pte = Pte(0);
    /// Maps a frame.
    pub const PRESENT: u64 = 1 << 0;
    /// Writes are allowed (or were, in a migration entry).
    pub const WRITE: u64 = 1 << 1;
    /// Accessed.
    pub const YOUNG: u64 = 1 << 2;
    /// Written to.
    pub const DIRTY: u64 = 1 << 3;
    /// Maps the zero page.
    pub const ZERO: u64 = 1 << 4;
    /// A migration or swap entry of an exclusive anonymous page.
    pub const EXCLUSIVE: u64 = 1 << 5;
    const KIND_SHIFT: u32 = 6;
    const KIND: u64 = 0b11 << Self::KIND_SHIFT;
    /// The entry's lock.
    pub const LOCK: u64 = 1 << 8;
    const PAYLOAD_SHIFT: u32 = 32;

    #[inline]
    const fn payload(value: u32) -> u64 {
        (value as u64) << Self::PAYLOAD_SHIFT
    }

    /// Maps `pfn` with the given bits.
    #[inline]
    pub const fn present(pfn: Pfn, bits: u64) -> Pte {
        Pte(Self::PRESENT | bits | Self::payload(pfn.0))
    }

    /// A migration entry for `pfn`; `bits` of `WRITE`, `YOUNG`, `DIRTY`, `EXCLUSIVE` are remembered.
    #[inline]
    pub const fn migration(pfn: Pfn, bits: u64) -> Pte {
        Pte(1 << Self::KIND_SHIFT | bits | Self::payload(pfn.0))
    }

    /// A swap entry.
    #[inline]
    pub const fn swap(slot: u32, bits: u64) -> Pte {
        Pte(2 << Self::KIND_SHIFT | bits | Self::payload(slot))
    }

    /// A poisoned entry.
    #[inline]
    pub const fn hwpoison(pfn: Pfn) -> Pte {
        Pte(3 << Self::KIND_SHIFT | Self::payload(pfn.0))
    }

    /// What the entry says.
    #[inline]
    pub const fn entry(self) -> Entry {
        let payload = (self.0 >> Self::PAYLOAD_SHIFT) as u32;
        if self.0 & Self::PRESENT != 0 {
            return Entry::Present { pfn: Pfn(payload), zero: self.0 & Self::ZERO != 0 };
        }
        match (self.0 & Self::KIND) >> Self::KIND_SHIFT {
            1 => Entry::Migration { pfn: Pfn(payload) },
            2 => Entry::Swap { slot: payload },
            3 => Entry::Hwpoison { pfn: Pfn(payload) },
            _ => Entry::None,
        }
    }

    /// Are all these bits set?
    #[inline]
    pub const fn has(self, bits: u64) -> bool {
        self.0 & bits == bits
    }

    /// The remembered bits among `WRITE`, `YOUNG`, `DIRTY`, `EXCLUSIVE`.
    #[inline]
    pub const fn bits(self, of: u64) -> u64 {
        self.0 & of
    }

    /// Without the lock bit.
    #[inline]
    #[must_use]
    pub const fn unlocked(self) -> Pte {
        Pte(self.0 & !Self::LOCK)
    }
}

impl fmt::Debug for Pte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |bit, letter| if self.has(bit) { letter } else { "" };
        write!(
            f,
            "{:?}[{}{}{}{}{}]",
            self.entry(),
            flag(Self::WRITE, "w"),
            flag(Self::YOUNG, "a"),
            flag(Self::DIRTY, "d"),
            flag(Self::EXCLUSIVE, "e"),
            flag(Self::LOCK, "L"),
        )
    }
}

/// For traces: `page 0x8 write young dirty`, `migration of 0x8`, `-` for nothing.
impl fmt::Display for Pte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry() {
            Entry::None => f.write_str("-")?,
            Entry::Present { zero: true, .. } => f.write_str("zero page")?,
            Entry::Present { pfn, .. } => write!(f, "page {pfn}")?,
            Entry::Migration { pfn } => write!(f, "migration of {pfn}")?,
            Entry::Swap { slot } => write!(f, "swap slot {slot}")?,
            Entry::Hwpoison { pfn } => write!(f, "poison of {pfn}")?,
        }
        let named = [
            (Self::WRITE, " write"),
            (Self::YOUNG, " young"),
            (Self::DIRTY, " dirty"),
            (Self::EXCLUSIVE, " exclusive"),
            (Self::LOCK, " locked"),
        ];
        named.iter().filter(|(bit, _)| self.has(*bit)).try_for_each(|(_, name)| f.write_str(name))
    }
}
