//! Takes a memory block offline (`offline_pages`).

use super::blocks::BlockState;
use crate::alloc::pageblock::MigrateType;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::migrate::{Mode, Reason};
use crate::page::{Flags, Pfn};
use crate::pressure::state::Reach;
use crate::profile::OfflineOrder;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, interrupted, mutated, stop_point};
use std::ops::Range;

impl<R: Release> Machine<R> {
    /// Takes a memory block offline: its pages move to other nodes, and its frames leave the
    /// machine. A block with poisoned frames can go offline, too. The pages are scanned and moved up
    /// to `rounds` times. After the last round, and if the call is interrupted, the operation ends as
    /// if a signal had arrived.
    ///
    /// `EINVAL` if there is no such block or it is offline already. `EBUSY`, with nothing changed,
    /// for a page that cannot move, for a pageblock that another thread has isolated, and for the
    /// last memory of the machine. `EINTR` after the last round: pages that have moved stay at their
    /// new places, and the block is online as before, but all its pageblocks are movable now
    /// (`undo_isolate_page_range`). Kernels since 6.17 restore the types; mmcore does so under no
    /// profile.
    pub fn offline_block(&self, node: usize, block: u32, rounds: u32) -> Result<()> {
        let range = self.memory_block(node, block)?;
        let is_offline = || self.nodes[node].blocks.state(block) == Some(BlockState::Offline);
        let was_online = mutated(Mutation::OfflineClaimsAnothers) && !is_offline();
        let mut bad = self.hotplug.serial.lock();
        if was_online && is_offline() {
            return Ok(());
        }
        if is_offline() {
            let what = format!("memory block {block} of node {node} is offline already");
            return Err(Error::new(Errno::EINVAL, what));
        }
        if self.online_elsewhere(node, block).next().is_none() {
            let what = format!("memory block {block} of node {node} is the machine's last memory");
            return Err(Error::new(Errno::EBUSY, what));
        }
        self.pcp_disable(node);
        self.lru_cache_disable();
        let left = self.offline_range(node, block, &range, rounds);
        if left.is_ok() || !mutated(Mutation::OfflineKeepsBatchesOff) {
            self.lru_cache_enable();
        }
        self.pcp_enable(node);
        let poisoned = left?;
        if poisoned > 0 {
            bad.insert((node, block), poisoned);
        }
        self.adapt_watermarks();
        if self.nodes[node].blocks.online() == 0 {
            // A node without memory has no daemons: they end, and are woken to do so. A node whose last
            // frames fill no whole block keeps these frames, and its daemons.
            self.stats.event(Event::CompactDaemonWake, 1);
        }
        Ok(())
    }

