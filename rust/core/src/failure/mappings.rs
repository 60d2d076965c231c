//! Unmaps a lost page (`hwpoison_user_mappings`).

use super::kill::Signal;
use crate::calls::Call;
use crate::error::Errno;
use crate::machine::Machine;
use crate::map::AddressSpace;
use crate::page::{Flags, Pfn};
use crate::release::Release;

impl<R: Release> Machine<R> {
    /// Unmaps a locked page on which the caller holds a reference, and signals the processes that
    /// must know. Returns true if nothing maps the page any more.
    ///
    /// A clean page of a disk's file is not lost: its mappings are removed, and the page is read
    /// again. A page in the swap cache leaves swap entries (`TTU_IGNORE_HWPOISON`), any other page
    /// leaves poisoned entries.
    pub(super) fn hwpoison_user_mappings(
        &self,
        pfn: Pfn,
        current: Option<&AddressSpace>,
        signals: &mut Vec<Signal>,
    ) -> bool {
        let page = &self.frames[pfn];
        let word = page.word();
        if !word.has(Flags::LRU) || page.mapcount() == 0 {
            // Nothing maps the page, or the page was isolated after its flags were read. The thread
            // that isolated the page may map it again, so unmapping is not attempted.
            return page.mapcount() == 0;
        }
        // Dirty bits of the entries are collected first: a store through an entry decides whether
        // the content is lost.
        let written_back = self.file_of_page(pfn).is_some_and(|file| file.is_written_back());
        let lost = !written_back || word.has(Flags::DIRTY) || self.page_mkclean(pfn);
        // The processes are collected before the page is unmapped: afterwards no entry tells which
        // of them map it.
        let victims = self.collect_victims(pfn, current);
        let unmapped = self.traced(Call::UnmapPoisoned, pfn, || {
            self.calls_on(Call::TryToUnmap, pfn);
            if word.has(Flags::SWAPCACHE) {
                // A dirty page stays in the swap cache, where the next access finds it poisoned. A
                // clean page is read again.
                self.unmap_to_swap(pfn, true);
                self.tlb.flush();
            } else {
                self.unmap_poisoned(pfn, lost);
            }
            match page.mapcount() {
                0 => Ok(()),
                _ => Err(Errno::EBUSY),
            }
        });
        if word.has(Flags::MLOCKED) {
            // The last unmapping munlocks the page, which may put it into a batch again.
            self.shake_folio(pfn);
        }
        // By now the entries' dirty bits have reached the page.
        if page.word().has(Flags::DIRTY) || unmapped.is_err() {
            signals.extend(victims);
        }
        unmapped.is_ok()
    }
}
