//! The fragmentation of a node's free memory, and the compaction state of the node.

use super::{MigrateType, Zone};
use crate::alloc::watermark::Watermarks;
use crate::compact::state::Remembered;
use crate::page::MAX_ORDER;

impl Zone {
    /// The compaction state of this node: scanner positions and deferral.
    pub(crate) fn compaction(&self) -> &Remembered {
        &self.compaction
    }

    /// The compaction state of this node, to be changed.
    pub(crate) fn compaction_mut(&mut self) -> &mut Remembered {
        &mut self.compaction
    }

    /// Sets the skip hint of the pageblock that holds a frame.
    pub(crate) fn set_skip(&mut self, number: u32) {
        self.blocks.set_skip(number);
    }

    /// Sets the skip hint of the pageblock that holds a frame, and returns whether it was set before.
    pub(crate) fn test_and_set_skip(&mut self, number: u32) -> bool {
        let skips = self.blocks.skips(number);
        self.blocks.set_skip(number);
        skips
    }

    /// Clears all skip hints if a direct run has scanned to its end since the last time
    /// (`__reset_isolation_suitable`), and lets the next run begin at the borders.
    pub(crate) fn reset_skip_hints(&mut self) {
        if !std::mem::take(&mut self.compaction.flush) {
            return;
        }
        self.blocks.clear_skips();
        let order = self.blocks.order();
        self.compaction.reset_positions(self.frames, order);
        self.compaction.cleared = true;
    }

    /// The free frames that allocations and compaction leave in the node.
    pub(crate) fn watermarks(&self) -> Watermarks {
        self.watermarks
    }

    /// Sets the watermarks.
    pub(crate) fn set_watermarks(&mut self, watermarks: Watermarks) {
        self.watermarks = watermarks;
    }

    /// The number of compactions that wait for a block of this node in a slot.
    #[inline]
    pub(crate) fn captures(&self) -> u32 {
        self.captures
    }

    /// Counts a compaction that begins to wait for a block (1), or that waits no longer (-1).
    pub(crate) fn count_captures(&mut self, sign: i32) {
        self.captures = self.captures.wrapping_add_signed(sign);
    }

    /// Returns true if an allocation of 2^`order` frames for this migratetype would find a block, of
    /// its own type or of another one that it may claim whole.
    pub(crate) fn would_serve(&self, order: u8, kind: MigrateType) -> bool {
        let claims = order >= self.blocks.order() / 2;
        let serves = |of: MigrateType| of == kind || (claims && kind.fallbacks().contains(&of));
        MigrateType::ALL.into_iter().any(|of| serves(of) && self.smallest(of, order).is_some())
            || self.blocks_ahead().any(|(ahead, of)| ahead >= order && serves(of))
    }

    /// Returns true if an allocation of 2^`order` frames would find a block, and would leave as many frames
    /// free as the lowest watermark demands (`zone_watermark_ok`).
    pub(crate) fn has_block(&self, order: u8, kind: MigrateType) -> bool {
        self.free() >= self.watermarks.min + (1 << order) && self.would_serve(order, kind)
    }

    /// The number of free blocks of each order, without those of isolated pageblocks.
    fn free_blocks(&self) -> [u32; MAX_ORDER as usize + 1] {
        let mut blocks = [0; MAX_ORDER as usize + 1];
        for kind in MigrateType::ALL.into_iter().filter(|&kind| kind != MigrateType::Isolated) {
            for (order, list) in self.lists[kind as usize].each() {
                blocks[order as usize] += list.len();
            }
        }
        for (order, _) in self.blocks_ahead().filter(|&(_, kind)| kind != MigrateType::Isolated) {
            blocks[order as usize] += 1;
        }
        blocks
    }

    /// Free frames, free blocks, and how many blocks of 2^`order` frames they hold.
    fn contiguous(&self, order: u8) -> (u64, u64, u64) {
        let (mut frames, mut total, mut suitable) = (0, 0, 0);
        for (of, &count) in self.free_blocks().iter().enumerate() {
            frames += u64::from(count) << of;
            total += u64::from(count);
            if of >= usize::from(order) {
                suitable += u64::from(count) << (of - usize::from(order));
            }
        }
        (frames, total, suitable)
    }

    /// The reason why an allocation of 2^`order` frames would fail, in thousandths: towards 0 for lack of
    /// memory, towards 1000 because the free memory is in pieces; -1000 if the allocation would not fail
    /// (`fragmentation_index`).
    pub(crate) fn fragmentation_index(&self, order: u8) -> i32 {
        let (frames, total, suitable) = self.contiguous(order);
        match (total, suitable) {
            (0, _) => 0,
            (_, 0) => 1000 - ((1000 + ((frames * 1000) >> order)) / total) as i32,
            _ => -1000,
        }
    }

    /// The share of the free memory that lies in blocks smaller than 2^`order` frames, in thousandths;
    /// all of it if nothing is free (`unusable_free_index`).
    pub(crate) fn unusable_index(&self, order: u8) -> u32 {
        let (frames, _, suitable) = self.contiguous(order);
        match frames {
            0 => 1000,
            _ => ((frames - (suitable << order)) * 1000 / frames) as u32,
        }
    }

    /// The share of the free memory that lies in blocks smaller than 2^`order` frames, in percent; 0 if
    /// nothing is free (`extfrag_for_order`).
    pub(crate) fn fragmentation_score(&self, order: u8) -> u32 {
        let (frames, _, suitable) = self.contiguous(order);
        match frames {
            0 => 0,
            _ => ((frames - (suitable << order)) * 100 / frames) as u32,
        }
    }
}
