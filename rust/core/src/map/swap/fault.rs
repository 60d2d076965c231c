//! Faults on swap entries (`do_swap_page`).
//!
//! 1. Find the page in the swap cache; or make one and read the content. If the entry is the only one,
//!    past the cache: the slot is marked as being read meanwhile. Else into the cache, for all.
//! 2. With the page locked, lock the entry and look at it again.
//! 3. Take the entry off the slot. Take the page out of the cache if that is likely to make it this process's
//!    own, or slots are short.
//! 4. Map it: writable if it is this process's own.

use super::Swap;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::map::fault::{Cause, Fresh, Outcome};
use crate::map::slot::Slot;
use crate::map::{Area, EntryGuard, Pte};
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, mutated};

/// A page with a slot's content, locked, with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::map) struct Swapped {
    pub pfn: Pfn,
    pub slot: u32,
    /// It is in the swap cache; else the slot is marked as being read.
    pub cached: bool,
    /// It was read from the swap space, not found in the cache.
    pub read: bool,
}

/// May a page be read past the cache?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Past {
    /// If one entry alone names the slot: it is about to be replaced by the page.
    Alone,
    /// No.
    Never,
}

impl<R: Release> Machine<R> {
    /// Step 1 for a fault. `None` if the entry is to be looked at again. No lock is held but `faults`, shared.
    pub(in crate::map) fn ready_swapped_page(
        &self,
        area: &Area,
        index: u32,
        slot: u32,
        cause: Cause,
    ) -> Result<Option<Fresh>> {
        let Some(swap) = self.swap_space() else { return Ok(None) };
        let alloc = || self.alloc_for(area, index);
        let Some(swapped) = self.swapped_page(&swap, slot, Past::Alone, alloc)? else { return Ok(None) };
        let page = &self.frames[swapped.pfn];
        if swapped.read {
            self.stats.event(Event::Pgmajfault, 1);
        }
        if page.word().has(Flags::HWPOISON) {
            // The slot too: others would wait for a read past the cache for ever.
            self.discard_swapped(swapped);
            return Err(Error::at(Errno::EHWPOISON, swapped.pfn, Why::State("the frame is bad".into())));
        }
        if swapped.cached && cause == Cause::Write && !page.word().has(Flags::LRU) {
            // A reference of this CPU's batch could make the page look shared.
            self.lru_drain_local();
        }
        Ok(Some(Fresh::Swapped(swapped)))
    }

    /// The page with a slot's content, from the swap cache or read in. `None` if nothing names the slot any more,
    /// or its page was taken out of the cache meanwhile.
    pub(super) fn swapped_page(
        &self,
        swap: &Swap,
        slot: u32,
        past: Past,
        alloc: impl Fn() -> Result<Pfn>,
    ) -> Result<Option<Swapped>> {
        // Each further round follows from somebody else's reading of the slot, or taking out of its page.
        loop {
            if let Some(pfn) = self.swap_cache_get(swap, slot) {
                if !self.frames[pfn].lock_patiently() {
                    self.put(pfn);
                    return Err(Error::interrupted());
                }
                if self.is_in_swap_cache(pfn, slot) {
                    return Ok(Some(Swapped { pfn, slot, cached: true, read: false }));
                }
                self.unlock_and_put(pfn);
                return Ok(None);
            }
            if swap.slot(slot) == Slot::Reading {
                swap.wait_read(slot);
                return Ok(None);
            }
            let pfn = alloc()?;
            let page = &self.frames[pfn];
            // Fresh: free, but for the wink of a stale walker.
            page.lock();
            page.set(Flags::SWAPBACKED);
            let claimed = {
                let mut changing = swap.change();
                let found = changing.slot(slot);
                match (found, changing.entries(slot)) {
                    (Slot::Page(_) | Slot::Reading, _) => Err(true),
                    (_, 0) => Err(false),
                    (_, 1) if past == Past::Alone => {
                        if !mutated(Mutation::SwapinUnmarked) {
                            changing.set(slot, Slot::Reading);
                        }
                        Ok((false, found.shadow()))
                    }
                    _ => {
                        changing.set(slot, Slot::Page(pfn));
                        self.enter_swap_cache(pfn, slot);
                        Ok((true, found.shadow()))
                    }
                }
            };
            let (cached, shadow) = match claimed {
                Ok(claimed) => claimed,
                Err(again) => {
                    self.unlock_and_put(pfn);
                    match again {
                        true => continue,
                        false => return Ok(None),
                    }
                }
            };
            if let Err(error) = self.may_ask("read of the swap space", pfn) {
                // Whoever found it meanwhile waits for its lock, and looks again.
                match cached {
                    true => self.lose_swapped(pfn),
                    false => swap.change().uncache(slot, Slot::Empty),
                }
                self.unlock_and_put(pfn);
                return Err(error);
            }
            if let Some(shadow) = shadow {
                self.workingset_refault(pfn, shadow);
            }
            self.lru_add(pfn);
            let any = swap.read(slot, &self.memory, pfn);
            self.count_swap_io(any, Event::Pswpin, Event::Pgpgin);
            page.publish(Flags::UPTODATE);
            return Ok(Some(Swapped { pfn, slot, cached, read: true }));
        }
    }

