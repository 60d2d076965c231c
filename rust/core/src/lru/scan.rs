//! Taking pages off a list in bulk, and giving them back: what reclaim does (`isolate_lru_folios`,
//! `move_folios_to_lru`; lifecycle 5.5).
//!
//! # What can go wrong
//!
//! * Whoever brings a count to zero unlinks the page if its flags say that it is on a list. A scan that claims a page
//!   before it has a reference takes that flag away from somebody who has dropped the last one already: the page
//!   is freed, and still linked. So a reference first.
//! * Another isolator may have claimed the page and let go of it again: the scan's reference can be the last one. It is
//!   given back after the lruvec lock, which the last put takes.

use super::LruList;
use super::lruvec::Evictability;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use crate::sync::{Mutation, mutated};

/// Pages that reclaim takes off a list at once.
pub const SWAP_CLUSTER_MAX: u32 = 32;

/// What a scan of a list came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Isolated, the list's last page first; counted in `nr_isolated_*`.
    pub taken: Vec<Pfn>,
    /// Base pages looked at.
    pub scanned: u32,
}

impl<R: Release> Machine<R> {
    /// Takes up to `most` pages off a list, from its tail. Pages that are being freed, or isolated by others, stay
    /// with whoever does it.
    pub(crate) fn isolate_tail(&self, node: usize, list: LruList, most: u32) -> Scan {
        let mut scan = Scan::default();
        let mut lost = Vec::new();
        let mut pages = 0;
        {
            let mut lruvec = self.nodes[node].lruvec.lock();
            let mut at = lruvec.list(list).tail();
            while let Some(pfn) = at.filter(|_| (scan.taken.len() as u32) < most) {
                let page = &self.frames[pfn];
                at = page.prev().pfn();
                let size = 1 << page.order();
                scan.scanned += size;
                if lruvec.spares(&self.frames, pfn) {
                    // Looked at twice at most: whoever is accessed again and again is the hand's in the end.
                    if scan.scanned < 2 * lruvec.pages(list) {
                        continue;
                    }
                    break;
                }
                match self.claim_for_reclaim(pfn) {
                    Claim::Ours => {
                        lruvec.remove(&self.frames, pfn);
                        pages += i64::from(size);
                        scan.taken.push(pfn);
                    }
                    Claim::Isolated => lost.push(pfn),
                    Claim::Dying => {}
                }
            }
            if pages > 0 {
                let item = if list.is_anon() { NodeItem::IsolatedAnon } else { NodeItem::IsolatedFile };
                self.stats.node(node, item, pages);
            }
        }
        if !lost.is_empty() {
            self.put_all(&lost);
        }
        scan
    }

    /// Takes up to `most` pages off the oldest generation of a class (`scan_folios`), of the policy `mglru`. On the way
    /// pages of the spared tiers, and those that must be written first, become one generation younger. `None` if there
    /// are too few generations: they have to age first.
    pub(crate) fn isolate_oldest(&self, node: usize, file: bool, most: u32) -> Option<Scan> {
        let mut scan = Scan::default();
        let mut lost = Vec::new();
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
                at = page.prev().pfn();
                let size = 1 << page.order();
                scan.scanned += size;
                let word = page.word();
                let unwritten = file && word.any(Flags::DIRTY | Flags::WRITEBACK);
                if unwritten || word.tier() > spared {
                    if unwritten {
                        page.set(Flags::RECLAIM);
                    }
                    generations.spare(&self.frames, pfn);
                    continue;
                }
                match self.claim_for_reclaim(pfn) {
                    Claim::Ours => {
                        generations.remove(&self.frames, pfn);
                        pages += i64::from(size);
                        scan.taken.push(pfn);
                    }
                    Claim::Isolated => lost.push(pfn),
                    Claim::Dying => {}
                }
            }
            if pages > 0 {
                let item = if file { NodeItem::IsolatedFile } else { NodeItem::IsolatedAnon };
                self.stats.node(node, item, pages);
            }
        }
        if !lost.is_empty() {
            self.put_all(&lost);
        }
        Some(scan)
    }

    /// Pages that an entry has used become the youngest, if they are on a list of the node. The caller has references.
    pub(crate) fn promote_generation(&self, node: usize, pages: &[Pfn]) {
        let mut lruvec = self.nodes[node].lruvec.lock();
        let Some(generations) = lruvec.generations() else { return };
        for &pfn in pages {
            // Claimed, as whoever moves a page from list to list does.
            if self.frames[pfn].test_and_clear_lru() {
                if self.frames[pfn].word().generation().is_some() {
                    generations.promote(&self.frames, pfn);
                }
                self.frames[pfn].set(Flags::LRU);
            }
        }
    }

    /// Tries to make a page on a list the scan's, with a reference. The lruvec lock is held.
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

    /// Gives isolated pages of one node back to their lists, at the head, without a way through a batch: the pages
    /// were on a list a moment ago, and one lock serves them all. Pages that nobody else holds any more are freed.
    pub(crate) fn putback_inactive_pages(&self, node: usize, pages: &[Pfn]) {
        if pages.is_empty() {
            return;
        }
        let mut dead = Vec::new();
        {
            let mut lruvec = self.nodes[node].lruvec.lock();
            for &pfn in pages {
                let size = 1 << self.frames[pfn].order();
                // Before the drop: afterwards it may be anybody's.
                self.count_isolated(pfn, -1);
                match lruvec.putback(&self.frames, pfn) {
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

/// What became of a page that a scan wanted.
enum Claim {
    /// It is isolated.
    Ours,
    /// Somebody else has isolated it; the scan's reference is left.
    Isolated,
    /// It has no reference any more: whoever dropped the last one unlinks it.
    Dying,
}
