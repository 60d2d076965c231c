//! Allocates, maps and frees objects.

use super::books::Books;
use super::chain::Chain;
use super::class::{MAX_CHAIN, MAX_SIZE, SizeClass, WORD};
use super::handle::{Handle, Handles, Place};
use super::pool::{ClassRoom, ZsPool, ZspageId};
use crate::error::Result;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::page::Pfn;
use crate::pressure::state::context;
use crate::profile::ZsLocking;
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::{LockClass, Mutation, Ordering, mutated};
use arrayvec::ArrayVec;

/// An object in use. The object stays where it is until the mapping is dropped (`zs_map_object`,
/// `zs_unmap_object`). The thread takes no other lock meanwhile, and does not sleep.
#[derive(Debug)]
#[must_use]
pub struct Mapping<'a> {
    pool: &'a ZsPool,
    class: &'a SizeClass,
    chain: &'a Chain,
    handle: Handle,
    object: u16,
}

impl Mapping<'_> {
    /// The bytes of the object's content.
    pub fn len(&self) -> usize {
        self.pool.handles.len(self.handle.number()) as usize
    }

    /// Returns false: no object has 0 bytes.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Loads the first words of the content. `into` gets no more words than the object has.
    pub fn load(&self, memory: &Memory, into: &mut [u64]) {
        let words = into.len().min(self.class.words());
        self.chain.load(self.class, self.object, memory, &mut into[..words]);
    }

    /// Stores the first words of the content. Words beyond the end of the object are left out.
    pub fn store(&self, memory: &Memory, from: &[u64]) {
        let words = from.len().min(self.class.words());
        self.chain.store(self.class, self.object, memory, &from[..words]);
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.chain.read_unlock(self.pool.zspage_lock());
        if self.pool.locking == ZsLocking::Class {
            self.pool.handles.unpin(self.handle.number());
        }
    }
}

impl ZsPool {
    /// The place of the zspage lock in the order of locks: before the class lock, or after it.
    pub(super) fn zspage_lock(&self) -> LockClass {
        match self.locking {
            ZsLocking::Class => LockClass::ZsChain,
            ZsLocking::Pool => LockClass::Zspage,
        }
    }

    /// Allocates an object for `len` bytes on `node`, or near it (`zs_malloc`).
    ///
    /// `EINVAL` for no bytes, or a pool that is closed; `ENOSPC` for more bytes than a page has, in old
    /// kernels `EINVAL`; `EBUSY` while another thread closes the pool; `ENOMEM` if no frame is free, or the
    /// host has no memory.
    pub fn alloc<R: Release>(&self, machine: &Machine<R>, len: usize, node: usize) -> Result<Handle> {
        let class = self.classes.of_size(len)?;
        let room = &*self.rooms[class];
        machine.may_allocate("zsmalloc handle")?;
        let number = self.handles.reserve(len as u32)?;
        let fullest = self.put_in_fullest(room, number).inspect_err(|_| self.handles.give_back(number))?;
        if let Some(handle) = fullest {
            return Ok(handle);
        }
        let made = self.make_zspage(machine, class, node);
        made.map(|zspage| {
            let mut books = room.books.lock();
            let handle = self.enter(room, &mut books, zspage, number);
            books.insert(zspage);
            handle
        })
        .inspect_err(|_| {
            if !mutated(Mutation::FailedStoreKeepsHandle) {
                self.handles.give_back(number);
            }
        })
    }

    fn put_in_fullest(&self, room: &ClassRoom, handle: u32) -> Result<Option<Handle>> {
        let mut books = self.open_books(room)?;
        let Some(zspage) = books.fullest() else { return Ok(None) };
        let entered = self.enter(room, &mut books, zspage, handle);
        books.regroup(zspage);
        Ok(Some(entered))
    }

    /// Gives an object a slot of a zspage that has room. The class lock is held.
    fn enter(&self, room: &ClassRoom, books: &mut Books, zspage: u32, handle: u32) -> Handle {
        let object = books.take(zspage, handle);
        let chain = room.chain(zspage);
        self.handles.record(handle, chain.page(room.class.page_of(object)), object)
    }

