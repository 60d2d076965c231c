//! Pages leave a file: truncation takes them with their content, eviction only what can be read again.

use super::{File, Slot};
use crate::calls::Call;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::Ordering;
use std::ops::Range;

/// What an eviction came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Pages that left the cache.
    pub evicted: u32,
    /// Pages that somebody maps, holds, locks, dirtied or writes: they stay.
    pub kept: u32,
}

impl<R: Release> Machine<R> {
    /// Shortens a file to `pages` pages; whoever maps the rest is unmapped, copies of his own included.
    /// Waits for page locks and write-backs.
    ///
    /// `EINVAL` for more pages than it has, `EBADF` for a file that is removed.
    pub fn truncate_file(&self, file: &File, pages: u32) -> Result<()> {
        let _inside = self.enter_file(file)?;
        if pages > file.pages() {
            let why = format!("a file of {} pages cannot be shortened to {pages}", file.pages());
            return Err(Error::new(Errno::EINVAL, why));
        }
        self.truncate_pages(file, pages);
        Ok(())
    }

    /// The steps of a truncation (`truncate_pagecache`).
    pub(super) fn truncate_pages(&self, file: &File, pages: u32) {
        // 1. Nobody makes a page meanwhile.
        let _alone = file.invalidate.write();
        let before = file.pages();
        if pages >= before {
            return;
        }
        // 2. From now on no fault maps what lies beyond. Release pairs with the Acquire in `File::pages`.
        file.size.store(pages, Ordering::Release);
        // 3. Most mappings at once.
        self.unmap_file(file, pages..before, true);
        // 4. Page by page, under each page's lock.
        self.calls(Call::ReleasePages);
        for index in pages..before.min(file.used()) {
            self.truncate_page(file, index);
        }
        self.returns(Call::ReleasePages, 0);
        // 5. Copies that a fault made of a page before step 4 took it away.
        self.unmap_file(file, pages..before, true);
    }

    fn truncate_page(&self, file: &File, index: u32) {
        // Each further round follows from a migration of the page by somebody else, or from its way to swap or
        // back.
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
                if page.mapcount() > 0 {
                    // A fault that had found the page before step 2.
                    self.unmap_file(file, index..index + 1, false);
                }
                self.cache_remove(file, index, pfn);
                page.clear(Flags::MAPPEDTODISK);
            }
            self.unlock_and_put(pfn);
        }
    }

    /// Takes the clean pages of a range that nobody uses out of the cache (`invalidate_mapping_pages`). Waits
    /// for nobody.
    ///
    /// `EBADF` for a file that is removed.
    pub fn evict_file(&self, file: &File, pages: Range<u32>) -> Result<Evicted> {
        let _inside = self.enter_file(file)?;
        Ok(self.evict_pages(file, pages))
    }

    /// Takes the clean pages of all files that nobody uses out of the cache (`drop_caches`), after draining
    /// all batches.
    pub fn drop_caches(&self) -> Evicted {
        self.lru_drain_all();
        let mut all = Evicted::default();
        for file in self.files() {
            if self.link_file(&file).is_ok() {
                let Evicted { evicted, kept } = self.evict_pages(&file, 0..file.used());
                self.unlink_file(&file);
                all.evicted += evicted;
                all.kept += kept;
            }
        }
        all
    }

    fn evict_pages(&self, file: &File, pages: Range<u32>) -> Evicted {
        let mut result = Evicted::default();
        for index in pages.start..pages.end.min(file.used()) {
            let Some(pfn) = self.cache_get(file, index) else { continue };
            match self.evict_page(file, index, pfn) {
                true => result.evicted += 1,
                false => result.kept += 1,
            }
        }
        if result != Evicted::default() {
            // The batch of pages looked up is given back through the local drain, as after a write.
            self.lru_drain_local();
        }
        result
    }

    /// Takes an isolated, locked, clean and unmapped page out of its file if nobody else holds it. Then the
    /// isolation's reference is the only one.
    pub(in crate::map) fn evict_isolated(&self, file: &File, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        let unused = !page.word().has(Flags::WRITEBACK) && page.count() <= self.cache_references(pfn);
        if unused {
            self.drop_private(pfn);
        }
        unused && self.cache_evict(file, page.index(), pfn, true)
    }

    /// Takes one page out of the cache if it is clean and unused (`mapping_evict_folio`); spends the
    /// caller's reference either way.
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

    /// The same for a page that is locked; the caller keeps lock and reference.
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
