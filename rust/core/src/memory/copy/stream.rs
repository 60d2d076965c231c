//! Copies of a page with streaming stores, one function for each width of the processor's registers.
//!
//! Each function prefetches at the distance of one page: with the copy of a line it starts loading the line
//! at the same place of the next source, into the second-level cache. A shorter distance comes too late. A
//! burst of prefetches before the copy, or prefetches into the first-level cache, would fill the line buffers
//! of the processor, and the copy would wait for them.

use super::prefetch::prefetch_second;
use crate::page::size::PAGE_SIZE;
use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_load_si128, _mm_stream_si128, _mm256_load_si256, _mm256_stream_si256,
    _mm512_load_si512, _mm512_stream_si512,
};

/// The bytes of a cache line.
const LINE: usize = 64;
const LINES: usize = PAGE_SIZE / LINE;

/// Copies PAGE_SIZE bytes with stores of 64 bytes, without a fence; `next` is only prefetched.
///
/// # Safety
/// The processor has AVX-512F. `source` and `target` are aligned to 64 bytes and valid for PAGE_SIZE
/// bytes, the ranges do not overlap, and during the call no other thread accesses `target` or stores to
/// `source`.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn avx512(source: *const u8, target: *mut u8, next: *const u8) {
    for line in 0..LINES {
        prefetch_second(next.wrapping_add(line * LINE));
        // SAFETY: the line lies within PAGE_SIZE; alignment and validity are the caller's promise.
        #[allow(clippy::multiple_unsafe_ops_per_block, reason = "one cache line, one proof")]
        unsafe {
            let from = source.add(line * LINE).cast::<__m512i>();
            _mm512_stream_si512(target.add(line * LINE).cast(), _mm512_load_si512(from));
        }
    }
}

/// Copies PAGE_SIZE bytes with stores of 32 bytes, without a fence; `next` is only prefetched.
///
/// # Safety
/// The processor has AVX2. Otherwise as [`avx512`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn avx2(source: *const u8, target: *mut u8, next: *const u8) {
    for line in 0..LINES {
        prefetch_second(next.wrapping_add(line * LINE));
        // SAFETY: as in `avx512`.
        #[allow(clippy::multiple_unsafe_ops_per_block, reason = "one cache line, one proof")]
        unsafe {
            let from = source.add(line * LINE).cast::<__m256i>();
            let to = target.add(line * LINE).cast::<__m256i>();
            let (a, b) = (_mm256_load_si256(from), _mm256_load_si256(from.add(1)));
            _mm256_stream_si256(to, a);
            _mm256_stream_si256(to.add(1), b);
        }
    }
}

/// Copies PAGE_SIZE bytes with stores of 16 bytes, without a fence; `next` is only prefetched.
///
/// # Safety
/// As [`avx512`], but every x86-64 processor has the instructions.
pub(super) unsafe fn sse2(source: *const u8, target: *mut u8, next: *const u8) {
    for line in 0..LINES {
        prefetch_second(next.wrapping_add(line * LINE));
        // SAFETY: as in `avx512`.
        #[allow(clippy::multiple_unsafe_ops_per_block, reason = "one cache line, one proof")]
        unsafe {
            let from = source.add(line * LINE).cast::<__m128i>();
            let to = target.add(line * LINE).cast::<__m128i>();
            let (a, b) = (_mm_load_si128(from), _mm_load_si128(from.add(1)));
            let (c, d) = (_mm_load_si128(from.add(2)), _mm_load_si128(from.add(3)));
            _mm_stream_si128(to, a);
            _mm_stream_si128(to.add(1), b);
            _mm_stream_si128(to.add(2), c);
            _mm_stream_si128(to.add(3), d);
        }
    }
}
