//! madvise(2): what a process says of its memory.
//!
//! A range may cross places with different properties (the kernel's VMAs): each stretch is treated by
//! itself, in order. A locked stretch is refused at once; a hole is noted, and what lies behind it is
//! treated all the same.

use super::unmap::Gone;
use super::{AddressSpace, Area, Attributes, Entry, Pte};
use crate::calls::Call;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::memory::room;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use std::ops::Range;

/// Advice about pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// They are not needed soon: to the inactive list.
    Cold,
    /// They are to be reclaimed now.
    Pageout,
    /// Their content is not needed any more: unmapped.
    Dontneed,
    /// Their content may be thrown away when memory is short.
    Free,
    /// They will be needed: what is in the swap space is read into the swap cache.
    Willneed,
}

impl Advice {
    /// The names that Python uses.
    pub const NAMES: &'static [(&'static str, Advice)] = &[
        ("cold", Advice::Cold),
        ("pageout", Advice::Pageout),
        ("dontneed", Advice::Dontneed),
        ("free", Advice::Free),
        ("willneed", Advice::Willneed),
    ];
}

impl<R: Release> Machine<R> {
    /// Gives advice about pages of an area.
    ///
    /// `EINVAL` for a range that does not lie in the area, for locked pages (but [`Advice::Willneed`])
    /// and for [`Advice::Free`] of what is not anonymous memory; `ENOMEM` if there was a hole, or (of the
    /// host) without memory for a list of what is to be reclaimed.
    pub fn madvise(
        &self,
        space: &AddressSpace,
        area: &Area,
        pages: Range<u32>,
        advice: Advice,
    ) -> Result<()> {
        space.covers(area, &pages)?;
        self.may_go_on("madvise")?;
        let mut holes = false;
        for (range, kind) in area.stretches(pages.clone()) {
            if kind.contains(Attributes::UNMAPPED) {
                holes = true;
                continue;
            }
            if advice == Advice::Willneed {
                // What does not come in time comes with the fault.
                let swapped = |&index: &u32| matches!(area.look(index).entry(), Entry::Swap { .. });
                if range.filter(swapped).try_for_each(|index| self.read_ahead(area, index)).is_ok() {
                    self.lru_drain_local();
                }
                continue;
            }
            if kind.contains(Attributes::LOCKED) {
                return Err(Error::new(Errno::EINVAL, "the pages are locked into memory"));
            }
            if advice == Advice::Free && area.file().is_some() {
                return Err(Error::new(Errno::EINVAL, "only anonymous memory can be freed lazily"));
            }
            // What waits in a batch could not be isolated or moved.
            match advice {
                Advice::Dontneed => self.drain_for_unmap(),
                _ => self.lru_drain_local(),
            }
            if matches!(advice, Advice::Cold | Advice::Pageout | Advice::Free) {
                self.split_advised(area, range.clone(), advice == Advice::Free);
            }
            match advice {
                Advice::Cold => range.for_each(|index| self.cold(area, index, None)),
                Advice::Pageout => {
                    let mut list = room("a list of pages to reclaim", range.len())?;
                    range.for_each(|index| self.cold(area, index, Some(&mut list)));
                    self.reclaim_pages(list);
                }
                Advice::Dontneed => {
                    let mut gone = Gone::default();
                    range.for_each(|index| self.zap_entry(area, index, &mut gone));
                    self.flush_and_put(&mut gone);
                }
                Advice::Free => {
                    range.for_each(|index| self.free_lazily(area, index));
                    // Stores through entries that were dirty are over, or make them dirty again.
                    self.tlb.flush();
                }
                Advice::Willneed => {}
            }
        }
        match holes {
            true => Err(Error::new(Errno::ENOMEM, format!("not all of pages {pages:?} are mapped"))),
            false => Ok(()),
        }
    }

    /// One entry of cold memory (`madvise_cold_or_pageout_pte_range`): the page is made old and then
    /// deactivated, or isolated onto `list`. Pages that others map too are theirs to judge.
    fn cold(&self, area: &Area, index: u32, list: Option<&mut Vec<Pfn>>) {
        let Some(guard) = area.lock_if_maps(index, |pte| pte.has(Pte::PRESENT)) else { return };
        let Entry::Present { pfn, zero: false } = guard.pte().entry() else { return };
        let folio = self.frames.folio(pfn);
        if folio.large {
            drop(guard);
            if pfn == folio.head {
                self.cold_large(area, index, pfn, list);
            }
            return;
        }
        let page = &self.frames[pfn];
        if !page.word().has(Flags::LRU) || page.mapcount() != 1 {
            return;
        }
        // The mapping's reference keeps the page as long as the entry is locked.
        let guard = match guard.pte().has(Pte::YOUNG) {
            true => {
                guard.finish_with(|old| Pte(old.0 & !Pte::YOUNG));
                let Some(guard) = area.lock_if_maps(index, |pte| pte.maps(pfn)) else { return };
                guard
            }
            false => guard,
        };
        self.make_cold(pfn, list);
        drop(guard);
    }

