//! Page faults: zero page, first write, copy on write, and waiting for a migration.
//!
//! # Rules
//!
//! * Nothing is allocated, zeroed or copied under an entry's lock: the page is made ready first, and
//!   the entry is looked at again under the lock.
//! * Nobody sleeps under an entry's lock. A fault on a migration entry waits for the source's page lock
//!   with no lock and no reference of its own: a reference would make the migration fail that it waits
//!   for. The kernel queues the waiter under the page-table lock, which keeps the source from being
//!   freed. Here records are never freed, so it is enough that the entry is looked at once more when the
//!   waiter is queued: the migrator holds the page lock until every entry is restored, so an entry that
//!   is still there means an unlock that is still to come, and that unlock finds the waiter.
//! * The old page of a copy keeps its mapping's reference until the flush: threads inside an access may
//!   still read it.

use super::swap::Swapped;
use super::{Area, Attributes, Entry, EntryGuard, File, Policy, Pte};
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::memory::WORDS;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, mutated};

/// Why a page is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A load.
    Read,
    /// A store.
    Write,
    /// A pin that will read: the page must be this process's own, but stays as writable as it was
    /// (`FAULT_FLAG_UNSHARE`).
    Unshare,
}

/// How far one look at the entry got.
pub(super) enum Outcome {
    /// The access can be tried (again).
    Done,
    /// A zeroed page is needed.
    NeedZeroed,
    /// A copy of this page is needed. Holds a reference, taken under the entry's lock.
    NeedCopy(Pfn),
    /// The file's page is needed, or a copy of it.
    NeedFile(Want),
    /// This page, mapped shared, is to be made ready for a store. Holds a reference.
    NeedWritable(Pfn),
    /// The content of this swap slot is needed.
    NeedSwapped(u32),
    /// The entry is to be looked at once more.
    Again,
    /// The page is under migration.
    Wait(Pfn),
}

/// For what a file's page is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// To be mapped as it is.
    Page,
    /// To be mapped for a store that all users of the file see.
    Writable,
    /// To be copied for a private mapping.
    Copy,
}

impl Want {
    /// What a fault with this cause wants where nothing is mapped.
    pub(super) fn of(cause: Cause, shared: bool) -> Want {
        match (cause, shared) {
            (Cause::Read, _) => Want::Page,
            (_, true) => Want::Writable,
            (_, false) => Want::Copy,
        }
    }
}

/// A page made ready before the entry is locked.
#[derive(Clone, Copy)]
pub(super) enum Fresh {
    /// Filled with zeroes.
    Zeroed(Pfn),
    /// A copy of a mapped page, on which it holds a reference.
    Copy {
        /// The copy.
        pfn: Pfn,
        /// Its source.
        of: Pfn,
    },
    /// A file's page, locked, with a reference.
    File {
        /// The page.
        pfn: Pfn,
        /// Was it made ready for a store?
        writable: bool,
    },
    /// A copy of a file's page, which is locked and held as above.
    FileCopy {
        /// The copy.
        pfn: Pfn,
        /// Its source.
        of: Pfn,
    },
    /// A page from swap, locked, with a reference.
    Swapped(Swapped),
}

impl<R: Release> Machine<R> {
    /// One page fault of a load or a store (`write`). `Ok` says that the access may be tried again, as
    /// a return from the kernel's handler does: the page may already be elsewhere once more.
    ///
    /// `EFAULT` outside of what is mapped, `ENOMEM` without a free frame, `EHWPOISON` on a poisoned one, `EINTR` for who
    /// waits [`patiently`](crate::sync::patiently); then nothing has changed.
    pub fn fault(&self, area: &Area, index: u32, write: bool) -> Result<()> {
        self.fault_for(area, index, if write { Cause::Write } else { Cause::Read })
    }

    pub(super) fn fault_for(&self, area: &Area, index: u32, cause: Cause) -> Result<()> {
        self.fault_retrying(area, index, cause, true)
    }

