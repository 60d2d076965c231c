//! From one list to another: activation, deactivation, lazy freeing, rotation (lifecycle 5.2, 5.4).
//!
//! A page that is to move waits in a batch and stays on its list. When the batch is drained, the page is
//! claimed by clearing `LRU`, as an isolation claims it: if somebody else was faster, it is not ours to
//! move.

use super::batch::LruMove;
#[cfg(feature = "explored")]
use super::watch;
use crate::calls::Call;
use crate::machine::Machine;
use crate::page::{Flags, Pfn, Word};
use crate::profile::LruPolicy;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::Ordering;

impl<R: Release> Machine<R> {
    /// Queues a page that is on a list for a move. The caller holds a reference; the batch takes one of
    /// its own.
    pub(crate) fn lru_queue_move(&self, pfn: Pfn, which: LruMove) {
        let page = &self.frames[pfn];
        page.get(pfn);
        let cpu = self.cpu();
        let mut batches = self.cpus[cpu].batches.lock();
        let full = batches.push_move(which, pfn, self.profile.pagevec as usize);
        #[cfg(feature = "explored")]
        watch::queued(cpu, pfn, watch::For::Move(which));
        // Relaxed: as in `lru_add`.
        if full || page.order() > 0 || self.lru_disabled.load(Ordering::Relaxed) > 0 {
            let pages = batches.take_moves(which);
            self.lru_move(cpu, &pages, which);
            drop(batches);
            self.put_all(&pages);
        }
    }

    /// Moves the pages of a batch of this CPU. The batch lock is held.
    pub(super) fn lru_move(
        &self,
        #[cfg_attr(not(feature = "explored"), expect(unused_variables, reason = "for the watch"))] cpu: usize,
        pages: &[Pfn],
        which: LruMove,
    ) {
        for run in pages.chunk_by(|&a, &b| self.node_of(a) == self.node_of(b)) {
            let mut lruvec = self.nodes[self.node_of(run[0])].lruvec.lock();
            for &pfn in run {
                #[cfg(feature = "explored")]
                watch::settled(cpu, pfn, watch::For::Move(which));
                let page = &self.frames[pfn];
                if !page.test_and_clear_lru() {
                    continue;
                }
                let word = page.word();
                let pages = 1i64 << page.order();
                let evictable = !word.has(Flags::UNEVICTABLE);
                match which {
                    LruMove::Activate if evictable && !word.has(Flags::ACTIVE) => {
                        lruvec.remove(&self.frames, pfn);
                        page.set(Flags::ACTIVE);
                        lruvec.relink(&self.frames, pfn);
                        self.calls_on(Call::MmLruActivate, pfn);
                        self.stats.event(Event::Pgactivate, pages);
                    }
                    LruMove::Deactivate if evictable && self.is_young(word) => {
                        lruvec.remove(&self.frames, pfn);
                        page.clear(Flags::ACTIVE | Flags::REFERENCED);
                        lruvec.relink(&self.frames, pfn);
                        self.stats.event(Event::Pgdeactivate, pages);
                    }
                    LruMove::Lazyfree
                        if evictable
                            && word.has(Flags::ANON | Flags::SWAPBACKED)
                            && !word.has(Flags::SWAPCACHE) =>
                    {
                        lruvec.remove(&self.frames, pfn);
                        // No longer backed by swap: a file page as far as the lists are concerned.
                        page.clear(Flags::ACTIVE | Flags::REFERENCED | Flags::SWAPBACKED);
                        lruvec.relink(&self.frames, pfn);
                        self.stats.event(Event::Pglazyfree, pages);
                    }
                    LruMove::Rotate if evictable => {
                        lruvec.remove(&self.frames, pfn);
                        page.clear(Flags::ACTIVE);
                        lruvec.relink_tail(&self.frames, pfn);
                        self.stats.event(Event::Pgrotated, pages);
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
                        if word.has(Flags::ACTIVE) {
                            self.stats.event(Event::Pgdeactivate, pages);
                        }
                    }
                    _ => {
                        page.set(Flags::LRU);
                    }
                }
            }
        }
    }

    /// A page was accessed by other means than through a mapping's entry (`folio_mark_accessed`). Of the policy
    /// `two_list`:
    ///
    /// | before | effect |
    /// |---|---|
    /// | unreferenced | `REFERENCED` |
    /// | referenced, inactive, on a list | queued for activation, unreferenced |
    /// | referenced, inactive, in this CPU's add batch | `ACTIVE` there, unreferenced |
    /// | referenced, inactive, elsewhere | unreferenced |
    /// | active and referenced; unevictable and referenced | nothing |
    ///
    /// Of `mglru` it is counted, up to four times. Of `fifo` and `clock` the mark is all there is. Of `lru` a page on a list is queued for its front.
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

    /// A referenced, inactive page is accessed again.
    fn activate_accessed(&self, pfn: Pfn, word: Word) {
        let page = &self.frames[pfn];
        if word.has(Flags::LRU) {
            self.lru_queue_move(pfn, LruMove::Activate);
        } else {
            // Only here: marked active in another CPU's batch, it could be linked at that moment, and
            // then be on a list that its flags do not say.
            let batches = self.cpus[self.cpu()].batches.lock();
            // Looked at once more: it may have been locked into memory since, and be on its way back.
            if batches.adds(pfn) && !page.word().has(Flags::UNEVICTABLE) {
                page.set(Flags::ACTIVE);
            }
        }
        page.clear(Flags::REFERENCED);
        self.age_nonresident(pfn);
    }

    /// The write that reclaim did not wait for has ended: the page is queued for the tail of the inactive list, where
    /// reclaim takes it next (`folio_rotate_reclaimable`). The caller has a reference.
    pub(crate) fn rotate_reclaimable(&self, pfn: Pfn) {
        let word = self.frames[pfn].word();
        // Locked or dirty anew: somebody has other plans with it.
        if word.has(Flags::LRU) && !word.any(Flags::LOCKED | Flags::DIRTY | Flags::UNEVICTABLE) {
            self.lru_queue_move(pfn, LruMove::Rotate);
        }
    }

    /// Might a page on a list be active? Of `mglru` its word does not say.
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

    /// A page of a file that could not be dropped is queued for the inactive list, to be reclaimed as soon as nothing
    /// maps it and it is clean (`deactivate_file_folio`).
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
