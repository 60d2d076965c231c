//! The swap space goes away: everything in it comes back into memory (`try_to_unuse`).
//!
//! A pass visits every entry, then every page that is cached without one. Entries are met where the reverse map
//! meets them, a parent before its children, and with faults held off against forks: what a fork copies
//! meanwhile is met in the parent or, later, in the child. A pass that met nothing although slots are in
//! use waits for somebody who is just changing one: an entry is counted and published in one change, and whoever
//! takes one off changes the count last.

use super::fault::Past;
use super::{Swap, SwapUse};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::map::slot::Slot;
use crate::map::{Area, Entry, File, Pte};
use crate::owner::Owner;
use crate::page::Flags;
use crate::release::Release;
use std::sync::Arc;

impl<R: Release> Machine<R> {
    /// Takes the swap space away, after bringing everything back that is in it. Waits for page locks.
    ///
    /// `EINVAL` if there is none, `EBUSY` if somebody else is taking it away, `ENOMEM` if there is no room for what
    /// is in it, `EIO` if its device fails, `EINTR` for a thread that is killed: then it is in use as before.
    pub fn swapoff(&self) -> Result<()> {
        let swap = self.swap_space().ok_or_else(|| Error::new(Errno::EINVAL, "there is no swap space"))?;
        if !swap.close(true) {
            return Err(Error::new(Errno::EBUSY, "the swap space is being taken away already"));
        }
        if let Err(error) = self.bring_back(&swap) {
            swap.close(false);
            return Err(error);
        }
        *self.swap.now.write() = None;
        // Closing the device empties all batches.
        self.lru_drain_all();
        Ok(())
    }

    fn bring_back(&self, swap: &Swap) -> Result<()> {
        // Each further round follows from what the last one met, or from a change by somebody else.
        loop {
            self.may_go_on("swapoff")?;
            let changes = swap.changes();
            let SwapUse { total, free } = swap.in_use();
            if total == free {
                return Ok(());
            }
            if !self.bring_back_pass(swap)? {
                swap.wait_change(changes);
            }
        }
    }

    /// One pass; true if it brought anything back, or waited for somebody.
    fn bring_back_pass(&self, swap: &Swap) -> Result<bool> {
        let (mut areas, mut files): (Vec<Arc<Area>>, Vec<Arc<File>>) = Default::default();
        self.owners.for_each(|_, owner| match owner {
            Owner::Anon(lineage) => areas.extend(lineage.iter().map(Arc::clone)),
            Owner::File { file, .. } if !file.is_written_back() => files.push(Arc::clone(file)),
            Owner::File { .. } | Owner::Free | Owner::Movable(_) => {}
        });
        let mut met = false;
        for area in &areas {
            for index in 0..area.pages() {
                met |= self.unuse_entry(swap, area, index)?;
            }
        }
        for file in &files {
            if self.link_file(file).is_err() {
                continue;
            }
            let brought = (0..file.used()).try_fold(false, |met, index| {
                Ok(match file.slot(index) {
                    Slot::Swap(slot) => {
                        if let Some((pfn, _)) = self.file_page_from_swap(file, index, slot, 0)? {
                            self.unlock_and_put(pfn);
                        }
                        true
                    }
                    _ => met,
                })
            });
            self.unlink_file(file);
            met |= brought?;
        }
        for slot in 0..swap.entries().len() as u32 {
            let Some(pfn) = self.swap_cache_get(swap, slot) else { continue };
            let page = &self.frames[pfn];
            if !page.trylock() {
                // What its holder does to the slot's entries may be behind us by now.
                met = true;
                page.lock();
            }
            if self.is_in_swap_cache(pfn, slot) {
                met |= self.free_swap(pfn);
            }
            self.unlock_and_put(pfn);
        }
        Ok(met)
    }

    /// Replaces a swap entry by the page (`unuse_pte`), old and without the permission to write. True if there
    /// was one.
    fn unuse_entry(&self, swap: &Swap, area: &Area, index: u32) -> Result<bool> {
        if area.look(index).unlocked() == Pte::NONE {
            return Ok(false);
        }
        let _against_fork = area.faults.read();
        let Entry::Swap { slot } = area.look(index).entry() else { return Ok(false) };
        let alloc = || self.alloc_by_policy(area, index, 0);
        let Some(swapped) = self.swapped_page(swap, slot, Past::Never, alloc)? else { return Ok(true) };
        let pfn = swapped.pfn;
        let page = &self.frames[pfn];
        let guard = area.lock(index);
        if guard.pte().entry() != (Entry::Swap { slot }) {
            drop(guard);
        } else if page.word().has(Flags::HWPOISON) {
            // What was lost nobody gets back (`unuse_pte`).
            let _ = swap.change().remove_entry(slot);
            guard.finish(Pte::hwpoison(pfn));
        } else {
            page.get(pfn);
            let exclusive = guard.pte().has(Pte::EXCLUSIVE);
            self.add_swapped_anon(area, index, pfn, exclusive);
            debug_assert!(page.word().has(Flags::SWAPCACHE), "its page is cached while it is locked");
            let _ = swap.change().remove_entry(slot);
            guard.finish(Pte::present(pfn, 0));
        }
        self.free_swap(pfn);
        self.unlock_and_put(pfn);
        Ok(true)
    }
}
