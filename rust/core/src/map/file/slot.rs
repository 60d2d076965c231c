//! One slot of a page cache.
//!
//! | low bits | rest | meaning |
//! |---|---|---|
//! | 0 | 0 | nothing |
//! | 1 | frame in bits 32..63 | a page; the slot holds a reference |

use crate::page::Pfn;

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Nothing.
    Empty,
    /// A page, with a reference.
    Page(Pfn),
}

const PAGE: u64 = 1;
const FRAME_SHIFT: u32 = 32;

impl Slot {
    /// As it is stored.
    #[inline]
    pub(super) fn word(self) -> u64 {
        match self {
            Slot::Empty => 0,
            Slot::Page(pfn) => PAGE | u64::from(pfn.0) << FRAME_SHIFT,
        }
    }

    /// As it was stored.
    #[inline]
    pub(super) fn from_word(word: u64) -> Slot {
        match word {
            0 => Slot::Empty,
            word => Slot::Page(Pfn((word >> FRAME_SHIFT) as u32)),
        }
    }

    /// The page, if there is one.
    #[inline]
    pub(crate) fn page(self) -> Option<Pfn> {
        match self {
            Slot::Page(pfn) => Some(pfn),
            Slot::Empty => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_reads_back_as_it_was_stored() {
        for slot in [Slot::Empty, Slot::Page(Pfn(0)), Slot::Page(Pfn(1)), Slot::Page(Pfn((1 << 28) - 1))] {
            assert_eq!(Slot::from_word(slot.word()), slot);
        }
    }
}
