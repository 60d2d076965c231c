//! Reclaim from the lists of a node, with more of each list in every round, until enough pages are
//! free (`shrink_lruvec`, `shrink_node`).

use super::list::{Reclaimer, is_inactive_low};
use crate::error::{Errno, Error, Result};
use crate::lru::{LruList, SWAP_CLUSTER_MAX};
use crate::machine::Machine;
use crate::owner::OwnerId;
use crate::pressure::state::context;
use crate::profile::LruPolicy;
use crate::release::Release;
use crate::sync::interrupted;

/// The first round scans 2^-12 of each list (`DEF_PRIORITY`).
const DEF_PRIORITY: u32 = 12;
/// The weight of anonymous pages in a scan, of 200; file pages have the rest.
const SWAPPINESS: u64 = 60;

/// The number of pages to scan in one round: `[anonymous, file]`, each `[inactive, active]`.
type ScanCount = [[u32; 2]; 2];

/// The part of file pages in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    /// File pages are scanned alone while they have enough inactive pages.
    First,
    /// File pages are scanned together with anonymous ones, because alone they gave nothing.
    Too,
}

impl<R: Release> Machine<R> {
    /// Frees pages of a node that were not used lately, until `pages` are freed or a round has
    /// scanned every list in whole. Returns how many base pages were freed. Dirty pages of a disk's
    /// file are not freed, nor anonymous pages without swap space.
    ///
    /// `EINVAL` for a node that the machine does not have.
    pub fn reclaim(&self, node: usize, pages: u32) -> Result<u32> {
        self.reclaim_by(node, pages, Reclaimer::Direct)
    }

    /// Frees pages like [`Machine::reclaim`], and counts them for `by`.
    pub(crate) fn reclaim_by(&self, node: usize, pages: u32, by: Reclaimer) -> Result<u32> {
        self.expect_node(node)?;
        let _reclaims = self.pressure.enter(context::RECLAIMS);
        // Pages in a batch are on no list, and reclaim would miss them.
        self.lru_drain_local();
        let freed = match self.profile.lru_policy {
            LruPolicy::Mglru => {
                let freed = self.shrink_generations(node, pages, by);
                // The generations have no rounds: a reclaim that has freed too little counts as a last round.
                self.shrink_owners(if freed < pages { 0 } else { DEF_PRIORITY });
                freed
            }
            _ => match self.shrink_node(node, pages, Files::First, by) {
                // File pages alone gave nothing.
                (0, true) => self.shrink_node(node, pages, Files::Too, by).0,
                (freed, _) => freed,
            },
        };
        self.free_empty_zspages();
        Ok(freed)
    }

    /// Runs the rounds. Returns how many base pages were freed, and whether any round scanned file
    /// pages alone (`cache_trim_mode`).
    fn shrink_node(&self, node: usize, pages: u32, files: Files, by: Reclaimer) -> (u32, bool) {
        let (mut freed, mut alone) = (0, false);
        for priority in (0..=self.first_priority(node)).rev() {
            if freed >= pages || interrupted() {
                break;
            }
            let (count, trims) = self.scan_count(node, priority, files);
            alone |= trims;
            freed += self.shrink_lruvec(node, count, pages - freed, by);
            self.shrink_owners(priority);
        }
        (freed, alone)
    }

    /// Has owners free memory that they do not need (`shrink_slab`). The frames that they free are no pages
    /// of a list, and do not count as reclaimed.
    fn shrink_owners(&self, priority: u32) {
        // No lock is held while an owner works.
        let asked: Vec<OwnerId> = self.shrinkers.lock().clone();
        for owner in asked.into_iter().filter_map(|id| self.owners.movable(id)) {
            owner.shrink(self, priority);
        }
    }

    /// Ages the pages of a node (`kswapd_age_node`). In each class with too few inactive pages, a
    /// cluster of active ones becomes inactive. Returns the number of base pages that were
    /// deactivated. Under the policy `mglru`, pages that entries have used become the youngest
    /// generation, and a new generation begins; the result is then the number of entries that were
    /// used.
    ///
    /// `EINVAL` for a node that the machine does not have.
    pub fn age_node(&self, node: usize) -> Result<u32> {
        self.expect_node(node)?;
        if self.profile.lru_policy == LruPolicy::Mglru {
            return Ok(self.age_generations(node));
        }
        Ok([false, true].into_iter().map(|file| self.age_list(node, file)).sum())
    }

