//! Refault distances: the time between a page's eviction and its return, counted in evictions and
//! activations (lifecycle 5.9).
//!
//! A node's age advances with each page that is evicted or activated. An eviction stores the age, as
//! the page's *shadow*, in the cache slot where the page was. When the page comes back, the node's age
//! less the stored one is the number of further pages that the inactive list would have had to hold for
//! the page to stay. If the lists that compete for memory hold at least that many, the page belongs to the
//! working set and is active at once.

use super::generations::class;
use super::lruvec::LruList;
use super::shadow::Shadow;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::profile::LruPolicy;
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::Ordering;

impl<R: Release> Machine<R> {
    /// Advances a node's age by the size of a page, and returns the age before.
    pub(crate) fn age_nonresident(&self, pfn: Pfn) -> u32 {
        let pages = 1 << self.frames[pfn].order();
        // Relaxed: the age orders no other memory. A thread that reads an old age only judges a
        // refault by a slightly shorter distance.
        self.nodes[self.node_of(pfn)].nonresident_age.fetch_add(pages, Ordering::Relaxed)
    }

    /// The flag of a page that was on an active list; none in kernels that do not remember it.
    pub(crate) fn workingset_mark(&self) -> Flags {
        match self.profile.workingset_mark || self.profile.lru_policy == LruPolicy::Mglru {
            true => Flags::WORKINGSET,
            false => Flags::empty(),
        }
    }

    /// The flag with which a fresh anonymous page goes to its list: in old kernels the page is
    /// active, unless it is `locked` into memory.
    #[inline]
    pub(crate) fn new_anon_mark(&self, locked: bool) -> Flags {
        let active =
            !self.profile.anon_workingset && self.profile.lru_policy == LruPolicy::TwoList && !locked;
        if active { Flags::ACTIVE } else { Flags::empty() }
    }

    /// The shadow that a page leaves behind when it is evicted (`workingset_eviction`).
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

    /// Judges a page that has come back after an eviction, before it is queued for a list
    /// (`workingset_refault`).
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
                // The page belonged to the working set or was accessed more than once before its
                // eviction, and was accessed now again: it belongs to the working set.
                page.set(Flags::WORKINGSET);
                count(NodeItem::WorkingsetRestoreAnon, NodeItem::WorkingsetRestoreFile);
            }
            return;
        }
        // Relaxed: as in `age_nonresident`.
        let distance = from.nonresident_age.load(Ordering::Relaxed).wrapping_sub(shadow.age);
        // Anonymous pages compete with files for memory only in kernels that judge the refaults of
        // anonymous pages too, and only while swap has room for them.
        let swappable = self.profile.anon_workingset && self.swap.free_slots() > 0;
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
            page.set(self.workingset_mark());
            count(NodeItem::WorkingsetRestoreAnon, NodeItem::WorkingsetRestoreFile);
            self.nodes[self.node_of(pfn)].lruvec.lock().note_cost(!anon, 1 << page.order());
        }
    }
}
