//! `Region`: a mapped range, its bytes, and the calls of a process about it.

use crate::array;
use crate::bytes::{self, transfer};
use crate::errors::{KernelError, Refusal};
use crate::file::File;
use crate::handles::Pin;
use crate::home::MachineRef;
use crate::names;
use crate::page::Page;
use crate::shared::{Shared, Waits};
use crate::space::{AddressSpace, waits};
use mmcore::audit::Handle;
use mmcore::error::{Errno, Error};
use mmcore::map::{AddressSpace as Space, Area, Entry, Policy};
use mmcore::migrate::MbindFlags;
use mmcore::page::{Flags, PAGE_SIZE};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PySlice;
use pyo3::{PyTraverseError, PyVisit};
use std::ops::Range;
use std::sync::Arc;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Region>()
}

/// A mapped range of addresses, from `AddressSpace.mmap`. Indices and slices count bytes, which are read and
/// written through the page table as the process would. In the methods ``number``, ``start`` and ``stop``
/// count pages.
#[pyclass(frozen, module = "mmcore")]
pub(crate) struct Region {
    pub shared: MachineRef,
    pub space: Arc<Space>,
    pub area: Arc<Area>,
}

/// A choice of bytes.
enum Bytes {
    One(u64),
    Range(u64, usize),
}

impl Region {
    /// The locks that an access may wait for. An access to a page of a file, or to a swapped page, takes the
    /// page's lock.
    fn waits(&self) -> Waits {
        waits(&self.shared, self.area.file().is_some())
    }

    /// The pages from `start` up to `stop`, all by default.
    fn range(&self, start: u32, stop: Option<u32>) -> Range<u32> {
        start..stop.unwrap_or(self.area.pages())
    }

    fn bytes(&self) -> u64 {
        u64::from(self.area.pages()) * PAGE_SIZE as u64
    }

    /// The index of a page; negative numbers count from the end, as in Python.
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

    /// The refusal for an access to `len` bytes from `offset` on that failed. For a poisoned frame it is a
    /// SIGBUS with the address of the first poisoned page among them.
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
        let span = (offset, into.len(), self.bytes());
        transfer(py, &self.shared, self.waits(), span, |shared, at, part| {
            let len = part.len();
            let read = shared.machine.read_bytes(&self.area, at, &mut into[part]);
            read.map_err(|error| self.refused(shared, error, at, len))
        })
    }

    fn store(&self, py: Python<'_>, offset: u64, from: &[u8]) -> PyResult<()> {
        let span = (offset, from.len(), self.bytes());
        transfer(py, &self.shared, self.waits(), span, |shared, at, part| {
            let len = part.len();
            let written = shared.machine.write_bytes(&self.area, at, &from[part]);
            written.map_err(|error| self.refused(shared, error, at, len))
        })
    }
}

#[pymethods]
impl Region {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// The address of the first byte.
    #[getter]
    fn address(&self) -> u64 {
        self.area.address(0)
    }

    /// The size in pages.
    #[getter]
    fn pages(&self) -> u32 {
        self.area.pages()
    }

    /// The address space of the region.
    #[getter]
    fn space(&self, py: Python<'_>) -> AddressSpace {
        AddressSpace { shared: self.shared.share(py), space: Arc::clone(&self.space) }
    }

    /// The mapped file; ``None`` for anonymous memory.
    #[getter]
    fn file(&self, py: Python<'_>) -> Option<File> {
        let file = Arc::clone(&self.area.file()?.file);
        Some(File { shared: self.shared.share(py), file })
    }

