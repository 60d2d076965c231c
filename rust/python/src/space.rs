//! `AddressSpace`: memory as a process sees it.

use crate::array;
use crate::errors::type_error;
use crate::file::File;
use crate::home::MachineRef;
use crate::page::Page;
use crate::region::Region;
use crate::shared::{Shared, Waits};
use mmcore::error::{Errno, Error};
use mmcore::machine::parse_size;
use mmcore::map::{AddressSpace as Space, FileMap};
use mmcore::memory::{filled, room};
use mmcore::migrate::MoveFlags;
use mmcore::page::PAGE_SIZE;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use std::sync::Arc;

/// What stands in a status array where the kernel leaves the entry as it was.
pub(crate) const UNWRITTEN: i32 = i32::MIN;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("UNWRITTEN", UNWRITTEN)?;
    module.add_class::<AddressSpace>()
}

/// A process's memory, from `Machine.address_space`. It lives until `exit`, or until the machine is closed,
/// like a process: whether or not somebody has it in a variable.
#[pyclass(frozen, module = "mmcore")]
pub(crate) struct AddressSpace {
    pub shared: MachineRef,
    pub space: Arc<Space>,
}

#[derive(FromPyObject)]
pub(crate) enum Size {
    Text(String),
    Bytes(u64),
}

impl Size {
    /// In whole pages, rounded up.
    pub fn pages(&self) -> Result<u32, Error> {
        let bytes = match self {
            Size::Text(text) => parse_size(text)?,
            Size::Bytes(bytes) => *bytes,
        };
        let too_large = || Error::new(Errno::ENOMEM, format!("no room for {bytes} bytes"));
        u32::try_from(bytes.div_ceil(PAGE_SIZE as u64)).map_err(|_| too_large())
    }
}

impl AddressSpace {
    /// A handle on a space that the machine knows from now on.
    fn adopt(py: Python<'_>, shared: &MachineRef, space: Arc<Space>) -> AddressSpace {
        shared.spaces.lock().insert(space.id, Arc::clone(&space));
        AddressSpace { shared: shared.share(py), space }
    }

    pub fn create(py: Python<'_>, shared: &MachineRef) -> PyResult<AddressSpace> {
        let space = shared.call(py, Waits::Never, |shared| Ok(shared.machine.address_space()?))?;
        Ok(AddressSpace::adopt(py, shared, space))
    }

    /// Handles on all living spaces of a machine, in order of their numbers.
    pub fn all(py: Python<'_>, shared: &MachineRef) -> Vec<AddressSpace> {
        let mut spaces: Vec<_> = shared.spaces.lock().values().cloned().collect();
        spaces.sort_by_key(|space| space.id);
        spaces.into_iter().map(|space| AddressSpace { shared: shared.share(py), space }).collect()
    }
}

#[pymethods]
impl AddressSpace {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// The space's number.
    #[getter]
    fn id(&self) -> u32 {
        self.space.id
    }

