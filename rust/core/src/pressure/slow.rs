//! The rounds of an allocation that found too few free frames (`__alloc_pages_slowpath`).

use super::retry::Tries;
use super::state::{Want, context};
use crate::alloc::pageblock::MigrateType;
use crate::alloc::watermark::Floor;
use crate::compact::{COSTLY_ORDER, CompactPriority, CompactStatus};
use crate::error::{Errno, Error, Result, Why};
use crate::lru::{LruList, SWAP_CLUSTER_MAX};
use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{expect_may_sleep, stop_point, wait_briefly};

impl<R: Release> Machine<R> {
    /// Allocates a block after the first attempt has failed. The caller may hold page locks, but no
    /// lock under which a thread must not sleep.
    ///
    /// `ENOMEM` if no frame can be freed for it.
    #[cold]
    pub(crate) fn alloc_under_pressure(&self, want: Want) -> Result<Pfn> {
        self.wake_kswapds(want);
        if let Some(pfn) = self.take_for(want, Floor::Min) {
            return Ok(pfn);
        }
        if self.pressure.is_in(context::RECLAIMS) {
            return self.take_last(want, Floor::None).ok_or_else(|| want.failed());
        }
        expect_may_sleep();
        let costly = want.order > COSTLY_ORDER;
        if costly || (want.order > 0 && want.kind != MigrateType::Movable) {
            // A large block is more often missing because free memory is fragmented than because there is
            // too little, so compaction comes before reclaim.
            let (pfn, status) = self.compact_directly(want, CompactPriority::Async);
            let hopeless = matches!(status, CompactStatus::Skipped | CompactStatus::Deferred);
            match pfn {
                Some(pfn) => return Ok(pfn),
                None if costly && !want.retries && hopeless => return Err(want.failed()),
                None => {}
            }
        }
        let mut tries = Tries::new(want.order);
        // The loop ends: `tries` limits the rounds that free nothing, and a round that frees pages leaves
        // fewer pages to free for the next one.
        loop {
            stop_point();
            self.wake_kswapds(want);
            if let Some(pfn) = self.take_for(want, Floor::Min) {
                return Ok(pfn);
            }
            let (freed, pfn) = self.reclaim_directly(want);
            if let Some(pfn) = pfn {
                return Ok(pfn);
            }
            let mut status = CompactStatus::Skipped;
            if want.order > 0 {
                let (pfn, now) = self.compact_directly(want, tries.priority);
                if let Some(pfn) = pfn {
                    return Ok(pfn);
                }
                status = now;
            }
            if !want.retries || costly {
                return Err(want.failed());
            }
            if tries.reclaim_again(freed > 0, || self.would_suffice(want, 0)) {
                continue;
            }
            if freed > 0 && tries.compact_again(status, || self.would_suffice(want, 2 << want.order)) {
                continue;
            }
            match self.last_attempt(want) {
                Ok(Some(pfn)) => return Ok(pfn),
                Ok(None) => tries.relieved(),
                Err(error) => return Err(error),
            }
        }
    }

    /// The nodes that may serve an allocation, in their order.
    pub(super) fn nodes_for(&self, want: Want) -> impl Iterator<Item = usize> {
        let others = (0..self.nodes.len()).filter(move |&node| want.near && node != want.node);
        std::iter::once(want.node).chain(others)
    }

    /// Reclaims pages for an allocation (`__alloc_pages_direct_reclaim`). Returns the number of frames
    /// that were freed, and the block for the allocation if one is free afterwards.
    fn reclaim_directly(&self, want: Want) -> (u32, Option<Pfn>) {
        self.stats.event(Event::Allocstall, 1);
        let goal = SWAP_CLUSTER_MAX.max(1 << want.order);
        let mut freed = 0;
        {
            let _reclaims = self.pressure.enter(context::RECLAIMS | context::ALLOCATES);
            for node in self.nodes_for(want) {
                if freed < goal && !self.throttle_isolated(node) {
                    freed += self.reclaim(node, goal - freed).unwrap_or_default();
                }
            }
        }
        if freed == 0 {
            return (0, None);
        }
        self.nodes_for(want).for_each(|node| self.note_progress(node));
        (freed, self.take_last(want, Floor::Min))
    }

