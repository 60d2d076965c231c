//! The pools of huge pages. A pool takes free blocks of the buddy allocator, or contiguous ranges if its
//! pages are larger than those blocks (`alloc_pool_huge_folio`, `alloc_contig_pages`).

use super::pool::HugePage;
use crate::error::{Errno, Error, Result};
use crate::hotplug::BlockState;
use crate::machine::Machine;
use crate::page::{Flags, MAX_ORDER, Pfn};
use crate::pressure::state::Reach;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{interrupted, stop_point};
use std::ops::Range;

/// The letter that marks the frames of a pool for `layout`.
const MARK: u32 = b'h' as u32;

impl<R: Release> Machine<R> {
    /// Grows or shrinks a node's pool of huge pages of 2^`order` frames to `count` pages, as far as
    /// there is memory, and returns the pool's new size (a write to `nr_hugepages`).
    ///
    /// A page that is no larger than a block of the buddy allocator comes from its free lists. A
    /// larger page is the first aligned range of the node that can be emptied: the pages in the range
    /// move to other frames of the node, or to other nodes if the node is full. One call tries each
    /// range once. A call that is interrupted keeps what it has done so far.
    ///
    /// `EINVAL` for a node that does not exist or an order of 0 or above 24.
    pub fn set_huge_pages(&self, node: usize, order: u8, count: u32) -> Result<u32> {
        if node >= self.nodes.len() || !(1..=24).contains(&order) {
            let what = format!("no pool of huge pages of order {order} on node {node}");
            return Err(Error::new(Errno::EINVAL, what));
        }
        let mut size = self.pool_size(node, order);
        let mut from = self.nodes[node].base;
        while size < count && !interrupted() {
            stop_point();
            let Some(page) = self.fresh_huge_page(node, order, from) else { break };
            from = page.first.plus(1 << order);
            self.huge.pages.lock().push(page);
            size += 1;
        }
        while size > count && !interrupted() {
            stop_point();
            let Some(page) = self.take_from_pool(|page| self.is_of(*page, node, order)) else { break };
            self.free_huge_page(page);
            size -= 1;
        }
        Ok(self.pool_size(node, order))
    }

    /// The huge pages of all pools.
    pub fn huge_pages(&self) -> Vec<HugePage> {
        self.huge.pages.lock().clone()
    }

    fn is_of(&self, page: HugePage, node: usize, order: u8) -> bool {
        page.order == order && self.node_of(page.first) == node
    }

    fn pool_size(&self, node: usize, order: u8) -> u32 {
        self.huge.pages.lock().iter().filter(|&&page| self.is_of(page, node, order)).count() as u32
    }

    /// Takes a page out of its pool: of those that fit, the one that came last.
    fn take_from_pool(&self, fits: impl Fn(&HugePage) -> bool) -> Option<HugePage> {
        let mut pages = self.huge.pages.lock();
        let place = pages.iter().rposition(fits)?;
        Some(pages.remove(place))
    }

    /// A huge page for the pool, or `None` if there is no memory for it. Ranges for a page larger than
    /// the buddy allocator's blocks are tried from `from` on.
    fn fresh_huge_page(&self, node: usize, order: u8, from: Pfn) -> Option<HugePage> {
        if order > MAX_ORDER {
            return self.gigantic_page(node, order, from);
        }
        // The kernel tries hard for each page of a pool (`__GFP_RETRY_MAYFAIL`).
        let first = self.alloc_target(node, order, Reach::Node).ok();
        let event = if first.is_some() { Event::HtlbBuddyAllocSuccess } else { Event::HtlbBuddyAllocFail };
        self.stats.event(event, 1);
        let first = first?;
        self.frames[first].set_extra(order, MARK);
        Some(HugePage { first, order })
    }

    /// The first aligned range of the node, from `from` on, that can be emptied (`alloc_contig_pages`).
    fn gigantic_page(&self, node: usize, order: u8, from: Pfn) -> Option<HugePage> {
        let whole = &self.nodes[node];
        let size = 1u32 << order;
        // A range is aligned within its node, as a block of the buddy allocator is.
        let mut first = from;
        while first.0 + size <= whole.base.0 + whole.frames && !interrupted() {
            let range = first..first.plus(size);
            if self.may_be_contiguous(&range) && self.alloc_contig_range(range.clone()).is_ok() {
                (range.start.0..range.end.0).for_each(|pfn| self.frames[Pfn(pfn)].set_extra(0, MARK));
                return Some(HugePage { first, order });
            }
            first = first.plus(size);
        }
        None
    }

    /// True if a range is online, in one zone, and without huge pages and reserved frames
    /// (`pfn_range_valid_contig`).
    fn may_be_contiguous(&self, range: &Range<Pfn>) -> bool {
        let node = &self.nodes[self.node_of(range.start)];
        let state = |pfn: Pfn| node.blocks.state_at(pfn.0 - node.base.0);
        let first = state(range.start);
        let taken = self.huge.pages.lock().iter().any(|page| page.overlaps(range));
        let fits = |pfn: Pfn| state(pfn) == first && !self.frames[pfn].word().has(Flags::RESERVED);
        first != BlockState::Offline && !taken && (range.start.0..range.end.0).map(Pfn).all(fits)
    }

    fn free_huge_page(&self, page: HugePage) {
        match page.order > MAX_ORDER {
            true => self.free_contig_range(page.first..page.first.plus(1 << page.order)),
            false => self.put(page.first),
        }
    }

    /// True if a page belongs to a pool.
    pub(crate) fn is_in_pool(&self, head: Pfn) -> bool {
        let holds = |page: &HugePage| (page.first.0..page.first.0 + (1 << page.order)).contains(&head.0);
        self.frames[head].private() == MARK && self.huge.pages.lock().iter().any(holds)
    }

    /// Gives the pool's pages that lie in a range back to the allocator
    /// (`dissolve_free_hugetlb_folios`).
    pub(crate) fn dissolve_free_huge_pages(&self, range: &Range<Pfn>) {
        while let Some(page) = self.take_from_pool(|page| page.overlaps(range)) {
            self.free_huge_page(page);
        }
    }

    /// Replaces the pool's pages that lie in a range by other huge pages of the node, so that the
    /// range can be emptied (`isolate_or_dissolve_huge_page`).
    ///
    /// `ENOMEM` if there is no other huge page. A page larger than the buddy allocator's blocks is never
    /// replaced.
    pub(super) fn replace_huge_pages(&self, range: Range<Pfn>) -> Result<()> {
        while let Some(page) = self.take_from_pool(|page| page.overlaps(&range)) {
            let node = self.node_of(page.first);
            let other = if page.order > MAX_ORDER {
                None
            } else {
                self.fresh_huge_page(node, page.order, page.first)
            };
            let missing = other.is_none();
            self.huge.pages.lock().push(other.unwrap_or(page));
            if missing {
                let what = "a huge page of a pool is in the range, and no other page can replace it";
                return Err(Error { pfn: Some(page.first), ..Error::new(Errno::ENOMEM, what.to_owned()) });
            }
            self.free_huge_page(page);
        }
        Ok(())
    }
}
