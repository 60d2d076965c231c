//! Zspages without an object are freed, and the pool is closed.

use super::books::Books;
use super::chain::Chain;
use super::class::MAX_CHAIN;
use super::pool::{ClassRoom, ZsPool};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::owner::Owner;
use crate::page::Pfn;
use crate::profile::ZsLocking;
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::{Mutation, Ordering, mutated, park_patiently};
use arrayvec::ArrayVec;
use std::sync::Arc;

/// Pages of a freed zspage, which the caller puts once it holds no lock.
pub(super) type Freed = ArrayVec<Pfn, MAX_CHAIN>;

/// The values of `Counts::closing`: a pool in use, one that a thread is closing, and a closed one.
const OPEN: u64 = 0;
const CLOSING: u64 = 1;
const CLOSED: u64 = 2;

impl ZsPool {
    /// A pool of `machine` without an object. `ENOMEM` if all owner slots are in use.
    pub fn new<R: Release>(machine: &Machine<R>) -> Result<Arc<ZsPool>> {
        machine.may_allocate("owner slot")?;
        machine.owners.insert_with(|id| {
            let pool = Arc::new(ZsPool::with_id(id, &machine.profile));
            Ok((Owner::Movable(pool.clone()), pool))
        })
    }

    /// Frees an empty zspage that is on its list, if all its page locks are free (`free_zspage`).
    /// Otherwise it waits for [`ZsPool::free_empty`]. The class lock is held.
    ///
    /// The locks are only tried, because the caller may hold a page lock, and holds the class lock.
    pub(super) fn try_free_zspage<R: Release>(
        &self,
        machine: &Machine<R>,
        room: &ClassRoom,
        books: &mut Books,
        number: u32,
    ) -> Freed {
        let chain = room.chain(number);
        let mut locked = Freed::new();
        // A thread may still use an object that another one has freed, so the zspage's lock must be
        // free too. It was free a moment ago, and the class lock keeps compactions away.
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

    /// Ends a zspage whose pages are locked (`__free_zspage`). The class lock is held.
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

    /// Frees the empty zspages that could not be freed at once (`async_free_zspage`). The kernel
    /// does it in a worker; here a thread does it that holds no lock and may sleep. Past its deadline
    /// ([`patiently`](crate::sync::patiently)) the rest waits for the next call.
    pub fn free_empty<R: Release>(&self, machine: &Machine<R>) {
        let _in_time = self.free_empty_in_time(machine);
    }

    /// Frees the empty zspages whose page locks are free, for a thread that may hold page locks and
    /// must not wait for others. The rest waits for the next call.
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

    /// [`ZsPool::free_empty`]; false if the deadline of the calling thread has passed.
    fn free_empty_in_time<R: Release>(&self, machine: &Machine<R>) -> bool {
        // Acquire pairs with the Release in `schedule`. Cleared first: a zspage that becomes empty
        // after its class was looked at sets the mark again.
        if self.counts.work.swap(0, Ordering::Acquire) == 0 {
            return true;
        }
        for room in &self.rooms {
            loop {
                let taken = room.books.lock().take_empty();
                let Some(number) = taken else { break };
                let Some(pages) = self.lock_zspage(machine, room, number) else {
                    // A thread keeps a page locked. The zspage waits for the next call.
                    room.books.lock().insert(number);
                    self.schedule();
                    return false;
                };
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
    /// A migration may replace a page whose lock this thread waits for. So each page is chosen, and
    /// its lock tried, under the zspage's lock. The wait itself is without it, with a reference on
    /// the page, and then the chain is read again.
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

    /// Tries the locks of the next pages. Returns the first that is taken, with a reference.
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

    /// Closes a pool without an object: frees its last zspages, and gives its owner slot back. A
    /// closed pool stays as it is. Waits for page locks and, where the profile's locking counts
    /// isolated pages, until none is isolated: the caller must hold neither itself.
    ///
    /// `EBUSY` if an object is left, or another thread uses, frees or closes the pool; `EINTR` if the
    /// deadline of the calling thread ([`patiently`](crate::sync::patiently)) has passed. The pool is
    /// open after an error.
    pub fn close<R: Release>(&self, machine: &Machine<R>) -> Result<()> {
        let closing = &self.counts.closing;
        // SeqCst: this store comes before the load in `wait_for_isolated`, and the count in
        // `not_isolated` before the load of this mark. So one of the two threads sees the other.
        match closing.compare_exchange(OPEN, CLOSING, Ordering::SeqCst, Ordering::Acquire) {
            Ok(_) => {}
            Err(CLOSED) => return Ok(()),
            Err(_) => return Err(Error::new(Errno::EBUSY, "another thread is closing the pool")),
        }
        let closed = self.close_rooms().and_then(|()| self.end_zspages(machine));
        match closed.is_ok() {
            true => machine.owners.remove(self.id),
            false => self.rooms.iter().for_each(|room| room.books.lock().reopen()),
        }
        // Release pairs with the Acquire in `is_closed` and above: a thread that finds the pool
        // closed, or open again, finds its classes so.
        closing.store(if closed.is_ok() { CLOSED } else { OPEN }, Ordering::Release);
        closed
    }

    /// Whether the pool is closed.
    pub fn is_closed(&self) -> bool {
        // Acquire: see `close`.
        self.counts.closing.load(Ordering::Acquire) == CLOSED
    }

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
            // A thread in `free_empty` has taken a zspage off its list before this one looked there.
            // It still needs the pool's owner slot.
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
