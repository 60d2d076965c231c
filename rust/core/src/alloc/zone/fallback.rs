//! Blocks that one migratetype gives to another one, when an allocation finds none of its own
//! (`__rmqueue_fallback`).
//!
//! A fallback mixes pages of different mobility in a pageblock, and one unmovable page is enough to
//! keep the whole pageblock from ever being free again. Therefore an allocation of unmovable pages
//! takes the *largest* block that another type has, and the pageblock changes its type if at least
//! half of it suits the new one: further allocations of the type then come here and do not mix up
//! another pageblock. Movable pages harm no other type, so they take the smallest block that fits, unless
//! the largest one is large enough that its pageblock may change its type.
//!
//! As in kernels since 6.10, a block that is given lies on the list of its pageblock's type, also
//! when the pageblock keeps its type. In older kernels the rest of such a block goes to the lists of
//! the allocation's type.

use super::{MigrateType, Zone};
use crate::page::{Flags, Frames, MAX_ORDER, Pfn};

impl Zone {
    /// Takes a block of 2^`order` frames for pages of a migratetype from the lists of another one.
    #[cold]
    pub(super) fn take_from_others(&mut self, frames: &Frames, order: u8, kind: MigrateType) -> Option<Pfn> {
        let from = kind.fallbacks();
        if from.is_empty() && self.blocks.typed() == 0 {
            return None;
        }
        // The largest block is wanted, so the frames beyond the frontier count, too. Some of them may
        // lie in pageblocks of the wanted type.
        loop {
            if let Some(fit) = self.smallest(kind, order) {
                return Some(self.cut(frames, kind, fit, order));
            }
            if !self.lists_are_empty(from, MAX_ORDER) || !self.grow(frames) {
                break;
            }
        }
        let movable = kind == MigrateType::Movable;
        let largest = (order..=MAX_ORDER).rev().find(|&o| !self.lists_are_empty(from, o))?;
        let steals = self.steals(largest, kind);
        let found = match movable && !steals && largest > order {
            true => (order..=MAX_ORDER).find(|&o| !self.lists_are_empty(from, o))?,
            false => largest,
        };
        let giver = *from.iter().find(|&&giver| !self.is_list_empty(giver, found))?;
        if steals {
            let head = self.lists[giver as usize][found].head().expect("the list was not empty");
            if self.claim(frames, head.0 - self.base.0, found, kind) {
                let fit = self.smallest(kind, order)?;
                return Some(self.cut(frames, kind, fit, order));
            }
        }
        Some(self.cut(frames, giver, found, order))
    }

    /// Returns true if an allocation may try to take the whole pageblock of a block
    /// (`can_steal_fallback`). An allocation of pages that cannot move always tries, so that such pages
    /// gather in few pageblocks.
    fn steals(&self, order: u8, kind: MigrateType) -> bool {
        order >= self.blocks.order() / 2 || kind != MigrateType::Movable
    }

    /// Makes the pageblock of a free block one of `kind`, with all its free blocks, if enough of it
    /// is free or suits the type (`steal_suitable_fallback`). Returns whether it did.
    fn claim(&mut self, frames: &Frames, block: u32, order: u8, kind: MigrateType) -> bool {
        if order >= self.blocks.order() {
            let old = self.blocks.kind_of(block);
            self.unlist(frames, self.base.plus(block), order, old);
            self.retype(block, order, kind);
            self.enlist(frames, self.base.plus(block), order, kind);
            return true;
        }
        let old = self.blocks.kind_of(block);
        let (free, movable) = self.count_pageblock(frames, block);
        let alike = match (kind, old) {
            (MigrateType::Movable, _) => movable,
            // A frame that is neither free nor of a movable page suits a type that cannot move.
            (_, MigrateType::Movable) => (1u32 << self.blocks.order()).saturating_sub(free + movable),
            _ => 0,
        };
        let enough = free + alike >= 1 << (self.blocks.order() - 1);
        if enough {
            self.set_kind(frames, block, kind);
        }
        enough
    }

    /// The free frames and the movable pages of the pageblock that holds a frame. The pages are
    /// looked at without a reference, so the second number is an estimate.
    fn count_pageblock(&self, frames: &Frames, number: u32) -> (u32, u32) {
        let (mut free, mut movable) = (0, 0);
        let range = self.pageblock_range(number);
        let mut at = range.start;
        while at < range.end {
            let page = &frames[self.base.plus(at)];
            let word = page.word();
            let size = if word.has(Flags::BUDDY) { 1u32 << page.order() } else { 1 };
            match word.has(Flags::BUDDY) {
                true => free += size,
                false => movable += u32::from(word.any(Flags::LRU | Flags::MOVABLE)),
            }
            at += size;
        }
        (free, movable)
    }

    fn lists_are_empty(&self, kinds: &[MigrateType], order: u8) -> bool {
        kinds.iter().all(|&kind| self.is_list_empty(kind, order))
    }

    fn is_list_empty(&self, kind: MigrateType, order: u8) -> bool {
        self.lists[kind as usize][order].is_empty()
    }
}
