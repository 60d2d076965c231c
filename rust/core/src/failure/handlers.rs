//! What is done to a lost page, by its state (`error_states`, lifecycle 8.3 step 12).
//!
//! | state | what | verdict |
//! |---|---|---|
//! | on a list, mlocked or unevictable; dirty | the loss is noted for the next sync; then as clean | |
//! | the same, anonymous | off its list | recovered |
//! | in the swap cache, clean | out of it and off its list | recovered, or failed if somebody else holds it |
//! | in the swap cache, dirty | off its list: whoever asks for it finds it bad | delayed, or failed as above |
//! | the same, of a file | off its list, out of its file | recovered, or failed if somebody else holds it |
//! | anything else | nothing | ignored |

use super::hard::Verdict;
use crate::machine::Machine;
use crate::page::{Flags, Pfn, Word};
use crate::release::Release;

/// Pages that the handlers know.
const KNOWN: Flags = Flags::LRU.union(Flags::UNEVICTABLE).union(Flags::MLOCKED);

impl<R: Release> Machine<R> {
    /// Handles a locked, unmapped page with a reference that stays; `before` is its word from before it was
    /// unmapped, which says what it was if the page itself does not say any more.
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

    /// A page of the swap cache (`me_swapcache_dirty`, `me_swapcache_clean`).
    fn lose_swap_cache(&self, pfn: Pfn, dirty: bool) -> (Verdict, &'static str) {
        let page = &self.frames[pfn];
        let lost = match dirty {
            true => {
                page.clear(Flags::DIRTY | Flags::UPTODATE);
                (Verdict::Delayed, "the next access finds it")
            }
            false => {
                self.lose_swapped(pfn);
                (Verdict::Recovered, "it is read from swap again")
            }
        };
        if !self.delete_from_lru(pfn) {
            return (Verdict::Failed, "it is on no list");
        }
        // Ours, and the cache's if it keeps the page.
        match page.count() > 1 + u32::from(dirty) {
            true => (Verdict::Failed, "somebody else holds it"),
            false => lost,
        }
    }

    /// A page of a list (`me_pagecache_dirty`, `me_pagecache_clean`).
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
            // Off its list for a moment when it was looked at, as mlock takes it off, it was not even tried to unmap.
            return match page.mapcount() {
                0 => (Verdict::Recovered, "it was unmapped"),
                _ => (Verdict::Failed, "it is still mapped"),
            };
        }
        let Some(file) = file else { return (Verdict::Failed, "its file is gone") };
        let of_file = self.lose_page(&file, pfn);
        // Ours, and the file's if it keeps the page.
        match page.count() > 1 + of_file {
            true => (Verdict::Failed, "somebody else holds it"),
            false => (Verdict::Recovered, "its file does without it"),
        }
    }
}
