//! The LRU lists of one node. The caller of each method holds the lruvec lock.

use super::generations::{End, Generations};
use super::model::{Lists, Scan, Verb};
use crate::page::{Dropped, Flags, Frames, List, Page, Pfn, Word, reckon};
use crate::profile::LruPolicy;
use crate::sync::ops::ListOps;
use crate::sync::{Mutation, Tallied, mutated};

/// The five LRU lists of a node.
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

    /// True if this is a list of file pages.
    pub fn is_file(self) -> bool {
        matches!(self, LruList::InactiveFile | LruList::ActiveFile)
    }

    /// The list on which a page with this word belongs. The list is computed from the flags and
    /// never stored, so that the two cannot disagree. A page that is not swap-backed counts as a
    /// file page.
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

    /// Returns true for the two anonymous lists.
    pub const fn is_anon(self) -> bool {
        matches!(self, LruList::InactiveAnon | LruList::ActiveAnon)
    }

    /// The inactive list of file pages or of anonymous pages.
    pub const fn inactive(file: bool) -> LruList {
        if file { LruList::InactiveFile } else { LruList::InactiveAnon }
    }

    /// The active list of file pages or of anonymous pages.
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
    /// The generations of the policy `mglru`, which replace the first four lists.
    generations: Option<Box<Generations>>,
    /// Recent cost of reclaim, for anonymous and for file pages: pages that reclaim scanned and had
    /// to leave, and pages that came back after an eviction.
    costs: [u32; 2],
    /// The explored build's model of these lists; empty elsewhere.
    model: Lists,
}

impl Lruvec {
    /// Empty lists.
    pub(crate) fn new(policy: LruPolicy) -> Lruvec {
        let lists = std::array::from_fn(|_| Tallied::new(List::EMPTY));
        let generations = (policy == LruPolicy::Mglru).then(|| Box::new(Generations::new()));
        Lruvec { policy, lists, pages: [0; 5], generations, costs: [0; 2], model: Lists::default() }
    }

    /// The counter of base pages on a list. Under `mglru` the youngest two generations count as the
    /// active list.
    pub fn pages(&self, list: LruList) -> u32 {
        match &self.generations {
            Some(generations) if list != LruList::Unevictable => {
                let active = matches!(list, LruList::ActiveAnon | LruList::ActiveFile);
                generations.pages(usize::from(!list.is_anon()), active)
            }
            _ => self.pages[list as usize],
        }
    }

    /// A list, for reading. Under `mglru` it is empty, because the generations link the pages.
    pub fn list(&self, list: LruList) -> &List {
        self.lists[list as usize].look()
    }

    /// Every list that links pages, with its kind, its generation under `mglru`, and its counter;
    /// for audits.
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

    /// Reports the change of a page by an operation to the model; the model compares the page's list with its
    /// own.
    #[inline(always)]
    pub(crate) fn tell(&mut self, frames: &Frames, verb: Verb, pfn: Pfn) {
        #[cfg(feature = "explored")]
        if crate::sync::explored::checks_all() {
            self.tell_model(frames, verb, pfn);
        }
        #[cfg(not(feature = "explored"))]
        let _ = (frames, verb, pfn);
    }

    #[cfg(feature = "explored")]
    fn tell_model(&mut self, frames: &Frames, verb: Verb, pfn: Pfn) {
        let Lruvec { lists, generations, model, .. } = self;
        let word = crate::sync::explored::glance(|| frames[pfn].word());
        let place = match LruList::of(word) {
            LruList::Unevictable => None,
            _ if generations.is_some() => {
                let generations = generations.as_deref();
                generations.zip(word.generation()).map(|(all, number)| all.numbered(word, number))
            }
            list => Some((list as usize, lists[list as usize].look())),
        };
        model.tell(frames, verb, pfn, place);
    }

