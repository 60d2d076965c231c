//! The reverse map: from a page to the entries that map it, and to migration entries and back
//! (lifecycle 6.3 steps 7 and 12, 6.8).

use super::{Area, Pte};
use crate::machine::Machine;
use crate::owner::{Owner, OwnerId};
use crate::page::{Flags, Folio, Page, Pfn, Word};
use crate::release::Release;
use crate::stat::NodeItem;
use std::sync::Arc;

/// What a migration entry remembers of the mapping it replaces.
const REMEMBERED: u64 = Pte::WRITE | Pte::YOUNG | Pte::DIRTY;

impl<R: Release> Machine<R> {
    /// Visits every area that could map a page, with the page's number there, under the owner's lock.
    /// The page is locked, so its owner stays.
    pub(super) fn rmap_walk(&self, page: &Page, mut visit: impl FnMut(&Arc<Area>, u32) -> bool) {
        let index = page.index();
        self.owners.with(OwnerId(page.owner()), |owner| match owner {
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
        });
    }

    /// Visits every entry that could map a part of a page, with its number in the area and the part. As
    /// [`Machine::rmap_walk`].
    fn rmap_entries(&self, head: Pfn, mut visit: impl FnMut(&Arc<Area>, u32, Pfn) -> bool) {
        let page = &self.frames[head];
        let parts = 1u32 << page.order();
        self.rmap_walk(page, |area, index| (0..parts).all(|part| visit(area, index + part, head.plus(part))));
    }

    /// Replaces every mapping of a locked page by a migration entry (`try_to_migrate`): each is cleared, and then
    /// marked, under its lock. The flush is the caller's, before any byte is copied. True if nothing maps the page any
    /// more.
    ///
    /// Stops at a mapping whose exclusive page may be pinned: its user would go on with the old frame.
    pub(crate) fn unmap_to_migration(&self, head: Pfn) -> bool {
        let page = &self.frames[head];
        page.expect_locked();
        let folio = Folio { head, large: page.order() > 0 };
        let huge = self.frames.is_huge_mapping(folio);
        self.rmap_entries(head, |area, index, pfn| {
            let Some(mut guard) = area.lock_if_maps(index, |pte| pte.maps(pfn)) else { return true };
            let part = &self.frames[pfn];
            let exclusive = part.word().has(Flags::ANON_EXCLUSIVE);
            if exclusive {
                if self.frames.may_be_pinned(folio) {
                    // The entry stays as it is, but for its dirty bit: the kernel has cleared the entry by
                    // now and told the page (recording h03/5). What was replaced so far is restored by
                    // the caller.
                    self.note_dirty(head, area.look(index));
                    return false;
                }
                part.clear(Flags::ANON_EXCLUSIVE);
            }
            let mark = if exclusive { Pte::EXCLUSIVE } else { 0 };
            // Under the entry's lock, as everywhere: see `map/mlock.rs`.
            let locked = area.locked(index);
            // Nothing for a moment, then the migration entry, as it was only told with the old entry whether the page is
            // dirty: a fault that looks in between goes for the page in its file (see `Machine::fault`).
            let old = guard.replace(Pte::NONE);
            guard.fill(Pte::migration(pfn, old.bits(REMEMBERED) | mark));
            self.unmapped_part(folio, pfn, old, locked);
            if folio.large && !huge {
                self.note_partial(folio, pfn);
            }
            true
        });
        self.frames.folio_mapcount(folio) == 0
    }

    /// Points every migration entry of `from` to `to` (`remove_migration_ptes`), part by part if it is large; each
    /// restored entry takes a reference and a mapping. With `to == from` the mappings are put back as they were.
    pub(crate) fn restore_mappings(&self, from: Pfn, to: Pfn) {
        self.restore_entries(from, to, false);
    }

    /// The same for a part of a page that was split. One that is `unused`, as it holds nothing but zeroes, gives way to
    /// the zero page, unless it is locked into memory (`try_to_map_unused_to_zeropage`).
    pub(super) fn restore_part(&self, part: Pfn, unused: bool) {
        self.restore_entries(part, part, unused);
    }

