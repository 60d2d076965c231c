//! Removal of pages from a file. Truncation drops pages with their content; eviction takes only
//! pages that can be read again.

use super::state::File;
use crate::calls::Call;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::map::slot::Slot;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::{Mutation, Ordering, interrupted, mutated};
use std::ops::Range;

/// The number of pages by which a truncation shortens a file before an interruption is heard.
const STEP: u32 = 1 << 12;

/// The result of an eviction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Pages that left the cache.
    pub evicted: u32,
    /// Pages that stay, because they are mapped, held, locked, dirty or under writeback.
    pub kept: u32,
}

impl<R: Release> Machine<R> {
    /// Shortens a file to `pages` pages. The other pages are unmapped in all areas, private copies
    /// included. Waits for page locks and write-backs.
    ///
    /// `EINVAL` for more pages than the file has, `EBADF` for a removed file; `EINTR` if it was interrupted:
    /// the file is shorter than before, but not as short as wanted.
    pub fn truncate_file(&self, file: &File, pages: u32) -> Result<()> {
        let _inside = self.enter_file(file)?;
        let mut size = file.pages();
        if pages > size {
            let why = format!("a file of {size} pages cannot be shortened to {pages}");
            return Err(Error::new(Errno::EINVAL, why));
        }
        // The file is shortened from its end, some pages at a time, so that an interruption is heard.
        loop {
            size = pages.max(size.saturating_sub(STEP));
            self.truncate_pages(file, size);
            if size == pages {
                return Ok(());
            }
            Error::unless_interrupted()?;
        }
    }

    /// Performs the steps of a truncation (`truncate_pagecache`).
    pub(super) fn truncate_pages(&self, file: &File, pages: u32) {
        // 1. Keep other threads from making pages of the file.
        let early = mutated(Mutation::TruncationRegrows).then(|| file.pages());
        let _alone = file.invalidate.write();
        let before = early.unwrap_or_else(|| file.pages());
        if pages >= before {
            return;
        }
        // 2. Set the size: from now on no fault maps a page beyond it. Release pairs with the Acquire in
        //    `File::pages`.
        file.size.store(pages, Ordering::Release);
        // 3. Unmap all pages beyond the size, many for each flush.
        self.unmap_file(file, pages..before, true);
        // 4. Take each page out of the file, under its page lock.
        self.traced(Call::ReleasePages, (), || {
            for index in pages..before.min(file.used()) {
                self.truncate_page(file, index);
            }
        });
        // 5. Unmap the private copies that faults have made of a page before step 4 took it away.
        self.unmap_file(file, pages..before, true);
    }

    fn truncate_page(&self, file: &File, index: u32) {
        // Another round follows only if the page has migrated, or gone to swap or come back.
        loop {
            let seen = file.slot(index);
            if seen == Slot::Empty {
                return;
            }
            let Some(pfn) = self.cache_get_seen(file, index, seen) else {
                self.forget_swapped(file, index);
                continue;
            };
            let page = &self.frames[pfn];
            page.lock();
            if self.is_of_file(pfn, file, index) {
                page.wait_writeback();
                if page.mapcount() > 0 && !mutated(Mutation::TruncationLeavesMapping) {
                    // A fault that found the page before step 2 has mapped it after step 3.
                    self.unmap_file(file, index..index + 1, false);
                }
                self.cache_remove(file, index, pfn);
                page.clear(Flags::MAPPEDTODISK);
            }
            self.unlock_and_put(pfn);
        }
    }

    /// Takes the clean and unused pages of a range out of the cache (`invalidate_mapping_pages`).
    /// Waits for no lock of a page.
    ///
    /// `EBADF` for a removed file.
    pub fn evict_file(&self, file: &File, pages: Range<u32>) -> Result<Evicted> {
        let _inside = self.enter_file(file)?;
        Ok(self.evict_pages(file, pages))
    }

    /// Takes the clean and unused pages of all files out of the cache (`drop_caches`), after a
    /// drain of all batches.
    pub fn drop_caches(&self) -> Evicted {
        self.lru_drain_all();
        let mut all = Evicted::default();
        for file in self.files().iter().take_while(|_| !interrupted()) {
            if self.link_file(file).is_ok() {
                let Evicted { evicted, kept } = self.evict_pages(file, 0..file.used());
                self.unlink_file(file);
                all.evicted += evicted;
                all.kept += kept;
            }
        }
        all
    }

    fn evict_pages(&self, file: &File, pages: Range<u32>) -> Evicted {
        let mut result = Evicted::default();
        for index in (pages.start..pages.end.min(file.used())).take_while(|_| !interrupted()) {
            let Some(pfn) = self.cache_get(file, index) else { continue };
            match self.evict_page(file, index, pfn) {
                true => result.evicted += 1,
                false => result.kept += 1,
            }
        }
        if result != Evicted::default() {
            // The kernel looks pages up in batches, and drains the local CPU when it puts a batch.
            self.lru_drain_local();
        }
        result
    }

    /// Takes an isolated, locked, clean and unmapped page out of its file if no other holder has a
    /// reference. Then the isolation's reference is the only one.
    pub(in crate::map) fn evict_isolated(&self, file: &File, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        let unused = !page.word().has(Flags::WRITEBACK) && page.count() <= self.cache_references(pfn);
        if unused {
            self.drop_private(pfn);
        }
        unused && self.cache_evict(file, page.index(), pfn, true)
    }

    /// Takes one page out of the cache if it is clean and unused (`mapping_evict_folio`). Spends
    /// the caller's reference in any case.
    fn evict_page(&self, file: &File, index: u32, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        if !page.trylock() {
            self.put(pfn);
            return false;
        }
        let evicted = self.evict_locked(file, index, pfn);
        if !evicted {
            self.deactivate_file_page(pfn);
        }
        self.unlock_and_put(pfn);
        evicted
    }

    /// Takes a locked page out of the cache if it is clean and unused. The caller keeps the page
    /// lock and its own reference.
    pub(super) fn evict_locked(&self, file: &File, index: u32, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        let word = page.word();
        let expected = self.cache_references(pfn);
        let evictable = self.is_of_file(pfn, file, index)
            && !word.any(Flags::DIRTY | Flags::WRITEBACK)
            && page.mapcount() == 0
            && word.count() <= expected;
        if evictable {
            self.drop_private(pfn);
        }
        evictable && self.cache_evict(file, index, pfn, false)
    }
}
