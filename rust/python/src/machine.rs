//! `Machine`.

use crate::array;
use crate::cpu::CpuBinding;
use crate::errors::{not_built, type_error};
use crate::events::Tracing;
use crate::file::File;
use crate::handles::PageRef;
use crate::home::MachineRef;
use crate::hotplug;
use crate::inject::Fault;
use crate::migrate;
use crate::names;
use crate::node::{Node, NodeSize, NodeSizes};
use crate::page::Page;
use crate::pool::PagePool;
use crate::profile::Profile;
use crate::shared::Waits;
use crate::space::{self, AddressSpace, Size};
use crate::state;
use mmcore::audit::Handle;
use mmcore::error::{Errno, Error, Result as CoreResult};
use mmcore::machine::{Config, NodeConfig};
use mmcore::map::{Evicted, SwapUse};
use mmcore::memory::room;
use mmcore::page::Pfn;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Machine>()
}

/// A simulated machine: nodes, CPUs, page records and counters. As a context manager it is closed at the end
/// of the block.
///
/// Args:
///     nodes: the size of each node, fastest first: ``"64MiB"``, ``"1GiB:250ns"`` with a modelled latency, or
///         a number of bytes; or all sizes in one text, ``"64MiB,1GiB:250ns"``. Left out: two nodes of
///         64 MiB.
///     movable: numbers of the nodes that hold movable pages only, like memory that will be unplugged. A
///         long-term pin first moves its page off such a node, except under the profiles 4.5 and 4.8
///         (profile field ``longterm_moves``).
///     offline: numbers of the nodes whose memory blocks all begin offline, like a plugged memory module.
///     block: the size of a memory block, the unit of `Machine.offline` and `Machine.online`: ``"128MiB"``,
///         the default, or a number of bytes. A block is a whole number of pageblocks.
///     cpus: the number of CPUs. Each has its own LRU batches and free frames.
///     backed: ``True`` gives every page its 4,096 bytes; ``False`` models page records alone, so that large
///         machines fit in the host's memory.
///     pressure: ``True`` for memory pressure: nodes have watermarks, and an allocation that finds too few
///         free frames reclaims and compacts before it fails. ``False``: it fails at once.
///     kernel: the preset of the profile, one of `Profile.PRESETS`; 6.12 by default.
///     profile: a whole profile instead of a preset, or a mapping of fields that replace those of the preset.
///     fields: profile fields by name, which replace those of the preset: ``release="packed"``,
///         ``pagevec=15``.
///
/// Raises:
///     InputError: for a size, number or field that no machine can have; the message says what to change.
///     MemoryError: if the host has no memory for the machine.
///     TypeError: if ``kernel`` is given together with a whole `Profile`, or if an argument or the value of a
///         field is of another type.
#[pyclass(frozen, module = "mmcore")]
pub(crate) struct Machine(pub MachineRef);

