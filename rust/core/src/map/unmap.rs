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

use super::{AddressSpace, Area, Attributes, Entry, File, Pte};
use crate::error::Result;
use crate::machine::Machine;
use crate::owner::Owner;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::{Mutation, Ordering, mutated};
use arrayvec::ArrayVec;
use std::ops::Range;

/// Pages unmapped for one flush.
const BATCH: usize = 32;

impl<R: Release> Machine<R> {
    /// Unmaps pages of an area (`munmap`); those that already are, are no error. Drains this CPU's LRU
    /// batches first, in kernels that do.
    ///
    /// `EINVAL` for a range that does not lie in the area, or an area of another space.
    pub fn munmap(&self, space: &AddressSpace, area: &Area, pages: Range<u32>) -> Result<()> {
        space.covers(area, &pages)?;
        self.may_go_on("munmap")?;
        self.drain_for_unmap();
        // Against fork, which must not copy what is half gone.
        let areas = space.areas.write();
        let marked = mark_unmapped(area, pages.clone());
        drop(areas);
        self.zap(area, pages);
        if self.ended(area, marked) {
            let mut areas = space.areas.write();
            let place = areas.partition_point(|other| other.first < area.first);
            if areas.get(place).is_some_and(|other| std::ptr::eq(&**other, area)) {
                areas.remove(place);
            }
        }
        Ok(())
    }

