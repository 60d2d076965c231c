//! The slot in which a compaction catches the block that it makes (`struct capture_control`).
//!
//! A compaction for an allocation frees the pages of a block one after the other. Without a slot the
//! finished block would lie on the free lists for a moment, where another thread takes it and the work is
//! lost. Each CPU has one slot: a block that is completed by a free on this CPU goes there. The kernel has
//! a slot for each task, which frees in interrupts on the task's CPU fill, too; here the other threads of a
//! CPU stand for the interrupts.
//!
//! # What can go wrong
//!
//! * The compaction looks into the slot, finds it empty, and then takes the slot away. A free in between
//!   fills the slot, and the block belongs to no thread any more (bug 27). So looking and taking away are
//!   one step.

use crate::page::Pfn;
use crate::sync::{AtomicU64, Mutation, Ordering, mutated};

/// The slot holds a block.
const FILLED: u64 = 1 << 16;

/// A CPU's slot, in one word. The word is 0 while no compaction on this CPU waits for a block. While one
/// waits, the word holds the wanted order plus 1, the node, a bit that says whether a freed page has
/// completed a block, and that block's frame number.
#[derive(Debug)]
pub struct Capture(AtomicU64);

fn wanted(node: usize, order: u8) -> u64 {
    (u64::from(order) + 1) | (node as u64) << 8
}

impl Capture {
    /// A slot that no compaction looks at.
    pub fn new() -> Capture {
        Capture(AtomicU64::new(0))
    }

    /// Offers the slot to frees on this CPU. Returns false if another compaction has offered it.
    pub(crate) fn offer(&self, node: usize, order: u8) -> bool {
        // Relaxed: the word says all that there is to know of the request. The freeing thread that reads
        // it fills the slot by an exchange, which fails if the request is gone.
        self.0.compare_exchange(0, wanted(node, order), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The order that a compaction of this node wants, if it has no block yet.
    pub(super) fn order_for(&self, node: usize) -> Option<u8> {
        // Relaxed: a free that misses a new request lists its block as before. `fill` checks the word again.
        let word = self.0.load(Ordering::Relaxed);
        (word != 0 && word & FILLED == 0 && (word >> 8 & 0xff) as usize == node)
            .then(|| (word as u8).wrapping_sub(1))
    }

    /// Puts a block into the slot. Returns false if no compaction wants it any more.
    pub(super) fn fill(&self, node: usize, order: u8, block: Pfn) -> bool {
        let now = wanted(node, order);
        let filled = now | FILLED | u64::from(block.0) << 32;
        // Relaxed: the caller holds the zone lock, under which it has changed the record of the block. The
        // compaction takes the zone lock before it uses the block.
        self.0.compare_exchange(now, filled, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// True if there is a block in the slot.
    pub(crate) fn is_filled(&self) -> bool {
        // Relaxed: a compaction that misses the block scans on; `take_away` finds the block.
        self.0.load(Ordering::Relaxed) & FILLED != 0
    }

    /// Takes the slot away, with the block in it.
    pub(crate) fn take_away(&self) -> Option<Pfn> {
        let word = match mutated(Mutation::CaptureReadEarly) {
            true => {
                // Relaxed, twice: as in the swap below. A free between the two steps is the defect.
                let seen = self.0.load(Ordering::Relaxed);
                self.0.store(0, Ordering::Relaxed);
                seen
            }
            // Relaxed: as in `fill`. One step, so that no free fills a slot that was read as empty.
            false => self.0.swap(0, Ordering::Relaxed),
        };
        (word & FILLED != 0).then_some(Pfn((word >> 32) as u32))
    }

    /// True if `address` is that of the slot, for traces.
    pub fn is_at(&self, address: usize) -> bool {
        std::ptr::from_ref(&self.0).addr() == address
    }
}

impl Default for Capture {
    fn default() -> Self {
        Capture::new()
    }
}
