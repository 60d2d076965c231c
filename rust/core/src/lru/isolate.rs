//! Takes pages off their lists: isolation, putback, and the unlinking of a page that is freed while
//! it is on a list.

use super::model::Verb;
use crate::calls::Call;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::memory::room;
use crate::page::{Flags, Page, Pfn, Word};
use crate::release::Release;
use crate::stat::{NodeItem, NodeSum};
use crate::sync::{Mutation, in_order, mutated};

/// The most pages that are claimed before they are unlinked under one lock.
const CLAIMED: usize = 64;
/// The record of the page this many places ahead is prefetched.
const RECORD: usize = 16;
/// The records of the list neighbours of the page this many places ahead are prefetched. The page's own
/// record leads to them, so it must have arrived by then.
const NEIGHBOURS: usize = 8;

impl<R: Release> Machine<R> {
    /// Takes a page off its list (`folio_isolate_lru`). The caller holds a reference; on success
    /// the isolation holds another one. Does not touch `nr_isolated_*`: see [`Machine::isolate`].
    #[inline]
    pub fn isolate_lru_page(&self, pfn: Pfn) -> bool {
        let claimed = self.claim_lru_page(pfn);
        if claimed {
            self.unlink_claimed(&[pfn]);
        }
        claimed
    }

    /// The first half of an isolation: claims the page, which stays linked. Returns false if the page is not
    /// on a list, or another thread has claimed it.
    #[inline]
    fn claim_lru_page(&self, pfn: Pfn) -> bool {
        R::claim(self, pfn) || mutated(Mutation::ClaimNotChecked)
    }

    /// The second half: unlinks claimed pages. One lruvec lock serves neighbours of one node.
    #[inline]
    fn unlink_claimed(&self, pages: &[Pfn]) {
        for (node, run) in self.by_node(pages) {
            let mut lruvec = node.lruvec.lock();
            for &pfn in run {
                lruvec.remove(&self.frames, pfn);
                lruvec.tell(&self.frames, Verb::Removed, pfn);
                if mutated(Mutation::IsolationWithoutReference) {
                    self.frames[pfn].drop_refs(pfn, 1);
                }
            }
        }
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
        if !self.claim_by(pfn, call) {
            return Err(Error::at(Errno::EBUSY, pfn, Why::NotOnLru));
        }
        self.end_claims(&[pfn]);
        Ok(())
    }

    #[inline]
    fn claim_by(&self, pfn: Pfn, call: Call) -> bool {
        self.traced(call, pfn, || self.claim_lru_page(pfn))
    }

    /// Unlinks claimed pages and counts them in `nr_isolated_*`.
    #[inline]
    fn end_claims(&self, pages: &[Pfn]) {
        self.unlink_claimed(pages);
        self.count_isolated_all(pages.iter().copied(), 1);
    }

    /// Isolates a page as [`Machine::isolate_by`] does, and appends it to a list that only this function has
    /// filled. The page is claimed at once, but unlinked and counted together with others, at the latest by
    /// [`Machine::end_isolations`]: one lruvec lock serves them all. A thread that meets a claimed page on
    /// its list leaves it alone, as it does between the two halves of any isolation. Returns false if the
    /// page is not on a list.
    #[inline]
    pub(crate) fn isolate_to(&self, list: &mut Vec<Pfn>, pfn: Pfn, call: Call) -> bool {
        let claimed = self.claim_by(pfn, call);
        if claimed {
            list.push(pfn);
            if list.len().is_multiple_of(CLAIMED) {
                self.end_claims(&list[list.len() - CLAIMED..]);
            }
        }
        claimed
    }

    /// Ends the isolations of a list that [`Machine::isolate_to`] has filled.
    pub(crate) fn end_isolations(&self, list: &[Pfn]) {
        self.end_claims(&list[list.len() - list.len() % CLAIMED..]);
    }

    /// Isolates pages as [`Machine::isolate`] does, one after the other, and returns those that were on a
    /// list. The caller holds a reference on each of the pages. One lruvec lock serves up to 64 of them.
    ///
    /// `ENOMEM` of the host, with nothing changed, if it has no memory for the result.
    pub fn isolate_all(&self, pages: &[Pfn]) -> Result<Vec<Pfn>> {
        let mut isolated = room("isolated pages", pages.len())?;
        for (at, &pfn) in pages.iter().enumerate() {
            if let Some(&ahead) = pages.get(at + RECORD) {
                self.frames.prefetch(ahead);
            }
            if let Some(&ahead) = pages.get(at + NEIGHBOURS) {
                self.frames.prefetch_neighbours(ahead);
            }
            self.isolate_to(&mut isolated, pfn, Call::IsolateLru);
        }
        self.end_isolations(&isolated);
        Ok(isolated)
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

    /// Counts pages as [`Machine::count_isolated`] does each. Neighbours that belong to one counter are added
    /// at once.
    #[inline]
    pub(crate) fn count_isolated_all(&self, pages: impl Iterator<Item = Pfn>, sign: i64) {
        let mut sum = NodeSum::new(&self.stats);
        for pfn in pages {
            let page = &self.frames[pfn];
            sum.add(self.node_of(pfn), isolated_as(page), sign << page.order());
        }
    }

    /// The counter that includes an isolated page.
    #[inline]
    pub(crate) fn isolated_as(&self, pfn: Pfn) -> NodeItem {
        isolated_as(&self.frames[pfn])
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

    /// Ends isolations by [`Machine::isolate`] without a migration, as [`Machine::putback`] does one after
    /// the other. The isolation's reference on each page becomes the batch's; a single putback instead takes
    /// a reference for the batch and drops the isolation's.
    pub fn putback_all(&self, pages: &[Pfn]) {
        if self.records_calls() || mutated(Mutation::IsolatedCountedLate) {
            return pages.iter().for_each(|&pfn| self.putback(pfn));
        }
        // A chunk has so few pages that their records stay in the cache until the pages are queued.
        for (number, some) in pages.chunks(CLAIMED).enumerate() {
            let ahead = &pages[pages.len().min(number * CLAIMED + RECORD)..];
            let prefetched = some.iter().enumerate().map(|(at, &pfn)| {
                if let Some(&ahead) = ahead.get(at) {
                    self.frames.prefetch(ahead);
                }
                pfn
            });
            self.count_isolated_all(prefetched, -1);
            self.lru_queue(some);
        }
    }

    /// Unlinks pages whose counts have reached zero while they were on a list. One lruvec lock serves
    /// neighbours of one node.
    #[inline]
    pub(crate) fn lru_unlink_dead(&self, dead: &[(Pfn, Word)]) {
        let mut listed = dead.iter().filter(|(_, word)| word.has(Flags::LRU)).peekable();
        while let Some(&&(first, _)) = listed.peek() {
            let number = self.node_of(first);
            let mut lruvec = self.nodes[number].lruvec.lock();
            while let Some(&(pfn, _)) = listed.next_if(|&&(pfn, _)| self.node_of(pfn) == number) {
                lruvec.remove(&self.frames, pfn);
                lruvec.tell(&self.frames, Verb::Removed, pfn);
                self.frames[pfn].clear(Flags::LRU | Flags::ACTIVE | Flags::UNEVICTABLE);
            }
        }
    }
}

#[inline(always)]
fn isolated_as(page: &Page) -> NodeItem {
    match page.word().has(Flags::SWAPBACKED) {
        true => NodeItem::IsolatedAnon,
        false => NodeItem::IsolatedFile,
    }
}
