//! Into the swap cache and out of it.

use super::Swap;
use super::store::Left;
use crate::machine::Machine;
use crate::map::slot::Slot;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::{Mutation, broken, mutated};

/// References on an unmapped page in the swap cache that eviction and migration can account for: the
/// isolation's and the cache's.
pub(crate) const SWAP_CACHE_REFERENCES: u32 = 2;

impl<R: Release> Machine<R> {
    /// The page that is cached for a slot, with a reference (`swap_cache_get_folio`).
    pub(super) fn swap_cache_get(&self, swap: &Swap, slot: u32) -> Option<Pfn> {
        let seen = swap.slot(slot);
        let pfn = seen.page()?;
        if self.frames[pfn].try_get() {
            // As in a page cache: only now is it known whose page this is.
            if swap.slot(slot) == seen {
                return Some(pfn);
            }
            self.put(pfn);
        }
        // Frozen or gone: under the lock neither can be going on, and the cache's reference is there.
        let changing = swap.change();
        let pfn = changing.slot(slot).page()?;
        self.frames[pfn].get(pfn);
        Some(pfn)
    }

    /// Is a locked page the one that is cached for this slot?
    #[inline]
    pub(super) fn is_in_swap_cache(&self, pfn: Pfn, slot: u32) -> bool {
        let page = &self.frames[pfn];
        page.word().has(Flags::SWAPCACHE) && page.private() == slot
    }

    /// Gives a locked page that is backed by swap a slot, and puts it into the swap cache (`add_to_swap`). False,
    /// with the page as it was, if there is no slot.
    pub(in crate::map) fn add_to_swap(&self, pfn: Pfn) -> bool {
        let Some(swap) = self.swap_space() else { return false };
        let page = &self.frames[pfn];
        page.expect_locked();
        if self.may_allocate("swap slot").is_err() {
            return false;
        }
        {
            let mut changing = swap.change();
            let Some(slot) = changing.allocate(pfn) else { return false };
            self.enter_swap_cache(pfn, slot);
        }
        // What is in a page that came back and gave its slot up is nowhere else, whatever its marks say.
        self.set_page_dirty(pfn);
        true
    }

    /// A page is cached for a slot from now on. The swap lock is held.
    pub(super) fn enter_swap_cache(&self, pfn: Pfn, slot: u32) {
        let page = &self.frames[pfn];
        // The cache's.
        page.get(pfn);
        page.set_extra(page.order(), slot);
        page.set(Flags::SWAPCACHE);
        self.count_swap_cached(pfn, 1);
    }

    /// That is over; the cache's reference is still to be put. The swap lock is held, and the slot is the caller's to
    /// settle.
    fn leave_swap_cache(&self, pfn: Pfn) -> u32 {
        let page = &self.frames[pfn];
        let slot = page.private();
        page.clear(Flags::SWAPCACHE);
        page.set_extra(page.order(), 0);
        self.count_swap_cached(pfn, -1);
        slot
    }

    fn count_swap_cached(&self, pfn: Pfn, sign: i64) {
        let node = self.node_of(pfn);
        self.stats.node(node, NodeItem::FilePages, sign);
        self.stats.node(node, NodeItem::Swapcached, sign);
    }

    /// Takes a locked page out of the swap cache if no entry names its slot any more (`folio_free_swap`). Then
    /// its content is nowhere else: it is dirty. The caller has a reference besides the cache's.
    pub(in crate::map) fn free_swap(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        let word = page.word();
        if !word.has(Flags::SWAPCACHE) || word.has(Flags::WRITEBACK) {
            return false;
        }
        let Some(swap) = self.swap_space() else { return false };
        {
            let mut changing = swap.change();
            let slot = page.private();
            if changing.entries(slot) > 0 {
                return false;
            }
            self.leave_swap_cache(pfn);
            changing.uncache(slot, Slot::Empty);
        }
        self.set_page_dirty(pfn);
        // The cache's.
        self.put(pfn);
        true
    }

