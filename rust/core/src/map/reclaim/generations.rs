//! Reclaim from the oldest generation, and aging, under the policy `mglru` (`try_to_shrink_lruvec`,
//! `try_to_inc_max_seq`).

use super::References;
use super::list::Reclaimer;
use crate::lru::{LruList, MAX_NR_GENS, SWAP_CLUSTER_MAX};
use crate::machine::Machine;
use crate::map::{Area, Entry, Pte};
use crate::page::Pfn;
use crate::pressure::state::context;
use crate::release::Release;
use crate::sync::interrupted;
use std::sync::Arc;

impl<R: Release> Machine<R> {
    /// Frees up to `wanted` pages of a node, oldest generation first. Each round scans the class that
    /// [`Machine::class_to_scan`] chooses. All rounds together scan at most about twice as many pages as
    /// the lists had, and the generations age at most as often as there can be generations.
    pub(super) fn shrink_generations(&self, node: usize, wanted: u32, by: Reclaimer) -> u32 {
        let mut freed = 0;
        let mut agings = 0;
        let mut budget = {
            let lruvec = self.nodes[node].lruvec.lock();
            2 * LruList::ALL.iter().take(4).map(|&list| lruvec.pages(list)).sum::<u32>()
        };
        while freed < wanted && budget > 0 && !interrupted() {
            let file = self.class_to_scan(node);
            let most = SWAP_CLUSTER_MAX.min(wanted - freed);
            let Some(scan) = self.isolate_oldest(node, file, most) else {
                if agings == MAX_NR_GENS {
                    break;
                }
                agings += 1;
                self.age_generations(node);
                continue;
            };
            budget = budget.saturating_sub(scan.scanned.max(1));
            self.count_scanned(file, scan.scanned, by);
            let (gone, kept) = self.reclaim_list(scan.taken, References::Asked);
            self.putback_inactive_pages(node, &kept);
            self.count_stolen(file, gone, by);
            freed += gone;
        }
        freed
    }

    /// Returns true if files are scanned next, false for anonymous memory: the class whose oldest generation
    /// is older, and files if the two are equally old. Without a free swap slot only files are scanned.
    fn class_to_scan(&self, node: usize) -> bool {
        if self.swap.free_slots() == 0 {
            return true;
        }
        let mut lruvec = self.nodes[node].lruvec.lock();
        let pages = |list: [LruList; 2]| list.map(|list| lruvec.pages(list)).iter().sum::<u32>();
        let anon = pages([LruList::InactiveAnon, LruList::ActiveAnon]);
        let file = pages([LruList::InactiveFile, LruList::ActiveFile]);
        let oldest = lruvec.generations().map_or([0; 2], |g| [g.min_seq(0), g.min_seq(1)]);
        // A class without pages is not chosen, however old its oldest generation is.
        match (anon > 0, file > 0) {
            (true, true) => oldest[1] <= oldest[0],
            (anon, _) => !anon,
        }
    }

    /// Ages a node: moves the pages that were accessed through an entry since the last aging to the youngest
    /// generation, and then begins a new, empty youngest one. Returns the number of accessed entries.
    pub(super) fn age_generations(&self, node: usize) -> u32 {
        let mut used = 0;
        // An allocation may run under the lock of a space, so its reclaim walks no space. Such a reclaim sees
        // the use of a page only when it comes to the page itself.
        let spaces = if self.pressure.is_in(context::ALLOCATES) { Vec::new() } else { self.spaces() };
        for space in spaces {
            let areas: Vec<Arc<Area>> = space.areas.read().clone();
            used += areas.iter().map(|area| self.walk_young(node, area)).sum::<u32>();
        }
        self.nodes[node].lruvec.lock().age(&self.frames);
        used
    }

    /// Clears the accessed bit of an area's entries that map pages of the node, and moves these
    /// pages to the youngest generation. Returns how many entries had the bit.
    fn walk_young(&self, node: usize, area: &Area) -> u32 {
        let mut used = 0;
        let mut batch: Vec<Pfn> = Vec::new();
        let flush = |batch: &mut Vec<Pfn>| {
            if !batch.is_empty() {
                self.promote_generation(node, batch);
                self.put_all(batch);
                batch.clear();
            }
        };
        for index in (0..area.pages()).take_while(|_| !interrupted()) {
            let ours = |pfn| self.node_of(pfn) == node;
            let young = |pte: Pte| pte.has(Pte::YOUNG) && mapped(pte).is_some_and(ours);
            let Some(guard) = area.lock_if_maps(index, young) else { continue };
            let Some(pfn) = mapped(guard.pte()) else { continue };
            // The mapping's reference keeps the page while its entry is locked.
            let head = self.frames.head(pfn);
            self.frames[head].get(head);
            guard.finish_with(|old| Pte(old.0 & !Pte::YOUNG));
            used += 1;
            batch.push(head);
            if batch.len() as u32 == SWAP_CLUSTER_MAX {
                flush(&mut batch);
            }
        }
        flush(&mut batch);
        used
    }
}

/// Returns the page that an entry maps; `None` for the zero page, which belongs to no list.
fn mapped(pte: Pte) -> Option<Pfn> {
    match pte.entry() {
        Entry::Present { pfn, zero: false } => Some(pfn),
        _ => None,
    }
}
