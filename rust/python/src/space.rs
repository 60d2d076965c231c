//! `AddressSpace` and `Region`: memory as a process sees it.

use crate::array;
use crate::errors::{KernelError, Refusal, type_error};
use crate::file::File;
use crate::handles::Pin;
use crate::names;
use crate::page::Page;
use crate::shared::{Shared, Waits};
use mmcore::audit::Handle;
use mmcore::error::{Errno, Error};
use mmcore::machine::parse_size;
use mmcore::map::{AddressSpace as Space, Area, Entry, FileMap};
use mmcore::migrate::{MoveFlags, Moved};
use mmcore::page::{Flags, PAGE_SIZE};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PySlice, PyTuple};
use std::sync::Arc;

/// What stands in a status array where the kernel leaves the entry as it was.
pub(crate) const UNWRITTEN: i32 = i32::MIN;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("UNWRITTEN", UNWRITTEN)?;
    module.add_class::<AddressSpace>()?;
    module.add_class::<Region>()
}

/// A process's memory, from `Machine.address_space`. It lives until `exit`, or until the machine is closed,
/// like a process: whether or not somebody has it in a variable.
#[pyclass(frozen, module = "mmcore")]
pub(crate) struct AddressSpace {
    pub shared: Arc<Shared>,
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
    fn adopt(shared: &Arc<Shared>, space: Arc<Space>) -> AddressSpace {
        shared.spaces.lock().insert(space.id, Arc::clone(&space));
        AddressSpace { shared: Arc::clone(shared), space }
    }

    pub fn create(py: Python<'_>, shared: &Arc<Shared>) -> PyResult<AddressSpace> {
        let space = shared.call(py, Waits::Never, |shared| Ok(shared.machine.address_space()?))?;
        Ok(AddressSpace::adopt(shared, space))
    }

    /// Handles on all living spaces of a machine, in order of their numbers.
    pub fn all(shared: &Arc<Shared>) -> Vec<AddressSpace> {
        let mut spaces: Vec<_> = shared.spaces.lock().values().cloned().collect();
        spaces.sort_by_key(|space| space.id);
        spaces.into_iter().map(|space| AddressSpace { shared: Arc::clone(shared), space }).collect()
    }
}

