//! The reverse map leads from a page to the entries that map it. A migration walks it twice: to
//! replace the entries by migration entries, and to restore them (lifecycle 6.3 steps 6 and 10,
//! 6.8).

use super::{Area, Pte};
use crate::machine::Machine;
use crate::owner::{Owner, OwnerId};
use crate::page::{Flags, Folio, HUGE_ORDER, PIN, Page, Pfn, Word};
use crate::release::Release;
use crate::stat::{Event, NodeItem, NodeSum};
use crate::sync::{Mutation, mutated};
use std::sync::Arc;

/// The bits of a mapping that a migration entry keeps.
const REMEMBERED: u64 = Pte::WRITE | Pte::YOUNG | Pte::DIRTY;

/// Every area of an owner that could map its page `index`, with the page's index there.
#[inline(always)]
fn areas_of<D: ?Sized>(owner: &Owner<D>, index: u32) -> impl Iterator<Item = (&Arc<Area>, u32)> {
    let (places, of_file) = match owner {
        Owner::Anon(areas) => (areas.places(), false),
        Owner::File { areas, .. } => (areas.places(), true),
        Owner::Free | Owner::Movable(_) => (&[][..], false),
    };
    places.iter().flatten().filter_map(move |area| {
        let at = if of_file { area.of_file(index)? } else { index };
        Some((area, at))
    })
}

impl<R: Release> Machine<R> {
    /// Visits every area that could map a page, with the page's index there, under the owner's
    /// lock, until `visit` returns false. The page is locked, so its owner cannot change.
    pub(super) fn rmap_walk(&self, page: &Page, visit: impl FnMut(&Arc<Area>, u32) -> bool) {
        let index = page.index();
        self.walk_areas(OwnerId(page.owner()), index, visit);
    }

    /// Visits every area of an owner that could map its page `index`, with the page's index there, under the
    /// owner's lock, until `visit` returns false.
    pub(crate) fn walk_areas(
        &self,
        owner: OwnerId,
        index: u32,
        mut visit: impl FnMut(&Arc<Area>, u32) -> bool,
    ) {
        self.owners.with(owner, |owner| {
            areas_of(owner, index).all(|(area, index)| visit(area, index));
        });
    }

    /// Visits pages, each with its owner and under the owner's lock. Neighbours that have one owner share one
    /// acquisition of its lock. `page` is the page of an item; the pages are locked, so their owners cannot
    /// change. A page without an owner is not visited.
    #[inline]
    fn with_owners<T: Copy>(
        &self,
        items: impl Iterator<Item = T>,
        page: impl Fn(T) -> Pfn,
        mut visit: impl FnMut(&Owner<R::Driver>, T),
    ) {
        let mut items = items.peekable();
        while let Some(first) = items.next() {
            let id = self.frames[page(first)].owner();
            self.owners.with(OwnerId(id), |owner| {
                let mut item = Some(first);
                while let Some(this) = item {
                    visit(owner, this);
                    item = items.next_if(|&next| self.frames[page(next)].owner() == id);
                }
            });
        }
    }

    /// Replaces every mapping of a locked page by a migration entry (`try_to_migrate`). Each entry
    /// is cleared and then filled anew, under its lock. The caller flushes before it copies any byte.
    /// Returns true if nothing maps the page any more.
    pub(crate) fn unmap_to_migration(&self, head: Pfn) -> bool {
        self.unmap_all_to_migration(std::iter::once(head));
        let folio = Folio { head, large: self.frames[head].order() > 0 };
        self.frames.folio_mapcount(folio) == 0
    }

    /// Replaces the mappings of pages as [`Machine::unmap_to_migration`] does, page after page.
    #[inline]
    pub(crate) fn unmap_all_to_migration(&self, heads: impl Iterator<Item = Pfn>) {
        let mut sum = NodeSum::new(&self.stats);
        self.with_owners(heads, |head| head, |owner, head| self.unmap_entries(owner, head, &mut sum));
    }

