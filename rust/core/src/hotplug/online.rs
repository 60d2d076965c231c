//! Puts a memory block online (`online_pages`).

use super::blocks::{BlockState, ZoneKind};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use std::ops::Range;

impl<R: Release> Machine<R> {
    /// Puts a memory block online in `zone`; `None` is the first of [`Machine::valid_zones`]. The
    /// frames are free, and are handed out after the node's other free frames.
    ///
    /// `EINVAL` if there is no such block or it is online already. `EHWPOISON` in kernels that never
    /// take a block back that went offline with a poisoned frame; other kernels forget the poison. A poisoned
    /// frame that has other holders still is left out.
    pub fn online_block(&self, node: usize, block: u32, zone: Option<ZoneKind>) -> Result<()> {
        let range = self.memory_block(node, block)?;
        let mut bad = self.hotplug.serial.lock();
        let found = &self.nodes[node];
        if found.blocks.state(block) != Some(BlockState::Offline) {
            let what = format!("memory block {block} of node {node} is online already");
            return Err(Error::new(Errno::EINVAL, what));
        }
        if let Some(frames) = bad.get(&(node, block))
            && self.profile.online_refuses_poisoned
        {
            let what = format!(
                "memory block {block} of node {node} went offline with {frames} poisoned frames, and stays so"
            );
            return Err(Error::new(Errno::EHWPOISON, what));
        }
        let zone = zone.unwrap_or_else(|| self.default_zone(node, block));
        let held_on = self.held_on(&range);
        {
            let mut free = found.zone.lock();
            let numbers = free.number(range.start)..free.number(range.start) + found.blocks.size();
            // The block is online before its first frame can be handed out.
            found.blocks.set(block, BlockState::Online(zone));
            let held_on: Vec<u32> = held_on.into_iter().map(|pfn| free.number(pfn)).collect();
            free.add_range(&self.frames, numbers, &held_on);
        }
        self.refresh_arrays(node);
        self.adapt_watermarks();
        bad.remove(&(node, block));
        Ok(())
    }

    /// The poisoned frames of an offline range that have other holders than memory failure, ascending.
    /// Frames whose holders have let go meanwhile lose their poison, and their records are reset.
    fn held_on(&self, range: &Range<Pfn>) -> Vec<Pfn> {
        // No handling of a failure reads the books in between.
        let _serial = self.failure.serial();
        let (left, held_on): (Vec<Pfn>, Vec<Pfn>) = (range.start.0..range.end.0)
            .map(Pfn)
            .filter(|&pfn| self.frames[pfn].word().has(Flags::HWPOISON))
            .partition(|&pfn| self.frames[pfn].freeze(1).is_ok());
        for &pfn in &left {
            let page = &self.frames[pfn];
            page.set_owner(0, 0);
            page.set_extra(0, 0);
            // `WAITERS` belongs to the wait queue, as in a freed frame.
            page.clear(!Flags::WAITERS);
        }
        self.failure.forget(range.clone(), &held_on, left.len() as u32);
        held_on
    }
}
