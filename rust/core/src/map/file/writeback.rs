//! Dirty pages to the disk (lifecycle 1.3, 6.1).
//!
//! 1. Lock the page; wait for a write of it that is under way.
//! 2. Write-protect every mapping and flush: a store after this faults, and finds the page locked. A
//!    store before it is in the page, and its entry told us.
//! 3. Clean the page and mark it under writeback; unlock.
//! 4. The device reads the page. Users may write meanwhile: that makes the page dirty once more.
//! 5. End: a page that reclaim met meanwhile becomes the next that it takes; the mark goes, sleepers wake.
//!
//! Begin (1 to 3) and end (4, 5) are two calls, so that everything else can happen in between. The
//! device's read is the last moment before the end: a page that moved or was freed in between would give
//! the disk somebody else's bytes.

use super::File;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::map::{Area, Attributes, Pte};
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::NodeItem;
use std::ops::Range;

/// A write to disk that has begun; ended by [`Machine::end_writeback`], and by nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a page stays under writeback until its write is ended"]
pub struct Writeback {
    /// The frame that the device reads.
    pub pfn: Pfn,
    /// The file's page.
    pub index: u32,
}

impl<R: Release> Machine<R> {
    /// Begins to write one page to disk; `None` if it is not cached, not dirty, or the file has no disk.
    /// Waits for the page lock and for a write of the page that is under way.
    ///
    /// `EINVAL` for a page that the file never had.
    pub fn begin_writeback(&self, file: &File, index: u32) -> Result<Option<Writeback>> {
        if index >= file.capacity() {
            let why = format!("no page {index}: the file has {}", file.capacity());
            return Err(Error::new(Errno::EINVAL, why));
        }
        if !file.is_written_back() {
            return Ok(None);
        }
        let inside = self.enter_file(file)?;
        let begun = self.write_begins(file, index).flatten();
        if begun.is_some() {
            // The write keeps the file, as its page keeps the file from ending: `end_writeback` gives it back.
            std::mem::forget(inside);
        }
        Ok(begun)
    }

    /// Steps 4 and 5 of a write that [`Machine::begin_writeback`] began.
    pub fn end_writeback(&self, file: &File, write: Writeback) {
        self.write_ends(file, write);
        self.unlink_file(file);
    }

    fn write_ends(&self, file: &File, write: Writeback) {
        let Writeback { pfn, index } = write;
        self.write_out(file, index, pfn);
        // Before the end: only as long as the write goes on does the page stay in its file, whose reference keeps it.
        let page = &self.frames[pfn];
        if page.word().has(Flags::RECLAIM) {
            page.clear(Flags::RECLAIM);
            self.rotate_reclaimable(pfn);
        }
        self.stats.node(self.node_of(pfn), NodeItem::Writeback, -1);
        page.end_writeback(pfn);
    }

    /// Writes the dirty pages of a range to disk and waits for those that others write (`fsync`, `msync` with
    /// MS_SYNC). Says how many were written. Nothing to do for files without a disk.
    ///
    /// `EBADF` for a file that is removed; `EIO`, once, if dirty data was lost with a bad frame. What is left is
    /// written all the same.
    pub fn sync_file(&self, file: &File, pages: Range<u32>) -> Result<u32> {
        let _inside = self.enter_file(file)?;
        let written = self.sync_pages(file, pages);
        if file.is_written_back() {
            self.take_lost(file)?;
        }
        Ok(written)
    }

    /// Writes the dirty pages of a shared mapping of a file to disk (`msync` with MS_SYNC): one stretch with the same
    /// properties after the other, up to the first that fails. Says how many were written.
    ///
    /// What [`Machine::sync_file`] says; `ENOMEM` if not all is mapped, but what lies behind the hole is written.
    pub fn msync(&self, area: &Area, pages: Range<u32>) -> Result<u32> {
        let (mut written, mut hole) = (0, pages.end > area.pages());
        for (stretch, kind) in area.stretches(pages.start..pages.end.min(area.pages())) {
            if kind.contains(Attributes::UNMAPPED) {
                hole = true;
            } else if let Some(map) = area.file().filter(|map| !map.private) {
                written += self.sync_file(&map.file, map.first + stretch.start..map.first + stretch.end)?;
            }
        }
        match hole {
            true => Err(Error::new(Errno::ENOMEM, format!("not all of pages {pages:?} are mapped"))),
            false => Ok(written),
        }
    }

    /// As [`Machine::sync_file`], for a caller who keeps the file.
    pub(crate) fn sync_pages(&self, file: &File, pages: Range<u32>) -> u32 {
        let mut written = 0;
        if !file.is_written_back() {
            return written;
        }
        // A batch of pages is looked up at a time, and all their writes have begun before the first one ends. Whoever waits
        // for a write meanwhile holds no page that lies behind it: writes begin in the order of the file.
        let mut batch = Vec::with_capacity(usize::from(self.profile.pagevec));
        let mut indices = pages.start..pages.end.min(file.used());
        loop {
            let begun = indices.by_ref().filter_map(|index| self.write_begins(file, index).flatten());
            batch.extend(begun.take(usize::from(self.profile.pagevec)));
            if batch.is_empty() {
                return written;
            }
            // A batch that was looked up is given back through the local drain (recording h42/4): so what reclaim left in
            // a batch is on its list when its write ends (g61135/10). And once more by who waits for the writes.
            self.lru_drain_local();
            written += batch.len() as u32;
            batch.drain(..).for_each(|write| self.write_ends(file, write));
            self.lru_drain_local();
        }
    }

    /// Writes every dirty page of every file to disk (`sync`). Says how many.
    pub fn sync_all(&self) -> u32 {
        let mut written = 0;
        for file in self.files() {
            if self.link_file(&file).is_ok() {
                written += self.sync_pages(&file, 0..file.used());
                self.unlink_file(&file);
            }
        }
        written
    }

    /// Steps 1 to 3. `None` without a page, `Some(None)` if there was nothing to write.
    fn write_begins(&self, file: &File, index: u32) -> Option<Option<Writeback>> {
        // Each further round follows from a migration of the page by somebody else.
        let pfn = loop {
            let pfn = self.cache_get(file, index)?;
            self.frames[pfn].lock();
            if self.is_of_file(pfn, file, index) {
                break pfn;
            }
            self.unlock_and_put(pfn);
        };
        let page = &self.frames[pfn];
        page.wait_writeback();
        self.write_protect_mappings(pfn);
        let begun = page.word().has(Flags::DIRTY).then(|| {
            let old = page.change(Flags::WRITEBACK, Flags::DIRTY);
            self.count_dirty(pfn, old, -1);
            self.stats.node(self.node_of(pfn), NodeItem::Writeback, 1);
            Writeback { pfn, index }
        });
        // What is under writeback stays in its slot, whose reference is enough.
        self.unlock_and_put(pfn);
        Some(begun)
    }

    /// Takes the permission to write and the dirty mark off every mapping of a locked page, and marks the
    /// page dirty if one was (`folio_mkclean`). Afterwards nobody is inside a store through an old entry.
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