    /// Replaces the mappings of one page; the caller holds the owner's lock. The walk stops at the
    /// mapping of an exclusive page that may be pinned, because the pin's user would go on with the
    /// old frame.
    #[inline(always)]
    fn unmap_entries(&self, owner: &Owner<R::Driver>, head: Pfn, sum: &mut NodeSum<'_>) {
        let page = &self.frames[head];
        page.expect_locked();
        let folio = Folio { head, large: page.order() > 0 };
        let huge = self.frames.is_huge_mapping(folio);
        let parts = 1u32 << page.order();
        for (area, first) in areas_of(owner, page.index()) {
            for number in 0..parts {
                let (index, pfn) = (first + number, head.plus(number));
                let Some(mut guard) = area.lock_if_maps(index, |pte| pte.maps(pfn)) else { continue };
                let part = if folio.large { &self.frames[pfn] } else { page };
                let word = part.word();
                let exclusive = word.has(Flags::ANON_EXCLUSIVE);
                // The put of the entry's reference then clears the exclusive mark too. Until then only a pin
                // would look at the mark, and the entry's lock keeps pins away.
                let merged = exclusive
                    && !folio.large
                    && self.merges_atomics()
                    && !word.any(Flags::FILE | Flags::SWAPCACHE);
                if exclusive {
                    // The word of a base page tells whether it is pinned: a pin takes the entry's lock.
                    if (folio.large || word.count() >= PIN) && self.may_be_pinned(folio) {
                        // The entry stays, but its dirty bit goes to the page: by now the kernel has
                        // cleared the entry and marked the page dirty (recording h03/5). The caller
                        // restores the entries that were replaced before.
                        return self.note_dirty(head, area.look(index));
                    }
                    if !merged {
                        part.clear(Flags::ANON_EXCLUSIVE);
                    }
                }
                let mark = if exclusive { Pte::EXCLUSIVE } else { 0 };
                // The lock mark is read under the entry's lock, so that each mapping is counted once:
                // see `map/mlock.rs`.
                let locked = area.locked(index);
                // The entry is empty for a moment before the migration entry replaces it, as in the
                // kernel: the dirty bit is final only once the old entry is gone. A fault that reads
                // the empty entry goes to the page in its file (see `Machine::fault_round`).
                let old = guard.replace(Pte::NONE);
                // A part in swap stays with its slot, to which its entries lead.
                let bad = folio.large && part.word().has(Flags::HWPOISON);
                let bad = bad && self.profile.split_poisons && !page.word().has(Flags::SWAPCACHE);
                guard.fill(match bad {
                    true => Pte::hwpoison(pfn),
                    false => Pte::migration(pfn, old.bits(REMEMBERED) | mark),
                });
                let last = match merged {
                    true => page.remove_mapping(pfn) == 0,
                    false => self.uncounted_part(page, folio, pfn, old),
                };
                if last {
                    sum.add(self.node_of(head), mapped_as(page), -1);
                }
                self.unlock_entry(folio, locked);
                match merged {
                    true => page.put_exclusive(pfn, old.has(Pte::DIRTY)),
                    false => self.put(head),
                }
                // No further area maps a base page whose last mapping has ended (`folio_not_mapped`).
                if last && !folio.large {
                    return;
                }
                if folio.large && !huge {
                    self.note_partial(folio, pfn);
                }
            }
        }
    }

    /// Replaces every migration entry of `from` by a mapping of `to` (`remove_migration_ptes`),
    /// part by part if the page is large. Each restored entry takes a reference and a mapping. With
    /// `to == from` the mappings become as they were before the migration.
    pub(crate) fn restore_mappings(&self, from: Pfn, to: Pfn) {
        self.restore_all_mappings(std::iter::once((from, to)));
    }

    /// Replaces migration entries as [`Machine::restore_mappings`] does, for pairs of pages one after
    /// the other.
    #[inline]
    pub(crate) fn restore_all_mappings(&self, pairs: impl Iterator<Item = (Pfn, Pfn)>) {
        let mut sum = NodeSum::new(&self.stats);
        self.with_owners(
            pairs,
            |(_, to)| to,
            |owner, (from, to)| self.restore_entries(owner, from, to, false, &mut sum),
        );
    }

    /// Restores the mappings of a part of a page that was split. An `unused` part, which holds
    /// nothing but zeroes, is replaced by the zero page, unless it is locked into memory
    /// (`try_to_map_unused_to_zeropage`).
    pub(super) fn restore_part(&self, part: Pfn, unused: bool) {
        let part = std::iter::once(part);
        let mut sum = NodeSum::new(&self.stats);
        self.with_owners(
            part,
            |part| part,
            |owner, part| self.restore_entries(owner, part, part, unused, &mut sum),
        );
    }