    /// Ages one class of a node's pages, file or anonymous; see [`Machine::age_node`].
    pub(crate) fn age_list(&self, node: usize, file: bool) -> u32 {
        // Under `mglru` a class does not age here: generations age when reclaim finds too few of
        // them.
        match self.profile.lru_policy != LruPolicy::Mglru && self.inactive_is_low(node, file) {
            true => self.shrink_active_list(node, file, SWAP_CLUSTER_MAX),
            false => 0,
        }
    }

    fn expect_node(&self, node: usize) -> Result<()> {
        match node < self.nodes.len() {
            true => Ok(()),
            false => Err(Error::new(Errno::EINVAL, format!("no node {node}"))),
        }
    }

    /// Returns the first priority at which a round scans any page of the node. Earlier rounds would
    /// scan none, because the lists are short.
    fn first_priority(&self, node: usize) -> u32 {
        let lruvec = self.nodes[node].lruvec.lock();
        let longest = LruList::ALL.into_iter().filter(|&list| list != LruList::Unevictable);
        let longest = longest.map(|list| lruvec.pages(list)).max().unwrap_or(0);
        longest.checked_ilog2().unwrap_or(0).min(DEF_PRIORITY)
    }

    /// Runs one round over the lists of a node, with a cluster of each by turns. A machine that has
    /// ever had swap space then ages its anonymous pages. Returns how many base pages were freed.
    fn shrink_lruvec(&self, node: usize, mut left: ScanCount, wanted: u32, by: Reclaimer) -> u32 {
        let mut freed = 0;
        while freed < wanted && left.iter().flatten().any(|&pages| pages > 0) && !interrupted() {
            for (file, [inactive, active]) in [false, true].into_iter().zip(&mut left) {
                if *inactive > 0 {
                    // No more pages are scanned than are still wanted; the others stay on the list
                    // for the next reclaim.
                    let most = SWAP_CLUSTER_MAX.min(*inactive).min(wanted.saturating_sub(freed).max(1));
                    *inactive -= most;
                    freed += self.shrink_inactive_list(node, file, most, by);
                }
                if *active > 0 {
                    let most = SWAP_CLUSTER_MAX.min(*active);
                    *active -= most;
                    if self.inactive_is_low(node, file) {
                        self.shrink_active_list(node, file, most);
                    }
                }
            }
        }
        if self.may_swap() {
            self.age_list(node, false);
        }
        freed
    }

    /// Returns how many pages of each list a round scans (`get_scan_count`), and whether files are
    /// scanned alone. Without swap space no anonymous page is scanned. Files are scanned alone
    /// while they have enough inactive pages. Otherwise the recent costs of each class set its
    /// share, except in the last round, which scans every list in whole.
    fn scan_count(&self, node: usize, priority: u32, files: Files) -> (ScanCount, bool) {
        let swappable = self.swap.free_slots() > 0;
        let lruvec = self.nodes[node].lruvec.lock();
        let low = is_inactive_low(&lruvec, true);
        let sizes = [false, true]
            .map(|file| [LruList::inactive(file), LruList::active(file)].map(|list| lruvec.pages(list)));
        let [anon_cost, file_cost] = lruvec.costs().map(u64::from);
        drop(lruvec);
        let all = |pages: u32| pages >> priority;
        let trims = swappable && files == Files::First && !low && all(sizes[1][0]) > 0;
        if !swappable || trims {
            // Lazily freed anonymous pages are on the file lists, so they are scanned all the same.
            return ([[0, 0], sizes[1].map(all)], trims);
        }
        if priority == 0 {
            return (sizes, false);
        }
        let total = anon_cost + file_cost;
        let (anon_cost, file_cost) = (total + anon_cost, total + file_cost);
        let total = anon_cost + file_cost + 1;
        let anon = SWAPPINESS * total / (anon_cost + 1);
        let file = (200 - SWAPPINESS) * total / (file_cost + 1);
        let share = |pages: u32, part: u64| (u64::from(all(pages)) * part).div_ceil(anon + file) as u32;
        ([sizes[0].map(|pages| share(pages, anon)), sizes[1].map(|pages| share(pages, file))], false)
    }
}
