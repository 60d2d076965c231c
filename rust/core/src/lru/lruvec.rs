//! The LRU lists of one node. Everything here happens under the lruvec lock.

use super::generations::{End, Generations};
use crate::page::{Dropped, Flags, Frames, List, Page, Pfn, Word};
use crate::profile::LruPolicy;
use crate::sync::ops::ListOps;
use crate::sync::{Mutation, Tallied, mutated};

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

    /// Of the two anonymous ones?
    pub const fn is_anon(self) -> bool {
        matches!(self, LruList::InactiveAnon | LruList::ActiveAnon)
    }

    /// The inactive list of a class.
    pub const fn inactive(file: bool) -> LruList {
        if file { LruList::InactiveFile } else { LruList::InactiveAnon }
    }

    /// The active list of a class.
    pub const fn active(file: bool) -> LruList {
        if file { LruList::ActiveFile } else { LruList::ActiveAnon }
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
    policy: LruPolicy,
    lists: [Tallied<List, ListOps>; 5],
    pages: [u32; 5],
    /// Of the policy `mglru`, instead of the first four lists.
    generations: Option<Box<Generations>>,
    /// What reclaim has cost lately, anonymous and file: pages that it looked at and had to leave.
    costs: [u32; 2],
}

impl Lruvec {
    /// Empty lists.
    pub(crate) fn new(policy: LruPolicy) -> Lruvec {
        let lists = std::array::from_fn(|_| Tallied::new(List::EMPTY));
        let generations = (policy == LruPolicy::Mglru).then(|| Box::new(Generations::new()));
        Lruvec { policy, lists, pages: [0; 5], generations, costs: [0; 2] }
    }

    /// Base pages on a list: the counter. Of `mglru` the active list is the youngest two generations.
    pub fn pages(&self, list: LruList) -> u32 {
        match &self.generations {
            Some(generations) if list != LruList::Unevictable => {
                let active = matches!(list, LruList::ActiveAnon | LruList::ActiveFile);
                generations.pages(usize::from(!list.is_anon()), active)
            }
            _ => self.pages[list as usize],
        }
    }

    /// The list itself, to look at; of `mglru` the pages are elsewhere.
    pub fn list(&self, list: LruList) -> &List {
        self.lists[list as usize].look()
    }

    /// Every list that links pages: what it is, its generation, and what it counts; for audits.
    pub(crate) fn all(&self) -> Vec<(LruList, Option<u8>, &List, u32)> {
        let Some(generations) = &self.generations else {
            let linked = LruList::ALL.into_iter().filter(|&list| list != LruList::Unevictable);
            return linked.map(|list| (list, None, self.list(list), self.pages[list as usize])).collect();
        };
        let all = generations.lists().map(|(class, generation, list, pages)| {
            let kind = match generations.is_active(generation) {
                true => LruList::active(class == 1),
                false => LruList::inactive(class == 1),
            };
            (kind, Some(generation), list, pages)
        });
        all.collect()
    }

    /// The generations of `mglru`.
    pub(crate) fn generations(&mut self) -> Option<&mut Generations> {
        self.generations.as_deref_mut()
    }

    /// What reclaim of anonymous pages and of files has cost lately.
    pub(crate) fn costs(&self) -> [u32; 2] {
        self.costs
    }

    /// Reclaim of a class had to leave that many pages, or to bring them back (`lru_note_cost`). What is long ago
    /// counts less: as soon as the costs are a quarter of the lists, both are halved.
    pub(crate) fn note_cost(&mut self, file: bool, pages: u32) {
        self.costs[usize::from(file)] += pages;
        let listed: u32 = LruList::ALL.iter().take(4).map(|&list| self.pages(list)).sum();
        if self.costs.iter().sum::<u32>() > listed / 4 {
            self.costs = self.costs.map(|cost| cost / 2);
        }
    }

