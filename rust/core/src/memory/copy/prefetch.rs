//! Prefetches of cache lines.

/// Starts loading the cache line at `address` into the second-level cache.
///
/// A prefetch into the first level takes one of the few line buffers of the processor, which the copy's own
/// loads and streaming stores need too.
#[inline]
#[cfg(target_arch = "x86_64")]
pub(in crate::memory) fn prefetch_second(address: *const u8) {
    // SAFETY: a prefetch is a hint and never faults, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(address.cast());
    }
}

/// Starts loading the cache line at `address`.
#[inline]
pub(in crate::memory) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint and never faults, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
