//! Large anonymous pages: a fault fills the entries of a whole large page at once, if all of them
//! are empty (`alloc_anon_folio`).
//!
//! The kernel has one lock for all entries of a page table; here each entry has its own. A thread
//! that waited for one entry's lock while it holds another could deadlock. Therefore the locks are
//! only tried, and all are given back if one of them is taken.

use super::fault::{Fresh, Outcome};
use super::{Area, EntryGuard, Pte};
use crate::machine::Machine;
use crate::page::{Flags, Folio, HUGE_ORDER, Pfn};
use crate::release::Release;
use crate::stat::Event;
use std::ops::Range;

impl<R: Release> Machine<R> {
    /// Makes a zeroed large page for the entries around `index`. `None` if a large page does not
    /// fit, or no block is free; the fault then takes a base page.
    pub(super) fn zeroed_large(&self, area: &Area, index: u32) -> Option<Pfn> {
        let block = area.alike(index, area.order())?;
        if !block.clone().all(|index| area.look(index).unlocked() == Pte::NONE) {
            return None;
        }
        let head = self.alloc_order(area, index, area.preferred(), area.order()).ok();
        if head.is_none() && area.order() == HUGE_ORDER {
            self.stats.event(Event::ThpFaultFallback, 1);
        }
        let head = head?;
        self.frames.parts(head).for_each(|part| self.memory.zero_page(part));
        Some(head)
    }

    /// Maps a fresh large page; its allocation's reference becomes the first entry's. If an entry
    /// is no longer empty, the fault looks again which page fits.
    pub(super) fn map_large(&self, area: &Area, index: u32, head: Pfn, fresh: &mut Option<Fresh>) -> Outcome {
        let around = || area.alike(index, area.order());
        let Some(block) = around() else { return Outcome::NeedZeroed };
        let guards = match lock_all(area, block.clone()) {
            Ok(guards) => guards,
            Err(taken) => {
                // All other entry locks were given back before this wait.
                drop(area.lock(taken));
                return Outcome::Again;
            }
        };
        // mlock marks a page under its entry's lock, so the attributes of all these pages stay
        // equal from here on.
        if guards.iter().any(|guard| guard.pte() != Pte::NONE) || around().is_none() {
            return Outcome::NeedZeroed;
        }
        *fresh = None;
        if area.order() == HUGE_ORDER {
            self.stats.event(Event::ThpFaultAlloc, 1);
        }
        self.add_new_large(area, block.start, head);
        for (guard, part) in guards.into_iter().zip(self.frames.parts(head)) {
            // No flush is needed: a thread that still sees the empty entry faults.
            guard.finish(Pte::present(part, Pte::YOUNG | Pte::DIRTY | Pte::WRITE));
        }
        Outcome::Done
    }

    /// Makes a fresh large page the exclusive anonymous pages from `index` on, as
    /// [`add_new_anon`](Machine::add_new_anon) does with a base page.
    fn add_new_large(&self, area: &Area, index: u32, head: Pfn) {
        let (page, folio) = (&self.frames[head], Folio { head, large: true });
        page.set_owner(area.anon.0, index);
        page.publish(
            Flags::UPTODATE | Flags::SWAPBACKED | Flags::ANON | self.new_anon_mark(area.locked(index)),
        );
        let mut pages = 0;
        for part in self.frames.parts(head) {
            self.frames[part].set(self.exclusive_mark());
            self.frames.add_mapping(folio, part);
            if part != head {
                page.get(head);
            }
            pages += 1;
        }
        area.note_anon(index);
        self.count_mapped(head, pages);
        if !area.locked(index) {
            return self.lru_add(head);
        }
        // Each entry counts one lock, because the unlock of each entry subtracts one.
        self.mlock_new_page(head);
        (1..pages).for_each(|_| self.mlock_page(head));
    }
}

/// Locks all these entries. If one is locked by another thread, releases the others and returns its
/// index.
fn lock_all(area: &Area, block: Range<u32>) -> Result<Vec<EntryGuard<'_>>, u32> {
    block.map(|index| area.trylock(index).ok_or(index)).collect()
}

// Not in the explored build, whose pages have two words: these tests write bytes.
#[cfg(all(test, not(feature = "explored")))]
mod tests;
