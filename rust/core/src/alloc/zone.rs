//! The buddy allocator of one node.

use crate::page::{Flags, Frames, List, MAX_ORDER, Pfn};
use crate::sync::broken;

/// The free blocks of a node. Lives under the node's zone lock.
///
/// Numbers are relative to the node's first frame, so that a node may start anywhere: the buddy of
/// block `n` of order `k` is `n xor 2^k`.
#[derive(Clone, Debug, Hash)]
pub struct Zone {
    base: Pfn,
    frames: u32,
    lists: [List; MAX_ORDER as usize + 1],
    /// Relative number of the first frame that never was on a list. Frames from here on are free and
    /// their records untouched.
    frontier: u32,
    /// Free frames on the lists.
    listed: u32,
}

impl Zone {
    /// A node of `frames` frames from `base`, all free.
    pub fn new(base: Pfn, frames: u32) -> Zone {
        Zone { base, frames, lists: [List::EMPTY; MAX_ORDER as usize + 1], frontier: 0, listed: 0 }
    }

    /// Free frames (`nr_free_pages`).
    pub fn free(&self) -> u32 {
        self.listed + (self.frames - self.frontier)
    }

    /// Relative number of the first frame that was never used.
    pub fn frontier(&self) -> u32 {
        self.frontier
    }

    /// The free blocks, as (head, order); for audits.
    pub fn blocks<'a>(&'a self, frames: &'a Frames) -> impl Iterator<Item = (Pfn, u8)> + 'a {
        self.lists
            .iter()
            .enumerate()
            .flat_map(move |(order, list)| list.iter(frames).map(move |pfn| (pfn, order as u8)))
    }

    /// Frames that the lists count; for audits.
    pub fn listed(&self) -> u32 {
        self.listed
    }