    /// The same for a page that lost a mapping, if it was the last and nobody has the page lock
    /// (`free_swap_cache`): reclaim will come by it otherwise. The caller has a reference.
    pub(in crate::map) fn free_swap_if_unmapped(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        let cached = || page.word().has(Flags::SWAPCACHE);
        if !self.may_swap() || !cached() || page.mapcount() > 0 || !page.trylock() {
            return;
        }
        if page.mapcount() == 0 {
            self.free_swap(pfn);
        }
        page.unlock(pfn);
    }

    /// An entry that named a slot is gone; its lock is held (`free_swap_and_cache`). A page that only the cache
    /// has gives the slot up at once, if it can be had.
    pub(in crate::map) fn free_swap_entry(&self, slot: u32) {
        let Some(swap) = self.swap_space() else {
            broken("a swap entry has a swap space", format_args!("slot {slot}"))
        };
        let Left::Cached(_) = swap.change().remove_entry(slot) else { return };
        // By the number: the page may have moved since, and the slot be somebody else's by now; `free_swap` looks.
        if let Some(pfn) = self.swap_cache_get(&swap, slot) {
            self.free_swap_if_unmapped(pfn);
            self.put(pfn);
        }
    }

    /// A fork copies an entry that names a slot; the parent's entry is locked (`swap_duplicate`).
    pub(in crate::map) fn copy_swap_entry(&self, slot: u32) {
        if mutated(Mutation::ForkForgetsSwapCount) {
            return;
        }
        match self.swap_space() {
            Some(swap) => swap.change().add_entry(slot),
            None => broken("a swap entry has a swap space", format_args!("slot {slot}")),
        }
    }

    /// Takes an isolated, locked, unmapped and clean page out of the swap cache if nobody else holds it
    /// (`__remove_mapping`); its slot keeps its content. Then the isolation's reference is the only one.
    pub(in crate::map) fn evict_swapped(&self, pfn: Pfn) -> bool {
        let Some(swap) = self.swap_space() else { return false };
        let page = &self.frames[pfn];
        let mut changing = swap.change();
        if self.freeze(pfn, SWAP_CACHE_REFERENCES).is_err() {
            return false;
        }
        // As for a file's page: who dirtied it through a reference has put it by now.
        if page.word().has(Flags::DIRTY) {
            page.unfreeze(pfn, SWAP_CACHE_REFERENCES);
            return false;
        }
        let shadow = Slot::Shadow(self.workingset_eviction(pfn));
        let slot = self.leave_swap_cache(pfn);
        changing.uncache(slot, shadow);
        page.unfreeze(pfn, 1);
        true
    }

    /// Takes a bad page, locked, unmapped and clean, out of the swap cache (`delete_from_swap_cache`): whoever asks for its
    /// slot reads it into another frame. The caller has a reference besides the cache's.
    pub(crate) fn lose_swapped(&self, pfn: Pfn) {
        let Some(swap) = self.swap_space() else { return };
        {
            let mut changing = swap.change();
            let slot = self.leave_swap_cache(pfn);
            changing.uncache(slot, Slot::Empty);
        }
        // The cache's.
        self.put(pfn);
    }

    /// The switch of a migration: `from`, locked and unmapped, gives its place in the swap cache, its dirty mark and
    /// its lineage to `to`, locked and not yet seen by anybody. False, with nothing changed, if somebody
    /// else holds `from`.
    pub(crate) fn swap_replace(&self, from: Pfn, to: Pfn) -> bool {
        const MOVED: Flags = Flags::SWAPCACHE.union(Flags::DIRTY);
        let Some(swap) = self.swap_space() else { return false };
        let (src, dst) = (&self.frames[from], &self.frames[to]);
        let mut changing = swap.change();
        if self.freeze(from, SWAP_CACHE_REFERENCES).is_err() {
            return false;
        }
        let (word, slot) = (src.word(), src.private());
        dst.set_owner(src.owner(), src.index());
        dst.set_extra(dst.order(), slot);
        dst.set(word.flags() & (MOVED | Flags::SWAPBACKED));
        // The cache's.
        dst.get(to);
        changing.set(slot, Slot::Page(to));
        src.set_extra(src.order(), 0);
        src.clear(MOVED);
        src.unfreeze(from, 1);
        drop(changing);
        self.count_swap_cached(from, -1);
        self.count_swap_cached(to, 1);
        true
    }
}
