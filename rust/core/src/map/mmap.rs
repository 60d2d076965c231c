//! New address spaces and new areas. A new area joins the reverse maps of its lineage and of its
//! file.

use super::area::{Area, AreaKind, Of};
use super::areas::Areas;
use super::space::AddressSpace;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::owner::{Owner, OwnerId};
use crate::page::{MAX_ORDER, PAGE_SIZE};
use crate::release::Release;
use crate::sync::{Lock, LockClass, Ordering, RwLock};
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

/// The page number at which the first area of a space begins.
const FIRST_PAGE: u64 = 0x1_0000;
/// The number of pages left free after each area, so that an access past the area's end faults.
const GUARD_PAGES: u64 = 1;
/// The first page number beyond the address range: addresses have 47 bits.
const END_PAGE: u64 = 1 << (47 - PAGE_SIZE.ilog2());

/// The smallest registry size at which entries of dropped spaces are removed.
const MIN_SWEEP: usize = 64;

impl<R: Release> Machine<R> {
    /// Makes a new, empty address space. `EAGAIN` if all numbers of spaces are used up.
    pub fn address_space(&self) -> Result<Arc<AddressSpace>> {
        let id = self.space_id()?;
        let faults = Arc::new(RwLock::new(LockClass::Faults, ()));
        Ok(self.register(id, faults, Vec::new(), FIRST_PAGE, None))
    }

    /// Takes the next number for a space. `EAGAIN` if all are used up.
    pub(super) fn space_id(&self) -> Result<u32> {
        let mut registry = self.spaces.0.lock();
        let id = registry.next;
        registry.next = id
            .checked_add(1)
            .ok_or_else(|| Error::new(Errno::EAGAIN, "this machine has run out of address space numbers"))?;
        Ok(id)
    }

    /// Makes a space of these areas and enters it into the registry. The next area begins at page
    /// `next`. `parent` is the number of the parent of a fork.
    pub(super) fn register(
        &self,
        id: u32,
        faults: Arc<RwLock<()>>,
        areas: Vec<Arc<Area>>,
        next: u64,
        parent: Option<u32>,
    ) -> Arc<AddressSpace> {
        let space = Arc::new(AddressSpace {
            id,
            areas: RwLock::new(LockClass::Mmap, areas),
            faults,
            next: Lock::plain(LockClass::Leaf, Some(next)),
        });
        let mut registry = self.spaces.0.lock();
        if registry.live.len() >= registry.sweep_at {
            registry.live.retain(|_, weak| weak.strong_count() > 0);
            registry.sweep_at = MIN_SWEEP.max(2 * registry.live.len());
        }
        registry.live.insert(id, Arc::downgrade(&space));
        if parent.is_some_and(|parent| registry.early.contains(&parent)) {
            registry.early.insert(id);
        }
        drop(registry);
        space
    }

    /// Chooses when the process is told of a lost page: at once (`PR_MCE_KILL_EARLY`) if `early`,
    /// else when it touches the page, which is the default. Children by fork inherit the choice.
    pub fn set_early_kill(&self, space: &AddressSpace, early: bool) {
        let mut registry = self.spaces.0.lock();
        match early {
            true => registry.early.insert(space.id),
            false => registry.early.remove(&space.id),
        };
    }

    /// Returns the choice that [`Machine::set_early_kill`] has made.
    pub fn early_kill(&self, space: &AddressSpace) -> bool {
        self.spaces.0.lock().early.contains(&space.id)
    }

    /// Returns the numbers of the spaces that are told of a lost page at once.
    pub(crate) fn early_killed(&self) -> BTreeSet<u32> {
        self.spaces.0.lock().early.clone()
    }

    /// Returns the address spaces that have neither exited nor been dropped.
    pub fn spaces(&self) -> Vec<Arc<AddressSpace>> {
        self.spaces.0.lock().live.values().filter_map(Weak::upgrade).collect()
    }

    /// Maps `pages` pages of anonymous memory.
    ///
    /// `EINVAL` for 0 pages; `ENOMEM` for more pages than the machine has frames (the kernel's
    /// guess at obvious overcommit), or if the addresses, the owner slots or the host's memory run
    /// out; `ESRCH` after the exit; `EINTR` if the caller is killed.
    pub fn mmap(&self, space: &AddressSpace, pages: u32) -> Result<Arc<Area>> {
        self.mmap_kind(space, pages, AreaKind::Anon { order: 0 })
    }

