//! The reverse map: from a page to the entries that map it, and to migration entries and back
//! (lifecycle 6.3 steps 7 and 12, 6.8).

use super::{Area, Pte};
use crate::machine::Machine;
use crate::owner::{Owner, OwnerId};
use crate::page::{Flags, PIN, Page, Pfn, Word};
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

    /// Replaces every mapping of a locked page by a migration entry (`try_to_migrate`). The flush is
    /// the caller's, before any byte is copied. True if nothing maps the page any more.
    ///
    /// Stops at a mapping whose exclusive page may be pinned: its user would go on with the old frame.
    pub(crate) fn unmap_to_migration(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        page.expect_locked();
        self.rmap_walk(page, |area, index| {
            let Some(guard) = area.lock_if_maps(index, |pte| pte.maps(pfn)) else { return true };
            let exclusive = page.word().has(Flags::ANON_EXCLUSIVE);
            if exclusive {
                if page.count() >= PIN {
                    // The entry stays as it is, but for its dirty bit: the kernel has cleared the entry by
                    // now and told the page (recording h03/5). What was replaced so far is restored by
                    // the caller.
                    self.note_dirty(pfn, area.look(index));
                    return false;
                }
                page.clear(Flags::ANON_EXCLUSIVE);
            }
            let mark = if exclusive { Pte::EXCLUSIVE } else { 0 };
            let old = guard.finish_with(|old| Pte::migration(pfn, old.bits(REMEMBERED) | mark));
            self.unmapped(pfn, old, area.locked(index));
            true
        });
        page.mapcount() == 0
    }

    /// Points every migration entry of `from` to `to` (`remove_migration_ptes`); each restored entry
    /// takes a reference and a mapping. With `to == from` the mappings are put back as they were.
    pub(crate) fn restore_mappings(&self, from: Pfn, to: Pfn) {
        let page = &self.frames[to];
        // Of both: who waits for the entry sleeps on the source's lock, and who finds the destination must not
        // move it.
        self.frames[from].expect_locked();
        page.expect_locked();
        self.rmap_walk(page, |area, index| {
            let Some(guard) = area.lock_if_maps(index, |pte| pte.migrates(from)) else { return true };
            let old = guard.pte();
            if old.has(Pte::EXCLUSIVE) {
                page.set(Flags::ANON_EXCLUSIVE);
            }
            self.mapped(to);
            if area.locked(index) {
                self.mlock_page(to);
                self.mlock_drain_local();
            }
            guard.finish(Pte::present(to, old.bits(REMEMBERED)));
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
                let old = guard.finish(if poison { Pte::hwpoison(pfn) } else { Pte::NONE });
                self.unmapped(pfn, old, area.locked(index));
            }
            true
        });
        self.tlb.flush();
    }

    /// Takes the accessed mark off every mapping of a locked page and says how many had it
    /// (`folio_referenced`); `None`, and the walk over, at a mapping that is locked into memory. Without a flush: an
    /// access that is under way marks nothing that it has not marked already.
    pub(super) fn page_referenced(&self, pfn: Pfn) -> Option<u32> {
        let page = &self.frames[pfn];
        let mut used = Some(0);
        self.rmap_walk(page, |area, index| {
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

    /// Accounts for one more entry that maps `pfn`: a reference, a mapping, `nr_anon_pages` with the
    /// first. The caller holds a reference and the entry's lock.
    #[inline]
    pub(crate) fn mapped(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        page.get(pfn);
        if page.add_mapping() == 0 {
            self.count_mapped(pfn, 1);
        }
    }

    /// Accounts for one entry less and drops its reference, which is not the last one.
    #[inline]
    pub(super) fn unmapped(&self, pfn: Pfn, old: Pte, locked: bool) {
        let page = &self.frames[pfn];
        self.note_dirty(pfn, old);
        if page.remove_mapping(pfn) == 0 {
            self.count_mapped(pfn, -1);
        }
        if locked {
            self.munlock_page(pfn);
            self.mlock_drain_local();
        }
        self.put(pfn);
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

    /// Adds to the node's count of mapped pages.
    #[inline]
    pub(crate) fn count_mapped(&self, pfn: Pfn, sign: i64) {
        let page = &self.frames[pfn];
        let item = match page.word().has(Flags::ANON) {
            true => NodeItem::AnonPages,
            false => NodeItem::FileMapped,
        };
        self.stats.node(self.node_of(pfn), item, sign << page.order());
    }
}