    /// The addresses of the pages in bytes, as an array of uint64 and shape (pages,).
    fn addresses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let first = self.area.address(0);
        array::made(py, "uint64", self.area.pages() as usize, |page| first + (page * PAGE_SIZE) as u64)
    }

    /// Returns the `Page` that a page number is mapped to, without a reference to it.
    ///
    /// Args:
    ///     number: the number of the page within the region, from 0.
    ///
    /// Raises:
    ///     IndexError: if the region has no such page.
    ///     KernelError: ENOENT if no frame is mapped there. The first store maps one, and in a file's mapping
    ///         the first load. While a migration moves the page, and while the page is swapped out, no frame
    ///         is mapped.
    #[pyo3(signature = (number=0))]
    fn page(&self, py: Python<'_>, number: i64) -> PyResult<Page> {
        let index = self.index(number)?;
        let pfn =
            self.shared.call(py, Waits::Never, |shared| Ok(shared.machine.page_at(&self.area, index)))?;
        let nothing = || {
            let address = self.area.address(index);
            let why = format!(
                "no frame is mapped at {address:#x}: write to it first, or try again if the page is being migrated"
            );
            KernelError::new_err((Errno::ENOENT.0, why))
        };
        pfn.map(|pfn| Page::new(py, &self.shared, pfn)).ok_or_else(nothing)
    }

    /// Handles one page fault of a load, or of a store.
    ///
    /// Args:
    ///     number: the number of the page within the region, from 0.
    ///     write: true for a store, false for a load.
    ///
    /// Raises:
    ///     KernelError: EFAULT if nothing is mapped there, ENOMEM without a free frame, EIO if the disk or
    ///         the swap space fails.
    ///     SigbusError: EHWPOISON for a bad frame.
    ///     IndexError: if the region has no such page.
    #[pyo3(signature = (number=0, *, write=true))]
    fn fault(&self, py: Python<'_>, number: i64, write: bool) -> PyResult<()> {
        let index = self.index(number)?;
        self.shared.call_again(py, self.waits(), |shared| {
            let fault = shared.machine.fault(&self.area, index, write);
            let offset = u64::from(index) * PAGE_SIZE as u64;
            fault.map_err(|error| self.refused(shared, error, offset, 1))
        })
    }

    /// Pins a page as ``pin_user_pages`` does with FOLL_LONGTERM. The page is faulted in first. In memory for
    /// movable pages only, the page then moves to another node before it is pinned (except under profiles
    /// without ``longterm_moves``).
    ///
    /// Args:
    ///     number: the number of the page within the region, from 0.
    ///     write: true if the holder will write to the page.
    ///
    /// Raises:
    ///     IndexError: if the region has no such page.
    ///     KernelError: EFAULT if nothing is mapped there or the frame is bad; ENOMEM without a frame to
    ///         fault the page in, if the page cannot move to another node, or if its count is at the limit;
    ///         EAGAIN if other threads had the page isolated at each attempt; EIO if the disk or the swap
    ///         space fails; EFAULT or EOPNOTSUPP, by the kernel's version, for a pin for writing of a shared
    ///         mapping of a disk's file.
    #[pyo3(signature = (number=0, *, write=true))]
    fn pin(&self, py: Python<'_>, number: i64, write: bool) -> PyResult<Pin> {
        let index = self.index(number)?;
        let moves = self.shared.machine.nodes().iter().any(|node| node.has_movable_zone());
        let waits = if moves { Waits::ForPageLocks } else { self.waits() };
        let pin = |shared: &Shared| {
            let pfn = shared.machine.pin_longterm(&self.area, index, write)?;
            shared.ledger.add(pfn, Handle::Pin);
            Ok(pfn)
        };
        let undo = |shared: &Shared, pfn| shared.give_back(pfn, Handle::Pin);
        let pfn = self.shared.take_again(py, waits, pin, undo)?;
        Ok(Pin::holding(py, &self.shared, pfn, Handle::Pin))
    }

    /// Fills a buffer with the bytes at byte ``offset``.
    ///
    /// Args:
    ///     buffer: a writable buffer; as many bytes are read as it has.
    ///     offset: the place of the first byte within the region, in bytes.
    ///
    /// Raises:
    ///     KernelError: EFAULT if part of the bytes is outside of the region or unmapped, ENOMEM without a
    ///         frame, EIO if the disk or the swap space fails.
    ///     MemoryError: if the host has no memory for a copy of the bytes.
    ///     SigbusError: if a frame is poisoned.
    ///     TypeError: if the buffer is read-only.
    #[pyo3(signature = (buffer, *, offset=0))]
    fn read_into(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>, offset: u64) -> PyResult<()> {
        let buffer = writable(buffer)?;
        let mut bytes = array::copied(py, &buffer)?;
        self.load(py, offset, &mut bytes)?;
        buffer.copy_from_slice(py, &bytes)
    }

    /// Writes the dirty pages from ``start`` up to ``stop`` of a shared file mapping to disk (msync with
    /// MS_SYNC), all by default. Returns the number of pages written: 0 for other memory.
    ///
    /// Raises:
    ///     KernelError: EIO, once, if dirty data was lost with a failed frame or a failed write; EBADF if the
    ///         file was removed; ENOMEM if part of the range is not mapped.
    #[pyo3(signature = (start=0, stop=None))]
    fn msync(&self, py: Python<'_>, start: u32, stop: Option<u32>) -> PyResult<u32> {
        let pages = self.range(start, stop);
        self.shared.call(py, self.waits(), |shared| Ok(shared.machine.msync(&self.area, pages)?))
    }

    /// Gives advice about the pages from ``start`` up to ``stop`` (madvise), all by default: ``"cold"``,
    /// ``"pageout"``, ``"dontneed"``, ``"free"`` or ``"willneed"``.
    ///
    /// Args:
    ///     advice: the advice.
    ///     start: the number of the first page within the region.
    ///     stop: the number of the page behind the last one; ``None`` for the end of the region.
    ///
    /// Raises:
    ///     KernelError: EINVAL for a range that is empty or beyond the region, for locked memory (except
    ///         ``"willneed"``), and for ``"free"`` of a file's memory; ENOMEM if part of the range is not
    ///         mapped. The parts before the error are done, and those after a hole too.
    ///     ValueError: if there is no such advice.
    #[pyo3(signature = (advice, start=0, stop=None))]
    fn madvise(&self, py: Python<'_>, advice: &str, start: u32, stop: Option<u32>) -> PyResult<()> {
        let advice = names::advice(advice)?;
        let pages = self.range(start, stop);
        self.shared.call(py, self.waits(), |shared| {
            Ok(shared.machine.madvise(&self.space, &self.area, pages, advice)?)
        })
    }

    /// Locks the pages from ``start`` up to ``stop`` into memory (mlock), all by default. Missing pages are
    /// faulted in, and reclaim leaves locked pages alone.
    ///
    /// Raises:
    ///     KernelError: EINVAL for a range that is empty or beyond the region; ENOMEM if part of the range is
    ///         not mapped, or there is no free frame; EFAULT for a poisoned page; EIO if the disk or the swap
    ///         space fails. Pages before the error may be locked.
    #[pyo3(signature = (start=0, stop=None))]
    fn mlock(&self, py: Python<'_>, start: u32, stop: Option<u32>) -> PyResult<()> {
        let pages = self.range(start, stop);
        self.shared
            .call(py, self.waits(), |shared| Ok(shared.machine.mlock(&self.space, &self.area, pages)?))
    }

    /// Unlocks the pages from ``start`` up to ``stop`` (munlock), all by default, so that reclaim can take
    /// them.
    ///
    /// Raises:
    ///     KernelError: EINVAL for a range that is empty or beyond the region; ENOMEM if part of the range is
    ///         not mapped: the pages before the hole are unlocked then.
    #[pyo3(signature = (start=0, stop=None))]
    fn munlock(&self, py: Python<'_>, start: u32, stop: Option<u32>) -> PyResult<()> {
        let pages = self.range(start, stop);
        self.shared
            .call(py, self.waits(), |shared| Ok(shared.machine.munlock(&self.space, &self.area, pages)?))
    }

    /// Sets the node policy of the pages from ``start`` up to ``stop`` (mbind), all by default: ``node``
    /// alone, or with ``preferred`` another node if ``node`` has no free frame.
    ///
    /// Args:
    ///     move: move pages from other nodes to ``node``, if this process alone maps them.
    ///     move_all: move pages that other processes map, too.
    ///     strict: fail if a page stays on another node (without a flag to move, only under profiles with
    ///         ``mbind_strict_checks``).
    ///
    /// Raises:
    ///     KernelError: EIO if ``strict`` is set and a page stays on another node; EINVAL for a node that
    ///         does not exist, or a range that is empty or beyond the region; EFAULT if part of the range is
    ///         not mapped.
    #[pyo3(signature = (
        node, start=0, stop=None, *, preferred=false, r#move=false, move_all=false, strict=false
    ))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn mbind(
        &self,
        py: Python<'_>,
        node: usize,
        start: u32,
        stop: Option<u32>,
        preferred: bool,
        r#move: bool,
        move_all: bool,
        strict: bool,
    ) -> PyResult<()> {
        let policy = if preferred { Policy::Preferred(node) } else { Policy::Bind(node) };
        let flags = MbindFlags { move_own: r#move, move_all, strict };
        let pages = self.range(start, stop);
        self.shared.call(py, Waits::ForPageLocks, |shared| {
            Ok(shared.machine.mbind(&self.space, &self.area, pages, policy, flags)?)
        })
    }

    /// Unmaps the pages from ``start`` up to ``stop`` (munmap), all by default. Pages that are not mapped are
    /// skipped.
    ///
    /// Raises:
    ///     KernelError: EINVAL for a range that is empty or beyond the region.
    #[pyo3(signature = (start=0, stop=None))]
    fn unmap(&self, py: Python<'_>, start: u32, stop: Option<u32>) -> PyResult<()> {
        let pages = self.range(start, stop);
        self.shared
            .call(py, self.waits(), |shared| Ok(shared.machine.munmap(&self.space, &self.area, pages)?))
    }

    /// The size in bytes.
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
                Ok(bytes::filled(py, len, |into| self.load(py, start, into))?.into_any())
            }
        }
    }

    fn __setitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.select(key)? {
            Bytes::One(at) => self.store(py, at, &[value.extract::<u8>()?]),
            Bytes::Range(start, len) => {
                let from = array::copied(py, &PyBuffer::<u8>::get(value)?)?;
                if from.len() != len {
                    let why = format!("{} bytes do not fit a slice of {len}", from.len());
                    return Err(PyValueError::new_err(why));
                }
                self.store(py, start, &from)
            }
        }
    }

    /// Objects are equal if they are of the same mapped range.
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

/// The buffer to fill; refuses a read-only one.
fn writable(buffer: &Bound<'_, PyAny>) -> PyResult<PyBuffer<u8>> {
    let buffer = PyBuffer::<u8>::get(buffer)?;
    if buffer.readonly() {
        return Err(PyTypeError::new_err("the buffer cannot be written to"));
    }
    Ok(buffer)
}
