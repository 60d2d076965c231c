//! The swap cache: pages enter it, leave it and move in it.
//!
//! A large page has as many neighbouring slots as it has frames, and each of its slots holds the frame of
//! its part. The page names the first slot. Each slot has one reference, on the head. The page enters and
//! leaves all its slots together; a split leaves each part in its own slot. The split holds the swap lock,
//! so that under this lock a slot's frame is a part of the same page until the lock is released.

use super::store::{Changing, Left, Swap};
use crate::machine::Machine;
use crate::map::slot::Slot;
use crate::page::{Flags, Folio, Page, Pfn, reckon};
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::{Mutation, broken, in_order, mutated};

/// A frame that is cached for a slot: a base page, or a part of a large page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cached {
    pub pfn: Pfn,
    /// The head of the frame's page. The head has the reference.
    pub head: Pfn,
}

/// The slots of a page in the swap cache.
fn slots(page: &Page) -> impl Iterator<Item = u32> + use<> {
    let first = page.private();
    first..first + (1 << page.order())
}

impl<R: Release> Machine<R> {
    /// The number of references on an unmapped page in the swap cache that eviction and migration
    /// expect: the isolation's, and the cache's for each slot.
    #[inline]
    pub(crate) fn swap_cache_references(&self, head: Pfn) -> u32 {
        1 + (1 << self.frames[head].order())
    }

    /// Returns the frame that is cached for a slot, with a reference on its page
    /// (`swap_cache_get_folio`).
    pub(super) fn swap_cache_get(&self, swap: &Swap, slot: u32) -> Option<Cached> {
        let seen = swap.slot(slot);
        let pfn = seen.page()?;
        if let Some(head) = self.try_get_page(pfn) {
            // As in a page cache, the slot is read again: before the reference was taken, the page
            // may have left the slot, been freed, and become another owner's page.
            if swap.slot(slot) == seen {
                return Some(Cached { pfn, head });
            }
            self.put(head);
        }
        // The page was frozen or has left the slot. Under the swap lock no freeze and no change of the
        // slot is under way, and the cache's reference keeps the page.
        let changing = swap.change(self);
        let pfn = changing.slot(slot).page()?;
        let head = self.frames.head(pfn);
        self.frames[head].get(head);
        Some(Cached { pfn, head })
    }

    /// Returns the page of a frame whose head is locked, if the frame is still cached for this slot.
    #[inline]
    pub(super) fn in_swap_cache(&self, Cached { pfn, head }: Cached, slot: u32) -> Option<Folio> {
        let page = &self.frames[head];
        let word = page.word();
        let is = word.has(Flags::SWAPCACHE) && page.private() + (pfn.0 - head.0) == slot;
        is.then(|| Folio { head, large: word.has(Flags::HEAD) })
    }

    /// Holds the swap lock, under which no page enters or leaves its slots.
    pub(in crate::map) fn lock_slots<'a>(&'a self, swap: &'a Swap) -> impl Sized + use<'a, R> {
        swap.change(self)
    }

    /// Gives a locked page that is backed by swap a slot, or a slot for each of its parts, and puts the
    /// page into the swap cache (`add_to_swap`). Returns false, with the page unchanged, if the swap
    /// space has no such slots.
    pub(in crate::map) fn add_to_swap(&self, pfn: Pfn) -> bool {
        let added = self.try_add_to_swap(pfn);
        if !added {
            reckon::slotless(&self.frames[pfn], pfn);
        }
        added
    }

    fn try_add_to_swap(&self, pfn: Pfn) -> bool {
        let Some(swap) = self.swap_space() else { return false };
        let page = &self.frames[pfn];
        page.expect_locked();
        if self.may_allocate("swap slot").is_err() {
            return false;
        }
        {
            let mut changing = swap.change(self);
            let Some(slot) = changing.allocate(page.order()) else { return false };
            self.enter_swap_cache(&mut changing, pfn, slot);
        }
        // A page that came back from swap and has given up its slot is clean, but its content is
        // nowhere else.
        self.set_page_dirty(pfn);
        true
    }

    /// Puts a page into the swap cache for a slot, a large page also for the slots behind it.
    pub(super) fn enter_swap_cache(&self, changing: &mut Changing<'_, Machine<R>>, pfn: Pfn, slot: u32) {
        let page = &self.frames[pfn];
        let order = page.order();
        // The cache's references.
        page.get_more(pfn, 1 << order);
        let describe = || {
            page.set_extra(order, slot);
            page.set(Flags::SWAPCACHE);
        };
        // The page names its slot before another thread can find it there.
        in_order(Mutation::SwapSlotFirst, describe, || {
            (0..1 << order).for_each(|part| changing.set(slot + part, Slot::Page(pfn.plus(part))));
        });
        self.count_swap_cached(pfn, 1 << order);
    }

    /// Takes a page out of its slots of the swap cache. A slot gets the value `to`, or is freed if no entry
    /// names it. The caller puts the cache's references.
    fn leave_swap_cache(&self, changing: &mut Changing<'_, Machine<R>>, pfn: Pfn, to: Slot) {
        let page = &self.frames[pfn];
        let order = page.order();
        // No thread can find the page any more when the page forgets its slot.
        slots(page).for_each(|slot| changing.uncache(slot, to));
        page.clear(Flags::SWAPCACHE);
        if !mutated(Mutation::SlotOutlivesCache) {
            page.set_extra(order, 0);
        }
        self.count_swap_cached(pfn, -(1 << order));
    }