    /// The same for who may not let go of his locks while a file is read, if not `retry` (no `FAULT_FLAG_ALLOW_RETRY`).
    pub(super) fn fault_retrying(&self, area: &Area, index: u32, cause: Cause, retry: bool) -> Result<()> {
        self.stats.event(Event::Pgfault, 1);
        if index >= area.pages() {
            return Err(no_page(area, index));
        }
        let mut fresh = None;
        // Each further round follows from a change that somebody else made to the entry after the page
        // had been made ready.
        let outcome = {
            let _against_fork = area.faults.read();
            loop {
                match self.fault_round(area, index, cause, &mut fresh) {
                    Ok(Outcome::NeedZeroed) => {
                        self.discard(fresh.take());
                        fresh = match self.zeroed_page(area, index) {
                            Ok(pfn) => Some(Fresh::Zeroed(pfn)),
                            Err(error) => break Err(error),
                        };
                    }
                    Ok(Outcome::NeedCopy(old)) => {
                        self.discard(fresh.take());
                        fresh = match self.copied_page(area, index, old) {
                            Ok(pfn) => Some(Fresh::Copy { pfn, of: old }),
                            Err(error) => {
                                self.put_page(old);
                                break Err(error);
                            }
                        };
                    }
                    Ok(Outcome::NeedFile(want)) => {
                        self.discard(fresh.take());
                        fresh = match self.ready_file_page(area, index, want, retry) {
                            Ok(ready) => Some(ready),
                            Err(error) => break Err(error),
                        };
                    }
                    Ok(Outcome::NeedWritable(pfn)) => {
                        self.discard(fresh.take());
                        fresh = match self.ready_mapped_page(area, index, pfn) {
                            Ok(ready) => ready,
                            Err(error) => break Err(error),
                        };
                    }
                    Ok(Outcome::NeedSwapped(slot)) => {
                        self.discard(fresh.take());
                        fresh = match self.ready_swapped_page(area, index, slot, cause) {
                            Ok(ready) => ready,
                            Err(error) => break Err(error),
                        };
                    }
                    Ok(Outcome::Again) => {}
                    end => break end,
                }
            }
        };
        self.discard(fresh);
        if let Outcome::Wait(source) = outcome? {
            // The lock of a large page is its head's. If it is being split, its parts are locked before they leave it.
            let locked = self.frames.get(self.frames.head(source)).unwrap_or(&self.frames[source]);
            if !locked.wait_unlocked_patiently(|| area.look(index).migrates(source)) {
                return Err(Error::interrupted());
            }
        }
        Ok(())
    }

    /// Looks at the entry, under its lock unless it is to be filled from a file, and does what can be done there.
    fn fault_round(
        &self,
        area: &Area,
        index: u32,
        cause: Cause,
        fresh: &mut Option<Fresh>,
    ) -> Result<Outcome> {
        if area.attributes(index).contains(Attributes::UNMAPPED) {
            return Err(no_page(area, index));
        }
        // An empty entry of a file's mapping sends for the file's page whoever holds its lock, and so also in the moment in
        // which a migration has cleared it: this fault then waits for the page lock with a reference, and the migration
        // finds one too many.
        if fresh.is_none() && area.file().is_some() && area.look(index).entry() == Entry::None {
            return Ok(Outcome::NeedFile(Want::of(cause, area.is_shared())));
        }
        let guard = area.lock(index);
        let pte = guard.pte();
        match (pte.entry(), cause) {
            (Entry::None, _) if area.file().is_some() => {
                return Ok(self.map_file_page(area, index, guard, cause, fresh));
            }
            (Entry::None, Cause::Read) => {
                guard.finish(Pte::present(Pfn(0), Pte::ZERO | Pte::YOUNG));
            }
            (Entry::None | Entry::Present { zero: true, .. }, Cause::Write | Cause::Unshare) => {
                let Some(Fresh::Zeroed(pfn)) = *fresh else { return Ok(Outcome::NeedZeroed) };
                if area.order() > 0 && self.frames[pfn].order() > 0 {
                    drop(guard);
                    return Ok(self.map_large(area, index, pfn, fresh));
                }
                *fresh = None;
                self.add_new_anon(area, index, pfn);
                // A stale look at the zero page is a look at nothing: no flush.
                guard.finish(Pte::present(pfn, Pte::YOUNG | Pte::DIRTY | Pte::WRITE));
            }
            (Entry::Present { pfn, zero: false }, Cause::Write)
                if !pte.has(Pte::WRITE) && area.is_shared() =>
            {
                return Ok(self.write_shared(pfn, guard, fresh));
            }
            (Entry::Present { pfn, zero: false }, Cause::Write) if !pte.has(Pte::WRITE) => {
                return Ok(self.write_protected(area, index, pfn, guard, cause, fresh));
            }
            (Entry::Present { pfn, zero: false }, Cause::Unshare)
                if !area.is_shared() && !self.frames[pfn].word().has(Flags::ANON_EXCLUSIVE) =>
            {
                return Ok(self.write_protected(area, index, pfn, guard, cause, fresh));
            }
            // Somebody else was faster.
            (Entry::Present { .. }, _) => {}
            (Entry::Migration { pfn }, _) => return Ok(Outcome::Wait(pfn)),
            (Entry::Hwpoison { pfn }, _) => {
                return Err(Error::at(Errno::EHWPOISON, pfn, Why::State("the frame is bad".into())));
            }
            (Entry::Swap { slot }, _) => {
                return Ok(self.map_swapped_page(area, index, guard, slot, cause, fresh));
            }
        }
        Ok(Outcome::Done)
    }

