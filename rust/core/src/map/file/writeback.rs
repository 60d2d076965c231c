//! Writeback: writes dirty pages to the disk (lifecycle 1.3, 6.1).
//!
//! 1. Lock the page, and wait for a write of the page that is under way.
//! 2. Write-protect every mapping and flush. A later store faults, and finds the page locked. An earlier
//!    store is in the page, and its entry was dirty.
//! 3. Clean the page, mark it under writeback, and unlock it.
//! 4. The device reads the page. Users may write meanwhile, and so make the page dirty again.
//! 5. End the write. A page that reclaim met meanwhile goes to the tail of its list, where reclaim takes it
//!    next. The writeback mark is cleared, and sleepers wake.
//!
//! The beginning (steps 1 to 3) and the end (4 and 5) are two calls, so that a test can do anything
//! in between. The device reads the page at the last moment before the end. If the page had moved
//! or been freed in between, the disk would get another page's bytes, and the test would see them.

use super::File;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::map::{Area, Attributes, Pte};
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::{Mutation, interrupted, mutated};
use std::ops::Range;

/// A write to disk that has begun; only [`Machine::end_writeback`] ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a page stays under writeback until its write is ended"]
pub struct Writeback {
    /// The frame that the device reads.
    pub pfn: Pfn,
    /// The index of the page in its file.
    pub index: u32,
}

impl<R: Release> Machine<R> {
    /// Begins to write one page to disk. `None` if the page is not cached or not dirty, or if the
    /// file has no disk. Waits for the page lock and for a write of the page that is under way.
    ///
    /// `EINVAL` for a page beyond the file's capacity; `EBADF` for a removed file.
    pub fn begin_writeback(&self, file: &File, index: u32) -> Result<Option<Writeback>> {
        if index >= file.capacity() {
            let why = format!("no page {index}: the file has {}", file.capacity());
            return Err(Error::new(Errno::EINVAL, why));
        }
        if !file.is_written_back() {
            return Ok(None);
        }
        let inside = self.enter_file(file)?;
        let write = self.start_write(file, index).flatten();
        if write.is_some() {
            // The link on the file stays until `end_writeback` drops it. Without the link the file could end
            // in between, and would wait for the write when it drops its pages.
            std::mem::forget(inside);
        }
        Ok(write)
    }

    /// Ends a write that [`Machine::begin_writeback`] has begun (steps 4 and 5).
    pub fn end_writeback(&self, file: &File, write: Writeback) {
        self.finish_write(file, write);
        self.unlink_file(file);
    }

    fn finish_write(&self, file: &File, write: Writeback) {
        let Writeback { pfn, index } = write;
        self.write_out(file, index, pfn);
        // The page goes to the tail of its list before the write ends. Until then the page stays in
        // its file, and the slot's reference keeps it from being freed.
        let page = &self.frames[pfn];
        if page.word().has(Flags::RECLAIM) {
            page.clear(Flags::RECLAIM);
            self.rotate_reclaimable(pfn);
        }
        self.stats.node(self.node_of(pfn), NodeItem::Writeback, -1);
        // From the end of the write on a truncation may free the page. This reference keeps the page until
        // its sleepers are woken. Otherwise the sleepers of the frame's next page would be woken instead.
        page.get(pfn);
        page.end_writeback(pfn);
        self.put(pfn);
    }

    /// Writes the dirty pages of a range to disk, and waits for the writes of other threads
    /// (`fsync`, `msync` with `MS_SYNC`). Returns how many pages were written. A file without a
    /// disk needs no write.
    ///
    /// `EBADF` for a removed file; `EIO`, once, if dirty data was lost with a bad frame or a failed
    /// write. The other pages are written all the same. `EINTR` if it was interrupted.
    pub fn sync_file(&self, file: &File, pages: Range<u32>) -> Result<u32> {
        let _inside = self.enter_file(file)?;
        self.sync_entered(file, pages)
    }

    /// [`Machine::sync_file`] for a caller that keeps the file from ending.
    fn sync_entered(&self, file: &File, pages: Range<u32>) -> Result<u32> {
        let written = self.sync_pages(file, pages);
        Error::unless_interrupted()?;
        if file.is_written_back() {
            self.take_lost(file)?;
        }
        Ok(written)
    }

    /// Writes the dirty pages of a shared mapping of a file to disk (`msync` with `MS_SYNC`), one
    /// stretch with equal attributes after the other, up to the first that fails. Returns how many
    /// pages were written.
    ///
    /// Errors as [`Machine::sync_file`], but a file that was removed is written too; `ENOMEM` if the range
    /// has a hole, but the stretches behind the hole are written.
    pub fn msync(&self, area: &Area, pages: Range<u32>) -> Result<u32> {
        let (mut written, mut hole) = (0, pages.end > area.pages());
        for (stretch, kind) in area.stretches(pages.start..pages.end.min(area.pages())) {
            if kind.contains(Attributes::UNMAPPED) {
                hole = true;
            } else if let Some(map) = area.file().filter(|map| !map.private) {
                // A mapping keeps its file, also one that was removed.
                let _inside = self.stay_in_file(&map.file)?;
                written +=
                    self.sync_entered(&map.file, map.first + stretch.start..map.first + stretch.end)?;
            }
        }
        match hole {
            true => Err(Error::new(Errno::ENOMEM, format!("not all of pages {pages:?} are mapped"))),
            false => Ok(written),
        }
    }

