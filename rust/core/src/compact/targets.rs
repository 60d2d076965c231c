//! The free frames that the free scanner has taken out of the allocator, until a migration gets
//! them. Their count is zero: no thread that walks over frame numbers can take a reference.

use crate::page::{MAX_ORDER, Pfn};
use crate::profile::CompactTargets;
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
    pub fn take(&mut self, order: u8) -> Option<Pfn> {
        let found = (order..=MAX_ORDER).find(|&found| !self.blocks[found as usize].is_empty())?;
        let pfn = self.blocks[found as usize].pop_front()?;
        for half in (order..found).rev() {
            self.blocks[half as usize].push_front(pfn.plus(1 << half));
        }
        self.frames -= 1 << order;
        Some(pfn)
    }

    /// Puts back a block that no migration has used.
    pub fn put_back(&mut self, pfn: Pfn, order: u8) {
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
