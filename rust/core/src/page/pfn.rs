//! Frame numbers.

use std::fmt;

/// A page frame number. Frames of all nodes share one dense range starting at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Pfn(pub u32);

/// The number that stands for the zero page. All address spaces share this page, and it is not a
/// frame of the machine.
pub const ZERO_PAGE: Pfn = Pfn(u32::MAX);

impl Pfn {
    /// The number as an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The frame whose number is higher by `n`.
    #[inline]
    #[must_use]
    pub const fn plus(self, n: u32) -> Pfn {
        Pfn(self.0 + n)
    }
}

impl fmt::LowerHex for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl fmt::Display for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// An optional frame number in four bytes. Zero means no frame, so that a record that was never
/// written to has no links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Link(u32);

impl Link {
    /// No frame.
    pub const NONE: Link = Link(0);

    /// A link to `pfn`.
    #[inline]
    pub const fn to(pfn: Pfn) -> Link {
        Link(pfn.0 + 1)
    }

    /// The frame that the link names.
    #[inline]
    pub const fn pfn(self) -> Option<Pfn> {
        match self.0 {
            0 => None,
            n => Some(Pfn(n - 1)),
        }
    }

    /// The link as a record stores it.
    #[inline]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The link that a record stores as `raw`.
    #[inline]
    pub const fn from_raw(raw: u32) -> Link {
        Link(raw)
    }
}
