//! Compaction of a pool: objects of the emptiest zspages move into the fullest, until no further
//! zspage can become empty.

use super::books::Books;
use super::class::{MAX_SIZE, WORD};
use super::free::Freed;
use super::pool::{ClassRoom, ZsPool};
use crate::machine::Machine;
use crate::profile::{FullnessGroups, ZsLocking};
use crate::release::Release;
use crate::sync::{Guard, Ordering, WriteGuard, interrupted};

/// The place in a source zspage from which a compaction goes on.
#[derive(Clone, Copy, Debug)]
struct Source {
    number: u32,
    next: u16,
}

/// The locks of a compaction, in the order in which they are taken.
type Held<'a> = (Option<WriteGuard<'a, ()>>, Guard<'a, Books>);

impl ZsPool {
    /// Compacts all classes (`zs_compact`) and returns the number of pages of the zspages that became
    /// empty; 0 if another thread is compacting the pool. A zspage with a page that another thread
    /// has locked is counted, too: it waits for [`ZsPool::free_empty`]. An interruption ends the
    /// compaction early.
    pub fn compact<R: Release>(&self, machine: &Machine<R>) -> u64 {
        // Acquire pairs with the Release below.
        if self.counts.compacting.swap(1, Ordering::Acquire) != 0 {
            return 0;
        }
        let mut pages = 0;
        for room in self.rooms.iter().take_while(|_| !interrupted()) {
            pages += match self.groups {
                FullnessGroups::Quarters => self.compact_by_source(machine, room),
                FullnessGroups::Tenths => self.compact_by_target(machine, room),
            };
        }
        // Relaxed: a count, which orders nothing.
        self.counts.compacted.fetch_add(pages, Ordering::Relaxed);
        // Release pairs with the Acquire above: the next compaction sees all that this one has done.
        self.counts.compacting.store(0, Ordering::Release);
        pages
    }

    fn held<'a>(&'a self, room: &'a ClassRoom) -> Held<'a> {
        let migrate = (self.locking == ZsLocking::Pool).then(|| self.migrate.write());
        (migrate, room.books.lock())
    }

