//! Generations: the multi-generational LRU (lifecycle 5.10).
//!
//! Each class of pages, anonymous and file, has two to four generations, numbered by a window of
//! sequence numbers; generation `seq` is list `seq % 4`. The youngest two count as active. The word
//! of a listed page holds its generation. `ACTIVE` is clear while a page is on a list. It is set
//! when the page leaves one of the two active generations, so that a migrated page keeps its age.
//!
//! ```text
//!   min_seq (one a class)                          max_seq
//!   oldest          ...          second youngest   youngest
//!     ^                                ^              ^
//!     | new pages of files             | new          | used through an entry, since the last walk
//!     |                                | anonymous pages
//!     +-- evicted from the tail; a page that the scan spares goes one generation up
//! ```
//!
//! *Tiers* divide the pages of one generation by their accesses through files. Pages of tier 1 were
//! accessed twice, those of tier 2 three or four times, and those of tier 3 came back after an
//! eviction. A scan spares the lowest tier whose evicted pages come back more than twice as often as
//! those of tier 0, and all tiers above it.

use crate::page::{Flags, Frames, List, Pfn, Word};
use crate::sync::Tallied;
use crate::sync::ops::ListOps;

/// The most generations that a class can have: as many as the page word can number.
pub(crate) const MAX_NR_GENS: u32 = 4;
/// The fewest generations that a class can have: the two active ones.
pub(crate) const MIN_NR_GENS: u32 = 2;
/// The number of lists of the other policies.
const LISTS: usize = 5;
/// Number of tiers in a generation.
pub(crate) const MAX_NR_TIERS: usize = 4;
/// The rate of a tier counts once the tier has this many refaults (`MIN_LRU_BATCH`).
const MIN_LRU_BATCH: u32 = 64;

/// A list whose operations the counted build counts.
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
    /// The oldest generation of each class, anonymous and file.
    min_seq: [u32; 2],
    lists: [[Counted; MAX_NR_GENS as usize]; 2],
    pages: [[u32; MAX_NR_GENS as usize]; 2],
    rates: [Rates; 2],
}

/// The end of its generation's list at which a page is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Head,
    Tail,
}

/// The class of a page with this word: 0 for anonymous, 1 for file.
pub(super) fn class(word: Word) -> usize {
    usize::from(!word.has(Flags::SWAPBACKED))
}

impl Generations {
    /// Four generations in each class, all empty.
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

    /// The number by which the model knows the list of a generation. The numbers come after
    /// those of the lists of the other policies.
    fn number(class: usize, seq: u32) -> usize {
        LISTS + class * MAX_NR_GENS as usize + Self::slot(seq)
    }

    /// The number and the list of the generation that a page with this word is in.
    #[cfg(feature = "explored")]
    pub(super) fn numbered(&self, word: Word, generation: u8) -> (usize, &List) {
        let class = class(word);
        (Self::number(class, generation.into()), self.lists[class][usize::from(generation)].look())
    }

    /// Returns true if the generation is one of the youngest two.
    pub(super) fn is_active(&self, generation: u8) -> bool {
        let slot = usize::from(generation);
        slot == Self::slot(self.max_seq) || slot == Self::slot(self.max_seq - 1)
    }

    /// The sequence number of a class's oldest generation.
    pub(crate) fn min_seq(&self, class: usize) -> u32 {
        self.min_seq[class]
    }

    /// Base pages of a class, in its active generations or in its other ones.
    pub(super) fn pages(&self, class: usize, active: bool) -> u32 {
        (0..MAX_NR_GENS as u8)
            .filter(|&generation| self.is_active(generation) == active)
            .map(|generation| self.pages[class][usize::from(generation)])
            .sum()
    }

    /// Every list with its class, its generation and its counter; for audits.
    pub(crate) fn lists(&self) -> impl Iterator<Item = (usize, u8, &List, u32)> {
        (0..2).flat_map(move |class| {
            (0..MAX_NR_GENS as u8).map(move |generation| {
                let slot = usize::from(generation);
                (class, generation, self.lists[class][slot].look(), self.pages[class][slot])
            })
        })
    }