    /// Sets `LRU` and links a page that comes from no list at the head of the list where it belongs.
    #[inline]
    pub(crate) fn add(&mut self, frames: &Frames, pfn: Pfn) -> Evictability {
        let word = claim_place(&frames[pfn], pfn);
        self.place(frames, pfn, word)
    }

    /// Links an isolated page that belongs to the caller at the head of the list where it belongs, and drops the
    /// isolation's reference. `None` if that was the last one: then the page is on no list, and the caller's to free.
    ///
    /// `LRU` before the drop: whoever drops the last reference afterwards finds it, and waits for the lruvec lock.
    pub(crate) fn putback(&mut self, frames: &Frames, pfn: Pfn) -> Option<Evictability> {
        let page = &frames[pfn];
        if mutated(Mutation::PutbackDropsFirst) {
            let Dropped::Live = page.drop_refs(pfn, 1) else {
                page.clear(Flags::ACTIVE | Flags::UNEVICTABLE);
                return None;
            };
            return Some(self.add(frames, pfn));
        }
        let word = claim_place(page, pfn);
        match page.drop_refs(pfn, 1) {
            Dropped::Live => Some(self.place(frames, pfn, word)),
            Dropped::Last(_) => {
                page.clear(Flags::LRU | Flags::ACTIVE | Flags::UNEVICTABLE);
                None
            }
        }
    }

    /// Links a page whose word was `word` before `LRU` was set.
    #[inline]
    fn place(&mut self, frames: &Frames, pfn: Pfn, mut word: Word) -> Evictability {
        let page = &frames[pfn];
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
        if let Some(generations) = &mut self.generations
            && !word.has(Flags::UNEVICTABLE)
        {
            return generations.link(frames, pfn, word, End::Tail);
        }
        let list = LruList::of(self.settled(&frames[pfn], word));
        self.pages[list as usize] += 1 << frames[pfn].order();
        if list != LruList::Unevictable {
            self.lists[list as usize].op().push_tail(frames, pfn);
        }
    }

    /// The word with what the policy makes of it: of a textbook's no page is active.
    #[inline]
    fn settled(&self, page: &Page, word: Word) -> Word {
        if self.policy == LruPolicy::TwoList || !word.has(Flags::ACTIVE) {
            return word;
        }
        page.clear(Flags::ACTIVE);
        word.without(Flags::ACTIVE)
    }

    /// Whether a page, which a scan has come to, is spared once and goes to the front of its list instead. The
    /// policy `clock`, whose hand this is.
    pub(crate) fn spares(&mut self, frames: &Frames, pfn: Pfn) -> bool {
        let page = &frames[pfn];
        let spared = self.policy == LruPolicy::Clock && page.word().has(Flags::REFERENCED);
        if spared {
            page.clear(Flags::REFERENCED);
            let list = &mut self.lists[LruList::of(page.word()) as usize];
            list.op().remove(frames, pfn);
            list.op().push_head(frames, pfn);
        }
        spared
    }

    /// Does the policy keep generations?
    pub(crate) fn has_generations(&self) -> bool {
        self.generations.is_some()
    }

    /// Sets `LRU` and links a part of a large page that is being split in front of its head: with its flags, and already
    /// among the pages that the list counts. Not where there are generations.
    pub(crate) fn link_part(&mut self, frames: &Frames, part: Pfn, head: Pfn) {
        let list = LruList::of(claim_place(&frames[part], part));
        match list {
            LruList::Unevictable => frames[part].set_mlock_count(0),
            _ => self.lists[list as usize].op().insert_before(frames, part, head),
        }
    }

    #[inline]
    fn link(&mut self, frames: &Frames, pfn: Pfn, word: Word) {
        if let Some(generations) = &mut self.generations
            && !word.has(Flags::UNEVICTABLE)
        {
            return generations.link(frames, pfn, word, End::Head);
        }
        let list = LruList::of(self.settled(&frames[pfn], word));
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
        if let Some(generations) = &mut self.generations
            && list != LruList::Unevictable
        {
            return generations.remove(frames, pfn);
        }
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
