//! The page cache: lookup, insertion, removal and replacement of pages (lifecycle 3.2, 6.4).

use super::state::File;
use crate::lru::shadow::Shadow;
use crate::machine::Machine;
use crate::map::slot::Slot;
use crate::page::{Flags, Page, Pfn, Word};
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::{Mutation, Ordering, broken, in_order, mutated};

/// The flags that a page has from its file, which are cleared together when the page leaves the
/// file.
const OF_FILE: Flags = Flags::FILE.union(Flags::DIRTY);

impl<R: Release> Machine<R> {
    /// Returns the cached page `index` of a file, with a reference (`filemap_get_folio`).
    pub(crate) fn cache_get(&self, file: &File, index: u32) -> Option<Pfn> {
        self.cache_get_seen(file, index, file.slot(index))
    }

    /// Returns the page of a slot whose value `seen` was just read, with a reference.
    pub(super) fn cache_get_seen(&self, file: &File, index: u32, seen: Slot) -> Option<Pfn> {
        let pfn = seen.page()?;
        if self.frames[pfn].try_get() {
            // The slot is read again: before the reference was taken, the page may have been
            // replaced, freed, and become another owner's page.
            if mutated(Mutation::CacheNotRechecked) || file.slot(index) == seen {
                return Some(pfn);
            }
            self.put(pfn);
        }
        // The page was frozen or replaced. Under the tree lock neither can be under way, and the
        // slot's reference keeps the page.
        let _tree = file.tree.lock();
        let pfn = file.slot(index).page()?;
        self.frames[pfn].get(pfn);
        Some(pfn)
    }

    /// Returns true if a locked page is still this page of the file.
    #[inline]
    pub(crate) fn is_of_file(&self, pfn: Pfn, file: &File, index: u32) -> bool {
        self.word_in_file(pfn, file, index).is_some()
    }

    /// Returns the word of a locked page, if the page is still this page of the file.
    #[inline]
    pub(super) fn word_in_file(&self, pfn: Pfn, file: &File, index: u32) -> Option<Word> {
        let page = &self.frames[pfn];
        if page.owner() != file.owner.0 || page.index() != index {
            return None;
        }
        Some(page.word()).filter(|word| word.has(Flags::FILE))
    }

    /// Puts a new, locked page into a slot that holds none (`filemap_add_folio`). Returns `Some` with
    /// the shadow that an eviction has left there, if any; returns `None`, with the page unchanged,
    /// if another thread has filled the slot first.
    pub(super) fn cache_insert(&self, file: &File, index: u32, pfn: Pfn) -> Option<Option<Shadow>> {
        let page = &self.frames[pfn];
        let describe = || {
            page.set_owner(file.owner.0, index);
            page.set(file.kind.flags());
        };
        // Owner and flags are set before another thread can find the page.
        let late = mutated(Mutation::CacheSlotFirst);
        if !late {
            describe();
        }
        let tree = file.tree.lock();
        let found = file.slot(index);
        if !matches!(found, Slot::Empty | Slot::Shadow(_)) {
            drop(tree);
            page.clear(file.kind.flags());
            page.set_owner(0, 0);
            return None;
        }
        // The slot's reference.
        page.get(pfn);
        file.set_slot(index, Slot::Page(pfn));
        if late {
            describe();
        }
        if file.used() <= index {
            // Release pairs with the Acquire in `used`: a scan that sees the new bound sees the
            // filled slot.
            file.top.store(index + 1, Ordering::Release);
        }
        drop(tree);
        self.count_cached(pfn, page.word(), 1);
        Some(found.shadow())
    }

