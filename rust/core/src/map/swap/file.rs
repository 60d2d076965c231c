//! Pages of memory file systems in swap: the file's slot names a swap slot while its page is
//! swapped out.

use super::fault::Bypass;
use super::swapped::Swapped;
use crate::error::Result;
use crate::machine::Machine;
use crate::map::File;
use crate::map::slot::Slot;
use crate::page::{Pfn, reckon};
use crate::release::Release;

impl<R: Release> Machine<R> {
    /// Moves a locked, unmapped page of a memory file system from its file to the swap cache, and
    /// writes it to its slot (`shmem_writepage`). Returns false, with the page unchanged, if no
    /// slot is free.
    pub(in crate::map) fn file_page_to_swap(&self, file: &File, pfn: Pfn) -> bool {
        let index = self.frames[pfn].index();
        if !self.add_to_swap(pfn) {
            return false;
        }
        let Some(swap) = self.swap_space() else { return false };
        let slot = self.frames[pfn].private();
        {
            // The file's slot counts as a swap entry. It is counted before it names the swap slot, and
            // both happen in one change. A thread that waits for a change therefore finds both.
            let mut changing = swap.change(self);
            changing.add_entry(slot);
            self.cache_to_swap(file, index, pfn, slot);
        }
        self.write_swap(&swap, pfn);
        true
    }

    /// Brings a file's page back from swap (`shmem_swapin_folio`): locked, with a reference. The
    /// second value is true if the page had to be read. `None` if the file's slot must be read
    /// again.
    pub(in crate::map) fn file_page_from_swap(
        &self,
        file: &File,
        index: u32,
        slot: u32,
        node: usize,
    ) -> Result<Option<(Pfn, bool)>> {
        let Some(swap) = self.swap_space() else { return Ok(None) };
        let alloc = || self.alloc_for_file(file, index, node);
        let Some(Swapped { pfn, read, .. }) = self.swapped_page(&swap, slot, Bypass::Never, alloc)? else {
            return Ok(None);
        };
        if !self.cache_from_swap(file, index, pfn, slot) {
            // The page was truncated meanwhile, or another thread has brought it back.
            if read {
                reckon::read_lost();
            }
            self.unlock_and_put(pfn);
            return Ok(None);
        }
        // The file's slot was the swap slot's only entry.
        let _ = swap.change(self).remove_entry(slot);
        self.free_swap(pfn);
        Ok(Some((pfn, read)))
    }

    /// Reads the page of a file's slot into the swap cache, if it is in swap (`shmem_swapin_range`). The
    /// page stays out of the file.
    pub(in crate::map) fn read_ahead_of_file(&self, file: &File, index: u32, node: usize) -> Result<()> {
        let Slot::Swap(slot) = file.slot(index) else { return Ok(()) };
        let Some(swap) = self.swap_space() else { return Ok(()) };
        let alloc = || self.alloc_for_file(file, index, node);
        if let Some(swapped) = self.swapped_page(&swap, slot, Bypass::Never, alloc)? {
            self.unlock_and_put(swapped.folio.head);
        }
        Ok(())
    }

    /// Empties a file's slot that holds no page, and frees the swap slot that it names
    /// (`shmem_free_swap`).
    pub(in crate::map) fn forget_swapped(&self, file: &File, index: u32) {
        if let Slot::Swap(slot) = self.cache_forget(file, index) {
            self.free_swap_entry(slot);
        }
    }
}
