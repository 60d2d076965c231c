//! Large anonymous pages: a fault fills the entries of a whole page at once, if it finds all of them empty
//! (`alloc_anon_folio`).
//!
//! The kernel has one lock for the entries of a page table; here each has its own. The first is waited for; the
//! others are only tried, as a second page lock is, and given back if one of them is taken.

use super::fault::{Fresh, Outcome};
use super::{Area, Attributes, EntryGuard, Pte};
use crate::machine::Machine;
use crate::page::{Flags, Folio, Pfn};
use crate::release::Release;
use std::ops::Range;

impl<R: Release> Machine<R> {
    /// A zeroed large page for the entries around `index`; `None` where it does not fit, or none is to be had: then a
    /// base page will do.
    pub(super) fn zeroed_large(&self, area: &Area, index: u32) -> Option<Pfn> {
        let block = block(area, index)?;
        if !block.clone().all(|index| area.look(index).unlocked() == Pte::NONE) {
            return None;
        }
        let head = self.alloc_order(area, index, area.preferred(), area.order()).ok()?;
        self.frames.parts(head).for_each(|part| self.memory.zero_page(part));
        Some(head)
    }

    /// Maps a fresh large page, whose allocation's reference becomes the first entry's. If an entry is not empty any
    /// more, it is looked at anew what fits.
    pub(super) fn map_large(&self, area: &Area, index: u32, head: Pfn, fresh: &mut Option<Fresh>) -> Outcome {
        let around = || block(area, index);
        let Some(block) = around() else { return Outcome::NeedZeroed };
        let guards = match lock_all(area, block.clone()) {
            Ok(guards) => guards,
            Err(taken) => {
                // Waited for without any other.
                drop(area.lock(taken));
                return Outcome::Again;
            }
        };
        // Pages are locked into memory under the locks of their entries: what holds for all of them stays from here on.
        if guards.iter().any(|guard| guard.pte() != Pte::NONE) || around().is_none() {
            return Outcome::NeedZeroed;
        }
        *fresh = None;
        self.add_new_large(area, block.start, head);
        for (guard, part) in guards.into_iter().zip(self.frames.parts(head)) {
            // A stale look at nothing: no flush.
            guard.finish(Pte::present(part, Pte::YOUNG | Pte::DIRTY | Pte::WRITE));
        }
        Outcome::Done
    }

    /// Makes a fresh large page the exclusive anonymous pages from `index` on, as
    /// [`add_new_anon`](Machine::add_new_anon) does a base page.
    fn add_new_large(&self, area: &Area, index: u32, head: Pfn) {
        let (page, folio) = (&self.frames[head], Folio { head, large: true });
        page.set_owner(area.anon.0, index);
        page.set(Flags::UPTODATE | Flags::SWAPBACKED | Flags::ANON);
        let mut pages = 0;
        for part in self.frames.parts(head) {
            self.frames[part].set(Flags::ANON_EXCLUSIVE);
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
        // Once for each entry, as each will unlock it.
        self.mlock_new_page(head);
        (1..pages).for_each(|_| self.mlock_page(head));
    }
}

/// The pages of the large page around `index`, if it lies in the area and one thing holds for all of them.
fn block(area: &Area, index: u32) -> Option<Range<u32>> {
    let pages = 1u32 << area.order();
    let start = index & !(pages - 1);
    let block = start..start.checked_add(pages).filter(|&end| end <= area.pages())?;
    let of = |index| area.attributes(index) - Attributes::HAD_ANON;
    let kind = of(index);
    let alike = |index| of(index) == kind;
    (!kind.contains(Attributes::UNMAPPED) && block.clone().all(alike)).then_some(block)
}

/// The locks of all these entries; or which one is taken.
fn lock_all(area: &Area, block: Range<u32>) -> Result<Vec<EntryGuard<'_>>, u32> {
    block.map(|index| area.trylock(index).ok_or(index)).collect()
}

// A page of the explored build has two words; these tests write bytes.
#[cfg(all(test, not(feature = "explored")))]
mod tests;
