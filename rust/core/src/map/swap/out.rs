//! Out of memory: mappings become swap entries, the content is written.

use super::Swap;
use crate::machine::Machine;
use crate::map::Pte;
use crate::page::{Flags, PIN, Pfn};
use crate::release::Release;
use crate::stat::Event;

/// KiB of a page.
const KIB: i64 = (crate::page::PAGE_SIZE / 1024) as i64;

impl<R: Release> Machine<R> {
    /// Replaces every mapping of a locked page in the swap cache by a swap entry (`try_to_unmap`). The flush is the
    /// caller's, before any byte is written. True if nothing maps the page any more.
    ///
    /// Stops at a mapping whose exclusive page may be pinned, or that is locked into memory: unless the page is bad
    /// (`TTU_IGNORE_MLOCK`), then nobody may keep it.
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
                if page.count() >= PIN {
                    self.note_dirty(pfn, area.look(index));
                    return false;
                }
                page.clear(Flags::ANON_EXCLUSIVE);
            }
            let mark = if exclusive { Pte::EXCLUSIVE } else { 0 };
            // Counted before it is there, so that nobody finds an entry that its slot does not know of; and in one
            // change with it, so that who waits for a change finds it.
            let mut changing = swap.change();
            changing.add_entry(slot);
            let old = guard.finish_with(|_| Pte::swap(slot, mark));
            drop(changing);
            self.unmapped(pfn, old, locked);
            true
        });
        page.mapcount() == 0
    }

    /// Drops every mapping of a locked, isolated page whose content may be thrown away, unless it was written to
    /// since (`try_to_unmap` after `MADV_FREE`): then it is an ordinary anonymous page once more. True if
    /// nothing maps it any more.
    pub(in crate::map) fn unmap_lazyfree(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        self.rmap_walk(page, |area, index| {
            let Some(guard) = area.lock_if_maps(index, |pte| pte.maps(pfn)) else { return true };
            if area.locked(index) {
                self.note_missed_lock(pfn);
                return false;
            }
            // The isolation's and the mappings'; with others somebody may look at it.
            let keep = page.count() != 1 + page.mapcount() || page.word().has(Flags::DIRTY);
            let kept = |old: Pte| keep || old.has(Pte::DIRTY);
            // One step, because an entry that is empty is nobody's to fill again: see `Area`.
            let old = guard.finish_with(|old| if kept(old) { old } else { Pte::NONE });
            if kept(old) {
                self.note_dirty(pfn, old);
                // An isolated page changes its class.
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

    /// Writes a locked, unmapped page in the swap cache to its slot, and so cleans it (`swap_writepage`).
    /// Whoever dirties it meanwhile marks it again.
    pub(in crate::map) fn write_swap(&self, swap: &Swap, pfn: Pfn) {
        let page = &self.frames[pfn];
        if self.may_ask("write to the swap space", pfn).is_err() {
            // What is dirty stays in the swap cache.
            return self.set_page_dirty(pfn);
        }
        page.clear(Flags::DIRTY);
        let any = swap.write(page.private(), &self.memory, pfn);
        self.count_swap_io(any, Event::Pswpout, Event::Pgpgout);
    }

    /// Counts a page that went to the device or came from it; of one without any content but zeroes the kernel may only
    /// keep a note.
    pub(super) fn count_swap_io(&self, any: bool, pages: Event, kib: Event) {
        if !any && self.profile.swap_notes_zeroes {
            return;
        }
        self.stats.event(pages, 1);
        if self.profile.swap_counts_blocks {
            self.stats.event(kib, KIB);
        }
    }
}
