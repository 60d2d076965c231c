//! Migrates pages of zspages: the pool's callbacks as an owner of movable pages.

use super::books::Books;
use super::chain::Chain;
use super::pool::{ClassRoom, ZsPool, ZspageId};
use crate::calls::Call;
use crate::error::Errno;
use crate::layout::kind::Kind;
use crate::machine::Machine;
use crate::migrate::mode::Mode;
use crate::movable::ops::MovableOps;
use crate::page::Pfn;
use crate::profile::ZsLocking;
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::{Mutation, Ordering, broken, mutated, unpark_all};

/// A round of reclaim that is to free this many pages compacts the pool, however much the pool can free
/// (`SHRINK_BATCH`).
const SHRINK_BATCH: u64 = 128;

impl<R: Release> MovableOps<R> for ZsPool {
    fn isolate(&self, machine: &Machine<R>, pfn: Pfn) -> bool {
        machine.frames[pfn].expect_locked();
        machine.traced(Call::ZsIsolate, pfn, || match self.locking {
            // A page that is marked and locked belongs to a zspage until it is unlocked. Nothing else is
            // to be done: the zspage stays on its list (`zs_page_isolate`).
            ZsLocking::Pool => true,
            ZsLocking::Class => self.isolate_counted(machine, pfn),
        })
    }

    fn migrate(&self, machine: &Machine<R>, from: Pfn, to: Pfn, _mode: Mode) -> Result<(), Errno> {
        machine.frames[from].expect_locked();
        machine.frames[to].expect_locked();
        machine.traced(Call::ZsMigrate, (from, to), || match self.locking {
            ZsLocking::Pool => self.migrate_unpinned(machine, from, to),
            ZsLocking::Class => self.migrate_pinned(machine, from, to),
        })
    }

    fn putback(&self, machine: &Machine<R>, pfn: Pfn) {
        machine.frames[pfn].expect_locked();
        machine.calls_on(Call::ZsPutback, pfn);
        if self.locking == ZsLocking::Pool {
            return;
        }
        let (id, room, _) = self.parts(machine, pfn);
        if room.books.lock().remove_isolated(id.number) {
            // The page is locked, so the zspage cannot be freed here.
            self.schedule();
        }
        self.not_isolated();
    }

    fn released(&self, machine: &Machine<R>, pfn: Pfn) {
        let word = machine.frames[pfn].word();
        broken("a zspage's page is unmarked before its last put", format_args!("page {pfn} ({word})"));
    }

    fn kind(&self) -> Kind {
        Kind::Zsmalloc
    }

    fn held(&self) -> Vec<Pfn> {
        self.all_pages()
    }

    /// Compacts the pool if the round is to free as many pages as the compaction would, or
    /// `SHRINK_BATCH` of them (`zs_shrinker_scan`, `do_shrink_slab`).
    fn shrink(&self, machine: &Machine<R>, priority: u32) {
        let freeable = self.compactable_pages();
        let wanted = 2 * (freeable >> priority);
        if freeable > 0 && wanted >= freeable.min(SHRINK_BATCH) {
            self.compact(machine);
        }
    }

    fn check(&self, machine: &Machine<R>, report: &mut dyn FnMut(&'static str, Option<Pfn>, String)) {
        for what in self.faults(machine) {
            report("an owner accounts for its pages", None, what);
        }
    }
}

impl ZsPool {
    /// The zspage of a page that is marked as the pool's and locked.
    fn parts<R: Release>(&self, machine: &Machine<R>, pfn: Pfn) -> (ZspageId, &ClassRoom, &Chain) {
        let id = ZspageId::from_raw(machine.frames[pfn].index());
        match self.room(id) {
            Some((room, chain)) => (id, room, chain),
            None => broken("a movable page of a pool has a zspage", format_args!("page {pfn} names {id:?}")),
        }
    }

