//! Puts pages on the LRU lists. A page waits in the add batch first; a drain links it.

use super::lruvec::Evictability;
use super::model::{self, Verb};
use super::watch;
use crate::calls::Call;
use crate::machine::Machine;
use crate::page::{Pfn, reckon};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, Ordering, mutated};

impl<R: Release> Machine<R> {
    /// Queues a page that is on no list for its LRU list (`lru_cache_add`). The caller holds a
    /// reference; the batch takes one of its own.
    #[inline]
    pub fn lru_add(&self, pfn: Pfn) {
        self.lru_add_all(&[pfn]);
    }

    /// Queues pages as [`Machine::lru_add`] does, one after the other.
    #[inline]
    pub(crate) fn lru_add_all(&self, pages: &[Pfn]) {
        if !mutated(Mutation::BatchWithoutReference) {
            pages.iter().for_each(|&pfn| self.frames[pfn].get(pfn));
        }
        self.lru_queue(pages);
    }

    /// Queues pages one after the other. The caller gives one of its references on each page to the batch.
    /// The lock of the batch is taken once for as many pages as the batch has room for.
    #[inline]
    pub(super) fn lru_queue(&self, pages: &[Pfn]) {
        let cpu = self.cpu();
        let (pagevec, large_alone) = (usize::from(self.profile.pagevec), !self.profile.large_batched);
        let mut left = pages.iter();
        while !left.as_slice().is_empty() {
            let mut batches = self.cpus[cpu].batches.lock();
            // The counter is read under the batch lock. If it were read before, `lru_cache_disable`
            // could drain between the read and the push, and the page would stay in the batch.
            // Relaxed, because the lock orders the two threads: a page that is queued before the
            // drain takes the lock is drained, and a thread that takes the lock after the drain
            // sees the counter.
            let disabled = self.lru_disabled.load(Ordering::Relaxed) > 0;
            let full = left.by_ref().any(|&pfn| {
                let full = batches.push(pfn, pagevec);
                watch::queued(cpu, pfn, watch::BatchKind::Add);
                reckon::queued(&self.frames[pfn]);
                full || (large_alone && self.frames[pfn].order() > 0)
            });
            if full || disabled {
                batches.note_drain_start(cpu, watch::BatchKind::Add);
                let listed = batches.take_all();
                self.lru_insert(cpu, &listed);
                drop(batches);
                self.put_all(&listed);
            }
        }
    }

    /// Puts the pages of a CPU's add batch on their lists. The caller holds the batch lock all the
    /// while. Otherwise a second drain could find the batch empty, and end while the pages are
    /// still on no list.
    pub(super) fn lru_insert(&self, cpu: usize, pages: &[Pfn]) {
        let backwards: Vec<Pfn>;
        let pages = match mutated(Mutation::BatchDrainedBackwards) {
            true => {
                backwards = pages.iter().rev().copied().collect();
                &backwards
            }
            false => pages,
        };
        for (node, run) in self.by_node(pages) {
            let mut lruvec = node.lruvec.lock();
            for &pfn in run {
                let evictability = lruvec.add(&self.frames, pfn);
                self.calls_on(Call::MmLruInsertion, pfn);
                watch::settled(cpu, pfn, watch::BatchKind::Add);
                model::drains(cpu, watch::BatchKind::Add.number(), pfn);
                lruvec.tell(&self.frames, Verb::Added, pfn);
                if mutated(Mutation::PutUnderLruvecLock) {
                    self.put(pfn);
                }
                let event = match evictability {
                    Evictability::Kept => continue,
                    Evictability::Rescued => Event::UnevictableRescued,
                    Evictability::Culled => Event::UnevictableCulled,
                };
                self.stats.event(event, 1 << self.frames[pfn].order());
            }
        }
        model::drain_ended(cpu, watch::BatchKind::Add.number());
    }
}
