//! Swap-out: mappings become swap entries, and the content is written to the slot.

use super::store::Swap;
use crate::machine::Machine;
use crate::map::Pte;
use crate::page::{Flags, PIN, Pfn};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, mutated};

/// The size of a page in KiB.
const KIB: i64 = (crate::page::PAGE_SIZE / 1024) as i64;

impl<R: Release> Machine<R> {
    /// Replaces every mapping of a locked page in the swap cache by a swap entry (`try_to_unmap`).
    /// The caller flushes before it writes any byte. Returns true if nothing maps the page any
    /// more.
    ///
    /// The walk stops at the mapping of an exclusive page that may be pinned, and at a mapping that
    /// is locked into memory. The lock is ignored for a `bad` page, which no process may keep
    /// (`TTU_IGNORE_MLOCK`).
    pub(crate) fn unmap_to_swap(&self, pfn: Pfn, bad: bool) -> bool {
        let page = &self.frames[pfn];
        let Some(swap) = self.swap_space() else { return false };
        let slot = page.private();
        self.rmap_walk(page, |area, index| {
            let Some(guard) = area.lock_if_maps(index, |pte| pte.maps(pfn)) else { return true };
            let locked = area.locked(index);
            if locked && !bad {
                self.note_missed_lock(pfn);
                return false;
            }
            let exclusive = page.word().has(Flags::ANON_EXCLUSIVE);
            if exclusive {
                if page.count() >= PIN && self.pin_references() == PIN {
                    self.note_dirty(pfn, area.look(index));
                    return false;
                }
                page.clear(Flags::ANON_EXCLUSIVE);
            }
            let mark = if exclusive { Pte::EXCLUSIVE } else { 0 };
            // The slot counts the entry before it is published; otherwise a thread could find an
            // entry that its slot does not count. Count and publication are one change, so that a
            // thread that waits for a change finds the entry.
            let mut changing = swap.change(self);
            changing.add_entry(slot);
            let old = guard.finish_with(|_| Pte::swap(slot, mark));
            drop(changing);
            self.unmapped(pfn, old, locked);
            true
        });
        page.mapcount() == 0
    }

    /// Removes every mapping of a locked, isolated page whose content may be dropped, unless the
    /// page was written to since its `MADV_FREE` (`try_to_unmap`). A written page becomes an
    /// ordinary anonymous page again. Returns true if nothing maps the page any more.
    pub(in crate::map) fn unmap_lazyfree(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        self.rmap_walk(page, |area, index| {
            let Some(guard) = area.lock_if_maps(index, |pte| pte.maps(pfn)) else { return true };
            if area.locked(index) {
                self.note_missed_lock(pfn);
                return false;
            }
            // The isolation and the mappings have one reference each. Another reference may belong
            // to a thread that reads the page.
            let keep = page.count() != 1 + page.mapcount() || page.word().has(Flags::DIRTY);
            let kept = |old: Pte| keep || old.has(Pte::DIRTY) && !mutated(Mutation::LazyfreeIgnoresEntry);
            // The entry changes in one step: an entry that was cleared must not be filled again
            // (see `Area`).
            let old = guard.finish_with(|old| if kept(old) { old } else { Pte::NONE });
            if kept(old) {
                self.note_dirty(pfn, old);
                // The flag moves the page between the counts of isolated file and anonymous pages.
                self.count_isolated(pfn, -1);
                page.set(Flags::SWAPBACKED);
                self.count_isolated(pfn, 1);
                return false;
            }
            page.clear(Flags::ANON_EXCLUSIVE);
            self.unmapped(pfn, old, false);
            true
        });
        page.mapcount() == 0
    }

    /// Writes a locked, unmapped page in the swap cache to its slot, and cleans it
    /// (`swap_writepage`). A thread that dirties the page meanwhile marks it again.
    pub(in crate::map) fn write_swap(&self, swap: &Swap, pfn: Pfn) {
        let page = &self.frames[pfn];
        if self.may_ask("write to the swap space", pfn).is_err() {
            // The page stays dirty, in the swap cache.
            return self.set_page_dirty(pfn);
        }
        page.clear(Flags::DIRTY);
        let Ok(nonzero) = self.write_content(swap, page.private(), pfn) else {
            // The device has no room: the page stays, as after a failed write.
            return self.set_page_dirty(pfn);
        };
        self.count_swap_io(nonzero, Event::Pswpout, Event::Pgpgout);
    }

    /// Counts a page that was written to the device or read from it. A page of zeroes is not
    /// counted in kernels that only keep a note of it.
    pub(super) fn count_swap_io(&self, nonzero: bool, pages: Event, kib: Event) {
        if !nonzero && self.profile.swap_notes_zeroes {
            return;
        }
        self.stats.event(pages, 1);
        if self.profile.swap_counts_blocks {
            self.stats.event(kib, KIB);
        }
    }
}
