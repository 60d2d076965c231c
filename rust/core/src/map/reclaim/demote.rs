//! Demotion: reclaim on a node that has a slower node below it moves pages there instead of freeing
//! them. The pages are chosen here; the demoting thread migrates them (`demote_folio_list`).

use super::Fate;
use super::list::Reclaimer;
use crate::lru::SWAP_CLUSTER_MAX;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::NodeItem;

impl<R: Release> Machine<R> {
    /// Isolates the cold anonymous pages among a cluster from the tail of a node's inactive list,
    /// and puts the others back. The isolated pages stay counted until [`Machine::demoted`].
    /// Returns the isolated pages, and the number of pages that were examined.
    ///
    /// All pages of the node must be base pages, as those of the tiering load are: here and in
    /// [`Machine::demoted`] each page of a list counts as one.
    pub(crate) fn demotion_candidates(&self, node: usize) -> (Vec<Pfn>, usize) {
        let taken = self.isolate_inactive(node, false, SWAP_CLUSTER_MAX, Reclaimer::Kswapd);
        let looked_at = taken.len();
        let mut kept = Vec::new();
        let mut cold = Vec::with_capacity(taken.len());
        for pfn in taken {
            match self.is_cold(pfn) {
                true => cold.push(pfn),
                false => kept.push(pfn),
            }
        }
        self.putback_inactive_pages(node, &kept);
        (cold, looked_at)
    }

    fn is_cold(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        if !page.trylock() {
            return false;
        }
        let fate = match page.word().has(Flags::MLOCKED) {
            true => Some(Fate::Activate),
            false => self.check_references(pfn),
        };
        if fate == Some(Fate::Activate) {
            self.activate_kept(pfn);
        }
        page.unlock(pfn);
        fate.is_none()
    }

    /// Ends a demotion of `candidates` pages of a node. The pages in `left` could not be demoted,
    /// and are put back.
    pub(crate) fn demoted(&self, node: usize, candidates: usize, left: &[Pfn]) {
        self.putback_inactive_pages(node, left);
        let gone = (candidates - left.len()) as u32;
        self.stats.node(node, NodeItem::IsolatedAnon, -i64::from(gone));
        self.count_stolen(false, gone, Reclaimer::Kswapd);
    }
}
