//! Takes pages off their lists: isolation, putback, and the unlinking of a page that is freed while
//! it is on a list.

use crate::calls::Call;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::page::{Flags, Pfn, Word};
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::{Mutation, in_order, mutated};

impl<R: Release> Machine<R> {
    /// Takes a page off its list (`folio_isolate_lru`). The caller holds a reference; on success
    /// the isolation holds another one. Does not touch `nr_isolated_*`: see [`Machine::isolate`].
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

    /// Takes a page off its list for good, as memory failure does (`delete_from_lru_cache`). The
    /// caller holds a reference. Returns false if the page is on no list.
    pub(crate) fn delete_from_lru(&self, pfn: Pfn) -> bool {
        let isolated = self.traced(Call::IsolateLru, pfn, || self.isolate_lru_page(pfn));
        if isolated {
            self.frames[pfn].clear(Flags::ACTIVE | Flags::UNEVICTABLE);
            self.put(pfn);
        }
        isolated
    }

    /// Isolates a page and counts it in `nr_isolated_*`, as the callers of migration do. `EBUSY` if
    /// the page is not on a list.
    pub fn isolate(&self, pfn: Pfn) -> Result<()> {
        self.isolate_by(pfn, Call::IsolateLru)
    }

    /// Like [`Machine::isolate`]; the isolation is recorded as `call`.
    pub(crate) fn isolate_by(&self, pfn: Pfn, call: Call) -> Result<()> {
        if !self.traced(call, pfn, || self.isolate_lru_page(pfn)) {
            let flags = self.frames[pfn].flags();
            return Err(Error::at(Errno::EBUSY, pfn, Why::NotOnLru(flags)));
        }
        self.count_isolated(pfn, 1);
        Ok(())
    }

    /// Adds `sign` × the page's size to its node's `nr_isolated_*`. The page's `SWAPBACKED` selects
    /// the counter. The caller calls this before the flag can change and before the page can be
    /// freed; otherwise the wrong counter would change.
    // Inlined, because a call would cost a migration as much as the count.
    #[inline(always)]
    pub(crate) fn count_isolated(&self, pfn: Pfn, sign: i64) {
        let pages = sign << self.frames[pfn].order();
        self.stats.node(self.node_of(pfn), self.isolated_as(pfn), pages);
    }

    /// The counter that includes an isolated page.
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
        // The page is uncounted before it is put back: once it is on its list, its users may free
        // it.
        let count = || self.count_isolated(pfn, -1);
        in_order(Mutation::IsolatedCountedLate, count, || self.putback_lru_page(pfn));
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