    /// Puts the cache's references on a page that has left the cache. The caller holds another reference.
    fn put_cache_references(&self, pfn: Pfn) {
        let order = self.frames[pfn].order();
        if order > 0 {
            // None of these is the last one, so the release design has no work with them.
            self.frames[pfn].drop_refs(pfn, (1 << order) - 1);
        }
        self.put(pfn);
    }

    fn count_swap_cached(&self, pfn: Pfn, pages: i64) {
        let node = self.node_of(pfn);
        self.stats.node(node, NodeItem::FilePages, pages);
        self.stats.node(node, NodeItem::Swapcached, pages);
    }

    /// Takes a locked page out of the swap cache if no entry names any of its slots and it is not under
    /// writeback (`folio_free_swap`). The page becomes dirty, because its content is then nowhere else. The
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
            if slots(page).any(|slot| changing.entries(slot) > 0) {
                return false;
            }
            self.leave_swap_cache(&mut changing, pfn, Slot::Empty);
        }
        self.set_page_dirty(pfn);
        self.put_cache_references(pfn);
        true
    }

    /// Returns the number of entries that name the slot of a part of a page whose head is locked; 0 if
    /// the page is not in the swap cache.
    pub(in crate::map) fn named_in_swap(&self, head: Pfn, part: Pfn) -> u32 {
        let page = &self.frames[head];
        match self.swap_space().filter(|_| page.word().has(Flags::SWAPCACHE)) {
            Some(swap) => swap.change(self).entries(page.private() + (part.0 - head.0)),
            None => 0,
        }
    }

    /// Frees the swap slots of a page that has lost its last mapping, if no other thread holds the
    /// page lock (`free_swap_cache`). Otherwise reclaim frees the slots later. The caller holds a
    /// reference, and `pfn` is the page's head.
    pub(in crate::map) fn free_swap_if_unmapped(&self, pfn: Pfn) {
        if !self.may_swap() {
            return;
        }
        let page = &self.frames[pfn];
        let word = page.word();
        let folio = Folio { head: pfn, large: word.has(Flags::HEAD) };
        let is_mapped = || self.frames.folio_mapcount(folio) > 0;
        if !word.has(Flags::SWAPCACHE) || is_mapped() || !page.trylock() {
            return;
        }
        if !is_mapped() {
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
        if let Some(Cached { head, .. }) = self.swap_cache_get(&swap, slot) {
            self.free_swap_if_unmapped(head);
            self.put(head);
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

    /// Takes an isolated, locked and unmapped page out of the swap cache if it is clean and no other
    /// holder has a reference (`__remove_mapping`). Its slots keep their content. Then the isolation's
    /// reference is the only one.
    pub(in crate::map) fn evict_swapped(&self, pfn: Pfn) -> bool {
        let Some(swap) = self.swap_space() else { return false };
        let page = &self.frames[pfn];
        let expected = self.swap_cache_references(pfn);
        let mut changing = swap.change(self);
        if self.freeze(pfn, expected).is_err() {
            return false;
        }
        // As for a file's page, the dirty mark is read after the freeze: a holder that has dirtied the
        // page through a reference has put it by now.
        if page.word().has(Flags::DIRTY) {
            page.unfreeze(pfn, expected);
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
        self.put_cache_references(pfn);
    }

    /// Switches a page of the swap cache in a migration. `from`, locked and unmapped, gives its place in the
    /// swap cache, its dirty mark, its owner and its offset to `to`, which is locked and which no other
    /// thread can find yet. A large page gives each of its slots to the same part of `to`. Returns
    /// false, with nothing changed, if another holder has a reference on `from`.
    pub(crate) fn swap_replace(&self, from: Pfn, to: Pfn) -> bool {
        const MOVED: Flags = Flags::SWAPCACHE.union(Flags::DIRTY);
        let Some(swap) = self.swap_space() else { return false };
        let (src, dst) = (&self.frames[from], &self.frames[to]);
        let order = src.order();
        let mut changing = swap.change(self);
        if self.freeze(from, 1 + (1 << order)).is_err() {
            return false;
        }
        let (word, slot) = (src.word(), src.private());
        let describe = || {
            dst.set_owner(src.owner(), src.index());
            dst.set_extra(order, slot);
            dst.set(word.flags() & (MOVED | Flags::SWAPBACKED));
            // The cache's references.
            dst.get_more(to, 1 << order);
        };
        let replaced = if mutated(Mutation::FirstSlotReplaced) { 1 } else { 1 << order };
        in_order(Mutation::ReplacementSlotFirst, describe, || {
            (0..replaced).for_each(|part| changing.set(slot + part, Slot::Page(to.plus(part))));
        });
        src.set_extra(order, 0);
        src.clear(MOVED);
        src.unfreeze(from, 1);
        drop(changing);
        self.count_swap_cached(from, -(1 << order));
        self.count_swap_cached(to, 1 << order);
        true
    }
}
