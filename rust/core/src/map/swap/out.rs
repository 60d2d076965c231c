//! Swap-out: mappings become swap entries, and the content is written to the slot.

use super::store::Swap;
use crate::machine::Machine;
use crate::map::{Area, Pte};
use crate::page::{Flags, Folio, HUGE_ORDER, Pfn};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, mutated};

/// The size of a page in KiB.
const KIB: i64 = (crate::page::PAGE_SIZE / 1024) as i64;

impl<R: Release> Machine<R> {
    /// Replaces every mapping of a locked page in the swap cache by a swap entry (`try_to_unmap`), part
    /// by part if the page is large. The caller flushes before it writes any byte. Returns true if
    /// nothing maps the page any more.
    ///
    /// The walk stops at the mapping of an exclusive page that may be pinned, and at a mapping that
    /// is locked into memory. The lock is ignored for a `bad` page, which no process may keep
    /// (`TTU_IGNORE_MLOCK`).
    pub(crate) fn unmap_to_swap(&self, pfn: Pfn, bad: bool) -> bool {
        let page = &self.frames[pfn];
        let Some(swap) = self.swap_space() else { return false };
        let (slot, order) = (page.private(), page.order());
        let folio = Folio { head: pfn, large: order > 0 };
        self.rmap_walk(page, |area, index| {
            (0..1 << order).all(|part| {
                self.unmap_part_to_swap(&swap, folio, pfn.plus(part), slot + part, area, index + part, bad)
            })
        });
        self.frames.folio_mapcount(folio) == 0
    }

    /// Replaces the mapping of a part of a page by a swap entry, if there is one. Returns false if the walk
    /// is to stop.
    #[expect(clippy::too_many_arguments, reason = "the part, its slot and its entry, each by what finds it")]
    fn unmap_part_to_swap(
        &self,
        swap: &Swap,
        folio: Folio,
        part: Pfn,
        slot: u32,
        area: &Area,
        index: u32,
        bad: bool,
    ) -> bool {
        let Some(guard) = area.lock_if_maps(index, |pte| pte.maps(part)) else { return true };
        let (page, head) = (&self.frames[part], folio.head);
        let locked = area.locked(index);
        if locked && !bad {
            self.note_missed_lock(head);
            return false;
        }
        let exclusive = page.word().has(Flags::ANON_EXCLUSIVE);
        if exclusive {
            if self.may_be_pinned(folio) {
                self.note_dirty(head, area.look(index));
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
        self.unmapped_part(folio, part, old, locked);
        true
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
            return match mutated(Mutation::FailedSwapoutCleans) {
                true => _ = page.clear(Flags::DIRTY),
                false => self.set_page_dirty(pfn),
            };
        }
        page.clear(Flags::DIRTY);
        let Ok(nonzero) = self.write_content(swap, page.private(), pfn) else {
            // The device has no room: the page stays, as after a failed write.
            return self.set_page_dirty(pfn);
        };
        let order = page.order();
        if self.count_swap_io(nonzero, order, Event::Pswpout, Event::Pgpgout) && order == HUGE_ORDER {
            self.stats.event(Event::ThpSwpout, 1);
        }
    }

    /// Counts a page of 2^`order` frames that was written to the device or read from it, and returns
    /// true. A page of zeroes is not counted in kernels that only keep a note of it.
    pub(super) fn count_swap_io(&self, nonzero: bool, order: u8, pages: Event, kib: Event) -> bool {
        if !nonzero && self.profile.swap_notes_zeroes {
            return false;
        }
        self.stats.event(pages, 1 << order);
        if self.profile.swap_counts_blocks {
            self.stats.event(kib, KIB << order);
        }
        true
    }
}