    /// Ends a space: everything is unmapped, and nothing can be mapped any more. Harmless the second
    /// time.
    pub fn exit(&self, space: &AddressSpace) {
        self.drain_for_unmap();
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

    /// Brings what waits in the CPU's batches out of the way of an unmapping, where the kernel does.
    pub(super) fn drain_for_unmap(&self) {
        if self.profile.unmap_drains {
            self.lru_drain_local();
        }
    }

    /// Accounts for `pages` pages that are gone for good; true if that was the whole area.
    fn ended(&self, area: &Area, pages: u32) -> bool {
        // AcqRel: whoever takes the last page off comes after all others' unmapping.
        let last = pages > 0 && area.left.fetch_sub(pages, Ordering::AcqRel) == pages;
        if last {
            self.leave_owners(area);
        }
        last
    }

    /// Steps 2 to 4 for marked pages, batch by batch.
    fn zap(&self, area: &Area, pages: Range<u32>) {
        let mut gone = Gone::default();
        for index in pages {
            self.zap_entry(area, index, &mut gone);
        }
        self.flush_and_put(&mut gone);
    }

    /// Unmaps pages of a file wherever they are mapped (`unmap_mapping_range`): the file's own and, with
    /// `copies`, those that private mappings have made of them. What faults map meanwhile may stay.
    pub(super) fn unmap_file(&self, file: &File, pages: Range<u32>, copies: bool) {
        let mut gone = Gone::default();
        // Under the reverse map's lock to the end, so that what a fork copies meanwhile is met: see `join_owners`.
        self.owners.with(file.owner, |owner| {
            let Owner::File { areas, .. } = owner else { return };
            for area in areas {
                let Some(map) = area.file() else { continue };
                let from = pages.start.saturating_sub(map.first);
                let to = pages.end.saturating_sub(map.first).min(area.pages());
                for index in from..to {
                    self.zap_entry_if(area, index, &mut gone, |pte| copies || !self.maps_copy(pte));
                }
            }
            self.flush_and_put(&mut gone);
        });
    }

    /// Does the entry lead to an anonymous page?
    fn maps_copy(&self, pte: Pte) -> bool {
        match pte.entry() {
            Entry::Present { pfn, .. } | Entry::Migration { pfn } => self.frames[pfn].word().has(Flags::ANON),
            // What a poisoned entry stood for nobody knows: it stays as long as copies do.
            Entry::Swap { .. } | Entry::Hwpoison { .. } => true,
            Entry::None => false,
        }
    }

    /// Step 2 for one entry; notes the page whose reference is still to be put.
    pub(super) fn zap_entry(&self, area: &Area, index: u32, gone: &mut Gone) {
        self.zap_entry_if(area, index, gone, |_| true);
    }

    /// The same for one that is `wanted`, which a store may change until the entry is locked: it makes a copy.
    fn zap_entry_if(&self, area: &Area, index: u32, gone: &mut Gone, wanted: impl Fn(Pte) -> bool) {
        // Nobody fills it: see `Area`.
        if area.is_empty(index) {
            return;
        }
        let mut guard = area.lock(index);
        if !wanted(guard.pte()) {
            return;
        }
        let old = guard.replace(Pte::NONE);
        if let Entry::Swap { slot } = old.entry() {
            // Under the entry's lock: who finds neither entry nor page knows that this is going on.
            return self.free_swap_entry(slot);
        }
        let Entry::Present { pfn, zero: false } = old.entry() else { return };
        // The mapping's reference keeps the page as it is, and goes with the others.
        let folio = self.frames.folio(pfn);
        let head = folio.head;
        // Accessed and dirty bits of anonymous pages tell nobody anything once the page is unmapped.
        if old.has(Pte::YOUNG) && !self.frames[head].word().has(Flags::ANON) {
            let says = |map: &super::FileMap| !map.random || self.profile.random_marks_accessed;
            if area.file().is_some_and(says) {
                self.mark_page_accessed(head);
                gone.queued = true;
            }
        }
        let dirty = old.has(Pte::DIRTY) && !self.frames[head].word().has(Flags::ANON);
        if dirty && mutated(Mutation::DirtyBeforeFlush) {
            self.set_page_dirty(head);
        }
        self.remove_mapping_of(folio, pfn);
        if folio.large {
            self.note_partial(folio, pfn);
        }
        if area.locked(index) {
            self.munlock_page(head);
            gone.queued = true;
        }
        drop(guard);
        gone.dirty |= u32::from(dirty) << gone.pages.len();
        gone.pages.push(head);
        if gone.pages.is_full() {
            self.flush_and_put(gone);
        }
    }

    /// Steps 3 and 4.
    pub(super) fn flush_and_put(&self, gone: &mut Gone) {
        if gone.pages.is_empty() {
            return;
        }
        if !mutated(Mutation::UnmapWithoutFlush) {
            self.tlb.flush();
        }
        // Now that nobody stores through the old entry any more: told earlier, the page could be written back and
        // cleaned before the last store (kernel 5df397dec7c4).
        if gone.dirty != 0 && !mutated(Mutation::DirtyBeforeFlush) {
            for (at, &pfn) in gone.pages.iter().enumerate() {
                if gone.dirty & 1 << at != 0 {
                    self.set_page_dirty(pfn);
                }
            }
        }
        if gone.queued {
            self.drain_for_unmap();
        }
        gone.pages.iter().for_each(|&pfn| self.free_swap_if_unmapped(pfn));
        self.put_all(&gone.pages);
        *gone = Gone::default();
    }
}

/// Pages taken out of their entries whose references are still to be put.
#[derive(Default)]
pub(super) struct Gone {
    pages: ArrayVec<Pfn, BATCH>,
    /// Bit n: page n belongs to a file, and its entry was dirty.
    dirty: u32,
    /// Some wait in a batch, to be unlocked or activated.
    queued: bool,
}

const _: () = assert!(BATCH <= u32::BITS as usize);

/// Step 1: marks pages, and says how many were not marked before.
fn mark_unmapped(area: &Area, pages: Range<u32>) -> u32 {
    let _no_faults = (!mutated(Mutation::UnmapWithoutFaultLock)).then(|| area.faults.write());
    let fresh = |&index: &u32| !area.mark(index, Attributes::UNMAPPED).contains(Attributes::UNMAPPED);
    pages.filter(fresh).count() as u32
}
