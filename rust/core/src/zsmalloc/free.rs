//! Frees zspages that have no object, and closes pools.

use super::books::Books;
use super::chain::Chain;
use super::class::MAX_CHAIN;
use super::pool::{ClassRoom, ZsPool};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::memory::more_room;
use crate::owner::Owner;
use crate::page::Pfn;
use crate::profile::ZsLocking;
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::{Guard, Mutation, Ordering, mutated, park_patiently, spin_until};
use arrayvec::ArrayVec;
use std::sync::Arc;

/// Pages of a freed zspage. The caller puts them after it has released its locks.
pub(super) type Freed = ArrayVec<Pfn, MAX_CHAIN>;

/// The values of `Counts::closing`: the pool is in use, a thread looks whether it has an object left, the
/// thread frees the last zspages, or the pool is closed. A thread that is to store an object meanwhile waits
/// for the end of the look.
pub(super) const OPEN: u64 = 0;
pub(super) const DECIDING: u64 = 1;
pub(super) const CLOSING: u64 = 2;
pub(super) const CLOSED: u64 = 3;

impl ZsPool {
    /// A pool of `machine` without an object. `ENOMEM` if all owner slots are in use, or the host has no
    /// memory for the pool's place in the list of pools that reclaim compacts.
    pub fn new<R: Release>(machine: &Machine<R>) -> Result<Arc<ZsPool>> {
        machine.may_allocate("owner slot")?;
        let pool = machine.owners.insert_with(|id| {
            let pool = Arc::new(ZsPool::with_id(id, &machine.profile));
            Ok((Owner::Movable(pool.clone()), pool))
        })?;
        let mut shrinkers = machine.shrinkers.lock();
        if let Err(error) = more_room(&mut shrinkers, "the pools that reclaim compacts", 1) {
            drop(shrinkers);
            machine.owners.remove(pool.id);
            return Err(error);
        }
        shrinkers.push(pool.id);
        drop(shrinkers);
        Ok(pool)
    }

    /// Frees an empty zspage that is on its list, if all its page locks are free (`free_zspage`).
    /// Otherwise the zspage waits for [`ZsPool::free_empty`]. The caller holds the class lock.
    ///
    /// The page locks are only tried: a thread that holds a class lock must not sleep, and the caller
    /// may hold a page lock already.
    pub(super) fn try_free_zspage<R: Release>(
        &self,
        machine: &Machine<R>,
        room: &ClassRoom,
        books: &mut Books,
        number: u32,
    ) -> Freed {
        let chain = room.chain(number);
        let mut locked = Freed::new();
        // A thread may still use an object that another thread has freed, so the zspage's lock must
        // be free, too. No compaction takes that lock meanwhile: it would need the class lock first.
        let all = chain.try_write(self.zspage_lock()) && {
            let all = chain.pages(&room.class).all(|pfn| {
                let taken = machine.frames[pfn].trylock();
                if taken {
                    locked.push(pfn);
                }
                taken
            });
            chain.write_unlock(self.zspage_lock());
            all
        };
        if !all {
            locked.iter().for_each(|&pfn| machine.frames[pfn].unlock(pfn));
            self.schedule();
            return Freed::new();
        }
        books.remove(number);
        self.end_zspage(machine, room, books, number, locked)
    }

    /// Ends a zspage whose pages are locked (`__free_zspage`), and unlocks them. The caller holds the
    /// class lock.
    fn end_zspage<R: Release>(
        &self,
        machine: &Machine<R>,
        room: &ClassRoom,
        books: &mut Books,
        number: u32,
        pages: Freed,
    ) -> Freed {
        for &pfn in &pages {
            machine.clear_movable(pfn);
            machine.frames[pfn].unlock(pfn);
            machine.stats.node(machine.node_of(pfn), NodeItem::Zspages, -1);
        }
        books.end(number);
        // Release pairs with the Acquire in `end_zspages`: a thread that closes the pool and finds no
        // page left gives the owner slot back after the marks of all pages are cleared.
        self.counts.pages.fetch_sub(u64::from(room.class.pages), Ordering::Release);
        pages
    }

    /// Frees the empty zspages that could not be freed at once (`async_free_zspage`). In the kernel a
    /// worker frees them. Here the calling thread does; it holds no lock, because it may sleep.
    ///
    /// If the deadline of the thread ([`patiently`](crate::sync::patiently)) passes, the remaining
    /// zspages wait for the next call.
    pub fn free_empty<R: Release>(&self, machine: &Machine<R>) {
        let _in_time = self.free_empty_in_time(machine);
    }

