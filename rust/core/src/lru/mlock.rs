//! mlock and the unevictable list (lifecycle 5.7).
//!
//! `MLOCKED` is set at once; the page's way to the unevictable list, or back, goes through a batch. A
//! page on the unevictable list counts how many mappings lock it, in a link that no list needs: the
//! list itself is only a counter. An isolation forgets the number; whoever puts the page on a list again
//! starts with none.
//!
//! # What can go wrong
//!
//! A page that is isolated while it is unlocked for the last time cannot be moved: it is *stranded*, with
//! `MLOCKED` clear, until somebody puts it on a list, where it is looked at again.

use super::batch::Mlock;
#[cfg(feature = "explored")]
use super::watch;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use crate::sync::Ordering;

impl<R: Release> Machine<R> {
    /// A page is mapped into a locked area, or its area is locked (`mlock_folio`).
    pub(crate) fn mlock_page(&self, pfn: Pfn) {
        self.note_mlocked(pfn);
        self.lru_queue_mlock(pfn, Mlock::Lock);
    }

    /// A fresh page is mapped into a locked area: instead of the add batch (`mlock_new_folio`).
    pub(crate) fn mlock_new_page(&self, pfn: Pfn) {
        self.note_mlocked(pfn);
        self.lru_queue_mlock(pfn, Mlock::New);
    }

    /// A mapping in a locked area is gone, or its area is unlocked (`munlock_folio`).
    pub(crate) fn munlock_page(&self, pfn: Pfn) {
        self.lru_queue_mlock(pfn, Mlock::Unlock);
    }

    fn note_mlocked(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        if !page.set(Flags::MLOCKED).has(Flags::MLOCKED) {
            let pages = 1i64 << page.order();
            self.stats.node(self.node_of(pfn), NodeItem::Mlock, pages);
            self.stats.event(Event::UnevictableMlocked, pages);
        }
    }

    fn lru_queue_mlock(&self, pfn: Pfn, what: Mlock) {
        let page = &self.frames[pfn];
        page.get(pfn);
        let cpu = self.cpu();
        let mut batches = self.cpus[cpu].batches.lock();
        let full = batches.push_mlock(pfn, what, self.profile.pagevec as usize);
        #[cfg(feature = "explored")]
        watch::queued(cpu, pfn, watch::For::Mlock);
        // Relaxed: as in `lru_add`.
        if full || page.order() > 0 || self.lru_disabled.load(Ordering::Relaxed) > 0 {
            let pages = batches.take_mlock();
            self.lru_mlock(cpu, &pages);
            drop(batches);
            self.put_mlocked(&pages);
        }
    }

    /// Drains this CPU's mlock batch alone (`mlock_drain_local`).
    pub(crate) fn mlock_drain_local(&self) {
        let cpu = self.cpu();
        let mut batches = self.cpus[cpu].batches.lock();
        let pages = batches.take_mlock();
        self.lru_mlock(cpu, &pages);
        drop(batches);
        self.put_mlocked(&pages);
    }

    /// Drops the batch's references. After the locks.
    pub(super) fn put_mlocked(&self, pages: &[(Pfn, Mlock)]) {
        let pages: Vec<Pfn> = pages.iter().map(|&(pfn, _)| pfn).collect();
        if !pages.is_empty() {
            self.put_all(&pages);
        }
    }

    /// Settles the pages of this CPU's mlock batch. The batch lock is held.
    pub(super) fn lru_mlock(
        &self,
        #[cfg_attr(not(feature = "explored"), expect(unused_variables, reason = "for the watch"))] cpu: usize,
        pages: &[(Pfn, Mlock)],
    ) {
        for &(pfn, what) in pages {
            #[cfg(feature = "explored")]
            watch::settled(cpu, pfn, watch::For::Mlock);
            match what {
                Mlock::Lock => self.settle_mlocked(pfn),
                Mlock::New => self.settle_mlocked_new(pfn),
                Mlock::Unlock => self.settle_munlocked(pfn),
            }
        }
    }

    fn settle_mlocked(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        // The lock first: nobody is half-way through putting the page on a list by what it was before.
        let mut lruvec = self.nodes[self.node_of(pfn)].lruvec.lock();
        if !page.test_and_clear_lru() {
            // Isolated: whoever puts it on a list sees `MLOCKED`.
            return;
        }
        let pages = 1i64 << page.order();
        let word = page.word();
        let (locked, unevictable) = (word.has(Flags::MLOCKED), word.has(Flags::UNEVICTABLE));
        if !locked && unevictable {
            // Unlocked since.
            lruvec.remove(&self.frames, pfn);
            page.clear(Flags::UNEVICTABLE);
            lruvec.relink(&self.frames, pfn);
            self.stats.event(Event::UnevictableRescued, pages);
        } else if !locked {
            page.set(Flags::LRU);
        } else if unevictable {
            page.set_mlock_count(page.mlock_count() + 1);
            page.set(Flags::LRU);
        } else {
            lruvec.remove(&self.frames, pfn);
            page.change(Flags::UNEVICTABLE, Flags::ACTIVE);
            lruvec.relink(&self.frames, pfn);
            page.set_mlock_count(1);
            self.stats.event(Event::UnevictableCulled, pages);
        }
    }

    fn settle_mlocked_new(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        let mut lruvec = self.nodes[self.node_of(pfn)].lruvec.lock();
        // It may have been unlocked since: then it goes where any page goes.
        let locked = page.word().has(Flags::MLOCKED);
        if locked {
            page.change(Flags::UNEVICTABLE, Flags::ACTIVE);
            self.stats.event(Event::UnevictableCulled, 1 << page.order());
        }
        lruvec.relink(&self.frames, pfn);
        if locked {
            page.set_mlock_count(1);
        }
    }

    fn settle_munlocked(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        let pages = 1i64 << page.order();
        // The lock first: as in `settle_mlocked`. (The kernel claims the page first, and may leave it on the wrong list.)
        let mut lruvec = self.nodes[self.node_of(pfn)].lruvec.lock();
        let claimed = page.test_and_clear_lru();
        if claimed && page.word().has(Flags::UNEVICTABLE) {
            // The number may be too low, since isolations forget it, but never too high.
            let count = page.mlock_count().saturating_sub(1);
            page.set_mlock_count(count);
            if count > 0 {
                page.set(Flags::LRU);
                return;
            }
        }
        let before = page.clear(Flags::MLOCKED);
        if before.has(Flags::MLOCKED) {
            self.stats.node(self.node_of(pfn), NodeItem::Mlock, -pages);
            let stranded = !claimed && before.has(Flags::UNEVICTABLE);
            let event = if stranded { Event::UnevictableStranded } else { Event::UnevictableMunlocked };
            self.stats.event(event, pages);
        }
        if !claimed {
            return;
        }
        // Looked at again after `MLOCKED` was cleared: somebody may lock it at this moment.
        let word = page.word();
        if word.has(Flags::UNEVICTABLE) && !word.has(Flags::MLOCKED) {
            lruvec.remove(&self.frames, pfn);
            page.clear(Flags::UNEVICTABLE);
            lruvec.relink(&self.frames, pfn);
            self.stats.event(Event::UnevictableRescued, pages);
        } else {
            page.set(Flags::LRU);
        }
    }
}
