//! `ZsPool` and `Zram`: compressed content in frames of the machine.

use crate::errors::MisuseError;
use crate::home::MachineRef;
use crate::machine::Machine;
use crate::names;
use crate::page::Page;
use crate::shared::{Shared, Waits};
use crate::space::Size;
use crate::state;
use mmcore::page::Pfn;
use mmcore::zram::{BLOCK, BLOCK_WORDS, Words, Zram as Device};
use mmcore::zsmalloc::{Handle, ZsPool as Pool};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit};
use std::sync::Arc;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ZsPool>()?;
    module.add_class::<Zram>()
}

/// Frees empty zspages that could not be freed at once, because one of their pages was locked. Their objects
/// are gone in any case, so a thread that must not wait for page locks leaves the zspages to a later call.
/// The exception of a signal handler (Ctrl-C) that ends a wait is raised.
fn free_empty(py: Python<'_>, shared: &MachineRef, pool: &Pool) -> PyResult<()> {
    if !pool.has_work() {
        return Ok(());
    }
    let freed = shared.call(py, Waits::ForPageLocks, |shared| {
        pool.free_empty(&shared.machine);
        Ok(())
    });
    freed.or_else(|raised| if raised.is_instance_of::<MisuseError>(py) { Ok(()) } else { Err(raised) })
}

fn compact(py: Python<'_>, shared: &MachineRef, pool: &Pool) -> PyResult<u64> {
    let freed = shared.call(py, Waits::Never, |shared| Ok(pool.compact(&shared.machine)))?;
    free_empty(py, shared, pool)?;
    Ok(freed)
}

fn pages(py: Python<'_>, shared: &MachineRef, pool: &Pool) -> PyResult<Vec<Page>> {
    let all: Vec<Pfn> = shared.call(py, Waits::Never, |_| Ok(pool.all_pages()))?;
    Ok(all.into_iter().map(|pfn| Page::new(py, shared, pfn)).collect())
}

fn zspages<'py>(py: Python<'py>, shared: &Shared, pool: &Pool) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let all = shared.call(py, Waits::Never, |_| Ok(pool.zspages()))?;
    let one = |zspage: mmcore::zsmalloc::ZspageCount| {
        state::named(py, "ZspageCount", (zspage.class, zspage.objects, zspage.pages, zspage.count))
    };
    all.into_iter().map(one).collect()
}

/// A pool of zsmalloc, from `Machine.zsmalloc`: objects smaller than a page, packed into chains of pages that
/// can move. An object is named by a handle, a number that stays the same while the object moves. The handle
/// of a freed object is never valid again.
///
/// A pool that is deleted without objects is closed. A pool with objects stays until the machine is closed,
/// with a `ResourceWarning`.
///
/// All methods can be called from any thread.
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct ZsPool {
    shared: MachineRef,
    pool: Arc<Pool>,
}

impl ZsPool {
    pub fn create(py: Python<'_>, shared: &MachineRef) -> PyResult<ZsPool> {
        let pool = shared.call(py, Waits::Never, |shared| Ok(Pool::new(&shared.machine)?))?;
        Ok(ZsPool { shared: shared.share(py), pool })
    }
}

impl Drop for ZsPool {
    fn drop(&mut self) {
        self.shared.abandon_zs_pool(&self.pool);
    }
}

#[pymethods]
impl ZsPool {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// Stores 1 to 4096 bytes in frames of ``node``, or of another node if that has none (zs_malloc), and
    /// returns the handle of the object.
    ///
    /// Args:
    ///     content: the bytes of the object, 1 to 4096.
    ///     node: the number of the node that gives frames first.
    ///
    /// Raises:
    ///     KernelError: ENOMEM if no frame is free; EINVAL for no bytes, or a closed pool; ENOSPC for too
    ///         many bytes, before 6.8 EINVAL; EBUSY while another thread closes the pool.
    #[pyo3(signature = (content, *, node=0))]
    fn put(&self, py: Python<'_>, content: &[u8], node: usize) -> PyResult<u64> {
        let handle = self.shared.take(
            py,
            Waits::Never,
            |shared| Ok(self.pool.put(&shared.machine, content, node)?),
            // The object of a closed pool is gone already.
            |shared, handle| _ = self.pool.free(&shared.machine, handle),
        )?;
        Ok(handle.0)
    }

