//! The reverse map leads from a page to the entries that map it. A migration walks it twice: to
//! replace the entries by migration entries, and to restore them (lifecycle 6.3 steps 6 and 10,
//! 6.8).

use super::{Area, Pte};
use crate::machine::Machine;
use crate::owner::{Owner, OwnerId};
use crate::page::{Flags, Folio, HUGE_ORDER, Page, Pfn, Word};
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use std::sync::Arc;

/// The bits of a mapping that a migration entry keeps.
const REMEMBERED: u64 = Pte::WRITE | Pte::YOUNG | Pte::DIRTY;

/// Visits every area of an owner that could map its page `index`, with the page's index there, until `visit`
/// returns false.
#[inline]
fn visit_areas<D: ?Sized>(owner: &Owner<D>, index: u32, mut visit: impl FnMut(&Arc<Area>, u32) -> bool) {
    match owner {
        Owner::Anon(areas) => {
            for area in areas {
                if !visit(area, index) {
                    break;
                }
            }
        }
        Owner::File { areas, .. } => {
            for area in areas {
                if let Some(at) = area.of_file(index)
                    && !visit(area, at)
                {
                    break;
                }
            }
        }
        Owner::Free | Owner::Movable(_) => {}
    }
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
    pub(crate) fn walk_areas(&self, owner: OwnerId, index: u32, visit: impl FnMut(&Arc<Area>, u32) -> bool) {
        self.owners.with(owner, |owner| visit_areas(owner, index, visit));
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
                visit(owner, first);
                while let Some(next) = items.next_if(|&next| self.frames[page(next)].owner() == id) {
                    visit(owner, next);
                }
            });
        }
    }

    /// Visits every entry that could map a part of a page, with its area, its index and the part, until
    /// `visit` returns false. The caller holds the owner's lock.
    #[inline]
    fn visit_entries(
        &self,
        owner: &Owner<R::Driver>,
        head: Pfn,
        mut visit: impl FnMut(&Arc<Area>, u32, Pfn) -> bool,
    ) {
        let page = &self.frames[head];
        let parts = 1u32 << page.order();
        visit_areas(owner, page.index(), |area, index| {
            (0..parts).all(|part| visit(area, index + part, head.plus(part)))
        });
    }

    /// Replaces every mapping of a locked page by a migration entry (`try_to_migrate`). Each entry
    /// is cleared and then marked, under its lock. The caller flushes before it copies any byte.
    /// Returns true if nothing maps the page any more.
    pub(crate) fn unmap_to_migration(&self, head: Pfn) -> bool {
        self.unmap_all_to_migration(std::iter::once(head));
        let folio = Folio { head, large: self.frames[head].order() > 0 };
        self.frames.folio_mapcount(folio) == 0
    }

    /// Replaces the mappings of pages as [`Machine::unmap_to_migration`] does, page after page.
    #[inline]
    pub(crate) fn unmap_all_to_migration(&self, heads: impl Iterator<Item = Pfn>) {
        self.with_owners(heads, |head| head, |owner, head| self.unmap_entries(owner, head));
    }

    /// Replaces the mappings of one page; the caller holds the owner's lock. The walk stops at the
    /// mapping of an exclusive page that may be pinned, because the pin's user would go on with the
    /// old frame.
    fn unmap_entries(&self, owner: &Owner<R::Driver>, head: Pfn) {
        let page = &self.frames[head];
        page.expect_locked();
        let folio = Folio { head, large: page.order() > 0 };
        let huge = self.frames.is_huge_mapping(folio);
        self.visit_entries(owner, head, |area, index, pfn| {
            let Some(mut guard) = area.lock_if_maps(index, |pte| pte.maps(pfn)) else { return true };
            let part = &self.frames[pfn];
            let exclusive = part.word().has(Flags::ANON_EXCLUSIVE);
            if exclusive {
                if self.may_be_pinned(folio) {
                    // The entry stays, but its dirty bit goes to the page: by now the kernel has
                    // cleared the entry and marked the page dirty (recording h03/5). The caller
                    // restores the entries that were replaced before.
                    self.note_dirty(head, area.look(index));
                    return false;
                }
                part.clear(Flags::ANON_EXCLUSIVE);
            }
            let mark = if exclusive { Pte::EXCLUSIVE } else { 0 };
            // The lock mark is read under the entry's lock, so that each mapping is counted once:
            // see `map/mlock.rs`.
            let locked = area.locked(index);
            // The entry is empty for a moment before the migration entry replaces it, as in the
            // kernel: the dirty bit is final only once the old entry is gone. A fault that reads
            // the empty entry goes to the page in its file (see `Machine::fault_round`).
            let old = guard.replace(Pte::NONE);
            guard.fill(Pte::migration(pfn, old.bits(REMEMBERED) | mark));
            let last = self.unmapped_part(folio, pfn, old, locked);
            if folio.large {
                if !huge {
                    self.note_partial(folio, pfn);
                }
                return true;
            }
            // No further area maps a base page whose last mapping has ended (`folio_not_mapped`).
            !last
        });
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
        self.with_owners(
            pairs,
            |(_, to)| to,
            |owner, (from, to)| self.restore_entries(owner, from, to, false),
        );
    }

    /// Restores the mappings of a part of a page that was split. An `unused` part, which holds
    /// nothing but zeroes, is replaced by the zero page, unless it is locked into memory
    /// (`try_to_map_unused_to_zeropage`).
    pub(super) fn restore_part(&self, part: Pfn, unused: bool) {
        let part = std::iter::once(part);
        self.with_owners(part, |part| part, |owner, part| self.restore_entries(owner, part, part, unused));
    }

    /// Restores the mappings of one page; the caller holds the owner's lock.
    fn restore_entries(&self, owner: &Owner<R::Driver>, from: Pfn, to: Pfn, unused: bool) {
        let page = &self.frames[to];
        // Both pages are locked. Faults on the migration entry sleep on the source's lock, and a
        // thread that finds the destination must not migrate it before all entries are restored.
        self.frames[from].expect_locked();
        page.expect_locked();
        let folio = Folio { head: to, large: page.order() > 0 };
        self.visit_entries(owner, to, |area, index, pfn| {
            let source = from.plus(pfn.0 - to.0);
            let Some(guard) = area.lock_if_maps(index, |pte| pte.migrates(source)) else { return true };
            if unused && !area.locked(index) && !page.word().has(Flags::MLOCKED) {
                guard.finish(Pte::present(Pfn(0), Pte::ZERO | Pte::YOUNG));
                return true;
            }
            let old = guard.pte();
            if old.has(Pte::EXCLUSIVE) {
                self.frames[pfn].set(Flags::ANON_EXCLUSIVE);
            }
            self.mapped(folio, pfn);
            if area.locked(index) {
                self.mlock_page(to);
                self.mlock_drain_local();
            }
            guard.finish(Pte::present(pfn, old.bits(REMEMBERED)));
            true
        });
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
        self.tlb.flush();
    }

    /// Clears the accessed bit of every mapping of a locked page and returns how many had it
    /// (`folio_referenced`). A mapping that is locked into memory ends the walk, with `None`. No
    /// flush is needed: an access that is under way has set its accessed bit already.
    pub(super) fn page_referenced(&self, pfn: Pfn) -> Option<u32> {
        let mut used = Some(0);
        let mut visit = |area: &Arc<Area>, index: u32, pfn: Pfn| {
            let locked = index < area.pages() && area.locked(index);
            let counts = |pte: Pte| pte.maps(pfn) && (locked || pte.has(Pte::YOUNG));
            let Some(guard) = area.lock_if_maps(index, counts) else { return true };
            if locked {
                used = None;
                return false;
            }
            guard.finish_with(|old| Pte(old.0 & !Pte::YOUNG));
            used = used.map(|used| used + 1);
            true
        };
        self.with_owners(
            std::iter::once(pfn),
            |pfn| pfn,
            |owner, pfn| self.visit_entries(owner, pfn, &mut visit),
        );
        used
    }

    /// Accounts for one more entry that maps a part of a page: a reference and a mapping, and
    /// `nr_anon_pages` or `nr_mapped` with the part's first mapping. The caller holds a reference
    /// and the entry's lock.
    #[inline]
    fn mapped(&self, folio: Folio, pfn: Pfn) {
        self.frames[folio.head].get(folio.head);
        if self.frames.add_mapping(folio, pfn) {
            self.count_mapped(folio.head, 1);
        }
    }

    /// Accounts for one entry less of the base page `pfn` and drops its reference, which is not the
    /// last one.
    #[inline]
    pub(super) fn unmapped(&self, pfn: Pfn, old: Pte, locked: bool) {
        self.unmapped_part(Folio::base(pfn), pfn, old, locked);
    }

    /// Accounts for one entry less of a part of a page, and drops its reference. Returns true if it was the
    /// last entry of this part.
    #[inline]
    fn unmapped_part(&self, folio: Folio, pfn: Pfn, old: Pte, locked: bool) -> bool {
        let head = folio.head;
        self.note_dirty(head, old);
        let last = self.remove_mapping_of(folio, pfn);
        if locked {
            self.munlock_page(head);
            self.mlock_drain_local();
        }
        self.put(head);
        last
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

    /// Marks a page newer than its backing store (`folio_mark_dirty`). The caller holds a reference
    /// that keeps the page in its place. The page lock is not needed; only the beginning of a
    /// write-back takes it.
    #[inline]
    pub(crate) fn set_page_dirty(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
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
        let item = match self.frames[head].word().has(Flags::ANON) {
            true => NodeItem::AnonPages,
            false => NodeItem::FileMapped,
        };
        self.stats.node(self.node_of(head), item, pages);
    }
}
