//! Moves pages from one list to another: activation, deactivation, lazy freeing, rotation
//! (lifecycle 5.2, 5.4).
//!
//! A page that is to move waits in a batch and stays on its list. The drain claims the page by
//! clearing `LRU`, as an isolation does. If another thread has cleared `LRU` first, the page
//! belongs to that thread, and the drain leaves it alone.

use super::batch::LruMove;
use super::model::{self, Verb};
use super::watch;
use crate::calls::Call;
use crate::machine::Machine;
use crate::page::reckon::{self, Drained};
use crate::page::{Flags, Pfn, Word};
use crate::profile::LruPolicy;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, Ordering, mutated};

impl<R: Release> Machine<R> {
    /// Queues a page that is on a list for a move. The caller holds a reference; the batch takes
    /// one of its own.
    pub(crate) fn lru_queue_move(&self, pfn: Pfn, which: LruMove) {
        let page = &self.frames[pfn];
        page.get(pfn);
        let cpu = self.cpu();
        let mut batches = self.cpus[cpu].batches.lock();
        let full = batches.push_move(which, pfn, self.profile.pagevec as usize);
        watch::queued(cpu, pfn, watch::BatchKind::Move(which));
        // Relaxed: as in `lru_add`.
        if full
            || (page.order() > 0 && !self.profile.large_batched)
            || self.lru_disabled.load(Ordering::Relaxed) > 0
        {
            batches.note_drain_start(cpu, watch::BatchKind::Move(which));
            let pages = batches.take_moves(which);
            self.lru_move(cpu, &pages, which);
            drop(batches);
            self.put_all(&pages);
        }
    }

    /// Moves the pages of one batch of a CPU. The caller holds the batch lock.
    pub(super) fn lru_move(&self, cpu: usize, pages: &[Pfn], which: LruMove) {
        reckon::note_drain_start(match which {
            LruMove::Deactivate => {
                Drained::Deactivation { generations: self.profile.lru_policy == LruPolicy::Mglru }
            }
            LruMove::DeactivateFile => Drained::OfFiles,
            _ => Drained::Another,
        });
        for (node, run) in self.by_node(pages) {
            let mut lruvec = node.lruvec.lock();
            for &pfn in run {
                watch::settled(cpu, pfn, watch::BatchKind::Move(which));
                model::drains(cpu, watch::BatchKind::Move(which).number(), pfn);
                let page = &self.frames[pfn];
                if !page.test_and_clear_lru() {
                    continue;
                }
                let word = page.word();
                let pages = 1i64 << page.order();
                let evictable = !word.has(Flags::UNEVICTABLE);
                let moved = match which {
                    LruMove::Activate
                        if evictable && (!word.has(Flags::ACTIVE) || mutated(Mutation::ActivatedTwice)) =>
                    {
                        lruvec.remove(&self.frames, pfn);
                        page.set(Flags::ACTIVE);
                        lruvec.relink(&self.frames, pfn);
                        self.calls_on(Call::MmLruActivate, pfn);
                        let one = mutated(Mutation::ActivationCountsOne);
                        self.stats.event(Event::Pgactivate, if one { 1 } else { pages });
                        Verb::Activated(word)
                    }
                    LruMove::Deactivate if evictable && self.is_young(word) => {
                        lruvec.remove(&self.frames, pfn);
                        page.clear(Flags::ACTIVE | Flags::REFERENCED);
                        lruvec.relink(&self.frames, pfn);
                        self.stats.event(Event::Pgdeactivate, pages);
                        Verb::Deactivated
                    }
                    LruMove::Lazyfree
                        if evictable
                            && word.has(Flags::ANON | Flags::SWAPBACKED)
                            && !word.has(Flags::SWAPCACHE) =>
                    {
                        lruvec.remove(&self.frames, pfn);
                        // Without `SWAPBACKED` the page counts as a file page and goes to the
                        // inactive list of files.
                        page.clear(Flags::ACTIVE | Flags::REFERENCED | Flags::SWAPBACKED);
                        lruvec.relink(&self.frames, pfn);
                        self.stats.event(Event::Pglazyfree, pages);
                        Verb::Deactivated
                    }
                    LruMove::Rotate if evictable => {
                        lruvec.remove(&self.frames, pfn);
                        page.clear(Flags::ACTIVE);
                        match mutated(Mutation::RotatedToHead) {
                            true => lruvec.relink(&self.frames, pfn),
                            false => lruvec.relink_tail(&self.frames, pfn),
                        }
                        self.stats.event(Event::Pgrotated, pages);
                        Verb::Rotated
                    }
                    LruMove::DeactivateFile if evictable && page.mapcount() == 0 => {
                        lruvec.remove(&self.frames, pfn);
                        page.clear(Flags::ACTIVE | Flags::REFERENCED);
                        if word.any(Flags::DIRTY | Flags::WRITEBACK) {
                            page.set(Flags::RECLAIM);
                            lruvec.relink(&self.frames, pfn);
                        } else {
                            lruvec.relink_tail(&self.frames, pfn);
                            self.stats.event(Event::Pgrotated, pages);
                        }
                        if word.has(Flags::ACTIVE) || mutated(Mutation::InactiveDeactivated) {
                            self.stats.event(Event::Pgdeactivate, pages);
                        }
                        Verb::FileDeactivated(word)
                    }
                    _ => {
                        page.set(Flags::LRU);
                        continue;
                    }
                };
                lruvec.tell(&self.frames, moved, pfn);
            }
        }
        reckon::note_drain_end();
        model::drain_ended(cpu, watch::BatchKind::Move(which).number());
    }

