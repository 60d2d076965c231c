//! A plain owner of movable pages: a pool of numbered pages that can be read, written, moved and
//! let go. It is what the hooks of the release designs have to look for.
//!
//! Lock order: page lock, then the pool's lock.

use super::MovableOps;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::memory::{WORDS, more_room};
use crate::migrate::Mode;
use crate::owner::{Owner, OwnerId};
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::{Lock, LockClass, Mutation, broken, mutated};
use std::sync::{Arc, OnceLock};

/// A page of a pool, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolPage(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    /// In use.
    Live,
    /// In use, and taken off for a migration.
    Isolated,
    /// The pool has put its reference; `released` has not come yet.
    Dying,
}

#[derive(Clone, Debug, Default, Hash)]
struct Pages {
    slots: Vec<Option<(Pfn, State)>>,
    free: Vec<u32>,
    released: u64,
}

impl Pages {
    fn at(&mut self, index: u32, pfn: Pfn) -> Option<&mut State> {
        match self.slots.get_mut(index as usize)? {
            Some((now, state)) if *now == pfn => Some(state),
            _ => None,
        }
    }

    /// Gives a page a number. `ENOMEM` if the host has no memory for one more, now and when it is free again.
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

    fn vacate(&mut self, index: u32) {
        self.slots[index as usize] = None;
        self.free.push(index);
    }
}

/// Somebody who has a say in what happens to a pool's pages, and hears of it. The page lock is held in
/// every call but `released`; no lock of the pool is.
pub trait PoolOwner: std::fmt::Debug + Send + Sync {
    /// May the page be taken off for a migration?
    fn isolate(&self, pfn: Pfn) -> bool;

    /// May the page move? The pool copies the content afterwards, unless the page was let go meanwhile;
    /// then `released` or nothing follows. `EAGAIN`: not yet; any other error: `putback` follows.
    fn migrate(&self, from: Pfn, to: Pfn, mode: Mode) -> Result<(), Errno>;

    /// The page was taken off and is back.
    fn putback(&self, pfn: Pfn);

    /// The last reference of a page that was let go is gone. Only under release designs that look.
    fn released(&self, pfn: Pfn);
}

/// The pool.
#[derive(Debug)]
pub struct PagePool {
    id: OnceLock<OwnerId>,
    pages: Lock<Pages>,
    owner: Option<Arc<dyn PoolOwner>>,
}

impl PagePool {
    /// A pool of `machine` whose pages may move at any time.
    pub fn new<R: Release>(machine: &Machine<R>) -> Result<Arc<PagePool>> {
        PagePool::build(machine, None)
    }

    /// A pool of `machine` whose owner is asked.
    pub fn with_owner<R: Release>(machine: &Machine<R>, owner: Arc<dyn PoolOwner>) -> Result<Arc<PagePool>> {
        PagePool::build(machine, Some(owner))
    }

    fn build<R: Release>(machine: &Machine<R>, owner: Option<Arc<dyn PoolOwner>>) -> Result<Arc<PagePool>> {
        let pages = Lock::plain(LockClass::Driver, Pages::default());
        let pool = Arc::new(PagePool { id: OnceLock::new(), pages, owner });
        let owner: Arc<dyn MovableOps<R>> = pool.clone();
        machine.may_allocate("owner slot")?;
        let id = machine.owners.insert(Owner::Movable(owner))?;
        pool.id.set(id).expect("set once, here");
        Ok(pool)
    }

    fn id(&self) -> OwnerId {
        *self.id.get().expect("set in `new`")
    }

    /// Takes a page from `node` into the pool, zeroed. `ENOMEM` without one.
    pub fn add<R: Release>(&self, machine: &Machine<R>, node: usize) -> Result<PoolPage> {
        let pfn = machine.alloc_pages(node, 0)?;
        machine.memory().zero_page(pfn);
        let page = machine.page(pfn)?;
        // Marked under the page lock, before anybody can take the page for a movable one. A walker may
        // have locked the fresh page for a moment.
        page.lock();
        let entered = self.pages.lock().enter(pfn);
        let index = match entered {
            Ok(index) => index,
            Err(error) => {
                page.unlock(pfn);
                machine.put(pfn);
                return Err(error);
            }
        };
        machine.set_movable(pfn, self.id(), index);
        page.unlock(pfn);
        Ok(PoolPage(index))
    }

