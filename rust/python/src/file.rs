//! `File`: a file with a page cache.

use crate::array;
use crate::bytes::{self, transfer};
use crate::errors::{Refusal, misuse};
use crate::handles::Writeback;
use crate::home::MachineRef;
use crate::names;
use crate::page::Page;
use crate::shared::{OpenWrite, Shared, Waits};
use crate::space::Size;
use crate::state;
use mmcore::audit::Handle;
use mmcore::error::{Errno, Error};
use mmcore::map::{Evicted, File as CoreFile};
use mmcore::page::PAGE_SIZE;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use std::ops::Range;
use std::sync::Arc;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<File>()
}

/// A file with a page cache, from `Machine.file`. Python references do not keep it alive: it ends when it has
/// been removed (`remove`) and no region maps it, or when the machine is closed.
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct File {
    pub shared: MachineRef,
    pub file: Arc<CoreFile>,
}

impl File {
    pub fn create(py: Python<'_>, shared: &MachineRef, size: Size, kind: &str) -> PyResult<File> {
        let kind = names::file_kind(kind)?;
        let file = shared.call(py, Waits::Never, |shared| {
            let pages = size.pages()?;
            Ok(shared.machine.file(kind, pages)?)
        })?;
        Ok(File { shared: shared.share(py), file })
    }

    /// Returns all files of a machine that have not ended.
    pub fn all<'py>(py: Python<'py>, shared: &MachineRef) -> PyResult<Bound<'py, PyTuple>> {
        let files = shared.call(py, Waits::Never, |shared| Ok(shared.machine.files()))?;
        let files: PyResult<Vec<_>> =
            files.into_iter().map(|file| Py::new(py, File { shared: shared.share(py), file })).collect();
        PyTuple::new(py, files?)
    }

    /// Returns the index of a page; negative numbers count from the end, as in Python.
    fn index(&self, number: i64) -> PyResult<u32> {
        let pages = i64::from(self.file.pages());
        let index = if number < 0 { number.saturating_add(pages) } else { number };
        if (0..pages).contains(&index) {
            return Ok(index as u32);
        }
        Err(PyIndexError::new_err(format!("no page {number}: the file has {pages}")))
    }

    fn range(&self, start: u32, stop: Option<u32>) -> Range<u32> {
        start..stop.unwrap_or(self.file.capacity())
    }

    /// Runs a read or a write that takes frames of `node`, if it has some, for pages that are not cached.
    fn transfer(
        &self,
        py: Python<'_>,
        node: usize,
        (offset, len): (u64, usize),
        mut work: impl FnMut(&Shared, u64, Range<usize>) -> Result<(), Error> + Send,
    ) -> PyResult<()> {
        let size = u64::from(self.file.pages()) * PAGE_SIZE as u64;
        transfer(py, &self.shared, Waits::ForPageLocks, (offset, len, size), |shared, at, part| {
            let nodes = shared.machine.nodes().len();
            if node >= nodes {
                return Err(Error::new(Errno::EINVAL, format!("no node {node}")).into());
            }
            Ok(work(shared, at, part)?)
        })
    }
}

