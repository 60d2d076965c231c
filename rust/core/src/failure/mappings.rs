//! A lost page is taken from those who map it (`hwpoison_user_mappings`).

use super::kill::Signal;
use crate::calls::Call;
use crate::error::Errno;
use crate::machine::Machine;
use crate::map::AddressSpace;
use crate::page::{Flags, Pfn};
use crate::release::Release;

impl<R: Release> Machine<R> {
    /// Unmaps a locked page on which the caller has a reference, and tells who has to know. True if nothing maps
    /// it any more.
    ///
    /// A clean page of a disk's file was not lost: its mappings just go, and it is read again. One in the swap cache
    /// leaves swap entries (`TTU_IGNORE_HWPOISON`), everything else poisoned ones.
    pub(super) fn hwpoison_user_mappings(
        &self,
        pfn: Pfn,
        current: Option<&AddressSpace>,
        signals: &mut Vec<Signal>,
    ) -> bool {
        let page = &self.frames[pfn];
        let word = page.word();
        if !word.has(Flags::LRU) || page.mapcount() == 0 {
            // Isolated since it was looked at: whoever has it may map it again, so it is not even tried.
            return page.mapcount() == 0;
        }
        // Stores must have been heard of before it is decided whether anything is lost.
        let written_back = self.file_of_page(pfn).is_some_and(|file| file.is_written_back());
        let lost = !written_back || word.has(Flags::DIRTY) || self.page_mkclean(pfn);
        // Before the entries that say who maps it are gone.
        let victims = self.collect_victims(pfn, current);
        self.calls_on(Call::UnmapPoisoned, pfn);
        self.calls_on(Call::TryToUnmap, pfn);
        if word.has(Flags::SWAPCACHE) {
            // The poisoned page stays in the swap cache, where the next access finds it, or it is clean and read again.
            self.unmap_to_swap(pfn, true);
            self.tlb.flush();
        } else {
            self.unmap_poisoned(pfn, lost);
        }
        let unmapped = page.mapcount() == 0;
        self.returns(Call::UnmapPoisoned, if unmapped { 0 } else { Errno::EBUSY.status() });
        if word.has(Flags::MLOCKED) {
            // Unlocked with its last mapping, it may be in a batch once more.
            self.shake_folio(pfn);
        }
        // The entries have told the page by now whether they were dirty.
        if page.word().has(Flags::DIRTY) || !unmapped {
            signals.extend(victims);
        }
        unmapped
    }
}
