//! `move_pages(2)`: moves pages of an address space to nodes, with one status for each page
//! (lifecycle 6.10).

use super::{Mode, Reason};
use crate::calls::Call;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::map::{AddressSpace, Area, Attributes, Entry};
use crate::memory::{filled, room};
use crate::page::{PAGE_SIZE, Pfn};
use crate::profile::{HoleStatus, LargeMigration};
use crate::release::Release;
use crate::sync::{Mutation, interrupted, mutated};
use std::sync::Arc;

/// Flags of `move_pages`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoveFlags {
    /// `MPOL_MF_MOVE_ALL`: also pages that several processes map.
    pub all: bool,
}

/// The result of `move_pages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// 0, or the number of pages not migrated (those of the batch that failed, and all after it),
    /// or an errno.
    pub ret: Result<u32, Errno>,
    /// For each page its node, a negative errno, or `None` where the kernel leaves the entry
    /// unwritten.
    pub status: Vec<Option<i32>>,
}

/// The name of a buffer of statuses in errors.
const STATUSES: &str = "the statuses of pages";

/// The result of the lookup of one address.
enum Lookup {
    /// The page is isolated and on the list.
    Queued,
    /// The page is on the wanted node already.
    There,
    /// The page cannot be moved; this errno is its status.
    Status(Errno),
}

/// The number of pages between the prefetch of a page's record and that of its neighbours' records.
const BETWEEN: usize = 4;

/// The pages whose records were prefetched last.
#[derive(Default)]
struct Coming([Option<Pfn>; BETWEEN]);

impl<R: Release> Machine<R> {
    /// Moves the pages at `addresses` (bytes) to `nodes`, one for each. Consecutive pages for the
    /// same node are migrated as one list.
    ///
    /// # Errors
    /// In [`Moved::ret`]: `EINVAL` if the lengths differ, `ENODEV` for a node that does not exist or
    /// has no memory online; pages that were queued before are still moved. `EINTR` if the call was
    /// interrupted.
    pub fn move_pages(
        &self,
        space: &AddressSpace,
        addresses: &[u64],
        nodes: &[u32],
        flags: MoveFlags,
    ) -> Moved {
        match filled(STATUSES, addresses.len(), None) {
            Ok(mut status) => {
                let ret = self.move_pages_into(space, addresses, nodes, flags, &mut status);
                Moved { ret: ret.map_err(|error| error.errno), status }
            }
            Err(error) => Moved { ret: Err(error.errno), status: Vec::new() },
        }
    }

    /// [`Machine::move_pages`] that writes each page's status to its place in `status`; `None`
    /// where the kernel leaves the entry unwritten.
    ///
    /// Errors as in [`Moved::ret`]. `EINVAL` also for another number of statuses; `ENOMEM` of the
    /// host ([`Error::is_of_host`]), with nothing moved, if the host has no memory for the list.
    pub fn move_pages_into(
        &self,
        space: &AddressSpace,
        addresses: &[u64],
        nodes: &[u32],
        flags: MoveFlags,
        status: &mut [Option<i32>],
    ) -> Result<u32> {
        status.fill(None);
        if addresses.len() != nodes.len() || addresses.len() != status.len() {
            let why = format!(
                "{} addresses, {} nodes and {} statuses: each page needs one of each",
                addresses.len(),
                nodes.len(),
                status.len()
            );
            return Err(Error::new(Errno::EINVAL, why));
        }
        // The list needs no more room than the machine has frames: a page is on it once, however
        // often it is named.
        let mut list = room("a list of pages to move", addresses.len().min(self.frames.len() as usize))?;
        let ret = self.lru_quiet(|| self.move_runs(space, addresses, nodes, flags, &mut list, status));
        ret.map_err(|errno| Error::new(errno, errno.text()))
    }