#[pymethods]
impl File {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// The file's backing: ``"disk"``, ``"tmpfs"`` or ``"shm"``.
    #[getter]
    fn kind(&self) -> &'static str {
        names::of_file_kind(self.file.kind)
    }

    /// The size in pages.
    #[getter]
    fn pages(&self) -> u32 {
        self.file.pages()
    }

    /// True if `remove` has been called.
    #[getter]
    fn removed(&self) -> bool {
        self.file.is_removed()
    }

    /// The number of the file's pages that are in the page cache.
    #[getter]
    fn cached(&self, py: Python<'_>) -> PyResult<u32> {
        self.shared.call(py, Waits::Never, |_| Ok(self.file.cached()))
    }

    /// Returns the `Page` of a cached page, without a reference to it; ``None`` if the page is not cached.
    ///
    /// Args:
    ///     number: the number of the page within the file, from 0; negative numbers count from the end.
    ///
    /// Raises:
    ///     IndexError: if the file has no such page.
    #[pyo3(signature = (number=0))]
    fn page(&self, py: Python<'_>, number: i64) -> PyResult<Option<Page>> {
        let index = self.index(number)?;
        let pfn = self.shared.call(py, Waits::Never, |_| Ok(self.file.cached_page(index)))?;
        Ok(pfn.map(|pfn| Page::new(py, &self.shared, pfn)))
    }

    /// Reads ``size`` bytes at byte ``offset``, as ``pread(2)``. Pages that are not cached are read into
    /// frames of ``node``, or of another node if that has none. A page that a file without a disk never had
    /// reads as zeroes, and takes no frame.
    ///
    /// Raises:
    ///     KernelError: EFAULT beyond the end, EINVAL for a node that does not exist, ENOMEM without a free
    ///         frame, EBADF for a removed file, EIO for a bad frame of a file without a disk or if the disk
    ///         or the swap space fails.
    ///     MemoryError: if the host has no memory for the bytes.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    #[pyo3(signature = (size, *, offset=0, node=0))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        size: usize,
        offset: u64,
        node: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let end = offset.checked_add(size as u64);
        if end.is_none_or(|end| end > u64::from(self.file.pages()) * PAGE_SIZE as u64) {
            // The end is checked before the buffer for the result is allocated: `size` may be more
            // than the host's memory.
            let all = u64::from(self.file.pages()) * PAGE_SIZE as u64;
            let why = format!("the file has {all} bytes: {size} bytes at offset {offset} end beyond them");
            return Err(crate::errors::KernelError::new_err((Errno::EFAULT.0, why)));
        }
        bytes::filled(py, size, |into| {
            self.transfer(py, node, (offset, size), |shared, at, part| {
                shared.machine.file_read(&self.file, at, &mut into[part], node)
            })
        })
    }

    /// Writes bytes at byte ``offset``, as ``pwrite(2)``. If a page fails, the pages before it are written.
    ///
    /// Args:
    ///     data: the bytes to write.
    ///     offset: the place of the first byte within the file, in bytes.
    ///     node: the number of the node that is tried first for missing pages.
    ///
    /// Raises:
    ///     KernelError: EFAULT beyond the end, EINVAL for a node that does not exist, ENOMEM without a free
    ///         frame, EBADF for a removed file, EIO for a bad frame of a file without a disk or if the disk
    ///         or the swap space fails.
    ///     MemoryError: if the host has no memory for a copy of the bytes.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    #[pyo3(signature = (data, *, offset=0, node=0))]
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>, offset: u64, node: usize) -> PyResult<()> {
        let data = array::copied(py, &PyBuffer::<u8>::get(data)?)?;
        self.transfer(py, node, (offset, data.len()), |shared, at, part| {
            shared.machine.file_write(&self.file, at, &data[part], node)
        })
    }

    /// Writes the dirty pages from ``start`` up to ``stop``, numbers of pages, to disk (fsync); all by
    /// default. Returns the number of pages written: 0 for a file without a disk.
    ///
    /// Raises:
    ///     KernelError: EBADF for a removed file; EIO, once, if dirty data was lost with a bad frame or a
    ///         failed write. The other pages are written all the same.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    #[pyo3(signature = (start=0, stop=None))]
    fn sync(&self, py: Python<'_>, start: u32, stop: Option<u32>) -> PyResult<u32> {
        let pages = self.range(start, stop);
        self.shared.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.sync_file(&self.file, pages)?))
    }

    /// Begins to write a page to disk; returns ``None`` if the page is not cached or not dirty, or if the
    /// file has no disk. The device reads the frame until the returned `Writeback` is ended. Until then no
    /// migration moves the page: one in ``sync`` mode waits for the end of the write, any other fails.
    ///
    /// Args:
    ///     number: the number of the page within the file, from 0; negative numbers count from the end.
    ///
    /// Raises:
    ///     IndexError: if the file has no such page.
    ///     KernelError: EBADF for a removed file.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    #[pyo3(signature = (number=0))]
    fn begin_writeback(&self, py: Python<'_>, number: i64) -> PyResult<Option<Writeback>> {
        let index = self.index(number)?;
        let begin = |shared: &Shared| {
            let write = shared.machine.begin_writeback(&self.file, index)?;
            write.map(|write| shared.record_write(OpenWrite::new(&self.file, write))).transpose()
        };
        let written = self.shared.take(py, Waits::ForPageLocks, begin, |shared, written| {
            if let Some(pfn) = written {
                shared.give_back(pfn, Handle::Writeback);
            }
        })?;
        Ok(written.map(|pfn| Writeback::holding(py, &self.shared, pfn, Handle::Writeback)))
    }

    /// Evicts clean, unused pages from ``start`` up to ``stop``, numbers of pages, from the page cache
    /// (invalidate_mapping_pages); all by default. Returns the numbers of pages evicted and kept, as
    /// `Evicted`.
    ///
    /// Raises:
    ///     KernelError: EBADF for a removed file.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    #[pyo3(signature = (start=0, stop=None))]
    fn evict<'py>(&self, py: Python<'py>, start: u32, stop: Option<u32>) -> PyResult<Bound<'py, PyAny>> {
        let pages = self.range(start, stop);
        let Evicted { evicted, kept } = self
            .shared
            .call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.evict_file(&self.file, pages)?))?;
        state::named(py, "Evicted", (evicted, kept))
    }

    /// Shortens the file to ``pages`` pages (truncate_pagecache). Pages beyond the new end are dropped; they,
    /// and private copies of them, are unmapped from all processes. If a signal handler ends the call, the
    /// file may be longer than ``pages`` still.
    ///
    /// Raises:
    ///     KernelError: EINVAL for more pages than the file has, EBADF for a removed file.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    fn truncate(&self, py: Python<'_>, pages: u32) -> PyResult<()> {
        self.shared
            .call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.truncate_file(&self.file, pages)?))
    }

    /// Removes the file. The file ends, with all its pages, when no region maps it any more. Removing it
    /// again is no error.
    ///
    /// Raises:
    ///     MisuseError: while a write of one of its pages to disk has begun and not ended; if this thread
    ///         holds a page lock or has begun a write to disk, or is inside of a callback.
    fn remove(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.call(py, Waits::ForPageLocks, |shared| {
            // A write keeps the file from ending. If the file were removed during a write, the end of the
            // write could be the file's last use, and end it. The end of a file waits for page locks, which
            // the call that ends a write must not do.
            if shared.is_written(&self.file) {
                return Err(Refusal::Misuse(
                    "a write of this file's pages to disk has begun: end it first".into(),
                ));
            }
            shared.machine.remove_file(&self.file);
            Ok(())
        })
    }

    /// The size in bytes.
    fn __len__(&self) -> usize {
        self.file.pages() as usize * PAGE_SIZE
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<File>().is_ok_and(|other| Arc::ptr_eq(&self.file, &other.get().file))
    }

    fn __hash__(&self) -> u64 {
        Arc::as_ptr(&self.file).addr() as u64
    }

    fn __repr__(&self) -> String {
        let removed = if self.file.is_removed() { " removed" } else { "" };
        format!("<File {} pages={}{removed}>", self.kind(), self.file.pages())
    }
}

impl File {
    /// Returns the core's file; refuses a file that belongs to another machine.
    pub fn of(&self, shared: &MachineRef) -> PyResult<&Arc<CoreFile>> {
        match self.shared.is(shared) {
            true => Ok(&self.file),
            false => Err(misuse("this file belongs to another machine")),
        }
    }
}
