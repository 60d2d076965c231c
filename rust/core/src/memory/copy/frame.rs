//! Copies and zeroes whole frames. `benches/migrate.rs` compares each way to copy with
//! libc's `memcpy`.

use super::CopyKind;
use crate::page::size::PAGE_SIZE;
use crate::sync::AtomicU64;

/// Fills one frame with zeroes. No other thread uses the frame meanwhile.
#[inline]
pub(in crate::memory) fn zero(frame: &[AtomicU64]) {
    let target: *mut u8 = frame.as_ptr().cast_mut().cast();
    // SAFETY: the range is the frame's own live memory, and no other thread can reach a frame that
    // was just allocated; see `Copier::copy` for writing through a shared reference.
    unsafe { std::ptr::write_bytes(target, 0, size_of_val(frame)) }
}

/// A way to copy that this processor has: `Copier::new` makes no value of another way.
#[derive(Clone, Copy, Debug)]
pub(in crate::memory) struct Copier(CopyKind);

impl Copier {
    /// The way that every processor has.
    pub(in crate::memory) const PLAIN: Copier = Copier(CopyKind::Plain);

    /// Makes the copier of this way; `None` if the processor cannot copy in this way.
    pub(in crate::memory) fn new(kind: CopyKind) -> Option<Copier> {
        kind.is_available().then_some(Copier(kind))
    }

    /// Copies one frame onto another, and starts loading `next`, which is the source of the copy after
    /// this one. No other thread uses `to` or stores to `from` meanwhile (module `memory`).
    ///
    /// The copy is not ordered before later stores: [`Copier::fence`] must come before `to` is
    /// published.
    #[inline]
    pub(in crate::memory) fn copy(self, from: &[AtomicU64], to: &[AtomicU64], next: &[AtomicU64]) {
        assert!(from.len() * 8 == PAGE_SIZE && to.len() * 8 == PAGE_SIZE);
        let source: *const u8 = from.as_ptr().cast();
        let target: *mut u8 = to.as_ptr().cast_mut().cast();
        #[cfg(target_arch = "x86_64")]
        let next: *const u8 = next.as_ptr().cast();
        #[cfg(not(target_arch = "x86_64"))]
        let _ = next;
        // The common part of the proofs below: both ranges are PAGE_SIZE bytes of live, page-aligned
        // memory (asserted, frames are aligned), distinct frames never overlap, and the callers of
        // `Memory::copy_page` guarantee that no other thread accesses the target or stores to the source
        // during the call. The memory is inside atomics, which allow writes through shared references.
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            CopyKind::Avx512 => {
                // SAFETY: the ranges are as above, and `Copier::new` has found AVX-512 in the processor.
                unsafe { super::stream::avx512(source, target, next) }
            }
            #[cfg(target_arch = "x86_64")]
            CopyKind::Avx2 => {
                // SAFETY: the ranges are as above, and `Copier::new` has found AVX2 in the processor.
                unsafe { super::stream::avx2(source, target, next) }
            }
            #[cfg(target_arch = "x86_64")]
            CopyKind::Sse2 => {
                // SAFETY: the ranges are as above, and SSE2 is part of x86-64.
                unsafe { super::stream::sse2(source, target, next) }
            }
            // SAFETY: the ranges are as above.
            _ => unsafe { std::ptr::copy_nonoverlapping(source, target, PAGE_SIZE) },
        }
    }

    /// Orders all earlier copies before all later stores.
    ///
    /// A streaming store is not ordered by a later Release store. Without this fence, a thread that sees
    /// the published page could still read the old content. A plain copy needs none: the Release store
    /// that publishes the page orders it.
    #[inline]
    pub(in crate::memory) fn fence(self) {
        #[cfg(target_arch = "x86_64")]
        if self.0 != CopyKind::Plain {
            // SAFETY: SSE is part of x86-64.
            unsafe { std::arch::x86_64::_mm_sfence() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four frames, which begin at the border of a page as a table's frames do.
    #[repr(C, align(4096))]
    struct Frames([[AtomicU64; PAGE_SIZE / 8]; 4]);

    fn frames() -> Box<Frames> {
        let word = |frame: usize, word: usize| AtomicU64::new((frame << 32 | word) as u64);
        let frame = |frame| std::array::from_fn(|at| word(frame, at));
        Box::new(Frames(std::array::from_fn(frame)))
    }

    fn words(frame: &[AtomicU64]) -> Vec<u64> {
        frame.iter().map(|word| word.load(crate::sync::Ordering::Relaxed)).collect()
    }

    #[test]
    fn each_way_copies_the_whole_frame_and_no_byte_beyond_it() {
        let untouched = frames();
        for copier in CopyKind::ALL.into_iter().filter_map(Copier::new) {
            let Frames([before, target, behind, source]) = &*frames();
            copier.copy(source, target, before);
            copier.fence();
            assert_eq!(words(target), words(&untouched.0[3]), "{copier:?}");
            assert_eq!(words(source), words(&untouched.0[3]), "{copier:?}");
            assert_eq!(words(before), words(&untouched.0[0]), "{copier:?}");
            assert_eq!(words(behind), words(&untouched.0[2]), "{copier:?}");
        }
    }

    #[test]
    fn the_plain_way_is_always_there_and_the_best_one_is_too() {
        assert!(CopyKind::Plain.is_available() && CopyKind::best().is_available());
        assert!(Copier::new(CopyKind::best()).is_some());
    }
}
