//! A node's lists, harder and harder, until enough is free (`shrink_lruvec`, `shrink_node`).

use super::list::Reclaimer;
use crate::error::{Errno, Error, Result};
use crate::lru::{LruList, SWAP_CLUSTER_MAX};
use crate::machine::Machine;
use crate::profile::LruPolicy;
use crate::release::Release;

/// The first round looks at 2^-12 of each list (`DEF_PRIORITY`).
const DEF_PRIORITY: u32 = 12;
/// How much dearer a file's page is to reclaim than an anonymous one: of 200.
const SWAPPINESS: u64 = 60;

/// Pages to look at in one round: inactive and active, anonymous and file.
type ScanCount = [[u32; 2]; 2];

/// Whether files may be looked at alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    /// While they have inactive pages enough.
    First,
    /// Together with anonymous memory: alone they gave nothing.
    Too,
}

impl<R: Release> Machine<R> {
    /// Frees pages of a node that nobody has used lately, until `pages` are freed or every list was looked at in whole.
    /// Says how many base pages were freed. Nothing is freed that must be written to a disk's file, and nothing
    /// anonymous without swap space.
    ///
    /// `EINVAL` for a node that is not there.
    pub fn reclaim(&self, node: usize, pages: u32) -> Result<u32> {
        self.expect_node(node)?;
        // What is drained can be looked at.
        self.lru_drain_local();
        if self.profile.lru_policy == LruPolicy::Mglru {
            return Ok(self.shrink_generations(node, pages, Reclaimer::Direct));
        }
        match self.shrink_node(node, pages, Files::First) {
            // Files alone gave nothing.
            (0, true) => Ok(self.shrink_node(node, pages, Files::Too).0),
            (freed, _) => Ok(freed),
        }
    }

    /// All rounds. How many pages were freed, and whether files were looked at alone (`cache_trim_mode`).
    fn shrink_node(&self, node: usize, pages: u32, files: Files) -> (u32, bool) {
        let (mut freed, mut alone) = (0, false);
        for priority in (0..=self.first_priority(node)).rev() {
            if freed >= pages {
                break;
            }
            let (count, trims) = self.scan_count(node, priority, files);
            alone |= trims;
            freed += self.shrink_lruvec(node, count, pages - freed, Reclaimer::Direct);
        }
        (freed, alone)
    }

    /// Lets the pages of a node grow older (`kswapd_age_node`): where there are too few inactive pages, a cluster of active
    /// ones becomes inactive. Says how many. Of the policy `mglru`: what entries have used becomes the youngest
    /// generation, and a new one begins; how many pages that are.
    ///
    /// `EINVAL` for a node that is not there.
    pub fn age_node(&self, node: usize) -> Result<u32> {
        self.expect_node(node)?;
        if self.profile.lru_policy == LruPolicy::Mglru {
            return Ok(self.age_generations(node));
        }
        Ok([false, true].into_iter().map(|file| self.age_list(node, file)).sum())
    }

    /// The same for one class.
    pub(crate) fn age_list(&self, node: usize, file: bool) -> u32 {
        // Generations age when there are too few of them.
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

    /// The first round that looks at any page: those before it look at nothing of lists that are short.
    fn first_priority(&self, node: usize) -> u32 {
        let lruvec = self.nodes[node].lruvec.lock();
        let longest = LruList::ALL.into_iter().filter(|&list| list != LruList::Unevictable);
        let longest = longest.map(|list| lruvec.pages(list)).max().unwrap_or(0);
        longest.checked_ilog2().unwrap_or(0).min(DEF_PRIORITY)
    }

    /// One round over a node's lists, a cluster of each by turns.
    fn shrink_lruvec(&self, node: usize, mut left: ScanCount, wanted: u32, by: Reclaimer) -> u32 {
        let mut freed = 0;
        while freed < wanted && left.iter().flatten().any(|&pages| pages > 0) {
            for (file, [inactive, active]) in [false, true].into_iter().zip(&mut left) {
                if *inactive > 0 {
                    // No more than is wanted still: what is on the list is there for the next who asks.
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

    /// How many pages of each list a round looks at (`get_scan_count`). Without swap space none that is anonymous; files
    /// alone while they have inactive pages enough; else by what the pages of each class have cost lately.
    fn scan_count(&self, node: usize, priority: u32, files: Files) -> (ScanCount, bool) {
        let swappable = self.free_swap_slots() > 0;
        let low = self.inactive_is_low(node, true);
        let lruvec = self.nodes[node].lruvec.lock();
        let sizes = [false, true]
            .map(|file| [LruList::inactive(file), LruList::active(file)].map(|list| lruvec.pages(list)));
        let [anon_cost, file_cost] = lruvec.costs().map(u64::from);
        drop(lruvec);
        let all = |pages: u32| pages >> priority;
        let trims = swappable && files == Files::First && !low && all(sizes[1][0]) > 0;
        if !swappable || trims {
            // Pages that may be thrown away are on the file lists.
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
