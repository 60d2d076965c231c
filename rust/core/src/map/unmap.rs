//! Unmapping: of a part of an area, of a whole area, or of all areas at exit.
//!
//! The steps for each batch of pages (lifecycle 2.3, 3.3; `mmu_gather`):
//!
//! 1. Mark the pages, with faults held off: no fault fills their entries from now on.
//! 2. Under each entry's lock, clear the entry and take the mapping off the page.
//! 3. Flush once: afterwards no thread is inside an access through an old entry.
//! 4. Put the pages. The last reference frees its page. A put before the flush could free a page while a
//!    thread still stores to it.
//!
//! A migration entry is cleared without any count, because it holds no reference. The migration
//! does not find it when it restores the mappings.

use super::{AddressSpace, Area, Attributes, Entry, File, Pte};
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::owner::Owner;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::{Mutation, Ordering, in_order, mutated};
use arrayvec::ArrayVec;
use std::ops::Range;

/// The number of pages that one flush serves.
const BATCH: usize = 32;

/// The number of pages that are unmapped before an interruption is heard. The pages of one step are marked
/// at one moment.
const STEP: u32 = 1 << 12;

impl<R: Release> Machine<R> {
    /// Unmaps pages of an area (`munmap`). Pages that are unmapped already are no error. In kernels
    /// that drain on an unmap, this CPU's LRU batches are drained first.
    ///
    /// `EINVAL` for a range that does not lie in the area, or for an area of another space; `EINTR` if it
    /// was interrupted: the pages up to some place are unmapped then.
    pub fn munmap(&self, space: &AddressSpace, area: &Area, pages: Range<u32>) -> Result<()> {
        space.covers(area, &pages)?;
        self.may_go_on("munmap")?;
        self.drain_for_unmap();
        for pages in steps(pages) {
            // The lock keeps a fork out: a fork must not copy an area of which only some pages are marked.
            let areas = space.areas.write();
            let marked = mark_unmapped(area, pages.clone());
            drop(areas);
            self.zap(area, pages);
            if self.account_unmapped(area, marked) {
                let mut areas = space.areas.write();
                let place = areas.partition_point(|other| other.first < area.first);
                if areas.get(place).is_some_and(|other| std::ptr::eq(&**other, area)) {
                    areas.remove(place);
                }
            }
            Error::unless_interrupted()?;
        }
        Ok(())
    }

    /// Ends a space: all areas are unmapped, and nothing can be mapped any more. A second call does
    /// nothing.
    pub fn exit(&self, space: &AddressSpace) {
        // The call cannot fail, because nothing interrupts it.
        let _ = self.exit_in_steps(space, || Ok(()));
    }

    /// Like [`Machine::exit`], but can be interrupted. `EINTR` then: nothing can be mapped any more, the
    /// pages up to some place are unmapped, and another call unmaps the rest.
    pub fn exit_unless_interrupted(&self, space: &AddressSpace) -> Result<()> {
        self.exit_in_steps(space, Error::unless_interrupted)
    }

    fn exit_in_steps(&self, space: &AddressSpace, goes_on: impl Fn() -> Result<()>) -> Result<()> {
        self.drain_for_unmap();
        let mut areas = {
            let mut areas = space.areas.write();
            *space.next.lock() = None;
            std::mem::take(&mut *areas)
        };
        for (ended, area) in areas.iter().enumerate() {
            for pages in steps(0..area.pages()) {
                let marked = mark_unmapped(area, pages.clone());
                self.zap(area, pages);
                self.account_unmapped(area, marked);
                if let Err(error) = goes_on() {
                    // Another call begins with this area again, and finds the rest of it.
                    *space.areas.write() = areas.split_off(ended);
                    return Err(error);
                }
            }
        }
        self.unregister(space);
        Ok(())
    }

    /// Drains this CPU's LRU batches in kernels that do so before an unmap: a page in a batch would
    /// outlive its last mapping.
    pub(super) fn drain_for_unmap(&self) {
        if self.profile.unmap_drains {
            self.lru_drain_local();
        }
    }

    /// Accounts for `pages` pages that were unmapped for good, and ends the area with the last of
    /// them. Returns true if the area has ended.
    fn account_unmapped(&self, area: &Area, pages: u32) -> bool {
        // AcqRel: the thread that takes the count to zero comes after the unmaps of all others.
        let last = pages > 0 && area.left.fetch_sub(pages, Ordering::AcqRel) == pages;
        if last {
            self.leave_owners(area);
        }
        last
    }

    /// Clears the entries of marked pages, flushes, and puts the pages (steps 2 to 4), batch by
    /// batch.
    fn zap(&self, area: &Area, pages: Range<u32>) {
        let mut gather = Gather::default();
        for index in pages {
            self.zap_entry(area, index, &mut gather);
        }
        self.flush_and_put(&mut gather);
    }

    /// Unmaps pages of a file in all areas (`unmap_mapping_range`): the file's own pages and, with
    /// `copies`, the copies in private mappings. Pages that faults map meanwhile may stay mapped.
    pub(super) fn unmap_file(&self, file: &File, pages: Range<u32>, copies: bool) {
        let mut gather = Gather::default();
        // The reverse map's lock is held to the end, so that the entries of a concurrent fork are
        // met: see `join_owners`.
        self.owners.with(file.owner, |owner| {
            let Owner::File { areas, .. } = owner else { return };
            for area in areas {
                let Some(map) = area.file() else { continue };
                let from = pages.start.saturating_sub(map.first);
                let to = pages.end.saturating_sub(map.first).min(area.pages());
                for index in from..to {
                    self.zap_entry_if(area, index, &mut gather, |pte| copies || !self.maps_copy(pte));
                }
            }
            self.flush_and_put(&mut gather);
        });
    }