    /// The nodes that have memory besides this block.
    fn online_elsewhere(&self, node: usize, block: u32) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(move |&other| {
            let blocks = &self.nodes[other].blocks;
            let online =
                |at: u32| (other, at) != (node, block) && blocks.state(at) != Some(BlockState::Offline);
            blocks.has_rest() || (0..blocks.count()).any(online)
        })
    }

    /// Makes the steps 2 to 6 of `hotplug`. The caller has switched the arrays and batches off. Returns
    /// the number of poisoned frames that left the machine with the block.
    fn offline_range(&self, node: usize, block: u32, range: &Range<Pfn>, rounds: u32) -> Result<u32> {
        // 2. A page that cannot move is found before anything changes.
        if let Some(pfn) = self.first_unmovable(range.clone(), true) {
            let what = format!("the page cannot move: {}", self.frames[pfn].word());
            return Err(Error::at(Errno::EBUSY, pfn, Why::State(what)));
        }
        // 3. Frames that become free from here on stay free.
        self.isolate_pageblocks(range.clone())?;
        let mut made = 0;
        while (made < rounds || mutated(Mutation::OfflineNeverEnds)) && !interrupted() {
            stop_point();
            made = made.saturating_add(1);
            // 4. Pages move until a scan finds none that can.
            if let Some(first) = self.first_movable(range) {
                self.migrate_off(node, first..range.end);
                continue;
            }
            // 5. Free huge pages go back to the allocator.
            self.dissolve_free_huge_pages(range);
            // 6. If all frames are free or poisoned, the block leaves the machine.
            if let Some(poisoned) = self.remove_block(node, block, range) {
                return Ok(poisoned);
            }
        }
        // The undo cannot fail: the isolation has checked the range.
        let _ = self.undo_isolate_pageblocks(range.clone(), MigrateType::Movable);
        let used = self.first_in_use(range.clone()).ok().flatten();
        let what = match used {
            Some(pfn) => {
                format!("a signal came after {made} rounds; still in use: {}", self.frames[pfn].word())
            }
            None => format!("a signal came after {made} rounds"),
        };
        Err(Error { pfn: used, ..Error::new(Errno::EINTR, what) })
    }

    /// The first frame of a range that belongs to a page on an LRU list, or to a page whose owner can
    /// move it (`scan_movable_pages`).
    fn first_movable(&self, range: &Range<Pfn>) -> Option<Pfn> {
        let mut at = range.start;
        while at < range.end {
            let head = self.frames.head(at);
            if self.frames[head].word().any(Flags::LRU | Flags::MOVABLE) {
                return Some(at);
            }
            at = self.after(at, head);
        }
        None
    }

    /// The frame at which a scan goes on after `at`: the first one behind the page or free block that
    /// holds `at`. The page may change meanwhile, so the result is a hint, but it is always above `at`.
    fn after(&self, at: Pfn, head: Pfn) -> Pfn {
        let page = &self.frames[head];
        let large = page.word().any(Flags::HEAD | Flags::BUDDY);
        let end = head.plus(if large { 1 << page.order() } else { 1 });
        if end > at { end } else { at.plus(1) }
    }

    /// Moves the pages of a range to other nodes, as far as they can be isolated
    /// (`do_migrate_range`). Pages that do not move are put back.
    fn migrate_off(&self, node: usize, range: Range<Pfn>) {
        let mut list = Vec::new();
        let mut at = range.start;
        while at < range.end && !interrupted() {
            let pfn = at;
            at = self.after(at, self.frames.head(at));
            let Some(head) = self.try_get_page(pfn) else { continue };
            let listed = self.frames[head].word().has(Flags::LRU);
            let taken = match (self.frames[pfn].word().has(Flags::HWPOISON), listed) {
                // The content of a poisoned frame must not be copied. The page leaves its list, because a
                // frame of a listed page cannot leave the machine.
                (true, true) if head == pfn => {
                    self.delete_from_lru(head);
                    false
                }
                (true, _) => false,
                (false, true) => self.isolate(head).is_ok(),
                (false, false) => self.isolate_movable_page(head),
            };
            if taken {
                list.push(head);
            }
            self.put(head);
        }
        if list.is_empty() {
            return;
        }
        if self.profile.offline_order == OfflineOrder::Descending {
            list.reverse();
        }
        let reach = match Reach::among(self.online_elsewhere(node, u32::MAX).filter(|&other| other != node)) {
            Reach::Among(0) => Reach::Node,
            others => others,
        };
        let mut target = |src: Pfn| self.alloc_target(node, self.frames[src].order(), reach).ok();
        self.migrate_pages(&mut list, &mut target, Mode::Sync, Reason::MemoryHotplug);
        if !list.is_empty() {
            self.putback_movable_pages(&mut list);
        }
    }

    /// Takes the frames of a block out of the machine, if all are free or poisoned
    /// (`test_pages_isolated`, `__offline_isolated_pages`). Returns the number of poisoned frames;
    /// `None`, with nothing changed, if a frame is still in use.
    fn remove_block(&self, node: usize, block: u32, range: &Range<Pfn>) -> Option<u32> {
        // The mutex of memory failure keeps the handling of a failure away. No poisoned frame is
        // therefore halfway between in use and contained.
        let _serial = self.failure.serial();
        let mut zone = self.nodes[node].zone.lock();
        let numbers = zone.number(range.start)..zone.number(range.start) + (range.end.0 - range.start.0);
        let (mut bad, mut held_on) = (Vec::new(), Vec::new());
        let mut at = numbers.start;
        while let Some(used) = zone.first_in_use(&self.frames, at..numbers.end) {
            let pfn = self.nodes[node].base.plus(used);
            if mutated(Mutation::OfflineWithoutTest) {
                at = used + 1;
                continue;
            }
            let page = &self.frames[pfn];
            let word = page.word();
            let refused = word.has(Flags::HWPOISON | Flags::REFUSED) && word.count() == 0;
            let in_place = word.any(Flags::LRU | Flags::HEAD | Flags::TAIL) || page.mapcount() > 0;
            let held = word.has(Flags::HWPOISON) && !in_place && self.is_held_by_poison(pfn);
            if !refused && !held {
                bad.into_iter().for_each(|pfn| self.frames[pfn].unfreeze(pfn, 1));
                return None;
            }
            // A contained frame has one reference, which memory failure holds. The freeze takes this
            // reference away, and fails if there is another holder, too.
            match refused || page.freeze(1).is_ok() {
                true if refused => {}
                true => bad.push(pfn),
                false => held_on.push(pfn),
            }
            at = used + 1;
        }
        zone.remove_range(&self.frames, numbers);
        self.nodes[node].blocks.set(block, BlockState::Offline);
        let mut gone = 0;
        for pfn in (range.start.0..range.end.0).map(Pfn) {
            // The frames were found in ascending order.
            if held_on.binary_search(&pfn).is_ok() {
                continue;
            }
            let page = &self.frames[pfn];
            gone += u32::from(page.word().has(Flags::HWPOISON));
            page.set_owner(0, 0);
            page.set_extra(0, 0);
            // `WAITERS` belongs to the wait queue, as in a freed frame.
            page.clear(!Flags::WAITERS);
        }
        self.failure.forget(range.clone(), &held_on, gone);
        Some(gone + held_on.len() as u32)
    }
}