    /// Begins a new youngest generation. Does nothing under another policy than `mglru`.
    pub(crate) fn age(&mut self, frames: &Frames) {
        let Some(generations) = &mut self.generations else { return };
        for (from, into) in generations.age(frames).into_iter().flatten() {
            self.model.join(from, into);
        }
    }

    /// The pages that a scan of a list must meet.
    #[inline(always)]
    pub(crate) fn expect_scan(&self, list: LruList) -> Scan {
        self.model.scan(list as usize)
    }

    /// Recent cost of reclaim, for anonymous and for file pages.
    pub(crate) fn costs(&self) -> [u32; 2] {
        self.costs
    }

    /// Adds to the cost of a class the pages that reclaim had to leave, or that came back after an
    /// eviction (`lru_note_cost`). Both costs are halved once their sum exceeds a quarter of the
    /// listed pages, so that old costs count less.
    pub(crate) fn note_cost(&mut self, file: bool, pages: u32) {
        self.costs[usize::from(file)] += pages;
        let listed: u32 = LruList::ALL.iter().take(4).map(|&list| self.pages(list)).sum();
        if self.costs.iter().sum::<u32>() > listed / 4 {
            self.costs = self.costs.map(|cost| cost / 2);
        }
    }

    /// Sets `LRU` on a page that is on no list, and links it at the head of the list where it
    /// belongs.
    #[inline]
    pub(crate) fn add(&mut self, frames: &Frames, pfn: Pfn) -> Evictability {
        let page = &frames[pfn];
        let word = page.set_lru(pfn);
        self.place(frames, page, pfn, word)
    }

    /// Links a page that the caller has isolated at the head of the list where it belongs, and
    /// drops the isolation's reference. `None` if that was the last reference: the page is then on
    /// no list, and the caller frees it.
    ///
    /// `LRU` is set before the drop. Another thread may drop the last reference right after it:
    /// that thread finds `LRU` set, waits for the lruvec lock and unlinks the page. If the flag
    /// were set after the drop, that thread would free the page while it is being linked.
    pub(crate) fn putback(&mut self, frames: &Frames, pfn: Pfn) -> Option<Evictability> {
        let page = &frames[pfn];
        if mutated(Mutation::PutbackDropsFirst) {
            let Dropped::Live = page.drop_refs(pfn, 1) else {
                page.clear(Flags::ACTIVE | Flags::UNEVICTABLE);
                return None;
            };
            return Some(self.add(frames, pfn));
        }
        let word = page.set_lru(pfn);
        match page.drop_refs(pfn, 1) {
            Dropped::Live => Some(self.place(frames, page, pfn, word)),
            Dropped::Last(_) => {
                page.clear(Flags::LRU | Flags::ACTIVE | Flags::UNEVICTABLE);
                None
            }
        }
    }

    /// Links a page at the head of the list where it belongs. `word` is the page's word from before
    /// `LRU` was set.
    #[inline]
    fn place(&mut self, frames: &Frames, page: &Page, pfn: Pfn, mut word: Word) -> Evictability {
        let mut change = Evictability::Kept;
        if word.any(Flags::UNEVICTABLE | Flags::MLOCKED) {
            (word, change) = settle(page, word);
        }
        self.link(frames, page, pfn, word);
        if word.has(Flags::UNEVICTABLE) {
            // The number of mlocks starts at 0. A thread that mlocks the page may still have its
            // count in a batch, or may have been counted before the isolation. A number that is too
            // low makes the page evictable early, and reclaim looks at it again; one that is too
            // high would keep the page unevictable for good.
            page.set_mlock_count(0);
        }
        change
    }

    /// Sets `LRU` and links a page at the head of the list that its flags name. The caller has
    /// decided whether the page is evictable.
    pub(crate) fn relink(&mut self, frames: &Frames, pfn: Pfn) {
        let page = &frames[pfn];
        let word = page.set_lru(pfn);
        self.link(frames, page, pfn, word);
    }

