//! A simple owner of movable pages: a pool of numbered pages that can be read, written, moved and
//! freed. The pool gives the release designs' hooks movable pages to find.
//!
//! Lock order: page lock, then the pool's lock.

use super::ops::MovableOps;
use super::view::PageView;
use crate::error::{Errno, Error, Result};
use crate::layout::kind::Kind;
use crate::machine::Machine;
use crate::memory::{WORDS, more_room};
use crate::migrate::mode::Mode;
use crate::owner::{Owner, OwnerId};
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::{Lock, LockClass, Mutation, broken, mutated};
use std::sync::Arc;

/// A page of a pool, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolPage(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    /// In use.
    Live,
    /// In use, and isolated for a migration.
    Isolated,
    /// The pool has put its reference, and `released` was not called yet.
    Dying,
}

#[derive(Clone, Debug, Default, Hash)]
struct Pages {
    slots: Vec<Option<(Pfn, State)>>,
    free: Vec<u32>,
    released: u64,
    closed: bool,
}

impl Pages {
    fn at(&mut self, index: u32, pfn: Pfn) -> Option<&mut State> {
        match self.slots.get_mut(index as usize)? {
            Some((now, state)) if *now == pfn => Some(state),
            _ => None,
        }
    }

    /// Gives a page a number. `ENOMEM` if the host has no memory for the number, now and in the
    /// list of free numbers later.
    fn enter(&mut self, pfn: Pfn) -> Result<u32> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let used = self.slots.len() + 1;
                more_room(&mut self.slots, "the pages of a pool", 1)?;
                more_room(&mut self.free, "the pages of a pool", used)?;
                self.slots.push(None);
                self.slots.len() as u32 - 1
            }
        };
        self.slots[index as usize] = Some((pfn, State::Live));
        Ok(index)
    }

    /// Removes a page that is gone, and returns true if it was the last page of a closed pool.
    #[must_use]
    fn vacate(&mut self, index: u32) -> bool {
        self.slots[index as usize] = None;
        self.free.push(index);
        self.released += 1;
        self.has_ended()
    }

    /// Returns true if the pool was closed and has no page any more.
    fn has_ended(&self) -> bool {
        self.closed && self.free.len() == self.slots.len()
    }
}

/// The owner of a pool. The pool asks the owner before a page is isolated or moved, and tells it
/// when a page was put back or released. The page lock is held in every call but `released` and
/// `held`; no lock of the pool is held.
pub trait PoolOwner: std::fmt::Debug + Send + Sync {
    /// Returns true if the page may be isolated for a migration.
    fn isolate(&self, view: &dyn PageView, pfn: Pfn) -> bool;

    /// Allows or refuses the move of a page. Returns true if the owner has copied the content
    /// itself; after false the pool copies the content. After `EAGAIN` the migration tries again;
    /// after any other error `putback` follows. If the page was freed meanwhile, no copy is made,
    /// and either `released` follows or no further call.
    fn migrate(&self, view: &dyn PageView, from: Pfn, to: Pfn, mode: Mode) -> Result<bool, Errno>;

    /// Tells the owner that an isolated page is back in the pool.
    fn putback(&self, view: &dyn PageView, pfn: Pfn);

    /// Tells the owner that the last reference of a freed page is gone. Only release designs whose
    /// put looks for movable pages make this call.
    fn released(&self, view: &dyn PageView, pfn: Pfn);

    /// Returns the pages that the owner knows to be in the pool and not isolated, for audits;
    /// `None` if the owner keeps no account of its pages.
    fn held(&self, view: &dyn PageView) -> Option<Vec<Pfn>> {
        let _ = view;
        None
    }
}

/// A pool of movable pages.
#[derive(Debug)]
pub struct PagePool {
    id: OwnerId,
    pages: Lock<Pages>,
    owner: Option<Arc<dyn PoolOwner>>,
    /// The kind that a layout shows for the pages.
    kind: Kind,
}

impl PagePool {
    /// Makes a pool of `machine` whose pages may move at any time.
    pub fn new<R: Release>(machine: &Machine<R>) -> Result<Arc<PagePool>> {
        PagePool::build(machine, None, Kind::Movable)
    }

    /// Makes a pool whose pages stand for those of another owner in a layout, such as zsmalloc's.
    pub(crate) fn standing_for<R: Release>(machine: &Machine<R>, kind: Kind) -> Result<Arc<PagePool>> {
        PagePool::build(machine, None, kind)
    }

    /// Makes a pool of `machine` whose owner is asked before its pages move.
    pub fn with_owner<R: Release>(machine: &Machine<R>, owner: Arc<dyn PoolOwner>) -> Result<Arc<PagePool>> {
        PagePool::build(machine, Some(owner), Kind::Movable)
    }

    fn build<R: Release>(
        machine: &Machine<R>,
        owner: Option<Arc<dyn PoolOwner>>,
        kind: Kind,
    ) -> Result<Arc<PagePool>> {
        let pages = Lock::plain(LockClass::Driver, Pages::default());
        machine.may_allocate("owner slot")?;
        machine.owners.insert_with(|id| {
            let pool = Arc::new(PagePool { id, pages, owner, kind });
            Ok((Owner::Movable(pool.clone()), pool))
        })
    }

