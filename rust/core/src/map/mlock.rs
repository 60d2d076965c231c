//! mlock(2) and munlock(2): pages that must stay (lifecycle 5.7).
//!
//! 1. Mark the pages of the area, with faults held off: who faults one in from now on locks it.
//! 2. Under each entry's lock: lock (or unlock) the page that is there already. A migration entry is
//!    skipped: who restores it looks at the mark.
//! 3. mlock faults in what is missing, breaking copy-on-write, and marks each page accessed. Each stretch of
//!    pages with the same properties (the kernel's VMA) ends with a drain.

use super::fault::{Cause, no_hwpoison, no_page};
use super::{AddressSpace, Area, Attributes, Entry, Pte};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::page::Flags;
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

    /// Steps 1 and 2, up to the first hole.
    fn change_lock(&self, space: &AddressSpace, area: &Area, pages: Range<u32>, lock: bool) -> Result<()> {
        space.covers(area, &pages)?;
        let areas = space.areas.write();
        let (changed, hole) = {
            let _no_faults = area.faults.write();
            let hole = pages.clone().find(|&index| area.attributes(index).contains(Attributes::UNMAPPED));
            let until = hole.unwrap_or(pages.end);
            let change = |&index: &u32| {
                let before = match lock {
                    true => area.mark(index, Attributes::LOCKED),
                    false => area.unmark(index, Attributes::LOCKED),
                };
                before.contains(Attributes::LOCKED) != lock
            };
            let changed: Vec<u32> = (pages.start..until).filter(change).collect();
            area.merge_stretches();
            (changed, hole)
        };
        if !changed.is_empty() {
            // So that pages in a batch are on a list, and go to the other at once.
            self.lru_drain_local();
            for index in changed {
                let guard = area.lock(index);
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
        }
        drop(areas);
        match hole {
            Some(index) => Err(Error { errno: Errno::ENOMEM, ..no_page(area, index) }),
            None => Ok(()),
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
