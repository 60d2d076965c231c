//! Allocates base pages and large pages, and takes them back.

use super::pageblock::MigrateType;
use super::watermark::Floor;
use crate::calls::Call;
use crate::error::{Errno, Error, Result, Why};
use crate::inject::{Kind, no_memory};
use crate::machine::Machine;
use crate::owner::OwnerId;
use crate::page::{Flags, MAX_ORDER, OF_A_TAIL, Pfn, reckon};
use crate::pressure::state::{Effort, Reach, Want};
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use crate::sync::{Mutation, Ordering, mutated};
use arrayvec::ArrayVec;

/// The most base pages that are allocated together.
pub(crate) const TOGETHER: usize = 64;

/// The word for a frame in the error of an injected fault.
const FRAME: &str = "frame";

impl<R: Release> Machine<R> {
    /// Allocates a block of 2^`order` movable pages on `node`, never on another one, with one
    /// reference; a large page if `order` > 0.
    ///
    /// `ENOMEM` if the node has no such block, even after the per-CPU arrays were flushed and, under
    /// memory pressure, after reclaim; `EINVAL` for a node or an order that does not exist.
    pub fn alloc_pages(&self, node: usize, order: u8) -> Result<Pfn> {
        if self.strikes(Kind::NoMemory, FRAME, None) {
            return Err(no_memory(FRAME));
        }
        self.served(
            node,
            order,
            match self.alloc_on(node, order) {
                Err(error) => self.insist(error, Reach::Node, Effort::Usual),
                found => found,
            },
        )
    }

    /// Like [`Machine::alloc_pages`], but never waits (`GFP_NOWAIT`): under memory pressure it fails
    /// where `alloc_pages` reclaims.
    pub fn alloc_pages_nowait(&self, node: usize, order: u8) -> Result<Pfn> {
        self.may_allocate(FRAME)?;
        self.served(
            node,
            order,
            match self.alloc_on(node, order) {
                Err(error) if error.errno == Errno::ENOMEM && self.pressure.is_on() => {
                    let (reach, effort) = (Reach::Node, Effort::NoWait);
                    self.wake_kswapds(Want { node, order, kind: MigrateType::Movable, reach, effort });
                    self.take_on(node, order, MigrateType::Movable, Floor::Min).ok_or(error)
                }
                done => done,
            },
        )
    }

    /// Goes on with an allocation of movable pages that found no frame, on a machine with memory
    /// pressure.
    #[cold]
    fn insist(&self, error: Error, reach: Reach, effort: Effort) -> Result<Pfn> {
        match error.why {
            Why::NoFrame { node, order } if self.pressure.is_on() => {
                let node = usize::from(node);
                self.alloc_under_pressure(Want { node, order, kind: MigrateType::Movable, reach, effort })
            }
            _ => Err(error),
        }
    }

    /// Like [`Machine::alloc_pages`], for pages of the kernel's own, which cannot move. They do not come from
    /// the per-CPU arrays.
    ///
    /// `EINVAL` for any type but unmovable and reclaimable.
    pub fn alloc_pages_of(&self, node: usize, order: u8, kind: MigrateType) -> Result<Pfn> {
        self.may_allocate(FRAME)?;
        if !matches!(kind, MigrateType::Unmovable | MigrateType::Reclaimable) {
            let why = format!("no page of the kernel is {}: choose unmovable or reclaimable", kind.name());
            return Err(Error::new(Errno::EINVAL, why));
        }
        if node >= self.nodes.len() || order > MAX_ORDER {
            return Err(Error::new(Errno::EINVAL, format!("no node {node} or order {order}")));
        }
        let pfn = self.alloc_block(node, order, kind, Floor::Low);
        self.refresh_arrays(node);
        self.served(
            node,
            order,
            match pfn {
                Some(pfn) => Ok(pfn),
                None if self.pressure.is_on() => {
                    let (reach, effort) = (Reach::Node, Effort::Usual);
                    self.alloc_under_pressure(Want { node, order, kind, reach, effort })
                }
                None => Err(no_frame(node, order)),
            },
        )
    }