    /// Maps `pages` pages of anonymous memory in which faults make large pages. A fault makes a
    /// page of 2^`order` base pages where one fits and a block is free. The area begins at a
    /// multiple of that size.
    ///
    /// Errors as [`Machine::mmap`]; `EINVAL` also for an order above the largest.
    pub fn mmap_large(&self, space: &AddressSpace, pages: u32, order: u8) -> Result<Arc<Area>> {
        if order > MAX_ORDER {
            let why = format!("the largest order is {MAX_ORDER}, not {order}");
            return Err(Error::new(Errno::EINVAL, why));
        }
        self.mmap_kind(space, pages, AreaKind::Anon { order })
    }

    /// Maps `pages` pages of any kind of memory. For a file, the caller has taken a link for the
    /// area.
    pub(super) fn mmap_kind(&self, space: &AddressSpace, pages: u32, kind: AreaKind) -> Result<Arc<Area>> {
        if pages == 0 {
            return Err(Error::new(Errno::EINVAL, "an area has at least one page"));
        }
        let shared = matches!(&kind, AreaKind::File(map) if !map.private);
        // The pages of a shared mapping belong to the file and are not counted here.
        if pages > self.frames.len() && !shared {
            let why = format!("{pages} pages are more than the machine's {} frames", self.frames.len());
            return Err(Error::new(Errno::ENOMEM, why));
        }
        self.may_go_on("mmap")?;
        let mut areas = space.areas.write();
        let align = match kind {
            AreaKind::Anon { order } => 1 << order,
            AreaKind::File(_) => 1,
        };
        let first = space.alive()?.next_multiple_of(align);
        let next = first + u64::from(pages) + GUARD_PAGES;
        if next > END_PAGE {
            return Err(Error::new(Errno::ENOMEM, format!("no room for {pages} pages at these addresses")));
        }
        // The lineage is made first, because the area names it.
        let anon = match shared {
            true => OwnerId::NOBODY,
            false => {
                self.may_allocate("owner slot")?;
                self.owners.insert(Owner::Anon(Areas::new(Of::Lineage)))?
            }
        };
        let tables = self.may_allocate("page table");
        let area =
            tables.and_then(|()| Area::new(space.id, &space.faults, first, pages, kind, anon).map(Arc::new));
        let area = area.inspect(|area| area.name_words());
        let joined = area.and_then(|area| self.join_owners(&area).map(|()| area));
        let area = joined.inspect_err(|_| self.owners.remove(anon))?;
        areas.push(Arc::clone(&area));
        *space.next.lock() = Some(next);
        Ok(area)
    }

    /// Makes faults of an area allocate from `node` first. `EINVAL` if there is no such node.
    pub fn prefer(&self, area: &Area, node: usize) -> Result<()> {
        if node >= self.nodes.len() {
            return Err(Error::new(Errno::EINVAL, format!("no node {node}")));
        }
        // Relaxed: a preference, which orders nothing.
        area.preferred.store(node as u32, Ordering::Relaxed);
        Ok(())
    }

    /// Adds an area to the reverse maps of its lineage and of its file, after all other areas. A
    /// walk then meets a parent before its children. If a fork copies an entry during the walk, the
    /// walk meets the parent's entry before the copy, or it meets the child's entry later.
    ///
    /// `ENOMEM` if one of the two reverse maps has as many areas as a page's count can hold. The
    /// area then joins neither.
    pub(super) fn join_owners(&self, area: &Arc<Area>) -> Result<()> {
        if let Some(map) = area.file() {
            self.join_file(map.file.owner, area)?;
        }
        if area.anon == OwnerId::NOBODY {
            return Ok(());
        }
        let joined = self.owners.update(area.anon, |owner| match owner {
            Owner::Anon(areas) => areas.push(area),
            _ => crate::sync::broken(
                "an area's lineage is an anonymous owner",
                format_args!("{:?}", area.anon),
            ),
        });
        debug_assert!(joined.is_some(), "a lineage lives while one of its areas does");
        let joined = joined.unwrap_or(Ok(()));
        if joined.is_err()
            && let Some(map) = area.file()
        {
            self.remove_from_file(area, map);
        }
        joined
    }

    /// Removes an area that maps nothing any more from its reverse maps. The last area ends its
    /// lineage, and ends a file that was removed. The caller holds no lock, because the end of a
    /// file waits for page locks.
    pub(super) fn leave_owners(&self, area: &Area) {
        let empty = self.owners.update(area.anon, |owner| match owner {
            Owner::Anon(areas) => {
                areas.remove(area);
                areas.is_empty()
            }
            _ => false,
        });
        if empty == Some(true) {
            self.owners.remove(area.anon);
        }
        if let Some(map) = area.file() {
            self.leave_file(area, map);
        }
    }

    /// Removes a space from the registry.
    pub(super) fn unregister(&self, space: &AddressSpace) {
        let mut registry = self.spaces.0.lock();
        registry.live.remove(&space.id);
        registry.early.remove(&space.id);
    }
}