    /// Links a page that is on no list in the generation where a page with this word belongs.
    /// `End::Tail` is for a page that reclaim should take first: it goes to the oldest generation.
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

    /// Unlinks a page, and sets its `ACTIVE` if it leaves one of the youngest two generations.
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

    /// Returns true if the class has no generation besides the two active ones, so that a new one
    /// must begin before reclaim can take a page. Drops empty oldest generations first.
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

    /// Moves a spared page of the oldest generation to the next younger one, and forgets its accesses.
    /// Otherwise the same accesses would spare the page in every later scan.
    pub(super) fn spare(&mut self, frames: &Frames, pfn: Pfn) {
        let class = class(frames[pfn].word());
        self.remove(frames, pfn);
        frames[pfn].forget_accesses();
        self.enter(frames, pfn, class, self.min_seq[class] + 1, End::Tail);
    }

    /// Moves a listed page that was accessed through an entry to the youngest generation.
    pub(super) fn promote(&mut self, frames: &Frames, pfn: Pfn) {
        let class = class(frames[pfn].word());
        self.remove(frames, pfn);
        frames[pfn].forget_accesses();
        self.enter(frames, pfn, class, self.max_seq, End::Head);
    }

    /// Begins a new youngest generation (`inc_max_seq`). A class that has four generations already
    /// first moves the pages of its oldest one to the tail of the next, where reclaim takes them
    /// first.
    ///
    /// Returns for each class the numbers of the list that was emptied and of the list that got its pages.
    pub(super) fn age(&mut self, frames: &Frames) -> [Option<(usize, usize)>; 2] {
        let mut joined = [None; 2];
        for (class, joined) in joined.iter_mut().enumerate() {
            if self.max_seq - self.min_seq[class] + 1 == MAX_NR_GENS {
                let next = self.min_seq[class] + 1;
                while let Some(pfn) = self.lists[class][Self::slot(next - 1)].look().head() {
                    self.remove(frames, pfn);
                    self.enter(frames, pfn, class, next, End::Tail);
                }
                self.min_seq[class] = next;
                *joined = Some((Self::number(class, next - 1), Self::number(class, next)));
            }
        }
        self.max_seq += 1;
        for rates in &mut self.rates {
            // The rates are halved, so that old evictions and refaults count less.
            rates.evicted = rates.evicted.map(|pages| pages / 2);
            rates.refaulted = rates.refaulted.map(|pages| pages / 2);
        }
        joined
    }

    /// The highest tier that a scan does not spare. The scan spares the first tier whose pages come
    /// back more than twice as often as those of tier 0, and all tiers above it.
    pub(super) fn threshold(&self, class: usize) -> usize {
        let Rates { evicted, refaulted } = self.rates[class];
        let often = |tier: usize| {
            let gain = 2;
            let rate = u64::from(refaulted[tier]) * u64::from(evicted[0] + MIN_LRU_BATCH);
            refaulted[tier] >= MIN_LRU_BATCH
                && rate > u64::from(refaulted[0] + 1) * u64::from(evicted[tier]) * gain
        };
        (1..MAX_NR_TIERS).find(|&tier| often(tier)).unwrap_or(MAX_NR_TIERS) - 1
    }

    /// Counts evicted pages of a tier, and returns the sequence number of their generation for the
    /// shadow.
    pub(super) fn evicted(&mut self, class: usize, tier: usize, pages: u32) -> u32 {
        let count = &mut self.rates[class].evicted[tier];
        *count = count.saturating_add(pages);
        self.min_seq[class]
    }

    /// Counts pages of a tier that have come back. Returns false, with nothing counted, if the
    /// eviction is too long ago to say anything about the rates.
    pub(super) fn refaulted(&mut self, class: usize, tier: usize, seq: u32, pages: u32) -> bool {
        let recent = self.max_seq.wrapping_sub(seq) < 2 * MAX_NR_GENS;
        if recent {
            let count = &mut self.rates[class].refaulted[tier];
            *count = count.saturating_add(pages);
        }
        recent
    }
}
