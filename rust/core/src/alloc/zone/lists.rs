//! The free lists of one migratetype.

use super::heads::{Heads, NO_FRAME};
use crate::page::{Flags, Frames, List, MAX_ORDER, Pfn};
use std::ops::Index;

/// A list of free blocks for each order. A block's record says that it is free and of which order.
///
/// The lists do not count their frames. The zone does: it counts a block once, however often the block is
/// merged or cut before it reaches its list.
#[derive(Clone, Debug)]
pub(super) struct FreeLists {
    lists: [List; MAX_ORDER as usize + 1],
    heads: Heads,
}

impl FreeLists {
    pub(super) const EMPTY: FreeLists =
        FreeLists { lists: [List::EMPTY; MAX_ORDER as usize + 1], heads: Heads::NONE };

    /// The lists with their orders, from order 0 on.
    pub(super) fn each(&self) -> impl Iterator<Item = (u8, &List)> {
        self.lists.iter().enumerate().map(|(order, list)| (order as u8, list))
    }

    /// The smallest order, from `order` on, of which a block is free.
    #[inline]
    pub(super) fn smallest(&self, order: u8) -> Option<u8> {
        (order..=MAX_ORDER).find(|&o| !self[o].is_empty())
    }

    /// Puts a block at the head of its list, where it is taken first.
    #[inline]
    pub(super) fn push_head(&mut self, frames: &Frames, pfn: Pfn, order: u8) {
        let ahead = if order == 0 { self.heads.push(pfn) } else { NO_FRAME };
        mark(frames, pfn, order, ahead);
        self.lists[order as usize].push_head(frames, pfn);
    }

    /// Puts a block at the tail of its list, where it is taken last.
    #[inline]
    pub(super) fn push_tail(&mut self, frames: &Frames, pfn: Pfn, order: u8) {
        mark(frames, pfn, order, NO_FRAME);
        self.lists[order as usize].push_tail(frames, pfn);
    }

    /// Takes a block off its list.
    #[inline]
    pub(super) fn remove(&mut self, frames: &Frames, pfn: Pfn, order: u8) {
        if order == 0 && self.lists[0].head() == Some(pfn) {
            self.heads.pop(frames, pfn);
        }
        self.lists[order as usize].remove(frames, pfn);
        frames[pfn].clear(Flags::BUDDY);
        frames[pfn].set_extra(0, 0);
    }
}

impl Index<u8> for FreeLists {
    type Output = List;

    #[inline]
    fn index(&self, order: u8) -> &List {
        &self.lists[order as usize]
    }
}

/// Returns true if this frame is the first one of a free block of this order.
#[inline]
pub(super) fn is_free_block(frames: &Frames, pfn: Pfn, order: u8) -> bool {
    let page = &frames[pfn];
    page.word().has(Flags::BUDDY) && page.order() == order
}

#[inline]
fn mark(frames: &Frames, pfn: Pfn, order: u8, ahead: u32) {
    frames[pfn].set_extra(order, ahead);
    frames[pfn].set(Flags::BUDDY);
}
