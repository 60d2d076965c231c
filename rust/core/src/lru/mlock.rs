//! mlock and the unevictable list (lifecycle 5.7).
//!
//! An mlock sets `MLOCKED` at once; the page moves to the unevictable list, and back, through a
//! batch. A page on the unevictable list counts the mappings that lock it. The number is stored in
//! one of the page's list links, which is free because the unevictable list is only a counter. An
//! isolation loses the number; a page that is put on the list again starts with 0.
//!
//! # What can go wrong
//!
//! A page is isolated while its last munlock is drained. The drain cannot claim the page, so it
//! clears `MLOCKED` and leaves the page *stranded*: unevictable, although no mapping locks it. The
//! page becomes evictable when it is put on a list, because linking checks `MLOCKED` again.

use super::batch::Mlock;
use super::model::{self, Verb};
use super::watch;
use crate::machine::Machine;
use crate::page::{Flags, Pfn, reckon};
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use crate::sync::{Mutation, Ordering, mutated};

impl<R: Release> Machine<R> {
    /// Marks a page as mlocked, when it is mapped into a locked area or its area is locked
    /// (`mlock_folio`).
    pub(crate) fn mlock_page(&self, pfn: Pfn) {
        self.note_mlocked(pfn);
        self.lru_queue_mlock(pfn, Mlock::Lock);
    }

    /// Marks a fresh page in a locked area as mlocked, and queues it in the mlock batch instead of
    /// the add batch (`mlock_new_folio`).
    pub(crate) fn mlock_new_page(&self, pfn: Pfn) {
        self.note_mlocked(pfn);
        self.lru_queue_mlock(pfn, Mlock::New);
    }

    /// Queues a page whose mapping in a locked area has ended, or whose area is unlocked
    /// (`munlock_folio`).
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
        watch::queued(cpu, pfn, watch::BatchKind::Mlock);
        if what == Mlock::New {
            reckon::queued(page);
        }
        // Relaxed: as in `lru_add`.
        if full
            || (page.order() > 0 && !self.profile.large_batched)
            || self.lru_disabled.load(Ordering::Relaxed) > 0
        {
            batches.note_drain_start(cpu, watch::BatchKind::Mlock);
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
        batches.note_drain_start(cpu, watch::BatchKind::Mlock);
        let pages = batches.take_mlock();
        self.lru_mlock(cpu, &pages);
        drop(batches);
        self.put_mlocked(&pages);
    }

    /// Drops the references of a drained batch. The caller has released its locks: a put may be the
    /// last one, which takes the lruvec lock.
    pub(super) fn put_mlocked(&self, pages: &[(Pfn, Mlock)]) {
        let pages: Vec<Pfn> = pages.iter().map(|&(pfn, _)| pfn).collect();
        if !pages.is_empty() {
            self.put_all(&pages);
        }
    }

    /// Locks or unlocks the pages of a CPU's mlock batch. The caller holds the batch lock.
    pub(super) fn lru_mlock(&self, cpu: usize, pages: &[(Pfn, Mlock)]) {
        for &(pfn, what) in pages {
            watch::settled(cpu, pfn, watch::BatchKind::Mlock);
            model::drains(cpu, watch::BatchKind::Mlock.number(), pfn);
            match what {
                Mlock::Lock => self.settle_mlocked(pfn),
                Mlock::New => self.settle_mlocked_new(pfn),
                Mlock::Unlock => self.settle_munlocked(pfn),
            }
        }
        model::drain_ended(cpu, watch::BatchKind::Mlock.number());
    }

    fn settle_mlocked(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        // The lruvec lock is taken before the page is claimed. Another thread that links the page
        // by its flags holds this lock, so it has finished. Otherwise it could link the page by
        // flags that change here, and the page would be on the wrong list.
        let mut lruvec = self.nodes[self.node_of(pfn)].lruvec.lock();
        if !page.test_and_clear_lru() {
            // The page is isolated. The thread that puts it on a list will find `MLOCKED` set.
            return;
        }
        let pages = 1i64 << page.order();
        let word = page.word();
        let (locked, unevictable) = (word.has(Flags::MLOCKED), word.has(Flags::UNEVICTABLE));
        if !locked && unevictable {
            // The page was munlocked after it was queued.
            lruvec.remove(&self.frames, pfn);
            page.clear(Flags::UNEVICTABLE);
            lruvec.relink(&self.frames, pfn);
            lruvec.tell(&self.frames, Verb::Added, pfn);
            self.stats.event(Event::UnevictableRescued, pages);
        } else if !locked {
            page.set(Flags::LRU);
        } else if unevictable {
            page.set_mlock_count(page.mlock_count() + 1);
            page.set(Flags::LRU);
            if mutated(Mutation::CulledAgain) {
                self.stats.event(Event::UnevictableCulled, pages);
            }
        } else {
            lruvec.remove(&self.frames, pfn);
            page.change(Flags::UNEVICTABLE, Flags::ACTIVE);
            lruvec.relink(&self.frames, pfn);
            lruvec.tell(&self.frames, Verb::Removed, pfn);
            page.set_mlock_count(1);
            self.stats.event(Event::UnevictableCulled, pages);
        }
    }

    fn settle_mlocked_new(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        let mut lruvec = self.nodes[self.node_of(pfn)].lruvec.lock();
        // A page that was munlocked after it was queued goes to the list that its other flags name.
        let locked = page.word().has(Flags::MLOCKED);
        if locked {
            page.change(Flags::UNEVICTABLE, Flags::ACTIVE);
            self.stats.event(Event::UnevictableCulled, 1 << page.order());
        }
        lruvec.relink(&self.frames, pfn);
        lruvec.tell(&self.frames, Verb::Added, pfn);
        if locked {
            page.set_mlock_count(1);
        }
    }

    fn settle_munlocked(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        let pages = 1i64 << page.order();
        // The lruvec lock is taken first, as in `settle_mlocked`. (The kernel claims the page
        // first, and may leave it on the wrong list.)
        let mut lruvec = self.nodes[self.node_of(pfn)].lruvec.lock();
        let claimed = page.test_and_clear_lru();
        if claimed && page.word().has(Flags::UNEVICTABLE) {
            // The number of mlocks may be too low, because an isolation loses it, but it is never
            // too high.
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
        // The word is read again after `MLOCKED` was cleared: another thread may have mlocked the
        // page in between, and then the page must stay unevictable.
        let word = page.word();
        if word.has(Flags::UNEVICTABLE) && !word.has(Flags::MLOCKED) {
            lruvec.remove(&self.frames, pfn);
            page.clear(Flags::UNEVICTABLE);
            lruvec.relink(&self.frames, pfn);
            lruvec.tell(&self.frames, Verb::Added, pfn);
            self.stats.event(Event::UnevictableRescued, pages);
        } else {
            page.set(Flags::LRU);
        }
    }
}
