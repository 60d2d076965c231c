//! Pages of one thread that come and go one by one, so that the free frames of a node stay in pieces:
//! anonymous pages, pages of a pool of movable pages, and pages that cannot move.
//!
//! The number of pages of each kind does not change after the set-up: a thread adds a page and then
//! removes a random one.

use super::content::MAX_SEQUENCE;
use super::fault::{Finding, unless_interrupted, unless_short};
use super::ground::{Ground, Terms};
use crate::alloc::MigrateType;
use crate::machine::Machine;
use crate::map::AddressSpace;
use crate::memory::WORDS;
use crate::movable::{PagePool, PoolPage};
use crate::page::Pfn;
use crate::release::Release;
use crate::rng::Rng;
use std::sync::Arc;

/// A page of the pool, with the page number in its stamps and the number of writes to it.
#[derive(Clone, Copy, Debug)]
struct Movable {
    which: PoolPage,
    number: u32,
    written: u32,
}

/// The number of pages of each kind that a thread has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub anon: u32,
    pub movable: u32,
    pub unmovable: u32,
}

impl Shares {
    /// Returns the number of page numbers that a thread needs: twice its pages, because the set-up begins
    /// with twice as many.
    pub fn numbers(self) -> u32 {
        2 * (self.anon + self.movable)
    }
}

/// The kinds of pages that come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Anon,
    Movable,
    Unmovable,
}

/// The pages of one thread. The pages of its area have the lower page numbers, those of the pool the
/// higher ones.
#[derive(Debug)]
pub(super) struct Churn {
    terms: Terms,
    space: Arc<AddressSpace>,
    pool: Arc<PagePool>,
    ground: Ground,
    /// Pages of the area that are mapped, and those that are not.
    present: Vec<u32>,
    absent: Vec<u32>,
    movable: Vec<Movable>,
    /// The page numbers that no page of the pool has now.
    numbers: Vec<u32>,
    unmovable: Vec<Pfn>,
    shares: Shares,
}

impl Churn {
    /// Makes a thread without pages. Its page numbers begin at `first`.
    pub fn new<R: Release>(
        machine: &Machine<R>,
        pool: &Arc<PagePool>,
        terms: Terms,
        shares: Shares,
        first: u32,
    ) -> crate::error::Result<Churn> {
        let space = machine.address_space()?;
        let area = machine.mmap(&space, 2 * shares.anon)?;
        let ground = Ground::private(terms, area, first);
        let pool_first = first + 2 * shares.anon;
        Ok(Churn {
            terms,
            space,
            pool: Arc::clone(pool),
            ground,
            present: Vec::new(),
            absent: (0..2 * shares.anon).collect(),
            movable: Vec::new(),
            numbers: (pool_first..pool_first + 2 * shares.movable).collect(),
            unmovable: Vec::new(),
            shares,
        })
    }

    /// Returns the pages to add at the set-up: twice as many as stay.
    pub fn first_pages(&self) -> impl Iterator<Item = Kind> + use<> {
        let Shares { anon, movable, unmovable } = self.shares;
        let kinds = [(Kind::Anon, anon), (Kind::Movable, movable), (Kind::Unmovable, unmovable)];
        kinds.into_iter().flat_map(|(kind, pages)| (0..2 * pages).map(move |_| kind))
    }

    /// Adds a page. If no frame is free, no page of the pool and no unmovable page is added; the store to a
    /// new anonymous page fails.
    pub fn add<R: Release>(
        &mut self,
        machine: &Machine<R>,
        kind: Kind,
        rng: &mut Rng,
    ) -> Result<(), Finding> {
        match kind {
            Kind::Anon => {
                let Some(index) = draw(&mut self.absent, rng) else { return Ok(()) };
                self.present.push(index);
                self.ground.write(machine, index).map(drop)
            }
            Kind::Movable => {
                let Some(number) = draw(&mut self.numbers, rng) else { return Ok(()) };
                match unless_short("a pool's add", self.pool.add(machine, 0))? {
                    Some(which) => self.movable.push(Movable { which, number, written: 0 }),
                    None => self.numbers.push(number),
                }
                Ok(())
            }
            Kind::Unmovable => {
                let page = machine.alloc_pages_of(0, 0, MigrateType::Unmovable);
                self.unmovable.extend(unless_short("an unmovable page", page)?);
                Ok(())
            }
        }
    }

    /// Removes a random page.
    fn remove<R: Release>(&mut self, machine: &Machine<R>, kind: Kind, rng: &mut Rng) -> Result<(), Finding> {
        match kind {
            Kind::Anon => {
                let Some(index) = draw(&mut self.present, rng) else { return Ok(()) };
                self.absent.push(index);
                self.ground.forget(machine, &self.space, index)
            }
            Kind::Movable => {
                let Some(page) = draw(&mut self.movable, rng) else { return Ok(()) };
                self.numbers.push(page.number);
                self.pool.release(machine, page.which).map_err(Finding::refused("a pool's release"))
            }
            Kind::Unmovable => {
                draw(&mut self.unmovable, rng).into_iter().for_each(|pfn| machine.put(pfn));
                Ok(())
            }
        }
    }

