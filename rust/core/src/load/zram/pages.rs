//! The pages that are swapped, with the knowledge that one user has of them, and the reclaim that
//! makes room.

use crate::error::Errno;
use crate::load::content::{Layout, MAX_SEQUENCE, Seen, Stamp, Violation, Wrong, check_exact};
use crate::load::fault::{Finding, unless_interrupted};
use crate::machine::Machine;
use crate::map::{AddressSpace, Area};
use crate::memory::WORDS;
use crate::release::Release;
use crate::rng::Rng;
use crate::zram::{Compressor, Zram};
use std::sync::Arc;

/// One word in this many belongs to the page's user. The other words are filled before the first round, or
/// stay zero.
const SHARES: u32 = 16;
/// The user as the writer of its words.
const USER: u32 = 0;

/// The number of areas in which the pages lie.
const AREAS: u32 = 4;

/// The number of pages that one reclaim is to free.
const RECLAIMED: u32 = 64;
/// The number of reclaims after which an access that finds no frame fails.
const MOST_RECLAIMS: u32 = 1000;

/// The state that all users and migrators share.
#[derive(Debug)]
pub(super) struct Place {
    /// The areas, to which the pages belong in turn. One area would not do, because an area cannot
    /// have more pages than the machine has frames.
    areas: Vec<Arc<Area>>,
    pub zram: Arc<Zram>,
    /// The number of users, to which the pages belong in turn.
    pub users: u32,
    /// Free frames of the node below which the users reclaim old pages.
    pub low: u32,
}

impl Place {
    /// Maps the pages.
    pub fn new<R: Release>(
        machine: &Machine<R>,
        space: &AddressSpace,
        (pages, users, low): (u32, u32, u32),
    ) -> crate::error::Result<Place> {
        let areas = (0..AREAS).map(|_| machine.mmap(space, pages / AREAS)).collect::<Result<_, _>>()?;
        // A slot may stay in use for a page that is in memory again, so there are slots for all pages.
        let zram = Zram::new(machine, pages, Compressor::Lz4)?;
        machine.swapon_zram(&zram)?;
        Ok(Place { areas, zram, users, low })
    }

    /// Returns the number of pages.
    pub fn pages(&self) -> u32 {
        self.areas.iter().map(|area| area.pages()).sum()
    }

    /// Returns the area of a page, and its index there.
    pub fn at(&self, page: u32) -> (&Area, u32) {
        (&self.areas[(page % AREAS) as usize], page / AREAS)
    }

    /// Reclaims old pages until `enough` frames are free, or reclaim finds none.
    pub fn relieve<R: Release>(&self, machine: &Machine<R>, enough: u32) -> Result<(), Finding> {
        loop {
            let (buddy, arrays) = machine.free_frames(0);
            if buddy + arrays >= enough {
                return Ok(());
            }
            machine.age_node(0).map_err(Finding::refused("aging"))?;
            if machine.reclaim(0, RECLAIMED).map_err(Finding::refused("reclaim"))? == 0 {
                return Ok(());
            }
        }
    }

    /// Makes an access. If the access finds no free frame, old pages are reclaimed, and the access
    /// is made again.
    pub fn access<R: Release, T>(
        &self,
        machine: &Machine<R>,
        operation: &'static str,
        access: impl Fn() -> crate::error::Result<T>,
    ) -> Result<T, Finding> {
        let mut reclaims = 0;
        loop {
            match access() {
                Err(error) if error.errno == Errno::ENOMEM && reclaims < MOST_RECLAIMS => {
                    reclaims += 1;
                    machine.reclaim(0, RECLAIMED).map_err(Finding::refused("reclaim"))?;
                    std::thread::yield_now();
                }
                done => return done.map_err(Finding::refused(operation)),
            }
        }
    }
}

/// Returns the number of words, of each [`SHARES`] words of a page, that are filled before the
/// first round: 0 for a page of zeroes, to which no user writes.
fn filled(page: u32) -> u32 {
    let bits = page.wrapping_mul(0x9e37_79b1) >> 16;
    match bits % 16 {
        0 => 0,
        1 => SHARES - 1,
        kind => 1 + kind % 6,
    }
}

fn is_filled(page: u32, word: u32) -> bool {
    (1..=filled(page)).contains(&(word % SHARES))
}

