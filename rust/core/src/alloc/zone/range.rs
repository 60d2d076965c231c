//! Pageblocks as a whole: changes their type with all their free blocks, and takes a range of free
//! frames out of the lists.

use super::{MigrateType, Zone};
use crate::page::{Flags, Frames, Pfn};
use std::ops::Range;

impl Zone {
    /// The frames of the pageblock that holds a frame, by their numbers within the node. The last
    /// pageblock may be shorter than the others.
    pub(crate) fn pageblock_range(&self, number: u32) -> Range<u32> {
        let first = number >> self.blocks.order() << self.blocks.order();
        first..self.frames.min(first + (1 << self.blocks.order()))
    }

    /// Makes the pageblock that holds a frame one of `kind`; its free blocks go to the lists of that
    /// type (`move_freepages_block`). A free block that reaches beyond the pageblock is split first.
    pub(crate) fn set_kind(&mut self, frames: &Frames, number: u32, kind: MigrateType) {
        let range = self.pageblock_range(number);
        let old = self.blocks.kind_of(number);
        if old == kind {
            return;
        }
        if range.start >= self.frontier {
            // The frames are on no list, so only the type changes.
            self.blocks.set_kind(number, kind);
            let size = range.end - range.start;
            self.isolated_ahead -= if old == MigrateType::Isolated { size } else { 0 };
            self.isolated_ahead += if kind == MigrateType::Isolated { size } else { 0 };
            return;
        }
        self.grow_past(frames, range.end - 1);
        self.split_at(frames, range.start);
        self.split_at(frames, range.end);
        let mut listed = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let size = match self.block_of(frames, at) {
                Some((block, order)) => {
                    self.unlist(frames, self.base.plus(block), order, old);
                    listed.push((block, order));
                    1 << order
                }
                None => 1,
            };
            at += size;
        }
        self.blocks.set_kind(number, kind);
        for (block, order) in listed {
            // A block as large as the pageblock may merge with its neighbours from now on. After an
            // isolation it merges as if it were freed, otherwise only with neighbours of its type.
            let across = old == MigrateType::Isolated;
            match order >= self.blocks.order() {
                true => {
                    self.listed += 1 << order;
                    self.merge_pageblocks(frames, block, order, kind, across);
                }
                // The blocks come to the end of their list, in the order of their frames, and are handed out
                // last (`move_to_free_list`; o7004/19).
                false => self.enlist_last(frames, self.base.plus(block), order, kind),
            }
        }
    }

    /// Splits the free block that reaches across a frame's lower border, if there is one.
    pub(super) fn split_at(&mut self, frames: &Frames, number: u32) {
        if number >= self.frontier {
            return;
        }
        while let Some((block, order)) = self.block_of(frames, number)
            && block < number
        {
            let kind = self.blocks.kind_of(block);
            self.unlist(frames, self.base.plus(block), order, kind);
            self.enlist(frames, self.base.plus(block + (1 << (order - 1))), order - 1, kind);
            self.enlist(frames, self.base.plus(block), order - 1, kind);
        }
    }

    /// The first frame of a range that is not free, or `None` if all are.
    pub(crate) fn first_in_use(&self, frames: &Frames, range: Range<u32>) -> Option<u32> {
        let mut at = range.start;
        while at < range.end.min(self.frontier) {
            match self.block_of(frames, at) {
                Some((block, order)) => at = block + (1 << order),
                None => return Some(at),
            }
        }
        None
    }

    /// Takes a range of free frames out of the lists. If some are not free, nothing is taken, and the
    /// error is the first of them.
    pub(crate) fn take_range(&mut self, frames: &Frames, range: Range<u32>) -> Result<(), u32> {
        if let Some(used) = self.first_in_use(frames, range.clone()) {
            return Err(used);
        }
        if range.is_empty() {
            return Ok(());
        }
        self.grow_past(frames, range.end - 1);
        self.split_at(frames, range.start);
        self.split_at(frames, range.end);
        let mut at = range.start;
        while at < range.end {
            let (block, order) = self.block_of(frames, at).expect("the frames are free");
            let kind = self.blocks.kind_of(block);
            self.unlist(frames, self.base.plus(block), order, kind);
            at = block + (1 << order);
        }
        Ok(())
    }

    /// The order of the free block that begins at a frame, or `None` if no free block does
    /// (`PageBuddy`, `buddy_order`). A frame beyond the frontier is looked at by its number alone, so
    /// that a scan of a large node does not touch the records of frames that were never used.
    pub(crate) fn free_block_at(&self, frames: &Frames, number: u32) -> Option<u8> {
        if number < self.frontier {
            let page = &frames[self.base.plus(number)];
            return page.word().has(Flags::BUDDY).then(|| page.order());
        }
        self.block_ahead(number).and_then(|(first, order, _)| (first == number).then_some(order))
    }

    /// Takes a whole free block out of the lists for compaction (`__isolate_free_page`). Its frames
    /// belong to the caller, with the count zero. Returns false if the node's free memory would fall
    /// to its lowest watermark. An unmovable or reclaimable pageblock of which at least half is taken
    /// becomes movable, because most of its pages will be.
    pub(crate) fn isolate_free_block(&mut self, frames: &Frames, number: u32, order: u8) -> bool {
        if self.free() <= self.watermarks.min + (1 << order) {
            return false;
        }
        self.grow_past(frames, number);
        let kind = self.blocks.kind_of(number);
        self.unlist(frames, self.base.plus(number), order, kind);
        if order + 1 >= self.blocks.order() {
            let size = 1usize << self.blocks.order();
            for block in (number..number + (1 << order)).step_by(size) {
                if matches!(kind, MigrateType::Unmovable | MigrateType::Reclaimable) {
                    self.set_kind(frames, block, MigrateType::Movable);
                }
            }
        }
        true
    }

    /// Takes the free block that a frame lies in out of the lists, if it has exactly this order and is for
    /// movable pages (`compaction_capture`).
    pub(crate) fn take_exactly(&mut self, frames: &Frames, pfn: Pfn, order: u8) -> Option<Pfn> {
        let (block, found) = self.block_of(frames, self.number(pfn))?;
        let kind = self.blocks.kind_of(block);
        if found != order || kind != MigrateType::Movable {
            return None;
        }
        let head = self.base.plus(block);
        self.unlist(frames, head, order, kind);
        Some(head)
    }

    /// The number of pageblocks that are one free block, or part of a larger one.
    pub(crate) fn free_pageblocks(&self) -> u32 {
        let order = self.blocks.order();
        let whole = |o: u8| if o >= order { 1u32 << (o - order) } else { 0 };
        let listed: u32 =
            self.lists.iter().flat_map(|lists| lists.each()).map(|(o, list)| list.len() * whole(o)).sum();
        listed + ((self.frames - self.frontier) >> order)
    }

    /// The number of a frame within the node.
    #[inline]
    pub(crate) fn number(&self, pfn: Pfn) -> u32 {
        pfn.0 - self.base.0
    }
}
