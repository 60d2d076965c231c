//! Faults on swap entries (`do_swap_page`).
//!
//! 1. Find the page in the swap cache, or make a page and read the content. In kernels with
//!    `swapin_past_cache`, if no other entry names the slot, the content is read past the cache; until the
//!    read ends, the slot carries the mark `Reading`. Otherwise the page is read into the cache, where all
//!    entries find it.
//! 2. With the page locked, lock the entry and read it again.
//! 3. Subtract the entry from the slot's count. Take the page out of the cache if slots are short, if the
//!    page is locked into memory, or if a write has faulted and the page probably belongs to this process
//!    alone.
//! 4. Map the page. If the page belongs to this process alone, the entry is writable after a write, and in
//!    kernels with `swapin_writable` also after a read.
//!
//! The content is read in base pages. A large page that is still in the swap cache is found there. In kernels
//! with `swapin_maps_whole`, steps 3 and 4 then treat the entries of all its parts at once, if they
//! are alike and each names the slot of its part.

use super::cache::Cached;
use super::store::Swap;
use super::swapped::Swapped;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::map::fault::{Cause, Fresh, Outcome};
use crate::map::slot::Slot;
use crate::map::{Area, EntryGuard, Pte};
use crate::page::{Flags, Folio, Pfn, lives};
use crate::profile::AnonReuse;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, mutated};

/// The permission to read a page past the swap cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bypass {
    /// The page may be read past the cache if only one entry names the slot, because the page is
    /// about to replace that entry.
    IfOnlyEntry,
    /// The page must be read into the cache.
    Never,
}

impl<R: Release> Machine<R> {
    /// Finds or reads the page of a fault (step 1). `None` if the entry must be read again. The
    /// caller holds no lock but the space's fault lock (`Area::faults`), shared.
    pub(in crate::map) fn ready_swapped_page(
        &self,
        area: &Area,
        index: u32,
        slot: u32,
        cause: Cause,
    ) -> Result<Option<Fresh>> {
        let Some(swap) = self.swap_space() else { return Ok(None) };
        let alloc = || self.alloc_for(area, index);
        let bypass = if self.profile.swapin_past_cache { Bypass::IfOnlyEntry } else { Bypass::Never };
        let Some(swapped) = self.swapped_page(&swap, slot, bypass, alloc)? else { return Ok(None) };
        let (page, head) = (&self.frames[swapped.pfn], &self.frames[swapped.folio.head]);
        if swapped.read || mutated(Mutation::CachedFaultIsMajor) {
            self.stats.event(Event::Pgmajfault, 1);
        }
        if page.word().has(Flags::HWPOISON) {
            // The mark of the read on the slot is cleared too. Otherwise other threads would wait
            // for ever.
            self.discard_swapped(swapped);
            return Err(Error::at(Errno::EHWPOISON, swapped.pfn, Why::State("the frame is bad".into())));
        }
        if swapped.cached && cause == Cause::Write && !head.word().has(Flags::LRU) {
            // The reference of this CPU's batch would make the page look shared, and the store
            // would copy it.
            self.lru_drain_local();
        }
        Ok(Some(Fresh::Swapped(swapped)))
    }

    /// Returns the page with a slot's content, found in the swap cache or read in. `None` if the
    /// caller must read the entry again: nothing names the slot any more, its page has left the
    /// cache meanwhile, or another thread was reading the content past the cache.
    pub(super) fn swapped_page(
        &self,
        swap: &Swap,
        slot: u32,
        bypass: Bypass,
        alloc: impl Fn() -> Result<Pfn>,
    ) -> Result<Option<Swapped>> {
        // Another round follows only if another thread has cached a page for the slot, or begun to
        // read it, between the lookup and the claim.
        loop {
            if let Some(found) = self.swap_cache_get(swap, slot) {
                let Cached { pfn, head } = found;
                if !self.frames[head].lock_patiently() {
                    self.put(head);
                    return Err(Error::interrupted());
                }
                if let Some(folio) = self.in_swap_cache(found, slot) {
                    if mutated(Mutation::CachedSwapinCounted) {
                        self.count_swap_io(true, 0, Event::Pswpin, Event::Pgpgin);
                    }
                    return Ok(Some(Swapped { pfn, folio, slot, cached: true, read: false }));
                }
                self.unlock_and_put(head);
                return Ok(None);
            }
            if swap.slot(slot) == Slot::Reading {
                if !mutated(Mutation::SwapinSpins) {
                    swap.wait_read(slot);
                }
                return Ok(None);
            }
            let pfn = alloc()?;
            let page = &self.frames[pfn];
            // The page is fresh, so its lock is free, except for a moment in which a walker with a
            // stale number tries it.
            page.lock();
            page.set(Flags::SWAPBACKED);
            let claimed = {
                let mut changing = swap.change(self);
                let found = changing.slot(slot);
                match (found, changing.entries(slot)) {
                    (Slot::Page(_) | Slot::Reading, _) => Err(true),
                    (_, 0) => Err(false),
                    (_, 1) if bypass == Bypass::IfOnlyEntry => {
                        if !mutated(Mutation::SwapinUnmarked) {
                            changing.set(slot, Slot::Reading);
                        }
                        Ok((false, found.shadow()))
                    }
                    _ => {
                        self.enter_swap_cache(&mut changing, pfn, slot);
                        Ok((true, found.shadow()))
                    }
                }
            };
            let (cached, shadow) = match claimed {
                Ok(claimed) => claimed,
                Err(again) => {
                    match again && mutated(Mutation::RetryLosesPage) {
                        true => page.unlock(pfn),
                        false => self.unlock_and_put(pfn),
                    }
                    match again {
                        true => continue,
                        false => return Ok(None),
                    }
                }
            };
            let read = self.may_ask("read of the swap space", pfn);
            let nonzero = match read.and_then(|()| self.read_content(swap, slot, pfn)) {
                Ok(nonzero) => nonzero,
                Err(error) => {
                    // A thread that has found the page meanwhile waits for its lock, and then reads the
                    // slot again.
                    match cached {
                        true => self.lose_swapped(pfn),
                        false if mutated(Mutation::FailedSwapinKeepsMark) => {}
                        false => swap.change(self).uncache(slot, Slot::Empty),
                    }
                    self.unlock_and_put(pfn);
                    return Err(error);
                }
            };
            if let Some(shadow) = shadow {
                self.workingset_refault(pfn, shadow);
            }
            self.lru_add(pfn);
            self.count_swap_io(nonzero, 0, Event::Pswpin, Event::Pgpgin);
            page.publish(Flags::UPTODATE);
            return Ok(Some(Swapped { pfn, folio: Folio::base(pfn), slot, cached, read: true }));
        }
    }

