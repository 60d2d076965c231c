//! Reclaim of isolated pages (`shrink_folio_list`; lifecycle 5.8).
//!
//! For each page, in this order:
//!
//! 0. A large page that is a candidate is split: each of its parts is looked at by itself.
//! 1. Its lock, without waiting. A bad frame is unmapped and goes to no list any more. What is locked into memory, or is
//!    being written, stays active. Then its references decide (`references`), unless reclaim was told not to ask.
//! 2. Anonymous memory gets a swap slot, and so a place in the swap cache.
//! 3. Unmap, flush: nobody is inside a store any more.
//! 4. What is dirty is written: to swap, at once. A disk's file is left to whoever writes files.
//! 5. Out of its cache, if nobody else holds it: the frame is free.

#[cfg(not(any(loom, feature = "explored")))]
mod demote;
mod generations;
mod list;
mod node;
mod references;

use super::{File, Pte};
use crate::calls::Call;
use crate::machine::Machine;
use crate::owner::OwnerId;
use crate::page::{Flags, PIN, Pfn};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, mutated};

/// Whether the use that a page has seen lately counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum References {
    /// It decides.
    Asked,
    /// The caller knows better: `MADV_PAGEOUT`.
    Ignored,
}

/// What becomes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is out of its cache, and only the isolation holds it.
    Gone,
    /// It stays as it is.
    Keep,
    /// It stays, and is not to be looked at again soon.
    Activate,
}

impl<R: Release> Machine<R> {
    /// Reclaims isolated pages, whoever used them lately (`reclaim_pages`). Says how many were freed; the others
    /// are put back.
    pub(crate) fn reclaim_pages(&self, list: Vec<Pfn>) -> u32 {
        let mut freed = 0;
        let kept: Vec<Pfn> = self
            .in_parts(list, References::Ignored, &mut Vec::new())
            .into_iter()
            .filter(|&pfn| {
                // Whatever it was: what stays has to earn its place anew.
                self.frames[pfn].clear(Flags::ACTIVE);
                let gone = self.reclaim_page(pfn, References::Ignored);
                freed += u32::from(gone);
                !gone
            })
            .collect();
        // The kernel's reclaim has this inlined: no call is seen.
        for pfn in kept {
            self.count_isolated(pfn, -1);
            self.lru_add(pfn);
            self.put(pfn);
        }
        freed
    }

    /// Large anonymous pages go to swap in parts. One that is in use stays whole, and goes to `kept`; so does in the end
    /// one that somebody holds.
    fn in_parts(&self, list: Vec<Pfn>, references: References, kept: &mut Vec<Pfn>) -> Vec<Pfn> {
        let mut parts = Vec::with_capacity(list.len());
        for pfn in list {
            let page = &self.frames[pfn];
            if !page.word().has(Flags::HEAD) || !page.trylock() {
                parts.push(pfn);
                continue;
            }
            let fate = match references {
                References::Asked if page.word().has(Flags::MLOCKED) => Some(Fate::Activate),
                References::Asked => self.check_references(pfn),
                References::Ignored => None,
            };
            match fate {
                Some(Fate::Activate) => self.activate_kept(pfn),
                Some(_) => {}
                None => {
                    let _ = self.split_to_list(pfn, &mut parts);
                }
            }
            page.unlock(pfn);
            if fate.is_some() { kept.push(pfn) } else { parts.push(pfn) }
        }
        parts
    }

    /// Reclaims one isolated page if it can; then its isolation is over.
    fn reclaim_page(&self, pfn: Pfn, references: References) -> bool {
        let page = &self.frames[pfn];
        if !page.trylock() {
            return false;
        }
        match self.shrink_page(pfn, references) {
            Fate::Gone => {
                self.count_isolated(pfn, -1);
                page.clear(Flags::ACTIVE | Flags::UNEVICTABLE);
                page.unlock(pfn);
                // Freed with others, as far as anybody can see.
                self.put_all(&[pfn]);
                return true;
            }
            Fate::Keep => {}
            Fate::Activate => self.activate_kept(pfn),
        }
        page.unlock(pfn);
        false
    }

    /// A page that is no candidate gives its swap slot up if slots are short, and is active.
    fn activate_kept(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        let mlocked = page.word().has(Flags::MLOCKED);
        if page.word().has(Flags::SWAPCACHE)
            && (mlocked || self.swap_space().is_some_and(|swap| swap.is_full()))
        {
            self.free_swap(pfn);
        }
        if !mlocked {
            page.set(Flags::ACTIVE);
            self.stats.event(Event::Pgactivate, 1 << page.order());
        }
    }

