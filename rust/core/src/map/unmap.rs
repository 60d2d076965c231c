//! Unmapping: part of an area, a whole one, or everything at exit.
//!
//! The order for each batch of pages (lifecycle 2.3, 3.3; `mmu_gather`):
//!
//! 1. Mark the pages, with faults held off: nobody fills an entry of theirs from now on.
//! 2. Under each entry's lock: replace the entry by nothing, take the mapping off the page.
//! 3. One flush: no thread is inside an access that found an old entry.
//! 4. Put the pages: the last reference may free them.
//!
//! A migration entry is dropped silently: it holds no reference, and the migration that restores its
//! mappings does not find it.

use super::{AddressSpace, Area, Attributes, Entry, Pte};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::Ordering;
use arrayvec::ArrayVec;
use std::ops::Range;

/// Pages unmapped for one flush.
const BATCH: usize = 32;

impl<R: Release> Machine<R> {
    /// Unmaps pages of an area (`munmap`); those that already are, are no error. Drains this CPU's LRU
    /// batches first, as the kernel does.
    ///
    /// `EINVAL` for a range that does not lie in the area, or an area of another space.
    pub fn munmap(&self, space: &AddressSpace, area: &Area, pages: Range<u32>) -> Result<()> {
        space.owns(area)?;
        if pages.start >= pages.end || pages.end > area.pages() {
            let why = format!("pages {pages:?} do not lie in an area of {} pages", area.pages());
            return Err(Error::new(Errno::EINVAL, why));
        }
        self.lru_drain_local();
        // Against fork, which must not copy what is half gone.
        let areas = space.areas.write();
        let marked = mark_unmapped(area, pages.clone());
        drop(areas);
        self.zap(area, pages);
        if self.ended(area, marked) {
            space.areas.write().retain(|other| !std::ptr::eq(&**other, area));
        }
        Ok(())
    }

    /// Ends a space: everything is unmapped, and nothing can be mapped any more. Harmless the second
    /// time.
    pub fn exit(&self, space: &AddressSpace) {
        self.lru_drain_local();
        let areas = {
            let mut areas = space.areas.write();
            *space.next.lock() = None;
            std::mem::take(&mut *areas)
        };
        for area in &areas {
            let all = 0..area.pages();
            let marked = mark_unmapped(area, all.clone());
            self.zap(area, all);
            self.ended(area, marked);
        }
        self.unregister(space);
    }

    /// Accounts for `pages` pages that are gone for good; true if that was the whole area.
    fn ended(&self, area: &Area, pages: u32) -> bool {
        // AcqRel: whoever takes the last page off comes after all others' unmapping.
        let last = pages > 0 && area.left.fetch_sub(pages, Ordering::AcqRel) == pages;
        if last {
            self.leave_lineage(area);
        }
        last
    }

    /// Steps 2 to 4 for marked pages, batch by batch.
    fn zap(&self, area: &Area, pages: Range<u32>) {
        let mut gone: ArrayVec<Pfn, BATCH> = ArrayVec::new();
        for index in pages {
            gone.extend(self.zap_entry(area, index));
            if gone.is_full() {
                self.flush_and_put(&mut gone);
            }
        }
        self.flush_and_put(&mut gone);
    }

    /// Step 2 for one entry; the page whose reference is still to be put.
    fn zap_entry(&self, area: &Area, index: u32) -> Option<Pfn> {
        // Nobody fills it: see `Area`.
        if area.look(index).unlocked() == Pte::NONE {
            return None;
        }
        let mut guard = area.lock(index);
        let old = guard.replace(Pte::NONE);
        let Entry::Present { pfn, zero: false } = old.entry() else { return None };
        // Accessed and dirty bits of anonymous pages tell nobody anything once the page is unmapped.
        self.remove_anon_mapping(pfn);
        Some(pfn)
    }

    /// Steps 3 and 4.
    fn flush_and_put(&self, gone: &mut ArrayVec<Pfn, BATCH>) {
        if !gone.is_empty() {
            self.tlb.flush();
            self.put_all(gone);
            gone.clear();
        }
    }
}

/// Step 1: marks pages, and says how many were not marked before.
fn mark_unmapped(area: &Area, pages: Range<u32>) -> u32 {
    let _no_faults = area.faults.write();
    let fresh = |&index: &u32| !area.mark(index, Attributes::UNMAPPED).contains(Attributes::UNMAPPED);
    pages.filter(fresh).count() as u32
}
