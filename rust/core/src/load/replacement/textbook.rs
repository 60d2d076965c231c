//! The textbook's replacement: `fifo`, `lru` and `clock` on arrays that a page's number indexes.
//!
//! With batches of one page a machine under one of these policies evicts in the textbook's order: no page
//! waits in a batch, none is active, and reclaim takes the page that the list offers. Then the order of the
//! pages is all that the machine contributes, and arrays keep this order without a record, a lock or a
//! reference for each page. A test compares every count with that of a machine ([`super::machine`]).

use super::Events;
use crate::error::Result;
use crate::memory::{filled, room};
use crate::profile::{LruPolicy, Profile};

/// The state of a page in the arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum State {
    /// The memory never held the page.
    New,
    /// The page was evicted.
    Evicted,
    /// The memory holds the page.
    Held,
    /// The memory holds the page, and the page was used since the hand of `clock` passed it.
    Marked,
}

/// A memory under a textbook's policy.
#[derive(Debug)]
pub(super) enum Textbook {
    /// Pages in the order of their last use.
    Lru(ByUse),
    /// Pages in the order of their arrival.
    Ring(Ring),
}

impl Textbook {
    /// Makes an empty memory of `size` pages for page numbers below `footprint`. `None` if the profile's
    /// policy is no textbook's, or if its batches hold more than one page.
    pub(super) fn new(profile: &Profile, footprint: u32, size: u32) -> Result<Option<Textbook>> {
        if profile.pagevec != 1 {
            return Ok(None);
        }
        Ok(match profile.lru_policy {
            LruPolicy::Lru => Some(Textbook::Lru(ByUse::new(footprint, size)?)),
            LruPolicy::Fifo => Some(Textbook::Ring(Ring::new(footprint, size, State::Held)?)),
            LruPolicy::Clock => Some(Textbook::Ring(Ring::new(footprint, size, State::Marked)?)),
            LruPolicy::TwoList | LruPolicy::Mglru => None,
        })
    }

    /// Performs requests, and returns how many of them missed.
    pub(super) fn run(&mut self, requests: &[u32]) -> u64 {
        match self {
            Textbook::Lru(memory) => memory.run(requests),
            Textbook::Ring(memory) => memory.run(requests),
        }
    }

    /// The page events so far.
    pub(super) fn events(&self) -> Events {
        match self {
            Textbook::Lru(memory) => memory.events,
            Textbook::Ring(memory) => memory.events,
        }
    }
}

/// The neighbours of a page in the order of last use: the page used next after it and the one used last
/// before it, as positions. A page that the memory does not hold has its [`State`] in the place of `newer`.
#[derive(Clone, Copy, Debug)]
struct Links {
    newer: u32,
    older: u32,
}

/// A memory under `lru`.
#[derive(Debug)]
pub(super) struct ByUse {
    /// Page `n` is at `n + FIRST`. The position [`ENDS`] joins the two ends of the order: its `older` is the
    /// page used last, its `newer` the page to evict.
    links: Vec<Links>,
    free: u32,
    events: Events,
}

/// The position that is no page's. Lower numbers in the place of a link are states.
const ENDS: u32 = 2;
/// The position of page 0.
const FIRST: u32 = ENDS + 1;

impl ByUse {
    fn new(footprint: u32, size: u32) -> Result<ByUse> {
        let absent = Links { newer: State::New as u32, older: 0 };
        let mut links = filled("the pages of a trace", footprint as usize + FIRST as usize, absent)?;
        links[ENDS as usize] = Links { newer: ENDS, older: ENDS };
        Ok(ByUse { links, free: size, events: Events::default() })
    }

    fn run(&mut self, requests: &[u32]) -> u64 {
        let mut misses = 0;
        let mut events = self.events;
        for &page in requests {
            let at = page + FIRST;
            let Links { newer, older } = self.links[at as usize];
            if newer >= ENDS {
                events.activated += 1;
                // The page used last stays where it is.
                if newer == ENDS {
                    continue;
                }
                self.join(newer, older);
            } else {
                misses += 1;
                events.refaulted += i64::from(newer == State::Evicted as u32);
                match self.free {
                    0 => {
                        events.scanned += 1;
                        self.evict();
                    }
                    _ => self.free -= 1,
                }
            }
            let last = self.links[ENDS as usize].older;
            self.links[at as usize] = Links { newer: ENDS, older: last };
            self.links[last as usize].newer = at;
            self.links[ENDS as usize].older = at;
        }
        self.events = events;
        misses
    }

    /// Makes two pages neighbours.
    #[inline]
    fn join(&mut self, newer: u32, older: u32) {
        self.links[newer as usize].older = older;
        self.links[older as usize].newer = newer;
    }

    /// Evicts the page that was used before all others.
    #[inline]
    fn evict(&mut self) {
        let oldest = self.links[ENDS as usize].newer;
        let newer = self.links[oldest as usize].newer;
        self.join(newer, ENDS);
        self.links[oldest as usize].newer = State::Evicted as u32;
    }
}

/// A memory under `fifo` or `clock`. The hand goes round the places of the pages, and a page that it evicts
/// gives its place to the page that is read in.
#[derive(Debug)]
pub(super) struct Ring {
    states: Vec<State>,
    /// The pages by place, as many as the memory holds now.
    places: Vec<u32>,
    size: u32,
    hand: usize,
    /// The state of a page after another use.
    used: State,
    events: Events,
}

impl Ring {
    fn new(footprint: u32, size: u32, used: State) -> Result<Ring> {
        let states = filled("the pages of a trace", footprint as usize, State::New)?;
        // A memory larger than the trace never fills.
        let places = room("the pages of a memory", size.min(footprint) as usize)?;
        Ok(Ring { states, places, size, hand: 0, used, events: Events::default() })
    }

    fn run(&mut self, requests: &[u32]) -> u64 {
        let mut misses = 0;
        for &page in requests {
            let state = &mut self.states[page as usize];
            let before = *state;
            if before >= State::Held {
                *state = self.used;
                continue;
            }
            *state = State::Held;
            misses += 1;
            self.events.refaulted += i64::from(before == State::Evicted);
            match self.places.len() < self.size as usize {
                true => self.places.push(page),
                false => self.replace(page),
            }
        }
        misses
    }

    /// Moves the hand to the next page without a mark, and gives that page's place to another one. The marks
    /// of the pages in between are cleared.
    #[inline]
    fn replace(&mut self, page: u32) {
        loop {
            self.events.scanned += 1;
            let place = &mut self.places[self.hand];
            self.hand += 1;
            if self.hand == self.size as usize {
                self.hand = 0;
            }
            let state = &mut self.states[*place as usize];
            match *state {
                State::Marked => *state = State::Held,
                _ => {
                    *state = State::Evicted;
                    *place = page;
                    return;
                }
            }
        }
    }
}
