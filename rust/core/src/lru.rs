//! LRU lists, per-CPU batches, isolation and putback (lifecycle 5).
//!
//! # A page's way
//!
//! ```text
//!                 lru_add: +1 (batch)         drain: LRU set, -1
//!   allocated  -----------------------> batch --------------------> on a list
//!                                                                    |   ^
//!                                     claim: LRU cleared, +1 (token) |   | putback: through a batch,
//!                                                                    v   | then -1 (token)
//!                                                                  isolated
//! ```
//!
//! The list itself holds no reference. The *last put* of a page that is on a list unlinks it under
//! the lruvec lock; so nobody may put under that lock.
//!
//! # What can go wrong
//!
//! * Two isolators: `LRU` is cleared by one atomic, the loser backs off (lifecycle 3.4).
//! * A page in the add batch has `LRU` clear and one reference more than its owner knows:
//!   isolation fails, migration's expected count does not match, until somebody drains.
//! * Isolation against the last put: the reference is taken before `LRU` is cleared, so that a page
//!   whose count is zero is always unlinked by whoever brought it there.

mod batch;
mod generations;
mod lruvec;
mod mlock;
mod moves;
mod scan;
#[cfg(feature = "explored")]
mod watch;
mod workingset;

pub(crate) use batch::LruMove;
pub use batch::{Batches, PAGEVEC_MAX};
pub(crate) use generations::MAX_NR_GENS;
pub use lruvec::{LruList, Lruvec};
pub use scan::SWAP_CLUSTER_MAX;
pub(crate) use workingset::Shadow;

use crate::calls::Call;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::page::{Flags, Pfn, Word};
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use crate::sync::{Mutation, Ordering, broken, mutated};
use lruvec::Evictability;

impl<R: Release> Machine<R> {
    /// Queues a page that is on no list for its LRU list (`lru_cache_add`). The caller holds a
    /// reference; the batch takes one of its own.
    #[inline]
    pub fn lru_add(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        if !mutated(Mutation::BatchWithoutReference) {
            page.get(pfn);
        }
        let cpu = self.cpu();
        let mut batches = self.cpus[cpu].batches.lock();
        let at_once = page.order() > 0
            // Under the batch lock: looked at before it, a disabler could drain between the look and the
            // push, and the page would stay behind. Relaxed: whoever takes the lock before the disabler's
            // drain does is drained, whoever takes it afterwards sees the count through the lock.
            || self.lru_disabled.load(Ordering::Relaxed) > 0;
        let full = batches.push(pfn, self.profile.pagevec as usize);
        #[cfg(feature = "explored")]
        watch::queued(cpu, pfn, watch::For::Add);
        if full || at_once {
            let pages = batches.take_all();
            self.lru_insert(cpu, &pages);
            drop(batches);
            self.put_all(&pages);
        }
    }

