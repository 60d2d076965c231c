//! The buddy allocator of one node.

mod bulk;
mod fallback;
mod heads;
mod lists;
mod online;
mod range;
mod shape;

use super::pageblock::{MigrateType, PageBlocks};
use super::watermark::{Floor, Watermarks};
use crate::compact::state::Remembered;
use crate::error::Result;
use crate::page::{Flags, Frames, MAX_ORDER, Pfn};
use crate::sync::broken;
use lists::{FreeLists, is_free_block};
use std::hash::{Hash, Hasher};

/// The free blocks of a node, protected by the node's zone lock.
///
/// Frame numbers are relative to the node's first frame, so that a node may start anywhere: the
/// buddy of block `n` of order `k` is `n xor 2^k`.
///
/// A free block lies on the list of its pageblock's migratetype. A block that spans several
/// pageblocks has the same type in all of them.
#[derive(Clone, Debug)]
pub struct Zone {
    base: Pfn,
    frames: u32,
    lists: [FreeLists; MigrateType::ALL.len()],
    blocks: PageBlocks,
    /// Relative number of the first frame that was never on a list. The frames from here on are
    /// free, and their records are untouched.
    frontier: u32,
    /// Free frames on the lists.
    listed: u32,
    /// The number of frames at or after the frontier that lie in isolated pageblocks.
    isolated_ahead: u32,
    /// The compaction state of this node: scanner positions and deferral.
    compaction: Remembered,
    /// The free frames that allocations and compaction leave in the node.
    watermarks: Watermarks,
    /// The number of compactions that wait for a free block of this node in the slot of their CPU.
    captures: u32,
}

/// Only the lists that hold blocks add to the hash, because the explorer hashes a zone after every
/// change of it.
impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.base, self.frames, self.frontier, self.listed, self.isolated_ahead).hash(state);
        for (kind, lists) in self.lists.iter().enumerate() {
            for (order, list) in lists.each().filter(|(_, list)| !list.is_empty()) {
                (kind, order, list).hash(state);
            }
        }
        self.blocks.hash(state);
        self.compaction.hash(state);
        (self.watermarks, self.captures).hash(state);
    }
}

impl Zone {
    /// A node of `frames` frames from `base`, all free, with pageblocks of 2^`pageblock_order`
    /// frames.
    pub fn new(base: Pfn, frames: u32, pageblock_order: u8) -> Result<Zone> {
        Ok(Zone {
            base,
            frames,
            lists: [FreeLists::EMPTY; MigrateType::ALL.len()],
            blocks: PageBlocks::new(frames, pageblock_order)?,
            frontier: 0,
            listed: 0,
            isolated_ahead: 0,
            compaction: Remembered::new(frames, pageblock_order),
            watermarks: Watermarks::default(),
            captures: 0,
        })
    }

    /// Free frames (`nr_free_pages`). Those of isolated pageblocks are not counted.
    pub fn free(&self) -> u32 {
        self.listed + (self.frames - self.frontier) - self.isolated_free()
    }

    /// Free frames of isolated pageblocks (`nr_free_isolated`).
    fn isolated_free(&self) -> u32 {
        let lists = self.lists[MigrateType::Isolated as usize].each();
        lists.map(|(order, list)| list.len() << order).sum::<u32>() + self.isolated_ahead
    }

    /// The number of frames that an allocation may take at most.
    #[inline]
    pub(super) fn spare(&self, floor: Floor) -> u32 {
        // Without memory pressure all watermarks are 0, and the check is one comparison.
        match self.watermarks.high {
            0 => u32::MAX,
            _ => self.free().saturating_sub(self.watermarks.level(floor)),
        }
    }

    /// Relative number of the first frame that was never on a list.
    pub fn frontier(&self) -> u32 {
        self.frontier
    }

    /// The free blocks, as (head, order, migratetype of the list); for audits.
    pub fn blocks<'a>(&'a self, frames: &'a Frames) -> impl Iterator<Item = (Pfn, u8, MigrateType)> + 'a {
        MigrateType::ALL.into_iter().flat_map(move |kind| {
            self.lists[kind as usize]
                .each()
                .flat_map(move |(order, list)| list.iter(frames).map(move |pfn| (pfn, order, kind)))
        })
    }

    /// The types and skip hints of the pageblocks.
    pub fn pageblocks(&self) -> &PageBlocks {
        &self.blocks
    }

