//! Pages of files whose frame is bad (lifecycle 8.3).
//!
//! | file | clean | dirty |
//! |---|---|---|
//! | of a disk | leaves the file, is read again | leaves the file; the loss is told by the next sync, once |
//! | of a memory file system | stays in its slot, poisoned: whoever needs it is told | the same |

use super::File;
use crate::calls::Call;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::owner::OwnerId;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::Ordering;
use std::sync::Arc;

impl File {
    /// Was what was written to a page ever lost with a bad frame? Then something older may be read from it.
    pub fn lost_page(&self, index: u32) -> bool {
        self.lost_pages.lock().contains(&index)
    }
}

impl<R: Release> Machine<R> {
    /// The file of a locked page, if it is one of a file.
    pub(crate) fn file_of_page(&self, pfn: Pfn) -> Option<Arc<File>> {
        let page = &self.frames[pfn];
        page.expect_locked();
        page.word().has(Flags::FILE).then(|| self.owners.file(OwnerId(page.owner()))).flatten()
    }

    /// A locked page that is mapped somewhere is made clean or known to be dirty: from here on no store goes
    /// through a mapping unheard (`folio_mkclean`). True if the page is dirty.
    pub(crate) fn page_mkclean(&self, pfn: Pfn) -> bool {
        self.write_protect_mappings(pfn);
        self.frames[pfn].word().has(Flags::DIRTY)
    }

    /// Drops a locked page from its file if it is clean and nobody but its slot and the caller uses it
    /// (`mapping_evict_folio`), for soft offline: the caller's reference is then the only one.
    pub(crate) fn evict_for_failure(&self, pfn: Pfn) -> bool {
        self.calls_on(Call::EvictFolio, pfn);
        let evicted = match self.file_of_page(pfn) {
            Some(file) => self.evict_locked(&file, self.frames[pfn].index(), pfn),
            None => false,
        };
        self.returns(Call::EvictFolio, evicted.into());
        evicted
    }

    /// A locked, unmapped page of a file is lost (`me_pagecache_clean`, `truncate_error_folio`): out of the file
    /// if that can be read again, else it stays for everybody to see. How many references of the file's are left
    /// on it.
    pub(crate) fn lose_page(&self, file: &File, pfn: Pfn) -> u32 {
        let page = &self.frames[pfn];
        if !file.is_written_back() {
            return 1;
        }
        if page.mapcount() > 0 {
            // It was off its list when it was to be unmapped, and is back (`truncate_cleanup_folio`): a mapping of a page
            // without a file would be faulted on for ever.
            self.unmap_poisoned(pfn, false);
        }
        if page.word().has(Flags::DIRTY) {
            // Before anybody can read what is on the disk.
            file.lost_pages.lock().insert(page.index());
        }
        self.cache_remove(file, page.index(), pfn);
        page.clear(Flags::MAPPEDTODISK);
        0
    }

    /// Dirty data of the file is lost (`mapping_set_error`).
    pub(crate) fn note_lost(&self, file: &File) {
        // Release pairs with the Acquire in `take_lost`: who is told comes after the loss.
        file.lost.store(1, Ordering::Release);
    }

    /// A write of a page to its disk has failed: what was dirty is lost.
    #[cold]
    pub(super) fn lose_write(&self, file: &File, index: u32) {
        file.lost_pages.lock().insert(index);
        self.note_lost(file);
    }

    /// Was dirty data lost since the last time? `EIO` to the one who asks first (`file_check_and_advance_wb_err`).
    pub(super) fn take_lost(&self, file: &File) -> Result<()> {
        if file.lost.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        // Acquire pairs with the Release in `note_lost`.
        match file.lost.swap(0, Ordering::Acquire) {
            0 => Ok(()),
            _ => Err(Error::new(
                Errno::EIO,
                "dirty data of the file was lost: its frame was bad, or its disk failed",
            )),
        }
    }

    /// A fault has found a poisoned page in a file, locked and held (`__do_fault`): one that can be dropped is
    /// dropped, and the fault begins again; else `EHWPOISON`. Spends lock and reference.
    #[cold]
    pub(super) fn refuse_poisoned(&self, file: &File, index: u32, pfn: Pfn) -> Result<()> {
        if self.frames[pfn].mapcount() > 0 {
            self.unmap_file(file, index..index + 1, false);
        }
        self.calls_on(Call::EvictFolio, pfn);
        let evicted = self.evict_locked(file, index, pfn);
        self.returns(Call::EvictFolio, evicted.into());
        self.unlock_and_put(pfn);
        match evicted {
            true => Ok(()),
            false => Err(poisoned(pfn, Errno::EHWPOISON)),
        }
    }
}

/// The page's frame is bad.
#[cold]
pub(super) fn poisoned(pfn: Pfn, errno: Errno) -> Error {
    Error::at(errno, pfn, Why::State("the frame is bad".into()))
}
