//! Address spaces: their areas, and the registry of those that live.

use super::{Area, AreaKind, Areas, Attributes, Of};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::owner::{Owner, OwnerId};
use crate::page::{MAX_ORDER, PAGE_SIZE};
use crate::release::Release;
use crate::sync::{Lock, LockClass, Ordering, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Weak};

/// The page number at which the first area of a space begins.
const FIRST_PAGE: u64 = 0x1_0000;
/// Pages left free after each area, so that an access past its end hits nothing.
const GUARD_PAGES: u64 = 1;
/// Page numbers end here: 47 bits of address.
const END_PAGE: u64 = 1 << (47 - PAGE_SIZE.ilog2());

/// A process's memory. Ends with [`Machine::exit`]: dropping the handle alone leaves its pages mapped
/// by nobody, which the audit reports.
#[derive(Debug)]
pub struct AddressSpace {
    /// A number of its own within the machine, never used again.
    pub id: u32,
    /// The mapped areas in the order of their addresses (`mmap_lock`). Not to be held over a fault.
    pub areas: RwLock<Vec<Arc<Area>>>,
    /// Shared with the areas; see there.
    pub(super) faults: Arc<RwLock<()>>,
    /// The page number at which the next area begins; `None` after the exit.
    pub(super) next: Lock<Option<u64>>,
}

/// The living address spaces of a machine.
#[derive(Debug)]
pub(crate) struct Spaces(Lock<Registry>);

#[derive(Clone, Debug, Default)]
struct Registry {
    next: u32,
    /// Those that are to be told of a lost page at once.
    early: BTreeSet<u32>,
    /// By number: a space ends without a search.
    live: BTreeMap<u32, Weak<AddressSpace>>,
    /// With so many, those that were dropped without an exit are forgotten.
    sweep_at: usize,
}

/// Spaces of which it is not worth while to forget those that were dropped.
const FEW: usize = 64;

impl Spaces {
    pub(crate) fn new() -> Spaces {
        Spaces(Lock::new(LockClass::Leaf, Registry::default()))
    }
}

#[cfg(all(test, not(any(loom, feature = "explored"))))]
impl Spaces {
    /// As if as many spaces had been made as there are numbers.
    pub(super) fn run_out(&self) {
        self.0.lock().next = u32::MAX;
    }

    /// Spaces that have an entry, living or not.
    pub(super) fn known(&self) -> usize {
        self.0.lock().live.len()
    }
}

impl AddressSpace {
    /// The page of an address: its area, and its number there. `None` where nothing is mapped.
    pub fn find(&self, address: u64) -> Option<(Arc<Area>, u32)> {
        let page = address / PAGE_SIZE as u64;
        let areas = self.areas.read();
        let after = areas.partition_point(|area| area.first <= page);
        let area = &areas[after.checked_sub(1)?];
        let index = u32::try_from(page - area.first).ok().filter(|&index| index < area.pages())?;
        (!area.attributes(index).contains(Attributes::UNMAPPED)).then(|| (Arc::clone(area), index))
    }

    /// `ESRCH` after the exit.
    pub(super) fn alive(&self) -> Result<u64> {
        let next = *self.next.lock();
        next.ok_or_else(|| Error::new(Errno::ESRCH, format!("address space {} has exited", self.id)))
    }

    /// `EINVAL` unless the area belongs to this space, and the pages to the area.
    pub(crate) fn covers(&self, area: &Area, pages: &Range<u32>) -> Result<()> {
        self.owns(area)?;
        if pages.start >= pages.end || pages.end > area.pages() {
            let why = format!("pages {pages:?} do not lie in an area of {} pages", area.pages());
            return Err(Error::new(Errno::EINVAL, why));
        }
        Ok(())
    }

    /// `EINVAL` unless the area belongs to this space.
    pub(super) fn owns(&self, area: &Area) -> Result<()> {
        if area.space == self.id {
            return Ok(());
        }
        let why = format!("the area belongs to address space {}, not {}", area.space, self.id);
        Err(Error::new(Errno::EINVAL, why))
    }
}

impl<R: Release> Machine<R> {
    /// A new, empty address space.
    pub fn address_space(&self) -> Result<Arc<AddressSpace>> {
        let id = self.space_id()?;
        let faults = Arc::new(RwLock::new(LockClass::Faults, ()));
        Ok(self.register(id, faults, Vec::new(), FIRST_PAGE, None))
    }

    /// A number for a space. `EAGAIN` if all are used up.
    pub(super) fn space_id(&self) -> Result<u32> {
        let mut registry = self.spaces.0.lock();
        let id = registry.next;
        registry.next = id
            .checked_add(1)
            .ok_or_else(|| Error::new(Errno::EAGAIN, "this machine has run out of address space numbers"))?;
        Ok(id)
    }

