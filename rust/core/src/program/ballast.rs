//! What the kernel lab keeps mapped on each node beside the script: 2 MiB of a disk's file, by another
//! process. Whether a page that comes back is active at once depends on how much memory competes with
//! it; with this much of it, it always is.

use crate::error::Result;
use crate::machine::Machine;
use crate::map::{AddressSpace, File, FileKind, FileMap};
use crate::release::Release;
use std::sync::Arc;

/// Pages on each node.
const PAGES: u32 = 512;

/// Nodes with fewer frames have no ballast: it would leave too little.
const LEAST: u32 = 8 * PAGES;

/// The process and its files.
pub(super) struct Ballast {
    space: Arc<AddressSpace>,
    files: Vec<Arc<File>>,
}

impl Ballast {
    /// Maps and reads it, and puts it on its lists.
    pub fn load<R: Release>(machine: &Machine<R>) -> Result<Ballast> {
        let mut ballast = Ballast { space: machine.address_space()?, files: Vec::new() };
        for (number, node) in machine.nodes().iter().enumerate() {
            if node.frames < LEAST {
                continue;
            }
            let file = machine.file(FileKind::Disk, PAGES)?;
            ballast.files.push(Arc::clone(&file));
            let map = FileMap { file, first: 0, private: false, random: true };
            let area = machine.mmap_file(&ballast.space, map, PAGES)?;
            machine.prefer(&area, number)?;
            for page in 0..PAGES {
                machine.fault(&area, page, false)?;
                // On the node where the lab's system runs there are files that it uses again and again: they compete with a
                // file's page that comes back, those of the inactive list with an anonymous one (recordings m71025/47,
                // m71096/26: a page that was evicted from the other node does not come back active).
                if number == 0
                    && let Some(pfn) = machine.get_page_at(&area, page)
                {
                    (0..2).for_each(|_| machine.mark_page_accessed(pfn));
                    machine.put(pfn);
                }
            }
        }
        machine.lru_drain_all();
        Ok(ballast)
    }

    /// Throws it overboard.
    pub fn drop<R: Release>(self, machine: &Machine<R>) {
        machine.exit(&self.space);
        self.files.iter().for_each(|file| machine.remove_file(file));
    }
}
