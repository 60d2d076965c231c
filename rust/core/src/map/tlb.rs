//! The TLB model: a flush returns when no thread uses an entry that was replaced before the flush.
//!
//! An access to memory enters a short section of its thread, reads the entry, touches the bytes of
//! at most one page, and leaves. Outside of its sections a thread is quiescent. Inside a section a
//! thread neither sleeps, nor faults, nor calls out. An unmap is complete when no thread is still
//! inside a section that began before the unmap. [`Tlb::flush`] waits for that moment, as a TLB
//! shootdown does.
//!
//! # The fence
//!
//! A thread that enters stores its section word and then loads the entry; an unmap stores the entry
//! and then loads the section words. Both sides store before they load: without a full fence on
//! both, each side may miss the other's store (the Dekker pattern), and a page would be copied
//! while a thread still writes to it. The price is one full fence for each section, some 20 cycles.
//! The alternative is an asymmetric fence, with `membarrier(2)` in the flush and a compiler fence
//! here. Each flush would then cost a few microseconds and an interrupt on every CPU that runs the
//! process. This pays only if flushes are rare.

use super::watch;
use crate::sync::{
    AtomicU32, AtomicU64, MAX_THREADS, Mutation, Ordering, fence, mutated, ops, spin_until, thread_slot,
};
use crossbeam_utils::CachePadded;

/// The section words of all threads: odd while the thread is inside a section, even outside.
#[derive(Debug)]
pub struct Tlb {
    sections: Box<[CachePadded<AtomicU64>]>,
    /// The highest thread slot that has ever entered, plus one: a flush looks at no slot beyond.
    high: AtomicU32,
}

/// A thread's section. Dropping it ends the section.
#[derive(Debug)]
pub struct Section<'a> {
    word: &'a AtomicU64,
    inside: u64,
}

impl Tlb {
    /// Makes a TLB with no thread inside a section.
    #[allow(clippy::new_without_default, reason = "a TLB belongs to a machine, it is not a value")]
    pub fn new() -> Tlb {
        Tlb {
            sections: (0..MAX_THREADS).map(|_| CachePadded::new(AtomicU64::new(0))).collect(),
            high: AtomicU32::new(0),
        }
    }

    /// Names the word at `address` for traces; `None` if it is not a word of the TLB.
    pub fn field_at(&self, address: usize) -> Option<String> {
        if std::ptr::from_ref(&self.high).addr() == address {
            return Some("tlb: threads that ever had a section".into());
        }
        let mut sections = self.sections.iter();
        let slot = sections.position(|section| std::ptr::from_ref(&**section).addr() == address)?;
        Some(format!("tlb section of thread {slot}"))
    }

    /// Begins a section of the calling thread.
    #[inline]
    pub fn enter(&self) -> Section<'_> {
        let slot = thread_slot();
        // Relaxed: with a stale value the thread only announces itself once more.
        if slot as u32 >= self.high.load(Ordering::Relaxed) {
            self.announce(slot as u32 + 1);
        }
        let word = &*self.sections[slot];
        // Relaxed: the word is written by this thread alone.
        let inside = word.load(Ordering::Relaxed) + 1;
        debug_assert!(inside % 2 == 1, "sections do not nest");
        // Release pairs with the Acquire in `flush`. A flusher that waits for an earlier section of
        // this thread may see only that the next section has begun, and must still come after the
        // accesses of the earlier one.
        word.store(inside, Ordering::Release);
        // SeqCst, paired with the fence in `flush`: either the flush sees this thread inside, or this thread
        // sees the new entry.
        if !mutated(Mutation::EnterWithoutFence) {
            fence(Ordering::SeqCst);
        }
        Section { word, inside }
    }

    #[cold]
    fn announce(&self, wanted: u32) {
        // Relaxed: only the number is needed, and the exchange checks it.
        let mut high = self.high.load(Ordering::Relaxed);
        while high < wanted {
            // Relaxed: the fence in `enter` orders this store before the flush's load.
            match self.high.compare_exchange_weak(high, wanted, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => high = now,
            }
        }
    }

    /// Waits until every section that began before this call has ended. Then no thread uses an
    /// entry that was replaced before the call, however many entries were replaced.
    pub fn flush(&self) {
        ops::tlb_flush();
        watch::flushed();
        // SeqCst pairs with the fence in `enter`: a thread that this flush does not see inside sees the
        // new entries.
        fence(Ordering::SeqCst);
        // Relaxed: after the fence, every thread that can still use an old entry has announced
        // itself.
        let high = self.high.load(Ordering::Relaxed) as usize;
        for word in &self.sections[..high] {
            // Acquire pairs with the Release in `Section::drop`, or in the next `enter`: the
            // accesses of the section have ended, and happened before the flusher's next use of the
            // frame.
            let seen = word.load(Ordering::Acquire);
            if seen % 2 == 1 {
                spin_until(word, |now| now != seen);
            }
        }
    }
}

impl Drop for Section<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release pairs with the Acquire in `flush`: the accesses of the section happen before the
        // flusher's next use of the frame.
        self.word.store(self.inside + 1, Ordering::Release);
    }
}
