//! Pages of the kernel's own, which cannot move and keep their pageblock in use.

use crate::alloc::MigrateType;
use crate::error::{Errno, Error, Result, Why};
use crate::hotplug::{BlockState, ZoneKind};
use crate::machine::Machine;
use crate::memory::room;
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::stop_point;

impl<R: Release> Machine<R> {
    /// Allocates up to `count` pages of the kernel's own on a node, as many as it has memory for,
    /// each with one reference of the caller. They never lie in the zone of movable pages.
    ///
    /// `EINVAL` for a node that does not exist.
    pub fn alloc_kernel_pages(&self, node: usize, count: u32) -> Result<Vec<Pfn>> {
        let Some(found) = self.nodes.get(node) else {
            return Err(Error::new(Errno::EINVAL, format!("no node {node}")));
        };
        let mut pages = room("pages of the kernel", count.min(found.frames) as usize)?;
        for _ in 0..count {
            stop_point();
            match self.alloc_kernel_page(node) {
                Ok(pfn) => pages.push(pfn),
                Err(error) if error.errno == Errno::ENOMEM => break,
                Err(error) => return Err(error),
            }
        }
        Ok(pages)
    }

    fn alloc_kernel_page(&self, node: usize) -> Result<Pfn> {
        let found = &self.nodes[node];
        if !found.has_movable_zone() {
            return self.alloc_pages_of(node, 0, MigrateType::Unmovable);
        }
        // A node with memory in both zones has one set of free lists here, so the frame is looked for
        // block by block. Frames of isolated pageblocks stay free: another thread is emptying these.
        let kernel = |block: &u32| found.blocks.state(*block) == Some(BlockState::Online(ZoneKind::Kernel));
        for range in (0..found.blocks.count()).filter(kernel).filter_map(|block| found.blocks.range(block)) {
            for pfn in range.map(|number| found.base.plus(number)) {
                if self.is_free_buddy(pfn) && self.take_frames(pfn..pfn.plus(1), false).is_ok() {
                    return Ok(pfn);
                }
            }
        }
        let why = Why::NoFrame { node: node as u8, order: 0 };
        Err(Error { errno: Errno::ENOMEM, pfn: None, why })
    }
}
