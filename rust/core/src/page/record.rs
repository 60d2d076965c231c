//! The record itself and the table of records.

use super::{Flags, Link, MAX_ORDER, Pfn, Word};
use crate::memory::Table;
use crate::sync::{AtomicU32, AtomicU64, Ordering, PlainU32, broken};

/// `private` of a poisoned page that was taken off the buddy lists.
pub const TAKEN_OFF_BUDDY: u32 = 0x00dead0;

/// One frame's record; see the module's table for what each field means when.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Page {
    pub(super) word: AtomicU64,
    /// Page-table entries that map this page. Changed under the lock of the entry concerned.
    mapcount: AtomicU32,
    /// Owner slot with its generation; 0 for none. Written while the page is private, locked and
    /// unmapped, or frozen.
    owner: AtomicU32,
    /// Offset in the owner, in pages. Written as `owner` is. Of a first tail: see `large`.
    pub(super) index: AtomicU32,
    /// List links, protected by the lock of the list.
    next: PlainU32,
    prev: PlainU32,
    /// Order in the low four bits, `private` in the others. Written by the frame's single owner:
    /// the zone lock's holder, the allocator's caller before publication, the page lock's holder.
    pub(super) extra: AtomicU32,
}

#[cfg(not(any(feature = "explored", loom)))]
const _: () = assert!(size_of::<Page>() == 32);

/// The fields below `word` order nothing: each is published by a Release on the word (unfreeze,
/// unlock, a list's lock) and read after the matching Acquire, or looked at racily and re-checked
/// under the page lock. Hence Relaxed throughout.
impl Page {
    /// The word, as seen now.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn word(&self) -> Word {
        // Acquire pairs with `unfreeze`: fields read after a look at the word are no older.
        Word(self.word.load(Ordering::Acquire))
    }

    /// Which field the word at `address` is, for traces.
    pub fn field_at(&self, address: usize) -> Option<&'static str> {
        let fields = [
            (std::ptr::from_ref(&self.word).addr(), "word"),
            (std::ptr::from_ref(&self.mapcount).addr(), "mapcount"),
            (std::ptr::from_ref(&self.owner).addr(), "owner"),
            (std::ptr::from_ref(&self.index).addr(), "index"),
            (std::ptr::from_ref(&self.extra).addr(), "order"),
        ];
        fields.iter().find(|(field, _)| *field == address).map(|(_, name)| *name)
    }

    /// The reference count, as seen now.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn count(&self) -> u32 {
        self.word().count()
    }

    /// The flags, as seen now.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn flags(&self) -> Flags {
        self.word().flags()
    }

    /// Sets `flags` and returns the word before.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn set(&self, flags: Flags) -> Word {
        // Relaxed: a flag publishes nothing; flags that do (`LRU`) are set under a lock.
        Word(self.word.fetch_or(flags.bits(), Ordering::Relaxed))
    }

    /// Clears `flags` and returns the word before.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn clear(&self, flags: Flags) -> Word {
        // Relaxed: as in `set`.
        Word(self.word.fetch_and(!flags.bits(), Ordering::Relaxed))
    }

    /// Sets and clears flags in one step and returns the word before.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn change(&self, set: Flags, clear: Flags) -> Word {
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            // Relaxed: as in `set`.
            match self.word.compare_exchange_weak(
                old.0,
                old.without(clear).with(set).0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return old,
                Err(now) => old = Word(now),
            }
        }
    }

    /// Replaces the word by a function of it, in one step.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    fn update(&self, new: impl Fn(Word) -> Word) {
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            let next = new(old);
            if next == old {
                return;
            }
            // Relaxed: as in `set`.
            match self.word.compare_exchange_weak(old.0, next.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => old = Word(now),
            }
        }
    }

    /// The page comes to the list of a generation, which says itself whether it is active. Under the lruvec lock.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn enter_generation(&self, generation: u8) {
        self.update(|word| word.with_generation(Some(generation)).without(Flags::ACTIVE));
    }

    /// The page leaves it. Under the lruvec lock.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn leave_generation(&self, active: bool) {
        let keep = if active { Flags::ACTIVE } else { Flags::empty() };
        self.update(|word| word.with_generation(None).with(keep));
    }

    /// One access more through a file.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn note_access(&self) {
        self.update(Word::with_access);
    }

    /// Its accesses through files are over.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn forget_accesses(&self) {
        self.update(Word::without_accesses);
    }

    /// First reference of a frame that was just taken from the allocator. `None` if the frame is
    /// poisoned: then it is [refused](Page::refuse), and on no list any more.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn hand_out(&self, pfn: Pfn, clear: Flags) -> Option<()> {
        // Each further round follows from an unpoisoning in between.
        loop {
            if self.hand_out_good(pfn, clear) {
                return Some(());
            }
            if self.refuse() {
                return None;
            }
        }
    }

    /// The same; a poisoned frame stays the caller's, who has something to tidy up first.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn hand_out_good(&self, pfn: Pfn, clear: Flags) -> bool {
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if old.count() != 0 {
                broken("allocation of a live page", format_args!("page {pfn} ({old})"));
            }
            if old.has(Flags::HWPOISON) {
                return false;
            }
            // Release publishes the fields that the allocator reset, to the Acquire of `try_get`.
            match self.word.compare_exchange_weak(
                old.0,
                old.without(clear).with_count(1).0,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => old = Word(now),
            }
        }
    }

    /// Page-table entries that map the page.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn mapcount(&self) -> u32 {
        self.mapcount.load(Ordering::Relaxed)
    }

    /// One more mapping; returns the count before. Caller holds the entry's lock and a reference.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn add_mapping(&self) -> u32 {
        self.mapcount.fetch_add(1, Ordering::Relaxed)
    }

    /// One mapping less; returns the count after.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn remove_mapping(&self, pfn: Pfn) -> u32 {
        let old = self.mapcount.fetch_sub(1, Ordering::Relaxed);
        if old == 0 {
            self.mapcount.store(0, Ordering::Relaxed);
            broken("unmap of an unmapped page", format_args!("page {pfn} ({})", self.word()));
        }
        old - 1
    }

    /// The owner slot; 0 for none.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn owner(&self) -> u32 {
        self.owner.load(Ordering::Relaxed)
    }

    /// Offset in the owner.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn index(&self) -> u32 {
        self.index.load(Ordering::Relaxed)
    }

    /// Names the owner; see the field for who may.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn set_owner(&self, owner: u32, index: u32) {
        self.owner.store(owner, Ordering::Relaxed);
        self.index.store(index, Ordering::Relaxed);
    }

    /// log2 of the number of base pages; 0 for a base page.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn order(&self) -> u8 {
        (self.extra.load(Ordering::Relaxed) & 0xf) as u8
    }

    pub(super) const PRIVATE_SHIFT: u32 = 4;

    /// 28 bits that belong to the owner of the page's state.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn private(&self) -> u32 {
        self.extra.load(Ordering::Relaxed) >> Self::PRIVATE_SHIFT
    }

    /// Sets order and private together; see the field for who may.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn set_extra(&self, order: u8, private: u32) {
        debug_assert!(order <= MAX_ORDER && private < 1 << 28);
        self.extra.store(u32::from(order) | private << Self::PRIVATE_SHIFT, Ordering::Relaxed);
    }

    /// The next page on the same list.
    #[inline]
    pub(crate) fn next(&self) -> Link {
        Link::from_raw(self.next.get())
    }

    /// The previous page on the same list.
    #[inline]
    pub(crate) fn prev(&self) -> Link {
        Link::from_raw(self.prev.get())
    }

    /// Both links, read without the list's lock, to show or to prefetch by.
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn peek_links(&self) -> (Link, Link) {
        (Link::from_raw(self.next.peek()), Link::from_raw(self.prev.peek()))
    }

    #[inline]
    pub(crate) fn set_next(&self, link: Link) {
        self.next.set(link.raw());
    }

    #[inline]
    pub(crate) fn set_prev(&self, link: Link) {
        self.prev.set(link.raw());
    }
}