    fn restore_entries(&self, from: Pfn, to: Pfn, unused: bool) {
        let page = &self.frames[to];
        // Of both: who waits for the entry sleeps on the source's lock, and who finds the destination must not
        // move it.
        self.frames[from].expect_locked();
        page.expect_locked();
        let folio = Folio { head: to, large: page.order() > 0 };
        self.rmap_entries(to, |area, index, pfn| {
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

    /// Takes every mapping of a locked page away (`try_to_unmap`). With `poison` each leaves a poisoned entry, on
    /// which later accesses fault; else nothing, and the next access finds the page again, or what is left of
    /// it. Whether the page was accessed is of no interest any more; what was dirty makes the page dirty. The
    /// caller holds a reference; afterwards nobody is inside an access through an old entry.
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

    /// Takes the accessed mark off every mapping of a locked page and says how many had it
    /// (`folio_referenced`); `None`, and the walk over, at a mapping that is locked into memory. Without a flush: an
    /// access that is under way marks nothing that it has not marked already.
    pub(super) fn page_referenced(&self, pfn: Pfn) -> Option<u32> {
        let mut used = Some(0);
        self.rmap_entries(pfn, |area, index, pfn| {
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
        });
        used
    }

    /// Accounts for one more entry that maps a part of a page: a reference, a mapping, `nr_anon_pages` with the first.
    /// The caller holds a reference and the entry's lock.
    #[inline]
    fn mapped(&self, folio: Folio, pfn: Pfn) {
        self.frames[folio.head].get(folio.head);
        if self.frames.add_mapping(folio, pfn) {
            self.count_mapped(folio.head, 1);
        }
    }

    /// Accounts for one entry less of the base page `pfn` and drops its reference, which is not the last one.
    #[inline]
    pub(super) fn unmapped(&self, pfn: Pfn, old: Pte, locked: bool) {
        self.unmapped_part(Folio::base(pfn), pfn, old, locked);
    }

    /// The same for a part of a page.
    #[inline]
    fn unmapped_part(&self, folio: Folio, pfn: Pfn, old: Pte, locked: bool) {
        let head = folio.head;
        self.note_dirty(head, old);
        self.remove_mapping_of(folio, pfn);
        if locked {
            self.munlock_page(head);
            self.mlock_drain_local();
        }
        self.put(head);
    }

    /// Accounts for one entry less; its reference is still to be put.
    #[inline]
    pub(super) fn remove_mapping_of(&self, folio: Folio, pfn: Pfn) {
        if self.frames.remove_mapping(folio, pfn) {
            self.count_mapped(folio.head, -1);
        }
    }

    /// A large page of which a part is mapped no more, but others are, waits to be split. The entry's lock is the
    /// caller's.
    #[inline]
    pub(super) fn note_partial(&self, folio: Folio, pfn: Pfn) {
        if self.frames[pfn].mapcount() == 0 && self.frames.folio_mapcount(folio) > 0 {
            self.frames.queue_split(folio);
        }
    }

    /// A dirty entry makes a dirty page.
    #[inline]
    pub(super) fn note_dirty(&self, pfn: Pfn, old: Pte) {
        if old.has(Pte::DIRTY) {
            self.set_page_dirty(pfn);
        }
    }

    /// Marks a page newer than its backing store (`folio_mark_dirty`). The caller has a reference that
    /// keeps the page where it is; the page lock is not needed, but who begins a write-back has it.
    #[inline]
    pub(crate) fn set_page_dirty(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        let word = page.word();
        // Written to anew: the end of a write-back is no reason any more to reclaim it first (recording m0239/9).
        if word.has(Flags::RECLAIM) && word.any(Flags::FILE | Flags::SWAPCACHE) {
            page.clear(Flags::RECLAIM);
        }
        if !word.has(Flags::DIRTY) {
            self.set_buffer_dirty(pfn);
        }
    }

    /// The same for who writes into a buffer of the page (`mark_buffer_dirty`): what reclaim thinks of the page is left
    /// to it (recording g61116/20).
    pub(crate) fn set_buffer_dirty(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        if page.word().has(Flags::DIRTY) {
            return;
        }
        // One step decides both whether the mark is new and whether the page is a file's now: who takes a
        // page out of its file takes both marks off in one step too, so each `+1` has its `-1`.
        let old = page.set(Flags::DIRTY);
        if !old.has(Flags::DIRTY) {
            self.count_dirty(pfn, old, 1);
        }
    }

    /// Adds to `nr_dirty` for a page with this word: of files that have a backing store to write to.
    #[inline]
    pub(crate) fn count_dirty(&self, pfn: Pfn, word: Word, sign: i64) {
        if word.has(Flags::FILE) && !word.has(Flags::SWAPBACKED) {
            self.stats.node(self.node_of(pfn), NodeItem::FileDirty, sign);
        }
    }

    /// Adds base pages of this page to the node's count of mapped pages.
    #[inline]
    pub(crate) fn count_mapped(&self, head: Pfn, pages: i64) {
        let item = match self.frames[head].word().has(Flags::ANON) {
            true => NodeItem::AnonPages,
            false => NodeItem::FileMapped,
        };
        self.stats.node(self.node_of(head), item, pages);
    }
}
