//! mlock(2) and munlock(2): pages that must stay (lifecycle 5.7).
//!
//! 1. Under each entry's lock, mark the page of the area and lock (or unlock) the page that is there. Whoever fills
//!    or empties an entry looks at the mark under the same lock: each mapping is counted once. (The kernel holds
//!    faults off, and rmap walks of migration by `VM_IO`.) A migration entry is skipped: who restores it looks.
//! 2. What is alike now is one stretch.
//! 3. mlock faults in what is missing, breaking copy-on-write, and marks each page accessed. Each stretch of
//!    pages with the same properties (the kernel's VMA) ends with a drain.

use super::fault::{Cause, no_hwpoison, no_page};
use super::{AddressSpace, Area, Attributes, Entry, Pte};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use std::ops::Range;

impl<R: Release> Machine<R> {
    /// Locks pages of an area into memory (`mlock`).
    ///
    /// `EINVAL` for a range that does not lie in the area, `ENOMEM` for one with a hole (what lies before
    /// it is locked, but not faulted in) or if there is no memory.
    pub fn mlock(&self, space: &AddressSpace, area: &Area, pages: Range<u32>) -> Result<()> {
        self.change_lock(space, area, pages.clone(), true)?;
        area.stretches(pages).try_for_each(|(mut stretch, _)| {
            let populated = stretch.try_for_each(|index| self.populate(area, index));
            self.lru_drain_local();
            populated
        })
    }

    /// Ends that. Errors as [`Machine::mlock`].
    pub fn munlock(&self, space: &AddressSpace, area: &Area, pages: Range<u32>) -> Result<()> {
        self.change_lock(space, area, pages, false)
    }

    /// Steps 1 and 2, up to the first hole. The areas are held alone: nobody else changes what they are.
    fn change_lock(&self, space: &AddressSpace, area: &Area, pages: Range<u32>, lock: bool) -> Result<()> {
        space.covers(area, &pages)?;
        self.may_go_on("mlock")?;
        let areas = space.areas.write();
        let hole = pages.clone().find(|&index| area.attributes(index).contains(Attributes::UNMAPPED));
        let other = |index: &u32| area.attributes(*index).contains(Attributes::LOCKED) != lock;
        // Looked at one after the other: nobody else locks or unlocks meanwhile.
        let mut changed = (pages.start..hole.unwrap_or(pages.end)).filter(other).peekable();
        if changed.peek().is_some() {
            if lock {
                let _no_faults = area.faults.write();
                area.set_special();
            }
            // So that pages in a batch are on a list, and go to the other at once.
            self.lru_drain_local();
            for index in changed {
                let guard = area.lock(index);
                match lock {
                    true => area.mark(index, Attributes::LOCKED),
                    false => area.unmark(index, Attributes::LOCKED),
                };
                if let Entry::Present { pfn, zero: false } = guard.pte().entry() {
                    // A large page is locked by each of its entries.
                    let head = self.frames.head(pfn);
                    match lock {
                        true => self.mlock_page(head),
                        false => self.munlock_page(head),
                    }
                }
            }
            self.lru_drain_local();
            let _no_faults = area.faults.write();
            area.merge_stretches();
        }
        drop(areas);
        match hole {
            Some(index) => Err(Error { errno: Errno::ENOMEM, ..no_page(area, index) }),
            None => Ok(()),
        }
    }

    /// Reclaim has met a locked mapping of a page that it isolated: the page is locked now, if nobody said so (`try_to_unmap_one`).
    /// One that says so already has been counted, or will be.
    pub(super) fn note_missed_lock(&self, pfn: Pfn) {
        if !self.frames[pfn].word().has(Flags::MLOCKED) {
            self.mlock_page(pfn);
        }
    }

    /// Step 3 for one page (`populate_vma_page_range`). A private page is made this process's own; shared
    /// pages are not made dirty for nothing.
    fn populate(&self, area: &Area, index: u32) -> Result<()> {
        let write = !area.is_shared();
        // Each round follows from a fault, as in an access.
        loop {
            let cause = {
                let guard = area.lock(index);
                let pte = guard.pte();
                match pte.entry() {
                    Entry::Present { pfn, zero } if !write || (pte.has(Pte::WRITE) && !zero) => {
                        if !zero {
                            let head = self.frames.head(pfn);
                            if write && !pte.has(Pte::DIRTY) && !self.frames[head].word().has(Flags::DIRTY) {
                                self.set_page_dirty(head);
                            }
                            self.mark_page_accessed(head);
                        }
                        return Ok(());
                    }
                    _ if write => Cause::Write,
                    _ => Cause::Read,
                }
            };
            self.fault_for(area, index, cause).map_err(no_hwpoison)?;
        }
    }
}
