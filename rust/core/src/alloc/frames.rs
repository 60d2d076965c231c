//! Single free frames: flushes the per-CPU arrays or keeps them empty, takes a frame out of the
//! buddy lists, and gives it back.

use super::pcp::Pcp;
use super::zone::Zone;
use crate::calls::Call;
use crate::machine::Machine;
use crate::page::{Flags, Pfn, TAKEN_OFF_BUDDY};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, mutated};

impl<R: Release> Machine<R> {
    /// Flushes every CPU's free frames of `node` to the buddy lists (`drain_all_pages`). Ignores a
    /// node that the machine does not have.
    pub fn drain_pcp(&self, node: usize) {
        if node >= self.nodes.len() {
            return;
        }
        for cpu in &self.cpus {
            // The array's count is read under its lock: an unlocked read can miss frames that a
            // refill is adding at that moment (kernel 66eca1021a42).
            self.flush_pcp(node, &mut cpu.pcp[node].lock());
        }
    }

    /// Gives all frames of an array to the buddy lists.
    fn flush_pcp(&self, node: usize, pcp: &mut Pcp) {
        pcp.flush(|batch| self.give_singles(node, batch));
    }

    /// Gives single frames to the buddy lists, in their order.
    pub(super) fn give_singles(&self, node: usize, frames: &[Pfn]) {
        let mut zone = self.nodes[node].zone.lock();
        if zone.captures() == 0 {
            return zone.give_singles(&self.frames, frames);
        }
        // Each of the frames may complete the block for which a compaction waits.
        for &pfn in frames {
            self.give(&mut zone, node, pfn, 0);
        }
    }

    /// Gives a block to the buddy lists. If this completes the block for which a compaction on this CPU
    /// waits, the completed block goes into the compaction's slot.
    #[inline]
    pub(super) fn give(&self, zone: &mut Zone, node: usize, pfn: Pfn, order: u8) {
        zone.give(&self.frames, pfn, order);
        if zone.captures() > 0 {
            self.capture(zone, node, pfn);
        }
    }

    #[cold]
    fn capture(&self, zone: &mut Zone, node: usize, pfn: Pfn) {
        let slot = &self.cpus[self.cpu()].capture;
        if let Some(order) = slot.order_for(node)
            && let Some(block) = zone.take_exactly(&self.frames, pfn, order)
            && !slot.fill(node, order, block)
        {
            zone.give(&self.frames, block, order);
        }
    }

    /// Empties the per-CPU arrays of a node and keeps them empty (`zone_pcp_disable`), so that
    /// every free frame is on a buddy list. Calls nest; each needs a [`Machine::pcp_enable`].
    pub(crate) fn pcp_disable(&self, node: usize) {
        for cpu in &self.cpus {
            let trusted = mutated(Mutation::PcpCountUnlocked) && cpu.pcp[node].lock().is_empty();
            // The array is disabled under its lock: a thread that frees a frame and takes the lock
            // later finds the array disabled.
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

    /// Returns true if the frame is on a buddy list (`is_free_buddy_page`).
    pub(crate) fn is_free_buddy(&self, pfn: Pfn) -> bool {
        self.nodes[self.node_of(pfn)].zone.lock().holds(&self.frames, pfn)
    }

    /// Takes a free frame out of the allocator (`take_page_off_buddy`). Returns false if the frame
    /// is not on a buddy list. A frame that was taken out belongs to the caller, and its record is
    /// marked `TAKEN_OFF_BUDDY`.
    pub(crate) fn take_page_off_buddy(&self, pfn: Pfn) -> bool {
        self.traced(Call::TakePageOffBuddy, pfn, || {
            let mut zone = self.nodes[self.node_of(pfn)].zone.lock();
            let taken = zone.take_frame(&self.frames, pfn);
            if taken {
                self.frames[pfn].set_extra(0, TAKEN_OFF_BUDDY);
            }
            taken
        })
    }

    /// Moves a free frame into this CPU's array, where the CPU's next allocation of a base page on the
    /// frame's node takes it. Returns false if the frame is not on a buddy list, or if the array is full
    /// or disabled.
    pub(crate) fn stage_frame(&self, pfn: Pfn) -> bool {
        let node = self.node_of(pfn);
        let mut pcp = self.cpus[self.cpu()].pcp[node].lock();
        let mut zone = self.nodes[node].zone.lock();
        if !zone.take_frame(&self.frames, pfn) {
            return false;
        }
        let staged = pcp.stage(pfn);
        if !staged {
            zone.give(&self.frames, pfn, 0);
        }
        staged
    }

    /// Clears the poison of a frame that was taken out, and gives the frame back to the buddy lists
    /// with the caller's reference (`put_page_back_buddy`). Returns false, with nothing changed, if
    /// another thread holds a reference too.
    pub(crate) fn put_page_back_buddy(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        let mut zone = self.nodes[self.node_of(pfn)].zone.lock();
        // The frame is frozen only if the caller's reference is the only one. From then on no
        // thread can take a reference by the frame's number, and there is no other way to this
        // frame.
        if page.freeze(1).is_err() {
            return false;
        }
        page.set_extra(0, 0);
        // The poison is cleared before the frame is on a list. From there an allocation could take
        // the frame, and would refuse it for its poison.
        page.unpoison();
        zone.give(&self.frames, pfn, 0);
        true
    }

    /// Gives a frame that the allocator had refused for its poison back to the buddy lists. The frame's
    /// count is zero, and the caller has cleared the poison.
    pub(crate) fn give_refused(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        page.set_owner(0, 0);
        page.set_extra(0, 0);
        page.clear(!(Flags::HWPOISON | Flags::WAITERS));
        self.stats.event(Event::Pgfree, 1);
        self.nodes[self.node_of(pfn)].zone.lock().give(&self.frames, pfn, 0);
    }

    /// Free frames of a node: those on the buddy lists (`nr_free_pages`), and those in the per-CPU
    /// arrays. `(0, 0)` for a node that the machine does not have.
    pub fn free_frames(&self, node: usize) -> (u32, u32) {
        let Some(found) = self.nodes.get(node) else { return (0, 0) };
        let buddy = found.zone.lock().free();
        let arrays = self.cpus.iter().map(|cpu| cpu.pcp[node].lock().len() as u32).sum();
        (buddy, arrays)
    }
}
