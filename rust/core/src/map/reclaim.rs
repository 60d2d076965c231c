//! Reclaim of isolated pages (`shrink_folio_list`; lifecycle 5.8).
//!
//! For each page, in this order:
//!
//! 0. Split a large page that is a candidate. Each of its parts is then reclaimed by itself.
//! 1. Try the page lock. A bad frame is unmapped, and goes to no list any more. A page that is locked into
//!    memory stays, for the unevictable list. A page under writeback stays, and becomes active. Otherwise the
//!    page's use decides (`references`), unless reclaim was told to ignore it.
//! 2. Give an anonymous page a swap slot, and so a place in the swap cache.
//! 3. Unmap the page and flush: no thread is inside a store through an old entry any more.
//! 4. Write a dirty page: to swap, at once. A dirty page of a disk's file is left to the write-back of files.
//! 5. Take the page out of its cache, if no other holder has a reference: the frame is free.

#[cfg(not(any(loom, feature = "explored")))]
mod demote;
mod generations;
mod list;
mod node;
mod references;

pub(crate) use list::Reclaimer;

use super::{File, Pte};
use crate::calls::Call;
use crate::machine::Machine;
use crate::owner::OwnerId;
use crate::page::{Flags, PIN, Pfn};
use crate::pressure::state::context;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, interrupted, mutated};

/// How reclaim treats the recent use of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum References {
    /// Recent use keeps a page.
    Asked,
    /// Recent use is ignored, because the caller has asked for the reclaim (`MADV_PAGEOUT`).
    Ignored,
}

/// The result of reclaim for one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The page is out of its cache, and only the isolation's reference is left.
    Gone,
    /// The page stays as it is.
    Keep,
    /// The page stays and becomes active, so that reclaim does not meet it again soon. A page that is locked
    /// into memory stays without becoming active.
    Activate,
}

impl<R: Release> Machine<R> {
    /// Reclaims isolated pages and ignores their recent use (`reclaim_pages`). Returns the number
    /// of pages that were freed. The other pages are put back; after an interruption all that are left.
    pub(crate) fn reclaim_pages(&self, list: Vec<Pfn>) -> u32 {
        let _reclaims = self.pressure.enter(context::RECLAIMS);
        let mut freed = 0;
        let kept: Vec<Pfn> = self
            .in_parts(list, References::Ignored, &mut Vec::new())
            .into_iter()
            .filter(|&pfn| {
                if interrupted() {
                    return true;
                }
                // A page that stays goes back inactive, even if it was active: it has to show new
                // use to become active again.
                self.frames[pfn].clear(Flags::ACTIVE);
                let gone = self.reclaim_page(pfn, References::Ignored);
                freed += u32::from(gone);
                !gone
            })
            .collect();
        // The putback is written out here, because the kernel's reclaim has inlined it and a trace
        // shows no call.
        for pfn in kept {
            self.count_isolated(pfn, -1);
            self.lru_add(pfn);
            self.put(pfn);
        }
        freed
    }

    /// Frees the clean pages of disk files among isolated pages, whatever their use
    /// (`reclaim_clean_pages_from_list`): dropping such a page costs less than moving it. The other
    /// pages stay on the list, isolated.
    pub(crate) fn reclaim_clean_pages(&self, list: &mut Vec<Pfn>) {
        list.retain(|&pfn| {
            let word = self.frames[pfn].word();
            let needed = Flags::SWAPBACKED | Flags::DIRTY | Flags::UNEVICTABLE | Flags::HEAD;
            if !word.has(Flags::FILE) || word.any(needed) {
                return true;
            }
            // As in `reclaim_pages`: a page that stays goes back inactive.
            self.frames[pfn].clear(Flags::ACTIVE);
            !self.reclaim_page(pfn, References::Ignored)
        });
    }

    /// Splits large pages, because anonymous memory goes to swap in base pages. A large page that
    /// is in use stays whole and goes to `kept`. A large page that another holder keeps whole is
    /// returned among the parts, and stays.
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

