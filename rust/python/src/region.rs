//! `Region`: a mapped range, its bytes, and what a process says of it.

use crate::array;
use crate::bytes::transfer;
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
use pyo3::types::{PyBytes, PySlice};
use pyo3::{PyTraverseError, PyVisit};
use std::ops::Range;
use std::sync::Arc;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Region>()
}

/// A mapped range, from `AddressSpace.mmap`. Slices read and write its bytes through the page table, as the
/// process would; whole numbers in other methods count pages.
#[pyclass(frozen, module = "mmcore")]
pub(crate) struct Region {
    pub shared: MachineRef,
    pub space: Arc<Space>,
    pub area: Arc<Area>,
}

/// Which bytes.
enum Bytes {
    One(u64),
    Range(u64, usize),
}

impl Region {
    /// For what an access may have to wait: a file's page, and one that comes from swap, is looked at under its
    /// lock.
    fn waits(&self) -> Waits {
        waits(&self.shared, self.area.file().is_some())
    }

    /// Pages `start` to `stop`, all by default.
    fn range(&self, start: u32, stop: Option<u32>) -> Range<u32> {
        start..stop.unwrap_or(self.area.pages())
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
    fn space(&self, py: Python<'_>) -> AddressSpace {
        AddressSpace { shared: self.shared.share(py), space: Arc::clone(&self.space) }
    }

    /// The file that it maps; ``None`` for anonymous memory.
    #[getter]
    fn file(&self, py: Python<'_>) -> Option<File> {
        let file = Arc::clone(&self.area.file()?.file);
        Some(File { shared: self.shared.share(py), file })
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
        pfn.map(|pfn| Page::new(py, &self.shared, pfn)).ok_or_else(nothing)
    }

    /// One page fault of a load, or of a store.
    #[pyo3(signature = (number=0, *, write=true))]
    fn fault(&self, py: Python<'_>, number: i64, write: bool) -> PyResult<()> {
        let index = self.index(number)?;
        self.shared.call_again(py, self.waits(), |shared| {
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
        let pfn = self.shared.call_again(py, waits, |shared| {
            let pfn = shared.machine.pin_longterm(&self.area, index, write)?;
            shared.ledger.add(pfn, Handle::Pin);
            Ok(pfn)
        })?;
        Ok(Pin::holding(py, &self.shared, pfn, Handle::Pin))
    }

    /// Fills a buffer with the bytes from ``offset`` on.
    #[pyo3(signature = (buffer, *, offset=0))]
    fn read_into(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>, offset: u64) -> PyResult<()> {
        let buffer = writable(buffer)?;
        let mut bytes = array::copied(py, &buffer)?;
        self.load(py, offset, &mut bytes)?;
        buffer.copy_from_slice(py, &bytes)
    }

    /// Writes the dirty pages of a shared mapping of a file to disk, ``start`` to ``stop``, all by default (msync with
    /// MS_SYNC), and says how many those were.
    ///
    /// `KernelError` (EIO), once, if dirty data was lost with a bad frame, (ENOMEM) if not all of it is mapped.
    #[pyo3(signature = (start=0, stop=None))]
    fn msync(&self, py: Python<'_>, start: u32, stop: Option<u32>) -> PyResult<u32> {
        let pages = self.range(start, stop);
        self.shared.call(py, self.waits(), |shared| Ok(shared.machine.msync(&self.area, pages)?))
    }

    /// Advice about pages ``start`` to ``stop``, all by default (madvise): ``"cold"``, ``"pageout"``, ``"dontneed"``,
    /// ``"free"`` or ``"willneed"``.
    ///
    /// `KernelError` (EINVAL) for locked memory, (ENOMEM) if not all of it is mapped.
    #[pyo3(signature = (advice, start=0, stop=None))]
    fn madvise(&self, py: Python<'_>, advice: &str, start: u32, stop: Option<u32>) -> PyResult<()> {
        let advice = names::advice(advice)?;
        let pages = self.range(start, stop);
        self.shared.call(py, self.waits(), |shared| {
            Ok(shared.machine.madvise(&self.space, &self.area, pages, advice)?)
        })
    }

    /// Locks pages ``start`` to ``stop`` into memory, all by default (mlock): faults in what is missing, and keeps it from
    /// reclaim.
    ///
    /// `KernelError` (ENOMEM) if not all of it is mapped, or there is no frame.
    #[pyo3(signature = (start=0, stop=None))]
    fn mlock(&self, py: Python<'_>, start: u32, stop: Option<u32>) -> PyResult<()> {
        let pages = self.range(start, stop);
        self.shared
            .call(py, self.waits(), |shared| Ok(shared.machine.mlock(&self.space, &self.area, pages)?))
    }

    /// Ends that (munlock).
    #[pyo3(signature = (start=0, stop=None))]
    fn munlock(&self, py: Python<'_>, start: u32, stop: Option<u32>) -> PyResult<()> {
        let pages = self.range(start, stop);
        self.shared
            .call(py, self.waits(), |shared| Ok(shared.machine.munlock(&self.space, &self.area, pages)?))
    }

    /// Says where pages ``start`` to ``stop`` are to be, all by default (mbind): on ``node`` alone, or with ``preferred`` there
    /// if it has frames.
    ///
    /// Args:
    ///     move: take pages there that are elsewhere, if this process alone maps them.
    ///     move_all: take all of them there.
    ///     strict: fail if a page is elsewhere and stays so.
    ///
    /// `KernelError` (EIO) for that, (EINVAL) for a node that does not exist, (EFAULT) if not all of it is mapped.
    #[pyo3(signature = (node, start=0, stop=None, *, preferred=false, r#move=false, move_all=false, strict=false))]
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

    /// Unmaps pages ``start`` to ``stop``, all by default (munmap). Those that already are, are no error.
    #[pyo3(signature = (start=0, stop=None))]
    fn unmap(&self, py: Python<'_>, start: u32, stop: Option<u32>) -> PyResult<()> {
        let pages = self.range(start, stop);
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
                let from = array::copied(py, &PyBuffer::<u8>::get(value)?)?;
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