    /// A space with these areas, whose next area begins at page `next`; a child of `parent`, if of any.
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
            registry.sweep_at = FEW.max(2 * registry.live.len());
        }
        registry.live.insert(id, Arc::downgrade(&space));
        if parent.is_some_and(|parent| registry.early.contains(&parent)) {
            registry.early.insert(id);
        }
        drop(registry);
        space
    }

    /// Is the process to be told of a lost page at once (`PR_MCE_KILL_EARLY`), or (the default) when it touches the
    /// page? Children by fork inherit it.
    pub fn set_early_kill(&self, space: &AddressSpace, early: bool) {
        let mut registry = self.spaces.0.lock();
        match early {
            true => registry.early.insert(space.id),
            false => registry.early.remove(&space.id),
        };
    }

    /// See [`Machine::set_early_kill`].
    pub fn early_kill(&self, space: &AddressSpace) -> bool {
        self.spaces.0.lock().early.contains(&space.id)
    }

    /// The spaces that are to be told at once, by their numbers.
    pub(crate) fn early_killed(&self) -> BTreeSet<u32> {
        self.spaces.0.lock().early.clone()
    }

    /// The address spaces that have not exited and that somebody still has a handle on.
    pub fn spaces(&self) -> Vec<Arc<AddressSpace>> {
        self.spaces.0.lock().live.values().filter_map(Weak::upgrade).collect()
    }

    /// Maps `pages` pages of anonymous memory.
    ///
    /// `EINVAL` for none, `ENOMEM` for more than the machine has frames (the kernel's guess at obvious
    /// overcommit) or if the addresses, the owner slots or the host's memory run out, `ESRCH` after the
    /// exit.
    pub fn mmap(&self, space: &AddressSpace, pages: u32) -> Result<Arc<Area>> {
        self.mmap_kind(space, pages, AreaKind::Anon { order: 0 })
    }

    /// The same; where a whole page of 2^`order` base pages fits, a fault makes such a large page, if there is one to
    /// be had. The area begins at a multiple of that size.
    ///
    /// Errors as [`Machine::mmap`]; `EINVAL` also for an order that there is not.
    pub fn mmap_large(&self, space: &AddressSpace, pages: u32, order: u8) -> Result<Arc<Area>> {
        if order > MAX_ORDER {
            let why = format!("orders end at {MAX_ORDER}, not {order}");
            return Err(Error::new(Errno::EINVAL, why));
        }
        self.mmap_kind(space, pages, AreaKind::Anon { order })
    }

    /// Maps `pages` pages of whatever it is. A file that is mapped has been linked for the area.
    pub(super) fn mmap_kind(&self, space: &AddressSpace, pages: u32, kind: AreaKind) -> Result<Arc<Area>> {
        if pages == 0 {
            return Err(Error::new(Errno::EINVAL, "an area has at least one page"));
        }
        let shared = matches!(&kind, AreaKind::File(map) if !map.private);
        // Shared pages are the file's, not ours.
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
        // The lineage first: an area names it.
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
        let joined = area.and_then(|area| self.join_owners(&area).map(|()| area));
        let area = joined.inspect_err(|_| self.owners.remove(anon))?;
        areas.push(Arc::clone(&area));
        *space.next.lock() = Some(next);
        Ok(area)
    }

    /// Lets faults of an area allocate from `node` first. `EINVAL` if there is no such node.
    pub fn prefer(&self, area: &Area, node: usize) -> Result<()> {
        if node >= self.nodes.len() {
            return Err(Error::new(Errno::EINVAL, format!("no node {node}")));
        }
        // Relaxed: a preference, it orders nothing.
        area.preferred.store(node as u32, Ordering::Relaxed);
        Ok(())
    }

    /// Adds an area to the reverse maps of its lineage and of its file. After all others: a walk meets a
    /// parent before its children, so that what a fork copies while a walk goes on is met either in the
    /// parent or, later, in the child.
    ///
    /// `ENOMEM` if they have as many areas as a page's count can tell; then it is in neither.
    pub(super) fn join_owners(&self, area: &Arc<Area>) -> Result<()> {
        if let Some(map) = area.file() {
            self.join_file(map.file.owner, area)?;
        }
        if area.anon == OwnerId::NOBODY {
            return Ok(());
        }
        let joined = self.owners.update(area.anon, |owner| match owner {
            Owner::Anon(areas) => areas.push(area),
            _ => crate::sync::broken("lineage", format_args!("owner {:?} is no anonymous one", area.anon)),
        });
        debug_assert!(joined.is_some(), "a lineage lives while one of its areas does");
        let joined = joined.unwrap_or(Ok(()));
        if joined.is_err()
            && let Some(map) = area.file()
        {
            self.part_from_file(area, map);
        }
        joined
    }

    /// Takes an area that maps nothing any more out of its reverse maps; the last one ends the lineage, and a
    /// file that has no name any more. Holding no lock: the end of a file waits for page locks.
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

    /// Ends a space's entry in the registry.
    pub(super) fn unregister(&self, space: &AddressSpace) {
        let mut registry = self.spaces.0.lock();
        registry.live.remove(&space.id);
        registry.early.remove(&space.id);
    }
}
