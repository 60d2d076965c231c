//! Reclaim's scan of a list: takes pages off in bulk, and gives back those that stay
//! (`isolate_lru_folios`, `move_folios_to_lru`; lifecycle 5.5).
//!
//! # What can go wrong
//!
//! * A scan meets a page whose last reference was just dropped. The thread that dropped it unlinks the page
//!   if `LRU` is set. If the scan cleared `LRU` before it had a reference, that thread would free the page
//!   while it is still linked. The scan therefore takes a reference first, and skips a page whose count is
//!   zero.
//! * Another thread isolates the page, and puts its references, while the scan holds one. The scan's
//!   reference may then be the last one. The scan puts it after it has released the lruvec lock, which the
//!   last put takes.

use super::lruvec::{Evictability, LruList};
use super::model::Verb;
use crate::machine::Machine;
use crate::page::reckon::{self, Scanned};
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use crate::sync::{Mutation, mutated};

/// Pages that reclaim takes off a list at once.
pub const SWAP_CLUSTER_MAX: u32 = 32;

/// The result of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The isolated pages, the list's last page first; counted in `nr_isolated_*`.
    pub taken: Vec<Pfn>,
    /// Base pages that the scan has passed.
    pub scanned: u32,
}

impl<R: Release> Machine<R> {
    /// Isolates up to `most` pages from the tail of a list. Skips pages that are being freed, and
    /// pages that another thread has isolated.
    pub(crate) fn isolate_tail(&self, node: usize, list: LruList, most: u32) -> Scan {
        let mut scan = Scan::default();
        let mut unclaimed = Vec::new();
        let mut pages = 0;
        let scanned = match list {
            LruList::ActiveAnon | LruList::ActiveFile => Scanned::Active,
            _ => Scanned::Inactive { file: list.is_file() },
        };
        {
            let mut lruvec = self.nodes[node].lruvec.lock();
            let mut expected = lruvec.expect_scan(list);
            let mut at = match mutated(Mutation::ScanFromHead) {
                true => lruvec.list(list).head(),
                false => lruvec.list(list).tail(),
            };
            while let Some(pfn) = at.filter(|_| (scan.taken.len() as u32) < most) {
                let page = &self.frames[pfn];
                expected.meets(pfn);
                reckon::scanned(page, scanned);
                at = page.prev().pfn();
                let size = 1 << page.order();
                scan.scanned += size;
                if lruvec.spares(&self.frames, pfn) {
                    lruvec.tell(&self.frames, Verb::Spared, pfn);
                    expected.spares(pfn);
                    // The clock hand goes round a list twice at most, then the scan ends. Without
                    // this limit a list whose pages are accessed as fast as the hand clears their
                    // marks would keep the scan, and with it the lruvec lock, for ever.
                    if scan.scanned < 2 * lruvec.pages(list) {
                        continue;
                    }
                    break;
                }
                match self.claim_for_reclaim(pfn) {
                    Claim::Ours => {
                        lruvec.remove(&self.frames, pfn);
                        reckon::unlinked_by_scan(page, scanned);
                        lruvec.tell(&self.frames, Verb::Removed, pfn);
                        pages += i64::from(size);
                        scan.taken.push(pfn);
                    }
                    Claim::Isolated => unclaimed.push(pfn),
                    Claim::Dying => {}
                }
            }
            if pages > 0 {
                let item = if list.is_anon() { NodeItem::IsolatedAnon } else { NodeItem::IsolatedFile };
                self.stats.node(node, item, pages);
            }
        }
        if !unclaimed.is_empty() {
            self.put_all(&unclaimed);
        }
        scan
    }

