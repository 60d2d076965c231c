//! The ways to copy a page. A machine takes the fastest one that the processor has, unless its
//! configuration names another ([`Config::copy`](crate::machine::Config)).
//!
//! | way | loads and stores | where |
//! |---|---|---|
//! | `avx512` | 64 bytes, streaming | x86-64 with AVX-512F |
//! | `avx2` | 32 bytes, streaming | x86-64 with AVX2 |
//! | `sse2` | 16 bytes, streaming | every x86-64 |
//! | `plain` | the compiler's `memcpy` | everywhere |
//!
//! A streaming store does not bring the destination into the cache, where it would push out the
//! source of the next page.

#[cfg(not(any(feature = "explored", loom)))]
mod frame;
#[cfg(not(any(feature = "explored", loom)))]
mod prefetch;
#[cfg(all(target_arch = "x86_64", not(any(feature = "explored", loom))))]
mod stream;

#[cfg(not(any(feature = "explored", loom)))]
pub(super) use frame::{Copier, zero};
#[cfg(not(any(feature = "explored", loom)))]
pub(super) use prefetch::prefetch;

/// A way to copy a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CopyKind {
    /// Streaming stores of 64 bytes.
    Avx512,
    /// Streaming stores of 32 bytes.
    Avx2,
    /// Streaming stores of 16 bytes.
    Sse2,
    /// The compiler's `memcpy`.
    Plain,
}

impl CopyKind {
    /// All ways, the fastest first.
    pub const ALL: [CopyKind; 4] = [CopyKind::Avx512, CopyKind::Avx2, CopyKind::Sse2, CopyKind::Plain];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            CopyKind::Avx512 => "avx512",
            CopyKind::Avx2 => "avx2",
            CopyKind::Sse2 => "sse2",
            CopyKind::Plain => "plain",
        }
    }

    /// Returns true if this processor can copy in this way.
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return match self {
            CopyKind::Avx512 => std::arch::is_x86_feature_detected!("avx512f"),
            CopyKind::Avx2 => std::arch::is_x86_feature_detected!("avx2"),
            CopyKind::Sse2 | CopyKind::Plain => true,
        };
        #[cfg(not(target_arch = "x86_64"))]
        return self == CopyKind::Plain;
    }

    /// The fastest way that this processor has.
    pub fn best() -> CopyKind {
        CopyKind::ALL.into_iter().find(|kind| kind.is_available()).unwrap_or(CopyKind::Plain)
    }
}