    /// Steps 2 to 4: a locked swap entry.
    pub(in crate::map) fn map_swapped_page(
        &self,
        area: &Area,
        index: u32,
        mut guard: EntryGuard<'_>,
        slot: u32,
        cause: Cause,
        fresh: &mut Option<Fresh>,
    ) -> Outcome {
        let swapped = match *fresh {
            Some(Fresh::Swapped(swapped)) if swapped.slot == slot => swapped,
            _ => return Outcome::NeedSwapped(slot),
        };
        *fresh = None;
        let Swapped { pfn, cached, .. } = swapped;
        let page = &self.frames[pfn];
        let alone = !cached || guard.pte().has(Pte::EXCLUSIVE);
        self.settle_swapped(swapped);
        if cached && self.is_slot_better_free(pfn, area.locked(index), cause) {
            self.free_swap(pfn);
        }
        let exclusive = alone || page.count() == 1;
        let bits = match (exclusive, cause) {
            (true, Cause::Write) => Pte::YOUNG | Pte::DIRTY | Pte::WRITE,
            (true, _) if self.profile.swapin_writable => Pte::YOUNG | Pte::WRITE,
            _ => Pte::YOUNG,
        };
        self.add_swapped_anon(area, index, pfn, exclusive);
        // The reference made ready becomes the entry's: unlocked before the entry is, because from then on whoever takes
        // the entry away may free the page.
        guard.replace(Pte::present(pfn, bits));
        page.unlock(pfn);
        drop(guard);
        match cause {
            // To be copied now, or found to be this process's own after all.
            Cause::Write | Cause::Unshare if !exclusive => Outcome::Again,
            _ => Outcome::Done,
        }
    }

    /// Step 3: the entry that led to this page is about to be another; its lock is held.
    fn settle_swapped(&self, Swapped { slot, cached, .. }: Swapped) {
        let Some(swap) = self.swap_space() else { return };
        let mut changing = swap.change();
        // Left to the cache's page, or to the next lines.
        let _ = changing.remove_entry(slot);
        if !cached && !mutated(Mutation::SwapinUnmarked) {
            changing.uncache(slot, Slot::Empty);
        }
    }

    /// Lets go of a page that was made ready for nothing.
    pub(in crate::map) fn discard_swapped(&self, Swapped { pfn, slot, cached, .. }: Swapped) {
        if !cached
            && !mutated(Mutation::SwapinUnmarked)
            && let Some(swap) = self.swap_space()
        {
            swap.change().uncache(slot, Slot::Empty);
        }
        self.unlock_and_put(pfn);
    }

    /// Should a page that is about to be mapped give its slot up (`should_try_to_free_swap`)?
    fn is_slot_better_free(&self, pfn: Pfn, locked: bool, cause: Cause) -> bool {
        // Ours and the cache's.
        const ALONE: u32 = 2;
        let page = &self.frames[pfn];
        locked
            || page.word().has(Flags::MLOCKED)
            || (cause == Cause::Write && page.count() == ALONE)
            || self.swap_space().is_some_and(|swap| swap.is_full())
    }

    /// Accounts for a locked page from swap that an entry is about to map; its lineage and place are known from
    /// the first one.
    pub(super) fn add_swapped_anon(&self, area: &Area, index: u32, pfn: Pfn, exclusive: bool) {
        let page = &self.frames[pfn];
        let first = !page.word().has(Flags::ANON);
        if first {
            page.set_owner(area.anon.0, index);
            page.set(Flags::ANON);
        }
        if exclusive {
            page.set(Flags::ANON_EXCLUSIVE);
        }
        if page.add_mapping() == 0 {
            self.count_mapped(pfn, 1);
        }
        if area.locked(index) && (!first || self.profile.swapin_mlocks) {
            self.mlock_page(pfn);
        }
    }

    /// Reads what swap entries of an area name into the swap cache, without mapping it (`MADV_WILLNEED`).
    pub(in crate::map) fn read_ahead(&self, area: &Area, index: u32) -> Result<()> {
        let crate::map::Entry::Swap { slot } = area.look(index).entry() else { return Ok(()) };
        let Some(swap) = self.swap_space() else { return Ok(()) };
        let alloc = || self.alloc_for(area, index);
        if let Some(swapped) = self.swapped_page(&swap, slot, Past::Never, alloc)? {
            self.unlock_and_put(swapped.pfn);
        }
        Ok(())
    }
}