    /// Frees empty zspages as [`ZsPool::free_empty`] does, but never waits: the calling thread may
    /// hold page locks. The first zspage of a class that cannot be freed ends the work on the class:
    /// this zspage and those behind it wait for the next call.
    pub(crate) fn try_free_empty<R: Release>(&self, machine: &Machine<R>) {
        // Acquire: see `free_empty_in_time`.
        if self.counts.work.swap(0, Ordering::Acquire) == 0 {
            return;
        }
        for room in &self.rooms {
            loop {
                let mut books = room.books.lock();
                let Some(number) = books.first_empty() else { break };
                let freed = self.try_free_zspage(machine, room, &mut books, number);
                drop(books);
                if freed.is_empty() {
                    break;
                }
                freed.iter().for_each(|&pfn| machine.put(pfn));
            }
        }
    }

    /// Does the work of [`ZsPool::free_empty`]. Returns false if the deadline of the thread has passed.
    fn free_empty_in_time<R: Release>(&self, machine: &Machine<R>) -> bool {
        // Acquire pairs with the Release in `schedule`. The mark is cleared before the classes are
        // searched: a zspage that becomes empty after its class was searched sets the mark again.
        if self.counts.work.swap(0, Ordering::Acquire) == 0 {
            return true;
        }
        for room in &self.rooms {
            loop {
                let taken = room.books.lock().take_empty();
                let Some(number) = taken else { break };
                let Some(pages) = self.lock_zspage(machine, room, number) else {
                    // Another thread keeps a page locked. The zspage waits for the next call.
                    room.books.lock().insert(number);
                    self.schedule();
                    return false;
                };
                if self.locking == ZsLocking::Pool {
                    // A thread may still use an object that another thread has freed. No further thread
                    // begins to: the handles of all objects have ended.
                    let chain = room.chain(number);
                    chain.write_lock(self.zspage_lock());
                    chain.write_unlock(self.zspage_lock());
                }
                let freed = {
                    let mut books = room.books.lock();
                    self.end_zspage(machine, room, &mut books, number, pages)
                };
                freed.iter().for_each(|&pfn| machine.put(pfn));
            }
        }
        true
    }

    /// Locks all pages of a zspage that is on no list, in the order of the chain (`lock_zspage`).
    ///
    /// A migration may replace a page while this thread waits for the page's lock. So the thread
    /// reads the chain and tries the page locks under the zspage's lock. To wait it releases the
    /// zspage's lock and holds a reference on the page; then it reads the chain again.
    ///
    /// `None`, with no page locked, if the deadline of the calling thread has passed.
    fn lock_zspage<R: Release>(&self, machine: &Machine<R>, room: &ClassRoom, number: u32) -> Option<Freed> {
        let chain = room.chain(number);
        if mutated(Mutation::ChainLockedByOldLinks) {
            let pages: Freed = chain.peek(&room.class).collect();
            for &pfn in &pages {
                while !machine.frames[pfn].trylock() {
                    machine.frames[pfn].wait_unlocked(|| true);
                }
            }
            return Some(pages);
        }
        let mut locked = Freed::new();
        while locked.len() < usize::from(room.class.pages) {
            chain.read_lock(self.zspage_lock());
            let busy = self.lock_on(machine, room, chain, &mut locked);
            chain.read_unlock(self.zspage_lock());
            if let Some(pfn) = busy {
                let woken = machine.frames[pfn].wait_unlocked_patiently(|| true);
                machine.put(pfn);
                if !woken {
                    locked.iter().for_each(|&pfn| machine.frames[pfn].unlock(pfn));
                    return None;
                }
            }
        }
        Some(locked)
    }

    /// Locks the next pages without waiting. Returns the first page that another thread has locked,
    /// with a reference for the caller, or `None` if all are locked now.
    fn lock_on<R: Release>(
        &self,
        machine: &Machine<R>,
        room: &ClassRoom,
        chain: &Chain,
        locked: &mut Freed,
    ) -> Option<Pfn> {
        for number in locked.len()..usize::from(room.class.pages) {
            let pfn = chain.page(number);
            if !machine.frames[pfn].trylock() {
                machine.frames[pfn].get(pfn);
                return Some(pfn);
            }
            locked.push(pfn);
        }
        None
    }