    // The function is inlined into the allocations that call it. They have checked for an injected
    // fault, and need no further call.
    #[inline(always)]
    fn alloc_on(&self, node: usize, order: u8) -> Result<Pfn> {
        if node >= self.nodes.len() || order > MAX_ORDER {
            return Err(Error::new(Errno::EINVAL, format!("no node {node} or order {order}")));
        }
        let pfn = match order {
            0 => self.alloc_base(node, Floor::Low),
            _ => self.alloc_block(node, order, MigrateType::Movable, Floor::Low),
        };
        pfn.ok_or_else(|| no_frame(node, order))
    }

    /// Takes a block of a node. The buddy lists give one only if no fewer free frames than a watermark stay.
    fn take_on(&self, node: usize, order: u8, kind: MigrateType, floor: Floor) -> Option<Pfn> {
        match (order, kind) {
            (0, MigrateType::Movable) => self.alloc_base(node, floor),
            _ => {
                let pfn = self.alloc_block(node, order, kind, floor);
                if kind != MigrateType::Movable {
                    self.refresh_arrays(node);
                }
                pfn
            }
        }
    }

    /// Takes a block for an allocation from the first of its nodes that can give one without falling below
    /// a watermark (`get_page_from_freelist`).
    pub(crate) fn take_for(&self, want: Want, floor: Floor) -> Option<Pfn> {
        self.first_of(want, |node| self.take_on(node, want.order, want.kind, floor))
    }

    /// Asks the nodes of an allocation in turn; returns the block of the first node that gives one.
    #[inline]
    fn first_of(&self, want: Want, take: impl Fn(usize) -> Option<Pfn>) -> Option<Pfn> {
        let mut nodes = want.nodes(self.nodes.len());
        let first = nodes.next()?;
        take(first).or_else(|| {
            nodes.find_map(|other| {
                let pfn = take(other)?;
                self.count_miss(first, other);
                Some(pfn)
            })
        })
    }

    /// Allocates the target of a migration (`alloc_migration_target` with `__GFP_RETRY_MAYFAIL`). The page
    /// can stay where it is, so no owner gives memory up for the target.
    pub(crate) fn alloc_target(&self, node: usize, order: u8, reach: Reach) -> Result<Pfn> {
        let (kind, effort) = (MigrateType::Movable, Effort::MayFail);
        self.alloc_wanted(Want { node, order, kind, reach, effort })
    }

    /// Allocates a page that stays where it is, because a lasting pin holds it from the beginning. The page
    /// is not of the movable type, and lies on no node for movable pages. Asks the given node first, then
    /// all others.
    pub(crate) fn alloc_lasting(&self, node: usize, order: u8) -> Result<Pfn> {
        let lasting = (0..self.nodes.len()).filter(|&node| self.nodes[node].allows_lasting_pins());
        self.alloc_unmoved(node, order, Reach::among(lasting))
    }

    /// Like [`Machine::alloc_lasting`], on the given node alone. A node for movable pages cannot serve, and
    /// then the others do (`apply_policy_zone`).
    pub(crate) fn alloc_lasting_on(&self, node: usize, order: u8) -> Result<Pfn> {
        match self.nodes.get(node).is_none_or(|found| found.allows_lasting_pins()) {
            true => self.alloc_unmoved(node, order, Reach::Node),
            false => self.alloc_lasting(node, order),
        }
    }

    fn alloc_unmoved(&self, node: usize, order: u8, reach: Reach) -> Result<Pfn> {
        if node >= self.nodes.len() {
            return Err(Error::new(Errno::EINVAL, format!("no node {node}")));
        }
        let want = Want { node, order, kind: MigrateType::Unmovable, reach, effort: Effort::Usual };
        let asked = want.nodes(self.nodes.len()).next().unwrap_or(node);
        self.served(
            asked,
            order,
            loop {
                self.may_allocate(FRAME)?;
                match self.take_for(want, Floor::Low) {
                    Some(pfn) => break Ok(pfn),
                    None if self.pressure.is_on() => break self.alloc_under_pressure(want),
                    None if reach != Reach::Node && self.ask_balloon(order) => {}
                    None => break Err(want.failed()),
                }
            },
        )
    }

