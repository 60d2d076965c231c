//! The page cache: look up, insert, remove, replace (lifecycle 3.2, 6.4).

use super::{File, Slot};
use crate::lru::Shadow;
use crate::machine::Machine;
use crate::page::{Flags, Pfn, Word};
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::{Mutation, Ordering, broken, mutated};

/// Marks that a page has from its file; taken off together when it leaves it.
const OF_FILE: Flags = Flags::FILE.union(Flags::DIRTY);

impl<R: Release> Machine<R> {
    /// The cached page `index` of a file, with a reference (`filemap_get_folio`).
    pub(crate) fn cache_get(&self, file: &File, index: u32) -> Option<Pfn> {
        self.cache_get_seen(file, index, file.slot(index))
    }

    /// The same for a slot that was just seen.
    pub(super) fn cache_get_seen(&self, file: &File, index: u32, seen: Slot) -> Option<Pfn> {
        let pfn = seen.page()?;
        if self.frames[pfn].try_get() {
            // Only now is it known whose page this is: between the look and the reference it could have been
            // replaced, freed, and be somebody else's.
            if mutated(Mutation::CacheNotRechecked) || file.slot(index) == seen {
                return Some(pfn);
            }
            self.put(pfn);
        }
        // Frozen or replaced: under the lock neither can be going on, and the slot's reference is there.
        let _tree = file.tree.lock();
        let pfn = file.slot(index).page()?;
        self.frames[pfn].get(pfn);
        Some(pfn)
    }

    /// Is a locked page still this page of the file?
    #[inline]
    pub(crate) fn is_of_file(&self, pfn: Pfn, file: &File, index: u32) -> bool {
        self.word_in_file(pfn, file, index).is_some()
    }

    /// The word of a locked page, if it still is this page of the file.
    #[inline]
    pub(super) fn word_in_file(&self, pfn: Pfn, file: &File, index: u32) -> Option<Word> {
        let page = &self.frames[pfn];
        if page.owner() != file.owner.0 || page.index() != index {
            return None;
        }
        Some(page.word()).filter(|word| word.has(Flags::FILE))
    }

    /// Puts a page that is locked, and new, into a slot without one (`filemap_add_folio`), and says what an
    /// eviction left there. `None`, with the page as it was, if somebody else was faster.
    pub(super) fn cache_insert(&self, file: &File, index: u32, pfn: Pfn) -> Option<Option<Shadow>> {
        let page = &self.frames[pfn];
        // Before anybody can find it.
        page.set_owner(file.owner.0, index);
        page.set(file.kind.flags());
        let tree = file.tree.lock();
        let found = file.slot(index);
        if !matches!(found, Slot::Empty | Slot::Shadow(_)) {
            drop(tree);
            page.clear(file.kind.flags());
            page.set_owner(0, 0);
            return None;
        }
        // The slot's.
        page.get(pfn);
        file.set_slot(index, Slot::Page(pfn));
        if file.used() <= index {
            // Release pairs with the Acquire in `used`.
            file.top.store(index + 1, Ordering::Release);
        }
        drop(tree);
        self.count_cached(pfn, page.word(), 1);
        Some(found.shadow())
    }

    /// A locked page that is in the swap cache leaves its slot, which names the swap slot from now on
    /// (`shmem_delete_from_page_cache`). The caller has a reference of its own.
    pub(in crate::map) fn cache_to_swap(&self, file: &File, index: u32, pfn: Pfn, slot: u32) {
        {
            let _tree = file.tree.lock();
            if file.slot(index) != Slot::Page(pfn) {
                broken("a cached page is in its slot", format_args!("page {pfn} is not at {index}"));
            }
            file.set_slot(index, Slot::Swap(slot));
        }
        self.forget_file(pfn);
        // The slot's.
        self.put(pfn);
    }

    /// The way back (`shmem_add_to_page_cache`): the page is locked, and in the swap cache. False, with nothing
    /// changed, if the slot does not name the swap slot any more.
    pub(in crate::map) fn cache_from_swap(&self, file: &File, index: u32, pfn: Pfn, slot: u32) -> bool {
        let page = &self.frames[pfn];
        let tree = file.tree.lock();
        if file.slot(index) != Slot::Swap(slot) {
            return false;
        }
        // Whoever finds it waits for its lock, or reads what is up to date.
        page.set_owner(file.owner.0, index);
        page.set(file.kind.flags());
        // The slot's.
        page.get(pfn);
        file.set_slot(index, Slot::Page(pfn));
        drop(tree);
        self.count_cached(pfn, page.word(), 1);
        true
    }

    /// Empties a slot without a page, and says what was there; a page stays.
    pub(in crate::map) fn cache_forget(&self, file: &File, index: u32) -> Slot {
        let _tree = file.tree.lock();
        let found = file.slot(index);
        if found.page().is_none() && found != Slot::Empty {
            file.set_slot(index, Slot::Empty);
        }
        found
    }