    /// Steps 1 to 5 for a locked page.
    fn shrink_page(&self, pfn: Pfn, references: References) -> Fate {
        self.step("reclaim of a page", pfn);
        let page = &self.frames[pfn];
        let word = page.word();
        if word.has(Flags::HEAD) {
            // Somebody has it: it could not be split.
            return Fate::Activate;
        }
        if word.has(Flags::HWPOISON) {
            self.unmap_bad(pfn);
            return Fate::Gone;
        }
        if word.has(Flags::MLOCKED) {
            return Fate::Activate;
        }
        if word.has(Flags::WRITEBACK) {
            page.set(Flags::RECLAIM);
            return Fate::Activate;
        }
        if references == References::Asked
            && let Some(fate) = self.check_references(pfn)
        {
            return fate;
        }
        // 2.
        if word.has(Flags::ANON | Flags::SWAPBACKED) && !word.has(Flags::SWAPCACHE) {
            if word.count() >= PIN {
                return Fate::Keep;
            }
            if !self.add_to_swap(pfn) {
                return Fate::Activate;
            }
        }
        // 3.
        let file = word.has(Flags::FILE).then(|| self.owners.file(OwnerId(page.owner()))).flatten();
        if page.mapcount() > 0 && !self.unmap_for_reclaim(file.as_deref(), pfn) {
            return Fate::Activate;
        }
        if page.count() >= PIN {
            // Whoever has it pinned may write to it at any time; nobody new can find it to pin it.
            return Fate::Activate;
        }
        // 4.
        self.step("reclaimed page unmapped", pfn);
        if page.word().has(Flags::DIRTY) {
            match self.page_out(file.as_deref(), pfn) {
                Fate::Gone => {}
                stays => return stays,
            }
        }
        // 5.
        let word = page.word();
        let evicted = match &file {
            Some(file) if word.has(Flags::FILE) => self.evict_isolated(file, pfn),
            _ if word.has(Flags::SWAPCACHE) => self.evict_swapped(pfn),
            _ if word.has(Flags::ANON) && !word.has(Flags::SWAPBACKED) => {
                let alone = word.count() == 1;
                if alone {
                    self.stats.event(Event::Pglazyfreed, 1 << page.order());
                }
                alone
            }
            _ => false,
        };
        if evicted { Fate::Gone } else { Fate::Keep }
    }

    /// Takes every mapping of a bad page away (`unmap_poisoned_folio`), as memory failure would have.
    fn unmap_bad(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        if page.word().has(Flags::SWAPCACHE) {
            // Its entries lead to the swap cache, where whoever needs it finds it bad. Poisoned ones would leave nobody
            // who ever takes it out of its slot.
            self.unmap_to_swap(pfn, true);
            return self.tlb.flush();
        }
        // A clean page of a disk's file is not lost: it is read again.
        let written_back = self.file_of_page(pfn).is_some_and(|file| file.is_written_back());
        let lost = !written_back || page.word().has(Flags::DIRTY) || self.page_mkclean(pfn);
        self.unmap_poisoned(pfn, lost);
    }

    /// Step 3. True if nothing maps the page any more.
    fn unmap_for_reclaim(&self, file: Option<&File>, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        self.calls_on(Call::TryToUnmap, pfn);
        let unmapped = match file {
            Some(_) => self.unmap_cached(pfn),
            None if page.word().has(Flags::SWAPBACKED) => self.unmap_to_swap(pfn, false),
            None => self.unmap_lazyfree(pfn),
        };
        if !mutated(Mutation::SwapoutBeforeFlush) {
            self.tlb.flush();
        }
        unmapped
    }

    /// Step 3 for a page of a file, whose content is in its slot.
    fn unmap_cached(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        self.rmap_walk(page, |area, index| {
            // Looked at under the entry's lock: a private copy in its place stays.
            let Some(guard) = area.lock_if_maps(index, |pte| pte.maps(pfn)) else { return true };
            if area.locked(index) {
                self.note_missed_lock(pfn);
                return false;
            }
            let old = guard.finish(Pte::NONE);
            self.unmapped(pfn, old, false);
            true
        });
        page.mapcount() == 0
    }

    /// Step 4 (`pageout`). `Gone` says that the page is clean now.
    fn page_out(&self, file: Option<&File>, pfn: Pfn) -> Fate {
        // The isolation's and the cache's.
        const FREEABLE: u32 = 2;
        let page = &self.frames[pfn];
        let word = page.word();
        if !word.has(Flags::SWAPBACKED) {
            page.set(Flags::RECLAIM);
            return Fate::Activate;
        }
        if word.count() != FREEABLE {
            return Fate::Keep;
        }
        let written = match file {
            Some(file) => self.file_page_to_swap(file, pfn),
            // Nobody wants it any more: with its slot its last cache is gone.
            None if self.free_swap(pfn) => return Fate::Keep,
            None => match self.swap_space() {
                Some(swap) => {
                    self.write_swap(&swap, pfn);
                    true
                }
                None => return Fate::Keep,
            },
        };
        if written { Fate::Gone } else { Fate::Activate }
    }
}