/// A page on the unevictable list is linked to no other: one of its links counts how many mappings lock
/// it. Under the lruvec lock.
impl Page {
    /// Mappings that lock the page, as far as is known.
    pub(crate) fn mlock_count(&self) -> u32 {
        self.prev.get()
    }

    /// Sets the number.
    pub(crate) fn set_mlock_count(&self, count: u32) {
        self.prev.set(count);
    }

    /// The page leaves the unevictable list: its links are links again.
    pub(crate) fn forget_mlock_count(&self) {
        self.set_prev(Link::NONE);
    }
}

/// The records of all frames of a machine, by frame number.
#[derive(Debug)]
pub struct Frames(Table<Page>);

impl Frames {
    /// Reserves `count` records; they cost memory when they are first used.
    pub fn new(count: u32) -> crate::error::Result<Frames> {
        Ok(Frames(Table::zeroed(count as usize)?))
    }

    /// How many frames there are.
    pub fn len(&self) -> u32 {
        self.0.len() as u32
    }

    /// True for a machine without frames.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The record, if there is such a frame.
    pub fn get(&self, pfn: Pfn) -> Option<&Page> {
        self.0.get(pfn.index())
    }

    /// Starts loading the record into the cache.
    #[inline]
    pub fn prefetch(&self, pfn: Pfn) {
        self.0.prefetch(pfn.index());
    }
}

impl std::ops::Index<Pfn> for Frames {
    type Output = Page;

    #[inline]
    fn index(&self, pfn: Pfn) -> &Page {
        &self.0[pfn.index()]
    }
}
