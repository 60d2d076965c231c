//! Reclaim of isolated pages (`shrink_folio_list`; lifecycle 5.8).
//!
//! For each page, in this order:
//!
//! 1. Try the page lock. A bad frame is unmapped, and goes to no list any more. A page that is locked into
//!    memory stays, for the unevictable list. A page under writeback stays, and becomes active. Otherwise the
//!    page's use decides (`references`), unless reclaim was told to ignore it. Reclaim for an allocation
//!    without I/O leaves swap-backed pages alone from here on.
//! 2. Give an anonymous page a swap slot, and so a place in the swap cache. A large page gets a run of
//!    neighbouring slots. If the kernel swaps no such page as a whole, or if there is no such run, the page
//!    is split, and each of its parts is reclaimed by itself.
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
use crate::page::{Flags, Folio, HUGE_ORDER, Pfn};
use crate::pressure::state::context;
use crate::profile::LargeSwap;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, interrupted, mutated};

/// The treatment of the recent use of a page by reclaim.
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
    /// of pages that were freed. The other pages are put back, and so are those that an interruption
    /// has left unexamined.
    pub(crate) fn reclaim_pages(&self, list: Vec<Pfn>) -> u32 {
        let _reclaims = self.pressure.enter(context::RECLAIMS);
        let (freed, kept) = self.reclaim_list(list, References::Ignored);
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
            self.reclaim_page(pfn, References::Ignored, &mut Vec::new()) == 0
        });
    }

    /// Reclaims isolated pages, and the parts of those that are split. Returns the number of base pages that
    /// were freed, and the pages that stay, still isolated. If recent use is ignored, the work can be
    /// interrupted, and all pages that are left stay.
    fn reclaim_list(&self, mut left: Vec<Pfn>, references: References) -> (u32, Vec<Pfn>) {
        let (mut freed, mut kept) = (0, Vec::new());
        left.reverse();
        while let Some(pfn) = left.pop() {
            if references == References::Ignored {
                if interrupted() {
                    kept.push(pfn);
                    continue;
                }
                // A page that stays goes back inactive, even if it was active: it has to show new
                // use to become active again.
                self.frames[pfn].clear(Flags::ACTIVE);
            }
            match self.reclaim_page(pfn, references, &mut left) {
                0 => kept.push(pfn),
                pages => freed += pages,
            }
        }
        (freed, kept)
    }

    /// Reclaims one isolated page. Returns the number of base pages that were freed; the page is then no
    /// longer isolated. 0 if it stays. If the page is split, its other parts go to the end of `left`, the
    /// first of them last.
    fn reclaim_page(&self, pfn: Pfn, references: References, left: &mut Vec<Pfn>) -> u32 {
        let page = &self.frames[pfn];
        let Some(locked) = page.try_locked(pfn) else { return 0 };
        match self.shrink_page(pfn, references, left) {
            Fate::Gone => {
                let pages = 1 << page.order();
                self.count_isolated(pfn, -1);
                page.clear(Flags::ACTIVE | Flags::UNEVICTABLE);
                drop(locked);
                // The page is put as a batch of one, because the kernel frees reclaimed pages in
                // batches.
                self.put_all(&[pfn]);
                return pages;
            }
            Fate::Keep => {}
            Fate::Activate => self.activate_kept(pfn),
        }
        0
    }

    /// Activates a page that is no candidate, unless it is locked into memory. If slots are short, or
    /// if the page is locked into memory, the page first gives up its swap slots.
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
    fn shrink_page(&self, pfn: Pfn, references: References, left: &mut Vec<Pfn>) -> Fate {
        self.step("reclaim of a page", pfn);
        let page = &self.frames[pfn];
        let word = page.word();
        let mut folio = Folio { head: pfn, large: word.has(Flags::HEAD) };
        if word.has(Flags::HWPOISON) && !folio.large {
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
            if self.may_be_pinned(folio) {
                return Fate::Keep;
            }
            if folio.large {
                match self.split_for_swap(folio, left) {
                    Ok(large) => folio.large = large,
                    Err(stays) => return stays,
                }
            }
            if !folio.large {
                if page.word().has(Flags::HWPOISON) {
                    // The page is the bad head of a large page that has just been split.
                    self.unmap_bad(pfn);
                    return Fate::Gone;
                }
                if !page.word().has(Flags::SWAPCACHE) && !self.add_to_swap(pfn) {
                    return Fate::Activate;
                }
            }
        }
        // Step 3: the mappings.
        let file = word.has(Flags::FILE).then(|| self.owners.file(OwnerId(page.owner()))).flatten();
        if self.frames.folio_mapcount(folio) > 0 && !self.unmap_for_reclaim(file.as_deref(), pfn) {
            return Fate::Activate;
        }
        if self.may_be_pinned(folio) {
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

    /// Puts a locked large page that is a candidate into the swap cache as a whole, and returns true; or
    /// splits it, and returns false: the head stays locked, and the other parts go to `left`. `Err` if it
    /// stays, because another holder has a reference.
    fn split_for_swap(&self, folio: Folio, left: &mut Vec<Pfn>) -> Result<bool, Fate> {
        let page = &self.frames[folio.head];
        // The isolation's reference and those of the entries.
        if page.count() != 1 + self.frames.folio_mapcount(folio) {
            return Err(Fate::Activate);
        }
        // A page with a bad part is split, because the bad part cannot be written.
        let whole = !page.word().has(Flags::HAS_HWPOISONED)
            && match self.profile.large_swap {
                LargeSwap::InParts => false,
                LargeSwap::Huge => {
                    self.frames.is_huge_mapping(folio) && self.frames.folio_mapcount(folio) > 0
                }
                // Unmapped parts can be freed without being written.
                LargeSwap::Whole => !self.frames.waits_for_split(folio),
            };
        if whole && self.add_to_swap(folio.head) {
            return Ok(true);
        }
        let huge = page.order() == HUGE_ORDER;
        let mut parts = Vec::new();
        if self.split_to_list(folio.head, &mut parts).is_err() {
            return Err(Fate::Activate);
        }
        if whole && huge {
            self.stats.event(Event::ThpSwpoutFallback, 1);
        }
        left.extend(parts.into_iter().rev());
        Ok(false)
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
        let page = &self.frames[pfn];
        let word = page.word();
        if !word.has(Flags::SWAPBACKED) {
            page.set(Flags::RECLAIM);
            return Fate::Activate;
        }
        // The references of the isolation and of the cache.
        if word.count() != self.swap_cache_references(pfn) {
            return Fate::Keep;
        }
        let written = match file {
            Some(file) => self.file_page_to_swap(file, pfn),
            // No entry names a slot of the page any more. The slots are freed and the page has left the
            // swap cache, so only the isolation's reference is left.
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