    /// Compacts one node after the other until a run succeeds (`__alloc_pages_direct_compact`). Returns
    /// the block for the allocation if one is free afterwards, and the best status of the runs.
    fn compact_directly(&self, want: Want, priority: CompactPriority) -> (Option<Pfn>, CompactStatus) {
        let mut best = CompactStatus::Skipped;
        // Moving pages may write to swap.
        if self.pressure.is_in(context::NO_IO) {
            return (None, best);
        }
        let mut captured = None;
        // Runs catch only blocks for movable pages.
        let captures = want.kind == MigrateType::Movable;
        for node in self.nodes_for(want) {
            let Ok((run, block)) = self.compact_and_capture(node, want.order, priority, (false, captures))
            else {
                continue;
            };
            captured = block;
            best = best.max(run.status);
            if best == CompactStatus::Success {
                break;
            }
        }
        if best == CompactStatus::Skipped {
            return (None, best);
        }
        self.stats.event(Event::CompactStall, 1);
        let found = captured.or_else(|| self.take_for(want, Floor::Min));
        match found {
            Some(pfn) => {
                self.stats.event(Event::CompactSuccess, 1);
                let mut zone = self.nodes[self.node_of(pfn)].zone.lock();
                let compaction = zone.compaction_mut();
                compaction.flush = false;
                compaction.succeed(want.order, true);
            }
            None => self.stats.event(Event::CompactFail, 1),
        }
        (found, best)
    }

    /// Takes a block. If there is none, flushes the arrays of all CPUs and tries once more.
    fn take_last(&self, want: Want, floor: Floor) -> Option<Pfn> {
        self.take_for(want, floor).or_else(|| {
            self.nodes_for(want).for_each(|node| self.drain_pcp(node));
            self.take_for(want, floor)
        })
    }

    /// Returns true if reclaim could free enough of some node: the frames of the block, and `more`,
    /// above the lowest watermark. With `more` 0 a block must be free already. Otherwise compaction is
    /// to make the block, and `more` is the memory that the compaction needs.
    fn would_suffice(&self, want: Want, more: u32) -> bool {
        let io = !self.pressure.is_in(context::NO_IO) && self.swap.free_slots() > 0;
        self.nodes_for(want).any(|node| {
            let reclaimable: u32 = {
                let lruvec = self.nodes[node].lruvec.lock();
                let lists = LruList::ALL.into_iter().filter(|&list| list != LruList::Unevictable);
                lists.filter(|list| list.is_file() || io).map(|list| lruvec.pages(list)).sum()
            };
            let zone = self.nodes[node].zone.lock();
            let needed = zone.watermarks().min + (1 << want.order) + more;
            if more > 0 {
                // Reclaim frees pages here and there, few of which help a large block.
                return reclaimable / u32::from(want.order.max(1)) + zone.free() >= needed;
            }
            let block = want.order == 0 || zone.would_serve(want.order, want.kind);
            reclaimable + zone.free() >= needed && block
        })
    }

    /// The last attempt of an allocation (`__alloc_pages_may_oom`). Returns a block, or `None` if the
    /// balloon has given up pages and the allocation should make another round.
    fn last_attempt(&self, want: Want) -> Result<Option<Pfn>> {
        let _alone = self.pressure.oom.lock();
        if let Some(pfn) = self.take_last(want, Floor::Min) {
            return Ok(Some(pfn));
        }
        // Other nodes may have memory that an allocation from one node alone cannot use, and writing to
        // swap may free memory that an allocation without I/O cannot get. Neither proves that the machine
        // is out of memory.
        if !want.near || self.pressure.is_in(context::NO_IO) {
            return Err(want.failed());
        }
        if self.ask_balloon(want.order) {
            return Ok(None);
        }
        self.stats.event(Event::OomKill, 1);
        Err(Error { errno: Errno::ENOMEM, pfn: None, why: Why::OutOfMemory { order: want.order } })
    }

    /// Waits a little if so many of a node's pages are isolated that reclaim would find none
    /// (`too_many_isolated` of reclaim). Returns true if there are too many even after the wait.
    fn throttle_isolated(&self, node: usize) -> bool {
        self.are_too_many_isolated(node) && wait_briefly(&|| !self.are_too_many_isolated(node))
    }
}
