//! swapoff: removes the swap space, after all its content has come back into memory
//! (`try_to_unuse`).
//!
//! A pass visits every entry, then every page that is cached without an entry. The pass meets the
//! areas in the order of their reverse map, a parent before its children, and holds the fault lock
//! shared at each entry, against forks. If a fork copies an entry meanwhile, the pass meets the
//! parent's entry before the copy, or it meets the child's entry later. If a pass met nothing
//! although slots are in use, another thread is just changing a slot, and swapoff waits for this
//! change. No change is missed: an entry is counted and published in one change, and the removal of
//! an entry changes the count last.

use super::fault::Bypass;
use super::store::{Swap, SwapUse};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::map::slot::Slot;
use crate::map::{Area, Entry, File, Pte};
use crate::owner::Owner;
use crate::page::Flags;
use crate::release::Release;
use std::sync::Arc;

impl<R: Release> Machine<R> {
    /// Brings all content back into memory, then removes the swap space. Waits for page locks.
    ///
    /// `EINVAL` if there is no swap space, `EBUSY` if another thread is removing it, `ENOMEM` if
    /// memory has no room for its content, `EIO` if its device fails, `EINTR` for a killed thread or if it
    /// was interrupted. After an error the swap space is in use as before.
    pub fn swapoff(&self) -> Result<()> {
        let swap = self.swap_space().ok_or_else(|| Error::new(Errno::EINVAL, "there is no swap space"))?;
        if !swap.close(true) {
            return Err(Error::new(Errno::EBUSY, "another swapoff of the swap space is under way"));
        }
        if let Err(error) = self.bring_back(&swap) {
            swap.close(false);
            return Err(error);
        }
        {
            let mut now = self.swap.now.write();
            *now = None;
            swap.zram().into_iter().for_each(|zram| zram.take_back());
        }
        if let Some(zram) = swap.zram() {
            // Frees empty zspages whose pages were locked when their last slot was freed.
            zram.pool().free_empty(self);
        }
        // The kernel drains all batches when it closes the device.
        self.lru_drain_all();
        Ok(())
    }

    fn bring_back(&self, swap: &Swap) -> Result<()> {
        // Another round follows if the last one met an entry or a page, or if another thread has
        // changed a slot.
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

    /// Runs one pass. Returns true if the pass brought a page back, or waited for another thread.
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
                Error::unless_interrupted()?;
                met |= self.unuse_entry(swap, area, index)?;
            }
        }
        for file in &files {
            if self.link_file(file).is_err() {
                continue;
            }
            let brought = (0..file.used()).try_fold(false, |met, index| {
                Error::unless_interrupted()?;
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
            Error::unless_interrupted()?;
            let Some(found) = self.swap_cache_get(swap, slot) else { continue };
            let head = found.head;
            let page = &self.frames[head];
            if !page.trylock() {
                // The holder of the page lock may change entries that this pass has visited
                // already, so another pass is due.
                met = true;
                page.lock();
            }
            if self.in_swap_cache(found, slot).is_some() {
                met |= self.free_swap(head);
            }
            self.unlock_and_put(head);
        }
        Ok(met)
    }

    /// Replaces a swap entry by a mapping of its page (`unuse_pte`), not young and without
    /// permission to write. Returns true if the entry was a swap entry.
    fn unuse_entry(&self, swap: &Swap, area: &Area, index: u32) -> Result<bool> {
        if area.look(index).unlocked() == Pte::NONE {
            return Ok(false);
        }
        let _against_fork = area.faults.read();
        let Entry::Swap { slot } = area.look(index).entry() else { return Ok(false) };
        let alloc = || self.alloc_by_policy(area, index, 0);
        let Some(swapped) = self.swapped_page(swap, slot, Bypass::Never, alloc)? else { return Ok(true) };
        let (pfn, head) = (swapped.pfn, swapped.folio.head);
        let page = &self.frames[head];
        let guard = area.lock(index);
        if guard.pte().entry() != (Entry::Swap { slot }) {
            drop(guard);
        } else if self.frames[pfn].word().has(Flags::HWPOISON) {
            // The content is lost, so the entry becomes a poisoned one (`unuse_pte`).
            let _ = swap.change(self).remove_entry(slot);
            guard.finish(Pte::hwpoison(pfn));
        } else {
            page.get(head);
            let exclusive = guard.pte().has(Pte::EXCLUSIVE);
            self.add_swapped_anon(area, index, swapped, exclusive);
            if !self.profile.anon_workingset {
                self.activate_page(head);
            }
            debug_assert!(page.word().has(Flags::SWAPCACHE), "its page is cached while it is locked");
            let _ = swap.change(self).remove_entry(slot);
            guard.finish(Pte::present(pfn, 0));
        }
        self.free_swap(head);
        self.unlock_and_put(head);
        Ok(true)
    }
}