    /// Closes a pool without an object: frees its last zspages, and gives its owner slot back. For a
    /// closed pool the call does nothing.
    ///
    /// The call waits for page locks, and under `ZsLocking::Class` until no page of the pool is
    /// isolated. A caller that holds such a lock or such a page would wait for itself.
    ///
    /// `EBUSY` if an object is left, or another thread uses, frees or closes the pool; `EINTR` if the
    /// deadline of the calling thread ([`patiently`](crate::sync::patiently)) has passed. The pool is
    /// open after an error.
    pub fn close<R: Release>(&self, machine: &Machine<R>) -> Result<()> {
        let closing = &self.counts.closing;
        // SeqCst: this thread sets the mark before it loads the count in `wait_for_isolated`, and a
        // thread in `not_isolated` lowers the count before it loads the mark. So this thread finds the
        // lower count, or the other thread finds the mark and wakes this one.
        // Acquire, if the pool is closed already: see the store below.
        match closing.compare_exchange(OPEN, DECIDING, Ordering::SeqCst, Ordering::Acquire) {
            Ok(_) => {}
            Err(CLOSED) => return Ok(()),
            Err(_) => return Err(Error::new(Errno::EBUSY, "another thread is closing the pool")),
        }
        let closed = self.close_rooms().and_then(|()| {
            // Release: a thread that finds the mark finds all classes closed.
            closing.store(CLOSING, Ordering::Release);
            self.end_zspages(machine)
        });
        match closed.is_ok() {
            true => {
                machine.shrinkers.lock().retain(|&id| id != self.id);
                machine.owners.remove(self.id);
                // Relaxed: a count, which orders nothing.
                self.counts.compacted.store(0, Ordering::Relaxed);
            }
            false => self.reopen_rooms(),
        }
        // Release pairs with the Acquire in `is_closed` and above: a thread that finds the pool
        // closed, or open again, finds all its classes closed, or open.
        closing.store(if closed.is_ok() { CLOSED } else { OPEN }, Ordering::Release);
        closed
    }

    /// True if the pool is closed.
    pub fn is_closed(&self) -> bool {
        // Acquire: see `close`.
        self.counts.closing.load(Ordering::Acquire) == CLOSED
    }

    /// Closes all classes, if none has an object.
    fn close_rooms(&self) -> Result<()> {
        match self.rooms.iter().all(|room| room.books.lock().close()) {
            true => Ok(()),
            false => {
                let left = self.stats().objects;
                let why = format!("the pool has {left} objects, or another thread uses it: free them first");
                Err(Error::new(Errno::EBUSY, why))
            }
        }
    }

    fn reopen_rooms(&self) {
        self.rooms.iter().for_each(|room| room.books.lock().reopen());
    }

    /// The books of a class that takes objects. While another thread looks whether the pool can be closed,
    /// this thread waits: the look may find an object, and the pool stays open then.
    pub(super) fn open_books<'a>(&self, room: &'a ClassRoom) -> Result<Guard<'a, Books>> {
        loop {
            let books = room.books.lock();
            if !books.is_closed() {
                return Ok(books);
            }
            drop(books);
            match spin_until(&self.counts.closing, |state| state != DECIDING) {
                OPEN => {}
                CLOSED => {
                    let why = "the pool is closed: it takes no further objects";
                    return Err(Error::new(Errno::EINVAL, why));
                }
                _ => return Err(Error::new(Errno::EBUSY, "another thread is closing the pool")),
            }
        }
    }

    /// Frees the last zspages of a pool whose classes are closed.
    fn end_zspages<R: Release>(&self, machine: &Machine<R>) -> Result<()> {
        if self.locking == ZsLocking::Class && !self.wait_for_isolated() {
            return Err(Error::interrupted());
        }
        self.schedule();
        if !self.free_empty_in_time(machine) {
            return Err(Error::interrupted());
        }
        // Acquire: see `end_zspage`.
        match self.counts.pages.load(Ordering::Acquire) {
            0 => Ok(()),
            // Another thread in `free_empty` took a zspage off its list before this thread searched
            // the list. The other thread still needs the pool's owner slot.
            left => {
                let why =
                    format!("another thread is freeing the last {left} pages of the pool: close it again");
                Err(Error::new(Errno::EBUSY, why))
            }
        }
    }

    /// Sleeps until no page of the pool is isolated (`wait_for_isolated_drain`). False if the
    /// deadline of the calling thread has passed.
    fn wait_for_isolated(&self) -> bool {
        // SeqCst: see `close`.
        let some = || self.counts.isolated.load(Ordering::SeqCst) != 0;
        while some() {
            if !park_patiently(&self.counts.isolated, some) {
                return false;
            }
        }
        true
    }
}
