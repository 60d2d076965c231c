//! Refault distances: how long a page was away, in evictions and activations (lifecycle 5.9).
//!
//! A node's age advances with each page that is evicted or activated. An eviction leaves the age in the
//! slot where the page was (its *shadow*). When the page comes back, the difference is how many more
//! pages the inactive list would have had to hold for it to have stayed: if the memory that competes
//! is no smaller, the page is one of the working set, and is active at once.

use super::LruList;
use super::generations::class;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::profile::LruPolicy;
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::Ordering;

/// What an eviction leaves where the page was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shadow {
    /// The node's age at the eviction.
    pub age: u32,
    /// The node.
    pub node: u8,
    /// The page had been active once.
    pub workingset: bool,
    /// Its tier, of `mglru`; then `age` is the sequence number of its generation.
    pub tier: u8,
}

impl<R: Release> Machine<R> {
    /// A node's age advances by a page's size; the age before.
    pub(crate) fn age_nonresident(&self, pfn: Pfn) -> u32 {
        let pages = 1 << self.frames[pfn].order();
        // Relaxed: a clock that nothing hangs on but the judgement on a later refault.
        self.nodes[self.node_of(pfn)].nonresident_age.fetch_add(pages, Ordering::Relaxed)
    }

    /// A page is being evicted: what to remember of it (`workingset_eviction`).
    pub(crate) fn workingset_eviction(&self, pfn: Pfn) -> Shadow {
        let word = self.frames[pfn].word();
        let (node, workingset) = (self.node_of(pfn), word.has(Flags::WORKINGSET));
        let mut shadow = Shadow { age: self.age_nonresident(pfn), node: node as u8, workingset, tier: 0 };
        if self.profile.lru_policy == LruPolicy::Mglru
            && let Some(generations) = self.nodes[node].lruvec.lock().generations()
        {
            shadow.tier = word.tier() as u8;
            let pages = 1 << self.frames[pfn].order();
            shadow.age = generations.evicted(class(word), word.tier(), pages);
        }
        shadow
    }

    /// A page that was evicted is back, and not yet on the way to a list (`workingset_refault`).
    pub(crate) fn workingset_refault(&self, pfn: Pfn, shadow: Shadow) {
        let page = &self.frames[pfn];
        let anon = page.word().has(Flags::SWAPBACKED);
        let pages = 1i64 << page.order();
        let count = |of_anon, of_file| {
            self.stats.node(self.node_of(pfn), if anon { of_anon } else { of_file }, pages);
        };
        count(NodeItem::WorkingsetRefaultAnon, NodeItem::WorkingsetRefaultFile);
        let from = &self.nodes[usize::from(shadow.node)];
        if self.profile.lru_policy == LruPolicy::Mglru {
            let (class, tier) = (usize::from(!anon), usize::from(shadow.tier));
            let mut lruvec = from.lruvec.lock();
            let Some(generations) = lruvec.generations() else { return };
            let recent = generations.refaulted(class, tier, shadow.age, 1 << page.order());
            drop(lruvec);
            if recent && tier > 0 {
                // It was accessed more than once before, and would have been once more.
                page.set(Flags::WORKINGSET);
                count(NodeItem::WorkingsetRestoreAnon, NodeItem::WorkingsetRestoreFile);
            }
            return;
        }
        // Relaxed: as in `age_nonresident`.
        let distance = from.nonresident_age.load(Ordering::Relaxed).wrapping_sub(shadow.age);
        let swappable = self.free_swap_slots() > 0;
        let competing = {
            let lruvec = from.lruvec.lock();
            let mut competing = lruvec.pages(LruList::ActiveFile);
            if anon {
                competing += lruvec.pages(LruList::InactiveFile);
            }
            if swappable {
                competing += lruvec.pages(LruList::ActiveAnon);
                if !anon {
                    competing += lruvec.pages(LruList::InactiveAnon);
                }
            }
            competing
        };
        if distance > competing {
            return;
        }
        page.set(Flags::ACTIVE);
        self.age_nonresident(pfn);
        count(NodeItem::WorkingsetActivateAnon, NodeItem::WorkingsetActivateFile);
        if shadow.workingset {
            page.set(Flags::WORKINGSET);
            count(NodeItem::WorkingsetRestoreAnon, NodeItem::WorkingsetRestoreFile);
            self.nodes[self.node_of(pfn)].lruvec.lock().note_cost(!anon, 1 << page.order());
        }
    }
}