    fn move_runs(
        &self,
        space: &AddressSpace,
        addresses: &[u64],
        nodes: &[u32],
        flags: MoveFlags,
        list: &mut Vec<Pfn>,
        status: &mut [Option<i32>],
    ) -> Result<u32, Errno> {
        let total = addresses.len();
        // The list holds pages from index `start` up to the current one, all for `node`.
        let mut run: Option<(usize, u32)> = None;
        let mut area_hint: Option<Arc<Area>> = None;
        let mut coming = Coming::default();
        for at in 0..total {
            if interrupted() {
                // The pages that were claimed last are still on their LRU lists (`Machine::isolate_to`).
                self.end_isolations(list);
                self.putback_movable_pages(list);
                return Err(Errno::EINTR);
            }
            let node = nodes[at];
            if run.is_none_or(|(_, before)| before != node) {
                if self.nodes.get(node as usize).is_none_or(|node| !node.has_memory()) {
                    // The run before this page still moves. Its own error is not told (`out_flush`).
                    let _ = self.move_run(list, run, at, status);
                    return Err(Errno::ENODEV);
                }
                match self.move_run(list, run, at, status)? {
                    0 => run = Some((at, node)),
                    left => return Ok(left),
                }
            }
            if let Some(area) = &area_hint {
                self.prefetch_ahead(area, addresses, at, &mut coming);
            }
            let found = self.queue_for_move(space, addresses[at], node, flags, list, &mut area_hint);
            status[at] = match found {
                Lookup::Queued => continue,
                Lookup::There => Some(node as i32),
                Lookup::Status(errno) => Some(errno.status()),
            };
            // The run ends before this page, whose status is known already.
            match self.move_run(list, run, at, status)? {
                0 => run = None,
                left => return Ok(left - 1),
            }
        }
        self.move_run(list, run, total, status)
    }

    /// Prefetches for pages after page `at`. A random page costs a chain of cache misses: its entry, its
    /// record, and the records of its neighbours on the list. Each is prefetched a few pages before
    /// it is used: the entry first, because the others are found through it.
    #[inline]
    fn prefetch_ahead(&self, area: &Area, addresses: &[u64], at: usize, coming: &mut Coming) {
        const ENTRY: usize = 12;
        const RECORD: usize = 8;
        let index = |ahead: usize| {
            let vpn = addresses.get(at + ahead)? / PAGE_SIZE as u64;
            vpn.checked_sub(area.first).map(|index| index.min(u64::from(u32::MAX)) as u32)
        };
        if let Some(index) = index(ENTRY) {
            area.prefetch(index);
        }
        let record = index(RECORD).and_then(|index| match area.look(index).entry() {
            Entry::Present { pfn, zero: false } => Some(pfn),
            _ => None,
        });
        if let Some(pfn) = record {
            self.frames.prefetch(pfn);
        }
        let linked = std::mem::replace(&mut coming.0[at % BETWEEN], record);
        if let Some(pfn) = linked {
            self.frames.prefetch_neighbours(pfn);
        }
    }

    /// Migrates the list and writes the statuses of its run. Returns the number of pages left,
    /// including those after `end`.
    fn move_run(
        &self,
        list: &mut Vec<Pfn>,
        run: Option<(usize, u32)>,
        end: usize,
        status: &mut [Option<i32>],
    ) -> Result<u32, Errno> {
        let Some((start, node)) = run.filter(|_| !list.is_empty()) else { return Ok(0) };
        self.end_isolations(list);
        let result = self.migrate_pages(list, &mut self.on_node(node as usize), Mode::Sync, Reason::Syscall);
        if result.failed > 0 || result.errno.is_some() {
            self.putback_movable_pages(list);
        }
        match result.errno {
            Some(errno) => Err(errno),
            None if result.failed > 0 && !mutated(Mutation::FailedMoveClaimed) => {
                Ok(result.failed + (status.len() - end) as u32)
            }
            None => {
                status[start..end].fill(Some(node as i32));
                Ok(0)
            }
        }
    }