    /// Removes random pages until each kind has its share.
    pub fn thin_out<R: Release>(&mut self, machine: &Machine<R>, rng: &mut Rng) -> Result<(), Finding> {
        for kind in [Kind::Anon, Kind::Movable, Kind::Unmovable] {
            while self.has(kind) > self.wanted(kind) {
                self.remove(machine, kind, rng)?;
            }
        }
        Ok(())
    }

    fn has(&self, kind: Kind) -> usize {
        match kind {
            Kind::Anon => self.present.len(),
            Kind::Movable => self.movable.len(),
            Kind::Unmovable => self.unmovable.len(),
        }
    }

    fn wanted(&self, kind: Kind) -> usize {
        (match kind {
            Kind::Anon => self.shares.anon,
            Kind::Movable => self.shares.movable,
            Kind::Unmovable => self.shares.unmovable,
        }) as usize
    }

    /// Adds a page, then removes a random page of its kind.
    pub fn replace<R: Release>(
        &mut self,
        machine: &Machine<R>,
        kind: Kind,
        rng: &mut Rng,
    ) -> Result<(), Finding> {
        self.add(machine, kind, rng)?;
        match self.has(kind) > self.wanted(kind) {
            true => self.remove(machine, kind, rng),
            false => Ok(()),
        }
    }

    /// Reads or writes a random anonymous page.
    pub fn access<R: Release>(
        &mut self,
        machine: &Machine<R>,
        write: bool,
        rng: &mut Rng,
    ) -> Result<(), Finding> {
        let Some(&index) = pick(&self.present, rng) else { return Ok(()) };
        match write {
            true => self.ground.write(machine, index).map(drop),
            false => self.ground.read(machine, index, rng.below(WORDS as u32)),
        }
    }

    /// Reads or writes a random page of the pool.
    pub fn access_movable<R: Release>(
        &mut self,
        machine: &Machine<R>,
        write: bool,
        rng: &mut Rng,
    ) -> Result<(), Finding> {
        let len = self.movable.len() as u32;
        if len == 0 {
            return Ok(());
        }
        let page = &mut self.movable[rng.below(len) as usize];
        if write && page.written < MAX_SEQUENCE {
            let (word, value) = self.terms.stamp(page.number, page.written + 1);
            let stored = self.pool.write(machine, page.which, word as usize, value);
            stored.map_err(Finding::refused("a pool's store"))?;
            page.written += 1;
            return Ok(());
        }
        let page = *page;
        self.check_movable(machine, page, rng.below(WORDS as u32))
    }

    fn check_movable<R: Release>(
        &self,
        machine: &Machine<R>,
        page: Movable,
        word: u32,
    ) -> Result<(), Finding> {
        let value = self.pool.read(machine, page.which, word as usize);
        let value = value.map_err(Finding::refused("a pool's load"))?;
        Ok(self.terms.check_private(page.number, word, value, page.written)?)
    }

    /// Checks every word of the anonymous pages and of the pool's pages; returns the number of words.
    pub fn verify<R: Release>(&mut self, machine: &Machine<R>) -> Result<u64, Finding> {
        for &index in &self.present {
            unless_interrupted()?;
            for word in 0..WORDS as u32 {
                self.ground.read(machine, index, word)?;
            }
        }
        for &page in &self.movable {
            unless_interrupted()?;
            for word in 0..WORDS as u32 {
                self.check_movable(machine, page, word)?;
            }
        }
        Ok((self.present.len() + self.movable.len()) as u64 * WORDS as u64)
    }

    /// Returns the pages that cannot move.
    pub fn holds(&self) -> impl Iterator<Item = Pfn> + '_ {
        self.unmovable.iter().copied()
    }

    /// Gives all pages back.
    pub fn leave<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        self.unmovable.drain(..).for_each(|pfn| machine.put(pfn));
        for page in self.movable.drain(..) {
            self.pool.release(machine, page.which).map_err(Finding::refused("a pool's release"))?;
        }
        machine.exit(&self.space);
        Ok(())
    }
}

/// Takes a random element out of a list.
fn draw<T>(from: &mut Vec<T>, rng: &mut Rng) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(rng.below(from.len() as u32) as usize))
}

/// Returns a random element of a list.
fn pick<'a, T>(from: &'a [T], rng: &mut Rng) -> Option<&'a T> {
    (!from.is_empty()).then(|| &from[rng.below(from.len() as u32) as usize])
}
