//! The LRU lists of one node. Everything here happens under the lruvec lock.

use crate::page::{Flags, Frames, List, Page, Pfn, Word};
use crate::sync::Tallied;
use crate::sync::ops::ListOps;

/// The five lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LruList {
    /// Anonymous pages not accessed lately.
    InactiveAnon,
    /// Anonymous pages in use.
    ActiveAnon,
    /// File pages not accessed lately.
    InactiveFile,
    /// File pages in use.
    ActiveFile,
    /// Pages that cannot be reclaimed.
    Unevictable,
}

impl LruList {
    /// All lists, in the order of their counters.
    pub const ALL: [LruList; 5] = [
        LruList::InactiveAnon,
        LruList::ActiveAnon,
        LruList::InactiveFile,
        LruList::ActiveFile,
        LruList::Unevictable,
    ];

    /// The list on which a page with this word belongs: computed, never stored. "File" means not
    /// swap-backed.
    #[inline]
    pub fn of(word: Word) -> LruList {
        if word.has(Flags::UNEVICTABLE) {
            return LruList::Unevictable;
        }
        match (word.has(Flags::SWAPBACKED), word.has(Flags::ACTIVE)) {
            (true, false) => LruList::InactiveAnon,
            (true, true) => LruList::ActiveAnon,
            (false, false) => LruList::InactiveFile,
            (false, true) => LruList::ActiveFile,
        }
    }

    /// The list's counter in /proc/vmstat.
    pub const fn name(self) -> &'static str {
        match self {
            LruList::InactiveAnon => "nr_inactive_anon",
            LruList::ActiveAnon => "nr_active_anon",
            LruList::InactiveFile => "nr_inactive_file",
            LruList::ActiveFile => "nr_active_file",
            LruList::Unevictable => "nr_unevictable",
        }
    }
}

/// One node's lists and their sizes in base pages.
#[derive(Clone, Debug, Hash)]
pub struct Lruvec {
    lists: [Tallied<List, ListOps>; 5],
    pages: [u32; 5],
}

impl Default for Lruvec {
    fn default() -> Self {
        Lruvec { lists: std::array::from_fn(|_| Tallied::new(List::EMPTY)), pages: [0; 5] }
    }
}

impl Lruvec {
    /// Base pages on a list: the counter.
    pub fn pages(&self, list: LruList) -> u32 {
        self.pages[list as usize]
    }

    /// The list itself, to look at.
    pub fn list(&self, list: LruList) -> &List {
        self.lists[list as usize].look()
    }

    /// Sets `LRU` and links a page that comes from no list at the head of the list where it belongs.
    #[inline]
    pub(crate) fn add(&mut self, frames: &Frames, pfn: Pfn) -> Evictability {
        let page = &frames[pfn];
        let mut word = claim_place(page, pfn);
        let mut change = Evictability::Kept;
        if word.any(Flags::UNEVICTABLE | Flags::MLOCKED) {
            (word, change) = settle(page, word);
        }
        self.link(frames, pfn, word);
        if word.has(Flags::UNEVICTABLE) {
            // Who locks it may be on the way to say so, or have been counted before it was isolated: better too few
            // than too many, as a page with too few is looked at once more.
            page.set_mlock_count(0);
        }
        change
    }

    /// Sets `LRU` and links at the head of the list that the flags say, which are settled already.
    pub(crate) fn relink(&mut self, frames: &Frames, pfn: Pfn) {
        let word = claim_place(&frames[pfn], pfn);
        self.link(frames, pfn, word);
    }

    /// The same, at the tail: where reclaim takes from.
    pub(crate) fn relink_tail(&mut self, frames: &Frames, pfn: Pfn) {
        let word = claim_place(&frames[pfn], pfn);
        let list = LruList::of(word);
        self.pages[list as usize] += 1 << frames[pfn].order();
        if list != LruList::Unevictable {
            self.lists[list as usize].op().push_tail(frames, pfn);
        }
    }

    #[inline]
    fn link(&mut self, frames: &Frames, pfn: Pfn, word: Word) {
        let list = LruList::of(word);
        self.pages[list as usize] += 1 << frames[pfn].order();
        // The unevictable list is only counted: nobody walks it, and its pages need a link for
        // their `mlock_count`.
        if list != LruList::Unevictable {
            self.lists[list as usize].op().push_head(frames, pfn);
        }
    }

    /// Unlinks; the flags still say from which list. `LRU` was cleared by the claim, or will be by the
    /// last put.
    #[inline]
    pub(crate) fn remove(&mut self, frames: &Frames, pfn: Pfn) {
        let page = &frames[pfn];
        let list = LruList::of(page.word());
        match list {
            LruList::Unevictable => page.forget_mlock_count(),
            // First: it says what is wrong with a page that is on no list.
            _ => self.lists[list as usize].op().remove(frames, pfn),
        }
        self.pages[list as usize] -= 1 << page.order();
    }
}

/// What adding a page to a list has changed about where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evictability {
    /// Nothing.
    Kept,
    /// It was unevictable and is not any more.
    Rescued,
    /// It is unevictable now.
    Culled,
}

/// Sets `LRU` and returns the word before.
#[inline]
fn claim_place(page: &Page, pfn: Pfn) -> Word {
    let word = page.set(Flags::LRU);
    if word.has(Flags::LRU) {
        crate::sync::broken("double LRU add", format_args!("page {pfn} ({word})"));
    }
    word
}

/// Decides where a page belongs that was unevictable, or is locked.
#[cold]
fn settle(page: &Page, word: Word) -> (Word, Evictability) {
    let was = word.has(Flags::UNEVICTABLE);
    match word.has(Flags::MLOCKED) {
        true => {
            page.change(Flags::UNEVICTABLE, Flags::ACTIVE);
            let change = if was { Evictability::Kept } else { Evictability::Culled };
            (word.with(Flags::UNEVICTABLE).without(Flags::ACTIVE), change)
        }
        false => {
            page.clear(Flags::UNEVICTABLE);
            (word.without(Flags::UNEVICTABLE), Evictability::Rescued)
        }
    }
}