    /// Allocates movable pages: takes a block of the first node that has one, and under memory pressure
    /// reclaims only if none has.
    pub(crate) fn alloc_wanted(&self, want: Want) -> Result<Pfn> {
        self.may_allocate(FRAME)?;
        let first = want.nodes(self.nodes.len()).next().unwrap_or(want.node);
        self.served(
            first,
            want.order,
            match self.first_of(want, |node| self.alloc_on(node, want.order).ok()) {
                Some(pfn) => Ok(pfn),
                None if self.pressure.is_on() => self.alloc_under_pressure(want),
                None => Err(want.failed()),
            },
        )
    }

    /// Tells the reckoner the result of an allocation of 2^`order` frames that asked for a node.
    #[inline(always)]
    fn served(&self, asked: usize, order: u8, result: Result<Pfn>) -> Result<Pfn> {
        match result {
            Ok(pfn) => reckon::served(asked, self.node_of(pfn)),
            Err(_) => reckon::unserved(order),
        }
        result
    }

    /// Counts an allocation that was asked of one node and served by another.
    fn count_miss(&self, asked: usize, other: usize) {
        let missed = if mutated(Mutation::MissOnAskedNode) { asked } else { other };
        self.stats.node(missed, NodeItem::NumaMiss, 1);
        self.stats.node(asked, NodeItem::NumaForeign, 1);
    }

    /// Like [`Machine::alloc_pages`], but falls back to the other nodes, in the order of their
    /// numbers.
    pub fn alloc_pages_near(&self, node: usize, order: u8) -> Result<Pfn> {
        self.served(
            node,
            order,
            loop {
                match self.alloc_on_any(node, order) {
                    Err(error) if self.pressure.is_on() => {
                        break self.insist(error, Reach::Near, Effort::Usual);
                    }
                    Err(error) if error.errno == Errno::ENOMEM && self.ask_balloon(order) => {}
                    done => break done,
                }
            },
        )
    }

    /// Like [`Machine::alloc_pages_near`], but fails instead of asking owners to give pages back
    /// (`__GFP_NORETRY`).
    pub fn alloc_pages_unforced(&self, node: usize, order: u8) -> Result<Pfn> {
        self.served(
            node,
            order,
            match self.alloc_on_any(node, order) {
                Err(error) => self.insist(error, Reach::Near, Effort::Once),
                found => found,
            },
        )
    }

    /// Allocates a block on a node or, if it has none, on another one.
    fn alloc_on_any(&self, node: usize, order: u8) -> Result<Pfn> {
        self.may_allocate(FRAME)?;
        let first = self.alloc_on(node, order);
        if first.is_ok() || node >= self.nodes.len() {
            return first;
        }
        for other in (0..self.nodes.len()).filter(|&other| other != node) {
            if let Ok(pfn) = self.alloc_on(other, order) {
                self.count_miss(node, other);
                return Ok(pfn);
            }
        }
        first
    }

    /// Asks the balloon for pages, for an allocation that has found no frame on any node
    /// (`out_of_memory`). Returns true if it has freed some, so that another attempt is worthwhile.
    /// Large pages of more than 8 frames are no reason to ask: frames one by one hardly help them.
    #[cold]
    pub(crate) fn ask_balloon(&self, order: u8) -> bool {
        const COSTLY: u8 = 3;
        const PAGES: u32 = 256;
        if order > COSTLY {
            return false;
        }
        // Acquire pairs with the Release of `Balloon::new`, which stores the id after the owner is
        // in its slot.
        let owner = OwnerId(self.balloon.load(Ordering::Acquire));
        let balloon = (owner != OwnerId::NOBODY).then(|| self.owners.movable(owner)).flatten();
        balloon.is_some_and(|balloon| balloon.out_of_memory(self, PAGES) > 0)
    }

