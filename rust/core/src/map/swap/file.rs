//! Pages of memory file systems: a file's slot names a swap slot while its page is away.

use super::fault::{Past, Swapped};
use crate::error::Result;
use crate::machine::Machine;
use crate::map::File;
use crate::map::slot::Slot;
use crate::page::Pfn;
use crate::release::Release;

impl<R: Release> Machine<R> {
    /// Moves a locked, unmapped page of a memory file system from its file to the swap cache, and writes it
    /// (`shmem_writepage`). False, with the page as it was, if there is no slot.
    pub(in crate::map) fn file_page_to_swap(&self, file: &File, pfn: Pfn) -> bool {
        let index = self.frames[pfn].index();
        if !self.add_to_swap(pfn) {
            return false;
        }
        let Some(swap) = self.swap_space() else { return false };
        let slot = self.frames[pfn].private();
        {
            // The file's slot is the entry: counted before it is there, in one change.
            let mut changing = swap.change();
            changing.add_entry(slot);
            self.cache_to_swap(file, index, pfn, slot);
        }
        self.write_swap(&swap, pfn);
        true
    }

    /// Brings a file's page back that is in the swap space (`shmem_swapin_folio`): locked, with a reference.
    /// True if it had to be read. `None` if the file's slot is to be looked at again.
    pub(in crate::map) fn file_page_from_swap(
        &self,
        file: &File,
        index: u32,
        slot: u32,
        node: usize,
    ) -> Result<Option<(Pfn, bool)>> {
        let Some(swap) = self.swap_space() else { return Ok(None) };
        let alloc = || self.alloc_for_file(file, index, node);
        let Some(Swapped { pfn, read, .. }) = self.swapped_page(&swap, slot, Past::Never, alloc)? else {
            return Ok(None);
        };
        if !self.cache_from_swap(file, index, pfn, slot) {
            // Truncated meanwhile, or somebody was faster.
            self.unlock_and_put(pfn);
            return Ok(None);
        }
        // The file's slot was the only entry.
        let _ = swap.change().remove_entry(slot);
        self.free_swap(pfn);
        Ok(Some((pfn, read)))
    }

    /// A file's slot without a page is emptied (`shmem_free_swap`).
    pub(in crate::map) fn forget_swapped(&self, file: &File, index: u32) {
        if let Slot::Swap(slot) = self.cache_forget(file, index) {
            self.free_swap_entry(slot);
        }
    }
}