    /// Restores the mappings of one page; the caller holds the owner's lock.
    #[inline(always)]
    fn restore_entries(
        &self,
        owner: &Owner<R::Driver>,
        from: Pfn,
        to: Pfn,
        unused: bool,
        sum: &mut NodeSum<'_>,
    ) {
        let page = &self.frames[to];
        // Both pages are locked. Faults on the migration entry sleep on the source's lock, and a
        // thread that finds the destination must not migrate it before all entries are restored.
        self.frames[from].expect_locked();
        page.expect_locked();
        let folio = Folio { head: to, large: page.order() > 0 };
        let parts = 1u32 << page.order();
        for (area, first) in areas_of(owner, page.index()) {
            for number in 0..parts {
                let (index, pfn) = (first + number, to.plus(number));
                let source = from.plus(number);
                let Some(guard) = area.lock_if_maps(index, |pte| pte.migrates(source)) else { continue };
                let locked = area.locked(index);
                if unused && !locked && !page.word().has(Flags::MLOCKED) {
                    guard.finish(Pte::present(Pfn(0), Pte::ZERO | Pte::YOUNG));
                    continue;
                }
                let old = guard.pte();
                let exclusive = old.has(Pte::EXCLUSIVE);
                if exclusive && !folio.large && self.merges_atomics() {
                    page.get_exclusive(pfn);
                } else {
                    if exclusive {
                        let part = if folio.large { &self.frames[pfn] } else { page };
                        part.set(Flags::ANON_EXCLUSIVE);
                    }
                    page.get(to);
                }
                if self.counted_part(page, folio, pfn) {
                    sum.add(self.node_of(to), mapped_as(page), 1);
                }
                if locked && (!folio.large || self.profile.migration_mlocks_large) {
                    self.mlock_page(to);
                    self.mlock_drain_local();
                }
                let more = if mutated(Mutation::RestoreWritable) { Pte::WRITE } else { 0 };
                guard.finish(Pte::present(pfn, old.bits(REMEMBERED) | more));
            }
        }
    }

    /// Removes every mapping of a locked page (`try_to_unmap`). With `poison` each becomes a
    /// poisoned entry, on which later accesses fault. Without it each entry becomes empty, and the
    /// next access faults the page, or its remains, in again. Accessed bits are dropped, and a
    /// dirty bit makes the page dirty. The caller holds a reference on the page. Afterwards no
    /// thread is inside an access through an old entry.
    pub(crate) fn unmap_poisoned(&self, pfn: Pfn, poison: bool) {
        let page = &self.frames[pfn];
        page.expect_locked();
        self.rmap_walk(page, |area, index| {
            if let Some(guard) = area.lock_if_maps(index, |pte| pte.maps(pfn)) {
                let locked = area.locked(index);
                let old = guard.finish(if poison { Pte::hwpoison(pfn) } else { Pte::NONE });
                self.unmapped(pfn, old, locked);
            }
            true
        });
        if !mutated(Mutation::PoisonUnmapWithoutFlush) {
            self.tlb.flush();
        }
    }

    /// Clears the accessed bit of every mapping of a locked page and returns how many had it
    /// (`folio_referenced`). A mapping that is locked into memory ends the walk, with `None`. No
    /// flush is needed: an access that is under way has set its accessed bit already.
    pub(super) fn page_referenced(&self, pfn: Pfn) -> Option<u32> {
        let page = &self.frames[pfn];
        let (first_index, parts) = (page.index(), 1u32 << page.order());
        let mut used = 0;
        let walked = self.owners.with(OwnerId(page.owner()), |owner| {
            for (area, first) in areas_of(owner, first_index) {
                for number in 0..parts {
                    let (index, pfn) = (first + number, pfn.plus(number));
                    let locked = index < area.pages() && area.locked(index);
                    let counts = |pte: Pte| pte.maps(pfn) && (locked || pte.has(Pte::YOUNG));
                    let Some(guard) = area.lock_if_maps(index, counts) else { continue };
                    if locked {
                        return None;
                    }
                    guard.finish_with(|old| Pte(old.0 & !Pte::YOUNG));
                    used += 1;
                }
            }
            Some(used)
        });
        // A page without an owner has no entries.
        walked.unwrap_or(Some(0))
    }

    /// Accounts for one more entry that maps a part of a page. Returns true if it is the part's first
    /// mapping, which the caller counts in `nr_anon_pages` or `nr_mapped`. The caller holds a reference for
    /// the entry, and the entry's lock. `page` is the record of the page's head.
    #[inline(always)]
    fn counted_part(&self, page: &Page, folio: Folio, pfn: Pfn) -> bool {
        match folio.large {
            true => self.frames.add_mapping(folio, pfn),
            false => page.add_mapping() == 0,
        }
    }

    /// Accounts for one entry less of the base page `pfn` and drops its reference, which is not the
    /// last one.
    #[inline]
    pub(super) fn unmapped(&self, pfn: Pfn, old: Pte, locked: bool) {
        self.unmapped_part(Folio::base(pfn), pfn, old, locked);
    }

    /// Accounts for one entry less of a part of a page, as [`Machine::unmapped`] does for a base page.
    #[inline]
    pub(super) fn unmapped_part(&self, folio: Folio, part: Pfn, old: Pte, locked: bool) {
        if self.uncounted_part(&self.frames[folio.head], folio, part, old) {
            self.count_mapped(folio.head, -1);
        }
        self.unlock_entry(folio, locked);
        self.put(folio.head);
    }

