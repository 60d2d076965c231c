//! Page faults: they map the zero page or a new page, copy on write, and wait for a migration.
//!
//! # Rules
//!
//! * No page is allocated, zeroed or copied under an entry's lock. The page is made ready first, and the
//!   entry is read again under the lock.
//! * No thread sleeps under an entry's lock. A fault on a migration entry waits for the source's page lock,
//!   and holds no other lock and no reference meanwhile. A reference of the fault would make the awaited
//!   migration fail, as in old kernels (`migration_waiter_reference`). The kernel queues the waiter under
//!   the page-table lock, which keeps the source from being freed. Here page records are never freed, so a
//!   second look at the entry is enough once the waiter is queued. The migrator holds the page lock until
//!   every entry is restored: if the entry is still there, the unlock is still to come, and finds the waiter.
//! * The old page of a copy-on-write keeps its mapping's reference until the flush, because threads inside an
//!   access may still read the page.

use super::swap::Swapped;
use super::{Area, Attributes, Entry, EntryGuard, File, Policy, Pte};
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::memory::WORDS;
use crate::page::reckon::{self, Fact};
use crate::page::{Flags, Folio, Pfn, lives};
use crate::pressure::state::context;
use crate::profile::AnonReuse;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, in_order, mutated};

/// The access for which a fault needs a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A load.
    Read,
    /// A store.
    Write,
    /// A pin for reading. The page must belong to this process alone, but stays as writable as it
    /// was (`FAULT_FLAG_UNSHARE`).
    Unshare,
}

/// The result of one round of a fault at the entry.
pub(super) enum Outcome {
    /// The access can be tried, or tried again.
    Done,
    /// The fault needs a zeroed page.
    NeedZeroed,
    /// The fault needs a copy of this page. Carries a reference, taken under the entry's lock.
    NeedCopy(Pfn),
    /// The fault needs the file's page, or a copy of it.
    NeedFile(Want),
    /// This page of a shared mapping must be made ready for a store. Carries a reference.
    NeedWritable(Pfn),
    /// The fault needs the content of this swap slot.
    NeedSwapped(u32),
    /// The entry must be read again.
    Again,
    /// The page is under migration. Carries a reference on the head in `held`, in kernels that take
    /// one.
    Wait {
        /// The source of the migration.
        source: Pfn,
        /// The page that is held during the wait.
        held: Option<Pfn>,
    },
    /// The fault must wait once for the lock of this page. Carries a reference.
    WaitLock(Pfn),
}

/// The purpose for which a fault needs a file's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// The page is mapped for loads.
    Page,
    /// The page is mapped for a store that all users of the file see.
    Writable,
    /// The page is copied for a private mapping.
    Copy,
}