#[pymethods]
impl AddressSpace {
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
        Ok(Region { shared: Arc::clone(&self.shared), space: Arc::clone(&self.space), area })
    }

    /// A child that shares this space's pages until one of the two writes.
    fn fork(&self, py: Python<'_>) -> PyResult<AddressSpace> {
        let child =
            self.shared.call(py, Waits::ForMigrations, |shared| Ok(shared.machine.fork(&self.space)?))?;
        Ok(AddressSpace::adopt(&self.shared, child))
    }

    /// Ends the space: everything is unmapped, nothing can be mapped any more. Harmless the second time.
    fn exit(&self, py: Python<'_>) -> PyResult<()> {
        let maps_files = self.space.areas.read().iter().any(|area| area.file().is_some());
        self.shared.call(py, waits(&self.shared, maps_files), |shared| {
            shared.machine.exit(&self.space);
            shared.spaces.lock().remove(&self.space.id);
            Ok(())
        })?;
        let handler = self.shared.handlers.lock().remove(&self.space.id);
        drop(handler);
        Ok(())
    }

    /// The page that is mapped at an address; ``None`` if none is.
    fn page_at(&self, py: Python<'_>, address: u64) -> PyResult<Option<Page>> {
        let pfn = self.shared.call(py, Waits::Never, |shared| {
            let Some((area, index)) = self.space.find(address) else { return Ok(None) };
            Ok(shared.machine.page_at(&area, index))
        })?;
        Ok(pfn.map(|pfn| Page::new(&self.shared, pfn)))
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
        let addresses: Vec<u64> = array::integers("addresses", addresses, None)?
            .into_iter()
            .map(|address| address as u64)
            .collect();
        // A node that no machine has stays one.
        let nodes: Vec<u32> = array::integers("nodes", nodes, Some(addresses.len()))?
            .into_iter()
            .map(|node| u32::try_from(node).unwrap_or(u32::MAX))
            .collect();
        if addresses.len() != nodes.len() {
            let why = format!(
                "{} addresses and {} nodes: give one node for each, or one for all",
                addresses.len(),
                nodes.len()
            );
            return Err(PyValueError::new_err(why));
        }
        let statuses = self.shared.call(py, Waits::ForPageLocks, |shared| {
            let Moved { ret, status } =
                { shared.machine.move_pages(&self.space, &addresses, &nodes, MoveFlags { all: move_all }) };
            match ret {
                Ok(_) => {
                    Ok(status.into_iter().map(|status| status.unwrap_or(UNWRITTEN)).collect::<Vec<i32>>())
                }
                Err(errno) => Err(Refusal::Kernel(Error::new(errno, errno.text()))),
            }
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
        let addresses: Vec<u64> = array::integers("addresses", addresses, None)?
            .into_iter()
            .map(|address| address as u64)
            .collect();
        let statuses = self
            .shared
            .call(py, Waits::Never, |shared| Ok(shared.machine.query_pages(&self.space, &addresses)))?;
        array::filled(py, "int32", &statuses)
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
    fn on_sigbus(&self, py: Python<'_>, handler: Option<Py<PyAny>>) {
        let before = match handler {
            Some(handler) => self.shared.handlers.lock().insert(self.space.id, handler),
            None => self.shared.handlers.lock().remove(&self.space.id),
        };
        // After the lock: the end of an object may be anything.
        drop(before.map(|handler| handler.into_bound(py)));
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

/// A mapped range, from `AddressSpace.mmap`. Slices read and write its bytes through the page table, as the
/// process would; whole numbers in other methods count pages.
#[pyclass(frozen, module = "mmcore")]
pub(crate) struct Region {
    shared: Arc<Shared>,
    space: Arc<Space>,
    area: Arc<Area>,
}

/// Which bytes.
enum Bytes {
    One(u64),
    Range(u64, usize),
}

/// For what an access to such memory may have to wait.
fn waits(shared: &Shared, of_file: bool) -> Waits {
    let swaps = shared.machine.may_swap();
    if of_file || swaps { Waits::ForPageLocks } else { Waits::ForMigrations }
}

impl Region {
    /// For what an access may have to wait: a file's page, and one that comes from swap, is looked at under its
    /// lock.
    fn waits(&self) -> Waits {
        waits(&self.shared, self.area.file().is_some())
    }

    fn bytes(&self) -> u64 {
        u64::from(self.area.pages()) * PAGE_SIZE as u64
    }

    /// A page number as Python writes it: from the end if negative.
    fn index(&self, number: i64) -> PyResult<u32> {
        let pages = i64::from(self.area.pages());
        let index = if number < 0 { number.saturating_add(pages) } else { number };
        if (0..pages).contains(&index) {
            return Ok(index as u32);
        }
        Err(PyIndexError::new_err(format!("no page {number}: the region has {pages}")))
    }

    fn select(&self, key: &Bound<'_, PyAny>) -> PyResult<Bytes> {
        if let Ok(slice) = key.cast::<PySlice>() {
            let found = slice.indices(self.bytes() as isize)?;
            if found.step != 1 {
                return Err(PyValueError::new_err("a region has slices of step 1 only"));
            }
            return Ok(Bytes::Range(found.start as u64, found.slicelength));
        }
        let number: i64 = key
            .extract()
            .map_err(|_| PyTypeError::new_err("a region is indexed by bytes: numbers and slices of them"))?;
        let bytes = self.bytes() as i64;
        let at = if number < 0 { number.saturating_add(bytes) } else { number };
        if (0..bytes).contains(&at) {
            return Ok(Bytes::One(at as u64));
        }
        Err(PyIndexError::new_err(format!("no byte {number}: the region has {bytes}")))
    }

    /// Why an access to bytes from `offset` on failed: of a bad frame with the address of the page.
    fn refused(&self, shared: &Shared, error: Error, offset: u64, len: usize) -> Refusal {
        if error.errno != Errno::EHWPOISON {
            return error.into();
        }
        let page = PAGE_SIZE as u64;
        let (first, last) = (offset / page, (offset + len as u64).saturating_sub(1) / page);
        let bad = |&index: &u32| match self.area.look(index).unlocked().entry() {
            Entry::Hwpoison { .. } => true,
            Entry::None => self.area.file().is_some_and(|map| {
                let cached = map.file.cached_page(map.first + index);
                cached.is_some_and(|pfn| shared.flags(pfn).contains(Flags::HWPOISON))
            }),
            _ => false,
        };
        let index = (first as u32..=last as u32).find(bad).unwrap_or(first as u32);
        Refusal::Sigbus(error, self.area.address(index))
    }

    fn load(&self, py: Python<'_>, offset: u64, into: &mut [u8]) -> PyResult<()> {
        self.shared.call(py, self.waits(), |shared| {
            let len = into.len();
            let read = shared.machine.read_bytes(&self.area, offset, into);
            read.map_err(|error| self.refused(shared, error, offset, len))
        })
    }

    fn store(&self, py: Python<'_>, offset: u64, from: &[u8]) -> PyResult<()> {
        self.shared.call(py, self.waits(), |shared| {
            let written = shared.machine.write_bytes(&self.area, offset, from);
            written.map_err(|error| self.refused(shared, error, offset, from.len()))
        })
    }
}

#[pymethods]
impl Region {
    /// The address of its first byte.
    #[getter]
    fn address(&self) -> u64 {
        self.area.address(0)
    }

    /// How many pages it has.
    #[getter]
    fn pages(&self) -> u32 {
        self.area.pages()
    }

    /// The space that maps it.
    #[getter]
    fn space(&self) -> AddressSpace {
        AddressSpace { shared: Arc::clone(&self.shared), space: Arc::clone(&self.space) }
    }

    /// The file that it maps; ``None`` for anonymous memory.
    #[getter]
    fn file(&self) -> Option<File> {
        let file = Arc::clone(&self.area.file()?.file);
        Some(File { shared: Arc::clone(&self.shared), file })
    }

    /// The addresses of its pages, as an array.
    fn addresses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let first = self.area.address(0);
        py.import("numpy")?.call_method1("arange", (first, first + self.bytes(), PAGE_SIZE, "uint64"))
    }

    /// Names the frame behind a page; takes no reference.
    ///
    /// `KernelError` (ENOENT) if no frame is mapped there: a page comes with its first write.
    #[pyo3(signature = (number=0))]
    fn page(&self, py: Python<'_>, number: i64) -> PyResult<Page> {
        let index = self.index(number)?;
        let pfn =
            self.shared.call(py, Waits::Never, |shared| Ok(shared.machine.page_at(&self.area, index)))?;
        let nothing = || {
            let why = format!("no frame is mapped at {:#x}: write to it first", self.area.address(index));
            KernelError::new_err((Errno::ENOENT.0, why))
        };
        pfn.map(|pfn| Page::new(&self.shared, pfn)).ok_or_else(nothing)
    }

    /// One page fault of a load, or of a store.
    #[pyo3(signature = (number=0, *, write=true))]
    fn fault(&self, py: Python<'_>, number: i64, write: bool) -> PyResult<()> {
        let index = self.index(number)?;
        self.shared.call(py, self.waits(), |shared| {
            let fault = shared.machine.fault(&self.area, index, write);
            let offset = u64::from(index) * PAGE_SIZE as u64;
            fault.map_err(|error| self.refused(shared, error, offset, 1))
        })
    }

    /// Pins a page as ``pin_user_pages`` does with FOLL_LONGTERM, faulting it in first; ``write`` if the holder will write.
    /// A page on a node that is only for movable pages moves off it before.
    ///
    /// `KernelError` (ENOMEM) if it cannot.
    #[pyo3(signature = (number=0, *, write=true))]
    fn pin(&self, py: Python<'_>, number: i64, write: bool) -> PyResult<Pin> {
        let index = self.index(number)?;
        let moves = self.shared.machine.nodes().iter().any(|node| node.movable);
        let waits = if moves { Waits::ForPageLocks } else { self.waits() };
        let pfn = self.shared.call(py, waits, |shared| {
            let pfn = shared.machine.pin_longterm(&self.area, index, write)?;
            shared.ledger.add(pfn, Handle::Pin);
            Ok(pfn)
        })?;
        Ok(Pin::holding(&self.shared, pfn, Handle::Pin))
    }

    /// Fills a buffer with the bytes from ``offset`` on.
    #[pyo3(signature = (buffer, *, offset=0))]
    fn read_into(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>, offset: u64) -> PyResult<()> {
        let buffer = writable(buffer)?;
        let mut bytes = buffer.to_vec(py)?;
        self.load(py, offset, &mut bytes)?;
        buffer.copy_from_slice(py, &bytes)
    }

    /// Writes the dirty pages of a shared mapping of a file to disk, ``start`` to ``stop``, all by default (msync with
    /// MS_SYNC), and says how many those were.
    #[pyo3(signature = (start=0, stop=None))]
    fn msync(&self, py: Python<'_>, start: u32, stop: Option<u32>) -> PyResult<u32> {
        let stop = stop.unwrap_or(self.area.pages()).min(self.area.pages());
        let Some(map) = self.area.file().filter(|map| !map.private) else { return Ok(0) };
        let pages = map.first.saturating_add(start)..map.first + stop;
        self.shared.call(py, self.waits(), |shared| Ok(shared.machine.sync_file(&map.file, pages)?))
    }

    /// Advice about pages ``start`` to ``stop``, all by default (madvise): ``"cold"``, ``"pageout"``, ``"dontneed"``,
    /// ``"free"`` or ``"willneed"``.
    ///
    /// `KernelError` (EINVAL) for locked memory, (ENOMEM) if not all of it is mapped.
    #[pyo3(signature = (advice, start=0, stop=None))]
    fn madvise(&self, py: Python<'_>, advice: &str, start: u32, stop: Option<u32>) -> PyResult<()> {
        let advice = names::advice(advice)?;
        let pages = start..stop.unwrap_or(self.area.pages());
        self.shared.call(py, self.waits(), |shared| {
            Ok(shared.machine.madvise(&self.space, &self.area, pages, advice)?)
        })
    }

    /// Unmaps pages ``start`` to ``stop``, all by default (munmap). Those that already are, are no error.
    #[pyo3(signature = (start=0, stop=None))]
    fn unmap(&self, py: Python<'_>, start: u32, stop: Option<u32>) -> PyResult<()> {
        let pages = start..stop.unwrap_or(self.area.pages());
        self.shared
            .call(py, self.waits(), |shared| Ok(shared.machine.munmap(&self.space, &self.area, pages)?))
    }

    /// Bytes, mapped or not.
    fn __len__(&self) -> usize {
        self.bytes() as usize
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.select(key)? {
            Bytes::One(at) => {
                let mut byte = [0];
                self.load(py, at, &mut byte)?;
                Ok(byte[0].into_pyobject(py)?.into_any())
            }
            Bytes::Range(start, len) => {
                Ok(PyBytes::new_with(py, len, |into| self.load(py, start, into))?.into_any())
            }
        }
    }

    fn __setitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.select(key)? {
            Bytes::One(at) => self.store(py, at, &[value.extract::<u8>()?]),
            Bytes::Range(start, len) => {
                let from = PyBuffer::<u8>::get(value)?.to_vec(py)?;
                if from.len() != len {
                    let why = format!("{} bytes do not fit a slice of {len}", from.len());
                    return Err(PyValueError::new_err(why));
                }
                self.store(py, start, &from)
            }
        }
    }

    /// Addresses and space, equal for equal ranges of one space.
    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Region>().is_ok_and(|other| Arc::ptr_eq(&self.area, &other.get().area))
    }

    fn __hash__(&self) -> u64 {
        Arc::as_ptr(&self.area).addr() as u64
    }

    fn __repr__(&self) -> String {
        format!("<Region {:#x} pages={} space={}>", self.address(), self.area.pages(), self.space.id)
    }
}

/// A buffer to fill.
fn writable(buffer: &Bound<'_, PyAny>) -> PyResult<PyBuffer<u8>> {
    let buffer = PyBuffer::<u8>::get(buffer)?;
    if buffer.readonly() {
        return Err(PyTypeError::new_err("the buffer cannot be written to"));
    }
    Ok(buffer)
}

/// The living spaces, for `Machine`.
pub(crate) fn all<'py>(py: Python<'py>, shared: &Arc<Shared>) -> PyResult<Bound<'py, PyTuple>> {
    let spaces: PyResult<Vec<_>> =
        AddressSpace::all(shared).into_iter().map(|space| Py::new(py, space)).collect();
    PyTuple::new(py, spaces?)
}