    /// Closes the pool: no page can be added any more, and the owner slot is free again as soon as the last
    /// page is gone. Until then the pages stay in the pool: they can be moved and freed.
    pub fn close<R: Release>(&self, machine: &Machine<R>) {
        let ended = {
            let mut pages = self.pages.lock();
            pages.closed = true;
            pages.has_ended()
        };
        self.end_if(machine, ended);
    }

    /// Gives the owner slot back if the pool has ended. The caller does not hold the pool's lock, because
    /// the slot's lock, which is taken here, comes first in the order of locks.
    fn end_if<R: Release>(&self, machine: &Machine<R>, ended: bool) {
        if ended {
            machine.owners.remove(self.id);
        }
    }

    /// Allocates a zeroed page of `node` for the pool. `ENOMEM` without a free page, `EINVAL` if the pool
    /// is closed.
    pub fn add<R: Release>(&self, machine: &Machine<R>, node: usize) -> Result<PoolPage> {
        let pfn = machine.alloc_pages(node, 0)?;
        machine.memory().zero_page(pfn);
        let page = machine.page(pfn)?;
        // The page is marked under its lock, before another thread can take it for a movable one. A
        // walk may hold the lock of the fresh page for a moment, so this may wait.
        let entered = {
            let _locked = page.locked(pfn);
            let entered = {
                let mut pages = self.pages.lock();
                match pages.closed {
                    false => pages.enter(pfn),
                    true => Err(Error::new(Errno::EINVAL, "the pool is closed: it takes no further pages")),
                }
            };
            entered.inspect(|&index| machine.set_movable(pfn, self.id, index))
        };
        entered.map(PoolPage).inspect_err(|_| machine.put(pfn))
    }

    /// Frees a page of the pool. Under a release design whose put looks for movable pages, the pool
    /// only puts its reference; under any other, it first clears the mark under the page lock.
    pub fn release<R: Release>(&self, machine: &Machine<R>, which: PoolPage) -> Result<()> {
        if machine.put_looks() {
            let pfn = {
                let mut pages = self.pages.lock();
                let (pfn, state) = self.live(&mut pages, which)?;
                *state = State::Dying;
                pfn
            };
            machine.put(pfn);
            return Ok(());
        }
        loop {
            let pfn = {
                let mut pages = self.pages.lock();
                let (pfn, _) = self.live(&mut pages, which)?;
                // The pool holds its own reference as long as the slot names the page.
                machine.page(pfn)?.get(pfn);
                pfn
            };
            let page = machine.page(pfn)?;
            page.lock();
            let (ours, ended) = {
                let mut pages = self.pages.lock();
                let ours = pages.at(which.0, pfn).is_some();
                let ended = ours && {
                    machine.clear_movable(pfn);
                    pages.vacate(which.0)
                };
                (ours, ended)
            };
            page.unlock(pfn);
            self.end_if(machine, ended);
            if ours {
                machine.put(pfn);
            }
            if ours && mutated(Mutation::OwnerAssumesLastPut) {
                page.drop_refs(pfn, 1);
                machine.free_last(pfn, page.word());
                return Ok(());
            }
            // Puts the reference that this round has taken. If the page moved before it was locked,
            // the next round tries its new frame.
            machine.put(pfn);
            if ours {
                return Ok(());
            }
        }
    }

    fn live<'a>(&self, pages: &'a mut Pages, which: PoolPage) -> Result<(Pfn, &'a mut State)> {
        match pages.slots.get_mut(which.0 as usize) {
            Some(Some((pfn, state))) if *state != State::Dying => Ok((*pfn, state)),
            _ => Err(Error::new(Errno::EINVAL, format!("the pool has no page {}", which.0))),
        }
    }

    /// Returns the frame of a page.
    pub fn pfn(&self, which: PoolPage) -> Result<Pfn> {
        if mutated(Mutation::LookupGivesUp) {
            let absent = || Error::new(Errno::ENOENT, "another thread uses the pool");
            let mut pages = self.pages.try_lock().ok_or_else(absent)?;
            return self.live(&mut pages, which).map(|(pfn, _)| pfn);
        }
        self.live(&mut self.pages.lock(), which).map(|(pfn, _)| pfn)
    }

    /// Reads one word of a page.
    pub fn read<R: Release>(&self, machine: &Machine<R>, which: PoolPage, word: usize) -> Result<u64> {
        // The page is read under the pool's lock, which `migrate` holds during the copy; otherwise
        // the read could see a frame that the page has left.
        let mut pages = self.pages.lock();
        let (pfn, _) = self.live(&mut pages, which)?;
        Ok(machine.memory().load(pfn, word % WORDS))
    }

    /// Writes one word of a page.
    pub fn write<R: Release>(
        &self,
        machine: &Machine<R>,
        which: PoolPage,
        word: usize,
        value: u64,
    ) -> Result<()> {
        let mut pages = self.pages.lock();
        let (pfn, _) = self.live(&mut pages, which)?;
        machine.memory().store(pfn, word % WORDS, value);
        Ok(())
    }

    /// Returns the number of pages in use, and of pages freed so far.
    pub fn census(&self) -> (usize, u64) {
        let pages = self.pages.lock();
        let live = pages.slots.iter().flatten().filter(|(_, state)| *state != State::Dying).count();
        (live, pages.released)
    }
}