    #[inline]
    fn alloc_base(&self, node: usize, floor: Floor) -> Option<Pfn> {
        let mut flushed = false;
        loop {
            let mut taken = None;
            self.take_from_array(node, 1, floor, |pfn| taken = Some(pfn));
            match taken {
                Some(pfn) if self.hand_out_frame(pfn) => {
                    self.stats.allocated(node, 1);
                    return Some(pfn);
                }
                // The frame was poisoned while it was free, and the next frame is tried.
                Some(_) => {}
                // Under memory pressure reclaim comes first, and then flushes the arrays.
                None if flushed || self.pressure.is_on() => return None,
                None => {
                    self.drain_pcp(node);
                    flushed = true;
                }
            }
        }
    }

    /// Allocates up to `count` movable base pages of a node, with one acquisition of the lock of this CPU's
    /// array. The pages are those that as many calls of [`Machine::alloc_pages`] would give one after the
    /// other. They are fewer than `count` if the node has not so many at hand, and none under memory
    /// pressure: only [`Machine::alloc_pages`] flushes arrays and reclaims.
    #[inline]
    pub(crate) fn alloc_together(&self, node: usize, count: usize) -> ArrayVec<Pfn, TOGETHER> {
        let mut pages = ArrayVec::new();
        if node < self.nodes.len() && !self.pressure.is_on() {
            let mut taken = ArrayVec::<Pfn, TOGETHER>::new();
            self.take_from_array(node, count.min(TOGETHER), Floor::Low, |pfn| taken.push(pfn));
            taken.iter().filter(|&&pfn| self.hand_out_frame(pfn)).for_each(|&pfn| pages.push(pfn));
            self.stats.allocated_singly(node, pages.len() as i64);
            pages.iter().for_each(|&pfn| reckon::served(node, self.node_of(pfn)));
        }
        pages
    }

    /// Takes up to `count` frames of a node from this CPU's array, which is refilled from the buddy lists.
    #[inline]
    fn take_from_array(&self, node: usize, count: usize, floor: Floor, mut taken: impl FnMut(Pfn)) {
        let mut pcp = self.cpus[self.cpu()].pcp[node].lock();
        for _ in 0..count {
            let frame = pcp.take(|want, batch| {
                let mut zone = self.nodes[node].zone.lock();
                let spare = zone.spare(floor) as usize;
                let count = want.min(spare);
                zone.take_singles(&self.frames, count, MigrateType::Movable, |pfn| batch.push(pfn));
            });
            match frame {
                Some(pfn) => taken(pfn),
                None => return,
            }
        }
        // The record of the frame after the next is prefetched: it has been cold since that
        // frame was freed.
        if let Some(&soon) = pcp.frames().iter().nth_back(1) {
            self.frames.prefetch(soon);
        }
    }

    /// Gives a frame that was taken from an array its first reference. Returns false if the frame was
    /// poisoned while it was free: it is not handed out. It has left the allocator, so it is counted as
    /// allocated; it is counted as freed again if it is unpoisoned.
    #[inline(always)]
    fn hand_out_frame(&self, pfn: Pfn) -> bool {
        let good = self.frames[pfn].hand_out(pfn, Flags::empty()).is_some();
        match good {
            true => self.calls_on(Call::MmPageAlloc, pfn),
            false => self.stats.event(Event::Pgalloc, 1),
        }
        good
    }

    /// Allocates a block past the per-CPU arrays.
    fn alloc_block(&self, node: usize, order: u8, kind: MigrateType, floor: Floor) -> Option<Pfn> {
        let take = || {
            let mut zone = self.nodes[node].zone.lock();
            match zone.spare(floor) >= 1 << order {
                true => zone.take(&self.frames, order, kind),
                false => None,
            }
        };
        loop {
            let head = take().or_else(|| {
                if self.pressure.is_on() {
                    return None;
                }
                self.drain_pcp(node);
                take()
            })?;
            // The loop ends, because each round takes at least one bad frame out of the allocator.
            if let Some(head) = self.hand_out_block(head, order) {
                self.stats.allocated(node, 1 << order);
                return Some(head);
            }
        }
    }