    /// Returns true if the entry leads to an anonymous page.
    fn maps_copy(&self, pte: Pte) -> bool {
        match pte.entry() {
            Entry::Present { pfn, .. } | Entry::Migration { pfn } => self.frames[pfn].word().has(Flags::ANON),
            // A poisoned entry does not tell whether the lost page was a copy, so it counts as a
            // copy's entry.
            Entry::Swap { .. } | Entry::Hwpoison { .. } => true,
            Entry::None => false,
        }
    }

    /// Clears one entry (step 2), and notes the page for its put after the flush.
    pub(super) fn zap_entry(&self, area: &Area, index: u32, gather: &mut Gather) {
        self.zap_entry_if(area, index, gather, |_| true);
    }

    /// Clears one entry (step 2) if `wanted` accepts it. The check is made under the entry's lock,
    /// because a store may replace the page by a copy until then.
    fn zap_entry_if(&self, area: &Area, index: u32, gather: &mut Gather, wanted: impl Fn(Pte) -> bool) {
        // An empty entry is skipped. The entry of a marked page is never filled again: see `Area`.
        if area.is_empty(index) {
            return;
        }
        let mut guard = area.lock(index);
        if !wanted(guard.pte()) {
            return;
        }
        let old = guard.replace(Pte::NONE);
        if let Entry::Swap { slot } = old.entry() {
            // The entry's lock is held until the slot is freed: a thread that finds neither the
            // entry nor the page knows that the free is under way.
            return self.free_swap_entry(slot);
        }
        let Entry::Present { pfn, zero: false } = old.entry() else { return };
        // The mapping's reference keeps the page as it is, and is put after the flush.
        let folio = self.frames.folio(pfn);
        let head = folio.head;
        // The accessed and dirty bits of an anonymous page mean nothing once the page is unmapped.
        if old.has(Pte::YOUNG) && !self.frames[head].word().has(Flags::ANON) {
            let counts_as_use = |map: &super::FileMap| !map.random || self.profile.random_marks_accessed;
            if area.file().is_some_and(counts_as_use) {
                self.mark_page_accessed(head);
                gather.queued = true;
            }
        }
        let dirty = old.has(Pte::DIRTY) && !self.frames[head].word().has(Flags::ANON);
        self.remove_mapping_of(folio, pfn);
        if folio.large {
            self.note_partial(folio, pfn);
        }
        if area.locked(index) {
            self.munlock_page(head);
            gather.queued = true;
        }
        drop(guard);
        gather.dirty |= u32::from(dirty) << gather.pages.len();
        gather.pages.push(head);
        if gather.pages.is_full() {
            self.flush_and_put(gather);
        }
    }

    /// Flushes and puts the noted pages (steps 3 and 4).
    pub(super) fn flush_and_put(&self, gather: &mut Gather) {
        if gather.pages.is_empty() {
            return;
        }
        let flush = || {
            if !mutated(Mutation::UnmapWithoutFlush) {
                self.tlb.flush();
            }
        };
        // Pages are marked dirty after the flush, when no store goes through an old entry any more.
        // If they were marked before, a write-back could clean a page before its last store (kernel
        // 5df397dec7c4).
        let mark_dirty = || {
            if gather.dirty == 0 {
                return;
            }
            let dirty = gather.pages.iter().enumerate().filter(|(at, _)| gather.dirty & 1 << at != 0);
            dirty.for_each(|(_, &pfn)| self.set_page_dirty(pfn));
        };
        in_order(Mutation::DirtyBeforeFlush, flush, mark_dirty);
        if gather.queued {
            self.drain_for_unmap();
        }
        gather.pages.iter().for_each(|&pfn| self.free_swap_if_unmapped(pfn));
        self.put_all(&gather.pages);
        *gather = Gather::default();
    }
}

/// Pages whose entries were cleared and whose references are still to be put.
#[derive(Default)]
pub(super) struct Gather {
    pages: ArrayVec<Pfn, BATCH>,
    /// Bit n is set if page n belongs to a file and its entry was dirty.
    dirty: u32,
    /// True if a page waits in a batch to be activated or unlocked.
    queued: bool,
}

const _: () = assert!(BATCH <= u32::BITS as usize);

/// Cuts a range of pages into the steps in which it is unmapped.
fn steps(pages: Range<u32>) -> impl Iterator<Item = Range<u32>> {
    let end = pages.end;
    pages.step_by(STEP as usize).map(move |start| start..end.min(start.saturating_add(STEP)))
}

/// Marks the pages (step 1), and returns how many were not marked before.
fn mark_unmapped(area: &Area, pages: Range<u32>) -> u32 {
    let _no_faults = (!mutated(Mutation::UnmapWithoutFaultLock)).then(|| area.faults.write());
    let fresh = |&index: &u32| !area.mark(index, Attributes::UNMAPPED).contains(Attributes::UNMAPPED);
    pages.filter(fresh).count() as u32
}
