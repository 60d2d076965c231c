//! Reclaim from one list of a node, a cluster of pages at a time (`shrink_active_list`,
//! `shrink_inactive_list`).

use super::References;
use crate::lru::{LruList, Lruvec};
use crate::machine::Machine;
use crate::page::{Flags, PAGE_SIZE, Pfn};
use crate::pressure::state::context;
use crate::profile::LruPolicy;
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use crate::sync::{Mutation, mutated, wait_briefly};

/// The kind of thread that reclaims; each kind has counters of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reclaimer {
    /// The background thread that keeps frames free.
    Kswapd,
    /// A thread that needs frames now.
    Direct,
}

impl Reclaimer {
    const fn scanned(self) -> Event {
        match self {
            Reclaimer::Kswapd => Event::PgscanKswapd,
            Reclaimer::Direct => Event::PgscanDirect,
        }
    }

    const fn stolen(self) -> Event {
        match self {
            Reclaimer::Kswapd => Event::PgstealKswapd,
            Reclaimer::Direct => Event::PgstealDirect,
        }
    }
}

/// Returns true if a class has too few inactive pages for its active ones (`inactive_is_low`).
/// Up to a gigabyte of pages there should be one inactive page for each active one. Above a
/// gigabyte fewer are enough: the inactive list must only be so long that a page in use is used
/// again before it reaches the tail.
pub(super) fn is_inactive_low(lruvec: &Lruvec, file: bool) -> bool {
    let [inactive, active] =
        [LruList::inactive(file), LruList::active(file)].map(|list| u64::from(lruvec.pages(list)));
    let gigabytes = ((inactive + active) * PAGE_SIZE as u64) >> 30;
    inactive * (10 * gigabytes).isqrt().max(1) < active
}

impl<R: Release> Machine<R> {
    /// [`is_inactive_low`] of a node's lists.
    pub(crate) fn inactive_is_low(&self, node: usize, file: bool) -> bool {
        is_inactive_low(&self.nodes[node].lruvec.lock(), file)
    }

    /// Moves up to `most` pages from the tail of an active list to the head of the inactive one.
    /// Their accessed bits are cleared and ignored: a page has to be used again on the inactive
    /// list. The kernel keeps file pages active that are mapped executable, but mmcore has no such
    /// mapping. Returns how many base pages moved.
    pub(crate) fn shrink_active_list(&self, node: usize, file: bool, most: u32) -> u32 {
        self.lru_drain_local();
        let scan = self.isolate_tail(node, LruList::active(file), most);
        self.stats.event(Event::Pgrefill, scan.scanned.into());
        let mut deactivated = 0;
        for &pfn in &scan.taken {
            let page = &self.frames[pfn];
            if page.trylock() {
                self.page_referenced(pfn);
                page.unlock(pfn);
            }
            page.change(self.workingset_mark(), Flags::ACTIVE);
            deactivated += 1 << page.order();
        }
        self.stats.event(Event::Pgdeactivate, deactivated.into());
        self.putback_inactive_pages(node, &scan.taken);
        deactivated
    }

    /// Scans up to `most` pages from the tail of an inactive list, and frees those that are not in
    /// use. Returns how many base pages were freed.
    ///
    /// If other threads have isolated too many pages of the class already, an allocation first waits a
    /// moment. It leaves the class alone if too many pages are still isolated after the wait.
    pub(super) fn shrink_inactive_list(&self, node: usize, file: bool, most: u32, by: Reclaimer) -> u32 {
        let too_many = || self.are_too_many_isolated(node, file);
        let direct = by == Reclaimer::Direct && self.pressure.is_in(context::ALLOCATES);
        if direct && too_many() && wait_briefly(&|| !too_many()) {
            return 0;
        }
        let taken = self.isolate_inactive(node, file, most, by);
        let (freed, kept) = self.reclaim_list(taken, References::Asked);
        let rotated = kept.iter().map(|&pfn| 1 << self.frames[pfn].order()).sum();
        self.putback_inactive_pages(node, &kept);
        self.count_stolen(file, freed, by);
        if rotated > 0 {
            self.nodes[node].lruvec.lock().note_cost(file, rotated);
        }
        freed
    }

    /// Returns true if the isolated pages of a class are more than an eighth of its inactive ones. For
    /// an allocation without I/O the limit is as many as there are inactive ones. Otherwise such an
    /// allocation could wait for another one that waits for it (`too_many_isolated`).
    fn are_too_many_isolated(&self, node: usize, file: bool) -> bool {
        let item = if file { NodeItem::IsolatedFile } else { NodeItem::IsolatedAnon };
        let isolated = self.stats.on_node(node, item);
        if isolated <= 0 {
            return false;
        }
        let inactive = self.nodes[node].lruvec.lock().pages(LruList::inactive(file));
        let share = if self.pressure.is_in(context::NO_IO) { 0 } else { 3 };
        isolated > i64::from(inactive >> share)
    }

    /// Isolates up to `most` pages from the tail of an inactive list, after a drain of this CPU's
    /// batches. The pages count as isolated.
    pub(super) fn isolate_inactive(&self, node: usize, file: bool, most: u32, by: Reclaimer) -> Vec<Pfn> {
        self.lru_drain_local();
        let scan = match self.profile.lru_policy {
            LruPolicy::Mglru => self.isolate_oldest(node, file, most).unwrap_or_else(|| {
                self.age_generations(node);
                self.isolate_oldest(node, file, most).unwrap_or_default()
            }),
            _ => self.isolate_tail(node, LruList::inactive(file), most),
        };
        self.count_scanned(file, scan.scanned, by);
        scan.taken
    }

    pub(super) fn count_scanned(&self, file: bool, pages: u32, by: Reclaimer) {
        self.stats.event(by.scanned(), pages.into());
        self.stats.event(if file { Event::PgscanFile } else { Event::PgscanAnon }, pages.into());
    }

    pub(super) fn count_stolen(&self, file: bool, pages: u32, by: Reclaimer) {
        if pages > 0 {
            let direct = mutated(Mutation::DaemonStealsDirectly);
            let by = if direct { Reclaimer::Direct } else { by };
            self.stats.event(by.stolen(), pages.into());
            self.stats.event(if file { Event::PgstealFile } else { Event::PgstealAnon }, pages.into());
        }
    }
}