    fn isolate_counted<R: Release>(&self, machine: &Machine<R>, pfn: Pfn) -> bool {
        let (id, room, _) = self.parts(machine, pfn);
        let mut books = room.books.lock();
        if books.is_empty(id.number) || !books.is_listed(id.number) && books.isolated(id.number) == 0 {
            // The zspage is being freed, set up, or compacted.
            return false;
        }
        books.add_isolated(id.number);
        // Relaxed: the class lock and the page lock order this with the decrement. The class lock
        // orders it with the load in `wait_for_isolated`, too: `close` takes the lock of each class
        // before that load, and from then on every zspage is empty.
        self.counts.isolated.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Counts a page whose isolation has ended. After the last one it wakes the thread that closes the
    /// pool (`zs_pool_dec_isolated`).
    fn not_isolated(&self) {
        let Counter { closing, isolated } = Counter::of(self);
        // SeqCst: as below. The defect reads the mark before it lowers the count, and so may miss the mark.
        let early = mutated(Mutation::ClosingReadEarly) && closing.load(Ordering::SeqCst) == 0;
        // SeqCst: this thread lowers the count before it loads the mark, and the closing thread sets the
        // mark before it loads the count. So the closing thread finds the lower count, or this thread
        // finds the mark.
        let last = isolated.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && !early && closing.load(Ordering::SeqCst) != 0 {
            unpark_all(isolated, || ());
        }
    }

    /// Migration under the pool's lock (`zs_page_migrate` since 5.17).
    fn migrate_unpinned<R: Release>(&self, machine: &Machine<R>, from: Pfn, to: Pfn) -> Result<(), Errno> {
        {
            let _migrate = self.migrate.write();
            let (_, room, chain) = self.parts(machine, from);
            let books = room.books.lock();
            // No thread may use an object of the zspage while its page is copied.
            match self.writer_waits {
                true => chain.write_lock(self.zspage_lock()),
                false if chain.try_write(self.zspage_lock()) => {}
                false => return Err(Errno::EINVAL),
            }
            machine.memory.copy_page(from, to);
            self.switch(machine, room, chain, &books, (from, to));
            chain.write_unlock(self.zspage_lock());
        }
        self.leave(machine, from, to);
        Ok(())
    }

    /// Migration under the class lock, with all objects of the page pinned (`zs_page_migrate` up to
    /// 5.16; that of 4.8 fails with `EBUSY` for a zspage without an object).
    fn migrate_pinned<R: Release>(&self, machine: &Machine<R>, from: Pfn, to: Pfn) -> Result<(), Errno> {
        let (id, room, chain) = self.parts(machine, from);
        chain.write_lock(self.zspage_lock());
        let mut books = room.books.lock();
        // A zspage whose last object was freed meanwhile moves like any other.
        let done = self.switch_pinned(machine, id, (room, chain, &books), (from, to));
        if done.is_ok() && books.remove_isolated(id.number) && !mutated(Mutation::EmptyZspageForgotten) {
            self.schedule();
        }
        drop(books);
        chain.write_unlock(self.zspage_lock());
        if done.is_ok() {
            self.not_isolated();
            self.leave(machine, from, to);
        }
        done
    }

    fn switch_pinned<R: Release>(
        &self,
        machine: &Machine<R>,
        id: ZspageId,
        (room, chain, books): (&ClassRoom, &Chain, &Books),
        (from, to): (Pfn, Pfn),
    ) -> Result<(), Errno> {
        let page = self.number_of(room, chain, from);
        let objects = room.class.beginning_in(page);
        let handles = || objects.clone().filter_map(|object| books.handle(id.number, object));
        let pinned = handles().take_while(|&handle| self.handles.try_pin(handle)).count();
        let all = pinned == handles().count();
        if all {
            machine.memory.copy_page(from, to);
            self.switch(machine, room, chain, books, (from, to));
        }
        if all || !mutated(Mutation::MigrationKeepsPins) {
            handles().take(pinned).for_each(|handle| self.handles.unpin(handle));
        }
        if all { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    fn number_of(&self, room: &ClassRoom, chain: &Chain, pfn: Pfn) -> usize {
        match chain.pages(&room.class).position(|page| page == pfn) {
            Some(number) => number,
            None => broken("a movable page of a pool is in its zspage", format_args!("page {pfn}")),
        }
    }

    /// Puts a page in the place of another one: in the chain, and in the handles of the objects that
    /// begin in it (`replace_sub_page`).
    fn switch<R: Release>(
        &self,
        machine: &Machine<R>,
        room: &ClassRoom,
        chain: &Chain,
        books: &Books,
        (from, to): (Pfn, Pfn),
    ) {
        let id = ZspageId::from_raw(machine.frames[from].index());
        let page = self.number_of(room, chain, from);
        for object in room.class.beginning_in(page) {
            if let Some(handle) = books.handle(id.number, object) {
                self.handles.record(handle, to, object);
            }
        }
        chain.replace(page, to);
        // The reference is taken before the locks are released: when the page lock is free, too,
        // another thread may free the zspage.
        machine.frames[to].get(to);
        machine.set_movable(to, self.id, id.raw());
    }

    /// Ends the pool's hold on the old page of a migration.
    fn leave<R: Release>(&self, machine: &Machine<R>, from: Pfn, to: Pfn) {
        if !mutated(Mutation::ZspageNodeNotMoved) {
            machine.stats.node(machine.node_of(from), NodeItem::Zspages, -1);
            machine.stats.node(machine.node_of(to), NodeItem::Zspages, 1);
        }
        machine.clear_movable(from);
        // The put is not the last one: the isolation still holds `from`.
        machine.put(from);
    }

    /// The contradictions in a pool of a machine at rest.
    fn faults<R: Release>(&self, machine: &Machine<R>) -> Vec<String> {
        let mut wrong = Vec::new();
        let (mut pages, mut objects) = (0, 0);
        for room in &self.rooms {
            let books = room.books.lock();
            books.check(&mut |what| wrong.push(format!("class {}: {what}", room.class.index)));
            for (number, used) in books.zspages() {
                pages += u64::from(room.class.pages);
                objects += u64::from(used);
                // A zspage with isolated pages is freed after the last isolation has ended.
                if used == 0 && !self.has_work() && books.isolated(number) == 0 {
                    let what = "is empty, and nothing will free it";
                    wrong.push(format!("zspage {number} of class {} {what}", room.class.index));
                }
                let frames: Vec<Pfn> = room.chain(number).pages(&room.class).collect();
                for object in 0..room.class.objects {
                    let Some(handle) = books.handle(number, object) else { continue };
                    let (place, page) = (self.handles.place_of(handle), frames[room.class.page_of(object)]);
                    if (place.pfn(), place.object()) != (page, object) {
                        let at = format!("page {} object {}", place.pfn(), place.object());
                        wrong.push(format!("handle {handle} names {at} for page {page} object {object}"));
                    }
                }
                let id = |pfn: &Pfn| self.zspage_of(machine, *pfn).map(|id| (id.number, self.room(id)));
                let ours = |pfn: &Pfn| {
                    id(pfn).is_some_and(|(of, found)| {
                        of == number && found.is_some_and(|(of, _)| of.class == room.class)
                    })
                };
                if let Some(other) = frames.iter().find(|pfn| !ours(pfn)) {
                    wrong.push(format!("page {other} does not name its zspage {number}"));
                }
            }
        }
        if objects != self.handles.used() {
            // The handle of an object that could not be stored would be lost.
            wrong.push(format!("{} handles are in use for {objects} objects", self.handles.used()));
        }
        if pages != self.pages() {
            wrong.push(format!("{pages} pages are in zspages where {} are counted", self.pages()));
        }
        wrong
    }
}

/// The two words through which a close waits for isolated pages.
struct Counter<'a> {
    closing: &'a crate::sync::AtomicU64,
    isolated: &'a crate::sync::AtomicU64,
}

impl Counter<'_> {
    fn of(pool: &ZsPool) -> Counter<'_> {
        Counter { closing: &pool.counts.closing, isolated: &pool.counts.isolated }
    }
}