impl PagePool {
    /// Changes a page's state from `old` to `new`. Returns false if the page is in another state.
    fn change(&self, index: u32, pfn: Pfn, old: State, new: State) -> bool {
        match self.pages.lock().at(index, pfn) {
            Some(state) if *state == old => {
                *state = new;
                true
            }
            _ => false,
        }
    }
}

impl<R: Release> MovableOps<R> for PagePool {
    fn isolate(&self, machine: &Machine<R>, pfn: Pfn) -> bool {
        machine.frames[pfn].expect_locked();
        let index = machine.frames[pfn].index();
        if !self.change(index, pfn, State::Live, State::Isolated) {
            return false;
        }
        let willing = self.owner.as_ref().is_none_or(|owner| owner.isolate(machine, pfn));
        if !willing {
            self.change(index, pfn, State::Isolated, State::Live);
        }
        willing
    }

    fn migrate(&self, machine: &Machine<R>, from: Pfn, to: Pfn, mode: Mode) -> Result<(), Errno> {
        machine.frames[from].expect_locked();
        machine.frames[to].expect_locked();
        let index = machine.frames[from].index();
        let mut copied = false;
        if let Some(owner) = &self.owner {
            // The owner is not asked about a page that it has freed.
            if !self.change(index, from, State::Isolated, State::Isolated) {
                return Err(Errno::EBUSY);
            }
            copied = owner.migrate(machine, from, to, mode)?;
        }
        {
            let mut pages = self.pages.lock();
            match pages.at(index, from) {
                Some(state) if *state == State::Isolated => {}
                // The page was freed meanwhile: the thread that drops its last reference calls
                // `released`.
                _ => return Err(Errno::EBUSY),
            }
            if mutated(Mutation::LookAndSwitchApart) {
                drop(pages);
                pages = self.pages.lock();
            }
            if !copied {
                machine.memory.copy_page(from, to);
            }
            machine.frames[to].get(to);
            machine.set_movable(to, self.id, index);
            machine.clear_movable(from);
            pages.slots[index as usize] = Some((to, State::Live));
        }
        // The isolation still holds a reference on `from`, so this put does not free the page.
        machine.put(from);
        Ok(())
    }

    fn putback(&self, machine: &Machine<R>, pfn: Pfn) {
        machine.frames[pfn].expect_locked();
        self.change(machine.frames[pfn].index(), pfn, State::Isolated, State::Live);
        if let Some(owner) = &self.owner {
            owner.putback(machine, pfn);
        }
    }

    fn released(&self, machine: &Machine<R>, pfn: Pfn) {
        let index = machine.frames[pfn].index();
        let ended = {
            let mut pages = self.pages.lock();
            match pages.at(index, pfn) {
                Some(State::Dying) => pages.vacate(index),
                other => {
                    let state = other.copied();
                    broken("released is called once", format_args!("page {pfn} is {state:?} for its owner"))
                }
            }
        };
        self.end_if(machine, ended);
        if let Some(owner) = &self.owner {
            owner.released(machine, pfn);
        }
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn held(&self) -> Vec<Pfn> {
        self.pages(|state| state != State::Dying)
    }

    fn isolated(&self) -> Vec<Pfn> {
        self.pages(|state| state == State::Isolated)
    }

    fn unreleased(&self) -> Vec<Pfn> {
        self.pages(|state| state == State::Dying)
    }

    /// Checks that an owner with an account of its pages has the same pages as the pool: the pages
    /// that are in use and not isolated.
    fn check(&self, machine: &Machine<R>, report: &mut dyn FnMut(&'static str, Option<Pfn>, String)) {
        let Some(theirs) = self.owner.as_ref().and_then(|owner| owner.held(machine)) else { return };
        let ours = self.pages(|state| state == State::Live);
        for &pfn in ours.iter().filter(|pfn| !theirs.contains(pfn)) {
            let what = "the page is in the pool, but its owner does not have it".into();
            report("an owner accounts for its pages", Some(pfn), what);
        }
        for &pfn in theirs.iter().filter(|pfn| !ours.contains(pfn)) {
            let isolated = self.pages(|state| state == State::Isolated).contains(&pfn);
            let why = if isolated { "is isolated" } else { "is not in the pool" };
            let what = format!("its owner has page {pfn}, which {why}");
            report("an owner accounts for its pages", None, what);
        }
    }
}

impl PagePool {
    fn pages(&self, which: impl Fn(State) -> bool) -> Vec<Pfn> {
        let pages = self.pages.lock();
        pages.slots.iter().flatten().filter(|(_, state)| which(*state)).map(|(pfn, _)| *pfn).collect()
    }
}