    /// A page that is old is deactivated, or isolated onto `list`. The caller keeps it.
    fn make_cold(&self, pfn: Pfn, list: Option<&mut Vec<Pfn>>) {
        let page = &self.frames[pfn];
        let word = page.clear(Flags::REFERENCED);
        if word.has(Flags::ACTIVE) {
            page.set(Flags::WORKINGSET);
        }
        match list {
            None => self.deactivate_page(pfn),
            Some(list) => {
                if self.isolate_by(pfn, Call::IsolateLru).is_ok() {
                    if page.word().has(Flags::UNEVICTABLE) {
                        self.putback(pfn);
                    } else {
                        list.push(pfn);
                    }
                }
            }
        }
    }

    /// The entries of a large page, from `index` on, as one; if they still are all there are.
    fn cold_large(&self, area: &Area, index: u32, head: Pfn, list: Option<&mut Vec<Pfn>>) {
        match self.get_page_at(area, index) {
            Some(now) if now == head => {}
            now => {
                // Somebody was faster.
                now.into_iter().for_each(|pfn| self.put(pfn));
                return;
            }
        }
        let folio = self.frames.folio(head);
        let (mut entries, mut here) = ((index..).zip(self.frames.parts(head)), 0);
        let made_old = entries.all(|(index, part)| {
            let Some(guard) = area.lock_if_maps(index, |pte| pte.maps(part)) else { return false };
            guard.finish_with(|old| Pte(old.0 & !Pte::YOUNG));
            here += 1;
            true
        });
        let listed = self.frames[head].word().has(Flags::LRU);
        if folio.large && made_old && listed && self.frames.folio_mapcount(folio) == here {
            self.make_cold(head, list);
        }
        self.put(head);
    }

    /// Splits large pages of which the advice meets only some parts, or any with `all`: it is not for the others. One
    /// that cannot be split is left alone.
    fn split_advised(&self, area: &Area, pages: Range<u32>, all: bool) {
        if area.order() == 0 {
            return;
        }
        for index in pages.clone() {
            let Some(head) = self.get_page_at(area, index) else { continue };
            let page = &self.frames[head];
            let in_range = |(at, part): (u32, Pfn)| at < pages.end && area.look(at).unlocked().maps(part);
            let first = page.index();
            let whole = first >= pages.start && (first..).zip(self.frames.parts(head)).all(in_range);
            if (all || !whole) && page.order() > 0 && page.trylock() {
                // It stays whole if somebody has it.
                let _ = self.split_page(head);
                page.unlock(head);
            }
            self.put(head);
        }
    }

    /// A page that may be thrown away and is in the swap space is thrown away now: to read it back would cost
    /// more than a new one.
    fn forget_swap_entry(&self, area: &Area, index: u32) {
        if !self.may_swap() {
            return;
        }
        let swapped = |pte: Pte| matches!(pte.entry(), Entry::Swap { .. });
        let Some(mut guard) = area.lock_if_maps(index, swapped) else { return };
        if let Entry::Swap { slot } = guard.replace(Pte::NONE).entry() {
            self.free_swap_entry(slot);
        }
    }

    /// One entry of memory that may be thrown away (`madvise_free_pte_range`): entry and page are made
    /// clean, so that a later store shows.
    fn free_lazily(&self, area: &Area, index: u32) {
        let poisoned = |pte: Pte| matches!(pte.entry(), Entry::Hwpoison { .. });
        let Some(guard) = area.lock_if_maps(index, |pte| pte.has(Pte::PRESENT) || poisoned(pte)) else {
            return self.forget_swap_entry(area, index);
        };
        if poisoned(guard.pte()) {
            // What it stood for was lost; now it is given up.
            guard.finish(Pte::NONE);
            return;
        }
        let Entry::Present { pfn, zero: false } = guard.pte().entry() else { return };
        if self.frames.folio(pfn).large {
            return;
        }
        let page = &self.frames[pfn];
        if page.word().any(Flags::SWAPCACHE | Flags::DIRTY) {
            if !page.trylock() {
                return;
            }
            // With others the mark is theirs too.
            let alone = page.mapcount() == 1 && (!page.word().has(Flags::SWAPCACHE) || self.free_swap(pfn));
            if alone {
                page.clear(Flags::DIRTY);
            }
            page.unlock(pfn);
            if !alone {
                return;
            }
        }
        self.mark_page_lazyfree(pfn);
        guard.finish_with(|old| Pte(old.0 & !(Pte::YOUNG | Pte::DIRTY)));
    }
}
