//! madvise(2): advice of a process about its memory.
//!
//! A range may span stretches of pages with different attributes (the kernel's VMAs). Each stretch
//! is treated by itself, in order. At a locked stretch the call ends with `EINVAL`, except for
//! `MADV_WILLNEED`; the stretches before it have been treated. After a hole the call goes on, and
//! returns `ENOMEM` at its end.

use super::unmap::Gather;
use super::{AddressSpace, Area, Attributes, Entry, Pte};
use crate::calls::Call;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::memory::room;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::{Mutation, interrupted, mutated};
use std::ops::Range;

/// A process's advice about pages: one value for each `MADV_` constant that mmcore knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// The pages are not needed soon: they go to the inactive list.
    Cold,
    /// The pages are to be reclaimed now.
    Pageout,
    /// The content of the pages is not needed any more: they are unmapped.
    Dontneed,
    /// The content of the pages may be dropped when memory is short.
    Free,
    /// The pages will be needed: those in the swap space are read into the swap cache, and those of a
    /// disk's file into the page cache.
    Willneed,
}

impl Advice {
    /// The names of the advice in Python.
    pub const NAMES: &'static [(&'static str, Advice)] = &[
        ("cold", Advice::Cold),
        ("pageout", Advice::Pageout),
        ("dontneed", Advice::Dontneed),
        ("free", Advice::Free),
        ("willneed", Advice::Willneed),
    ];
}

impl<R: Release> Machine<R> {
    /// Follows a process's advice about pages of an area.
    ///
    /// `EINVAL` for a range that does not lie in the area, for locked pages (except for
    /// [`Advice::Willneed`]), and for [`Advice::Free`] of a file's mapping; `ENOMEM` if the range
    /// has a hole, or if the host has no memory for the list of pages to reclaim; `EINTR` if it was
    /// interrupted. The stretches before the error have been treated. If the error is a hole, the
    /// stretches after the hole have been treated too.
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
        // Old kernels free the pages at once if no swap slot is free (`get_nr_swap_pages`).
        let at_once = advice == Advice::Free && self.profile.free_needs_swap && self.swap.free_slots() == 0;
        for (range, kind) in area.stretches(pages.clone()) {
            Error::unless_interrupted()?;
            if kind.contains(Attributes::UNMAPPED) {
                holes = true;
                continue;
            }
            if advice == Advice::Willneed {
                self.will_need(area, range);
                continue;
            }
            if kind.contains(Attributes::LOCKED) {
                return Err(Error::new(Errno::EINVAL, "the pages are locked into memory"));
            }
            if advice == Advice::Free && area.file().is_some() {
                return Err(Error::new(Errno::EINVAL, "only anonymous memory can be freed lazily"));
            }
            let advice = if at_once { Advice::Dontneed } else { advice };
            // The batches are drained first: a page in a batch could not be isolated or moved to
            // another list, and would outlive its last mapping.
            match advice {
                Advice::Dontneed => self.drain_for_unmap(),
                _ => self.lru_drain_local(),
            }
            if matches!(advice, Advice::Cold | Advice::Pageout | Advice::Free) {
                self.split_advised(area, range.clone(), advice == Advice::Free);
            }
            let range = range.take_while(|_| !interrupted());
            match advice {
                Advice::Cold => range.for_each(|index| self.cold(area, index, None)),
                Advice::Pageout => {
                    let mut list = room("a list of pages to reclaim", range.size_hint().1.unwrap_or(0))?;
                    range.for_each(|index| self.cold(area, index, Some(&mut list)));
                    self.reclaim_pages(list);
                }
                Advice::Dontneed => {
                    let mut gather = Gather::default();
                    range.for_each(|index| self.zap_entry(area, index, &mut gather));
                    self.flush_and_put(&mut gather);
                }
                Advice::Free => {
                    range.for_each(|index| self.free_lazily(area, index));
                    // After the flush, no store still goes through an entry that was dirty. A later
                    // store makes its entry dirty again.
                    if !mutated(Mutation::LazyfreeWithoutFlush) {
                        self.tlb.flush();
                    }
                }
                Advice::Willneed => {}
            }
        }
        Error::unless_interrupted()?;
        match holes {
            true => Err(Error::new(Errno::ENOMEM, format!("not all of pages {pages:?} are mapped"))),
            false => Ok(()),
        }
    }

    /// Makes the page of one entry cold (`madvise_cold_or_pageout_pte_range`). The entry loses its
    /// accessed bit; then the page is deactivated, or isolated onto `list`. A page that other
    /// entries map too is left alone, because other processes may use it.
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
        // The mapping's reference keeps the page while the entry is locked.
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

    /// Clears `REFERENCED` of a page whose entries have lost their accessed bits, and deactivates
    /// the page, or isolates it onto `list`. The caller holds the page by a reference or by an
    /// entry's lock.
    fn make_cold(&self, pfn: Pfn, list: Option<&mut Vec<Pfn>>) {
        let page = &self.frames[pfn];
        let word = page.clear(Flags::REFERENCED);
        if word.has(Flags::ACTIVE) {
            page.set(self.workingset_mark());
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

    /// Makes a large page cold. The entries from `index` on map its parts. The page is left alone
    /// if one of these entries maps another page by now, or if further entries map the page.
    fn cold_large(&self, area: &Area, index: u32, head: Pfn, list: Option<&mut Vec<Pfn>>) {
        match self.get_page_at(area, index) {
            Some(now) if now == head => {}
            now => {
                // The entry maps another page by now.
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

    /// Splits each large page of which the range covers only some parts, because the advice does
    /// not concern the other parts. With `all`, splits every large page of the range. A large page
    /// that cannot be split, that other processes seem to use, or whose lock is taken, is left alone.
    fn split_advised(&self, area: &Area, pages: Range<u32>, all: bool) {
        if area.order() == 0 {
            return;
        }
        for index in pages.clone().take_while(|_| !interrupted()) {
            let Some(head) = self.get_page_at(area, index) else { continue };
            let page = &self.frames[head];
            let in_range = |(at, part): (u32, Pfn)| at < pages.end && area.look(at).unlocked().maps(part);
            let first = page.index();
            let whole = first >= pages.start && (first..).zip(self.frames.parts(head)).all(in_range);
            let shared = self.frames.is_likely_shared(self.frames.folio(head));
            if (all || !whole) && page.order() > 0 && !shared && page.trylock() {
                // The page stays whole if another thread holds a reference on it.
                let _ = self.split_page(head);
                page.unlock(head);
            }
            self.put(head);
        }
    }

    /// Empties a swap entry whose content may be dropped; the swap slot then counts one entry less.
    /// A later fault makes a new page, which is cheaper than reading the content back.
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

    /// Treats one entry of memory that may be dropped (`madvise_free_pte_range`). Entry and page
    /// are made clean, so that a later store shows as a dirty bit.
    fn free_lazily(&self, area: &Area, index: u32) {
        let poisoned = |pte: Pte| matches!(pte.entry(), Entry::Hwpoison { .. });
        let Some(guard) = area.lock_if_maps(index, |pte| pte.has(Pte::PRESENT) || poisoned(pte)) else {
            return self.forget_swap_entry(area, index);
        };
        if poisoned(guard.pte()) {
            // A poisoned entry is emptied too. Its content is lost already, so the process loses
            // nothing more.
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
            // If other entries map the page or its swap slot, the page stays dirty for their sake.
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
