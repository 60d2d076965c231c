//! Page-table entries: their bits, and the meanings of an entry.
//!
//! | bits | present | migration | swap | hwpoison |
//! |---|---|---|---|---|
//! | 0 | 1 | 0 | 0 | 0 |
//! | 1 | writable | was writable | – | – |
//! | 2, 3 | young, dirty (set by the access itself) | was young, dirty | – | – |
//! | 4 | zero page: not counted | – | – | – |
//! | 5 | – | was exclusive | was exclusive | – |
//! | 6, 7 | – | kind 1 | kind 2 | kind 3 |
//! | 8 | the entry's lock | lock | lock | lock |
//! | 32..63 | frame | frame | slot | frame |
//!
//! An all-zero entry maps nothing, so a zeroed table needs no initialisation and costs no memory
//! until its entries are used.
//!
//! The lock bit is the page-table lock, one for each entry. Accesses through a present entry ignore
//! it, as hardware would; faults, unmaps and the reverse map take it.

use crate::page::Pfn;
use std::fmt;

/// The decoded meaning of a page-table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The entry maps nothing.
    None,
    /// A mapped frame. The zero page has `zero` set, and is not counted.
    Present {
        /// The frame.
        pfn: Pfn,
        /// True for the zero page.
        zero: bool,
    },
    /// A page that is being migrated. A fault on this entry waits for the page lock of the source.
    Migration {
        /// The source frame.
        pfn: Pfn,
    },
    /// The page is swapped out.
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
    /// An entry that maps nothing.
    pub const NONE: Pte = Pte(0);
    /// The entry maps a frame.
    pub const PRESENT: u64 = 1 << 0;
    /// Writes are allowed. In a migration entry: writes were allowed before.
    pub const WRITE: u64 = 1 << 1;
    /// An access has used the entry.
    pub const YOUNG: u64 = 1 << 2;
    /// A store has gone through the entry.
    pub const DIRTY: u64 = 1 << 3;
    /// The entry maps the zero page.
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

    /// Makes an entry that maps `pfn`, with `bits` set.
    #[inline]
    pub const fn present(pfn: Pfn, bits: u64) -> Pte {
        Pte(Self::PRESENT | bits | Self::payload(pfn.0))
    }

    /// Makes a migration entry for `pfn`. The entry keeps `bits`, which are some of `WRITE`,
    /// `YOUNG`, `DIRTY` and `EXCLUSIVE`.
    #[inline]
    pub const fn migration(pfn: Pfn, bits: u64) -> Pte {
        Pte(1 << Self::KIND_SHIFT | bits | Self::payload(pfn.0))
    }

    /// Makes a swap entry for `slot`.
    #[inline]
    pub const fn swap(slot: u32, bits: u64) -> Pte {
        Pte(2 << Self::KIND_SHIFT | bits | Self::payload(slot))
    }

    /// Makes a poisoned entry for the bad frame `pfn`.
    #[inline]
    pub const fn hwpoison(pfn: Pfn) -> Pte {
        Pte(3 << Self::KIND_SHIFT | Self::payload(pfn.0))
    }

    /// Decodes the entry.
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

    /// Returns true if all of `bits` are set.
    #[inline]
    pub const fn has(self, bits: u64) -> bool {
        self.0 & bits == bits
    }

    /// Returns the bits of the entry that are in the mask `of`.
    #[inline]
    pub const fn bits(self, of: u64) -> u64 {
        self.0 & of
    }

    /// Returns the entry without its lock bit.
    #[inline]
    #[must_use]
    pub const fn unlocked(self) -> Pte {
        Pte(self.0 & !Self::LOCK)
    }
}

impl Pte {
    /// Returns true for a present mapping of the frame `wanted`; the zero page never counts.
    // The bits that decide are compared in one step, because each walk of the reverse map asks twice.
    #[inline]
    pub fn maps(self, wanted: Pfn) -> bool {
        self.bits(Self::PRESENT | Self::ZERO | Self::payload(u32::MAX)) == Self::present(wanted, 0).0
    }

    /// Returns true for a migration entry whose source is the frame `wanted`.
    #[inline]
    pub fn migrates(self, wanted: Pfn) -> bool {
        self.bits(Self::PRESENT | Self::KIND | Self::payload(u32::MAX)) == Self::migration(wanted, 0).0
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

/// Formats an entry for traces: `page 0x8 write young dirty`, `migration of 0x8`, or `-` if it is
/// empty.
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
