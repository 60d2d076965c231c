//! Generations: the multi-generational LRU (lifecycle 5.10).
//!
//! Each class, anonymous and file, has two to four generations: a window of sequence numbers, of which number `seq`
//! is list `seq % 4`. The youngest two count as active. A page's word says its generation; `ACTIVE` is clear on a
//! list, and is set when the page leaves an active one, so that a migration keeps its age.
//!
//! ```text
//!   min_seq (one a class)                          max_seq
//!   oldest          ...          second youngest   youngest
//!     |  evicted from the tail         ^              ^
//!     |                                | new          | used through an entry, since the last walk
//!     +-- accessed through files: one generation younger
//! ```
//!
//! *Tiers* tell pages of one generation apart that were accessed through files more than once: tier 1 twice, 2 three times
//! or four, 3 that and came back after an eviction before. Which tiers are spared is found out: those whose pages come
//! back at a higher rate than the pages of tier 0 do.

use crate::page::{Flags, Frames, List, Pfn, Word};
use crate::sync::Tallied;
use crate::sync::ops::ListOps;

/// Generations of a class at most: what the page word tells apart.
pub(crate) const MAX_NR_GENS: u32 = 4;
/// And at least: the youngest two are active.
pub(crate) const MIN_NR_GENS: u32 = 2;
/// Tiers of a generation.
pub(crate) const MAX_NR_TIERS: usize = 4;
/// Refaults of a tier before its rate says anything (`MIN_LRU_BATCH`).
const ENOUGH: u32 = 64;

/// A list of pages.
pub(super) type Counted = Tallied<List, ListOps>;

/// Evictions and refaults of a class, by tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Rates {
    evicted: [u32; MAX_NR_TIERS],
    refaulted: [u32; MAX_NR_TIERS],
}

/// The generations of a lruvec.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Generations {
    max_seq: u32,
    /// Anonymous and file.
    min_seq: [u32; 2],
    lists: [[Counted; MAX_NR_GENS as usize]; 2],
    pages: [[u32; MAX_NR_GENS as usize]; 2],
    rates: [Rates; 2],
}

/// Where on the list of its generation a page is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Head,
    Tail,
}

/// Which class a word belongs to: 0 for anonymous, 1 for file.
pub(super) fn class(word: Word) -> usize {
    usize::from(!word.has(Flags::SWAPBACKED))
}

impl Generations {
    /// All four, empty.
    pub(super) fn new() -> Generations {
        Generations {
            max_seq: MAX_NR_GENS - 1,
            min_seq: [0; 2],
            lists: std::array::from_fn(|_| std::array::from_fn(|_| Tallied::new(List::EMPTY))),
            pages: [[0; MAX_NR_GENS as usize]; 2],
            rates: [Rates::default(); 2],
        }
    }

    fn slot(seq: u32) -> usize {
        (seq % MAX_NR_GENS) as usize
    }

    /// Is this generation one of the youngest two?
    pub(super) fn is_active(&self, generation: u8) -> bool {
        let slot = usize::from(generation);
        slot == Self::slot(self.max_seq) || slot == Self::slot(self.max_seq - 1)
    }

    /// The sequence number of a class's oldest generation.
    pub(crate) fn min_seq(&self, class: usize) -> u32 {
        self.min_seq[class]
    }

    /// Base pages of a class, in its active or in its other generations.
    pub(super) fn pages(&self, class: usize, active: bool) -> u32 {
        (0..MAX_NR_GENS as u8)
            .filter(|&generation| self.is_active(generation) == active)
            .map(|generation| self.pages[class][usize::from(generation)])
            .sum()
    }

    /// Every list with its class, its generation and what it counts; for audits.
    pub(crate) fn lists(&self) -> impl Iterator<Item = (usize, u8, &List, u32)> {
        (0..2).flat_map(move |class| {
            (0..MAX_NR_GENS as u8).map(move |generation| {
                let slot = usize::from(generation);
                (class, generation, self.lists[class][slot].look(), self.pages[class][slot])
            })
        })
    }

    /// Links a page that is on no list where a page with this word belongs. To the tail comes what is to go first.
    pub(super) fn link(&mut self, frames: &Frames, pfn: Pfn, word: Word, end: End) {
        let class = class(word);
        let oldest = self.min_seq[class];
        let workingset = u32::from(word.has(Flags::WORKINGSET));
        let being_written = word.has(Flags::RECLAIM) && word.any(Flags::DIRTY | Flags::WRITEBACK);
        let seq = match end {
            End::Tail => oldest,
            End::Head if word.has(Flags::ACTIVE) => self.max_seq - 1 + workingset,
            End::Head if class == 0 && !word.has(Flags::SWAPCACHE) || being_written => self.max_seq - 1,
            End::Head => (oldest + workingset).min(self.max_seq),
        };
        self.enter(frames, pfn, class, seq.max(oldest), end);
    }

