//! The frame allocator: a buddy allocator per node, an array of free frames per CPU and node in
//! front of it (lifecycle 10).
//!
//! # Where a free frame can be
//!
//! ```text
//!             refill (batch)              hand_out: count 0 -> 1
//!   buddy  ------------------>  per-CPU  ------------------------>  allocated
//!   lists  <------------------  array    <------------------------
//!     |        flush (batch)               last put, order 0
//!     +--- frontier: frames never used yet, handed to the lists one maximal block at a time, so
//!          that a large machine costs nothing until it is used
//! ```
//!
//! Orders above 0 bypass the per-CPU arrays. The kernel also keeps orders 1 to 3 and 9 there.
//!
//! # What can go wrong
//!
//! * A frame that is poisoned while it sits in an array must not be handed out: the last check is
//!   the atomic that gives the first reference ([`Page::hand_out`](crate::page::Page::hand_out)).
//! * Memory is scattered over the arrays of other CPUs when a node runs empty: they are flushed
//!   once before the allocation fails, as direct reclaim does with `drain_all_pages`.
//! * One bad frame must not cost the block that it is part of: the good ones go back, by themselves.
//! * "Drained" must not be judged by an unlocked count (kernel 66eca1021a42).

mod pcp;
mod zone;

pub use pcp::Pcp;
pub use zone::Zone;

use crate::calls::Call;
use crate::error::{Errno, Error, Result, Why};
use crate::inject::{Kind, no_memory};
use crate::machine::Machine;
use crate::page::{Flags, MAX_ORDER, OF_A_TAIL, Pfn, TAKEN_OFF_BUDDY};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, mutated};

/// What an injected fault calls an allocation here.
const FRAME: &str = "frame";

impl<R: Release> Machine<R> {
    /// A block of 2^`order` pages on exactly `node`, with one reference; a large page if `order` > 0.
    ///
    /// `ENOMEM` if the node has none, also after the per-CPU arrays were flushed.
    pub fn alloc_pages(&self, node: usize, order: u8) -> Result<Pfn> {
        if self.strikes(Kind::NoMemory, FRAME, None) {
            return Err(no_memory(FRAME));
        }
        self.alloc_on(node, order)
    }

    // One check of a fault for both kinds of allocation, and no call more for it.
    #[inline(always)]
    fn alloc_on(&self, node: usize, order: u8) -> Result<Pfn> {
        if node >= self.nodes.len() || order > MAX_ORDER {
            return Err(Error::new(Errno::EINVAL, format!("no node {node} or order {order}")));
        }
        let pfn = match order {
            0 => self.alloc_base(node),
            _ => self.alloc_large(node, order),
        };
        pfn.ok_or(Error { errno: Errno::ENOMEM, pfn: None, why: Why::NoFrame { node: node as u8, order } })
    }

    /// As [`Machine::alloc_pages`], falling back to the other nodes in order of distance (their number).
    pub fn alloc_pages_near(&self, node: usize, order: u8) -> Result<Pfn> {
        self.may_allocate(FRAME)?;
        let first = self.alloc_on(node, order);
        if first.is_ok() || node >= self.nodes.len() {
            return first;
        }
        (0..self.nodes.len())
            .filter(|&other| other != node)
            .find_map(|other| self.alloc_on(other, order).ok())
            .ok_or_else(|| first.expect_err("checked above"))
    }

    #[inline]
    fn alloc_base(&self, node: usize) -> Option<Pfn> {
        let mut flushed = false;
        loop {
            let taken = {
                let mut pcp = self.cpus[self.cpu()].pcp[node].lock();
                let taken = pcp.take(|want, batch| {
                    let mut zone = self.nodes[node].zone.lock();
                    for _ in 0..want {
                        match zone.take(&self.frames, 0) {
                            Some(pfn) => batch.push(pfn),
                            None => break,
                        }
                    }
                });
                // The one after next: its record has been cold since it was freed.
                if let Some(&soon) = pcp.frames().iter().nth_back(1) {
                    self.frames.prefetch(soon);
                }
                taken
            };
            match taken {
                Some(pfn) => {
                    if self.frames[pfn].hand_out(pfn, Flags::empty()).is_some() {
                        self.stats.event(Event::Pgalloc, 1);
                        self.calls_on(Call::MmPageAlloc, pfn);
                        return Some(pfn);
                    }
                    // Poisoned while it was free: it goes nowhere, the next one is tried. It has left the allocator,
                    // and comes back as any page does, if it is unpoisoned.
                    self.stats.event(Event::Pgalloc, 1);
                }
                None if flushed => return None,
                None => {
                    self.drain_pcp(node);
                    flushed = true;
                }
            }
        }
    }

    fn alloc_large(&self, node: usize, order: u8) -> Option<Pfn> {
        let take = || self.nodes[node].zone.lock().take(&self.frames, order);
        loop {
            let head = take().or_else(|| {
                self.drain_pcp(node);
                take()
            })?;
            let mut poisoned = false;
            for offset in 1..1u32 << order {
                let tail = &self.frames[head.plus(offset)];
                tail.set_owner(head.0, 0);
                poisoned |= tail.set(Flags::TAIL).has(Flags::HWPOISON);
            }
            self.frames[head].set_extra(order, 0);
            self.frames[head].set(Flags::HEAD);
            if !poisoned && self.frames[head].hand_out_good(head, Flags::empty()) {
                self.stats.event(Event::Pgalloc, 1 << order);
                self.calls_on(Call::MmPageAlloc, head);
                return Some(head);
            }
            // Each further round has taken a bad frame out for good.
            self.frames[head].clear(Flags::HEAD);
            if !mutated(Mutation::PoisonDropsBlock) {
                let refused = self.give_good(head, order);
                self.stats.event(Event::Pgalloc, i64::from(refused));
            }
        }
    }