    /// Maps memory: ``"16MiB"`` or bytes, rounded up to whole pages. Its pages come with the first access to
    /// each that needs one, from ``node`` if it has any.
    ///
    /// Args:
    ///     size: of the region; by default all of the file from ``offset`` on.
    ///     file: what is mapped; anonymous memory by default.
    ///     offset: the file's page at the beginning of the region.
    ///     private: stores go to copies of one's own, not to the file.
    ///     random: accesses follow no order (MADV_RANDOM), and say nothing of a page's use.
    ///     order: of anonymous memory: a fault makes a large page of 2**order base pages where one fits.
    #[pyo3(signature = (size=None, *, node=0, file=None, offset=0, private=false, random=false, order=0))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn mmap(
        &self,
        py: Python<'_>,
        size: Option<Size>,
        node: usize,
        file: Option<&Bound<'_, File>>,
        offset: u32,
        private: bool,
        random: bool,
        order: u8,
    ) -> PyResult<Region> {
        let file = file.map(|file| file.get().of(&self.shared)).transpose()?;
        if file.is_none() && (offset != 0 || private || random) {
            return Err(type_error("offset, private and random belong to a mapping of a file"));
        }
        if file.is_some() && order != 0 {
            return Err(type_error("large pages are of anonymous memory: a mapping of a file has no order"));
        }
        if file.is_none() && size.is_none() {
            return Err(type_error("anonymous memory has no size of its own: say one"));
        }
        let area = self.shared.call(py, Waits::Never, |shared| {
            let pages = match (&size, file) {
                (Some(size), _) => size.pages()?,
                (None, Some(file)) => file.pages().saturating_sub(offset),
                (None, None) => 0,
            };
            if node >= shared.machine.nodes().len() {
                return Err(Error::new(Errno::EINVAL, format!("no node {node}")).into());
            }
            let area = match file {
                None => shared.machine.mmap_large(&self.space, pages, order)?,
                Some(file) => {
                    let map = FileMap { file: Arc::clone(file), first: offset, private, random };
                    shared.machine.mmap_file(&self.space, map, pages)?
                }
            };
            shared.machine.prefer(&area, node)?;
            Ok(area)
        })?;
        Ok(Region { shared: self.shared.share(py), space: Arc::clone(&self.space), area })
    }

    /// A child that shares this space's pages until one of the two writes.
    fn fork(&self, py: Python<'_>) -> PyResult<AddressSpace> {
        let child =
            self.shared.call(py, Waits::ForMigrations, |shared| Ok(shared.machine.fork(&self.space)?))?;
        Ok(AddressSpace::adopt(py, &self.shared, child))
    }

    /// Ends the space: everything is unmapped, nothing can be mapped any more. Harmless the second time.
    fn exit(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.alive()?;
        let maps_files = self.space.areas.read().iter().any(|area| area.file().is_some());
        self.shared.call(py, waits(&self.shared, maps_files), |shared| {
            shared.machine.exit(&self.space);
            shared.spaces.lock().remove(&self.space.id);
            Ok(())
        })?;
        self.shared.handlers.set(py, self.space.id.into(), None);
        Ok(())
    }

    /// The page that is mapped at an address; ``None`` if none is.
    fn page_at(&self, py: Python<'_>, address: u64) -> PyResult<Option<Page>> {
        let pfn = self.shared.call(py, Waits::Never, |shared| {
            let Some((area, index)) = self.space.find(address) else { return Ok(None) };
            Ok(shared.machine.page_at(&area, index))
        })?;
        Ok(pfn.map(|pfn| Page::new(py, &self.shared, pfn)))
    }

    /// Moves the pages at ``addresses`` to ``nodes`` (one for each, or one for all), as ``move_pages(2)`` does,
    /// and returns each page's status: its node, a negative errno, or `UNWRITTEN` where the kernel leaves
    /// the entry as it was.
    ///
    /// ``move_all`` moves also pages that several processes map (MPOL_MF_MOVE_ALL). `KernelError` (ENODEV, ENOMEM)
    /// if the call as a whole fails; pages before the failure may have moved.
    #[pyo3(signature = (addresses, nodes, *, move_all=false))]
    fn move_pages<'py>(
        &self,
        py: Python<'py>,
        addresses: &Bound<'py, PyAny>,
        nodes: &Bound<'py, PyAny>,
        move_all: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let addresses = array::integers("addresses", addresses, None)?;
        let addresses = array::mapped(addresses.into_iter(), |address| address as u64)?;
        // A node that no machine has stays one.
        let nodes = array::integers("nodes", nodes, Some(addresses.len()))?;
        let nodes = array::mapped(nodes.into_iter(), |node| u32::try_from(node).unwrap_or(u32::MAX))?;
        if addresses.len() != nodes.len() {
            let why = format!(
                "{} addresses and {} nodes: give one node for each, or one for all",
                addresses.len(),
                nodes.len()
            );
            return Err(PyValueError::new_err(why));
        }
        let statuses = self.shared.call(py, Waits::ForPageLocks, |shared| {
            let mut status = filled("the statuses of pages", addresses.len(), None)?;
            // Before anything has moved.
            let mut statuses = room("the statuses of pages", addresses.len())?;
            let flags = MoveFlags { all: move_all };
            shared.machine.move_pages_into(&self.space, &addresses, &nodes, flags, &mut status)?;
            statuses.extend(status.iter().map(|status| status.unwrap_or(UNWRITTEN)));
            Ok(statuses)
        })?;
        array::filled(py, "int32", &statuses)
    }

    /// Where the pages at ``addresses`` are: each one's node or a negative errno, as ``move_pages(2)`` without
    /// nodes gives them.
    fn query_pages<'py>(
        &self,
        py: Python<'py>,
        addresses: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let addresses = array::integers("addresses", addresses, None)?;
        let addresses = array::mapped(addresses.into_iter(), |address| address as u64)?;
        let statuses = self
            .shared
            .call(py, Waits::Never, |shared| Ok(shared.machine.query_pages(&self.space, &addresses)?))?;
        array::filled(py, "int32", &statuses)
    }

    /// Moves every page that is on node ``source`` to node ``target`` (migrate_pages(2), for all the process's memory), also
    /// those that other processes map. Returns how many could not be moved.
    ///
    /// `KernelError` (EINVAL) for a node that does not exist, (ENOMEM) without a frame to move to.
    fn migrate_pages(&self, py: Python<'_>, source: usize, target: usize) -> PyResult<u32> {
        self.shared.call(py, Waits::ForPageLocks, |shared| {
            Ok(shared.machine.migrate_between(&self.space, source, target)?)
        })
    }

    /// A NUMA hint fault at an address by a thread that runs on ``node``: the page goes there, if it may, as one page
    /// that is migrated without waiting. Returns the node where it is afterwards.
    ///
    /// `KernelError` (EFAULT) if no page is mapped there, (EINVAL) for a node that does not exist.
    fn numa_fault(&self, py: Python<'_>, address: u64, node: usize) -> PyResult<usize> {
        // The owner of no page is asked: these are pages of the LRU, and none is waited for.
        self.shared
            .call(py, Waits::Never, |shared| Ok(shared.machine.numa_fault(&self.space, address, node)?))
    }

    /// Is the process told of a lost page at once (PR_MCE_KILL_EARLY), and not only when it touches the page?
    #[getter]
    fn early_kill(&self, py: Python<'_>) -> PyResult<bool> {
        self.shared.call(py, Waits::Never, |shared| Ok(shared.machine.early_kill(&self.space)))
    }

    #[setter]
    fn set_early_kill(&self, py: Python<'_>, early: bool) -> PyResult<()> {
        self.shared.call(py, Waits::Never, |shared| {
            shared.machine.set_early_kill(&self.space, early);
            Ok(())
        })
    }

    /// Calls ``handler`` with a `Signal` whenever the process is told of a lost page without having touched it;
    /// ``None`` ends that. Without a handler such signals are ignored.
    fn on_sigbus(&self, py: Python<'_>, handler: Option<Py<PyAny>>) -> PyResult<()> {
        self.shared.alive()?;
        if handler.as_ref().is_some_and(|handler| !handler.bind(py).is_callable()) {
            return Err(type_error("a handler is called with a Signal: give a callable, or None"));
        }
        self.shared.handlers.set(py, self.space.id.into(), handler);
        Ok(())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<AddressSpace>().is_ok_and(|other| Arc::ptr_eq(&self.space, &other.get().space))
    }

    fn __hash__(&self) -> u64 {
        Arc::as_ptr(&self.space).addr() as u64
    }

    fn __repr__(&self) -> String {
        format!("<AddressSpace {}>", self.space.id)
    }
}

/// For what an access to such memory may have to wait.
pub(crate) fn waits(shared: &Shared, of_file: bool) -> Waits {
    let swaps = shared.machine.may_swap();
    if of_file || swaps { Waits::ForPageLocks } else { Waits::ForMigrations }
}

/// The living spaces, for `Machine`.
pub(crate) fn all<'py>(py: Python<'py>, shared: &MachineRef) -> PyResult<Bound<'py, PyTuple>> {
    let spaces: PyResult<Vec<_>> =
        AddressSpace::all(py, shared).into_iter().map(|space| Py::new(py, space)).collect();
    PyTuple::new(py, spaces?)
}