    /// A present page that this process may only read: reuse it or replace it by a copy
    /// (`do_wp_page`).
    fn write_protected(
        &self,
        area: &Area,
        index: u32,
        old: Pfn,
        mut guard: EntryGuard<'_>,
        cause: Cause,
        fresh: &mut Option<Fresh>,
    ) -> Outcome {
        self.step("write fault", old);
        // The mapping's reference keeps the page as it is. Of a large one that others had too it is not known who has
        // which part: a copy is made.
        let page = &self.frames[old];
        let word = page.word();
        let exclusive = word.has(Flags::ANON_EXCLUSIVE);
        let folio = self.frames.folio(old);
        let head = folio.head;
        if exclusive || (word.has(Flags::ANON) && !folio.large && self.can_reuse_anon(old)) {
            if !exclusive {
                page.set(Flags::ANON_EXCLUSIVE);
            }
            if cause == Cause::Write {
                self.stats.event(Event::Pgreuse, 1);
                let bits = Pte::YOUNG | Pte::DIRTY | Pte::WRITE;
                guard.finish(Pte::present(old, bits));
            }
            return Outcome::Done;
        }
        let new = match *fresh {
            Some(Fresh::Copy { pfn, of }) if of == old => pfn,
            _ => {
                self.frames[head].get(head);
                return Outcome::NeedCopy(old);
            }
        };
        *fresh = None;
        self.add_new_anon(area, index, new);
        guard.replace(match cause {
            Cause::Write => Pte::present(new, Pte::YOUNG | Pte::DIRTY | Pte::WRITE),
            _ => Pte::present(new, Pte::YOUNG | Pte::DIRTY),
        });
        self.remove_mapping_of(folio, old);
        if folio.large {
            self.note_partial(folio, old);
        }
        if area.locked(index) {
            self.munlock_page(head);
        }
        drop(guard);
        self.step("copied on write", old);
        // Threads inside an access may still read the old page: its reference goes after them.
        if !mutated(Mutation::CopyOnWriteWithoutFlush) {
            self.tlb.flush();
        }
        self.free_swap_if_unmapped(head);
        self.put(head);
        self.put(head);
        Outcome::Done
    }

    /// Does nobody else hold the page, in whatever form (`wp_can_reuse_anon_folio`)? The entry is
    /// locked. What cannot be told at once counts as "somebody does".
    fn can_reuse_anon(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        // The mapping, an LRU batch, the swap cache.
        const EXPLAINED: u32 = 3;
        if mutated(Mutation::ReuseNotChecked) {
            return true;
        }
        if page.count() > EXPLAINED {
            return false;
        }
        if !page.word().has(Flags::LRU) {
            // A reference of this CPU's batch can be told away; those of other CPUs' cannot.
            self.lru_drain_local();
        }
        let swapcache = u32::from(page.word().has(Flags::SWAPCACHE));
        if page.count() > 1 + swapcache || !page.trylock() {
            return false;
        }
        if swapcache > 0 {
            // Another process's entry keeps it there, and with it the cache's reference.
            self.free_swap(pfn);
        }
        let alone = page.count() == 1;
        page.unlock(pfn);
        alone
    }

    /// A frame for a page of an area, from where its policy says.
    pub(super) fn alloc_for(&self, area: &Area, index: u32) -> Result<Pfn> {
        self.alloc_by_policy(area, index, area.preferred())
    }

    /// The same on behalf of somebody else, who prefers another node.
    pub(super) fn alloc_by_policy(&self, area: &Area, index: u32, preferred: usize) -> Result<Pfn> {
        self.alloc_order(area, index, preferred, 0)
    }

