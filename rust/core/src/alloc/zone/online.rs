//! Frames that come to a node and leave it with their memory block.

use super::{MigrateType, Zone};
use crate::page::{Frames, MAX_ORDER};
use std::ops::Range;

impl Zone {
    /// Takes all frames away from a node that was never used, because its memory blocks begin
    /// offline.
    pub(crate) fn withhold(&mut self) {
        self.frontier = self.frames;
        let step = 1usize << self.blocks.order();
        for number in (0..self.frames).step_by(step) {
            self.blocks.set_kind(number, MigrateType::Isolated);
        }
    }

    /// Adds frames that the node did not have, in the largest blocks that are aligned, behind all
    /// other free blocks (`generic_online_page`): memory that has just come is used last, and in
    /// the order of its frames. The pageblocks become movable. The frames of `without` (ascending) are left
    /// out, because they have holders.
    pub(crate) fn add_range(&mut self, frames: &Frames, range: Range<u32>, without: &[u32]) {
        let step = 1usize << self.blocks.order();
        for number in range.clone().step_by(step) {
            self.blocks.set_kind(number, MigrateType::Movable);
        }
        let mut at = range.start;
        while at < range.end {
            let end = without.iter().copied().find(|&held| held >= at).unwrap_or(range.end);
            if end == at {
                at += 1;
                continue;
            }
            let aligned = at.trailing_zeros().min(u32::from(MAX_ORDER)) as u8;
            let order = aligned.min((end - at).ilog2() as u8);
            self.give(frames, self.base.plus(at), order);
            // The block may have merged with its neighbours.
            let (block, whole) = self.block_of(frames, at).expect("the block was just given");
            let kind = self.blocks.kind_of(block);
            self.unlist(frames, self.base.plus(block), whole, kind);
            self.enlist_last(frames, self.base.plus(block), whole, kind);
            at += 1 << order;
        }
    }

    /// Takes the free frames of a range out of the lists for good, and leaves all others as they
    /// are (`__offline_isolated_pages`).
    pub(crate) fn remove_range(&mut self, frames: &Frames, range: Range<u32>) {
        self.grow_past(frames, range.end - 1);
        self.split_at(frames, range.start);
        self.split_at(frames, range.end);
        let mut at = range.start;
        while at < range.end {
            at = match self.block_of(frames, at) {
                Some((block, order)) => {
                    let kind = self.blocks.kind_of(block);
                    self.unlist(frames, self.base.plus(block), order, kind);
                    block + (1 << order)
                }
                None => at + 1,
            };
        }
    }
}
