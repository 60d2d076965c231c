//! The swap cache: pages enter it, leave it and move in it.

use super::store::{Changing, Left, Swap};
use crate::machine::Machine;
use crate::map::slot::Slot;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::{Mutation, broken, in_order, mutated};

/// The number of references on an unmapped page in the swap cache that eviction and migration
/// expect: the isolation's and the cache's.
pub(crate) const SWAP_CACHE_REFERENCES: u32 = 2;

impl<R: Release> Machine<R> {
    /// Returns the page that is cached for a slot, with a reference (`swap_cache_get_folio`).
    pub(super) fn swap_cache_get(&self, swap: &Swap, slot: u32) -> Option<Pfn> {
        let seen = swap.slot(slot);
        let pfn = seen.page()?;
        if self.frames[pfn].try_get() {
            // As in a page cache, the slot is read again: before the reference was taken, the page
            // may have left the slot, been freed, and become another owner's page.
            if swap.slot(slot) == seen {
                return Some(pfn);
            }
            self.put(pfn);
        }
        // The page was frozen or has left the slot. Under the swap lock neither can be under way,
        // and the cache's reference keeps the page.
        let changing = swap.change(self);
        let pfn = changing.slot(slot).page()?;
        self.frames[pfn].get(pfn);
        Some(pfn)
    }

    /// Returns true if a locked page is the one cached for this slot.
    #[inline]
    pub(super) fn is_in_swap_cache(&self, pfn: Pfn, slot: u32) -> bool {
        let page = &self.frames[pfn];
        page.word().has(Flags::SWAPCACHE) && page.private() == slot
    }

    /// Gives a locked page that is backed by swap a slot, and puts the page into the swap cache
    /// (`add_to_swap`). Returns false, with the page unchanged, if no slot is free.
    pub(in crate::map) fn add_to_swap(&self, pfn: Pfn) -> bool {
        let Some(swap) = self.swap_space() else { return false };
        let page = &self.frames[pfn];
        page.expect_locked();
        if self.may_allocate("swap slot").is_err() {
            return false;
        }
        {
            let mut changing = swap.change(self);
            let Some(slot) = changing.allocate() else { return false };
            self.enter_swap_cache(&mut changing, pfn, slot);
        }
        // A page that came back from swap and has given up its slot is clean, but its content is
        // nowhere else.
        self.set_page_dirty(pfn);
        true
    }

    /// Puts a page into the swap cache for a slot.
    pub(super) fn enter_swap_cache(&self, changing: &mut Changing<'_, Machine<R>>, pfn: Pfn, slot: u32) {
        let page = &self.frames[pfn];
        // The cache's reference.
        page.get(pfn);
        let describe = || {
            page.set_extra(page.order(), slot);
            page.set(Flags::SWAPCACHE);
        };
        // The page names its slot before another thread can find it there.
        in_order(Mutation::SwapSlotFirst, describe, || changing.set(slot, Slot::Page(pfn)));
        self.count_swap_cached(pfn, 1);
    }

    /// Takes a page out of its slot of the swap cache, whose value becomes `to`; a slot that no entry names
    /// is freed. The caller puts the cache's reference.
    fn leave_swap_cache(&self, changing: &mut Changing<'_, Machine<R>>, pfn: Pfn, to: Slot) {
        let page = &self.frames[pfn];
        // No thread can find the page any more when it forgets the slot.
        changing.uncache(page.private(), to);
        page.clear(Flags::SWAPCACHE);
        if !mutated(Mutation::SlotOutlivesCache) {
            page.set_extra(page.order(), 0);
        }
        self.count_swap_cached(pfn, -1);
    }

    fn count_swap_cached(&self, pfn: Pfn, sign: i64) {
        let node = self.node_of(pfn);
        self.stats.node(node, NodeItem::FilePages, sign);
        self.stats.node(node, NodeItem::Swapcached, sign);
    }

    /// Takes a locked page out of the swap cache if no entry names its slot any more
    /// (`folio_free_swap`), and marks it dirty, because its content is then nowhere else. The
    /// caller holds a reference besides the cache's.
    pub(in crate::map) fn free_swap(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        let word = page.word();
        if !word.has(Flags::SWAPCACHE) || word.has(Flags::WRITEBACK) {
            return false;
        }
        let Some(swap) = self.swap_space() else { return false };
        {
            let mut changing = swap.change(self);
            if changing.entries(page.private()) > 0 {
                return false;
            }
            self.leave_swap_cache(&mut changing, pfn, Slot::Empty);
        }
        self.set_page_dirty(pfn);
        // The cache's reference.
        self.put(pfn);
        true
    }