    /// Releases the locks for a moment, so that other threads can use the class, and puts the freed
    /// pages, which must not be put under the locks. Returns the locks, taken again, and false if the
    /// compaction is to end now.
    fn relax<'a, R: Release>(
        &'a self,
        machine: &Machine<R>,
        room: &'a ClassRoom,
        held: Held<'a>,
        freed: Freed,
    ) -> (Held<'a>, bool) {
        drop(held);
        freed.iter().for_each(|&pfn| machine.put(pfn));
        let goes_on = !interrupted();
        (self.held(room), goes_on)
    }

    /// The order of Linux before 6.4: one of the emptiest zspages is emptied into as many other
    /// zspages as are needed.
    fn compact_by_source<R: Release>(&self, machine: &Machine<R>, room: &ClassRoom) -> u64 {
        let mut pages = 0;
        let mut held = self.held(room);
        while let Some(number) = held.1.isolate(true) {
            let books = &mut *held.1;
            if books.compactable() == 0 || !self.lock_source(room, number) {
                books.insert(number);
                break;
            }
            let mut source = Source { number, next: 0 };
            let target = loop {
                let Some(target) = books.isolate(false) else { break None };
                if self.move_objects(machine, room, books, &mut source, target) {
                    break Some(target);
                }
                books.insert(target);
            };
            self.unlock_source(room, number);
            if let Some(target) = target {
                books.insert(target);
            }
            let mut freed = Freed::new();
            if books.insert(number) {
                freed = self.try_free_zspage(machine, room, books, number);
                pages += u64::from(room.class.pages);
            }
            if target.is_none() {
                drop(held);
                freed.iter().for_each(|&pfn| machine.put(pfn));
                break;
            }
            let goes_on;
            (held, goes_on) = self.relax(machine, room, held, freed);
            if !goes_on {
                break;
            }
        }
        pages
    }

    /// The order of Linux from 6.4 on: one of the fullest zspages is filled from as many other
    /// zspages as are needed.
    fn compact_by_target<R: Release>(&self, machine: &Machine<R>, room: &ClassRoom) -> u64 {
        let mut pages = 0;
        let mut target = None;
        let mut held = self.held(room);
        while held.1.compactable() > 0 {
            let books = &mut *held.1;
            target = target.or_else(|| books.isolate(false));
            let Some(into) = target else { break };
            let Some(number) = books.isolate(true) else { break };
            if !self.lock_source(room, number) {
                books.insert(number);
                break;
            }
            self.move_objects(machine, room, books, &mut Source { number, next: 0 }, into);
            self.unlock_source(room, number);
            let mut freed = Freed::new();
            if books.insert(number) {
                freed = self.try_free_zspage(machine, room, books, number);
                pages += u64::from(room.class.pages);
            }
            // A target that is not full stays off its list, so no other thread fills or frees it.
            let is_full = books.is_full(into);
            if is_full {
                books.insert(into);
                target = None;
            }
            if is_full || !freed.is_empty() {
                let goes_on;
                (held, goes_on) = self.relax(machine, room, held, freed);
                if !goes_on {
                    break;
                }
            }
        }
        if let Some(into) = target
            && held.1.insert(into)
        {
            // The target's last objects were freed while it was off its list.
            let freed = self.try_free_zspage(machine, room, &mut held.1, into);
            drop(held);
            freed.iter().for_each(|&pfn| machine.put(pfn));
        }
        pages
    }

    /// Takes the lock of a source zspage, so that no thread uses an object of it. Under
    /// `ZsLocking::Class` the pin of each object serves instead, and nothing is locked here. Returns
    /// false if an object is in use and kernels of the profile do not wait for its user.
    fn lock_source(&self, room: &ClassRoom, number: u32) -> bool {
        let chain = room.chain(number);
        match (self.locking, self.writer_waits) {
            (ZsLocking::Class, _) => true,
            (ZsLocking::Pool, true) => {
                chain.write_lock(self.zspage_lock());
                true
            }
            (ZsLocking::Pool, false) => chain.try_write(self.zspage_lock()),
        }
    }

    fn unlock_source(&self, room: &ClassRoom, number: u32) {
        if self.locking == ZsLocking::Pool {
            room.chain(number).write_unlock(self.zspage_lock());
        }
    }

    /// Moves objects from a source to a target (`migrate_zspage`). Returns false if the target is full and
    /// the source has more.
    fn move_objects<R: Release>(
        &self,
        machine: &Machine<R>,
        room: &ClassRoom,
        books: &mut Books,
        source: &mut Source,
        target: u32,
    ) -> bool {
        let class = &room.class;
        let pins = self.locking == ZsLocking::Class;
        for object in source.next..class.objects {
            source.next = object;
            let Some(handle) = books.handle(source.number, object) else { continue };
            // An object in use stays. Its zspage then stays, too.
            if pins && !self.handles.try_pin(handle) {
                continue;
            }
            if books.is_full(target) {
                if pins {
                    self.handles.unpin(handle);
                }
                return false;
            }
            let to = books.take(target, handle);
            self.copy_object(machine, room, (source.number, object), (target, to));
            let page = room.chain(target).page(class.page_of(to));
            self.handles.record(handle, page, to);
            if pins {
                self.handles.unpin(handle);
            }
            books.give(source.number, object);
        }
        source.next = class.objects;
        true
    }

    /// Copies an object (`zs_object_copy`).
    fn copy_object<R: Release>(
        &self,
        machine: &Machine<R>,
        room: &ClassRoom,
        (source, from): (u32, u16),
        (target, to): (u32, u16),
    ) {
        let mut words = [0; MAX_SIZE / WORD];
        let words = &mut words[..room.class.words()];
        room.chain(source).load(&room.class, from, machine.memory(), words);
        room.chain(target).store(&room.class, to, machine.memory(), words);
    }
}
