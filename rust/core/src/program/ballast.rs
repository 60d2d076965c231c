//! The ballast: 2 MiB of a disk's file on each node, which another process keeps mapped beside the
//! script in the recorded guest. A page that is read back becomes active at once if enough memory
//! competes with it, and the ballast is enough.

use crate::error::Result;
use crate::machine::Machine;
use crate::map::{AddressSpace, File, FileKind, FileMap};
use crate::release::Release;
use std::sync::Arc;

/// The ballast's pages on each node.
const PAGES: u32 = 512;

/// Nodes with fewer frames, or without memory online, have no ballast.
const MIN_FRAMES: u32 = 8 * PAGES;

/// The process and the files of the ballast.
pub(super) struct Ballast {
    space: Arc<AddressSpace>,
    files: Vec<Arc<File>>,
}

impl Ballast {
    /// Maps the ballast, reads it, and puts its pages on their lists.
    pub fn load<R: Release>(machine: &Machine<R>) -> Result<Ballast> {
        let mut ballast = Ballast { space: machine.address_space()?, files: Vec::new() };
        for (number, node) in machine.nodes().iter().enumerate() {
            if node.frames < MIN_FRAMES || !node.has_memory() {
                continue;
            }
            let file = machine.file(FileKind::Disk, PAGES)?;
            ballast.files.push(Arc::clone(&file));
            let map = FileMap { file, first: 0, private: false, random: true };
            let area = machine.mmap_file(&ballast.space, map, PAGES)?;
            machine.prefer(&area, number)?;
            for page in 0..PAGES {
                machine.fault(&area, page, false)?;
                // Node 0 also has files that the guest's system uses repeatedly. The ballast's pages there
                // stand for them, and are marked as accessed. Such pages compete with a refaulted page: those
                // on the active list with a file's page, those on the inactive list with an anonymous page.
                // Without them, a page that was evicted from the other node would come back active, unlike in
                // the recordings m71025/47 and m71096/26.
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

    /// Unmaps the ballast and removes its files.
    pub fn drop<R: Release>(self, machine: &Machine<R>) {
        machine.exit(&self.space);
        self.files.iter().for_each(|file| machine.remove_file(file));
    }
}