    /// The counter of frames on the lists; for audits.
    pub fn listed(&self) -> u32 {
        self.listed
    }

    /// The reason why a block does not belong on the list of `order` and `kind`, or `None`; for
    /// audits.
    pub fn misplaced(&self, frames: &Frames, pfn: Pfn, order: u8, kind: MigrateType) -> Option<&'static str> {
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
            return Some("its record does not mark it as free");
        }
        if !self.is_all(block, order, kind) {
            return Some("its pageblock has another migratetype");
        }
        // Free pageblocks of different types are not merged until one of them is allocated and freed again.
        let merges = order < MAX_ORDER && buddy + size <= self.frontier && self.blocks.kind_of(buddy) == kind;
        (merges && self.is_free_block(frames, buddy, order)).then_some("its buddy is free too")
    }

    /// Returns true if every pageblock of a block has this migratetype.
    fn is_all(&self, block: u32, order: u8, kind: MigrateType) -> bool {
        let step = 1usize << self.blocks.order();
        (block..block + (1 << order)).step_by(step).all(|frame| self.blocks.kind_of(frame) == kind)
    }

    /// Takes a block of exactly 2^`order` frames for pages of a migratetype. The smallest free block
    /// of that type that is large enough is halved until it has this size; each upper half goes back
    /// to the lists. If the type has no such block, another type gives one.
    pub fn take(&mut self, frames: &Frames, order: u8, kind: MigrateType) -> Option<Pfn> {
        loop {
            if let Some(fit) = self.smallest(kind, order) {
                return Some(self.cut(frames, kind, fit, order));
            }
            // The frames from the frontier on are movable, unless their pageblocks were given
            // another type.
            if kind != MigrateType::Movable || !self.grow(frames) {
                return self.take_from_others(frames, order, kind);
            }
        }
    }

    /// The smallest order, from `order` on, of which the migratetype has a free block.
    #[inline]
    fn smallest(&self, kind: MigrateType, order: u8) -> Option<u8> {
        self.lists[kind as usize].smallest(order)
    }

    /// Takes the first block of a list, and gives back all but its first 2^`order` frames.
    #[inline]
    fn cut(&mut self, frames: &Frames, kind: MigrateType, found: u8, order: u8) -> Pfn {
        let lists = &mut self.lists[kind as usize];
        let pfn = lists[found].head().expect("the list was not empty");
        lists.remove(frames, pfn, found);
        for half in (order..found).rev() {
            lists.push_head(frames, pfn.plus(1 << half), half);
        }
        self.listed -= 1 << order;
        pfn
    }

    /// Gives a block back and merges it with its free buddies.
    #[inline]
    pub fn give(&mut self, frames: &Frames, pfn: Pfn, order: u8) {
        let mut block = pfn.0 - self.base.0;
        let mut order = order;
        expect_in_use(frames, pfn);
        let pageblock = self.blocks.order();
        if order > pageblock {
            return self.give_pageblocks(frames, block, order);
        }
        // Blocks within one pageblock have one migratetype, so it is looked up once.
        let kind = self.blocks.kind_of(block);
        let lists = &mut self.lists[kind as usize];
        // The frames of the buddies are counted already.
        self.listed += 1 << order;
        while order < pageblock {
            let (size, buddy) = (1 << order, block ^ (1 << order));
            let at = self.base.plus(buddy);
            if buddy + size > self.frontier || !is_free_block(frames, at, order) {
                break;
            }
            lists.remove(frames, at, order);
            block &= buddy;
            order += 1;
        }
        match order == pageblock {
            true => self.merge_pageblocks(frames, block, order, kind, true),
            false => self.list_merged(frames, block, order, kind),
        }
    }

    /// Gives back a block of several pageblocks. Their types may have been changed while the block was
    /// in use, so each goes to its own list (`split_large_buddy`).
    #[cold]
    fn give_pageblocks(&mut self, frames: &Frames, block: u32, order: u8) {
        let pageblock = self.blocks.order();
        for part in (block..block + (1 << order)).step_by(1 << pageblock) {
            let kind = self.blocks.kind_of(part);
            self.listed += 1 << pageblock;
            self.merge_pageblocks(frames, part, pageblock, kind, true);
        }
    }

    /// Merges a block of one or more whole pageblocks with its free buddies, and lists it. The block is
    /// counted as listed already. With `across` it also merges with buddies of another migratetype, whose
    /// pageblocks then get the block's type.
    #[cold]
    fn merge_pageblocks(
        &mut self,
        frames: &Frames,
        mut block: u32,
        mut order: u8,
        kind: MigrateType,
        across: bool,
    ) {
        while let Some(buddy) = self.free_buddy(frames, block, order) {
            let other = self.blocks.kind_of(buddy);
            if other != kind && !(across && self.may_merge(buddy, kind)) {
                break;
            }
            self.lists[other as usize].remove(frames, self.base.plus(buddy), order);
            if other != kind {
                // The merged block lies on one list, so its pageblocks get one type.
                self.retype(buddy, order, kind);
            }
            block &= buddy;
            order += 1;
        }
        self.list_merged(frames, block, order, kind);
    }

    /// Lists a block that does not merge any further and is counted as listed.
    #[inline]
    fn list_merged(&mut self, frames: &Frames, block: u32, order: u8, kind: MigrateType) {
        let last = self.merges_soon(frames, block, order, kind);
        let (lists, pfn) = (&mut self.lists[kind as usize], self.base.plus(block));
        match last {
            true => lists.push_tail(frames, pfn, order),
            false => lists.push_head(frames, pfn, order),
        }
    }

    /// The buddy of a block, if it is free and of the same order. Within a pageblock the two merge;
    /// beyond, their migratetypes decide.
    #[inline]
    fn free_buddy(&self, frames: &Frames, block: u32, order: u8) -> Option<u32> {
        let (buddy, size) = (block ^ (1 << order), 1 << order);
        let free =
            order < MAX_ORDER && buddy + size <= self.frontier && self.is_free_block(frames, buddy, order);
        free.then_some(buddy)
    }

    /// Returns true if blocks of two pageblocks may merge. Isolated and high-atomic pageblocks merge only
    /// with their own type. Otherwise an allocation of another type could get their frames as a part.
    fn may_merge(&self, buddy: u32, kind: MigrateType) -> bool {
        let other = self.blocks.kind_of(buddy);
        other == kind || (other.merges() && kind.merges())
    }

    /// Sets the migratetype of every pageblock of a block.
    fn retype(&mut self, block: u32, order: u8, kind: MigrateType) {
        let step = 1usize << self.blocks.order();
        for frame in (block..block + (1 << order)).step_by(step) {
            self.blocks.set_kind(frame, kind);
        }
    }

    /// Returns true if two merges will follow when a block's buddy, which is in use, is freed: the block
    /// with the buddy, and the pair with its own free buddy (`buddy_merge_likely`). Such a block goes to
    /// the tail of its list: handed out last, it is more likely to merge. Blocks of the two largest
    /// orders are not checked.
    #[inline]
    fn merges_soon(&self, frames: &Frames, block: u32, order: u8, kind: MigrateType) -> bool {
        let pair = block & !(1 << order);
        order + 1 < MAX_ORDER
            && self
                .free_buddy(frames, pair, order + 1)
                .is_some_and(|buddy| order + 1 < self.blocks.order() || self.may_merge(buddy, kind))
    }

    /// Returns true if the frame is free, in a block of any order (`is_free_buddy_page`).
    pub(super) fn holds(&self, frames: &Frames, pfn: Pfn) -> bool {
        let number = pfn.0 - self.base.0;
        number >= self.frontier || self.block_of(frames, number).is_some()
    }

    /// Takes one free frame out of its block; the block's other frames stay free
    /// (`take_page_off_buddy`). Returns false if the frame is not free.
    pub(super) fn take_frame(&mut self, frames: &Frames, pfn: Pfn) -> bool {
        let number = pfn.0 - self.base.0;
        // A frame beyond the frontier is free, but on no list yet. The next blocks are listed until
        // the frame is on a list.
        self.grow_past(frames, number);
        let Some((block, order)) = self.block_of(frames, number) else { return false };
        let kind = self.blocks.kind_of(block);
        self.unlist(frames, self.base.plus(block), order, kind);
        let mut block = block;
        for half in (0..order).rev() {
            let upper = block + (1 << half);
            let (keep, give) = if number >= upper { (upper, block) } else { (block, upper) };
            self.enlist(frames, self.base.plus(give), half, kind);
            block = keep;
        }
        true
    }

    /// The free block that contains a frame below the frontier, and its order.
    fn block_of(&self, frames: &Frames, number: u32) -> Option<(u32, u8)> {
        (0..=MAX_ORDER).find_map(|order| {
            let block = number & !((1u32 << order) - 1);
            self.is_free_block(frames, block, order).then_some((block, order))
        })
    }

    #[inline]
    fn is_free_block(&self, frames: &Frames, block: u32, order: u8) -> bool {
        is_free_block(frames, self.base.plus(block), order)
    }

    /// The block in which a frame from the frontier on will come onto the lists: the largest that is
    /// aligned, lies between the frontier and the end of the node, and has one migratetype. Returns the
    /// block's first frame, order and type; `None` for a frame beyond the node.
    fn block_ahead(&self, number: u32) -> Option<(u32, u8, MigrateType)> {
        let first = |order: u8| number & !((1u32 << order) - 1);
        let fits = |order: &u8| {
            let block = first(*order);
            block >= self.frontier && block < self.frames && self.frames - block >= 1 << *order
        };
        let mut order = (0..=MAX_ORDER).rev().find(fits)?;
        let kind = self.blocks.kind_of(number);
        if self.blocks.typed() > 0 {
            while order > self.blocks.order() && !self.is_all(first(order), order, kind) {
                order -= 1;
            }
        }
        Some((first(order), order, kind))
    }

    /// The blocks that will be listed for the frames at and after the frontier, lowest frame first; each as
    /// order and migratetype.
    pub(crate) fn blocks_ahead(&self) -> impl Iterator<Item = (u8, MigrateType)> + '_ {
        let next = |&(first, order, _): &(u32, u8, _)| self.block_ahead(first + (1 << order));
        std::iter::successors(self.block_ahead(self.frontier), next).map(|(_, order, kind)| (order, kind))
    }

    /// Puts the block that begins at the frontier on its list. Returns false if no frame is left.
    fn grow(&mut self, frames: &Frames) -> bool {
        let Some((_, order, kind)) = self.block_ahead(self.frontier) else { return false };
        let pfn = self.base.plus(self.frontier);
        self.frontier += 1 << order;
        if kind == MigrateType::Isolated {
            self.isolated_ahead -= 1 << order;
        }
        match self.free_buddy(frames, pfn.0 - self.base.0, order) {
            // The buddy is on a list already if the types of the two pageblocks differed when it was
            // listed.
            Some(_) => self.give(frames, pfn, order),
            None => self.enlist(frames, pfn, order, kind),
        }
        true
    }

    /// Puts blocks on their lists until the frame with this number is below the frontier.
    fn grow_past(&mut self, frames: &Frames, number: u32) {
        while number >= self.frontier {
            self.grow(frames);
        }
    }

    /// Puts a block at the head of its list, where it is taken first.
    #[inline]
    fn enlist(&mut self, frames: &Frames, pfn: Pfn, order: u8, kind: MigrateType) {
        self.lists[kind as usize].push_head(frames, pfn, order);
        self.listed += 1 << order;
    }

    /// Puts a block at the tail of its list, where it is taken last.
    fn enlist_last(&mut self, frames: &Frames, pfn: Pfn, order: u8, kind: MigrateType) {
        self.lists[kind as usize].push_tail(frames, pfn, order);
        self.listed += 1 << order;
    }

    #[inline]
    fn unlist(&mut self, frames: &Frames, pfn: Pfn, order: u8, kind: MigrateType) {
        self.lists[kind as usize].remove(frames, pfn, order);
        self.listed -= 1 << order;
    }
}

