//! Allocates pages for the kernel itself. They cannot move, and keep their pageblock in use.

use crate::alloc::MigrateType;
use crate::error::{Errno, Error, Result, Why};
use crate::hotplug::{BlockState, ZoneKind};
use crate::machine::Machine;
use crate::memory::room;
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::stop_point;

impl<R: Release> Machine<R> {
    /// Allocates up to `count` pages for the kernel itself on a node, as many as the node has memory
    /// for. The caller gets one reference on each. No such page lies in the zone of movable pages.
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
        // In mmcore the two zones of a node share one set of free lists, so the memory blocks of the
        // kernel's zone are searched for a free frame. Frames of isolated pageblocks are passed over:
        // another thread is emptying these pageblocks.
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