    /// Returns the bytes of an object.
    ///
    /// Args:
    ///     handle: the handle of the object, from `put`.
    ///
    /// Raises:
    ///     KernelError: EINVAL if the handle names no object.
    fn get<'py>(&self, py: Python<'py>, handle: u64) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self
            .shared
            .call(py, Waits::Never, |shared| Ok(self.pool.get(&shared.machine, Handle(handle))?))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Frees an object.
    ///
    /// Args:
    ///     handle: the handle of the object, from `put`.
    ///
    /// Raises:
    ///     KernelError: EINVAL if the handle names no object.
    fn free(&self, py: Python<'_>, handle: u64) -> PyResult<()> {
        self.shared
            .call(py, Waits::Never, |shared| Ok(self.pool.free(&shared.machine, Handle(handle))?))?;
        free_empty(py, &self.shared, &self.pool)
    }

    /// Moves objects out of the emptiest zspages of each class into the fullest (zs_compact), and returns the
    /// number of pages of the zspages that became empty; 0 if another thread is compacting the pool.
    fn compact(&self, py: Python<'_>) -> PyResult<u64> {
        compact(py, &self.shared, &self.pool)
    }

    /// The use of the pool, as a `ZsUse`.
    #[getter]
    fn usage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let stats = self.shared.call(py, Waits::Never, |_| Ok(self.pool.stats()))?;
        state::named(py, "ZsUse", (stats.pages, stats.objects, stats.compacted))
    }

    /// The zspages: a `ZspageCount` for each class and number of objects.
    fn zspages<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        zspages(py, &self.shared, &self.pool)
    }

    /// The pages of all zspages at the time of the call. They can be isolated and migrated.
    fn pages(&self, py: Python<'_>) -> PyResult<Vec<Page>> {
        pages(py, &self.shared, &self.pool)
    }

    /// Closes the pool, which must have no object, and makes room for another pool or file. Closing again is
    /// no error. The call waits for page locks of the pool's pages; on kernels up to 5.16 also until no page
    /// of the pool is isolated.
    ///
    /// Raises:
    ///     KernelError: EBUSY if there are objects, or another thread uses the pool.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.call_again(py, Waits::ForPageLocks, |shared| Ok(self.pool.close(&shared.machine)?))
    }

    /// The number of objects.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.shared.call(py, Waits::Never, |_| Ok(self.pool.stats().objects as usize))
    }

    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self) -> String {
        match self.shared.is_closed() {
            true => "<ZsPool closed>".into(),
            false => format!("<ZsPool objects={} pages={}>", self.pool.stats().objects, self.pool.pages()),
        }
    }
}

/// A compressed block device, from `Machine.zram`. A block is a page of 4096 bytes. It is compressed and kept
/// in frames of the machine; a page of one repeated word takes no frame. The device can be the machine's swap
/// space: `Machine.swapon`. A device that is deleted is reset, as soon as it is not the swap space.
///
/// All methods can be called from any thread.
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct Zram {
    shared: MachineRef,
    device: Arc<Device>,
}

impl Zram {
    pub fn create(
        py: Python<'_>,
        shared: &MachineRef,
        size: &Size,
        compressor: &str,
        limit: Option<Size>,
    ) -> PyResult<Zram> {
        let compressor = names::compressor(compressor)?;
        let device = shared.call(py, Waits::Never, |shared| {
            let limit = limit.as_ref().map_or(Ok(0), Size::pages)?;
            let device = Device::new(&shared.machine, size.pages()?, compressor)?;
            device.set_limit(u64::from(limit) * BLOCK as u64);
            Ok(device)
        })?;
        Ok(Zram { shared: shared.share(py), device })
    }