/// Returns the random value that fills a word; random values do not compress.
fn filler(page: u32, word: u32) -> u64 {
    Rng::new(u64::from(page), u64::from(word)).bits()
}

/// The knowledge that one user has of all pages.
#[derive(Debug)]
pub(super) struct Pages {
    pub place: Arc<Place>,
    me: u32,
    layout: Layout,
    /// The user's writes to each of its own pages.
    written: Vec<u32>,
    /// The writes of other users that this one has seen.
    seen: Seen,
}

impl Pages {
    pub fn new(place: &Arc<Place>, me: u32) -> Pages {
        let (layout, pages) = (Layout::new(SHARES), place.pages());
        let written = vec![0; pages.div_ceil(place.users) as usize];
        Pages { place: Arc::clone(place), me, layout, written, seen: Seen::new(layout, 0, pages) }
    }

    /// Returns the number of pages.
    pub fn count(&self) -> u32 {
        self.place.pages()
    }

    /// Returns the user's own pages.
    fn own(&self) -> impl Iterator<Item = u32> + use<> {
        (self.me..self.count()).step_by(self.place.users as usize)
    }

    /// Returns the user's own page in the group of pages around `page`.
    pub fn own_near(&self, page: u32) -> u32 {
        let own = page / self.place.users * self.place.users + self.me;
        if own < self.count() { own } else { self.me }
    }

    /// Writes the first content to the user's own pages.
    pub fn populate<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        for page in self.own() {
            unless_interrupted()?;
            self.place.relieve(machine, self.place.low)?;
            // A page of zeroes is written to as well, so that it has a frame.
            self.store(machine, page, 0, 0)?;
            for word in (0..WORDS as u32).filter(|word| is_filled(page, *word)) {
                self.store(machine, page, word, filler(page, word))?;
            }
        }
        Ok(())
    }

    fn store<R: Release>(
        &self,
        machine: &Machine<R>,
        page: u32,
        word: u32,
        value: u64,
    ) -> Result<(), Finding> {
        let (area, index) = self.place.at(page);
        self.place.access(machine, "a store", || machine.write_word(area, index, word as usize, value))
    }

    fn load<R: Release>(&self, machine: &Machine<R>, page: u32, word: u32) -> Result<u64, Finding> {
        let (area, index) = self.place.at(page);
        self.place.access(machine, "a load", || machine.read_word(area, index, word as usize))
    }

    /// Makes the next write to an own page; pages of zeroes stay as they are.
    pub fn write<R: Release>(&mut self, machine: &Machine<R>, page: u32) -> Result<(), Finding> {
        let at = (page / self.place.users) as usize;
        let sequence = self.written[at] + 1;
        if filled(page) == 0 || sequence > MAX_SEQUENCE {
            return Ok(());
        }
        let word = self.layout.word(USER, sequence);
        self.store(machine, page, word, Stamp { page, word, writer: USER, sequence }.encode())?;
        self.written[at] = sequence;
        Ok(())
    }

    /// Reads and checks a word of any page.
    pub fn read<R: Release>(&mut self, machine: &Machine<R>, page: u32, word: u32) -> Result<(), Finding> {
        let value = self.load(machine, page, word)?;
        Ok(self.check(page, word, value)?)
    }

    fn check(&mut self, page: u32, word: u32, value: u64) -> Result<(), Violation> {
        let own = page % self.place.users == self.me;
        match self.layout.writer_of(word) {
            Some(USER) if own => {
                let written = self.written[(page / self.place.users) as usize];
                check_exact(self.layout, page, word, value, written)
            }
            Some(USER) => self.seen.check(page, word, value),
            _ => {
                let expected = if is_filled(page, word) { filler(page, word) } else { 0 };
                match value == expected {
                    true => Ok(()),
                    false => Err(Violation { page, word, value, wrong: Wrong::NotKept { expected } }),
                }
            }
        }
    }

    /// Compares every word of the user's own pages with its exact content; returns the number of words.
    pub fn verify<R: Release>(&mut self, machine: &Machine<R>) -> Result<u64, Finding> {
        let mut words = 0;
        for page in self.own() {
            unless_interrupted()?;
            self.place.relieve(machine, self.place.low)?;
            for word in 0..WORDS as u32 {
                self.read(machine, page, word)?;
            }
            words += WORDS as u64;
        }
        Ok(words)
    }
}