    /// Finds the page at an address and isolates it to the list (`add_folio_for_migration`).
    #[inline(always)]
    fn queue_for_move(
        &self,
        space: &AddressSpace,
        address: u64,
        node: u32,
        flags: MoveFlags,
        list: &mut Vec<Pfn>,
        hint: &mut Option<Arc<Area>>,
    ) -> Lookup {
        let vpn = address / PAGE_SIZE as u64;
        let within = |area: &Arc<Area>| {
            vpn.checked_sub(area.first).is_some_and(|index| index < u64::from(area.pages()))
        };
        if !hint.as_ref().is_some_and(within) {
            *hint = space.find(address).map(|(area, _)| area);
        }
        let Some(area) = hint else { return Lookup::Status(Errno::EFAULT) };
        let index = (vpn - area.first) as u32;
        if area.attributes(index).contains(Attributes::UNMAPPED) {
            return Lookup::Status(Errno::EFAULT);
        }
        if !self.split_to_move(area, index) {
            return Lookup::Status(Errno::EBUSY);
        }
        // The mapping's own reference keeps the page as long as the entry is locked, so the lookup
        // takes none.
        let guard = area.lock(index);
        let pfn = match guard.pte().entry() {
            Entry::Present { zero: true, .. } => return Lookup::Status(Errno::EFAULT),
            Entry::Present { pfn, .. } => pfn,
            Entry::None if area.file().is_none() && self.profile.hole_status == HoleStatus::Efault => {
                return Lookup::Status(Errno::EFAULT);
            }
            _ => return Lookup::Status(Errno::ENOENT),
        };
        if self.node_of(pfn) == node as usize {
            return Lookup::There;
        }
        // A request for a part of a large page moves the whole. A second part for the same list
        // finds the page isolated already, and gets `EBUSY`.
        let part = pfn;
        let pfn = self.frames.head(part);
        if !flags.all && self.frames[part].mapcount() > 1 {
            return Lookup::Status(Errno::EACCES);
        }
        let isolated = match self.profile.isolation_reference {
            false => self.isolate_to(list, pfn, Call::IsolateLru),
            true => {
                // These kernels take a reference under the entry's lock, and isolate the page after
                // they have released it.
                self.frames[pfn].get(pfn);
                drop(guard);
                let isolated = self.isolate_to(list, pfn, Call::IsolateLru);
                self.put(pfn);
                isolated
            }
        };
        match isolated {
            true => Lookup::Queued,
            false => Lookup::Status(Errno::EBUSY),
        }
    }

    /// Splits a large page, in kernels that cannot move it whole (`FOLL_SPLIT`), so that the
    /// requested part can move alone. Returns false if the page cannot be split, because a thread
    /// holds it.
    #[inline]
    pub(super) fn split_to_move(&self, area: &Area, index: u32) -> bool {
        if area.order() == 0 || self.profile.large_migration == LargeMigration::Whole {
            return true;
        }
        let Some(head) = self.get_page_at(area, index) else { return true };
        let page = &self.frames[head];
        page.lock();
        let split = page.order() == 0 || self.split_page(head).is_ok();
        self.unlock_and_put(head);
        split
    }

    /// Returns the node of each page at `addresses`, or a negative errno: `move_pages` without
    /// nodes. `ENOMEM` of the host if it has no memory for the statuses.
    pub fn query_pages(&self, space: &AddressSpace, addresses: &[u64]) -> Result<Vec<i32>> {
        let mut statuses = room(STATUSES, addresses.len())?;
        let status = |address: u64| {
            let Some((area, index)) = space.find(address) else { return Errno::EFAULT.status() };
            let entry = match mutated(Mutation::QueryIgnoresLock) {
                true => area.look(index).entry(),
                false => area.read(index),
            };
            match entry {
                Entry::Present { zero: true, .. } => Errno::EFAULT.status(),
                Entry::Present { pfn, .. } => self.node_of(pfn) as i32,
                Entry::None if area.file().is_none() && self.profile.hole_status == HoleStatus::Efault => {
                    Errno::EFAULT.status()
                }
                _ => Errno::ENOENT.status(),
            }
        };
        for &address in addresses {
            Error::unless_interrupted()?;
            statuses.push(status(address));
        }
        Ok(statuses)
    }

    /// Runs `work` after the LRU batches were drained, or while they are switched off, as the
    /// profile's kernel does. Otherwise a page in a batch could not be isolated.
    pub(crate) fn lru_quiet<T>(&self, work: impl FnOnce() -> T) -> T {
        use crate::profile::BatchesDuringMigration::{Disabled, DrainOnce};
        match self.profile.batches {
            DrainOnce => {
                self.lru_drain_all();
                work()
            }
            Disabled => {
                self.lru_cache_disable();
                let result = work();
                self.lru_cache_enable();
                result
            }
        }
    }
}