    /// Takes a locked, unmapped page that is not under writeback out of its file, dirty or not
    /// (`filemap_remove_folio`): drops the slot's reference and that of its private data. The caller has
    /// one of its own.
    pub(super) fn cache_remove(&self, file: &File, index: u32, pfn: Pfn) {
        {
            let _tree = file.tree.lock();
            if file.slot(index) != Slot::Page(pfn) {
                broken("a cached page is in its slot", format_args!("page {pfn} is not at {index}"));
            }
            file.set_slot(index, Slot::Empty);
        }
        self.forget_file(pfn);
        self.drop_private(pfn);
        // The slot's.
        self.put(pfn);
    }

    /// Takes a clean page out of its file if nobody but its slot and the caller holds it
    /// (`remove_mapping`). The page is locked and unmapped, and has no private data. True leaves the
    /// caller's reference as the only one. Reclaim (`reclaimed`) remembers when it was, of files with a
    /// backing store.
    pub(super) fn cache_evict(&self, file: &File, index: u32, pfn: Pfn, reclaimed: bool) -> bool {
        const EXPECTED: u32 = 2;
        let page = &self.frames[pfn];
        let tree = file.tree.lock();
        if self.freeze(pfn, EXPECTED).is_err() {
            return false;
        }
        // After the freeze: who dirtied the page through a reference has put it by now, and its mark is
        // visible (lifecycle 3.1, pairing 2).
        if page.word().has(Flags::DIRTY) {
            page.unfreeze(pfn, EXPECTED);
            return false;
        }
        let remembered = reclaimed && !page.word().has(Flags::SWAPBACKED);
        file.set_slot(
            index,
            match remembered {
                true => Slot::Shadow(self.workingset_eviction(pfn)),
                false => Slot::Empty,
            },
        );
        self.forget_file(pfn);
        page.unfreeze(pfn, 1);
        drop(tree);
        true
    }

    /// The switch of a migration (lifecycle 6.4): `from`, locked and unmapped, gives its slot, its dirty mark
    /// and its private data to `to`, locked and not yet seen by anybody. False, with nothing changed, if
    /// somebody else holds `from`.
    pub(crate) fn cache_replace(&self, file: &File, from: Pfn, to: Pfn) -> bool {
        let (src, dst) = (&self.frames[from], &self.frames[to]);
        let (index, expected) = (src.index(), self.cache_references(from));
        let tree = file.tree.lock();
        if self.freeze(from, expected).is_err() {
            return false;
        }
        // Nobody can gain a reference on the source now, nor find the destination yet.
        let word = src.word();
        dst.set_owner(src.owner(), index);
        dst.set(word.flags() & (OF_FILE | Flags::SWAPBACKED | Flags::PRIVATE));
        for _ in 1..expected {
            // The slot's, and the private data's.
            dst.get(to);
        }
        file.set_slot(index, Slot::Page(to));
        src.set_owner(0, 0);
        src.clear(OF_FILE | Flags::PRIVATE);
        src.unfreeze(from, 1);
        drop(tree);
        self.count_cached(from, word, -1);
        self.count_cached(to, word, 1);
        if word.has(Flags::DIRTY) {
            self.count_dirty(from, word, -1);
            self.count_dirty(to, word, 1);
        }
        true
    }

    /// References on an unmapped page of a file that its migration can account for: the isolation's, the
    /// slot's, the private data's (lifecycle 2.3).
    #[inline]
    pub(crate) fn cache_references(&self, pfn: Pfn) -> u32 {
        2 + u32::from(self.frames[pfn].word().has(Flags::PRIVATE))
    }

    /// A page leaves its file, which has just been taken out of its slot: its marks, in one step so that a
    /// concurrent [`Machine::set_page_dirty`] counts for the file or for nobody, and the counters.
    fn forget_file(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        let word = page.clear(OF_FILE);
        page.set_owner(0, 0);
        self.count_cached(pfn, word, -1);
        if word.has(Flags::DIRTY) {
            self.count_dirty(pfn, word, -1);
        }
    }

    /// Attaches private data (buffers) to a locked page, with a reference of their own, once.
    pub(super) fn attach_private(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        if !page.word().has(Flags::PRIVATE) {
            page.get(pfn);
            page.set(Flags::PRIVATE);
        }
    }

    /// Frees the private data of a locked page; the caller has a reference of its own.
    pub(super) fn drop_private(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        if page.word().has(Flags::PRIVATE) {
            page.clear(Flags::PRIVATE);
            self.put(pfn);
        }
    }

    /// Adds to the counters of cached pages, for a page with this word.
    fn count_cached(&self, pfn: Pfn, word: Word, sign: i64) {
        let node = self.node_of(pfn);
        self.stats.node(node, NodeItem::FilePages, sign);
        if word.has(Flags::SWAPBACKED) {
            self.stats.node(node, NodeItem::Shmem, sign);
        }
    }
}