    /// Returns true if an entry names the slot of this locked page of the swap cache.
    pub(in crate::map) fn is_named_in_swap(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        page.word().has(Flags::SWAPCACHE)
            && self.swap_space().is_some_and(|swap| swap.change(self).entries(page.private()) > 0)
    }

    /// Frees the swap slot of a page that has lost its last mapping, if no other thread holds the
    /// page lock (`free_swap_cache`). Otherwise reclaim frees the slot later. The caller holds a
    /// reference.
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

    /// Subtracts a cleared entry from the count of its slot; the entry's lock is held
    /// (`free_swap_and_cache`). A page that only the cache holds gives its slot up at once, if its
    /// lock is free.
    pub(in crate::map) fn free_swap_entry(&self, slot: u32) {
        let Some(swap) = self.swap_space() else {
            broken("a swap entry has a swap space", format_args!("slot {slot}"))
        };
        let Left::Cached(_) = swap.change(self).remove_entry(slot) else { return };
        // The page is looked up by the slot, because it may have moved since. The slot may have a
        // new owner by now, which `free_swap` checks.
        if let Some(pfn) = self.swap_cache_get(&swap, slot) {
            self.free_swap_if_unmapped(pfn);
            self.put(pfn);
        }
    }

    /// Counts one more entry of a slot, for a fork's copy; the parent's entry is locked
    /// (`swap_duplicate`).
    pub(in crate::map) fn copy_swap_entry(&self, slot: u32) {
        if mutated(Mutation::ForkForgetsSwapCount) {
            return;
        }
        match self.swap_space() {
            Some(swap) => swap.change(self).add_entry(slot),
            None => broken("a swap entry has a swap space", format_args!("slot {slot}")),
        }
    }

    /// Takes an isolated, locked, unmapped and clean page out of the swap cache if no other holder
    /// has a reference (`__remove_mapping`). The slot keeps its content. Then the isolation's
    /// reference is the only one.
    pub(in crate::map) fn evict_swapped(&self, pfn: Pfn) -> bool {
        let Some(swap) = self.swap_space() else { return false };
        let page = &self.frames[pfn];
        let mut changing = swap.change(self);
        if self.freeze(pfn, SWAP_CACHE_REFERENCES).is_err() {
            return false;
        }
        // As for a file's page, the mark is read after the freeze: a holder that has dirtied the
        // page through a reference has put it by now.
        if page.word().has(Flags::DIRTY) {
            page.unfreeze(pfn, SWAP_CACHE_REFERENCES);
            return false;
        }
        // Old kernels measure no refault distance for anonymous pages, so they leave no shadow.
        let shadow = match self.profile.anon_workingset {
            true => Slot::Shadow(self.workingset_eviction(pfn)),
            false => Slot::Empty,
        };
        self.leave_swap_cache(&mut changing, pfn, shadow);
        page.unfreeze(pfn, 1);
        true
    }

    /// Takes a bad page, which is locked, unmapped and clean, out of the swap cache
    /// (`delete_from_swap_cache`). The next fault on its slot reads the content into another frame.
    /// The caller holds a reference besides the cache's.
    pub(crate) fn lose_swapped(&self, pfn: Pfn) {
        let Some(swap) = self.swap_space() else { return };
        self.leave_swap_cache(&mut swap.change(self), pfn, Slot::Empty);
        // The cache's reference.
        self.put(pfn);
    }

    /// Switches a page of the swap cache in a migration. `from`, locked and unmapped, gives its place in the
    /// swap cache, its dirty mark, its owner and its offset to `to`, which is locked and which no other
    /// thread can find yet. Returns false, with nothing changed, if another holder has a reference on `from`.
    pub(crate) fn swap_replace(&self, from: Pfn, to: Pfn) -> bool {
        const MOVED: Flags = Flags::SWAPCACHE.union(Flags::DIRTY);
        let Some(swap) = self.swap_space() else { return false };
        let (src, dst) = (&self.frames[from], &self.frames[to]);
        let mut changing = swap.change(self);
        if self.freeze(from, SWAP_CACHE_REFERENCES).is_err() {
            return false;
        }
        let (word, slot) = (src.word(), src.private());
        let describe = || {
            dst.set_owner(src.owner(), src.index());
            dst.set_extra(dst.order(), slot);
            dst.set(word.flags() & (MOVED | Flags::SWAPBACKED));
            // The cache's reference.
            dst.get(to);
        };
        in_order(Mutation::ReplacementSlotFirst, describe, || changing.set(slot, Slot::Page(to)));
        src.set_extra(src.order(), 0);
        src.clear(MOVED);
        src.unfreeze(from, 1);
        drop(changing);
        self.count_swap_cached(from, -1);
        self.count_swap_cached(to, 1);
        true
    }
}