    /// Makes a zspage, which is on no list yet (`alloc_zspage`).
    ///
    /// Each page is marked as movable before the zspage is on a list. A page may therefore move
    /// while its neighbours are not marked yet. A zspage on no list is neither freed nor compacted, so
    /// the pages that are not marked yet stay pages of this zspage.
    fn make_zspage<R: Release>(&self, machine: &Machine<R>, class: usize, node: usize) -> Result<u32> {
        let room = &*self.rooms[class];
        machine.may_allocate("zspage")?;
        let number = self.open_books(room)?.begin()?;
        let mut pages = ArrayVec::<Pfn, MAX_CHAIN>::new();
        let gathered = room.chains.make(number as usize).and_then(|()| {
            (0..room.class.pages).try_for_each(|_| {
                pages.push(self.locked_page(machine, node)?);
                Ok(())
            })
        });
        if let Err(error) = gathered {
            pages.iter().for_each(|&pfn| machine.unlock_and_put(pfn));
            room.books.lock().end(number);
            return Err(error);
        }
        room.chain(number).fill(&pages);
        let id = ZspageId { class: class as u8, number };
        for &pfn in &pages {
            machine.stats.node(machine.node_of(pfn), NodeItem::Zspages, 1);
            machine.set_movable(pfn, self.id, id.raw());
            machine.frames[pfn].unlock(pfn);
        }
        // Relaxed: a count, which orders nothing.
        self.counts.pages.fetch_add(u64::from(room.class.pages), Ordering::Relaxed);
        Ok(number)
    }

    /// A fresh page with its lock held, on `node` or near it.
    ///
    /// A thread that walks over frame numbers may lock the fresh page for a moment. The caller may hold
    /// a page lock and must not wait for a second one, so it takes a different page then. The walking
    /// thread has a reference, so the next allocation does not find the same page.
    fn locked_page<R: Release>(&self, machine: &Machine<R>, node: usize) -> Result<Pfn> {
        // The pool may be the memory of the swap space. If its allocation wrote to swap, the write would
        // allocate from the pool again.
        let _no_io = machine.pressure.enter(context::NO_IO);
        loop {
            let pfn = machine.alloc_pages_near(node, 0)?;
            if machine.frames[pfn].trylock() {
                return Ok(pfn);
            }
            machine.put(pfn);
        }
    }

