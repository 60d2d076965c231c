//! Pages of files whose frame is bad (lifecycle 8.3).
//!
//! | file | clean | dirty |
//! |---|---|---|
//! | of a disk | leaves the file, is read again | leaves the file; the next sync, and only that one, fails |
//! | of a memory file system | stays in its slot, poisoned: each access to it fails | the same |
//! | the same in old kernels (`memory_file_keeps_poison`) | leaves the file, which has zeroes there | the same |

use super::File;
use crate::calls::Call;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::owner::OwnerId;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::{Mutation, Ordering, mutated};
use std::sync::Arc;

impl File {
    /// Returns true if content written to this page was ever lost, with a bad frame or a failed
    /// write. A read may then give older content.
    pub fn lost_page(&self, index: u32) -> bool {
        self.lost_pages.lock().contains(&index)
    }

    /// Says what is wrong with the reports of lost data, if anything is. The rules: each loss makes at most
    /// one sync fail; and after a failed write a sync has failed, or the next one will. For a machine at
    /// rest; exact in the explored build alone. A page that becomes dirty while memory failure handles it is
    /// lost without a note.
    pub fn wrong_losses(&self) -> Option<&'static str> {
        let [noted, told, failed] = [0, 1, 2].map(|number| self.losses[number].get());
        // Relaxed: no thread uses the file any more.
        let due = i64::from(self.lost.load(Ordering::Relaxed) != 0);
        match () {
            () if told + due > noted => Some("told by more syncs than there were losses"),
            () if failed > 0 && told + due == 0 => Some("told by no sync, and the next one will not fail"),
            () => None,
        }
    }
}

impl<R: Release> Machine<R> {
    /// Returns the file of a locked page, or `None` if the page belongs to no file.
    pub(crate) fn file_of_page(&self, pfn: Pfn) -> Option<Arc<File>> {
        let page = &self.frames[pfn];
        page.expect_locked();
        page.word().has(Flags::FILE).then(|| self.owners.file(OwnerId(page.owner()))).flatten()
    }

    /// Write-protects every mapping of a locked page, and moves the mappings' dirty bits to the
    /// page (`folio_mkclean`). Afterwards a store through a mapping faults first. Returns true if
    /// the page is dirty.
    pub(crate) fn page_mkclean(&self, pfn: Pfn) -> bool {
        self.write_protect_mappings(pfn);
        self.frames[pfn].word().has(Flags::DIRTY)
    }

    /// Evicts a locked page from its file if it is clean and only its slot and the caller use it
    /// (`mapping_evict_folio`), for soft offline. On success the caller's reference is the only
    /// one.
    pub(crate) fn evict_for_failure(&self, pfn: Pfn) -> bool {
        self.traced(Call::EvictFolio, pfn, || match self.file_of_page(pfn) {
            Some(file) => self.evict_locked(&file, self.frames[pfn].index(), pfn),
            None => false,
        })
    }

    /// Handles the loss of a file's page whose frame is bad; the page is locked and unmapped
    /// (`me_pagecache_clean`, `truncate_error_folio`). The page leaves the file, except in kernels
    /// in which a memory file keeps its poisoned page so that later accesses fail. Returns how many
    /// references the file still has on it.
    pub(crate) fn lose_page(&self, file: &File, pfn: Pfn) -> u32 {
        let page = &self.frames[pfn];
        if !file.is_written_back() && self.profile.memory_file_keeps_poison {
            return 1;
        }
        if page.mapcount() > 0 {
            // Memory failure did not unmap the page, which was off its list at that time
            // (`truncate_cleanup_folio`). If the mapping stayed, a process would fault for ever on
            // a page that has no file.
            self.unmap_poisoned(pfn, false);
        }
        if page.word().has(Flags::DIRTY) {
            // The loss is noted before another thread can read the older content from the disk.
            file.lost_pages.lock().insert(page.index());
        }
        self.cache_remove(file, page.index(), pfn);
        page.clear(Flags::MAPPEDTODISK);
        0
    }

    /// Notes that dirty data of the file is lost (`mapping_set_error`).
    pub(crate) fn note_lost(&self, file: &File) {
        // Release pairs with the Acquire in `take_lost`: the caller that gets the error comes after
        // the loss.
        file.losses[0].add(1);
        file.lost.store(1, Ordering::Release);
    }

    /// Notes that a write of a page to its disk has failed, and its dirty content is lost.
    #[cold]
    pub(super) fn lose_write(&self, file: &File, index: u32) {
        file.lost_pages.lock().insert(index);
        file.losses[2].add(1);
        if !mutated(Mutation::LostWriteUntold) {
            self.note_lost(file);
        }
    }

    /// Returns `EIO` if dirty data was lost since the last call, to one caller only
    /// (`file_check_and_advance_wb_err`).
    pub(super) fn take_lost(&self, file: &File) -> Result<()> {
        // Relaxed: a caller that misses a loss at the same moment reports it at its next call.
        if file.lost.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        // Acquire pairs with the Release in `note_lost`. The swap gives the error to one of several
        // callers.
        let lost = match mutated(Mutation::LossToldTwice) {
            true => {
                // Relaxed: part of the defect.
                file.lost.store(0, Ordering::Relaxed);
                1
            }
            false => file.lost.swap(0, Ordering::Acquire),
        };
        if lost == 0 {
            return Ok(());
        }
        file.losses[1].add(1);
        Err(Error::new(Errno::EIO, "dirty data of the file was lost: its frame was bad, or its disk failed"))
    }

    /// Handles a poisoned page that a fault has found in a file, locked and held (`__do_fault`). If
    /// the page can be dropped, it is dropped and the fault begins again; otherwise, and always in
    /// kernels without `fault_drops_poison`, the fault fails with `EHWPOISON`. Spends the lock and
    /// the reference.
    #[cold]
    pub(super) fn refuse_poisoned(&self, file: &File, index: u32, pfn: Pfn) -> Result<()> {
        if !self.profile.fault_drops_poison {
            self.unlock_and_put(pfn);
            return Err(poisoned(pfn, Errno::EHWPOISON));
        }
        if self.frames[pfn].mapcount() > 0 {
            self.unmap_file(file, index..index + 1, false);
        }
        let evicted = self.traced(Call::EvictFolio, pfn, || self.evict_locked(file, index, pfn));
        self.unlock_and_put(pfn);
        match evicted {
            true => Ok(()),
            false => Err(poisoned(pfn, Errno::EHWPOISON)),
        }
    }
}

/// Makes the error for a page whose frame is bad.
#[cold]
pub(super) fn poisoned(pfn: Pfn, errno: Errno) -> Error {
    Error::at(errno, pfn, Why::State("the frame is bad".into()))
}