    /// Maps the page of a locked swap entry (steps 2 to 4).
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
            Some(Fresh::Swapped(swapped))
                if swapped.slot == slot || mutated(Mutation::SwapinOfAnotherSlot) =>
            {
                swapped
            }
            _ => return Outcome::NeedSwapped(slot),
        };
        let Swapped { pfn, folio, cached, .. } = swapped;
        let others = match self.lock_others(area, index, guard.pte(), swapped) {
            Ok(others) => others,
            Err(taken) => {
                // All entry locks are given back before the wait for the taken entry; the page stays ready.
                drop(guard);
                drop(area.lock(taken));
                return Outcome::Again;
            }
        };
        *fresh = None;
        let head = &self.frames[folio.head];
        let alone = !cached || guard.pte().has(Pte::EXCLUSIVE);
        self.settle_swapped(swapped, &others);
        if cached && self.should_free_slot(folio, area.locked(index), cause) {
            self.free_swap(folio.head);
        }
        let is_sole = |part| self.frames[part].mapcount() == 0 && self.named_in_swap(folio.head, part) == 0;
        let exclusive = match self.profile.anon_reuse {
            AnonReuse::Exclusive => alone || head.count() == 1,
            // Only a store makes the page this process's own, and only if no other entry leads to
            // it, regardless of references (`reuse_swap_page`).
            AnonReuse::Mapcount => {
                cause == Cause::Write && is_sole(pfn) && others.iter().all(|other| is_sole(other.part))
            }
        };
        let bits = match (exclusive, cause) {
            (true, Cause::Write) => Pte::YOUNG | Pte::DIRTY | Pte::WRITE,
            (true, _) if self.profile.swapin_writable => Pte::YOUNG | Pte::WRITE,
            _ => Pte::YOUNG,
        };
        self.add_swapped_anon(area, index, swapped, exclusive);
        if !self.profile.anon_workingset {
            // The kernel drains after its read-ahead, so the page is on a list before it is mapped.
            self.lru_drain_local();
            self.activate_page(folio.head);
        }
        let entries = 1 + others.len() as u32;
        for Other { index, part, guard } in others {
            head.get(folio.head);
            self.add_swapped_anon(area, index, Swapped { pfn: part, ..swapped }, exclusive);
            guard.finish(Pte::present(part, bits));
        }
        // The page's reference becomes the entry's. The page is unlocked before the entry is: once
        // the entry is unlocked, an unmap may free the page.
        lives::gave(head, entries);
        guard.replace(Pte::present(pfn, bits));
        head.unlock(folio.head);
        drop(guard);
        match cause {
            // The next round copies the page, or finds that it belongs to this process alone.
            Cause::Write | Cause::Unshare if !exclusive => Outcome::Again,
            _ => Outcome::Done,
        }
    }

    /// Locks the entries of the other parts of a large page in the swap cache, if all are to be mapped
    /// together with entry `index`, whose value is `pte`. The list is empty if the entry is to be mapped
    /// alone. If another thread holds the lock of one of these entries, releases the others and returns the
    /// index of that entry.
    fn lock_others<'a>(
        &self,
        area: &'a Area,
        index: u32,
        pte: Pte,
        Swapped { pfn, folio, slot, .. }: Swapped,
    ) -> Result<Vec<Other<'a>>, u32> {
        // A page with a bad part is mapped entry by entry, so that no entry leads to the bad part.
        if !folio.large
            || !self.profile.swapin_maps_whole
            || self.frames[folio.head].word().has(Flags::HAS_HWPOISONED)
        {
            return Ok(Vec::new());
        }
        let number = pfn.0 - folio.head.0;
        let around = || area.alike(index, self.frames[folio.head].order());
        let Some(block) = around().filter(|block| block.start + number == index) else {
            return Ok(Vec::new());
        };
        let first = slot - number;
        let wanted = |part| Pte::swap(first + part, pte.bits(Pte::EXCLUSIVE));
        let mut others = Vec::with_capacity(block.len() - 1);
        for (part, index) in (0..).zip(block).filter(|(part, _)| *part != number) {
            if area.look(index).unlocked() != wanted(part) {
                return Ok(Vec::new());
            }
            let guard = area.trylock(index).ok_or(index)?;
            if guard.pte() != wanted(part) {
                return Ok(Vec::new());
            }
            others.push(Other { index, part: folio.head.plus(part), guard });
        }
        // The attributes of the area's pages are compared once more, now under the entries' locks, as for a
        // fresh large page.
        Ok(if around().is_some() { others } else { Vec::new() })
    }

    /// Subtracts entries that are about to be replaced from the counts of their slots (step 3). The entries'
    /// locks are held.
    fn settle_swapped(&self, Swapped { pfn, slot, cached, .. }: Swapped, others: &[Other<'_>]) {
        let Some(swap) = self.swap_space() else { return };
        let mut changing = swap.change(self);
        // The result is not needed: the cached page keeps the slot, or the next lines free it.
        let _ = changing.remove_entry(slot);
        for other in others {
            let _ = changing.remove_entry(slot + other.part.0 - pfn.0);
        }
        if !cached && !mutated(Mutation::SwapinUnmarked) {
            changing.uncache(slot, Slot::Empty);
        }
    }

    /// Gives back a page that was made ready but is not needed.
    pub(in crate::map) fn discard_swapped(&self, Swapped { folio, slot, cached, .. }: Swapped) {
        if !cached
            && !mutated(Mutation::SwapinUnmarked)
            && let Some(swap) = self.swap_space()
        {
            swap.change(self).uncache(slot, Slot::Empty);
        }
        self.unlock_and_put(folio.head);
    }

    /// Returns true if a page that is about to be mapped should give its slots up
    /// (`should_try_to_free_swap`).
    fn should_free_slot(&self, folio: Folio, locked: bool, cause: Cause) -> bool {
        let page = &self.frames[folio.head];
        // The page belongs to this fault alone if it has only the references of the fault and of the cache.
        // Kernels that map a large page part by part expect one reference of the cache.
        let is_alone = || match folio.large && self.profile.swapin_maps_whole {
            true => page.count() == self.swap_cache_references(folio.head),
            false => page.count() == 2,
        };
        let unmapped = || self.frames.folio_mapcount(folio) == 0;
        locked
            || page.word().has(Flags::MLOCKED)
            || (cause == Cause::Write && (is_alone() || self.judges_by_mappings() && unmapped()))
            || self.swap_space().is_some_and(|swap| swap.is_full())
    }

    /// Returns true if this kernel judges by mappings alone whether a page belongs to one process.
    fn judges_by_mappings(&self) -> bool {
        self.profile.anon_reuse == AnonReuse::Mapcount
    }

    /// Accounts for a locked page from swap that an entry is about to map. The first such entry
    /// gives the page its owner, the area's anonymous lineage, and its index.
    pub(super) fn add_swapped_anon(
        &self,
        area: &Area,
        index: u32,
        Swapped { pfn, folio, .. }: Swapped,
        exclusive: bool,
    ) {
        let head = &self.frames[folio.head];
        let first = !head.word().has(Flags::ANON);
        if first {
            head.set_owner(area.anon.0, index);
            head.set(Flags::ANON);
        }
        if exclusive {
            self.frames[pfn].set(self.exclusive_mark());
        }
        if self.frames.add_mapping(folio, pfn) {
            self.count_mapped(folio.head, 1);
        }
        if area.locked(index) && (!first || self.profile.swapin_mlocks) {
            self.mlock_page(folio.head);
        }
    }

    /// Reads the page of a swap entry into the swap cache, without mapping it (`MADV_WILLNEED`).
    pub(in crate::map) fn read_ahead(&self, area: &Area, index: u32) -> Result<()> {
        let crate::map::Entry::Swap { slot } = area.look(index).entry() else { return Ok(()) };
        let Some(swap) = self.swap_space() else { return Ok(()) };
        let alloc = || self.alloc_for(area, index);
        if let Some(swapped) = self.swapped_page(&swap, slot, Bypass::Never, alloc)? {
            self.unlock_and_put(swapped.folio.head);
        }
        Ok(())
    }
}

/// The locked entry of another part of a large page that a fault maps whole.
struct Other<'a> {
    index: u32,
    part: Pfn,
    guard: EntryGuard<'a>,
}
