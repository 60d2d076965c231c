//! Faults of file mappings (`do_read_fault`, `do_shared_fault`, `do_cow_fault`, `wp_page_shared`).
//!
//! The page is locked from the check that it still belongs to the file until the entry is filled. A
//! truncation that arrives in between waits for the page lock; afterwards it finds the entry and
//! clears it. Without the lock it would miss the entry, and a removed page would stay mapped.

use super::fill::{Cached, Fill};
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::map::fault::{Cause, Fresh, Outcome, Want};
use crate::map::{Area, EntryGuard, File, FileMap, Pte};
use crate::page::Pfn;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, mutated};

impl<R: Release> Machine<R> {
    /// Makes the file's page ready for an empty entry, and reads the page in if necessary. The caller
    /// holds no lock but `faults`, shared. With `retry`, a fault that needs a copy and has read from a
    /// disk allocates the copy's frame anew, because the kernel's fault begins again then.
    pub(in crate::map) fn ready_file_page(
        &self,
        area: &Area,
        index: u32,
        want: Want,
        retry: bool,
    ) -> Result<Fresh> {
        let map = area.file().expect("only mappings of files ask for a file's page");
        if want == Want::Copy {
            return self.ready_file_copy(area, index, map, retry);
        }
        let pfn = loop {
            // Another round follows only if a poisoned page was dropped.
            if let Some(cached) = self.sound_file_page(area, index, map)? {
                break cached.pfn;
            }
        };
        if want == Want::Writable {
            self.make_writable(&map.file, pfn);
        }
        Ok(Fresh::File { pfn, writable: want == Want::Writable })
    }

    /// Makes a copy of the file's page (`do_cow_fault`). The frame of the copy is allocated first. Each
    /// time the kernel's fault would begin again, the frame is freed.
    fn ready_file_copy(&self, area: &Area, index: u32, map: &FileMap, retry: bool) -> Result<Fresh> {
        let mut read = None;
        loop {
            let copy = match (self.alloc_for(area, index), read) {
                (Err(error), Some(pfn)) => {
                    self.unlock_and_put(pfn);
                    return Err(error);
                }
                (copy, _) => copy?,
            };
            let found = match read {
                Some(pfn) => Ok(Some((pfn, false))),
                None => self
                    .sound_file_page(area, index, map)
                    .map(|cached| cached.map(|page| (page.pfn, page.new && map.file.is_written_back()))),
            };
            match found {
                Ok(Some((pfn, from_disk))) if !(retry && from_disk) => {
                    if let Err(error) = self.may_copy("copy of a file's page", pfn) {
                        self.put(copy);
                        self.unlock_and_put(pfn);
                        return Err(error);
                    }
                    self.copy_shared(pfn, copy);
                    return Ok(Fresh::FileCopy { pfn: copy, of: pfn });
                }
                // The kernel's fault releases its locks while the disk is read, and then begins again.
                Ok(Some((pfn, _))) => read = Some(pfn),
                Ok(None) => {}
                Err(error) => {
                    self.put(copy);
                    return Err(error);
                }
            }
            self.put(copy);
        }
    }

    /// Returns the file's page, locked and with a reference. `None` if the page's frame was poisoned
    /// and the page was dropped from the file: the fault then begins again.
    fn sound_file_page(&self, area: &Area, index: u32, map: &FileMap) -> Result<Option<Cached>> {
        let cached = self.file_page(&map.file, map.first + index, area.preferred(), Fill::Content)?;
        if cached.poisoned {
            self.refuse_poisoned(&map.file, map.first + index, cached.pfn)?;
            return Ok(None);
        }
        if cached.swapped_in || (cached.new && map.file.is_written_back()) {
            self.stats.event(Event::Pgmajfault, 1);
        }
        Ok(Some(cached))
    }

    /// Makes a page of a shared mapping ready for a store through a read-only entry. The caller's
    /// reference is put unless the page is returned. `None` if the page has left the file or moved
    /// meanwhile: the entry must be read again.
    pub(in crate::map) fn ready_mapped_page(
        &self,
        area: &Area,
        index: u32,
        pfn: Pfn,
    ) -> Result<Option<Fresh>> {
        let map = area.file().expect("only mappings of files are shared");
        if !self.frames[pfn].lock_patiently() {
            self.put(pfn);
            return Err(Error::interrupted());
        }
        if !self.is_of_file(pfn, &map.file, map.first + index) {
            self.unlock_and_put(pfn);
            return Ok(None);
        }
        self.make_writable(&map.file, pfn);
        Ok(Some(Fresh::File { pfn, writable: true }))
    }

    /// Prepares a locked page for stores through a mapping (`page_mkwrite`).
    fn make_writable(&self, file: &File, pfn: Pfn) {
        if file.is_written_back() {
            self.attach_private(pfn);
        }
        self.set_page_dirty(pfn);
    }

    /// Fills an empty entry of a file's mapping with the page in `fresh`. If the fault needs another page,
    /// returns the kind of page that it needs.
    pub(in crate::map) fn map_file_page(
        &self,
        area: &Area,
        index: u32,
        guard: EntryGuard<'_>,
        cause: Cause,
        fresh: &mut Option<Fresh>,
    ) -> Outcome {
        let shared = area.is_shared();
        let want = Want::of(cause, shared);
        match (*fresh, want) {
            (Some(Fresh::File { pfn, writable }), Want::Page | Want::Writable)
                if writable == (want == Want::Writable) =>
            {
                // Only a file with a disk must notice the first store to a page, to write the page
                // back. A shared mapping of another file is writable at once.
                let unnoticed = shared && area.file().is_some_and(|map| !map.file.is_written_back());
                let bits = match (writable, unnoticed) {
                    (true, _) => Pte::YOUNG | Pte::DIRTY | Pte::WRITE,
                    (false, true) => Pte::YOUNG | Pte::WRITE,
                    (false, false) => Pte::YOUNG,
                };
                *fresh = None;
                // The entry takes over the reference that `fresh` held.
                if self.frames[pfn].add_mapping() == 0 {
                    self.count_mapped(pfn, 1);
                }
                if area.locked(index) {
                    self.mlock_page(pfn);
                }
                guard.finish(Pte::present(pfn, bits));
                self.frames[pfn].unlock(pfn);
                Outcome::Done
            }
            (Some(Fresh::FileCopy { pfn, of }), Want::Copy) => {
                *fresh = None;
                self.add_new_anon(area, index, pfn);
                let write = if cause == Cause::Write { Pte::WRITE } else { 0 };
                guard.finish(Pte::present(pfn, Pte::YOUNG | Pte::DIRTY | write));
                self.unlock_and_put(of);
                Outcome::Done
            }
            _ => Outcome::NeedFile(want),
        }
    }

    /// Handles a store to a page that a shared mapping maps read-only.
    pub(in crate::map) fn write_shared(
        &self,
        pfn: Pfn,
        guard: EntryGuard<'_>,
        fresh: &mut Option<Fresh>,
    ) -> Outcome {
        match *fresh {
            Some(Fresh::File { pfn: ready, writable: true }) if ready == pfn => {
                *fresh = None;
                if !mutated(Mutation::SharedReuseUncounted) {
                    self.count_reuse();
                }
                guard.finish(Pte::present(pfn, Pte::YOUNG | Pte::DIRTY | Pte::WRITE));
                self.unlock_and_put(pfn);
                Outcome::Done
            }
            _ => {
                // The locked entry maps the page, so the mapping's reference keeps the page.
                self.frames[pfn].get(pfn);
                Outcome::NeedWritable(pfn)
            }
        }
    }
}
