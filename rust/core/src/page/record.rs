//! The page record, and the table of all records.

use super::pfn::{Link, Pfn};
use super::size::MAX_ORDER;
use super::word::{Flags, Word};
use super::{lives, reckon};
use crate::memory::table::Table;
#[cfg(feature = "explored")]
use crate::sync::explored::checks_all;
use crate::sync::{AtomicU32, AtomicU64, Ordering, PlainU32, broken};

/// The value of `private` in a poisoned page that was taken off the buddy lists.
pub const TAKEN_OFF_BUDDY: u32 = 0x00dead0;

/// The record of one frame. The table in the module `page` tells the meaning of each field in each
/// state.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Page {
    pub(super) word: AtomicU64,
    /// The number of page-table entries that map this page. Changed under the lock of the entry.
    mapcount: AtomicU32,
    /// The owner's slot with its generation; 0 for none. Written while the page is private, locked
    /// and unmapped, or frozen.
    owner: AtomicU32,
    /// The offset in the owner, in pages. Written in the same states as `owner`. A first tail has
    /// another use for it, see `large`.
    pub(super) index: AtomicU32,
    /// The list links, protected by the lock of the list.
    next: PlainU32,
    prev: PlainU32,
    /// The order in the low four bits, `private` in the others. Written by the thread that is
    /// responsible for the frame: the holder of the zone lock, the caller of the allocator before
    /// it publishes the page, or the holder of the page lock. A first tail counts pins in it, see
    /// `large`.
    pub(super) extra: AtomicU32,
}

#[cfg(not(any(feature = "explored", loom)))]
const _: () = assert!(size_of::<Page>() == 32);