#[pymethods]
impl Machine {
    #[new]
    #[pyo3(signature = (
        *, nodes=None, movable=vec![], offline=vec![], block=None, cpus=2, backed=true, pressure=false,
        kernel=None, profile=None, **fields
    ))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        py: Python<'_>,
        nodes: Option<NodeSizes>,
        movable: Vec<usize>,
        offline: Vec<usize>,
        block: Option<Size>,
        cpus: usize,
        backed: bool,
        pressure: bool,
        kernel: Option<&str>,
        profile: Option<&Bound<'_, PyAny>>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Machine> {
        let choices = Profile::chosen(kernel, profile)?;
        let profile = Profile::with_fields(choices, fields)?;
        let nodes = match nodes {
            Some(nodes) => {
                nodes.0.iter().map(NodeSize::config).collect::<CoreResult<_>>().map_err(not_built)?
            }
            None => vec![NodeConfig::of_bytes(64 << 20).map_err(not_built)?; 2],
        };
        let block = hotplug::block_frames(block.as_ref())?;
        let config =
            Config { nodes, movable, offline, block, cpus, backed, pressure, profile, ..Config::new(1, 1) };
        let machine = py.detach(|| mmcore::machine::Machine::new(&config)).map_err(not_built)?;
        Ok(Machine(MachineRef::new(py, machine)?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.visit(&visit)
    }

    /// Refuses further calls, gives back the page locks that handles hold, ends the writes to disk that have
    /// begun, and stops the daemons. Inside of a callback the call does not wait until the daemons have
    /// ended. The memory is freed when no Python object of the machine, such as a page or a buffer, is left.
    /// Closing again is no error.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.0.close(py)
    }

    /// True if the machine is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.0.is_closed()
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().0.alive()?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.0.close(py)
    }

    /// The profile that the machine was built with.
    #[getter]
    fn profile(&self) -> Profile {
        Profile(self.0.machine.profile().clone())
    }

    /// The machine's nodes, in order of their numbers.
    #[getter]
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let nodes = self.0.machine.nodes().len();
        let node = |number| Py::new(py, Node::new(self.0.share(py), number));
        PyTuple::new(py, (0..nodes).map(node).collect::<PyResult<Vec<_>>>()?)
    }

    /// The number of CPUs.
    #[getter]
    fn cpus(&self) -> usize {
        self.0.machine.cpu_count()
    }

    /// True if pages have bytes (``backed=True``).
    #[getter]
    fn backed(&self) -> bool {
        self.0.machine.memory().is_backed()
    }

    /// Returns a context manager that binds the thread which enters it to a CPU, until the end of the
    /// ``with`` block. Threads that are not bound get CPUs in the order of their first calls.
    ///
    /// Args:
    ///     number: the number of the CPU, from 0.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such CPU.
    fn cpu(&self, py: Python<'_>, number: usize) -> PyResult<CpuBinding> {
        if number >= self.cpus() {
            let why = format!("no CPU {number}: this machine has {}", self.cpus());
            return Err(crate::errors::KernelError::new_err((Errno::EINVAL.0, why)));
        }
        Ok(CpuBinding::new(self.0.share(py), number))
    }

    /// The page with this frame number.
    ///
    /// Args:
    ///     pfn: the frame number of the page, from 0.
    ///
    /// Raises:
    ///     KernelError: EINVAL if the machine has no such frame.
    fn page(&self, py: Python<'_>, pfn: u32) -> PyResult<Page> {
        self.0.call(py, Waits::Never, |shared| {
            shared.machine.page(Pfn(pfn)).map(|_| ())?;
            Ok(())
        })?;
        Ok(Page::new(py, &self.0, Pfn(pfn)))
    }

    /// Allocates 2**order contiguous pages and returns the first reference to them. On a machine with memory
    /// pressure, reclaim and compaction may make room for them first.
    ///
    /// Args:
    ///     node: the number of the node that gives the frames.
    ///     order: the number of pages, as a power of two: 0 for one page, 10 at most.
    ///
    /// Raises:
    ///     KernelError: ENOMEM if the node has no such free block, EINVAL if there is no such node or order.
    #[pyo3(signature = (*, node=0, order=0))]
    fn alloc(&self, py: Python<'_>, node: usize, order: u8) -> PyResult<PageRef> {
        let pfn = self.0.take(
            py,
            Waits::Never,
            |shared| Ok(shared.machine.hold_new(&shared.ledger, node, order)?),
            |shared, pfn| shared.give_back(pfn, Handle::Ref),
        )?;
        Ok(PageRef::holding(py, &self.0, pfn, Handle::Ref))
    }

    /// Migrates a list of pages (migrate_pages() in the kernel) and returns a `Migrated`. The list holds
    /// `Isolated` tokens, or pages (`Page` or frame number) that the call isolates itself. All tokens are
    /// spent, even if their pages could not move.
    ///
    /// Args:
    ///     pages: the tokens and pages to move.
    ///     get_new_page: called with the old `Page` before each attempt to move it. Returns a node, a fresh
    ///         reference from `alloc`, or ``None``, which ends the migration with ENOMEM, except for a large
    ///         page that can be split: its parts are tried then. The migration may hold the locks of other
    ///         pages during the call, so calls that could wait for a page are refused inside of it.
    ///     node: the node that all pages move to, instead of ``get_new_page``.
    ///     mode: the waits that the migration may make, as ``enum migrate_mode``.
    ///     reason: the reason that the tracepoint shows, as ``enum migrate_reason``.
    ///
    /// After an exception of ``get_new_page`` the migration goes on as after ``None``, without further calls
    /// of it. The pages that did not move are put back, then the exception is raised here.
    ///
    /// Raises:
    ///     KernelError: EINVAL for a node or a frame number that does not exist.
    ///     MisuseError: if a token was given back already or is twice in the list, a page belongs to another
    ///         machine, or the reference from ``get_new_page`` is not that of a fresh page of the same order.
    ///     TypeError: for neither or both of ``get_new_page`` and ``node``, or for an item of the list or an
    ///         answer of ``get_new_page`` that is of another type.
    ///     ValueError: if there is no such mode or reason.
    #[pyo3(signature = (pages, get_new_page=None, *, node=None, mode="sync", reason="syscall"))]
    fn migrate_pages<'py>(
        &self,
        py: Python<'py>,
        pages: &Bound<'py, PyAny>,
        get_new_page: Option<Py<PyAny>>,
        node: Option<usize>,
        mode: &str,
        reason: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (mode, reason) = (names::mode(mode)?, names::reason(reason)?);
        let target = match (get_new_page, node) {
            (Some(callable), None) if callable.bind(py).is_callable() => migrate::To::Callable(callable),
            (Some(_), None) => return Err(type_error("get_new_page is called with a page: give a callable")),
            (None, Some(node)) => migrate::To::Node(node),
            _ => return Err(type_error("give get_new_page or node, one of them")),
        };
        migrate::migrate_pages(py, &self.0, pages, target, mode, reason)
    }

    /// Reclaims a list of isolated pages, whatever their recent use (shrink_folio_list), and returns a
    /// `Reclaimed`: the numbers of pages demoted and freed. The list holds `Isolated` tokens, which are
    /// spent, or pages (`Page` or frame number) that the call isolates itself; a page that it cannot isolate
    /// is left out. With ``demote_to`` pages are first demoted to that node, as long as it has free frames.
    /// Pages that were neither demoted nor freed are put back.
    ///
    /// Args:
    ///     pages: the tokens, pages and frame numbers.
    ///     demote_to: the number of the node that takes demoted pages; ``None`` for no demotion.
    ///
    /// Raises:
    ///     KernelError: EINVAL for a node or a frame number that does not exist.
    ///     MisuseError: if a token was spent or is twice in the list, a page belongs to another machine, or a
    ///         token is that of a movable page, whose content belongs to its owner.
    ///     TypeError: for an item of the list that is of another type.
    #[pyo3(signature = (pages, *, demote_to=None))]
    fn reclaim_pages<'py>(
        &self,
        py: Python<'py>,
        pages: &Bound<'py, PyAny>,
        demote_to: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        migrate::reclaim_pages(py, &self.0, pages, demote_to)
    }

    /// Creates an empty address space.
    ///
    /// Raises:
    ///     KernelError: EAGAIN if all numbers of address spaces are used up.
    fn address_space(&self, py: Python<'_>) -> PyResult<AddressSpace> {
        AddressSpace::create(py, &self.0)
    }

    /// Creates a pool of movable pages. ``ops`` is the pages' owner: an object with the methods of
    /// `MovableOps`, which a migration calls to isolate a page, move it and put it back. Without ``ops`` the
    /// pages may move at any time.
    ///
    /// Raises:
    ///     KernelError: ENOMEM if the machine has as many pools, files and mappings as it can have.
    #[pyo3(signature = (*, ops=None))]
    fn page_pool(&self, py: Python<'_>, ops: Option<Py<PyAny>>) -> PyResult<PagePool> {
        PagePool::create(py, &self.0, ops)
    }

    /// Creates a file of ``size`` (``"64KiB"`` or bytes, rounded up to whole pages), filled with zeroes, with
    /// no page cached. ``kind`` is its backing: ``"disk"``, ``"tmpfs"`` or ``"shm"`` (shared anonymous
    /// memory).
    ///
    /// Raises:
    ///     KernelError: EINVAL for an empty file or a text that is no size, EFBIG for more than 64 GiB,
    ///         ENOMEM for 16 TiB or more, or if the machine has as many pools, files and mappings as it can
    ///         have.
    ///     MemoryError: if the host has no memory for the file.
    ///     ValueError: if there is no such kind.
    #[pyo3(signature = (size, *, kind="disk"))]
    fn file(&self, py: Python<'_>, size: Size, kind: &str) -> PyResult<File> {
        File::create(py, &self.0, size, kind)
    }

    /// The files of the machine. A removed file is among them while a region still maps it.
    #[getter]
    fn files<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        File::all(py, &self.0)
    }

    /// Writes every dirty page of every file to disk (sync) and returns the number of pages written.
    fn sync(&self, py: Python<'_>) -> PyResult<u32> {
        self.0.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.sync_all()))
    }

    /// Evicts the clean, unused pages of all files from the page cache (drop_caches). Returns the numbers of
    /// pages evicted and kept, as `Evicted`.
    fn drop_caches<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Evicted { evicted, kept } =
            self.0.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.drop_caches()))?;
        state::named(py, "Evicted", (evicted, kept))
    }

    /// Frees pages of a node that were not used lately, until ``pages`` are freed or all lists of the node
    /// were scanned (shrink_node). Returns the number of pages freed.
    ///
    /// Dirty pages of disk files are not freed. Anonymous pages and pages of memory files are freed only if
    /// there is swap space, except anonymous pages that ``madvise("free")`` has given up.
    ///
    /// Args:
    ///     pages: the number of base pages to free.
    ///     node: the number of the node.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node.
    #[pyo3(signature = (pages, *, node=0))]
    fn reclaim(&self, py: Python<'_>, pages: u32, node: usize) -> PyResult<u32> {
        self.0.call(py, Waits::Never, |shared| Ok(shared.machine.reclaim(node, pages)?))
    }

    /// Ages the pages of a node (kswapd_age_node): where inactive pages are too few, some active pages become
    /// inactive. Returns the number of pages that did. With the policy ``mglru`` a new generation begins
    /// instead, and the number of used page-table entries is returned.
    ///
    /// Args:
    ///     node: the number of the node.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node.
    #[pyo3(signature = (*, node=0))]
    fn age_node(&self, py: Python<'_>, node: usize) -> PyResult<u32> {
        self.0.call(py, Waits::Never, |shared| Ok(shared.machine.age_node(node)?))
    }

    /// Reads all swapped-out pages back, then removes the swap space.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no swap space, EBUSY if another thread is removing it, ENOMEM if
    ///         memory has no room for its pages, EIO if its device fails. After an error the swap space stays
    ///         in use; some of its pages may be back in memory.
    fn swapoff(&self, py: Python<'_>) -> PyResult<()> {
        self.0.call(py, Waits::ForPageLocks, |shared| {
            shared.machine.swapoff()?;
            shared.swap_is_off();
            Ok(())
        })
    }

    /// The swap space, as a `SwapUse`: its pages, and how many of them are in use. Both are 0 without swap
    /// space.
    #[getter]
    fn swap<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let SwapUse { total, free } =
            self.0.call(py, Waits::Never, |shared| Ok(shared.machine.swap_use()))?;
        state::named(py, "SwapUse", (total, total - free))
    }

    /// Makes one step of the machine's work fail on purpose: returns a `Fault`, which can strike while its
    /// ``with`` block lasts.
    ///
    /// Args:
    ///     kind: ``"no_memory"``, ``"copy_failure"``, ``"extra_pin"``, ``"driver_error"``, ``"poison"``,
    ///         ``"killed"`` or ``"spurious_wakeup"``. Each kind has its own sites: the places in the code
    ///         where it can strike.
    ///     at: the number of the first site where the fault strikes. Sites are counted from 0, in the order
    ///         in which the block passes them.
    ///     times: the number of consecutive sites where the fault strikes; ``None`` for all from ``at`` on.
    ///
    /// Raises:
    ///     InputError: for an unknown kind, or if ``times`` is 0.
    #[pyo3(signature = (kind, *, at=0, times=1))]
    fn inject(&self, py: Python<'_>, kind: &str, at: u64, times: Option<u64>) -> PyResult<Fault> {
        Fault::new(py, &self.0, kind, at, times)
    }

    /// The address spaces that have not exited.
    #[getter]
    fn address_spaces<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.0.alive()?;
        space::all(py, &self.0)
    }

    /// The states of many pages: an array of dtype ``PAGE_STATE`` and shape (pfns,), one record for each
    /// frame number. Each page is read on its own, so the array is no snapshot of the machine.
    ///
    /// Args:
    ///     pfns: the frame numbers, a one-dimensional array of integers.
    ///
    /// Raises:
    ///     KernelError: EINVAL if the machine has no such frame.
    ///     MemoryError: if the host has no memory for the array.
    ///     TypeError: if the numbers are no integers.
    ///     ValueError: if they do not have one dimension.
    fn page_states<'py>(&self, py: Python<'py>, pfns: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let pfns = array::integers("pfns", pfns, None)?;
        let states = self.0.call(py, Waits::Never, |shared| {
            let mut frames = room("frame numbers", pfns.len())?;
            for pfn in &pfns {
                frames.push(
                    u32::try_from(*pfn).map(Pfn).map_err(|_| shared.machine.no_frame(Errno::EINVAL, *pfn))?,
                );
            }
            Ok(shared.machine.page_states(&frames)?)
        })?;
        array::records(py, "PAGE_STATE", &states)
    }

    /// Drains the LRU batches of all CPUs (lru_add_drain_all), or of one (lru_add_drain_cpu).
    ///
    /// Args:
    ///     cpu: the number of the CPU; ``None`` for all CPUs.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such CPU.
    #[pyo3(signature = (*, cpu=None))]
    fn drain(&self, py: Python<'_>, cpu: Option<usize>) -> PyResult<()> {
        self.0.call(py, Waits::Never, |shared| {
            match cpu {
                None => shared.machine.lru_drain_all(),
                Some(cpu) if cpu < shared.machine.cpu_count() => shared.machine.lru_drain_cpu(cpu),
                Some(cpu) => return Err(Error::new(Errno::EINVAL, format!("no CPU {cpu}")).into()),
            };
            Ok(())
        })
    }

    /// The counters of the machine, or of one node, under the kernel's names (/proc/vmstat). Pages are
    /// counted in base pages. Events belong to no node, and are counters of the machine only.
    ///
    /// Args:
    ///     node: the number of the node; ``None`` for the whole machine.
    ///
    /// Raises:
    ///     KernelError: EINVAL for a node that does not exist.
    #[pyo3(signature = (*, node=None))]
    fn vmstat<'py>(&self, py: Python<'py>, node: Option<usize>) -> PyResult<Bound<'py, PyDict>> {
        let counters = self.0.call(py, Waits::Never, |shared| Ok(shared.machine.vmstat(node)?))?;
        let dict = PyDict::new(py);
        for (name, value) in counters {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    /// Records the machine's events while a ``with`` block lasts: steps of the page protocol and the kernel's
    /// tracepoints.
    fn trace(&self, py: Python<'_>) -> PyResult<Tracing> {
        self.0.alive()?;
        Ok(Tracing::new(py, &self.0))
    }

    /// Checks every invariant of the machine while no other call is running. The `Audit` is a tuple of
    /// findings, empty if there is no error.
    ///
    /// Raises:
    ///     KernelError: EBUSY if within a second other threads' calls do not end, or other threads do not
    ///         give back the page locks that they hold.
    ///     MemoryError: if the host has no memory for the audit.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    fn audit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let findings = self.0.call_alone(py, |shared| Ok(shared.machine.try_audit(&shared.ledger)?))?;
        let values = py.import("mmcore._state")?;
        let class = values.getattr("Finding")?;
        let finding = |found: &mmcore::audit::Finding| {
            class.call1((found.rule, found.pfn.map(|pfn| pfn.0), &found.detail))
        };
        let findings: Vec<_> = findings.iter().map(finding).collect::<PyResult<_>>()?;
        Ok(values.getattr("Audit")?.call1((findings,))?.unbind())
    }

    fn __repr__(&self) -> String {
        let sizes: Vec<String> =
            self.0.machine.nodes().iter().map(|node| format!("{}KiB", u64::from(node.frames) * 4)).collect();
        format!(
            "<Machine release={} nodes=[{}] cpus={}{}>",
            self.0.machine.profile().release,
            sizes.join(" "),
            self.0.machine.cpu_count(),
            if self.0.is_closed() { " closed" } else { "" }
        )
    }
}
