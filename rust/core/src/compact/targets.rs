//! The free frames that the free scanner has taken out of the allocator, until a migration gets
//! them. Their count is zero: no thread that walks over frame numbers can take a reference.

use super::control::Control;
use crate::migrate::{NewPage, Outcome};
use crate::page::{Dropped, Flags, MAX_ORDER, Pfn};
use crate::profile::CompactTargets;
use crate::release::Release;
use crate::stat::Event;
use std::collections::VecDeque;

/// Free blocks by order.
#[derive(Debug, Default)]
pub(super) struct Targets {
    blocks: [VecDeque<Pfn>; MAX_ORDER as usize + 1],
    /// Frames in the blocks.
    frames: u32,
}

impl Targets {
    /// The number of free frames.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Adds blocks that the free scanner took, in the order in which it took them.
    ///
    /// Older kernels split them into single frames and hand out the last frame first; newer ones
    /// keep them whole.
    pub fn add(&mut self, kind: CompactTargets, taken: Vec<(Pfn, u8)>) {
        for (pfn, order) in taken {
            self.frames += 1 << order;
            match kind {
                CompactTargets::Frames => {
                    (0..1 << order).for_each(|offset| self.blocks[0].push_front(pfn.plus(offset)));
                }
                CompactTargets::Blocks => self.blocks[order as usize].push_back(pfn),
            }
        }
    }

    /// Takes a block of 2^`order` frames: the first of the smallest blocks that are large enough. A
    /// larger block is split, and its upper halves stay here.
    fn take(&mut self, order: u8) -> Option<Pfn> {
        let found = (order..=MAX_ORDER).find(|&found| !self.blocks[found as usize].is_empty())?;
        let pfn = self.blocks[found as usize].pop_front()?;
        for half in (order..found).rev() {
            self.blocks[half as usize].push_front(pfn.plus(1 << half));
        }
        self.frames -= 1 << order;
        Some(pfn)
    }

    /// Puts back a block that no migration has used.
    fn put_back(&mut self, pfn: Pfn, order: u8) {
        self.blocks[order as usize].push_front(pfn);
        self.frames += 1 << order;
    }

    /// Removes all blocks.
    pub fn drain(&mut self) -> impl Iterator<Item = (Pfn, u8)> + '_ {
        self.frames = 0;
        self.blocks
            .iter_mut()
            .enumerate()
            .flat_map(|(order, blocks)| blocks.drain(..).map(move |pfn| (pfn, order as u8)))
    }
}

/// The source of targets for the migrations of a run (`compaction_alloc`, `compaction_free`).
impl<R: Release> NewPage for Control<'_, R> {
    fn get_new_page(&mut self, src: Pfn) -> Option<Pfn> {
        let order = self.machine.frames[src].order();
        let mut scanned = false;
        loop {
            let Some(pfn) = self.targets.take(order) else {
                if std::mem::replace(&mut scanned, true) {
                    return None;
                }
                self.isolate_freepages();
                continue;
            };
            self.lacking = self.lacking.saturating_sub(1 << order);
            if self.hand_out(pfn, order) {
                return Some(pfn);
            }
        }
    }

    fn takes_back(&self) -> bool {
        true
    }

    fn take_back(&mut self, dst: Pfn) {
        let page = &self.machine.frames[dst];
        let order = page.order();
        self.lacking += 1 << order;
        if order > 0 {
            // A large target goes back to the allocator, where its parts merge again.
            return self.machine.put(dst);
        }
        let Dropped::Last(word) = page.drop_refs(dst, 1) else {
            // Another thread holds a reference for a moment. Its put gives the frame to the
            // allocator.
            return;
        };
        if word.any(!Flags::WAITERS) {
            // The frame was poisoned meanwhile, so it cannot be a target and is freed like any page.
            return self.machine.free_last(dst, word);
        }
        self.machine.memory.retire(dst);
        self.machine.stats.event(Event::Pgfree, 1);
        self.targets.put_back(dst, 0);
    }

    fn ended(&mut self, src: Pfn, outcome: Outcome) {
        if let (Some(trace), Outcome::Moved(dst)) = (&mut self.trace, outcome) {
            trace.moves.push((src, dst));
        }
    }
}

impl<R: Release> Control<'_, R> {
    /// Gives a target its first reference. Returns false if a frame of it is poisoned: its good
    /// frames then go back to the allocator.
    fn hand_out(&mut self, pfn: Pfn, order: u8) -> bool {
        let frames = &self.machine.frames;
        let mut poisoned = false;
        for offset in 1..1u32 << order {
            let tail = &frames[pfn.plus(offset)];
            tail.set_owner(pfn.0, 0);
            poisoned |= tail.set(Flags::TAIL).has(Flags::HWPOISON);
        }
        if order > 0 {
            frames[pfn].set_extra(order, 0);
            frames[pfn].set(Flags::HEAD);
        }
        if !poisoned && frames[pfn].hand_out_good(pfn, Flags::empty()) {
            self.machine.stats.event(Event::Pgalloc, 1 << order);
            return true;
        }
        frames[pfn].clear(Flags::HEAD);
        let refused = self.machine.give_good(pfn, order);
        self.machine.stats.event(Event::Pgalloc, i64::from(refused));
        false
    }
}