    /// The same for a page of 2^`order` frames.
    pub(super) fn alloc_order(&self, area: &Area, index: u32, preferred: usize, order: u8) -> Result<Pfn> {
        let policy = match area.file() {
            Some(map) if !map.file.is_written_back() => map.file.policy(map.first + index),
            _ => area.special(index).policy(),
        };
        self.alloc_where(policy, preferred, order)
    }

    /// The same for the page cache of a file.
    pub(super) fn alloc_for_file(&self, file: &File, index: u32, preferred: usize) -> Result<Pfn> {
        self.alloc_where(file.policy(index), preferred, 0)
    }

    fn alloc_where(&self, policy: Option<Policy>, preferred: usize, order: u8) -> Result<Pfn> {
        match policy {
            None => self.alloc_pages_near(preferred, order),
            Some(Policy::Preferred(node)) => self.alloc_pages_near(node, order),
            Some(Policy::Bind(node)) => self.alloc_pages(node, order),
        }
    }

    /// A zeroed page for an area, a large one where it fits.
    fn zeroed_page(&self, area: &Area, index: u32) -> Result<Pfn> {
        if area.order() > 0
            && let Some(head) = self.zeroed_large(area, index)
        {
            return Ok(head);
        }
        let pfn = self.alloc_for(area, index)?;
        self.memory.zero_page(pfn);
        Ok(pfn)
    }

    /// A copy of a page. The caller holds a reference on `from`.
    pub(super) fn copied_page(&self, area: &Area, index: u32, from: Pfn) -> Result<Pfn> {
        let pfn = self.alloc_for(area, index)?;
        if let Err(error) = self.may_copy("copy of a private page", from) {
            self.put(pfn);
            return Err(error);
        }
        self.copy_shared(from, pfn);
        Ok(pfn)
    }

    /// Copies a page that others may write to meanwhile, through a pin or another mapping: word by word, as
    /// racing users would.
    pub(super) fn copy_shared(&self, from: Pfn, to: Pfn) {
        if self.memory.is_backed() {
            for word in 0..WORDS {
                self.memory.store(to, word, self.memory.load(from, word));
            }
        }
    }

    /// Makes a fresh page the exclusive anonymous page `index` of an area: the allocation's reference
    /// becomes the entry's. On its way to the LRU before the entry is published, as the kernel does.
    pub(super) fn add_new_anon(&self, area: &Area, index: u32, pfn: Pfn) {
        let page = &self.frames[pfn];
        page.set_owner(area.anon.0, index);
        if mutated(Mutation::FlagsAfterLruAdd) {
            self.lru_add(pfn);
        }
        page.set(Flags::UPTODATE | Flags::SWAPBACKED | Flags::ANON | Flags::ANON_EXCLUSIVE);
        page.add_mapping();
        area.note_anon(index);
        self.count_mapped(pfn, 1);
        if area.locked(index) {
            self.mlock_new_page(pfn);
        } else if !mutated(Mutation::FlagsAfterLruAdd) {
            self.lru_add(pfn);
        }
    }

    /// Gives back a page that was made ready for nothing.
    fn discard(&self, fresh: Option<Fresh>) {
        match fresh {
            None => {}
            Some(Fresh::Zeroed(pfn)) => self.put(pfn),
            Some(Fresh::Copy { pfn, of }) => {
                self.put(pfn);
                self.put_page(of);
            }
            Some(Fresh::Swapped(swapped)) => self.discard_swapped(swapped),
            Some(Fresh::File { pfn, .. }) => self.unlock_and_put(pfn),
            Some(Fresh::FileCopy { pfn, of }) => {
                self.put(pfn);
                self.unlock_and_put(of);
            }
        }
    }
}

/// Nothing is mapped there.
#[cold]
pub(super) fn no_page(area: &Area, index: u32) -> Error {
    let address = area.address(index);
    Error::new(Errno::EFAULT, format!("nothing is mapped at {address:#x} of address space {}", area.space))
}

/// Who asks for a page in somebody else's name is told `EFAULT` of a poisoned one (no `FOLL_HWPOISON`).
#[cold]
pub(super) fn no_hwpoison(error: Error) -> Error {
    match error.errno {
        Errno::EHWPOISON => Error { errno: Errno::EFAULT, ..error },
        _ => error,
    }
}
