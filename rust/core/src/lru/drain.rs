//! Drains the LRU batches, and switches them off.

use super::batch::LruMove;
use super::watch;
use crate::calls::Call;
use crate::machine::Machine;
use crate::release::Release;
use crate::sync::{Mutation, Ordering, broken, in_order, mutated};

impl<R: Release> Machine<R> {
    /// Drains the batches of one CPU (`lru_add_drain_cpu`). Ignores a CPU that the machine does not
    /// have.
    pub fn lru_drain_cpu(&self, cpu: usize) {
        let began = watch::next_step_if_checked();
        self.drain_cpu(cpu);
        self.expect_cpu_drained(cpu, began);
    }

    fn drain_cpu(&self, cpu: usize) {
        let cpu = if mutated(Mutation::DrainOfOwnCpu) { self.cpu() } else { cpu };
        let Some(context) = self.cpus.get(cpu) else { return };
        let mut batches = context.batches.lock();
        if batches.is_empty() {
            return;
        }
        batches.note_drain_start(cpu, watch::BatchKind::Add);
        let pages = batches.take_all();
        if mutated(Mutation::DrainPutsFirst) {
            self.put_all(&pages);
            return self.lru_insert(cpu, &pages);
        }
        self.lru_insert(cpu, &pages);
        if mutated(Mutation::PutUnderLruvecLock) {
            return;
        }
        let mut moved = Vec::new();
        let mut mlocked = Vec::new();
        if batches.has_moves() {
            for which in LruMove::ALL {
                batches.note_drain_start(cpu, watch::BatchKind::Move(which));
                let pages = batches.take_moves(which);
                self.lru_move(cpu, &pages, which);
                moved.extend(pages);
            }
            batches.note_drain_start(cpu, watch::BatchKind::Mlock);
            mlocked = batches.take_mlock();
            self.lru_mlock(cpu, &mlocked);
        }
        drop(batches);
        // The batches' references are put after both locks are released: a put here may be the last
        // one, and the last put takes the lruvec lock.
        self.put_all(&pages);
        if !moved.is_empty() {
            self.put_all(&moved);
        }
        self.put_mlocked(&mlocked);
    }

    /// Drains the calling thread's CPU (`lru_add_drain`).
    pub fn lru_drain_local(&self) {
        self.lru_drain_cpu(self.cpu());
    }

    /// Drains the batches of every CPU (`lru_add_drain_all`). The calling thread empties the
    /// batches itself and waits for no thread of another CPU. If another thread's drain of every
    /// CPU begins after this call did, this call waits until that drain has ended, and drains no
    /// CPU but its own.
    pub fn lru_drain_all(&self) {
        self.drain_all(false);
    }

    /// Performs [`Machine::lru_drain_all`]. With `force` the calling thread drains every CPU
    /// itself, even if another thread's drain began after this call did.
    fn drain_all(&self, force: bool) {
        // The number of drains is read. If an earlier drain, which passed our page's batch before
        // the page was queued, were missing in `seen`, the comparison below would take it for a
        // drain that began after this call, and the page would stay in its batch. Relaxed, here
        // and below, because the batch lock orders the two threads: that drain was counted before
        // it took and released the batch lock, and our page was queued under the same lock later.
        let seen = self.lru_drains.load(Ordering::Relaxed);
        // `began` is read after the first step of this call. The explorer runs the code before a
        // call's first step together with the thread's previous step; read there, `began` would
        // be too early, and pages that were queued in between would not be checked.
        let began = watch::now();
        // The own CPU is drained before the lock is taken, which leaves less to do under it.
        self.lru_drain_local();
        {
            let _alone = self.lru_drain.lock();
            // A changed number means that a drain began after `seen` was read. That drain has
            // ended, because this thread holds its lock, and it has emptied every batch of the
            // pages that were queued before it began.
            // Relaxed: as above; the lock that is held here orders earlier drains.
            if force || self.lru_drains.load(Ordering::Relaxed) == seen {
                // A drain is counted before it takes its first batch. If it were counted after its
                // last one, another thread could queue a page in a batch that this drain has
                // passed, and then read the old number. That thread would take this drain for one
                // that began later, and its page would stay in the batch (kernel 6446a5131e24).
                // Relaxed: as above. The batch locks that the drain takes next publish the number.
                let count = || _ = self.lru_drains.fetch_add(1, Ordering::Relaxed);
                let drain = || (0..self.cpus.len()).for_each(|cpu| self.lru_drain_cpu(cpu));
                in_order(Mutation::DrainCountedLate, count, drain);
            }
        }
        self.expect_drained(began);
    }

    /// Switches the batches off and drains them (`lru_cache_disable`). From then on a page that is
    /// queued goes to its list at once, until each call has been ended by a call of
    /// [`Machine::lru_cache_enable`].
    pub fn lru_cache_disable(&self) {
        self.calls(Call::LruCacheDisable);
        // Relaxed, because the batch locks order the race with a thread that queues a page. If that
        // thread still saw the batches switched on, it queued the page under a batch lock that the
        // drain below takes afterwards, so the page is drained. If it takes the lock after the
        // drain, it sees the counter.
        self.lru_disabled.fetch_add(1, Ordering::Relaxed);
        // The drain is forced, because this thread itself must take and release each batch lock
        // after it has raised the counter. Another thread's drain does not order the counter
        // before the next thread that queues a page, which could then still queue it in a batch.
        self.drain_all(true);
    }

    /// Ends one [`Machine::lru_cache_disable`].
    pub fn lru_cache_enable(&self) {
        self.expect_no_batches();
        // Relaxed: a thread that still sees the batches switched off puts its page on the list
        // earlier than necessary, which is harmless.
        if self.lru_disabled.fetch_sub(1, Ordering::Relaxed) == 0 {
            broken("lru_cache_enable without disable", format_args!("counter below zero"));
        }
    }
}
