//! Attributes of single pages of an area, and the memory policy of a range.

bitflags::bitflags! {
    /// Attributes of one page of an area, whether it is mapped or not.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Attributes: u32 {
        /// The page is unmapped for good: an access gets `EFAULT`.
        const UNMAPPED = 1 << 0;
        /// The page is locked into memory (`mlock`).
        const LOCKED = 1 << 1;
        /// Anonymous pages have existed in the stretch of pages with equal attributes around this
        /// one; see [`Area::note_anon`](super::area::Area::note_anon).
        const HAD_ANON = 1 << 2;
        /// The node that faults allocate from instead of the area's preferred one: [`Policy`] in
        /// eight bits.
        const POLICY = 0xff << 8;
    }
}

/// The node on which faults allocate the pages of a range (`mbind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Pages come from this node and no other (`MPOL_BIND`).
    Bind(usize),
    /// Pages come from this node if it has frames, else from another (`MPOL_PREFERRED`).
    Preferred(usize),
}

impl Policy {
    /// Returns the node that the policy names.
    pub fn node(self) -> usize {
        match self {
            Policy::Bind(node) | Policy::Preferred(node) => node,
        }
    }

    /// Encodes the policy as attribute bits, which are never all zero: zero stands for no policy.
    pub(super) fn attributes(self) -> Attributes {
        let kind = match self {
            Policy::Bind(_) => 0x10,
            Policy::Preferred(_) => 0x20,
        };
        Attributes::from_bits_retain((kind | self.node() as u32) << 8)
    }
}

impl Attributes {
    /// Returns the policy, or `None` if none was set.
    pub fn policy(self) -> Option<Policy> {
        let bits = self.bits() >> 8;
        let node = (bits & 0xf) as usize;
        match bits & 0xf0 {
            0x10 => Some(Policy::Bind(node)),
            0x20 => Some(Policy::Preferred(node)),
            _ => None,
        }
    }
}