    /// Replaces a locked page of the swap cache in its file's slot by its swap slot
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
        // The slot's reference.
        self.put(pfn);
    }

    /// Puts a locked page of the swap cache back into its file's slot (`shmem_add_to_page_cache`).
    /// Returns false, with nothing changed, if the slot does not name the swap slot any more.
    pub(in crate::map) fn cache_from_swap(&self, file: &File, index: u32, pfn: Pfn, slot: u32) -> bool {
        let page = &self.frames[pfn];
        let tree = file.tree.lock();
        if file.slot(index) != Slot::Swap(slot) {
            return false;
        }
        // Owner and flags come before the slot. A thread that finds the page either waits for its
        // lock, or reads content that is up to date.
        page.set_owner(file.owner.0, index);
        page.set(file.kind.flags());
        // The slot's reference.
        page.get(pfn);
        file.set_slot(index, Slot::Page(pfn));
        drop(tree);
        self.count_cached(pfn, page.word(), 1);
        true
    }

    /// Empties a slot that holds no page, and returns its old value. A slot with a page is left
    /// alone.
    pub(in crate::map) fn cache_forget(&self, file: &File, index: u32) -> Slot {
        let _tree = file.tree.lock();
        let found = file.slot(index);
        if found.page().is_none() && found != Slot::Empty {
            file.set_slot(index, Slot::Empty);
        }
        found
    }

    /// Takes a locked, unmapped page that is not under writeback out of its file, dirty or not
    /// (`filemap_remove_folio`). Puts the references of the slot and of the private data. The
    /// caller has one of its own.
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
        // The slot's reference.
        self.put(pfn);
    }

    /// Takes a clean page out of its file if only its slot and the caller hold it
    /// (`remove_mapping`). The page is locked and unmapped, and has no private data. On success the
    /// caller's reference is the only one. An eviction by reclaim (`reclaimed`) leaves a shadow in
    /// the slot of a disk's file.
    pub(super) fn cache_evict(&self, file: &File, index: u32, pfn: Pfn, reclaimed: bool) -> bool {
        const EXPECTED: u32 = 2;
        let page = &self.frames[pfn];
        let tree = file.tree.lock();
        if self.freeze(pfn, EXPECTED).is_err() {
            return false;
        }
        // The mark is read after the freeze: a holder that has dirtied the page through a reference
        // has put it by now, and its mark is visible (lifecycle 3.1, pairing 2).
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

    /// Switches a file's page in a migration (lifecycle 6.4). `from`, locked and unmapped, gives
    /// its slot, its dirty mark and its private data to `to`, which is locked and which no other
    /// thread can find yet. Returns false, with nothing changed, if another holder has a reference
    /// on `from`.
    pub(crate) fn cache_replace(&self, file: &File, from: Pfn, to: Pfn) -> bool {
        let (src, dst) = (&self.frames[from], &self.frames[to]);
        let (index, expected) = (src.index(), self.cache_references(from));
        let tree = file.tree.lock();
        if self.freeze(from, expected).is_err() {
            return false;
        }
        // The source is frozen: no thread can get a reference on it, and none can find the
        // destination yet.
        let word = src.word();
        expect_idle(src, from, word);
        let describe = || {
            dst.set_owner(src.owner(), index);
            dst.set(word.flags() & (OF_FILE | Flags::SWAPBACKED | Flags::PRIVATE));
            for _ in 1..expected {
                // The references of the slot and of the private data.
                dst.get(to);
            }
        };
        in_order(Mutation::ReplacementSlotFirst, describe, || file.set_slot(index, Slot::Page(to)));
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

    /// Returns the number of references that a migration expects on an unmapped page of a file: the
    /// isolation's, the slot's and the private data's (lifecycle 2.3).
    #[inline]
    pub(crate) fn cache_references(&self, pfn: Pfn) -> u32 {
        2 + u32::from(self.frames[pfn].word().has(Flags::PRIVATE))
    }

    /// Clears the file's flags of a page that has left its slot, and adjusts the counters. The
    /// flags are cleared in one step, so that a concurrent [`Machine::set_page_dirty`] is either
    /// counted for the file and taken off again here, or not counted at all.
    fn forget_file(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        let word = page.clear(OF_FILE);
        expect_idle(page, pfn, word);
        if !mutated(Mutation::OwnerOutlivesFile) {
            page.set_owner(0, 0);
        }
        self.count_cached(pfn, word, -1);
        if word.has(Flags::DIRTY) {
            self.count_dirty(pfn, word, -1);
        }
    }

    /// Attaches private data (buffers) to a locked page, with a reference of their own, if it has
    /// none yet.
    pub(super) fn attach_private(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        if !page.word().has(Flags::PRIVATE) {
            page.get(pfn);
            page.set(Flags::PRIVATE);
        }
    }

    /// Frees the private data of a locked page. The caller has a reference of its own.
    pub(super) fn drop_private(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        if page.word().has(Flags::PRIVATE) {
            page.clear(Flags::PRIVATE);
            self.put(pfn);
        }
    }

    /// Adds `sign` to the counters of cached pages, for a page with this word.
    fn count_cached(&self, pfn: Pfn, word: Word, sign: i64) {
        let node = self.node_of(pfn);
        self.stats.node(node, NodeItem::FilePages, sign);
        if word.has(Flags::SWAPBACKED) {
            self.stats.node(node, NodeItem::Shmem, sign);
        }
    }
}

/// Checks, in the explored build only, that a page that leaves its slot is neither under writeback nor
/// mapped. A device would otherwise go on reading the frame for a file that has another page by then, or
/// none. An entry would map a page that no lookup of the file finds (`filemap_unaccount_folio`).
fn expect_idle(page: &Page, pfn: Pfn, word: Word) {
    if cfg!(feature = "explored") && word.has(Flags::WRITEBACK) {
        broken("a page under write-back stays in its file", format_args!("page {pfn} ({word})"));
    }
    if cfg!(feature = "explored") && page.mapcount() > 0 {
        broken("a mapped page stays in its file", format_args!("page {pfn} ({word})"));
    }
}