    /// The device, for swapon. Fails if it belongs to another machine.
    pub fn of(&self, shared: &MachineRef) -> PyResult<Arc<Device>> {
        match self.shared.is(shared) {
            true => Ok(Arc::clone(&self.device)),
            false => {
                Err(PyValueError::new_err("the zram device belongs to another machine: make one of this"))
            }
        }
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        self.shared.abandon_zram(&self.device);
    }
}

#[pymethods]
impl Zram {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// Writes a block: 4096 bytes, compressed into frames of ``node``, or of another node if that has none
    /// (zram_write_page). After an error the block has its old content, unless a reset has discarded it.
    ///
    /// Args:
    ///     block: the number of the block within the device, from 0.
    ///     content: the 4096 bytes of the block.
    ///     node: the number of the node that gives frames first.
    ///
    /// Raises:
    ///     KernelError: ENOMEM if no frame is free, or the pool would exceed the limit; EINVAL if the device
    ///         has no such block, or was reset or is being reset; EBUSY while the reset closes the pool;
    ///         ETXTBSY if the device is the swap space.
    ///     ValueError: if there are not 4096 bytes.
    #[pyo3(signature = (block, content, *, node=0))]
    fn write(&self, py: Python<'_>, block: u32, content: &[u8], node: usize) -> PyResult<()> {
        if content.len() != BLOCK {
            let why = format!("a block has {BLOCK} bytes, not {}: write whole blocks", content.len());
            return Err(PyValueError::new_err(why));
        }
        let mut words: Words = [0; BLOCK_WORDS];
        for (word, bytes) in words.iter_mut().zip(content.chunks_exact(size_of::<u64>())) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        self.shared.call(py, Waits::Never, |shared| {
            Ok(self.device.write(&shared.machine, block, &words, node)?)
        })?;
        free_empty(py, &self.shared, self.device.pool())
    }

    /// Returns the 4096 bytes of a block: zeroes if it was never written, or was discarded.
    ///
    /// Args:
    ///     block: the number of the block within the device, from 0.
    ///
    /// Raises:
    ///     KernelError: EINVAL if the device has no such block; EIO if its compressed bytes are damaged.
    fn read<'py>(&self, py: Python<'py>, block: u32) -> PyResult<Bound<'py, PyBytes>> {
        let words = self.shared.call(py, Waits::Never, |shared| {
            let mut words: Words = [0; BLOCK_WORDS];
            self.device.read(&shared.machine, block, &mut words)?;
            Ok(words)
        })?;
        PyBytes::new_with(py, BLOCK, |bytes| {
            bytes.chunks_exact_mut(size_of::<u64>()).zip(words).for_each(|(to, word)| {
                to.copy_from_slice(&word.to_le_bytes());
            });
            Ok(())
        })
    }

    /// Discards the content of a block.
    ///
    /// Args:
    ///     block: the number of the block within the device, from 0.
    ///
    /// Raises:
    ///     KernelError: EINVAL if the device has no such block; EBUSY if the device is the swap space.
    fn discard(&self, py: Python<'_>, block: u32) -> PyResult<()> {
        self.shared.call(py, Waits::Never, |shared| Ok(self.device.discard(&shared.machine, block)?))?;
        free_empty(py, &self.shared, self.device.pool())
    }

    /// Compacts the pool of the device, as `ZsPool.compact` does, and returns the same number.
    fn compact(&self, py: Python<'_>) -> PyResult<u64> {
        compact(py, &self.shared, self.device.pool())
    }

    /// The counters of the kernel's file mm_stat, as a `ZramUse`.
    #[getter]
    fn mm_stat<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let stat = self.shared.call(py, Waits::Never, |_| Ok(self.device.mm_stat()))?;
        let sizes = (stat.orig, stat.compr, stat.used, stat.limit, stat.used_max);
        let (orig, compr, used, limit, used_max) = sizes;
        let counts = (orig, compr, used, limit, used_max, stat.same, stat.compacted, stat.huge);
        state::named(py, "ZramUse", counts)
    }

    /// The zspages of the device's pool: a `ZspageCount` for each class and number of objects.
    fn zspages<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        zspages(py, &self.shared, self.device.pool())
    }

    /// The pages of all zspages at the time of the call. They can be isolated and migrated.
    fn pages(&self, py: Python<'_>) -> PyResult<Vec<Page>> {
        pages(py, &self.shared, self.device.pool())
    }

    /// Discards all blocks and closes the device, which must not be the swap space. Resetting again is no
    /// error. Waits as `ZsPool.close` does.
    ///
    /// Raises:
    ///     KernelError: EBUSY if the device is the swap space or another thread resets it, with nothing
    ///         changed; EBUSY if another thread uses it, when some or all blocks are discarded.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.call_again(py, Waits::ForPageLocks, |shared| Ok(self.device.reset(&shared.machine)?))
    }

    /// The number of blocks.
    fn __len__(&self) -> usize {
        self.device.blocks() as usize
    }

    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self) -> String {
        match self.shared.is_closed() {
            true => "<Zram closed>".into(),
            false => format!("<Zram blocks={} pages={}>", self.device.blocks(), self.device.pool().pages()),
        }
    }
}

