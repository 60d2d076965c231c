//! Watermarks, and the reserve from which they follow.

use crate::alloc::watermark::{Watermarks, default_min_free_kbytes, share_of_node};
use crate::error::{Errno, Error, Result};
use crate::machine::{Machine, Node};
use crate::release::Designed;
use crate::sync::Ordering;

impl<R: Designed> Machine<R> {
    /// True if the machine has memory pressure: watermarks, and allocations that reclaim.
    pub fn has_pressure(&self) -> bool {
        self.pressure.is_on()
    }

    /// `/proc/sys/vm/min_free_kbytes`: the reserve of the whole machine. 0 without memory pressure.
    pub fn min_free_kbytes(&self) -> u32 {
        // Relaxed: a setting orders nothing.
        self.pressure.min_free_kbytes.load(Ordering::Relaxed)
    }

    /// Sets the reserve, and computes the watermarks of all nodes anew. Each node gets a share by its
    /// managed pages.
    ///
    /// `EINVAL` for a machine without memory pressure.
    pub fn set_min_free_kbytes(&self, kbytes: u32) -> Result<()> {
        if !self.has_pressure() {
            let why = "this machine has no watermarks: build it with memory pressure";
            return Err(Error::new(Errno::EINVAL, why));
        }
        // Relaxed: as above.
        self.pressure.user_min_free_kbytes.store(kbytes, Ordering::Relaxed);
        self.pressure.min_free_kbytes.store(kbytes, Ordering::Relaxed);
        self.set_up_watermarks();
        Ok(())
    }

    /// Adapts the reserve and the watermarks to the memory that is online (`init_per_zone_wmark_min`). A
    /// reserve that was set stays if it is the larger one.
    pub(crate) fn adapt_watermarks(&self) {
        if !self.has_pressure() {
            return;
        }
        let kbytes = default_min_free_kbytes(self.managed().map(u64::from).sum());
        // Relaxed: as above.
        if kbytes > self.pressure.user_min_free_kbytes.load(Ordering::Relaxed) {
            self.pressure.min_free_kbytes.store(kbytes, Ordering::Relaxed);
        }
        self.set_up_watermarks();
    }

    /// Computes the watermarks of all nodes anew (`setup_per_zone_wmarks`). If another thread changes the
    /// reserve or a memory block meanwhile, the thread that ends last computes them once more.
    fn set_up_watermarks(&self) {
        // AcqRel: a thread that finds the number of another call finds the changes before that call.
        let mut number = self.pressure.changes.fetch_add(1, Ordering::AcqRel) + 1;
        loop {
            let kbytes = self.min_free_kbytes();
            let total = self.managed().map(u64::from).sum();
            for (node, managed) in self.nodes.iter().zip(self.managed()) {
                let min = share_of_node(kbytes, managed, total);
                node.zone.lock().set_watermarks(Watermarks::new(min, managed));
            }
            // Acquire: as above.
            let now = self.pressure.changes.load(Ordering::Acquire);
            if now == number {
                return;
            }
            number = now;
        }
    }

    /// The managed pages of each node.
    fn managed(&self) -> impl Iterator<Item = u32> + '_ {
        // Relaxed: a counter that orders no other access.
        let taken = |node: &Node| node.unmanaged.load(Ordering::Relaxed);
        self.nodes.iter().map(move |node| node.blocks.online().saturating_sub(taken(node)))
    }

    /// The watermarks of a node; all 0 without memory pressure.
    ///
    /// `EINVAL` for a node that does not exist.
    pub fn watermarks(&self, node: usize) -> Result<Watermarks> {
        let found = self.nodes.get(node);
        let found = found.ok_or_else(|| Error::new(Errno::EINVAL, format!("no node {node}")))?;
        Ok(found.zone.lock().watermarks())
    }
}
