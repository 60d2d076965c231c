//! Takes and gives many single frames at once, for the array of a CPU (`rmqueue_bulk`, `free_pcppages_bulk`).

use super::lists::is_free_block;
use super::{MigrateType, Zone, expect_in_use};
use crate::page::{Frames, Pfn};

/// While a frame is given back, the record of the frame this many places ahead and the records of that
/// frame's buddies are prefetched.
const BUDDIES: usize = 8;
/// While a frame is given back, the records that are linked with those buddies on their free lists are
/// prefetched for the frame this many places ahead.
const LINKED: usize = 4;

impl Zone {
    /// Takes up to `count` single frames for pages of a migratetype, and hands each to `taken`. Fewer
    /// are taken if the zone has no more.
    ///
    /// The frames are those that [`Zone::take`] would give one by one, in the same order. A block that is
    /// wanted as a whole leaves its list at once. One by one, each of its halves would be put on a list
    /// only to be the next block that is cut, because it would be the smallest one.
    pub fn take_singles(
        &mut self,
        frames: &Frames,
        count: usize,
        kind: MigrateType,
        mut taken: impl FnMut(Pfn),
    ) {
        let mut left = count;
        while left > 0 {
            let (first, order) = match self.smallest(kind, 0) {
                Some(found) => {
                    let order = found.min(left.ilog2() as u8);
                    (self.cut(frames, kind, found, order), order)
                }
                None => match self.take(frames, 0, kind) {
                    Some(pfn) => (pfn, 0),
                    None => return,
                },
            };
            (0..1 << order).for_each(|frame| taken(first.plus(frame)));
            left -= 1 << order;
        }
    }

    /// Gives back single frames. The lists become those that [`Zone::give`] would leave one frame after the
    /// other.
    ///
    /// Neighbours in ascending order that fill a block go back as this block. One by one, each of them would
    /// be put on a list and taken off by the next one, which merges with it.
    pub fn give_singles(&mut self, frames: &Frames, singles: &[Pfn]) {
        singles.iter().take(BUDDIES).for_each(|&pfn| self.prefetch_buddies(frames, pfn));
        let mut left = singles;
        while let Some(&first) = left.first() {
            if let Some(&ahead) = left.get(BUDDIES) {
                self.prefetch_buddies(frames, ahead);
            }
            if let Some(&ahead) = left.get(LINKED) {
                self.prefetch_linked(frames, ahead);
            }
            let neighbours = left.iter().zip(first.0..).take_while(|(pfn, number)| pfn.0 == *number).count();
            // The block stays within a pageblock, because frames of two pageblocks may be of two types.
            let aligned = (first.0 - self.base.0).trailing_zeros().min(u32::from(self.blocks.order()));
            let order = neighbours.ilog2().min(aligned);
            let (block, rest) = left.split_at(1 << order);
            // The first frame is checked by `give`.
            block[1..].iter().for_each(|&pfn| expect_in_use(frames, pfn));
            self.give(frames, first, order as u8);
            left = rest;
        }
    }

    /// Starts loading the records of a frame and of the blocks with which it may merge: those of the orders
    /// 0, 1 and 2. The buddy of order 0 lies beside the frame, in the same cache line.
    #[inline]
    fn prefetch_buddies(&self, frames: &Frames, pfn: Pfn) {
        for order in 0..=2 {
            frames.prefetch(self.buddy_of(pfn, order));
        }
    }

    /// Starts loading the records beside a frame's free buddies of the orders 0 and 1 on their lists. A
    /// merge unlinks the buddy from these records.
    #[inline]
    fn prefetch_linked(&self, frames: &Frames, pfn: Pfn) {
        // Under the explorer and loom, to read a record would be a step, as in `Frames::prefetch_neighbours`.
        if cfg!(any(feature = "explored", loom)) {
            return;
        }
        for order in 0..=1 {
            let buddy = self.buddy_of(pfn, order);
            if buddy.0 - self.base.0 < self.frontier && is_free_block(frames, buddy, order) {
                frames.prefetch_neighbours(buddy);
            }
        }
    }

    /// The first frame of the buddy of the block of an order that contains a frame.
    #[inline]
    fn buddy_of(&self, pfn: Pfn, order: u8) -> Pfn {
        let number = pfn.0 - self.base.0;
        self.base.plus((number >> order ^ 1) << order)
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The free blocks of a zone, in the order of their lists.
    fn blocks(zone: &Zone, frames: &Frames) -> Vec<(Pfn, u8, MigrateType)> {
        zone.blocks(frames).collect()
    }

    proptest! {
        /// Frames taken together are those taken one by one, and leave the same free blocks. So do frames
        /// given together.
        #[test]
        fn frames_taken_and_given_together_are_those_taken_and_given_one_by_one(
            size in 1u32..600,
            pageblock in 1u8..6,
            steps in prop::collection::vec((0usize..40, any::<bool>(), any::<u32>()), 1..60)
        ) {
            let (together, single) = (Frames::new(size).unwrap(), Frames::new(size).unwrap());
            let zone = || Zone::new(Pfn(0), size, pageblock).unwrap();
            let (mut bulk, mut one) = (zone(), zone());
            // Some pageblocks are of another type, so that a migratetype can run out of frames.
            for number in (0..size).step_by(3 << pageblock) {
                bulk.set_kind(&together, number, MigrateType::Unmovable);
                one.set_kind(&single, number, MigrateType::Unmovable);
            }
            let mut held: Vec<Pfn> = Vec::new();
            for (count, gives, at) in steps {
                if gives && !held.is_empty() {
                    // Half of the time the frames are given in the order in which they were taken, so that
                    // many of them are neighbours.
                    let from = at as usize % held.len();
                    let most = count.min(held.len() - from);
                    let given: Vec<Pfn> = match at % 2 {
                        0 => (0..most).map(|_| held.swap_remove(from % held.len())).collect(),
                        _ => held.drain(from..from + most).collect(),
                    };
                    bulk.give_singles(&together, &given);
                    given.iter().for_each(|&pfn| one.give(&single, pfn, 0));
                } else {
                    let mut taken = Vec::new();
                    bulk.take_singles(&together, count, MigrateType::Movable, |pfn| taken.push(pfn));
                    let take = || one.take(&single, 0, MigrateType::Movable);
                    let expected: Vec<Pfn> = std::iter::repeat_with(take).take(count).flatten().collect();
                    prop_assert_eq!(&taken, &expected);
                    held.extend(taken);
                }
                prop_assert_eq!(blocks(&bulk, &together), blocks(&one, &single));
                prop_assert_eq!((bulk.free(), bulk.listed()), (one.free(), one.listed()));
            }
        }
    }
}
