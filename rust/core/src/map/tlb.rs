//! The TLB model: when has everybody stopped using an entry that was replaced?
//!
//! An access to memory enters a short section of its thread, reads the entry, touches the bytes of
//! at most one page, and leaves. Outside of sections a thread is quiescent. Inside nobody sleeps,
//! faults or calls out. An unmap is complete when no thread is still inside a section that began
//! before it: that is what [`Tlb::flush`] waits for, and it is the work of a TLB shootdown.
//!
//! # The fence
//!
//! Entering writes the section word and then reads the entry; unmapping writes the entry and then reads
//! the section words. Store before load on both sides: without a full fence on both, each may miss
//! the other's store (the Dekker pattern), and a page would be copied while a thread still writes to
//! it. The cost is one full fence for each section, some 20 cycles. The alternative is an asymmetric
//! one: `membarrier(2)` in the flush, a compiler fence here; it costs the flush a few microseconds and an
//! interrupt on every CPU that runs the process, which pays only if flushes are rare.

use crate::sync::{AtomicU32, AtomicU64, MAX_THREADS, Ordering, fence, spin_until, thread_slot};
use crossbeam_utils::CachePadded;

/// The section words of all threads: odd inside, even outside.
#[derive(Debug)]
pub struct Tlb {
    sections: Box<[CachePadded<AtomicU64>]>,
    /// One more than the highest thread slot that ever entered.
    high: AtomicU32,
}

/// A thread inside its section; leaves when dropped.
#[derive(Debug)]
pub struct Section<'a> {
    word: &'a AtomicU64,
    inside: u64,
}

impl Tlb {
    /// No thread inside.
    #[allow(clippy::new_without_default, reason = "a TLB belongs to a machine, it is not a value")]
    pub fn new() -> Tlb {
        Tlb {
            sections: (0..MAX_THREADS).map(|_| CachePadded::new(AtomicU64::new(0))).collect(),
            high: AtomicU32::new(0),
        }
    }

    /// Which of its words is at `address`, for traces.
    pub fn field_at(&self, address: usize) -> Option<String> {
        if std::ptr::from_ref(&self.high).addr() == address {
            return Some("tlb: threads that ever had a section".into());
        }
        let mut sections = self.sections.iter();
        let slot = sections.position(|section| std::ptr::from_ref(&**section).addr() == address)?;
        Some(format!("tlb section of thread {slot}"))
    }

    /// Begins an access of the calling thread.
    #[inline]
    pub fn enter(&self) -> Section<'_> {
        let slot = thread_slot();
        // Relaxed: a stale value only sends us to `announce` once more.
        if slot as u32 >= self.high.load(Ordering::Relaxed) {
            self.announce(slot as u32 + 1);
        }
        let word = &*self.sections[slot];
        // Relaxed: the word is written by this thread alone.
        let inside = word.load(Ordering::Relaxed) + 1;
        debug_assert!(inside % 2 == 1, "sections do not nest");
        // Release pairs with the Acquire in `flush`: a flusher that waits for an earlier section of this
        // thread may see only that the next one has begun, and must still come after the earlier one's accesses.
        word.store(inside, Ordering::Release);
        // Pairs with the fence in `flush`: either the flush sees us inside, or we see the new entry.
        fence(Ordering::SeqCst);
        Section { word, inside }
    }

    #[cold]
    fn announce(&self, wanted: u32) {
        let mut high = self.high.load(Ordering::Relaxed);
        while high < wanted {
            // Relaxed: ordered before the flush's look by the fence in `enter`.
            match self.high.compare_exchange_weak(high, wanted, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => high = now,
            }
        }
    }

    /// Waits until every section that began before this call has ended. Entries replaced before the
    /// call are then used by nobody. One call serves any number of entries.
    pub fn flush(&self) {
        // Pairs with the fence in `enter`.
        fence(Ordering::SeqCst);
        // Relaxed: after the fence every thread that can still use an old entry has announced itself.
        let high = self.high.load(Ordering::Relaxed) as usize;
        for word in &self.sections[..high] {
            // Acquire pairs with the Release in `Section::drop`, or in the next `enter`: the accesses of the section are over, and
            // happened before whatever the flusher does to the frame.
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
        // Release pairs with the Acquire in `flush`.
        self.word.store(self.inside + 1, Ordering::Release);
    }
}