    /// Isolates up to `most` pages of the oldest generation of a class, under the policy `mglru`
    /// (`scan_folios`). Pages of the spared tiers, and file pages that must be written first, move
    /// to the next younger generation instead. `None` if the class has only its two active
    /// generations: the lists must age first.
    pub(crate) fn isolate_oldest(&self, node: usize, file: bool, most: u32) -> Option<Scan> {
        let mut scan = Scan::default();
        let mut unclaimed = Vec::new();
        let mut pages = 0;
        let class = usize::from(file);
        {
            let mut lruvec = self.nodes[node].lruvec.lock();
            let generations = lruvec.generations()?;
            if generations.needs_aging(class) {
                return None;
            }
            let spared = generations.threshold(class);
            let mut at = generations.tail(class);
            while let Some(pfn) = at.filter(|_| scan.scanned < SWAP_CLUSTER_MAX.max(most)) {
                if scan.taken.len() as u32 == most {
                    break;
                }
                let page = &self.frames[pfn];
                reckon::scanned(page, Scanned::Inactive { file });
                at = page.prev().pfn();
                let size = 1 << page.order();
                scan.scanned += size;
                let word = page.word();
                let unwritten = file && word.any(Flags::DIRTY | Flags::WRITEBACK);
                if unwritten || word.tier() > spared {
                    if unwritten {
                        page.set(Flags::RECLAIM);
                    }
                    lruvec.generations()?.spare(&self.frames, pfn);
                    lruvec.tell(&self.frames, Verb::Younger, pfn);
                    continue;
                }
                match self.claim_for_reclaim(pfn) {
                    Claim::Ours => {
                        lruvec.generations()?.remove(&self.frames, pfn);
                        reckon::unlinked_by_scan(page, Scanned::Inactive { file });
                        lruvec.tell(&self.frames, Verb::Removed, pfn);
                        pages += i64::from(size);
                        scan.taken.push(pfn);
                    }
                    Claim::Isolated => unclaimed.push(pfn),
                    Claim::Dying => {}
                }
            }
            if pages > 0 {
                let item = if file { NodeItem::IsolatedFile } else { NodeItem::IsolatedAnon };
                self.stats.node(node, item, pages);
            }
        }
        if !unclaimed.is_empty() {
            self.put_all(&unclaimed);
        }
        Some(scan)
    }

    /// Moves pages that were accessed through an entry to the youngest generation, if they are on a
    /// list of the node. The caller holds references.
    pub(crate) fn promote_generation(&self, node: usize, pages: &[Pfn]) {
        let mut lruvec = self.nodes[node].lruvec.lock();
        if !lruvec.has_generations() {
            return;
        }
        for &pfn in pages {
            // `LRU` is cleared during the move, so that no other thread isolates the page
            // meanwhile.
            if self.frames[pfn].test_and_clear_lru() {
                if self.frames[pfn].word().generation().is_some()
                    && let Some(generations) = lruvec.generations()
                {
                    generations.promote(&self.frames, pfn);
                    lruvec.tell(&self.frames, Verb::Promoted, pfn);
                }
                self.frames[pfn].set(Flags::LRU);
            }
        }
    }

    /// Tries to claim a listed page for the scan, with a reference. The caller holds the lruvec
    /// lock.
    fn claim_for_reclaim(&self, pfn: Pfn) -> Claim {
        let page = &self.frames[pfn];
        if mutated(Mutation::ScanClaimsFirst) {
            return match page.test_and_clear_lru() {
                true if page.try_get() => Claim::Ours,
                true => {
                    page.set(Flags::LRU);
                    Claim::Dying
                }
                false => Claim::Dying,
            };
        }
        if !page.try_get() {
            return Claim::Dying;
        }
        if page.test_and_clear_lru() { Claim::Ours } else { Claim::Isolated }
    }

    /// Puts isolated pages of one node back at the head of their lists. The pages bypass the
    /// batches, because one acquisition of the lruvec lock serves them all. A page whose last
    /// reference was the isolation's is freed.
    pub(crate) fn putback_inactive_pages(&self, node: usize, pages: &[Pfn]) {
        if pages.is_empty() {
            return;
        }
        let mut dead = Vec::new();
        {
            let mut lruvec = self.nodes[node].lruvec.lock();
            for &pfn in pages {
                let size = 1 << self.frames[pfn].order();
                reckon::put_back(&self.frames[pfn]);
                // The page is uncounted before its reference is dropped: afterwards another thread
                // may free it and allocate the frame again.
                self.count_isolated(pfn, -1);
                let back = lruvec.putback(&self.frames, pfn);
                if back.is_some() {
                    lruvec.tell(&self.frames, Verb::Added, pfn);
                }
                match back {
                    None => dead.push(pfn),
                    Some(Evictability::Kept) => {}
                    Some(Evictability::Rescued) => self.stats.event(Event::UnevictableRescued, size),
                    Some(Evictability::Culled) => self.stats.event(Event::UnevictableCulled, size),
                }
            }
        }
        for pfn in dead {
            self.free_last(pfn, self.frames[pfn].word());
        }
    }
}

/// The end of a scan's attempt to claim a page.
enum Claim {
    /// The scan has isolated the page.
    Ours,
    /// Another thread has isolated the page; the scan still holds its own reference.
    Isolated,
    /// The page has no reference left. The thread that dropped the last one unlinks it.
    Dying,
}