impl Want {
    /// Returns the need of a fault with this cause for an empty entry of a file's mapping.
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
    /// A page filled with zeroes.
    Zeroed(Pfn),
    /// A copy of a mapped page; carries a reference on that source.
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
        /// True if the page was made ready for a store.
        writable: bool,
    },
    /// A copy of a file's page; the source is locked, with a reference.
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
    /// Handles one page fault of a load, or of a store (`write`). `Ok` means that the access may be
    /// tried again, as after the kernel's handler: the page may have moved once more by then.
    ///
    /// `EFAULT` if nothing is mapped there, `ENOMEM` without a free frame, `EHWPOISON` for a bad
    /// frame, `EIO` if the disk or the swap space fails, `EINTR` if the deadline of a wait passes
    /// ([`patiently`](crate::sync::patiently)). After an error nothing has changed.
    pub fn fault(&self, area: &Area, index: u32, write: bool) -> Result<()> {
        reckon::happened(Fact::Fault, 1);
        self.fault_for(area, index, if write { Cause::Write } else { Cause::Read })
    }

    pub(super) fn fault_for(&self, area: &Area, index: u32, cause: Cause) -> Result<()> {
        self.fault_retrying(area, index, cause, true)
    }

    /// Handles a fault. Without `retry`, the caller must not let go of its locks while a file is
    /// read (no `FAULT_FLAG_ALLOW_RETRY`).
    pub(super) fn fault_retrying(&self, area: &Area, index: u32, cause: Cause, retry: bool) -> Result<()> {
        reckon::note_fault_start();
        let done = self.handle_fault(area, index, cause, retry);
        reckon::note_fault_end();
        done
    }

    /// Performs the rounds of [`Machine::fault_retrying`].
    fn handle_fault(&self, area: &Area, index: u32, cause: Cause, retry: bool) -> Result<()> {
        self.stats.event(Event::Pgfault, 1);
        lives::note_fault_start();
        if index >= area.pages() {
            return Err(no_page(area, index));
        }
        let mut fresh = None;
        // One round finds which page the fault needs, and the next one maps it. Further rounds follow only
        // if another thread has changed the entry meanwhile, or held the lock of the page.
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
                    Ok(Outcome::WaitLock(pfn)) => {
                        let locked = self.frames[pfn].lock_patiently();
                        if locked {
                            self.frames[pfn].unlock(pfn);
                        }
                        self.put_page(pfn);
                        if !locked {
                            break Err(Error::interrupted());
                        }
                    }
                    Ok(Outcome::Again) => {}
                    end => break end,
                }
            }
        };
        self.discard(fresh);
        if let Outcome::Wait { source, held } = outcome? {
            // A large page is locked by its head. A split locks each part before it leaves the
            // large page, so this thread waits for a lock that is held until the entries are
            // restored.
            let locked = self.frames.get(self.frames.head(source)).unwrap_or(&self.frames[source]);
            if !self.profile.migration_waiter_reference {
                lives::awaits_migration(locked, source);
            }
            let waited = locked.wait_unlocked_patiently(|| area.look(index).migrates(source));
            if let Some(head) = held {
                self.put(head);
            }
            if !waited {
                return Err(Error::interrupted());
            }
        }
        Ok(())
    }

    /// Reads the entry and handles the fault as far as one look allows. The look holds the entry's
    /// lock, except at an empty entry of a file's mapping.
    fn fault_round(
        &self,
        area: &Area,
        index: u32,
        cause: Cause,
        fresh: &mut Option<Fresh>,
    ) -> Result<Outcome> {
        if mutated(Mutation::FaultCountedOnRetry) && fresh.is_some() {
            self.stats.event(Event::Pgfault, 1);
        }
        if area.attributes(index).contains(Attributes::UNMAPPED) {
            return Err(no_page(area, index));
        }
        // An empty entry of a file's mapping leads to the file's page, even if another thread holds
        // the entry's lock. A migration clears the entry for a moment too. A fault in this moment
        // waits for the page lock with a reference, and the migration fails because of the
        // reference.
        if fresh.is_none() && area.file().is_some() && area.look(index).entry() == Entry::None {
            return Ok(Outcome::NeedFile(Want::of(cause, area.is_shared())));
        }
        let mut guard = area.lock(index);
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
                let new = Pte::present(pfn, Pte::YOUNG | Pte::DIRTY | Pte::WRITE);
                if mutated(Mutation::EntryFirst) {
                    guard.replace(new);
                }
                self.add_new_anon(area, index, pfn);
                // No flush is needed: a thread that still reads through the zero page's entry reads
                // the zeroes of the time before this fault.
                guard.finish(new);
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
                if !area.is_shared()
                    && self.profile.anon_reuse == AnonReuse::Exclusive
                    && !self.frames[pfn].word().has(Flags::ANON_EXCLUSIVE) =>
            {
                return Ok(self.write_protected(area, index, pfn, guard, cause, fresh));
            }
            // Another thread has mapped the page already.
            (Entry::Present { .. }, _) => {}
            (Entry::Migration { pfn: source }, _) => {
                let kept = self.profile.migration_waiter_reference;
                let held = match kept || mutated(Mutation::WaiterKeepsReference) {
                    true => self.try_get_page(source),
                    false => None,
                };
                return Ok(Outcome::Wait { source, held });
            }
            (Entry::Hwpoison { pfn }, _) => {
                return Err(Error::at(Errno::EHWPOISON, pfn, Why::State("the frame is bad".into())));
            }
            (Entry::Swap { slot }, _) => {
                return Ok(self.map_swapped_page(area, index, guard, slot, cause, fresh));
            }
        }
        Ok(Outcome::Done)
    }

    /// Handles a store to, or an unshare of, a page that is mapped without permission to write:
    /// reuses the page, or replaces it by a copy (`do_wp_page`).
    fn write_protected(
        &self,
        area: &Area,
        index: u32,
        old: Pfn,
        mut guard: EntryGuard<'_>,
        cause: Cause,
        fresh: &mut Option<Fresh>,
    ) -> Outcome {
        if let Some(Fresh::Swapped(_) | Fresh::File { .. } | Fresh::FileCopy { .. }) = fresh {
            // The page was made ready for an entry that another thread has filled meanwhile. It may be the
            // mapped page itself: with this thread's lock on it the fault would wait for itself, and with
            // this thread's reference the page would look shared (`do_swap_page`, `out_nomap`).
            drop(guard);
            self.discard(fresh.take());
            return Outcome::Again;
        }
        self.step("write fault", old);
        // The mapping's reference keeps the page as it is. A large page that was once shared does
        // not tell which process has which part, so it is always copied.
        let page = &self.frames[old];
        let word = page.word();
        let exclusive = word.has(Flags::ANON_EXCLUSIVE);
        let folio = self.frames.folio(old);
        let head = folio.head;
        let reused = match self.profile.anon_reuse {
            AnonReuse::Exclusive => {
                exclusive || (word.has(Flags::ANON) && !folio.large && self.can_reuse_anon(old))
            }
            AnonReuse::Mapcount if word.has(Flags::ANON) => {
                if !self.frames[head].trylock() {
                    self.frames[head].get(head);
                    return Outcome::WaitLock(head);
                }
                let alone = self.is_mapped_alone(folio);
                self.frames[head].unlock(head);
                alone
            }
            AnonReuse::Mapcount => false,
        };
        if reused {
            if !exclusive {
                page.set(self.exclusive_mark());
            }
            if cause == Cause::Write {
                self.count_reuse();
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
        // Threads inside an access may still read the old page, so its reference is put after the
        // flush.
        if !mutated(Mutation::CopyOnWriteWithoutFlush) {
            self.tlb.flush();
        }
        self.free_swap_if_unmapped(head);
        self.put(head);
        self.put(head);
        Outcome::Done
    }

    /// Returns true if no other holder has a reference of any kind (`wp_can_reuse_anon_folio`). The
    /// entry is locked. A reference that cannot be explained at once counts as another holder's.
    fn can_reuse_anon(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        // The references of the mapping, an LRU batch and the swap cache.
        const EXPLAINED: u32 = 3;
        if mutated(Mutation::ReuseNotChecked) {
            return true;
        }
        if page.count() > EXPLAINED {
            return false;
        }
        if !page.word().has(Flags::LRU) {
            // A drain removes the reference of this CPU's batch; the batches of other CPUs keep
            // theirs.
            self.lru_drain_local();
        }
        let swapcache = u32::from(page.word().has(Flags::SWAPCACHE));
        if page.count() > 1 + swapcache || !page.trylock() {
            return false;
        }
        if swapcache > 0 {
            // The page stays in the swap cache, with the cache's reference, if another process's
            // entry names its slot.
            self.free_swap(pfn);
        }
        let alone = page.count() == 1;
        page.unlock(pfn);
        alone
    }

    /// Returns true if only one entry leads to the page, in a page table or from swap
    /// (`reuse_swap_page`). For a large page, returns true if at most one entry leads to each part.
    /// The caller holds the page lock and the lock of an entry that maps the page. A swap slot that
    /// no entry names any more is freed.
    fn is_mapped_alone(&self, folio: Folio) -> bool {
        if folio.large {
            let entries = |part| self.frames[part].mapcount() + self.named_in_swap(folio.head, part);
            return self.frames.parts(folio.head).all(|part| entries(part) <= 1);
        }
        let page = &self.frames[folio.head];
        if page.mapcount() > 1 {
            return false;
        }
        if page.word().has(Flags::SWAPCACHE) {
            self.free_swap(folio.head);
            return self.named_in_swap(folio.head, folio.head) == 0;
        }
        true
    }

    /// Returns the flag of a page that belongs to one process alone. Kernels that count the page's
    /// mappings instead have no such flag.
    #[inline]
    pub(super) fn exclusive_mark(&self) -> Flags {
        match self.profile.anon_reuse {
            AnonReuse::Exclusive => Flags::ANON_EXCLUSIVE,
            AnonReuse::Mapcount => Flags::empty(),
        }
    }

    /// Counts a store that reuses a page that was mapped read-only. Kernels that look at mappings
    /// alone do not count it.
    pub(super) fn count_reuse(&self) {
        if self.profile.anon_reuse == AnonReuse::Exclusive {
            self.stats.event(Event::Pgreuse, 1);
        }
    }

    /// Allocates a frame for a page of an area, as its policy says.
    pub(super) fn alloc_for(&self, area: &Area, index: u32) -> Result<Pfn> {
        self.alloc_by_policy(area, index, area.preferred())
    }

    /// Allocates a frame for a page of an area, with another preferred node than the area's.
    pub(super) fn alloc_by_policy(&self, area: &Area, index: u32, preferred: usize) -> Result<Pfn> {
        self.alloc_order(area, index, preferred, 0)
    }

    /// Allocates a page of 2^`order` frames for an area, with the given preferred node.
    pub(super) fn alloc_order(&self, area: &Area, index: u32, preferred: usize, order: u8) -> Result<Pfn> {
        let policy = match area.file() {
            Some(map) if !map.file.is_written_back() => map.file.policy(map.first + index),
            _ => area.special(index).policy(),
        };
        self.alloc_where(policy, preferred, order)
    }

    /// Allocates a frame for the page cache of a file, as the file's policy says.
    pub(super) fn alloc_for_file(&self, file: &File, index: u32, preferred: usize) -> Result<Pfn> {
        self.alloc_where(file.policy(index), preferred, 0)
    }

    fn alloc_where(&self, policy: Option<Policy>, preferred: usize, order: u8) -> Result<Pfn> {
        if self.pressure.is_in(context::PINS) {
            return match policy {
                None => self.alloc_lasting(preferred, order),
                Some(Policy::Preferred(node)) => self.alloc_lasting(node, order),
                Some(Policy::Bind(node)) => self.alloc_lasting_on(node, order),
            };
        }
        match policy {
            None => self.alloc_pages_near(preferred, order),
            Some(Policy::Preferred(node)) => self.alloc_pages_near(node, order),
            Some(Policy::Bind(node)) => self.alloc_pages(node, order),
        }
    }

    /// Makes a zeroed page for an area: a large one where it fits.
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

    /// Makes a copy of a page. The caller holds a reference on `from`.
    pub(super) fn copied_page(&self, area: &Area, index: u32, from: Pfn) -> Result<Pfn> {
        let pfn = self.alloc_for(area, index)?;
        if let Err(error) = self.may_copy("copy of a private page", from) {
            if !mutated(Mutation::FailedCopyKeepsPage) {
                self.put(pfn);
            }
            return Err(error);
        }
        self.copy_shared(from, pfn);
        Ok(pfn)
    }

    /// Copies a page that others may write to meanwhile, through a pin or another mapping. The copy
    /// goes word by word, so that no word is torn.
    pub(super) fn copy_shared(&self, from: Pfn, to: Pfn) {
        if self.memory.is_backed() {
            for word in 0..WORDS {
                self.memory.store(to, word, self.memory.load(from, word));
            }
        }
    }

    /// Makes a fresh page the exclusive anonymous page `index` of an area. The allocation's
    /// reference becomes the entry's. The page enters an LRU batch before the entry is published,
    /// as in the kernel.
    pub(super) fn add_new_anon(&self, area: &Area, index: u32, pfn: Pfn) {
        let page = &self.frames[pfn];
        page.set_owner(area.anon.0, index);
        let describe = || {
            let marks = self.exclusive_mark() | self.new_anon_mark(area.locked(index));
            page.publish(Flags::UPTODATE | Flags::SWAPBACKED | Flags::ANON | marks);
            page.add_mapping();
            area.note_anon(index);
            self.count_mapped(pfn, 1);
        };
        let queue = || match area.locked(index) {
            true => self.mlock_new_page(pfn),
            false => self.lru_add(pfn),
        };
        // The flags are set first, because a drain reads them to choose the page's list.
        in_order(Mutation::FlagsAfterLruAdd, describe, queue);
    }

    /// Gives back a page that was made ready but is not needed.
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

/// Makes the error for an index at which nothing is mapped.
#[cold]
pub(super) fn no_page(area: &Area, index: u32) -> Error {
    let address = area.address(index);
    Error::new(Errno::EFAULT, format!("nothing is mapped at {address:#x} of address space {}", area.space))
}

/// Turns `EHWPOISON` into `EFAULT`: the calls that fault on behalf of a process get this error for
/// a poisoned page (no `FOLL_HWPOISON`).
#[cold]
pub(super) fn no_hwpoison(error: Error) -> Error {
    match error.errno {
        Errno::EHWPOISON => Error { errno: Errno::EFAULT, ..error },
        _ => error,
    }
}
