//! `AddressSpace`: the memory of a process.

use crate::array;
use crate::errors::{input, type_error};
use crate::file::File;
use crate::home::MachineRef;
use crate::page::Page;
use crate::region::Region;
use crate::shared::{Shared, Waits};
use mmcore::error::{Errno, Error};
use mmcore::machine::parse_size;
use mmcore::map::{AddressSpace as Space, Area, FileMap};
use mmcore::memory::{filled, room};
use mmcore::migrate::MoveFlags;
use mmcore::page::PAGE_SIZE;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use std::sync::Arc;

/// The value in a status array for entries that the kernel does not write.
pub(crate) const UNWRITTEN: i32 = i32::MIN;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("UNWRITTEN", UNWRITTEN)?;
    module.add_class::<AddressSpace>()
}

/// The memory of a process, from `Machine.address_space`. It ends with `exit`, or when the machine is closed,
/// and not when the last Python reference to it is gone.
#[pyclass(frozen, module = "mmcore.handles")]
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
    /// The number of whole pages, rounded up.
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
    /// Enters a new space in the machine's table and returns the Python object for it.
    fn adopt(py: Python<'_>, shared: &MachineRef, space: Arc<Space>) -> AddressSpace {
        shared.spaces.lock().insert(space.id, Arc::clone(&space));
        AddressSpace { shared: shared.share(py), space }
    }

    pub fn create(py: Python<'_>, shared: &MachineRef) -> PyResult<AddressSpace> {
        // Makes no callback: an empty space has no frames.
        let space = shared.call(py, Waits::Never, |shared| Ok(shared.machine.address_space()?))?;
        Ok(AddressSpace::adopt(py, shared, space))
    }

    /// Returns all living spaces of a machine, in the order of their numbers.
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

    /// The number of the address space.
    #[getter]
    fn id(&self) -> u32 {
        self.space.id
    }

    /// Maps memory and returns the `Region`. ``size`` is ``"16MiB"`` or bytes, rounded up to whole pages. The
    /// first store to a page, or the first load of a file's page, takes a frame of ``node``, or of another
    /// node if that has none.
    ///
    /// Args:
    ///     size: the size of the region; by default the part of the file from ``offset`` to its end.
    ///     file: the file to map; anonymous memory by default.
    ///     offset: the first byte of the file to map, a multiple of 4,096.
    ///     private: stores go to private copies of the pages, and leave the file as it is.
    ///     random: accesses are in no order (MADV_RANDOM), and do not count as use of the page (except under
    ///         profiles with ``random_marks_accessed``).
    ///     order: for anonymous memory: faults allocate large pages of 2**order base pages where one fits.
    ///
    /// Raises:
    ///     InputError: if ``offset`` is no multiple of 4,096.
    ///     KernelError: EINVAL for a size of 0 or a text that is no size, and for a node, an order or a part
    ///         of the file that does not exist; ENOMEM for more anonymous or private pages than the machine
    ///         has frames, or if the machine has as many regions as it can have; EBADF for a removed file;
    ///         ESRCH after `exit`.
    ///     MisuseError: if the file belongs to another machine.
    ///     TypeError: for ``offset``, ``private`` or ``random`` without a file, for ``order`` with a file,
    ///         or for anonymous memory without a size.
    #[pyo3(signature = (size=None, *, node=0, file=None, offset=0, private=false, random=false, order=0))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn mmap(
        &self,
        py: Python<'_>,
        size: Option<Size>,
        node: usize,
        file: Option<&Bound<'_, File>>,
        offset: u64,
        private: bool,
        random: bool,
        order: u8,
    ) -> PyResult<Region> {
        let file = file.map(|file| file.get().of(&self.shared)).transpose()?;
        if file.is_none() && (offset != 0 || private || random) {
            return Err(type_error("offset, private and random belong to a mapping of a file"));
        }
        if !offset.is_multiple_of(PAGE_SIZE as u64) {
            let why = format!(
                "offset counts bytes, of whole pages: a multiple of {PAGE_SIZE}, not {offset}; \
                 page {offset} begins at byte {}",
                u128::from(offset) * PAGE_SIZE as u128
            );
            return Err(input(why));
        }
        // A page number that does not fit becomes the largest one. No file has so many pages, so the core
        // refuses it.
        let first = u32::try_from(offset / PAGE_SIZE as u64).unwrap_or(u32::MAX);
        if file.is_some() && order != 0 {
            return Err(type_error("large pages are of anonymous memory: a mapping of a file has no order"));
        }
        if file.is_none() && size.is_none() {
            return Err(type_error("anonymous memory needs a size"));
        }
        let area = self.shared.call(py, Waits::Never, |shared| {
            let pages = match (&size, file) {
                (Some(size), _) => size.pages()?,
                (None, Some(file)) => file.pages().saturating_sub(first),
                (None, None) => 0,
            };
            if node >= shared.machine.nodes().len() {
                return Err(Error::new(Errno::EINVAL, format!("no node {node}")).into());
            }
            let area = match file {
                None => shared.machine.mmap_large(&self.space, pages, order)?,
                Some(file) => {
                    let map = FileMap { file: Arc::clone(file), first, private, random };
                    shared.machine.mmap_file(&self.space, map, pages)?
                }
            };
            shared.machine.prefer(&area, node)?;
            Ok(area)
        })?;
        Ok(Region { shared: self.shared.share(py), space: Arc::clone(&self.space), area })
    }

    /// Forks the process: the child shares this space's pages until one of the two writes to them (copy on
    /// write).
    ///
    /// Raises:
    ///     KernelError: ENOMEM if a page that may be pinned cannot be copied, or has as many references as it
    ///         can have; EAGAIN if all numbers of address spaces are used up; ESRCH after `exit`.
    fn fork(&self, py: Python<'_>) -> PyResult<AddressSpace> {
        let child = self.shared.take(
            py,
            Waits::ForMigrations,
            |shared| Ok(shared.machine.fork(&self.space)?),
            |shared, child| shared.machine.exit(&child),
        )?;
        Ok(AddressSpace::adopt(py, &self.shared, child))
    }

    /// Unmaps everything and ends the address space; nothing can be mapped afterwards. Ending it again is no
    /// error. If a signal handler ends the call, another call unmaps the rest.
    ///
    /// Raises:
    ///     MisuseError: if the call may wait for a page lock, and this thread holds one or is inside of a
    ///         callback.
    fn exit(&self, py: Python<'_>) -> PyResult<()> {
        // The areas are read within a call of its own. A thread that waited for their lock while it is
        // attached could wait for ever, because the holder of the lock may be waiting to attach. In a signal
        // handler the holder may be the call within which the handler runs; there this call is refused.
        let maps_file = |area: &Arc<Area>| area.file().is_some();
        let maps_files =
            self.shared.call(py, Waits::Never, |_| Ok(self.space.areas.read().iter().any(maps_file)))?;
        self.shared.call(py, waits(&self.shared, maps_files), |shared| {
            shared.machine.exit_unless_interrupted(&self.space)?;
            shared.spaces.lock().remove(&self.space.id);
            Ok(())
        })?;
        self.shared.handlers.set(py, self.space.id.into(), None);
        Ok(())
    }

    /// Returns the page that is mapped at an address; ``None`` if there is none.
    ///
    /// Args:
    ///     address: the virtual address, in bytes.
    fn page_at(&self, py: Python<'_>, address: u64) -> PyResult<Option<Page>> {
        let pfn = self.shared.call(py, Waits::Never, |shared| {
            let Some((area, index)) = self.space.find(address) else { return Ok(None) };
            Ok(shared.machine.page_at(&area, index))
        })?;
        Ok(pfn.map(|pfn| Page::new(py, &self.shared, pfn)))
    }

    /// Moves the pages at ``addresses`` (in bytes) to ``nodes`` (one for each address, or one for all) as
    /// ``move_pages(2)`` does. Returns the status of each page, as an array of int32 and shape (addresses,):
    /// its node, a negative errno, or `UNWRITTEN` where the kernel does not write the entry.
    ///
    /// ``move_all`` also moves pages that several processes map (MPOL_MF_MOVE_ALL).
    ///
    /// Raises:
    ///     KernelError: ENODEV for a node that does not exist or has no memory online, or ENOMEM if a node
    ///         has no free frame; pages before the failure may have moved.
    ///     MemoryError: if the host has no memory for the list or the statuses; nothing has moved then.
    ///     TypeError: if addresses or nodes are no integers.
    ///     ValueError: if there are not as many nodes as addresses, or the values have more than one
    ///         dimension.
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
        // A number that does not fit becomes one that no node has, so that the core refuses it.
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
            // The memory for the result is reserved before any page moves. If it were missing
            // afterwards, the call could not report the moves.
            let mut statuses = room("the statuses of pages", addresses.len())?;
            let flags = MoveFlags { all: move_all };
            shared.machine.move_pages_into(&self.space, &addresses, &nodes, flags, &mut status)?;
            statuses.extend(status.iter().map(|status| status.unwrap_or(UNWRITTEN)));
            Ok(statuses)
        })?;
        array::filled(py, "int32", &statuses)
    }

    /// Returns the node of the page at each of ``addresses`` (in bytes), or a negative errno, as
    /// ``move_pages(2)`` without nodes does: an array of int32 and shape (addresses,).
    ///
    /// Raises:
    ///     MemoryError: if the host has no memory for the statuses.
    ///     TypeError: if the addresses are no integers.
    ///     ValueError: if they do not have one dimension.
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

    /// Moves all pages of the process from node ``source`` to node ``target`` (migrate_pages(2)), also those
    /// that other processes map. Returns the number of pages that could not be moved.
    ///
    /// Raises:
    ///     KernelError: EINVAL if ``target`` does not exist, or ``source`` is a number that no node can have
    ///         (a node ``source`` that does not exist has no pages); ENOMEM without a free frame on
    ///         ``target``.
    fn migrate_pages(&self, py: Python<'_>, source: usize, target: usize) -> PyResult<u32> {
        self.shared.call(py, Waits::ForPageLocks, |shared| {
            Ok(shared.machine.migrate_between(&self.space, source, target)?)
        })
    }

    /// Handles a NUMA hint fault at an address, by a thread that runs on ``node`` (do_numa_page). If the
    /// policy allows, the page migrates to ``node``, without waiting. Returns the node of the page
    /// afterwards.
    ///
    /// Args:
    ///     address: the virtual address, in bytes.
    ///     node: the number of the node of the thread.
    ///
    /// Raises:
    ///     KernelError: EFAULT if no page is mapped there, EINVAL for a node that does not exist.
    fn numa_fault(&self, py: Python<'_>, address: u64, node: usize) -> PyResult<usize> {
        // The call waits for no other call: it migrates pages of the LRU, so it calls no owner, and
        // it skips locked pages.
        self.shared
            .call(py, Waits::Never, |shared| Ok(shared.machine.numa_fault(&self.space, address, node)?))
    }

    /// True if the process gets its signal as soon as a page is lost (PR_MCE_KILL_EARLY), and not only when
    /// it accesses the page.
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

    /// Calls ``handler`` with each `Signal` that a memory failure sends to the process: see
    /// `Machine.memory_failure`. A later access to the lost page calls no handler, it raises `SigbusError`.
    /// ``None`` removes the handler. Without a handler signals are ignored.
    ///
    /// Raises:
    ///     TypeError: if ``handler`` is neither a callable nor ``None``.
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

/// The locks that an access to anonymous memory, or to a mapping of a file (`of_file`), may wait for.
pub(crate) fn waits(shared: &Shared, of_file: bool) -> Waits {
    let swaps = shared.machine.may_swap();
    if of_file || swaps { Waits::ForPageLocks } else { Waits::ForMigrations }
}

/// Returns a tuple of all living spaces, for `Machine`.
pub(crate) fn all<'py>(py: Python<'py>, shared: &MachineRef) -> PyResult<Bound<'py, PyTuple>> {
    let spaces: PyResult<Vec<_>> =
        AddressSpace::all(py, shared).into_iter().map(|space| Py::new(py, space)).collect();
    PyTuple::new(py, spaces?)
}