    /// Accounts for one entry less of a part of a page. Returns true if it was the last entry of this part,
    /// which the caller counts in `nr_anon_pages` or `nr_mapped` before it puts the entry's reference.
    /// `page` is the record of the page's head.
    #[inline(always)]
    fn uncounted_part(&self, page: &Page, folio: Folio, pfn: Pfn, old: Pte) -> bool {
        if old.has(Pte::DIRTY) {
            self.set_dirty(page, folio.head);
        }
        match folio.large {
            true => self.frames.remove_mapping(folio, pfn),
            false => page.remove_mapping(pfn) == 0,
        }
    }

    /// Drops the mlock of an entry that has ended, if there was one. The entry's reference is put later.
    #[inline(always)]
    fn unlock_entry(&self, folio: Folio, locked: bool) {
        if locked {
            self.munlock_page(folio.head);
            self.mlock_drain_local();
        }
    }

    /// Accounts for one entry less, and returns true if it was the last one of this part. The caller
    /// still has to put the entry's reference.
    #[inline]
    pub(super) fn remove_mapping_of(&self, folio: Folio, pfn: Pfn) -> bool {
        let last = self.frames.remove_mapping(folio, pfn);
        if last {
            self.count_mapped(folio.head, -1);
        }
        last
    }

    /// Queues a large page to be split if the part `pfn` is no longer mapped while other parts are.
    /// The caller holds the entry's lock.
    #[inline]
    pub(super) fn note_partial(&self, folio: Folio, pfn: Pfn) {
        if self.frames[pfn].mapcount() == 0 && self.frames.folio_mapcount(folio) > 0 {
            self.queue_split(folio);
        }
    }

    /// Queues a large page to be split; for a page of order 9 the event is counted.
    pub(crate) fn queue_split(&self, folio: Folio) {
        if self.frames.queue_split(folio) && self.frames[folio.head].order() == HUGE_ORDER {
            self.stats.event(Event::ThpDeferredSplitPage, 1);
        }
    }

    /// Marks the page dirty if the old entry was dirty.
    #[inline]
    pub(super) fn note_dirty(&self, pfn: Pfn, old: Pte) {
        if old.has(Pte::DIRTY) {
            self.set_page_dirty(pfn);
        }
    }

    /// Marks a page as newer than its backing store (`folio_mark_dirty`). The caller holds a reference
    /// that keeps the page in its place. The page lock is not needed; only the beginning of a
    /// write-back takes it.
    #[inline]
    pub(crate) fn set_page_dirty(&self, pfn: Pfn) {
        self.set_dirty(&self.frames[pfn], pfn);
    }

    #[inline(always)]
    fn set_dirty(&self, page: &Page, pfn: Pfn) {
        let word = page.word();
        // The page was written to again. Reclaim must not prefer it when its write-back ends
        // (recording m0239/9).
        if word.has(Flags::RECLAIM) && word.any(Flags::FILE | Flags::SWAPCACHE) {
            page.clear(Flags::RECLAIM);
        }
        if !word.has(Flags::DIRTY) {
            self.set_buffer_dirty(pfn);
        }
    }

    /// Marks a page dirty for a write into one of its buffers (`mark_buffer_dirty`). Unlike
    /// [`Machine::set_page_dirty`], keeps the page's mark for reclaim (recording g61116/20).
    pub(crate) fn set_buffer_dirty(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        if page.word().has(Flags::DIRTY) {
            return;
        }
        // One atomic operation sets `DIRTY` and returns the word before. The word tells whether the
        // mark is new, and whether the page belongs to a file at this moment. A removal from the
        // file clears both flags in one operation too, so each `+1` has its `-1`.
        let old = page.set(Flags::DIRTY);
        if !old.has(Flags::DIRTY) {
            self.count_dirty(pfn, old, 1);
        }
    }

    /// Adds `sign` to `nr_dirty` if the page, with this word, belongs to a file with a backing
    /// store.
    #[inline]
    pub(crate) fn count_dirty(&self, pfn: Pfn, word: Word, sign: i64) {
        if word.has(Flags::FILE) && !word.has(Flags::SWAPBACKED) {
            self.stats.node(self.node_of(pfn), NodeItem::FileDirty, sign);
        }
    }

    /// Adds `pages` base pages to the node's count of mapped pages: `nr_anon_pages`, or `nr_mapped`
    /// for a page of a file.
    // Inlined, because a call would cost a migration as much as the count.
    #[inline(always)]
    pub(crate) fn count_mapped(&self, head: Pfn, pages: i64) {
        self.stats.node(self.node_of(head), mapped_as(&self.frames[head]), pages);
    }
}

/// The counter that includes a mapped page: `nr_anon_pages`, or `nr_mapped` for a page of a file.
#[inline(always)]
fn mapped_as(page: &Page) -> NodeItem {
    match page.word().has(Flags::ANON) {
        true => NodeItem::AnonPages,
        false => NodeItem::FileMapped,
    }
}
