//! Faults of file mappings (`do_read_fault`, `do_shared_fault`, `do_cow_fault`, `wp_page_shared`).
//!
//! The file's page is locked from the check that it is the file's until the entry is there: a truncation
//! that comes in between waits for the lock, and finds the entry.

use super::fill::{Cached, Fill};
use crate::error::Result;
use crate::machine::Machine;
use crate::map::fault::{Cause, Fresh, Outcome, Want};
use crate::map::{Area, EntryGuard, File, Pte};
use crate::page::Pfn;
use crate::release::Release;
use crate::stat::Event;

impl<R: Release> Machine<R> {
    /// Makes the file's page for an empty entry ready, reading it in as needed. No lock is held but
    /// `faults`, shared. `retry`: a fault that reads begins again.
    pub(in crate::map) fn ready_file_page(
        &self,
        area: &Area,
        index: u32,
        want: Want,
        retry: bool,
    ) -> Result<Fresh> {
        let map = area.file().expect("only mappings of files ask for a file's page");
        let node = area.preferred();
        // Each further round follows from a poisoned page that could be dropped.
        let Cached { pfn, new, swapped_in, .. } = loop {
            let cached = self.file_page(&map.file, map.first + index, node, Fill::Content)?;
            if !cached.poisoned {
                break cached;
            }
            self.refuse_poisoned(&map.file, map.first + index, cached.pfn)?;
        };
        if swapped_in {
            self.stats.event(Event::Pgmajfault, 1);
        }
        if new && map.file.is_written_back() {
            self.stats.event(Event::Pgmajfault, 1);
            if retry
                && want == Want::Copy
                && let Ok(copy) = self.alloc_for(area, index)
            {
                // The kernel has the copy's frame by now; it gives it back, lets go of its locks while it
                // reads, and begins again.
                self.put(copy);
            }
        }
        match want {
            Want::Page => Ok(Fresh::File { pfn, writable: false }),
            Want::Writable => {
                self.make_writable(&map.file, pfn);
                Ok(Fresh::File { pfn, writable: true })
            }
            Want::Copy => match self.copied_page(area, index, pfn) {
                Ok(copy) => Ok(Fresh::FileCopy { pfn: copy, of: pfn }),
                Err(error) => {
                    self.unlock_and_put(pfn);
                    Err(error)
                }
            },
        }
    }

    /// Makes a page ready that is mapped read-only by a shared mapping; spends the caller's reference unless
    /// it is returned. `None` if it has left the file or moved meanwhile: the entry is to be looked at again.
    pub(in crate::map) fn ready_mapped_page(&self, area: &Area, index: u32, pfn: Pfn) -> Option<Fresh> {
        let map = area.file().expect("only mappings of files are shared");
        self.frames[pfn].lock();
        if !self.is_of_file(pfn, &map.file, map.first + index) {
            self.unlock_and_put(pfn);
            return None;
        }
        self.make_writable(&map.file, pfn);
        Some(Fresh::File { pfn, writable: true })
    }

    /// What must be done to a locked page before a mapping may store into it (`page_mkwrite`).
    fn make_writable(&self, file: &File, pfn: Pfn) {
        if file.is_written_back() {
            self.attach_private(pfn);
        }
        self.set_page_dirty(pfn);
    }

    /// An empty entry of a file mapping.
    pub(in crate::map) fn map_file_page(
        &self,
        area: &Area,
        index: u32,
        guard: EntryGuard<'_>,
        cause: Cause,
        fresh: &mut Option<Fresh>,
    ) -> Outcome {
        let shared = area.is_shared();
        let want = match (cause, shared) {
            (Cause::Read, _) => Want::Page,
            (_, true) => Want::Writable,
            (_, false) => Want::Copy,
        };
        match (*fresh, want) {
            (Some(Fresh::File { pfn, writable }), Want::Page | Want::Writable)
                if writable == (want == Want::Writable) =>
            {
                // Stores must be heard of where there is a disk to write them to.
                let unheard = shared && area.file().is_some_and(|map| !map.file.is_written_back());
                let bits = match (writable, unheard) {
                    (true, _) => Pte::YOUNG | Pte::DIRTY | Pte::WRITE,
                    (false, true) => Pte::YOUNG | Pte::WRITE,
                    (false, false) => Pte::YOUNG,
                };
                *fresh = None;
                // The reference made ready becomes the entry's.
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

    /// A store to a page that a shared mapping maps read-only.
    pub(in crate::map) fn write_shared(
        &self,
        pfn: Pfn,
        guard: EntryGuard<'_>,
        fresh: &mut Option<Fresh>,
    ) -> Outcome {
        match *fresh {
            Some(Fresh::File { pfn: ready, writable: true }) if ready == pfn => {
                *fresh = None;
                self.stats.event(Event::Pgreuse, 1);
                guard.finish(Pte::present(pfn, Pte::YOUNG | Pte::DIRTY | Pte::WRITE));
                self.unlock_and_put(pfn);
                Outcome::Done
            }
            _ => {
                // Under the entry's lock the mapping's reference keeps it.
                self.frames[pfn].get(pfn);
                Outcome::NeedWritable(pfn)
            }
        }
    }
}
