//! Puts a memory block online (`online_pages`).

use super::blocks::{BlockState, ZoneKind};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::release::Release;

impl<R: Release> Machine<R> {
    /// Puts a memory block online in `zone`; `None` is the first of [`Machine::valid_zones`]. The
    /// frames are free, and are handed out after the node's other free frames.
    ///
    /// `EINVAL` if there is no such block or it is online already. `EHWPOISON` in kernels that never
    /// take a block back that went offline with a poisoned frame; other kernels forget the poison.
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
        {
            let mut free = found.zone.lock();
            let numbers = free.number(range.start)..free.number(range.start) + found.blocks.size();
            // The block is online before its first frame can be handed out.
            found.blocks.set(block, BlockState::Online(zone));
            free.add_range(&self.frames, numbers);
        }
        self.refresh_arrays(node);
        self.adapt_watermarks();
        bad.remove(&(node, block));
        Ok(())
    }
}
