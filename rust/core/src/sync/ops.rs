//! Operation counts: the numbers that the counting build records for each thread, as plain data.
//!
//! [`Ops`] exists in every build, so that reports have one shape. Only the counting build
//! (`sync/counted.rs`) ever changes its numbers.

pub(crate) mod counts;

pub use counts::{Kind, ListOps, Ops, PagevecInserts};

/// Returns the calling thread's counts so far. All counts are zero except in `mmcore-counted`.
pub fn current() -> Ops {
    #[cfg(all(feature = "counted", not(feature = "explored")))]
    {
        super::counted::current()
    }
    #[cfg(not(all(feature = "counted", not(feature = "explored"))))]
    {
        Ops::default()
    }
}

/// Counts a flush of the TLB in `mmcore-counted`; does nothing in the other builds.
#[inline]
pub(crate) fn tlb_flush() {
    #[cfg(all(feature = "counted", not(feature = "explored")))]
    super::counted::tlb_flush();
}
