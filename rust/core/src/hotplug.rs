//! Memory blocks that are taken offline and put online while the machine runs
//! (`mm/memory_hotplug.c`).
//!
//! A node is divided into memory blocks, of 128 MiB if the machine is built with no other size. A
//! block that is online belongs to a zone: the kernel's, where any page may be, or that of movable
//! pages. A block that is offline has no page and no free frame.
//!
//! # The steps of an offlining
//!
//! 1. The CPUs' arrays of free frames and the LRU batches are switched off and emptied, for the whole
//!    operation. A frame in an array is neither free nor in use, and a page in a batch cannot be isolated.
//! 2. In the kernel's zone, a page that cannot move ends the operation: `EBUSY`, with nothing changed.
//! 3. The pageblocks are isolated, so that a frame that becomes free stays free.
//! 4. The pages that can move go to *another* node, even if this one has room; to the same node only if no
//!    other has memory. Pages that did not move are put back, and the block is scanned again.
//! 5. Huge pages of the pool that nobody uses are dissolved.
//! 6. All frames are free or poisoned: they leave the node. Otherwise step 4 is repeated.
//!
//! The kernel repeats steps 4 to 6 until a signal arrives. A pinned page therefore keeps an offlining
//! running for ever; here the caller says how many rounds to wait for the signal.
//!
//! # What can go wrong
//!
//! * A frame is freed into a CPU's array after the array was emptied. Nothing leads to it there, so the block
//!   never becomes free. Hence the arrays are switched off and not just drained (kernel ec6e8c7e0314).
//! * A frame is poisoned between the test and the removal. The test, the removal and the books of memory
//!   failure change together, under the mutex of memory failure.
//! * A poisoned frame still has other holders: shared memory keeps a lost page in its cache, so that a later
//!   access is told of the loss. The block goes offline all the same, as in the kernel. The holders put their
//!   references later, so the frame's record stays as it is, and so does the reference of memory failure: no
//!   put is the last one. If the block comes online again while there are such holders, the frame is left
//!   out; handed out anew it would have two users (kernels before 6.2 do hand it out).

pub(crate) mod blocks;
mod offline;
mod online;

pub use blocks::{BLOCK_FRAMES, BlockState, Blocks, ZoneKind};

use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;
use std::ops::Range;

impl<R: Release> Machine<R> {
    /// The frames of a memory block. `EINVAL` if there is no such node or block.
    pub fn memory_block(&self, node: usize, block: u32) -> Result<Range<Pfn>> {
        let Some(found) = self.nodes.get(node) else {
            return Err(Error::new(Errno::EINVAL, format!("no node {node}")));
        };
        let Some(range) = found.blocks.range(block) else {
            let (frames, size, count) = (found.frames, found.blocks.size(), found.blocks.count());
            let what = match count {
                0 => format!(
                    "node {node} has no memory block: its {frames} frames are fewer than the {size} of a block; \
                     build the machine with smaller blocks"
                ),
                _ => format!("node {node} has no memory block {block}: its blocks are 0 to {}", count - 1),
            };
            return Err(Error::new(Errno::EINVAL, what));
        };
        Ok(found.base.plus(range.start)..found.base.plus(range.end))
    }

    /// The state of a memory block. `EINVAL` if there is no such node or block.
    pub fn block_state(&self, node: usize, block: u32) -> Result<BlockState> {
        self.memory_block(node, block)?;
        Ok(self.nodes[node].blocks.state(block).unwrap_or(BlockState::Offline))
    }

    /// The zones that a memory block may have, the one of a plain `online` first. A block that is
    /// online has its own zone only (`valid_zones`). `EINVAL` if there is no such node or block.
    pub fn valid_zones(&self, node: usize, block: u32) -> Result<Vec<ZoneKind>> {
        Ok(match (self.block_state(node, block)?, self.default_zone(node, block)) {
            (BlockState::Online(zone), _) => vec![zone],
            (BlockState::Offline, ZoneKind::Kernel) => vec![ZoneKind::Kernel, ZoneKind::Movable],
            (BlockState::Offline, ZoneKind::Movable) => vec![ZoneKind::Movable, ZoneKind::Kernel],
        })
    }

    /// The zone of a block that comes online when the caller names none: the zone that spans it, if
    /// that is one zone only, and else the kernel's (`default_zone_for_pfn`).
    fn default_zone(&self, node: usize, block: u32) -> ZoneKind {
        let blocks = &self.nodes[node].blocks;
        let spans = |zone| blocks.span(zone).is_some_and(|(first, last)| (first..=last).contains(&block));
        match (spans(ZoneKind::Kernel), spans(ZoneKind::Movable)) {
            (false, true) => ZoneKind::Movable,
            _ => ZoneKind::Kernel,
        }
    }
}