#[derive(FromPyObject)]
enum SwapSpace<'py> {
    Zram(Bound<'py, Zram>),
    Size(Size),
}

#[pymethods]
impl Machine {
    /// Creates a pool of zsmalloc: objects smaller than a page, in chains of pages that can move.
    ///
    /// Raises:
    ///     KernelError: ENOMEM if the machine has no room for another pool, file or mapping.
    fn zsmalloc(&self, py: Python<'_>) -> PyResult<ZsPool> {
        ZsPool::create(py, &self.0)
    }

    /// Creates a compressed block device of ``size`` (``"1MiB"`` or bytes, rounded up to whole pages), whose
    /// pool may have ``limit`` bytes of the machine's frames (rounded up to whole pages; without a limit by
    /// default). ``compressor`` is ``"lz4"``, by which each page takes as many bytes as in the kernel, or
    /// ``"lz4_flex"``.
    ///
    /// Raises:
    ///     KernelError: EINVAL for a size of 0 or above 1 TiB, for a text that is no size, or on a machine
    ///         that is not backed; ENOMEM if the machine has no room for another pool.
    ///     MemoryError: if the host has no memory for the table of blocks.
    ///     ValueError: if there is no such compressor.
    #[pyo3(signature = (size, *, compressor="lz4", limit=None))]
    fn zram(&self, py: Python<'_>, size: Size, compressor: &str, limit: Option<Size>) -> PyResult<Zram> {
        Zram::create(py, &self.0, &size, compressor, limit)
    }

    /// Makes a swap space of ``size`` (``"1MiB"`` or bytes, rounded up to whole pages), or of a `Zram`
    /// device. Reclaim writes anonymous pages and pages of memory files to it; faults read them back. A
    /// device compresses the pages into frames of the machine itself.
    ///
    /// Raises:
    ///     KernelError: EBUSY if there is a swap space already; EINVAL for a size of 0 or of 1 TiB and more,
    ///         a text that is no size, or a device that was reset.
    ///     MemoryError: if the host has no memory for the swap space.
    ///     ValueError: if the device belongs to another machine.
    fn swapon(&self, py: Python<'_>, size: SwapSpace<'_>) -> PyResult<()> {
        let size = match size {
            SwapSpace::Size(size) => size,
            SwapSpace::Zram(zram) => {
                let device = zram.get().of(&self.0)?;
                return self.0.call(py, Waits::Never, |shared| Ok(shared.machine.swapon_zram(&device)?));
            }
        };
        self.0.call(py, Waits::Never, |shared| {
            let pages = size.pages()?;
            Ok(shared.machine.swapon(pages)?)
        })
    }
}