    /// Gives the good frames of a block back that is not to be handed out, or not to reach a list, because
    /// some are poisoned: one bad frame must not cost its whole block. How many were refused.
    pub(crate) fn give_good(&self, block: Pfn, order: u8) -> u32 {
        let node = self.node_of(block);
        let mut refused = 0;
        for pfn in (0..1u32 << order).map(|offset| block.plus(offset)) {
            let page = &self.frames[pfn];
            page.clear(OF_A_TAIL | Flags::ANON_EXCLUSIVE);
            page.set_owner(0, 0);
            page.set_extra(0, 0);
            // Last: what is refused may be unpoisoned, and is not ours any more.
            match page.refuse() {
                true => refused += 1,
                false => self.nodes[node].zone.lock().give(&self.frames, pfn, 0),
            }
        }
        refused
    }

    /// Gives back a block whose count is zero and whose flags and fields are reset. For order 0 into
    /// this CPU's array.
    #[inline]
    pub(crate) fn free_to_allocator(&self, pfn: Pfn, order: u8) {
        self.stats.event(Event::Pgfree, 1 << order);
        self.calls_on(Call::MmPageFree, pfn);
        let node = self.node_of(pfn);
        if order > 0 {
            self.nodes[node].zone.lock().give(&self.frames, pfn, order);
            return;
        }
        self.cpus[self.cpu()].pcp[node].lock().give(pfn, |batch| {
            let mut zone = self.nodes[node].zone.lock();
            for pfn in batch {
                zone.give(&self.frames, pfn, 0);
            }
        });
    }

    /// Flushes every CPU's free frames of `node` to the buddy lists (`drain_all_pages`). Nothing to do for a node that
    /// is not there.
    pub fn drain_pcp(&self, node: usize) {
        if node >= self.nodes.len() {
            return;
        }
        for cpu in &self.cpus {
            // The count is looked at under the lock: an unlocked look can miss frames that a refill is
            // just adding (kernel 66eca1021a42).
            self.flush_pcp(node, &mut cpu.pcp[node].lock());
        }
    }

    /// Gives all frames of an array to the buddy lists.
    fn flush_pcp(&self, node: usize, pcp: &mut Pcp) {
        pcp.flush(|batch| {
            let mut zone = self.nodes[node].zone.lock();
            for pfn in batch {
                zone.give(&self.frames, pfn, 0);
            }
        });
    }

    /// Keeps the per-CPU arrays of a node empty (`zone_pcp_disable`): what is free is on a buddy list from here
    /// on. Nests; each call needs a [`Machine::pcp_enable`].
    pub(crate) fn pcp_disable(&self, node: usize) {
        for cpu in &self.cpus {
            let trusted = mutated(Mutation::PcpCountUnlocked) && cpu.pcp[node].lock().is_empty();
            // Under the array's lock: a free that takes it afterwards finds the array disabled.
            let mut pcp = cpu.pcp[node].lock();
            pcp.disable();
            if !trusted {
                self.flush_pcp(node, &mut pcp);
            }
        }
    }

    /// Ends one [`Machine::pcp_disable`].
    pub(crate) fn pcp_enable(&self, node: usize) {
        for cpu in &self.cpus {
            cpu.pcp[node].lock().enable();
        }
    }

    /// Is the frame on a buddy list (`is_free_buddy_page`)?
    pub(crate) fn is_free_buddy(&self, pfn: Pfn) -> bool {
        self.nodes[self.node_of(pfn)].zone.lock().holds(&self.frames, pfn)
    }

    /// Takes a free frame out of the allocator (`take_page_off_buddy`); false if it is not on a buddy list.
    /// The caller is responsible for it then; it says of itself that it was taken.
    pub(crate) fn take_page_off_buddy(&self, pfn: Pfn) -> bool {
        self.calls_on(Call::TakePageOffBuddy, pfn);
        let taken = {
            let mut zone = self.nodes[self.node_of(pfn)].zone.lock();
            let taken = zone.take_frame(&self.frames, pfn);
            if taken {
                self.frames[pfn].set_extra(0, TAKEN_OFF_BUDDY);
            }
            taken
        };
        self.returns(Call::TakePageOffBuddy, taken.into());
        taken
    }

    /// Gives back a frame that was taken out, with the reference that the caller has on it
    /// (`put_page_back_buddy`), unless somebody else holds it too; true if it is free, and not poisoned any
    /// more.
    pub(crate) fn put_page_back_buddy(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        let mut zone = self.nodes[self.node_of(pfn)].zone.lock();
        // One reference and no other: nobody can take one of a frame that is in nobody's hands but by its number.
        if page.freeze(1).is_err() {
            return false;
        }
        page.set_extra(0, 0);
        // Before it is on a list: nobody is to refuse it there.
        page.unpoison();
        zone.give(&self.frames, pfn, 0);
        true
    }

    /// Gives back a frame with a count of zero that the allocator had refused.
    pub(crate) fn give_refused(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        page.set_owner(0, 0);
        page.set_extra(0, 0);
        page.clear(!(Flags::HWPOISON | Flags::WAITERS));
        self.stats.event(Event::Pgfree, 1);
        self.nodes[self.node_of(pfn)].zone.lock().give(&self.frames, pfn, 0);
    }

    /// Free frames of a node: in the buddy lists (`nr_free_pages`), and in the per-CPU arrays. None of a node that is
    /// not there.
    pub fn free_frames(&self, node: usize) -> (u32, u32) {
        let Some(found) = self.nodes.get(node) else { return (0, 0) };
        let buddy = found.zone.lock().free();
        let arrays = self.cpus.iter().map(|cpu| cpu.pcp[node].lock().len() as u32).sum();
        (buddy, arrays)
    }
}