    /// Maps an object for loads and stores (`zs_map_object`), waiting for a thread that moves it.
    /// `EINVAL` if the handle is stale.
    pub fn map<R: Release>(&self, machine: &Machine<R>, handle: Handle) -> Result<Mapping<'_>> {
        let found = |place: Place| {
            let id = self.zspage_of(machine, place.pfn())?;
            let (room, chain) = self.room(id)?;
            Some((&room.class, chain, place.object()))
        };
        match self.locking {
            ZsLocking::Class => {
                // The pin keeps the object alive and at its place.
                let place = self.handles.pin(handle)?;
                let Some((class, chain, object)) = found(place) else {
                    self.handles.unpin(handle.number());
                    return Err(Handles::stale(handle));
                };
                chain.read_lock(self.zspage_lock());
                Ok(Mapping { pool: self, class, chain, handle, object })
            }
            ZsLocking::Pool => {
                // No object moves while the pool's lock is held shared. So the pool's lock is held until
                // the zspage's lock is held, too.
                let _still = self.migrate.read();
                let place = self.handles.place(handle)?;
                let (class, chain, object) = found(place).ok_or_else(|| Handles::stale(handle))?;
                chain.read_lock(self.zspage_lock());
                // Another thread may have freed the object before the lock was taken, and its zspage with it.
                // From here on the zspage stays.
                let mapping = Mapping { pool: self, class, chain, handle, object };
                match self.handles.place(handle) {
                    Ok(now) if now == place => Ok(mapping),
                    _ => Err(Handles::stale(handle)),
                }
            }
        }
    }

    /// Frees an object (`zs_free`), and the zspage with its last object. `EINVAL` if the handle is
    /// stale.
    ///
    /// The caller may hold a page lock. If another thread has a page of the empty zspage locked, the
    /// zspage is not freed here: it waits for [`ZsPool::free_empty`], and [`ZsPool::has_work`] is true.
    pub fn free<R: Release>(&self, machine: &Machine<R>, handle: Handle) -> Result<()> {
        match self.locking {
            ZsLocking::Class => self.free_pinned(machine, handle),
            ZsLocking::Pool => self.free_unpinned(machine, handle),
        }
    }

    fn free_pinned<R: Release>(&self, machine: &Machine<R>, handle: Handle) -> Result<()> {
        let place = self.handles.pin(handle)?;
        let found = self.zspage_of(machine, place.pfn()).and_then(|id| Some((id, self.room(id)?)));
        let Some((id, (room, chain))) = found else {
            self.handles.unpin(handle.number());
            return Err(Handles::stale(handle));
        };
        chain.read_lock(self.zspage_lock());
        let mut books = room.books.lock();
        books.give(id.number, place.object());
        let empty = books.regroup(id.number);
        // A zspage with isolated pages is freed after the last of them was put back or has migrated. A
        // zspage that is on no list for another reason is freed by the thread that compacts it.
        let isolated = books.isolated(id.number) > 0 || !books.is_listed(id.number);
        chain.read_unlock(self.zspage_lock());
        let freed = match empty && !isolated {
            true => self.try_free_zspage(machine, room, &mut books, id.number),
            false => ArrayVec::new(),
        };
        self.handles.end(handle.number(), true);
        drop(books);
        freed.iter().for_each(|&pfn| machine.put(pfn));
        Ok(())
    }

    fn free_unpinned<R: Release>(&self, machine: &Machine<R>, handle: Handle) -> Result<()> {
        let still = self.migrate.read();
        let place = self.handles.place(handle)?;
        let found = self.zspage_of(machine, place.pfn()).and_then(|id| Some((id, self.room(id)?)));
        let (id, (room, _)) = found.ok_or_else(|| Handles::stale(handle))?;
        let mut books = room.books.lock();
        // Nothing moves while the pool's lock is held, so a different place means that another
        // thread has freed the object.
        if self.handles.place(handle).ok() != Some(place) {
            return Err(Handles::stale(handle));
        }
        drop(still);
        books.give(id.number, place.object());
        // The handle ends before the zspage may be freed. `map` takes the zspage's lock and then looks at
        // the handle again: either it finds that the handle has ended, or the zspage's lock keeps the zspage.
        self.handles.end(handle.number(), false);
        let freed = match books.regroup(id.number) && books.is_listed(id.number) {
            true => self.try_free_zspage(machine, room, &mut books, id.number),
            false => ArrayVec::new(),
        };
        drop(books);
        freed.iter().for_each(|&pfn| machine.put(pfn));
        Ok(())
    }

    /// The zspage that a page's record names, if the page is the pool's.
    pub(super) fn zspage_of<R: Release>(&self, machine: &Machine<R>, pfn: Pfn) -> Option<ZspageId> {
        let page = machine.frames.get(pfn)?;
        (page.owner() == self.id.0).then(|| ZspageId::from_raw(page.index()))
    }

    /// Stores bytes in a new object.
    pub fn put<R: Release>(&self, machine: &Machine<R>, content: &[u8], node: usize) -> Result<Handle> {
        let handle = self.alloc(machine, content.len(), node)?;
        let mut words = ArrayVec::<u64, { MAX_SIZE / WORD }>::new();
        words.extend(content.chunks(WORD).map(word_of));
        self.map(machine, handle)?.store(machine.memory(), &words);
        Ok(handle)
    }

    /// The bytes of an object. `EINVAL` if the handle is stale, or the object is freed meanwhile.
    pub fn get<R: Release>(&self, machine: &Machine<R>, handle: Handle) -> Result<Vec<u8>> {
        let mut words = [0; MAX_SIZE / WORD];
        let len = {
            let mapping = self.map(machine, handle)?;
            let len = mapping.len();
            mapping.load(machine.memory(), &mut words[..len.div_ceil(WORD)]);
            len
        };
        // Another thread may have freed the object while its bytes were loaded, and a new object may have
        // been stored in its place.
        self.handles.place(handle)?;
        let mut bytes = Vec::with_capacity(len);
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()).take(len));
        Ok(bytes)
    }
}

/// Up to eight bytes as a word, the missing ones zero.
pub(crate) fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

impl ClassRoom {
    /// The chain of a zspage that exists.
    pub(super) fn chain(&self, number: u32) -> &Chain {
        match self.chains.get(number as usize) {
            Some(chain) => chain,
            None => crate::sync::broken("a zspage has a chain", format_args!("zspage {number}")),
        }
    }
}