    /// Puts the pages of this CPU's add batch on their lists. The batch lock is held, so that a drainer that
    /// got it afterwards finds nothing in flight.
    fn lru_insert(
        &self,
        #[cfg_attr(not(feature = "explored"), expect(unused_variables, reason = "for the watch"))] cpu: usize,
        pages: &[Pfn],
    ) {
        for run in pages.chunk_by(|&a, &b| self.node_of(a) == self.node_of(b)) {
            let mut lruvec = self.nodes[self.node_of(run[0])].lruvec.lock();
            for &pfn in run {
                let evictability = lruvec.add(&self.frames, pfn);
                self.calls_on(Call::MmLruInsertion, pfn);
                #[cfg(feature = "explored")]
                watch::settled(cpu, pfn, watch::For::Add);
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
    }

    /// Drains one CPU's batches (`lru_add_drain_cpu`). Nothing to do for a CPU that is not there.
    pub fn lru_drain_cpu(&self, cpu: usize) {
        let Some(context) = self.cpus.get(cpu) else { return };
        let mut batches = context.batches.lock();
        if batches.is_empty() {
            return;
        }
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
                let pages = batches.take_moves(which);
                self.lru_move(cpu, &pages, which);
                moved.extend(pages);
            }
            mlocked = batches.take_mlock();
            self.lru_mlock(cpu, &mlocked);
        }
        drop(batches);
        // After the locks: a put here may be the last one and needs the lruvec lock itself.
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

    /// Drains every CPU (`lru_add_drain_all`). Takes the batches directly; no CPU's thread is
    /// waited for. Leaves it to a drain by somebody else that begins meanwhile, and waits for its end.
    pub fn lru_drain_all(&self) {
        self.drain_all(false);
    }

    /// The same; with `force` whatever others drain meanwhile.
    fn drain_all(&self, force: bool) {
        // Relaxed, as below: the batch locks order it. Who drained a batch before our page was queued there
        // had counted its drain before, and the lock of that batch shows us the number.
        let seen = self.lru_drains.load(Ordering::Relaxed);
        // After the first step: what comes before it is executed as soon as the thread's last step is over.
        #[cfg(feature = "explored")]
        let began = watch::now();
        // Needs nobody, and may leave the others less to do.
        self.lru_drain_local();
        {
            let _alone = self.lru_drain.lock();
            // Another number: a drain that began after our look has ended, and met what was queued before it.
            if force || self.lru_drains.load(Ordering::Relaxed) == seen {
                // Before the first batch is drained, not after the last: else a drain that has passed a
                // batch already would stand for one of what is queued there now (kernel 6446a5131e24).
                let count = || self.lru_drains.fetch_add(1, Ordering::Relaxed);
                let late = mutated(Mutation::DrainCountedLate);
                if !late {
                    count();
                }
                for cpu in 0..self.cpus.len() {
                    self.lru_drain_cpu(cpu);
                }
                if late {
                    count();
                }
            }
        }
        #[cfg(feature = "explored")]
        self.expect_drained(began);
    }

    /// From now on every queued page goes to its list at once; everything queued is drained
    /// (`lru_cache_disable`). Nests; each call needs a [`Machine::lru_cache_enable`].
    pub fn lru_cache_disable(&self) {
        self.calls(Call::LruCacheDisable);
        // Relaxed: a page queued by a thread that still saw batches on was queued under its batch lock,
        // which the drain below takes afterwards; the lock orders this for everybody who comes later.
        self.lru_disabled.fetch_add(1, Ordering::Relaxed);
        // Not left to others: only our own locks show the counter to whoever queues a page afterwards.
        self.drain_all(true);
    }

    /// Ends one [`Machine::lru_cache_disable`].
    pub fn lru_cache_enable(&self) {
        #[cfg(feature = "explored")]
        self.expect_no_batches();
        // Relaxed: nothing hangs on it; a page that is still listed at once is listed early.
        if self.lru_disabled.fetch_sub(1, Ordering::Relaxed) == 0 {
            broken("lru_cache_enable without disable", format_args!("counter below zero"));
        }
    }

    /// Takes a page off its list (`folio_isolate_lru`). The caller holds a reference; on success the
    /// isolation holds another one. Does not touch `nr_isolated_*`: see [`Machine::isolate`].
    #[inline]
    pub fn isolate_lru_page(&self, pfn: Pfn) -> bool {
        if !R::claim(self, pfn) && !mutated(Mutation::ClaimNotChecked) {
            return false;
        }
        let mut lruvec = self.nodes[self.node_of(pfn)].lruvec.lock();
        lruvec.remove(&self.frames, pfn);
        if mutated(Mutation::IsolationWithoutReference) {
            self.frames[pfn].drop_refs(pfn, 1);
        }
        true
    }

    /// Takes a page off its list for good, as memory failure does (`delete_from_lru_cache`): it belongs on none any
    /// more. The caller holds a reference; false if the page is on no list.
    pub(crate) fn delete_from_lru(&self, pfn: Pfn) -> bool {
        self.calls_on(Call::IsolateLru, pfn);
        let isolated = self.isolate_lru_page(pfn);
        self.returns(Call::IsolateLru, isolated.into());
        if isolated {
            self.frames[pfn].clear(Flags::ACTIVE | Flags::UNEVICTABLE);
            self.put(pfn);
        }
        isolated
    }

    /// Isolates and counts it in `nr_isolated_*`, as the callers of migration do. `EBUSY` if the page
    /// is not on a list.
    pub fn isolate(&self, pfn: Pfn) -> Result<()> {
        self.isolate_by(pfn, Call::IsolateLru)
    }

    /// The same, for a caller that the kernel knows by another call.
    pub(crate) fn isolate_by(&self, pfn: Pfn, call: Call) -> Result<()> {
        self.calls_on(call, pfn);
        let isolated = self.isolate_lru_page(pfn);
        self.returns(call, isolated.into());
        if !isolated {
            let flags = self.frames[pfn].flags();
            return Err(Error::at(Errno::EBUSY, pfn, Why::NotOnLru(flags)));
        }
        self.count_isolated(pfn, 1);
        Ok(())
    }

    /// Adds `sign` × the page's size to its node's `nr_isolated_*`. The class is judged by the current
    /// `SWAPBACKED`, so this is called before the page can change it or be freed.
    #[inline]
    pub(crate) fn count_isolated(&self, pfn: Pfn, sign: i64) {
        let pages = sign << self.frames[pfn].order();
        self.stats.node(self.node_of(pfn), self.isolated_as(pfn), pages);
    }

    /// Under which counter an isolated page is.
    #[inline]
    pub(crate) fn isolated_as(&self, pfn: Pfn) -> NodeItem {
        match self.frames[pfn].word().has(Flags::SWAPBACKED) {
            true => NodeItem::IsolatedAnon,
            false => NodeItem::IsolatedFile,
        }
    }

    /// Gives an isolated page back to its list, through a batch, and drops the isolation reference
    /// (`putback_lru_page`).
    #[inline]
    pub fn putback_lru_page(&self, pfn: Pfn) {
        self.calls_on(Call::PutbackLru, pfn);
        self.lru_add(pfn);
        self.put(pfn);
    }

    /// Ends an isolation by [`Machine::isolate`] without a migration.
    pub fn putback(&self, pfn: Pfn) {
        if mutated(Mutation::IsolatedCountedLate) {
            self.putback_lru_page(pfn);
            return self.count_isolated(pfn, -1);
        }
        self.count_isolated(pfn, -1);
        self.putback_lru_page(pfn);
    }

    /// Unlinks a page whose count has reached zero while it was on a list.
    #[inline]
    pub(crate) fn lru_unlink_dead(&self, pfn: Pfn, word: Word) {
        if word.has(Flags::LRU) {
            let mut lruvec = self.nodes[self.node_of(pfn)].lruvec.lock();
            lruvec.remove(&self.frames, pfn);
            self.frames[pfn].clear(Flags::LRU | Flags::ACTIVE | Flags::UNEVICTABLE);
        }
    }
}