    /// Like [`Lruvec::relink`], but at the tail of the list, where reclaim takes pages.
    pub(crate) fn relink_tail(&mut self, frames: &Frames, pfn: Pfn) {
        let word = frames[pfn].set_lru(pfn);
        reckon::linked(&frames[pfn], !word.has(Flags::UNEVICTABLE));
        if !word.has(Flags::UNEVICTABLE) {
            reckon::linked_at_tail(&frames[pfn]);
        }
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

    /// The word as the policy sees it: only `two_list` has active lists, so under the other
    /// policies `ACTIVE` is cleared in the word and in the page.
    #[inline]
    fn settled(&self, page: &Page, word: Word) -> Word {
        if self.policy == LruPolicy::TwoList || !word.has(Flags::ACTIVE) {
            return word;
        }
        page.clear(Flags::ACTIVE);
        word.without(Flags::ACTIVE)
    }

    /// Spares a page that the hand of the policy `clock` has reached, if the page is marked
    /// referenced: clears the mark and moves the page to the head of its list. Returns true if the
    /// page was spared. Under another policy no page is spared.
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

    /// Returns true if the policy keeps generations (`mglru`).
    pub(crate) fn has_generations(&self) -> bool {
        self.generations.is_some()
    }

    /// Sets `LRU` on a part of a large page that is being split, and links the part in front of the
    /// head. The part has its flags already, and the list's counter includes it. Not to be called
    /// under a policy with generations.
    pub(crate) fn link_part(&mut self, frames: &Frames, part: Pfn, head: Pfn) {
        let list = LruList::of(frames[part].set_lru(part));
        reckon::linked(&frames[part], list != LruList::Unevictable);
        match list {
            LruList::Unevictable => frames[part].set_mlock_count(0),
            _ => self.lists[list as usize].op().insert_before(frames, part, head),
        }
    }

    #[inline]
    fn link(&mut self, frames: &Frames, page: &Page, pfn: Pfn, word: Word) {
        reckon::linked(page, !word.has(Flags::UNEVICTABLE));
        if let Some(generations) = &mut self.generations
            && !word.has(Flags::UNEVICTABLE)
        {
            return generations.link(frames, pfn, word, End::Head);
        }
        let list = LruList::of(self.settled(page, word));
        self.pages[list as usize] += 1 << page.order();
        // The unevictable list is only a counter. No scan walks it, and its pages keep their
        // `mlock_count` in one of their list links.
        if list != LruList::Unevictable {
            self.lists[list as usize].op().push_head(frames, pfn);
        }
    }

    /// Unlinks a page from the list that its flags name. The claim has cleared `LRU`, or the last
    /// put clears it next.
    #[inline]
    pub(crate) fn remove(&mut self, frames: &Frames, pfn: Pfn) {
        let page = &frames[pfn];
        let list = LruList::of(page.word());
        if let Some(generations) = &mut self.generations
            && list != LruList::Unevictable
        {
            generations.remove(frames, pfn);
            // A page on a list of generations has `ACTIVE` clear, and is unlinked as an inactive page. So the
            // drain of files counts no deactivation of it, although the removal sets `ACTIVE` on young pages
            // (`lru_deactivate_file` of 6.12).
            return reckon::unlinked(page, false);
        }
        match list {
            LruList::Unevictable => page.forget_mlock_count(),
            // The page is unlinked before it is uncounted: `List::remove` reports a page that is on
            // no list, and an underflow of the counter would hide that report.
            _ => self.lists[list as usize].op().remove(frames, pfn),
        }
        self.pages[list as usize] -= 1 << page.order();
        reckon::unlinked(page, matches!(list, LruList::ActiveAnon | LruList::ActiveFile));
    }
}

/// The change in a page's evictability when it was linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evictability {
    /// No change.
    Kept,
    /// The page was unevictable and is evictable now.
    Rescued,
    /// The page has become unevictable.
    Culled,
}

/// Decides whether a page that was unevictable or is mlocked is evictable, and sets its flags so.
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
