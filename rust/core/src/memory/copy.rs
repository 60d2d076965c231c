//! Copies pages with streaming stores. Ordinary stores would bring the destination into the cache,
//! and push the source of the next page out of it. `benches/migrate.rs` compares the speed with
//! that of libc's `memcpy`.

use crate::page::size::PAGE_SIZE;
use crate::sync::AtomicU64;

/// Starts loading the cache line at `address`.
#[inline]
pub(super) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint and never faults, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Starts loading every cache line of a frame.
#[inline]
pub(super) fn prefetch_frame(frame: &[AtomicU64]) {
    const LINE: usize = 64;
    let base: *const u8 = frame.as_ptr().cast();
    for line in 0..PAGE_SIZE / LINE {
        prefetch(base.wrapping_add(line * LINE));
    }
}

/// Copies one frame onto another. No other thread uses either frame meanwhile (module `memory`).
#[inline]
pub(super) fn copy(from: &[AtomicU64], to: &[AtomicU64]) {
    assert!(from.len() * 8 == PAGE_SIZE && to.len() * 8 == PAGE_SIZE);
    let source: *const u8 = from.as_ptr().cast();
    let target: *mut u8 = to.as_ptr().cast_mut().cast();
    // SAFETY: both ranges are PAGE_SIZE bytes of live, page-aligned memory (asserted, frames are
    // aligned), distinct frames never overlap, and the callers of `Memory::copy_page` guarantee
    // that no other thread accesses either during the call. The memory is inside atomics, which
    // allow writes through shared references.
    unsafe { stream(source, target) }
}

/// Fills one frame with zeroes. No other thread uses the frame meanwhile.
#[inline]
pub(super) fn zero(frame: &[AtomicU64]) {
    let target: *mut u8 = frame.as_ptr().cast_mut().cast();
    // SAFETY: the range is the frame's own live memory, and no other thread can reach a frame that
    // was just allocated; see `copy` for writing through a shared reference.
    unsafe { std::ptr::write_bytes(target, 0, size_of_val(frame)) }
}

/// Copies PAGE_SIZE bytes with streaming stores.
///
/// # Safety
/// Both pointers are aligned to 64 bytes and valid for PAGE_SIZE bytes, the ranges do not overlap,
/// and no other thread accesses them during the call.
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn stream(source: *const u8, target: *mut u8) {
    use std::arch::x86_64::{__m128i, _mm_load_si128, _mm_sfence, _mm_stream_si128};
    const STEP: usize = 64;
    for offset in (0..PAGE_SIZE).step_by(STEP) {
        // SAFETY: `offset + 64` stays within PAGE_SIZE; alignment and validity are the caller's
        // promise. SSE2 is part of x86-64.
        #[allow(clippy::multiple_unsafe_ops_per_block, reason = "one cache line, one proof")]
        unsafe {
            let from = source.add(offset).cast::<__m128i>();
            let to = target.add(offset).cast::<__m128i>();
            let (a, b) = (_mm_load_si128(from), _mm_load_si128(from.add(1)));
            let (c, d) = (_mm_load_si128(from.add(2)), _mm_load_si128(from.add(3)));
            _mm_stream_si128(to, a);
            _mm_stream_si128(to.add(1), b);
            _mm_stream_si128(to.add(2), c);
            _mm_stream_si128(to.add(3), d);
        }
    }
    // Streaming stores are not ordered by a later Release store. Without this fence, a thread that
    // sees the published page could still read the old content.
    //
    // SAFETY: SSE is part of x86-64.
    unsafe { _mm_sfence() }
}

/// Copies PAGE_SIZE bytes.
///
/// # Safety
/// Both pointers are valid for PAGE_SIZE bytes, the ranges do not overlap, and no other thread
/// accesses them during the call.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
unsafe fn stream(source: *const u8, target: *mut u8) {
    // SAFETY: the caller promises what `copy_nonoverlapping` requires.
    unsafe { std::ptr::copy_nonoverlapping(source, target, PAGE_SIZE) }
}