/// Accesses to the fields after `word` are Relaxed, because these fields order nothing. Their
/// values are published by a Release (unfreeze, page unlock, or the unlock of a list) and read
/// after the matching Acquire. A read without that Acquire is checked again under the page lock.
impl Page {
    /// The page word at this moment.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn word(&self) -> Word {
        // Acquire pairs with the Release of `unfreeze`: a field that is read after the word is not
        // older than the word.
        Word(self.word.load(Ordering::Acquire))
    }

    /// The name of the field at `address`, for traces. `None` if no field of this record is there.
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

    /// The reference count at this moment.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn count(&self) -> u32 {
        self.word().count()
    }

    /// The flags at this moment.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn flags(&self) -> Flags {
        self.word().flags()
    }

    /// Sets `flags` and returns the word before.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn set(&self, flags: Flags) -> Word {
        // Relaxed: most flags publish nothing, and a flag that does (`LRU`) is set under a lock.
        let old = Word(self.word.fetch_or(flags.bits(), Ordering::Relaxed));
        reckon::changed(self, old, old.with(flags));
        old
    }

    /// Clears `flags` and returns the word before.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn clear(&self, flags: Flags) -> Word {
        // Relaxed: as in `set`.
        let old = Word(self.word.fetch_and(!flags.bits(), Ordering::Relaxed));
        reckon::changed(self, old, old.without(flags));
        old
    }

    /// Clears flags by a load and a store, which lose the changes of other threads in between: only for
    /// mutations of the explored build.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn clear_plainly(&self, flags: Flags) {
        // Relaxed, twice: as in `clear`. The changes of other threads between the two steps are lost.
        let old = self.word.load(Ordering::Relaxed);
        self.word.store(old & !flags.bits(), Ordering::Relaxed);
    }

    /// Sets `LRU` on a page that is on no list, and returns the word before. The caller holds the lruvec
    /// lock, under which alone the flag is set.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn set_lru(&self, pfn: Pfn) -> Word {
        // Relaxed: as in `set`. The bit is clear. To add it takes one instruction; to set it and to read the
        // word takes a loop.
        let old = Word(self.word.fetch_add(Flags::LRU.bits(), Ordering::Relaxed));
        if old.has(Flags::LRU) {
            // Relaxed: the broken rule below stops the run, and no access depends on the repaired word.
            self.word.fetch_sub(Flags::LRU.bits(), Ordering::Relaxed);
            broken("double LRU add", format_args!("page {pfn} ({old})"));
        }
        reckon::changed(self, old, old.with(Flags::LRU));
        old
    }

    /// Sets and clears flags in one step and returns the word before.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn change(&self, set: Flags, clear: Flags) -> Word {
        // Relaxed: only the value is needed, and the exchange checks it.
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            // Relaxed: as in `set`.
            match self.word.compare_exchange_weak(
                old.0,
                old.without(clear).with(set).0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    reckon::changed(self, old, old.without(clear).with(set));
                    return old;
                }
                Err(now) => old = Word(now),
            }
        }
    }

    /// Replaces the word by the one that `new` computes from it, in one step.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    fn update(&self, new: impl Fn(Word) -> Word) {
        // Relaxed: only the value is needed, and the exchange checks it.
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            let next = new(old);
            if next == old {
                return;
            }
            // Relaxed: as in `set`.
            match self.word.compare_exchange_weak(old.0, next.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return reckon::changed(self, old, next),
                Err(now) => old = Word(now),
            }
        }
    }

    /// Notes in the word that the page is on the list of a generation, and clears `ACTIVE`: the
    /// generation itself tells whether a page is active. The caller holds the lruvec lock.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn enter_generation(&self, generation: u8) {
        self.update(|word| word.with_generation(Some(generation)).without(Flags::ACTIVE));
    }

    /// Notes in the word that the page is on the list of no generation, and sets `ACTIVE` if
    /// `active`. The caller holds the lruvec lock.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn leave_generation(&self, active: bool) {
        let keep = if active { Flags::ACTIVE } else { Flags::empty() };
        self.update(|word| word.with_generation(None).with(keep));
    }

    /// Counts one more access through a file.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn note_access(&self) {
        self.update(Word::with_access);
    }

    /// Sets the number of accesses through files to zero, and clears `REFERENCED`.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn forget_accesses(&self) {
        self.update(Word::without_accesses);
    }

    /// Clears the flags `clear` and gives a frame that was just taken from the allocator its first
    /// reference. Returns `None` if the frame is poisoned: it is then refused (`Page::refuse`), and
    /// on no list.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn hand_out(&self, pfn: Pfn, clear: Flags) -> Option<()> {
        // A further round is needed only if the frame was unpoisoned between the two calls.
        loop {
            if self.hand_out_good(pfn, clear) {
                return Some(());
            }
            if self.refuse() {
                return None;
            }
        }
    }

    /// Does the same as [`Page::hand_out`], but does not refuse a poisoned frame. Returns false for
    /// such a frame. The caller stays responsible for the frame, because it has to clean up first.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn hand_out_good(&self, pfn: Pfn, clear: Flags) -> bool {
        // Relaxed: only the value is needed, and the exchange checks it. The caller keeps a poisoned frame.
        let mut old = Word(self.word.load(Ordering::Relaxed));
        loop {
            if old.count() != 0 {
                broken("allocation of a live page", format_args!("page {pfn} ({old})"));
            }
            if old.has(Flags::HWPOISON) {
                return false;
            }
            #[cfg(feature = "explored")]
            if checks_all() {
                super::marks::check_at_allocation(pfn, &self.end(old.without(clear)));
            }
            // Release publishes the fields that the allocator has reset. It pairs with the Acquire
            // of `try_get`.
            match self.word.compare_exchange_weak(
                old.0,
                old.without(clear).with_count(1).0,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    reckon::born(self);
                    lives::on_allocated(self);
                    return true;
                }
                Err(now) => old = Word(now),
            }
        }
    }

    /// The record, with this word, at one end of the page's life; read without steps.
    #[cfg(feature = "explored")]
    pub(crate) fn end(&self, word: Word) -> super::marks::End {
        crate::sync::explored::glance(|| super::marks::End {
            word,
            owner: self.owner(),
            private: self.private(),
            mapcount: self.mapcount(),
            linked: self.next() != Link::NONE || self.prev() != Link::NONE,
        })
    }

    /// The number of page-table entries that map the page.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn mapcount(&self) -> u32 {
        // Relaxed: the lock of an entry orders the changes of one mapping. Another reader races with
        // them: for it the number is a hint, and a freeze of the page decides.
        self.mapcount.load(Ordering::Relaxed)
    }

    /// Counts one more mapping and returns the number before. The caller holds the entry's lock and
    /// a reference.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn add_mapping(&self) -> u32 {
        // Relaxed: as in `mapcount`.
        self.mapcount.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts one mapping less and returns the number after.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn remove_mapping(&self, pfn: Pfn) -> u32 {
        // Relaxed, here and in the repair before the broken rule: as in `mapcount`.
        let old = self.mapcount.fetch_sub(1, Ordering::Relaxed);
        if old == 0 {
            self.mapcount.store(0, Ordering::Relaxed);
            broken("unmap of an unmapped page", format_args!("page {pfn} ({})", self.word()));
        }
        old - 1
    }

    /// The owner's slot with its generation; 0 for none.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn owner(&self) -> u32 {
        // Relaxed: a reader without the page lock races with the free of the frame and its next use. Such
        // a reader may look up the owner that it read, and reads the field again under the page lock.
        self.owner.load(Ordering::Relaxed)
    }

    /// The offset in the owner, in pages.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn index(&self) -> u32 {
        // Relaxed: as in `owner`.
        self.index.load(Ordering::Relaxed)
    }

    /// Sets the owner and the offset. The comment at the field `owner` lists the states in which
    /// this is allowed.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn set_owner(&self, owner: u32, index: u32) {
        // Relaxed, twice: the thread that may write here publishes both fields by a later Release, of the
        // hand-out, of the page lock or of `unfreeze`.
        self.owner.store(owner, Ordering::Relaxed);
        self.index.store(index, Ordering::Relaxed);
    }

    /// log2 of the number of base pages; 0 for a base page.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn order(&self) -> u8 {
        // Relaxed: a reader that knows only a frame number races with the allocator, and may read the
        // order of another use of the frame. The reader checks again with a reference or the zone lock.
        (self.extra.load(Ordering::Relaxed) & 0xf) as u8
    }

    pub(super) const PRIVATE_SHIFT: u32 = 4;

    /// 28 bits, whose meaning depends on the page's state.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn private(&self) -> u32 {
        // Relaxed: as in `order`.
        self.extra.load(Ordering::Relaxed) >> Self::PRIVATE_SHIFT
    }

    /// Sets the order and `private` together. The comment at the field `extra` lists the threads
    /// that may do so.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn set_extra(&self, order: u8, private: u32) {
        debug_assert!(order <= MAX_ORDER && private < 1 << 28);
        // Relaxed: as in `set_owner`.
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

    /// Both links, read without the list's lock, for displays and prefetches.
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