    /// Marks a page as accessed, after an access that used no page table entry, such as a read of
    /// its file (`folio_mark_accessed`). Under the policy `two_list`:
    ///
    /// | before | effect |
    /// |---|---|
    /// | unreferenced | `REFERENCED` is set |
    /// | referenced, inactive, on a list | queued for activation, `REFERENCED` is cleared |
    /// | referenced, inactive, in this CPU's add batch | `ACTIVE` is set, `REFERENCED` is cleared |
    /// | referenced, inactive, elsewhere | `REFERENCED` is cleared |
    /// | active and referenced; unevictable and referenced | nothing |
    ///
    /// Under `mglru` the access is counted, up to four times. Under `fifo` and `clock` only
    /// `REFERENCED` is set. Under `lru` a listed page is also queued for the head of its list. Every
    /// policy clears `IDLE`.
    pub fn mark_page_accessed(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        let word = page.word();
        let unmarked = !word.has(Flags::REFERENCED);
        if self.profile.lru_policy == LruPolicy::Mglru {
            page.note_access();
        } else if unmarked {
            page.set(Flags::REFERENCED);
        }
        match self.profile.lru_policy {
            LruPolicy::TwoList if !unmarked && !word.any(Flags::UNEVICTABLE | Flags::ACTIVE) => {
                self.activate_accessed(pfn, word);
            }
            LruPolicy::Lru if word.has(Flags::LRU) && !word.has(Flags::UNEVICTABLE) => {
                self.lru_queue_move(pfn, LruMove::Activate);
            }
            _ => {}
        }
        if word.has(Flags::IDLE) {
            page.clear(Flags::IDLE);
        }
    }

    /// Activates an inactive page that is accessed again after it was marked referenced.
    fn activate_accessed(&self, pfn: Pfn, word: Word) {
        let page = &self.frames[pfn];
        if word.has(Flags::LRU) {
            self.lru_queue_move(pfn, LruMove::Activate);
        } else {
            // `ACTIVE` is set only on a page in this CPU's add batch, under the batch lock. A page
            // in another CPU's batch could be linked at this moment; it would then be on the
            // inactive list while its flags name the active one.
            let batches = self.cpus[self.cpu()].batches.lock();
            // `UNEVICTABLE` is read again under the lock: the page may have been mlocked since the
            // first read, and wait in the batch for its way back to the unevictable list.
            if batches.adds(pfn) && !page.word().has(Flags::UNEVICTABLE) {
                page.set(Flags::ACTIVE);
            }
        }
        page.clear(Flags::REFERENCED);
        if self.profile.anon_workingset || !word.has(Flags::SWAPBACKED) {
            self.age_nonresident(pfn);
        }
    }

    /// Queues a page of an inactive list for the active list (`activate_page`). A page that still waits for
    /// its list is left alone, and so is every page under another policy than `two_list`.
    pub(crate) fn activate_page(&self, pfn: Pfn) {
        let word = self.frames[pfn].word();
        let inactive = word.has(Flags::LRU) && !word.any(Flags::ACTIVE | Flags::UNEVICTABLE);
        if inactive && self.profile.lru_policy == LruPolicy::TwoList {
            self.lru_queue_move(pfn, LruMove::Activate);
        }
    }

    /// Queues a page for the tail of the inactive list, where reclaim takes it next. Called at the end
    /// of a writeback that reclaim began and did not wait for (`folio_rotate_reclaimable`). The caller
    /// holds a reference.
    pub(crate) fn rotate_reclaimable(&self, pfn: Pfn) {
        let word = self.frames[pfn].word();
        // A page that is locked or dirty again is in use, and keeps its place.
        if word.has(Flags::LRU) && !word.any(Flags::LOCKED | Flags::DIRTY | Flags::UNEVICTABLE) {
            self.lru_queue_move(pfn, LruMove::Rotate);
        }
    }

    /// Returns true if a listed page may be active. Under `mglru` the word of a listed page does not
    /// show its age, so the answer is always true.
    fn is_young(&self, word: Word) -> bool {
        word.has(Flags::ACTIVE) || self.profile.lru_policy == LruPolicy::Mglru
    }

    /// Queues an active page for the inactive list (`folio_deactivate`).
    pub(crate) fn deactivate_page(&self, pfn: Pfn) {
        let word = self.frames[pfn].word();
        if word.has(Flags::LRU) && self.is_young(word) && !word.has(Flags::UNEVICTABLE) {
            self.lru_queue_move(pfn, LruMove::Deactivate);
        }
    }

    /// Queues for the inactive list a page of a file that could not be dropped. Reclaim takes it
    /// there once it is clean and no entry maps it (`deactivate_file_folio`).
    pub(crate) fn deactivate_file_page(&self, pfn: Pfn) {
        if !self.frames[pfn].word().has(Flags::UNEVICTABLE) {
            self.lru_queue_move(pfn, LruMove::DeactivateFile);
        }
    }

    /// Queues an anonymous page to be freed without being written (`folio_mark_lazyfree`).
    pub(crate) fn mark_page_lazyfree(&self, pfn: Pfn) {
        let word = self.frames[pfn].word();
        if word.has(Flags::LRU | Flags::ANON | Flags::SWAPBACKED)
            && !word.any(Flags::SWAPCACHE | Flags::UNEVICTABLE)
        {
            self.lru_queue_move(pfn, LruMove::Lazyfree);
        }
    }
}
