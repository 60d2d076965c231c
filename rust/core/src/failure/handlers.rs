//! Takes a lost page out of use, by its state (`error_states`, lifecycle 8.3 step 12).
//!
//! | state | action | verdict |
//! |---|---|---|
//! | neither on a list, nor mlocked, nor unevictable | nothing | ignored |
//! | in the swap cache, unmapped, clean | taken out of the swap cache and off its list | recovered, or failed if it is on no list or another thread holds it |
//! | in the swap cache, unmapped, dirty | taken off its list; a thread that swaps it in finds it bad | delayed, or failed if it is on no list or another thread holds it |
//! | any other anonymous page | taken off its list | recovered, or failed if it is still mapped |
//! | of a file, clean | taken off its list, and out of its file unless the file keeps bad pages | recovered, or failed if its file is gone or another thread holds it |
//! | of a file, dirty | the loss is noted for the next sync; then as a clean one | as a clean one |

use super::hard::Verdict;
use crate::machine::Machine;
use crate::page::{Flags, Pfn, Word};
use crate::release::Release;

/// The handlers know pages that have one of these flags.
const KNOWN: Flags = Flags::LRU.union(Flags::UNEVICTABLE).union(Flags::MLOCKED);

impl<R: Release> Machine<R> {
    /// Handles a locked, unmapped page; the caller keeps its reference. `before` is the page's word
    /// from before it was unmapped, for a page whose own word does not tell its state any more.
    pub(super) fn handle_page_state(&self, pfn: Pfn, before: Word) -> (Verdict, &'static str) {
        let word = self.frames[pfn].word();
        if !word.any(KNOWN) && !before.any(KNOWN) {
            return (Verdict::Ignored, "its state is unknown");
        }
        match word.has(Flags::SWAPCACHE) && self.frames[pfn].mapcount() == 0 {
            true => self.lose_swap_cache(pfn, word.has(Flags::DIRTY)),
            false => self.lose_page_cache(pfn, word.has(Flags::DIRTY)),
        }
    }

    /// Handles a page of the swap cache (`me_swapcache_dirty`, `me_swapcache_clean`).
    fn lose_swap_cache(&self, pfn: Pfn, dirty: bool) -> (Verdict, &'static str) {
        let page = &self.frames[pfn];
        let lost = match dirty {
            true => {
                page.clear(Flags::DIRTY | Flags::UPTODATE);
                (Verdict::Delayed, "the next access finds the poison")
            }
            false => {
                self.lose_swapped(pfn);
                (Verdict::Recovered, "it can be read from swap again")
            }
        };
        if !self.delete_from_lru(pfn) {
            return (Verdict::Failed, "it is on no list");
        }
        // The expected references are the caller's, and the cache's if the cache keeps the page.
        match page.count() > 1 + u32::from(dirty) {
            true => (Verdict::Failed, "somebody else holds it"),
            false => lost,
        }
    }

    /// Handles a page of a list (`me_pagecache_dirty`, `me_pagecache_clean`).
    fn lose_page_cache(&self, pfn: Pfn, dirty: bool) -> (Verdict, &'static str) {
        let page = &self.frames[pfn];
        let file = self.file_of_page(pfn);
        if dirty {
            if self.profile.page_error_flag {
                page.set(Flags::ERROR);
            }
            if let Some(file) = &file {
                self.note_lost(file);
            }
        }
        self.delete_from_lru(pfn);
        if page.word().has(Flags::ANON) {
            // A page that was off its list for a moment before, for example during an mlock, was
            // not unmapped at all and may still be mapped.
            return match page.mapcount() {
                0 => (Verdict::Recovered, "it was unmapped"),
                _ => (Verdict::Failed, "it is still mapped"),
            };
        }
        let Some(file) = file else { return (Verdict::Failed, "its file is gone") };
        let of_file = self.lose_page(&file, pfn);
        // The expected references are the caller's, and the file's if the file keeps the page.
        match page.count() > 1 + of_file {
            true => (Verdict::Failed, "somebody else holds it"),
            false => (Verdict::Recovered, "it is out of its file"),
        }
    }
}