    /// Reclaims one isolated page. Returns true if the page was freed; it is then no longer
    /// isolated.
    fn reclaim_page(&self, pfn: Pfn, references: References) -> bool {
        let page = &self.frames[pfn];
        let Some(locked) = page.try_locked(pfn) else { return false };
        match self.shrink_page(pfn, references) {
            Fate::Gone => {
                self.count_isolated(pfn, -1);
                page.clear(Flags::ACTIVE | Flags::UNEVICTABLE);
                drop(locked);
                // The page is put as a batch of one, because the kernel frees reclaimed pages in
                // batches.
                self.put_all(&[pfn]);
                return true;
            }
            Fate::Keep => {}
            Fate::Activate => self.activate_kept(pfn),
        }
        false
    }

    /// Activates a page that is no candidate. If slots are short, the page gives its swap slot up
    /// first.
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

    /// Reclaims a locked page (steps 1 to 5).
    fn shrink_page(&self, pfn: Pfn, references: References) -> Fate {
        self.step("reclaim of a page", pfn);
        let page = &self.frames[pfn];
        let word = page.word();
        if word.has(Flags::HEAD) {
            // The large page could not be split, because another holder has a reference.
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
        if word.has(Flags::SWAPBACKED) && self.pressure.is_in(context::NO_IO) {
            return Fate::Keep;
        }
        // Step 2: a swap slot for an anonymous page.
        if word.has(Flags::ANON | Flags::SWAPBACKED) && !word.has(Flags::SWAPCACHE) {
            if word.count() >= PIN && self.pin_references() == PIN {
                return Fate::Keep;
            }
            if !self.add_to_swap(pfn) {
                return Fate::Activate;
            }
        }
        // Step 3: the mappings.
        let file = word.has(Flags::FILE).then(|| self.owners.file(OwnerId(page.owner()))).flatten();
        if page.mapcount() > 0 && !self.unmap_for_reclaim(file.as_deref(), pfn) {
            return Fate::Activate;
        }
        if page.count() >= PIN && self.pin_references() == PIN {
            // The user of a pin may write to the page at any time, so the page stays. No new pin
            // can be taken, because nothing maps the page.
            return Fate::Activate;
        }
        // Step 4: the write of a dirty page.
        self.step("reclaimed page unmapped", pfn);
        if page.word().has(Flags::DIRTY) {
            match self.page_out(file.as_deref(), pfn) {
                Fate::Gone => {}
                stays => return stays,
            }
        }
        // Step 5: the page leaves its cache.
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

    /// Removes every mapping of a bad page (`unmap_poisoned_folio`), as memory failure would have
    /// done.
    fn unmap_bad(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        if page.word().has(Flags::SWAPCACHE) {
            // The entries become swap entries, which lead to the bad page in the swap cache, and a
            // fault finds it bad. With poisoned entries, nothing would ever take the page out of
            // its slot.
            self.unmap_to_swap(pfn, true);
            return self.tlb.flush();
        }
        // A clean page of a disk's file is not lost: the file reads it in again.
        let written_back = self.file_of_page(pfn).is_some_and(|file| file.is_written_back());
        let lost = !written_back || page.word().has(Flags::DIRTY) || self.page_mkclean(pfn);
        self.unmap_poisoned(pfn, lost);
    }

    /// Unmaps the page and flushes (step 3). Returns true if nothing maps the page any more.
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

    /// Unmaps a page of a file (step 3). The entries become empty, because the file's slot keeps
    /// the page.
    fn unmap_cached(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        self.rmap_walk(page, |area, index| {
            // The entry is checked under its lock: a private copy in the page's place stays mapped.
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

    /// Writes a dirty page to swap (step 4; `pageout`). [`Fate::Gone`] means that the page is clean
    /// now.
    fn page_out(&self, file: Option<&File>, pfn: Pfn) -> Fate {
        // The references of the isolation and of the cache.
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
            // No entry names the slot any more. The slot is freed and the page has left the swap
            // cache, so only the isolation's reference is left.
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