    /// Lets a page go. Where the release design looks, the pool only puts its reference; elsewhere
    /// it first clears the mark under the page lock.
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
                // The pool's own reference is there while the slot names the page.
                machine.page(pfn)?.get(pfn);
                pfn
            };
            let page = machine.page(pfn)?;
            page.lock();
            let ours = {
                let mut pages = self.pages.lock();
                let ours = pages.at(which.0, pfn).is_some();
                if ours {
                    machine.clear_movable(pfn);
                    pages.vacate(which.0);
                    pages.released += 1;
                }
                ours
            };
            page.unlock(pfn);
            if ours {
                machine.put(pfn);
            }
            if ours && mutated(Mutation::OwnerAssumesLastPut) {
                page.drop_refs(pfn, 1);
                machine.free_last(pfn, page.word());
                return Ok(());
            }
            // Ours for the look; where the page had moved meanwhile, try its successor.
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

    /// Where a page is now.
    pub fn pfn(&self, which: PoolPage) -> Result<Pfn> {
        self.live(&mut self.pages.lock(), which).map(|(pfn, _)| pfn)
    }

    /// Reads one word of a page.
    pub fn read<R: Release>(&self, machine: &Machine<R>, which: PoolPage, word: usize) -> Result<u64> {
        // Under the pool's lock, which `migrate` holds while it copies.
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

    /// Pages in use and pages let go so far.
    pub fn census(&self) -> (usize, u64) {
        let pages = self.pages.lock();
        let live = pages.slots.iter().flatten().filter(|(_, state)| *state != State::Dying).count();
        (live, pages.released)
    }
}

impl PagePool {
    /// Takes a page from `old` to `new`; false if it is not in that state.
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
        let willing = self.owner.as_ref().is_none_or(|owner| owner.isolate(pfn));
        if !willing {
            self.change(index, pfn, State::Isolated, State::Live);
        }
        willing
    }

    fn migrate(&self, machine: &Machine<R>, from: Pfn, to: Pfn, mode: Mode) -> Result<(), Errno> {
        machine.frames[from].expect_locked();
        machine.frames[to].expect_locked();
        let index = machine.frames[from].index();
        if let Some(owner) = &self.owner {
            // Nobody is asked about a page that was let go.
            if !self.change(index, from, State::Isolated, State::Isolated) {
                return Err(Errno::EBUSY);
            }
            owner.migrate(from, to, mode)?;
        }
        {
            let mut pages = self.pages.lock();
            match pages.at(index, from) {
                Some(state) if *state == State::Isolated => {}
                // Let go meanwhile: whoever puts last tells us.
                _ => return Err(Errno::EBUSY),
            }
            if mutated(Mutation::LookAndSwitchApart) {
                drop(pages);
                pages = self.pages.lock();
            }
            machine.memory.copy_page(from, to);
            machine.frames[to].get(to);
            machine.set_movable(to, self.id(), index);
            machine.clear_movable(from);
            pages.slots[index as usize] = Some((to, State::Live));
        }
        // The isolation still holds `from`: not the last put.
        machine.put(from);
        Ok(())
    }

    fn putback(&self, machine: &Machine<R>, pfn: Pfn) {
        machine.frames[pfn].expect_locked();
        self.change(machine.frames[pfn].index(), pfn, State::Isolated, State::Live);
        if let Some(owner) = &self.owner {
            owner.putback(pfn);
        }
    }

    fn released(&self, machine: &Machine<R>, pfn: Pfn) {
        let index = machine.frames[pfn].index();
        {
            let mut pages = self.pages.lock();
            match pages.at(index, pfn) {
                Some(State::Dying) => {
                    pages.vacate(index);
                    pages.released += 1;
                }
                other => {
                    let state = other.copied();
                    broken("released is called once", format_args!("page {pfn} is {state:?} for its owner"))
                }
            }
        }
        if let Some(owner) = &self.owner {
            owner.released(pfn);
        }
    }

    fn held(&self) -> Vec<Pfn> {
        self.pages(|state| state != State::Dying)
    }

    fn isolated(&self) -> Vec<Pfn> {
        self.pages(|state| state == State::Isolated)
    }

    fn untold(&self) -> Vec<Pfn> {
        self.pages(|state| state == State::Dying)
    }
}

impl PagePool {
    fn pages(&self, which: impl Fn(State) -> bool) -> Vec<Pfn> {
        let pages = self.pages.lock();
        pages.slots.iter().flatten().filter(|(_, state)| which(*state)).map(|(pfn, _)| *pfn).collect()
    }
}