    /// Writes the dirty pages of a range, as [`Machine::sync_file`] does. The caller holds a link on the
    /// file, which keeps the file from ending.
    pub(crate) fn sync_pages(&self, file: &File, pages: Range<u32>) -> u32 {
        let mut written = 0;
        if !file.is_written_back() {
            return written;
        }
        // A batch of pages is looked up at a time, and all their writes begin before the first one
        // ends. No deadlock follows: a thread that waits for a write holds writes of earlier pages
        // only, because all threads begin writes in the order of the file.
        let mut batch = Vec::with_capacity(usize::from(self.profile.pagevec));
        let mut indices = pages.start..pages.end.min(file.used());
        loop {
            if interrupted() {
                return written;
            }
            let started = indices.by_ref().filter_map(|index| self.start_write(file, index).flatten());
            batch.extend(started.take(usize::from(self.profile.pagevec)));
            if batch.is_empty() {
                return written;
            }
            // The kernel gives a batch of looked-up pages back through the local drain (recording
            // h42/4). A page that reclaim has left in a batch is therefore on its list when its
            // write ends (g61135/10). The wait for the writes drains once more.
            self.lru_drain_local();
            written += batch.len() as u32;
            batch.drain(..).for_each(|write| self.finish_write(file, write));
            self.lru_drain_local();
        }
    }

    /// Writes every dirty page of every file that has a disk (`sync`), up to an interruption. Returns how
    /// many pages were written.
    pub fn sync_all(&self) -> u32 {
        let mut written = 0;
        for file in self.files().iter().take_while(|_| !interrupted()) {
            if self.link_file(file).is_ok() {
                written += self.sync_pages(file, 0..file.used());
                self.unlink_file(file);
            }
        }
        written
    }

    /// Begins the write of a page (steps 1 to 3). `None` if no page is cached, `Some(None)` if the
    /// page was clean.
    fn start_write(&self, file: &File, index: u32) -> Option<Option<Writeback>> {
        // Another round follows only if another thread has migrated the page.
        let pfn = loop {
            let pfn = self.cache_get(file, index)?;
            if mutated(Mutation::SyncSkipsLocked) && !self.frames[pfn].trylock() {
                self.put(pfn);
                return None;
            }
            if mutated(Mutation::LockWithoutReference) {
                self.put(pfn);
                self.frames[pfn].lock();
                if !self.frames[pfn].try_get() {
                    self.frames[pfn].unlock(pfn);
                    continue;
                }
            } else if !mutated(Mutation::SyncSkipsLocked) {
                self.frames[pfn].lock();
            }
            if self.is_of_file(pfn, file, index) {
                break pfn;
            }
            self.unlock_and_put(pfn);
        };
        let page = &self.frames[pfn];
        if mutated(Mutation::SyncDoesNotWait) && page.word().has(Flags::WRITEBACK) {
            self.unlock_and_put(pfn);
            return Some(None);
        }
        page.wait_writeback();
        self.write_protect_mappings(pfn);
        let write = page.word().has(Flags::DIRTY).then(|| {
            let old = page.change(Flags::WRITEBACK, Flags::DIRTY);
            self.count_dirty(pfn, old, -1);
            self.stats.node(self.node_of(pfn), NodeItem::Writeback, 1);
            Writeback { pfn, index }
        });
        // A page under writeback stays in its slot, whose reference keeps it.
        self.unlock_and_put(pfn);
        Some(write)
    }

    /// Clears the write permission and the dirty bit of every mapping of a locked page, and marks
    /// the page dirty if an entry was dirty (`folio_mkclean`). Afterwards no thread is inside a
    /// store through an old entry.
    pub(super) fn write_protect_mappings(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        if page.mapcount() == 0 {
            return;
        }
        let (mut protected, mut dirty) = (false, false);
        self.rmap_walk(page, |area, index| {
            let writable = |pte: Pte| pte.maps(pfn) && (pte.has(Pte::WRITE) || pte.has(Pte::DIRTY));
            if let Some(guard) = area.lock_if_maps(index, writable) {
                let old = guard.finish_with(|old| Pte(old.0 & !(Pte::WRITE | Pte::DIRTY)));
                dirty |= old.has(Pte::DIRTY);
                protected = true;
            }
            true
        });
        if protected {
            self.tlb.flush();
        }
        if dirty {
            self.set_page_dirty(pfn);
        }
    }
}