    fn enter(&mut self, frames: &Frames, pfn: Pfn, class: usize, seq: u32, end: End) {
        let (page, slot) = (&frames[pfn], Self::slot(seq));
        page.enter_generation(slot as u8);
        self.pages[class][slot] += 1 << page.order();
        match end {
            End::Head => self.lists[class][slot].op().push_head(frames, pfn),
            End::Tail => self.lists[class][slot].op().push_tail(frames, pfn),
        }
    }

    /// Unlinks a page; its `ACTIVE` says from where.
    pub(super) fn remove(&mut self, frames: &Frames, pfn: Pfn) {
        let page = &frames[pfn];
        let word = page.word();
        let Some(generation) = word.generation() else {
            crate::sync::broken("unlink of an unlinked page", format_args!("page {pfn} ({word})"));
        };
        let (class, slot) = (class(word), usize::from(generation));
        self.lists[class][slot].op().remove(frames, pfn);
        self.pages[class][slot] -= 1 << page.order();
        page.leave_generation(self.is_active(generation));
    }

    /// Are there too few generations to take a page from the oldest: would an active one be next?
    pub(crate) fn needs_aging(&mut self, class: usize) -> bool {
        while self.min_seq[class] + MIN_NR_GENS <= self.max_seq
            && self.lists[class][Self::slot(self.min_seq[class])].look().is_empty()
        {
            self.min_seq[class] += 1;
        }
        self.min_seq[class] + MIN_NR_GENS > self.max_seq
    }

    /// The last page of the oldest generation.
    pub(super) fn tail(&self, class: usize) -> Option<Pfn> {
        self.lists[class][Self::slot(self.min_seq[class])].look().tail()
    }

    /// One generation younger: a page of the oldest that is spared. What it was spared for is forgotten.
    pub(super) fn spare(&mut self, frames: &Frames, pfn: Pfn) {
        let class = class(frames[pfn].word());
        self.remove(frames, pfn);
        frames[pfn].forget_accesses();
        self.enter(frames, pfn, class, self.min_seq[class] + 1, End::Tail);
    }

    /// To the youngest generation: a page that an entry has used. It is on a list.
    pub(super) fn promote(&mut self, frames: &Frames, pfn: Pfn) {
        let class = class(frames[pfn].word());
        self.remove(frames, pfn);
        frames[pfn].forget_accesses();
        self.enter(frames, pfn, class, self.max_seq, End::Head);
    }

    /// A new youngest generation (`inc_max_seq`). A class that has all four gives its oldest up, whose pages are the first
    /// of the next.
    pub(crate) fn age(&mut self, frames: &Frames) {
        for class in 0..2 {
            if self.max_seq - self.min_seq[class] + 1 == MAX_NR_GENS {
                let next = self.min_seq[class] + 1;
                while let Some(pfn) = self.lists[class][Self::slot(next - 1)].look().head() {
                    self.remove(frames, pfn);
                    self.enter(frames, pfn, class, next, End::Tail);
                }
                self.min_seq[class] = next;
            }
        }
        self.max_seq += 1;
        for rates in &mut self.rates {
            // What is long ago counts less.
            rates.evicted = rates.evicted.map(|pages| pages / 2);
            rates.refaulted = rates.refaulted.map(|pages| pages / 2);
        }
    }

    /// The highest tier that is not spared: the first whose pages come back more often than those of tier 0 do, less
    /// one.
    pub(super) fn threshold(&self, class: usize) -> usize {
        let Rates { evicted, refaulted } = self.rates[class];
        let often = |tier: usize| {
            let gain = 2;
            let rate = u64::from(refaulted[tier]) * u64::from(evicted[0] + ENOUGH);
            refaulted[tier] >= ENOUGH && rate > u64::from(refaulted[0] + 1) * u64::from(evicted[tier]) * gain
        };
        (1..MAX_NR_TIERS).find(|&tier| often(tier)).unwrap_or(MAX_NR_TIERS) - 1
    }

    /// Pages of a tier were evicted; the sequence number to remember.
    pub(super) fn evicted(&mut self, class: usize, tier: usize, pages: u32) -> u32 {
        let count = &mut self.rates[class].evicted[tier];
        *count = count.saturating_add(pages);
        self.min_seq[class]
    }

    /// They are back. False if that was so long ago that it says nothing.
    pub(super) fn refaulted(&mut self, class: usize, tier: usize, seq: u32, pages: u32) -> bool {
        let recent = self.max_seq.wrapping_sub(seq) < 2 * MAX_NR_GENS;
        if recent {
            let count = &mut self.rates[class].refaulted[tier];
            *count = count.saturating_add(pages);
        }
        recent
    }
}
