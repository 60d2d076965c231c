//! The frame allocator: a buddy allocator per node, an array of free frames per CPU and node in
//! front of it (lifecycle 10).
//!
//! # Where a free frame can be
//!
//! ```text
//!             refill (batch)              hand_out: count 0 -> 1
//!   buddy  ------------------>  per-CPU  ------------------------>  allocated
//!   lists  <------------------  array    <------------------------
//!     |        flush (batch)               last put, order 0
//!     +--- frontier: frames never used yet, handed to the lists one maximal block at a time, so
//!          that a large machine costs nothing until it is used
//! ```
//!
//! Orders above 0 bypass the per-CPU arrays. The kernel also keeps orders 1 to 3 and 9 there.
//!
//! # Pageblocks
//!
//! A node is divided into pageblocks of 512 frames (the profile's `pageblock_order`). Each has a
//! migratetype, by which its free blocks are listed: one page that cannot move keeps its whole
//! pageblock from ever being free, so such pages are gathered in few pageblocks. The arrays of the
//! CPUs hold frames of movable pageblocks only, and all other allocations go past them. An isolated
//! pageblock's free frames stay on lists of their own: they are not handed out, not counted as free,
//! and do not merge with frames of other pageblocks.
//!
//! # What can go wrong
//!
//! * A frame is poisoned while it lies in a per-CPU array. The frame must not be handed out, although it is
//!   on no list from which it could be removed. The atomic operation that gives the frame its first reference
//!   makes the last check ([`Page::hand_out`](crate::page::Page::hand_out)).
//! * A node's lists run empty while free frames lie in the arrays of other CPUs. An allocation that looked at
//!   the lists alone would fail although memory is free. The arrays are flushed once before an allocation
//!   fails, as direct reclaim does with `drain_all_pages`.
//! * A block holds a poisoned frame. The block cannot be handed out, but its good frames go back to the lists
//!   one by one; otherwise one bad frame would cost the whole block.
//! * A drain reads an array's count without the array's lock. The count can miss frames that a refill is
//!   adding at that moment, and the drain skips an array that is not empty (kernel 66eca1021a42). The count
//!   is therefore read under the lock.

pub(crate) mod capture;
mod frames;
mod isolate;
pub(crate) mod pageblock;
pub(crate) mod pages;
pub(crate) mod pcp;
pub(crate) mod watermark;
pub(crate) mod zone;

pub use pageblock::{MigrateType, PageBlocks};
pub use pcp::Pcp;
pub use watermark::Watermarks;
pub use zone::Zone;
