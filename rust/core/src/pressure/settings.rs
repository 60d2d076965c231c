//! Watermarks, and the reserve from which they follow.

use crate::alloc::watermark::{Watermarks, share_of_node};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::release::Release;
use crate::sync::Ordering;

impl<R: Release> Machine<R> {
    /// Whether the machine has memory pressure: watermarks, and allocations that reclaim.
    pub fn has_pressure(&self) -> bool {
        self.pressure.is_on()
    }

    /// `/proc/sys/vm/min_free_kbytes`: the reserve of the whole machine. 0 without memory pressure.
    pub fn min_free_kbytes(&self) -> u32 {
        // Relaxed: a setting orders nothing.
        self.pressure.min_free_kbytes.load(Ordering::Relaxed)
    }

    /// Sets the reserve, and computes the watermarks of all nodes anew
    /// (`setup_per_zone_wmarks`). Each node gets a share by its size.
    ///
    /// `EINVAL` for a machine without memory pressure.
    pub fn set_min_free_kbytes(&self, kbytes: u32) -> Result<()> {
        if !self.has_pressure() {
            let why = "this machine has no watermarks: build it with memory pressure";
            return Err(Error::new(Errno::EINVAL, why));
        }
        // Relaxed: as above.
        self.pressure.min_free_kbytes.store(kbytes, Ordering::Relaxed);
        let total = u64::from(self.frames.len());
        for node in &self.nodes {
            let min = share_of_node(kbytes, node.frames, total);
            node.zone.lock().set_watermarks(Watermarks::new(min, node.frames));
        }
        Ok(())
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