    /// What is wrong with a block on the list of `order`, if anything; for audits.
    pub fn misplaced(&self, frames: &Frames, pfn: Pfn, order: u8) -> Option<&'static str> {
        let block = pfn.0.wrapping_sub(self.base.0);
        let size = 1u32 << order;
        let buddy = block ^ size;
        if block >= self.frontier || self.frontier - block < size {
            return Some("it does not lie in its node");
        }
        if block & (size - 1) != 0 {
            return Some("it is not aligned");
        }
        if !self.is_free_block(frames, block, order) {
            return Some("its record does not say so");
        }
        let merges = order < MAX_ORDER && buddy + size <= self.frontier;
        (merges && self.is_free_block(frames, buddy, order)).then_some("its buddy is free too")
    }

    /// Takes a block of exactly 2^`order` frames: the smallest that fits, split as needed; its
    /// lower half is kept each time.
    pub fn take(&mut self, frames: &Frames, order: u8) -> Option<Pfn> {
        let found = loop {
            let fit = (order..=MAX_ORDER).find(|&o| !self.lists[o as usize].is_empty());
            match fit {
                Some(fit) => break fit,
                None if self.grow(frames) => {}
                None => return None,
            }
        };
        let pfn = self.lists[found as usize].head().expect("the list was not empty");
        self.unlist(frames, pfn, found);
        for half in (order..found).rev() {
            self.enlist(frames, pfn.plus(1 << half), half);
        }
        Some(pfn)
    }

    /// Gives a block back and merges it with its free buddies.
    pub fn give(&mut self, frames: &Frames, pfn: Pfn, order: u8) {
        let mut block = pfn.0 - self.base.0;
        let mut order = order;
        if frames[pfn].word().has(Flags::BUDDY) {
            broken("double free", format_args!("page {pfn} is in the buddy lists"));
        }
        while let Some(buddy) = self.free_buddy(frames, block, order) {
            self.unlist(frames, self.base.plus(buddy), order);
            block &= buddy;
            order += 1;
        }
        match self.merges_soon(frames, block, order) {
            true => self.enlist_last(frames, self.base.plus(block), order),
            false => self.enlist(frames, self.base.plus(block), order),
        }
    }

    /// The buddy of a block, if it is free and as large, so that the two are one.
    fn free_buddy(&self, frames: &Frames, block: u32, order: u8) -> Option<u32> {
        let (buddy, size) = (block ^ (1 << order), 1 << order);
        let free =
            order < MAX_ORDER && buddy + size <= self.frontier && self.is_free_block(frames, buddy, order);
        free.then_some(buddy)
    }

    /// Will a block merge twice over as soon as its buddy, which is in use, comes back (`buddy_merge_likely`)? Then it is
    /// handed out last, and left alone meanwhile. Of the two largest orders nobody asks.
    fn merges_soon(&self, frames: &Frames, block: u32, order: u8) -> bool {
        let pair = block & !(1 << order);
        order + 1 < MAX_ORDER && self.free_buddy(frames, pair, order + 1).is_some()
    }

    /// Is the frame free, in whatever block (`is_free_buddy_page`)?
    pub(super) fn holds(&self, frames: &Frames, pfn: Pfn) -> bool {
        let number = pfn.0 - self.base.0;
        number >= self.frontier || self.block_of(frames, number).is_some()
    }

    /// Takes one free frame out of the block that it is part of, whose other frames stay free
    /// (`take_page_off_buddy`). False if it is not free.
    pub(super) fn take_frame(&mut self, frames: &Frames, pfn: Pfn) -> bool {
        let number = pfn.0 - self.base.0;
        // What was never used is free too: it gets its place on the lists first.
        while number >= self.frontier {
            self.grow(frames);
        }
        let Some((block, order)) = self.block_of(frames, number) else { return false };
        self.unlist(frames, self.base.plus(block), order);
        let mut block = block;
        for half in (0..order).rev() {
            let upper = block + (1 << half);
            let (keep, give) = if number >= upper { (upper, block) } else { (block, upper) };
            self.enlist(frames, self.base.plus(give), half);
            block = keep;
        }
        true
    }

    /// The free block that a frame below the frontier is part of, and its order.
    fn block_of(&self, frames: &Frames, number: u32) -> Option<(u32, u8)> {
        (0..=MAX_ORDER).find_map(|order| {
            let block = number & !((1u32 << order) - 1);
            self.is_free_block(frames, block, order).then_some((block, order))
        })
    }

    fn is_free_block(&self, frames: &Frames, block: u32, order: u8) -> bool {
        let page = &frames[self.base.plus(block)];
        page.word().has(Flags::BUDDY) && page.order() == order
    }

    /// Puts the next never-used block on the lists: the largest that is aligned and fits.
    fn grow(&mut self, frames: &Frames) -> bool {
        let left = self.frames - self.frontier;
        if left == 0 {
            return false;
        }
        let aligned = self.frontier.trailing_zeros().min(u32::from(MAX_ORDER)) as u8;
        let order = aligned.min(left.ilog2() as u8);
        let pfn = self.base.plus(self.frontier);
        self.frontier += 1 << order;
        self.enlist(frames, pfn, order);
        true
    }

    /// Puts a block on its list, to be taken first.
    fn enlist(&mut self, frames: &Frames, pfn: Pfn, order: u8) {
        self.mark(frames, pfn, order);
        self.lists[order as usize].push_head(frames, pfn);
    }

    /// Puts a block on its list, to be taken last.
    fn enlist_last(&mut self, frames: &Frames, pfn: Pfn, order: u8) {
        self.mark(frames, pfn, order);
        self.lists[order as usize].push_tail(frames, pfn);
    }

    fn mark(&mut self, frames: &Frames, pfn: Pfn, order: u8) {
        frames[pfn].set_extra(order, 0);
        frames[pfn].set(Flags::BUDDY);
        self.listed += 1 << order;
    }

    fn unlist(&mut self, frames: &Frames, pfn: Pfn, order: u8) {
        self.lists[order as usize].remove(frames, pfn);
        frames[pfn].clear(Flags::BUDDY);
        frames[pfn].set_extra(0, 0);
        self.listed -= 1 << order;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all_free(zone: &Zone, frames: &Frames) -> bool {
        let listed: u32 = zone.blocks(frames).map(|(_, order)| 1u32 << order).sum();
        zone.free() == listed + (zone.frames - zone.frontier)
    }

    proptest! {
        /// Any sequence of takes and gives: blocks never overlap, lie in the node, are aligned, and when
        /// all are back the node merges to what it was.
        #[test]
        fn blocks_are_disjoint_aligned_and_merge_back(
            size in 1u32..3000, base in 0u32..50, steps in prop::collection::vec((0u8..=10, any::<bool>()), 1..200)
        ) {
            let frames = Frames::new(base + size).unwrap();
            let mut zone = Zone::new(Pfn(base), size);
            let mut held: Vec<(Pfn, u8)> = Vec::new();
            for (order, take) in steps {
                if take {
                    if let Some(pfn) = zone.take(&frames, order) {
                        prop_assert!(pfn.0 >= base && pfn.0 + (1 << order) <= base + size);
                        prop_assert_eq!((pfn.0 - base) % (1 << order), 0);
                        for &(other, o) in &held {
                            prop_assert!(pfn.0 + (1 << order) <= other.0 || other.0 + (1 << o) <= pfn.0);
                        }
                        held.push((pfn, order));
                    }
                } else if let Some((pfn, order)) = held.pop() {
                    zone.give(&frames, pfn, order);
                }
                let used: u32 = held.iter().map(|&(_, o)| 1u32 << o).sum();
                prop_assert_eq!(zone.free() + used, size);
                prop_assert!(all_free(&zone, &frames));
            }
            for (pfn, order) in held.drain(..) {
                zone.give(&frames, pfn, order);
            }
            let one = Pfn(base + size / 2);
            prop_assert!(zone.holds(&frames, one) && zone.take_frame(&frames, one));
            prop_assert!(!zone.holds(&frames, one) && !zone.take_frame(&frames, one));
            prop_assert_eq!(zone.free(), size - 1);
            prop_assert!(all_free(&zone, &frames));
            zone.give(&frames, one, 0);
            let blocks: Vec<_> = zone.blocks(&frames).collect();
            for &(pfn, order) in &blocks {
                let buddy = Pfn(base + ((pfn.0 - base) ^ (1 << order)));
                prop_assert!(order == MAX_ORDER || !blocks.contains(&(buddy, order)), "unmerged buddies");
            }
        }
    }
}
