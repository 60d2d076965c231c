//! The number by which a page's record names its owner.

/// An owner id as a page's record stores it: slot + 1 in the low 24 bits, the generation above
/// them; 0 for no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerId(pub u32);

impl OwnerId {
    const SLOT_BITS: u32 = 24;

    /// The id of no owner.
    pub const NOBODY: OwnerId = OwnerId(0);

    #[inline]
    pub(super) fn new(slot: usize, generation: u8) -> OwnerId {
        OwnerId((slot as u32 + 1) | (u32::from(generation) << Self::SLOT_BITS))
    }

    #[inline]
    pub(super) fn slot(self) -> Option<usize> {
        ((self.0 & ((1 << Self::SLOT_BITS) - 1)) as usize).checked_sub(1)
    }

    #[inline]
    pub(super) fn generation(self) -> u8 {
        (self.0 >> Self::SLOT_BITS) as u8
    }
}
