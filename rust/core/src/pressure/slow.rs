//! The rounds of an allocation that found too few free frames (`__alloc_pages_slowpath`).

use super::retry::Tries;
use super::state::{Effort, Reach, Want, context};
use crate::alloc::pageblock::MigrateType;
use crate::alloc::watermark::Floor;
use crate::compact::{COSTLY_ORDER, CompactPriority, CompactStatus, free_to_compact, is_compaction_suitable};
use crate::error::{Errno, Error, Result, Why};
use crate::lru::{LruList, SWAP_CLUSTER_MAX};
use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{expect_may_sleep, stop_point};

impl<R: Release> Machine<R> {
    /// Allocates a block after the first attempt has failed. The caller may hold page locks, but no
    /// lock under which a thread must not sleep.
    ///
    /// `ENOMEM` if no frame can be freed for it; `EINTR` if the operation was interrupted.
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
        let (costly, once) = (want.order > COSTLY_ORDER, want.effort == Effort::Once);
        let can_compact = want.order > 0 && self.may_move_pages();
        if costly || (want.order > 0 && want.kind != MigrateType::Movable) {
            // A large block is more often missing because free memory is fragmented than because there is
            // too little, so compaction comes before reclaim.
            let (pfn, status) = self.compact_directly(want, CompactPriority::Async);
            let hopeless = matches!(status, CompactStatus::Skipped | CompactStatus::Deferred);
            match pfn {
                Some(pfn) => return Ok(pfn),
                None if costly && once && hopeless => return Err(want.failed()),
                None => {}
            }
        }
        let mut tries = Tries::new(want.order);
        if costly && once {
            tries.priority = CompactPriority::Async;
        }
        // The loop ends: `tries` limits the rounds that free nothing, and a round that frees pages leaves
        // fewer pages to free for the next one.
        loop {
            stop_point();
            Error::unless_interrupted()?;
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
            if once || (costly && !(can_compact && want.effort == Effort::MayFail)) {
                return Err(want.failed());
            }
            if tries.reclaim_again(freed > 0, || self.would_suffice(want)) {
                continue;
            }
            if freed > 0 && can_compact && tries.compact_again(status, || self.would_suffice_to_compact(want))
            {
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
        want.nodes(self.nodes.len())
    }

    /// Returns true if the thread's allocations may compact. Moving pages may write to swap
    /// (`gfp_compaction_allowed`).
    fn may_move_pages(&self) -> bool {
        !self.pressure.is_in(context::NO_IO)
    }

    /// Reclaims pages for an allocation (`__alloc_pages_direct_reclaim`). Returns the number of frames
    /// that were freed, and the block for the allocation if one is free afterwards. A node that has
    /// enough free memory to compact for a large block is left as it is. If there is such a node and no
    /// frame was freed, the number is 1.
    fn reclaim_directly(&self, want: Want) -> (u32, Option<Pfn>) {
        self.stats.event(Event::Allocstall, 1);
        let goal = SWAP_CLUSTER_MAX.max(1 << want.order);
        let (mut freed, mut ready) = (0, false);
        {
            let _reclaims = self.pressure.enter(context::RECLAIMS | context::ALLOCATES);
            for node in self.nodes_for(want) {
                if freed >= goal {
                    break;
                }
                match self.is_ready_to_compact(want, node) {
                    true => ready = true,
                    false => freed += self.reclaim(node, goal - freed).unwrap_or_default(),
                }
            }
        }
        if freed > 0 {
            self.nodes_for(want).for_each(|node| self.note_progress(node));
        } else if !ready {
            return (0, None);
        }
        (freed.max(1), self.take_last(want, Floor::Min))
    }

    /// Returns true if a large block would not become free sooner by further reclaim of a node, because
    /// compaction has all the memory that it needs (`compaction_ready`).
    fn is_ready_to_compact(&self, want: Want, node: usize) -> bool {
        if want.order <= COSTLY_ORDER || !self.may_move_pages() {
            return false;
        }
        let zone = self.nodes[node].zone.lock();
        let buffer = zone.watermarks().high.saturating_add(2 << want.order);
        zone.has_block(want.order, want.kind)
            || (is_compaction_suitable(&zone, want.order) && zone.free() > buffer)
    }

    /// Compacts one node after the other until a run succeeds (`__alloc_pages_direct_compact`). Returns
    /// the block for the allocation if one is free afterwards, and the best status of the runs.
    fn compact_directly(&self, want: Want, priority: CompactPriority) -> (Option<Pfn>, CompactStatus) {
        let mut best = CompactStatus::Skipped;
        if !self.may_move_pages() {
            return (None, best);
        }
        let mut captured = None;
        // A run captures a block only for an allocation of movable pages.
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

    /// Returns true if an allocation would find its block on some node after reclaim has freed every page
    /// there that it can free. Reclaim makes no large block, so one must be free already.
    fn would_suffice(&self, want: Want) -> bool {
        self.nodes_for(want).any(|node| {
            let reclaimable = self.reclaimable(node);
            let zone = self.nodes[node].zone.lock();
            let needed = zone.watermarks().min + (1 << want.order);
            let block = want.order == 0 || zone.would_serve(want.order, want.kind);
            reclaimable + zone.free() >= needed && block
        })
    }

    /// Returns true if compaction could begin on some node after reclaim (`compaction_zonelist_suitable`).
    /// Reclaim frees pages here and there, few of which help a large block, so only a part of what can be
    /// reclaimed counts.
    fn would_suffice_to_compact(&self, want: Want) -> bool {
        self.nodes_for(want).any(|node| {
            let part = self.reclaimable(node) / u32::from(want.order.max(1));
            let zone = self.nodes[node].zone.lock();
            part + zone.free() > free_to_compact(&zone, want.order)
        })
    }

    /// The pages of a node that reclaim can free at best (`zone_reclaimable_pages`).
    fn reclaimable(&self, node: usize) -> u32 {
        let io = !self.pressure.is_in(context::NO_IO) && self.swap.free_slots() > 0;
        let lruvec = self.nodes[node].lruvec.lock();
        let lists = LruList::ALL.into_iter().filter(|&list| list != LruList::Unevictable);
        lists.filter(|list| list.is_file() || io).map(|list| lruvec.pages(list)).sum()
    }

    /// The last attempt of an allocation (`__alloc_pages_may_oom`). Returns a block, or `None` if the
    /// balloon has given up pages and the allocation should make another round.
    fn last_attempt(&self, want: Want) -> Result<Option<Pfn>> {
        let _alone = self.pressure.oom.lock();
        if let Some(pfn) = self.take_last(want, Floor::Min) {
            return Ok(Some(pfn));
        }
        // Other nodes may have memory that an allocation from one node alone cannot use, and an allocation
        // that may fail is not worth the memory of others.
        if want.reach == Reach::Node || want.effort == Effort::MayFail {
            return Err(want.failed());
        }
        if self.ask_balloon(want.order) {
            return Ok(None);
        }
        // Writing to swap may free memory that an allocation without I/O cannot get, so the failure of such
        // an allocation is no proof that the machine is out of memory. The kernel repeats it for ever.
        if self.pressure.is_in(context::NO_IO) {
            return Err(want.failed());
        }
        self.stats.event(Event::OomKill, 1);
        Err(Error { errno: Errno::ENOMEM, pfn: None, why: Why::OutOfMemory { order: want.order } })
    }
}