/// The mlock count. A page on the unevictable list is linked to no other page, so `prev` counts the
/// mappings that lock it. All functions are called under the lruvec lock.
impl Page {
    /// The number of mappings that are known to lock the page.
    pub(crate) fn mlock_count(&self) -> u32 {
        self.prev.get()
    }

    /// Sets the number of mappings that lock the page.
    pub(crate) fn set_mlock_count(&self, count: u32) {
        self.prev.set(count);
    }

    /// Makes `prev` a link again, for a page that leaves the unevictable list.
    pub(crate) fn forget_mlock_count(&self) {
        self.set_prev(Link::NONE);
    }
}

/// The records of all frames of a machine, indexed by frame number.
#[derive(Debug)]
pub struct Frames(Table<Page>);

impl Frames {
    /// Reserves `count` records. A record takes up memory of the host from its first use on.
    pub fn new(count: u32) -> crate::error::Result<Frames> {
        Ok(Frames(Table::zeroed(count as usize)?))
    }

    /// The number of frames.
    pub fn len(&self) -> u32 {
        self.0.len() as u32
    }

    /// True for a machine without frames.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The record of a frame; `None` if the machine has no such frame.
    pub fn get(&self, pfn: Pfn) -> Option<&Page> {
        self.0.get(pfn.index())
    }

    /// Starts loading the record into the cache.
    #[inline]
    pub fn prefetch(&self, pfn: Pfn) {
        self.0.prefetch(pfn.index());
    }

    /// Starts loading the records of a page's neighbours on its list. The links are read without the lock of
    /// the list and may be old.
    #[inline]
    pub(crate) fn prefetch_neighbours(&self, pfn: Pfn) {
        // Modelled memory has no cache, and there the reading of the links would be a step.
        if cfg!(any(feature = "explored", loom)) {
            return;
        }
        let (after, before) = self[pfn].peek_links();
        for neighbour in [after, before].into_iter().filter_map(Link::pfn) {
            self.prefetch(neighbour);
        }
    }
}

impl std::ops::Index<Pfn> for Frames {
    type Output = Page;

    #[inline]
    fn index(&self, pfn: Pfn) -> &Page {
        &self.0[pfn.index()]
    }
}
