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
//! * "Drained" must not be judged by an unlocked count (kernel 66eca1021a42).

mod pcp;
mod zone;

pub use pcp::Pcp;
pub use zone::Zone;

use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::page::{Flags, MAX_ORDER, Pfn};
use crate::release::Release;
use crate::stat::Event;

impl<R: Release> Machine<R> {
    /// A block of 2^`order` pages on exactly `node`, with one reference; a large page if `order` > 0.
    ///
    /// `ENOMEM` if the node has none, also after the per-CPU arrays were flushed.
    pub fn alloc_pages(&self, node: usize, order: u8) -> Result<Pfn> {
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
        let first = self.alloc_pages(node, order);
        if first.is_ok() || node >= self.nodes.len() {
            return first;
        }
        (0..self.nodes.len())
            .filter(|&other| other != node)
            .find_map(|other| self.alloc_pages(other, order).ok())
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
                        return Some(pfn);
                    }
                    // Poisoned while it was free: it goes nowhere, the next one is tried.
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
        let head = take().or_else(|| {
            self.drain_pcp(node);
            take()
        })?;
        for offset in 1..1u32 << order {
            let tail = &self.frames[head.plus(offset)];
            tail.set_owner(head.0, 0);
            tail.set(Flags::TAIL);
        }
        self.frames[head].set_extra(order, 0);
        self.frames[head].set(Flags::HEAD);
        self.frames[head].hand_out(head, Flags::empty())?;
        self.stats.event(Event::Pgalloc, 1 << order);
        Some(head)
    }

    /// Gives back a block whose count is zero and whose flags and fields are reset. For order 0 into
    /// this CPU's array.
    #[inline]
    pub(crate) fn free_to_allocator(&self, pfn: Pfn, order: u8) {
        self.stats.event(Event::Pgfree, 1 << order);
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

    /// Flushes every CPU's free frames of `node` to the buddy lists (`drain_all_pages`).
    pub fn drain_pcp(&self, node: usize) {
        for cpu in &self.cpus {
            // The count is looked at under the lock: an unlocked look can miss frames that a refill is
            // just adding (kernel 66eca1021a42).
            cpu.pcp[node].lock().flush(|batch| {
                let mut zone = self.nodes[node].zone.lock();
                for pfn in batch {
                    zone.give(&self.frames, pfn, 0);
                }
            });
        }
    }

    /// Free frames of a node: in the buddy lists (`nr_free_pages`), and in the per-CPU arrays.
    pub fn free_frames(&self, node: usize) -> (u32, u32) {
        let buddy = self.nodes[node].zone.lock().free();
        let arrays = self.cpus.iter().map(|cpu| cpu.pcp[node].lock().len() as u32).sum();
        (buddy, arrays)
    }
}
