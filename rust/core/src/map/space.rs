//! Address spaces: their areas, and the registry of the living ones.

use super::area::Area;
use super::attributes::Attributes;
use crate::error::{Errno, Error, Result};
use crate::page::PAGE_SIZE;
use crate::sync::{Lock, LockClass, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Weak};

/// The memory of one process, until [`Machine::exit`](crate::machine::Machine::exit). If the handle
/// is only dropped, its pages stay although no living space maps them, and the audit reports them.
#[derive(Debug)]
pub struct AddressSpace {
    /// The number of the space, unique within the machine and never used again.
    pub id: u32,
    /// The mapped areas in the order of their addresses (`mmap_lock`). The lock must not be held
    /// over a fault.
    pub areas: RwLock<Vec<Arc<Area>>>,
    /// The fault lock, shared with all areas of the space: see [`Area`].
    pub(crate) faults: Arc<RwLock<()>>,
    /// The page number at which the next area begins; `None` after the exit.
    pub(super) next: Lock<Option<u64>>,
}

/// The living address spaces of a machine.
#[derive(Debug)]
pub(crate) struct Spaces(pub(crate) Lock<Registry>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    pub(super) next: u32,
    /// Spaces that are told of a lost page at once (`PR_MCE_KILL_EARLY`), by number.
    pub(super) early: BTreeSet<u32>,
    /// The living spaces by number, so that a space ends without a search.
    pub(crate) live: BTreeMap<u32, Weak<AddressSpace>>,
    /// The number of entries in `live` at which the next registration removes the entries of
    /// dropped spaces.
    pub(super) sweep_at: usize,
}

impl Spaces {
    pub(crate) fn new() -> Spaces {
        Spaces(Lock::new(LockClass::Leaf, Registry::default()))
    }
}

#[cfg(all(test, not(any(loom, feature = "explored"))))]
impl Spaces {
    /// Sets the next number to the last one, as if all others had been used.
    pub(super) fn run_out(&self) {
        self.0.lock().next = u32::MAX;
    }

    /// Returns the number of spaces in the registry, living or dropped.
    pub(super) fn known(&self) -> usize {
        self.0.lock().live.len()
    }
}

impl AddressSpace {
    /// Returns the area that maps an address, and the page's index in it. `None` if nothing is
    /// mapped there.
    pub fn find(&self, address: u64) -> Option<(Arc<Area>, u32)> {
        let page = address / PAGE_SIZE as u64;
        let areas = self.areas.read();
        let after = areas.partition_point(|area| area.first <= page);
        let area = &areas[after.checked_sub(1)?];
        let index = u32::try_from(page - area.first).ok().filter(|&index| index < area.pages())?;
        (!area.attributes(index).contains(Attributes::UNMAPPED)).then(|| (Arc::clone(area), index))
    }

    /// Returns the page number at which the next area begins. `ESRCH` after the exit.
    pub(super) fn alive(&self) -> Result<u64> {
        let next = *self.next.lock();
        next.ok_or_else(|| Error::new(Errno::ESRCH, format!("address space {} has exited", self.id)))
    }

    /// Checks that the area belongs to this space and that the pages lie in the area; else
    /// `EINVAL`.
    pub(crate) fn covers(&self, area: &Area, pages: &Range<u32>) -> Result<()> {
        self.owns(area)?;
        if pages.start >= pages.end || pages.end > area.pages() {
            let why = format!("pages {pages:?} do not lie in an area of {} pages", area.pages());
            return Err(Error::new(Errno::EINVAL, why));
        }
        Ok(())
    }

    /// Checks that the area belongs to this space; else `EINVAL`.
    pub(super) fn owns(&self, area: &Area) -> Result<()> {
        if area.space == self.id {
            return Ok(());
        }
        let why = format!("the area belongs to address space {}, not {}", area.space, self.id);
        Err(Error::new(Errno::EINVAL, why))
    }
}