    /// Gives a block that was taken off the lists its first reference. Returns `None` if a frame of it is
    /// poisoned; its good frames are free again. The caller counts the allocation.
    pub(crate) fn hand_out_block(&self, head: Pfn, order: u8) -> Option<Pfn> {
        let mut poisoned = false;
        for offset in 1..1u32 << order {
            let tail = &self.frames[head.plus(offset)];
            tail.set_owner(head.0, 0);
            poisoned |= tail.set(Flags::TAIL).has(Flags::HWPOISON);
        }
        let describe = || {
            if order > 0 {
                self.frames[head].set_extra(order, 0);
                self.frames[head].set(Flags::HEAD);
            }
        };
        let late = mutated(Mutation::ReferenceBeforeOrder);
        if !late {
            describe();
        }
        if !poisoned && self.frames[head].hand_out_good(head, Flags::empty()) {
            if late {
                describe();
            }
            self.calls_on(Call::MmPageAlloc, head);
            return Some(head);
        }
        self.frames[head].clear(Flags::HEAD);
        if !mutated(Mutation::PoisonDropsBlock) {
            let refused = self.give_good(head, order);
            self.stats.event(Event::Pgalloc, i64::from(refused));
        }
        None
    }

    /// Gives the good frames of a block back to the buddy lists one by one, when poisoned frames in
    /// it forbid to use the block as a whole. Returns the number of poisoned frames, which are
    /// refused.
    pub(crate) fn give_good(&self, block: Pfn, order: u8) -> u32 {
        let node = self.node_of(block);
        let mut refused = 0;
        for pfn in (0..1u32 << order).map(|offset| block.plus(offset)) {
            let page = &self.frames[pfn];
            page.clear(OF_A_TAIL | Flags::ANON_EXCLUSIVE);
            page.set_owner(0, 0);
            page.set_extra(0, 0);
            // The frame is refused in the last step: from then on another thread may unpoison the
            // frame, and it belongs to that thread.
            match page.refuse() {
                true => refused += 1,
                false => self.nodes[node].zone.lock().give(&self.frames, pfn, 0),
            }
        }
        refused
    }

    /// Gives a block back to the allocator. Its count is zero, and its flags and fields are reset.
    /// A block of order 0 goes into this CPU's array.
    #[inline]
    pub(crate) fn free_to_allocator(&self, pfn: Pfn, order: u8) {
        let node = self.node_of(pfn);
        if order == 0 {
            return self.free_frames_to_allocator(node, &[pfn]);
        }
        self.stats.event(Event::Pgfree, 1 << order);
        self.calls_on(Call::MmPageFree, pfn);
        self.give(&mut self.nodes[node].zone.lock(), node, pfn, order);
    }

    /// Gives single frames of a node back to the allocator: they go into this CPU's array, one after the
    /// other, under one lock.
    #[inline]
    pub(crate) fn free_frames_to_allocator(&self, node: usize, frames: &[Pfn]) {
        self.stats.event(Event::Pgfree, frames.len() as i64);
        if self.records_calls() {
            frames.iter().for_each(|&pfn| self.calls_on(Call::MmPageFree, pfn));
        }
        let mut pcp = self.cpus[self.cpu()].pcp[node].lock();
        for &pfn in frames {
            let is_movable = || self.pageblock_of(node, pfn) == MigrateType::Movable;
            pcp.give(pfn, is_movable, |batch| self.give_singles(node, batch));
        }
    }
}

/// The error of an allocation that found no block.
#[cold]
fn no_frame(node: usize, order: u8) -> Error {
    Error { errno: Errno::ENOMEM, pfn: None, why: Why::NoFrame { node: node as u8, order } }
}
