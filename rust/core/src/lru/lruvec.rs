//! The LRU lists of one node. Everything here happens under the lruvec lock.

use crate::page::{Flags, Frames, List, Pfn, Word};
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

    /// Sets `LRU` and links at the head of the list where the page belongs.
    #[inline]
    pub(crate) fn add(&mut self, frames: &Frames, pfn: Pfn) {
        let page = &frames[pfn];
        let word = page.set(Flags::LRU);
        if word.has(Flags::LRU) {
            crate::sync::broken("double LRU add", format_args!("page {pfn} ({word})"));
        }
        self.link(frames, pfn, word);
    }

    #[inline]
    fn link(&mut self, frames: &Frames, pfn: Pfn, word: Word) {
        let list = LruList::of(word) as usize;
        self.lists[list].op().push_head(frames, pfn);
        self.pages[list] += 1 << frames[pfn].order();
    }

    /// Unlinks; the flags still say from which list. `LRU` was cleared by the claim, or will be by the
    /// last put.
    #[inline]
    pub(crate) fn remove(&mut self, frames: &Frames, pfn: Pfn) {
        let page = &frames[pfn];
        let list = LruList::of(page.word()) as usize;
        self.lists[list].op().remove(frames, pfn);
        self.pages[list] -= 1 << page.order();
    }
}
