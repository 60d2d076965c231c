//! Contiguous ranges of frames, emptied of their pages on demand (`alloc_contig_range`), the pools of
//! huge pages that use them, and the pages of the kernel that no range may hold.
//!
//! The buddy allocator hands out blocks of 2^10 frames at most, and only those that happen to be
//! free. A contiguous allocation makes its own room: it names a range, and the pages there have to
//! move.
//!
//! # The steps of an allocation
//!
//! 1. The range has no page that cannot move: otherwise `EBUSY`, with nothing changed.
//! 2. The pageblocks that hold the range are isolated, so that a frame that becomes free stays free.
//! 3. The LRU batches are switched off, and the pages are isolated in batches of 32, the highest frame of a
//!    batch first. Clean pages of disk files are dropped, all others move, to the same node if it has room.
//!    A batch is tried five times.
//! 4. The frames of the range are taken if all of them are free. None lies in a CPU's array: the isolation
//!    has flushed the arrays, and frames of isolated pageblocks that are freed later go past them.
//! 5. The isolation of the pageblocks ends, whatever the result. Frames of the pageblocks that lie outside of
//!    the range can be handed out again.
//!
//! # What can go wrong
//!
//! * The undo forgets a pageblock. Its free frames are never handed out again, and no error tells why.
//! * A page waits in an LRU batch when the range is scanned. The page cannot be isolated, and the range stays
//!   busy. The batches are therefore switched off before the scan.

mod huge;
mod kernel;
pub(crate) mod pool;
mod range;
mod scan;

pub use pool::HugePage;