/// Stops if a frame that is given back begins a free block.
#[inline]
fn expect_in_use(frames: &Frames, pfn: Pfn) {
    if frames[pfn].word().has(Flags::BUDDY) {
        broken("double free", format_args!("page {pfn} is in the buddy lists"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all_free(zone: &Zone, frames: &Frames) -> bool {
        let listed: u32 = zone.blocks(frames).map(|(_, order, _)| 1u32 << order).sum();
        zone.free() == listed + (zone.frames - zone.frontier)
    }

    proptest! {
        /// Any sequence of takes and gives: blocks never overlap, lie in the node, are aligned, and
        /// when all are back the node merges to what it was.
        #[test]
        fn blocks_are_disjoint_aligned_and_merge_back(
            size in 1u32..3000,
            base in 0u32..50,
            steps in prop::collection::vec((0u8..=10, any::<bool>()), 1..200)
        ) {
            let frames = Frames::new(base + size).unwrap();
            let mut zone = Zone::new(Pfn(base), size, 9).unwrap();
            let mut held: Vec<(Pfn, u8)> = Vec::new();
            for (order, take) in steps {
                if take {
                    if let Some(pfn) = zone.take(&frames, order, MigrateType::Movable) {
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
            for &(pfn, order, kind) in &blocks {
                let buddy = Pfn(base + ((pfn.0 - base) ^ (1 << order)));
                prop_assert!(order == MAX_ORDER || !blocks.contains(&(buddy, order, kind)), "unmerged buddies");
            }
        }

        /// Any sequence of takes of each type, gives, and changes of a pageblock's type: a block of an
        /// isolated pageblock is taken for no other type and not counted, each free block lies on the list
        /// of its pageblock, and all merges back once the types are equal again.
        #[test]
        fn free_blocks_lie_on_the_lists_of_their_pageblocks(
            size in 1u32..300,
            base in 0u32..50,
            pageblock in 1u8..6,
            steps in prop::collection::vec((0u8..5, 0usize..5, any::<u32>()), 1..150)
        ) {
            let frames = Frames::new(base + size).unwrap();
            let mut zone = Zone::new(Pfn(base), size, pageblock).unwrap();
            let mut held: Vec<(Pfn, u8)> = Vec::new();
            for (order, what, at) in steps {
                let kind = MigrateType::ALL[what];
                match at % 4 {
                    0 => zone.set_kind(&frames, at % size, kind),
                    1 => if !held.is_empty() {
                        let (pfn, order) = held.swap_remove(at as usize % held.len());
                        zone.give(&frames, pfn, order);
                    },
                    _ => {
                        let promised = zone.would_serve(order, kind);
                        let taken = zone.take(&frames, order, kind);
                        prop_assert!(!promised || taken.is_some(), "no block of order {order} for {kind:?}");
                        if let Some(pfn) = taken {
                            let of = zone.blocks.kind_of(pfn.0 - base);
                            prop_assert!(kind == of || kind.fallbacks().contains(&of), "{kind:?} from {of:?}");
                            held.push((pfn, order));
                        }
                    }
                }
                check(&zone, &frames, &held)?;
            }
            for block in 0..zone.blocks.len() {
                zone.set_kind(&frames, block << pageblock, MigrateType::Movable);
                check(&zone, &frames, &held)?;
            }
            for (pfn, order) in held.drain(..) {
                zone.give(&frames, pfn, order);
            }
            prop_assert_eq!((zone.free(), zone.blocks.typed()), (size, 0));
            check(&zone, &frames, &[])?;
            // A range is taken whole or not at all, and merges back.
            let range = size / 3..size / 3 * 2;
            prop_assert_eq!(zone.take_range(&frames, range.clone()), Ok(()));
            check(&zone, &frames, &[])?;
            if !range.is_empty() {
                prop_assert_eq!(zone.take_range(&frames, 0..size), Err(range.start));
                range.for_each(|number| zone.give(&frames, Pfn(base + number), 0));
            }
            prop_assert_eq!(zone.first_in_use(&frames, 0..size), None);
            check(&zone, &frames, &[])?;
        }
    }

    /// Checks every free block, and the counters.
    fn check(zone: &Zone, frames: &Frames, held: &[(Pfn, u8)]) -> Result<(), TestCaseError> {
        let (mut listed, mut isolated) = (0, 0);
        for (pfn, order, kind) in zone.blocks(frames) {
            prop_assert_eq!(zone.misplaced(frames, pfn, order, kind), None);
            listed += 1u32 << order;
            isolated += if kind == MigrateType::Isolated { 1 << order } else { 0 };
            let apart =
                |&(other, o): &(Pfn, u8)| pfn.0 + (1 << order) <= other.0 || other.0 + (1 << o) <= pfn.0;
            prop_assert!(held.iter().all(apart));
        }
        let ahead: u32 = zone.blocks_ahead().map(|(order, _)| 1u32 << order).sum();
        prop_assert_eq!(ahead, zone.frames - zone.frontier);
        for ahead in zone.frontier..zone.frames {
            isolated += u32::from(zone.blocks.kind_of(ahead) == MigrateType::Isolated);
        }
        prop_assert_eq!(listed, zone.listed);
        prop_assert_eq!(zone.free() + isolated, listed + zone.frames - zone.frontier);
        Ok(())
    }
}
