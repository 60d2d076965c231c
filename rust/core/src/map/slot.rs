//! One slot of a cache: either a slot of a file's page cache, or a slot of the swap cache.
//!
//! | low bits | rest | meaning | in |
//! |---|---|---|---|
//! | 0 | 0 | nothing | both |
//! | 1 | frame in bits 32..63 | a page; the slot holds a reference | both |
//! | 2 | node in bits 8..15, bit 16: page was in the working set, tier in bits 17..18, age in bits 32..63 | a shadow, left by an eviction | both |
//! | 3 | swap slot in bits 32..63 | the page is in the swap space | page cache of memory file systems |
//! | 4 | 0 | the content is being read into a page that is not cached | swap cache |

use crate::lru::shadow::Shadow;
use crate::page::Pfn;

/// The value of a cache slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The slot is empty.
    Empty,
    /// A cached page, on which the slot holds a reference.
    Page(Pfn),
    /// No page, but the shadow that the page's eviction left.
    Shadow(Shadow),
    /// No page: its content is in this swap slot, which counts the cache slot as an entry.
    Swap(u32),
    /// A thread reads the swap slot's content into a page that is not cached. Other threads wait
    /// until the read has ended.
    Reading,
}

const PAGE: u64 = 1;
const SHADOW: u64 = 2;
const SWAP: u64 = 3;
const READING: u64 = 4;
const KIND: u64 = 0b111;
const NODE_SHIFT: u32 = 8;
const WORKINGSET: u64 = 1 << 16;
const TIER_SHIFT: u32 = 17;
const PAYLOAD_SHIFT: u32 = 32;

impl Slot {
    /// Encodes the slot as the word that is stored.
    #[inline]
    pub(super) fn word(self) -> u64 {
        match self {
            Slot::Empty => 0,
            Slot::Page(pfn) => PAGE | u64::from(pfn.0) << PAYLOAD_SHIFT,
            Slot::Shadow(Shadow { age, node, workingset, tier }) => {
                let workingset = if workingset { WORKINGSET } else { 0 };
                let what = u64::from(node) << NODE_SHIFT | workingset | u64::from(tier) << TIER_SHIFT;
                SHADOW | what | u64::from(age) << PAYLOAD_SHIFT
            }
            Slot::Swap(slot) => SWAP | u64::from(slot) << PAYLOAD_SHIFT,
            Slot::Reading => READING,
        }
    }

    /// Decodes a stored word.
    #[inline]
    pub(super) fn from_word(word: u64) -> Slot {
        let payload = (word >> PAYLOAD_SHIFT) as u32;
        match word & KIND {
            PAGE => Slot::Page(Pfn(payload)),
            SHADOW => Slot::Shadow(Shadow {
                age: payload,
                node: (word >> NODE_SHIFT) as u8,
                workingset: word & WORKINGSET != 0,
                tier: (word >> TIER_SHIFT & 0b11) as u8,
            }),
            SWAP => Slot::Swap(payload),
            READING => Slot::Reading,
            _ => Slot::Empty,
        }
    }

    /// Returns the cached page, or `None` if the slot holds no page.
    #[inline]
    pub(crate) fn page(self) -> Option<Pfn> {
        match self {
            Slot::Page(pfn) => Some(pfn),
            _ => None,
        }
    }

    /// Returns the shadow that an eviction left, or `None`.
    #[inline]
    pub(crate) fn shadow(self) -> Option<Shadow> {
        match self {
            Slot::Shadow(shadow) => Some(shadow),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_reads_back_as_it_was_stored() {
        let shadow = |age, node, workingset, tier| Slot::Shadow(Shadow { age, node, workingset, tier });
        for slot in [
            Slot::Empty,
            Slot::Page(Pfn(0)),
            Slot::Page(Pfn((1 << 28) - 1)),
            Slot::Swap(0),
            Slot::Swap(u32::MAX),
            Slot::Reading,
            shadow(0, 0, false, 0),
            shadow(u32::MAX, 7, true, 3),
        ] {
            assert_eq!(Slot::from_word(slot.word()), slot);
        }
    }
}
