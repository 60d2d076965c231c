//! `Machine` and `Node`.

use crate::array;
use crate::errors::{Refusal, input, misuse, type_error};
use crate::events::Tracing;
use crate::failure;
use crate::file::File;
use crate::handles::PageRef;
use crate::home::MachineRef;
use crate::inject::Fault;
use crate::migrate;
use crate::names;
use crate::page::Page;
use crate::pool::PagePool;
use crate::profile::Profile;
use crate::shared::Waits;
use crate::space::{self, AddressSpace, Size};
use mmcore::audit::Handle;
use mmcore::error::{Errno, Error, Result as CoreResult};
use mmcore::failure::Injection;
use mmcore::machine::{Config, NodeConfig};
use mmcore::map::{Evicted, SwapUse};
use mmcore::memory::room;
use mmcore::page::Pfn;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use std::thread::ThreadId;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Machine>()?;
    module.add_class::<Node>()?;
    module.add_class::<CpuBinding>()
}

/// The whole: nodes, CPUs, page records, counters. A context manager: the end of the block closes it.
///
/// Args:
///     nodes: the sizes, fastest node first: ``"64MiB"``, ``"1GiB:250ns"`` with a modelled latency, or bytes.
///     movable: nodes that are only for movable pages, as memory that is to be taken out again: a lasting pin first
///         moves its page off such a node.
///     cpus: per-CPU contexts.
///     backed: real bytes, or (``False``) records only, for scale.
///     kernel: the preset of the profile, see `Profile.PRESETS`.
///     profile: a whole profile instead of a preset.
///     fields: profile fields by name, set over the preset: ``release="packed"``, ``pagevec=15``.
#[pyclass(frozen, module = "mmcore")]
pub(crate) struct Machine(pub MachineRef);

#[derive(FromPyObject)]
enum NodeSize {
    Text(String),
    Bytes(u64),
}

impl NodeSize {
    fn config(&self) -> CoreResult<NodeConfig> {
        match self {
            NodeSize::Text(text) => text.parse(),
            NodeSize::Bytes(bytes) => NodeConfig::of_bytes(*bytes),
        }
    }
}

/// A bad configuration is bad input; a host that refuses memory is the kernel's word.
fn not_built(error: Error) -> PyErr {
    match error.errno {
        Errno::EINVAL => input(error.why),
        _ if error.is_of_host() => pyo3::exceptions::PyMemoryError::new_err(error.why.to_string()),
        errno => crate::errors::KernelError::new_err((errno.0, error.why.to_string())),
    }
}

#[pymethods]
impl Machine {
    #[new]
    #[pyo3(signature = (*, nodes=None, movable=vec![], cpus=2, backed=true, kernel=None, profile=None, **fields))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        py: Python<'_>,
        nodes: Option<Vec<NodeSize>>,
        movable: Vec<usize>,
        cpus: usize,
        backed: bool,
        kernel: Option<&str>,
        profile: Option<&Bound<'_, Profile>>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Machine> {
        let choices = match (profile, kernel) {
            (Some(_), Some(_)) => return Err(type_error("give a kernel or a profile, not both")),
            (Some(profile), None) => profile.get().0.clone(),
            (None, kernel) => Profile::preset(kernel)?,
        };
        let profile = Profile::with_fields(choices, fields)?;
        let nodes = match nodes {
            Some(nodes) => {
                nodes.iter().map(NodeSize::config).collect::<CoreResult<_>>().map_err(not_built)?
            }
            None => vec![NodeConfig::of_bytes(64 << 20).map_err(not_built)?; 2],
        };
        let config = Config { nodes, movable, cpus, backed, profile, ..Config::new(1, 1) };
        let machine = py.detach(|| mmcore::machine::Machine::new(&config)).map_err(not_built)?;
        Ok(Machine(MachineRef::new(py, machine)?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.visit(&visit)
    }

    /// Refuses further calls. Memory lives as long as buffers over it; a second time is no error.
    fn close(&self, py: Python<'_>) {
        self.0.close(py);
    }

    /// Has the machine been closed?
    #[getter]
    fn closed(&self) -> bool {
        self.0.is_closed()
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().0.alive()?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.0.close(py);
    }

    /// The choices this machine was built with.
    #[getter]
    fn profile(&self) -> Profile {
        Profile(self.0.machine.profile().clone())
    }

    /// The nodes.
    #[getter]
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let nodes = self.0.machine.nodes().len();
        let node = |number| Py::new(py, Node { shared: self.0.share(py), number });
        PyTuple::new(py, (0..nodes).map(node).collect::<PyResult<Vec<_>>>()?)
    }

    /// Number of per-CPU contexts.
    #[getter]
    fn cpus(&self) -> usize {
        self.0.machine.cpu_count()
    }

    /// Do pages have bytes?
    #[getter]
    fn backed(&self) -> bool {
        self.0.machine.memory().is_backed()
    }

    /// Binds the calling thread to a CPU for a ``with`` block. Threads that are not bound get CPUs in
    /// order of arrival.
    fn cpu(&self, py: Python<'_>, number: usize) -> PyResult<CpuBinding> {
        if number >= self.cpus() {
            let why = format!("no CPU {number}: this machine has {}", self.cpus());
            return Err(crate::errors::KernelError::new_err((Errno::EINVAL.0, why)));
        }
        Ok(CpuBinding { shared: self.0.share(py), cpu: number, blocks: Mutex::default() })
    }

    /// The page with this frame number.
    fn page(&self, py: Python<'_>, pfn: u32) -> PyResult<Page> {
        self.0.call(py, Waits::Never, |shared| {
            shared.machine.page(Pfn(pfn)).map(|_| ())?;
            Ok(())
        })?;
        Ok(Page::new(py, &self.0, Pfn(pfn)))
    }

    /// Allocates 2**order pages and returns the first reference to them.
    ///
    /// `KernelError` (ENOMEM) if the node has none, (EINVAL) if there is no such node or order.
    #[pyo3(signature = (*, node=0, order=0))]
    fn alloc(&self, py: Python<'_>, node: usize, order: u8) -> PyResult<PageRef> {
        let pfn = self
            .0
            .call(py, Waits::Never, |shared| Ok(shared.machine.hold_new(&shared.ledger, node, order)?))?;
        Ok(PageRef::holding(py, &self.0, pfn, Handle::Ref))
    }

    /// Migrates pages as one list (migrate_pages() in the kernel): `Isolated` tokens, which are spent whatever happens, or
    /// pages, by `Page` or frame number, that the call isolates itself. Returns a `Migrated`.
    ///
    /// Args:
    ///     pages: what is to move.
    ///     get_new_page: called with the old `Page` whenever a page is about to move; answers with a node, with a
    ///         fresh reference from `alloc`, or with ``None``, which ends the migration as ENOMEM. Page locks of other
    ///         pages may be held meanwhile: calls that could wait for a page are refused.
    ///     node: where all of them go, instead.
    ///     mode: how much the migration may wait.
    ///     reason: why, as the tracepoint shows it.
    ///
    /// What ``get_new_page`` raises ends the migration as ``None`` does, and is raised here when everything is put back.
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

    /// Reclaims pages, as reclaim does with a list that it has isolated: `Isolated` tokens, which are spent, or pages, by
    /// `Page` or frame number, that the call isolates itself. With ``demote_to`` they go to that node first, if they
    /// can. Returns how many were demoted, and how many freed; the others are put back.
    #[pyo3(signature = (pages, *, demote_to=None))]
    fn reclaim_pages(
        &self,
        py: Python<'_>,
        pages: &Bound<'_, PyAny>,
        demote_to: Option<usize>,
    ) -> PyResult<(u32, u32)> {
        migrate::reclaim_pages(py, &self.0, pages, demote_to)
    }

    /// A new, empty address space.
    fn address_space(&self, py: Python<'_>) -> PyResult<AddressSpace> {
        AddressSpace::create(py, &self.0)
    }

    /// A pool of movable pages. ``ops``, an object with the methods of `MovableOps`, is asked before they move.
    #[pyo3(signature = (*, ops=None))]
    fn page_pool(&self, py: Python<'_>, ops: Option<Py<PyAny>>) -> PyResult<PagePool> {
        PagePool::create(py, &self.0, ops)
    }

    /// A new file of ``size`` (``"64KiB"`` or bytes, rounded up to whole pages), all zeroes, none of its pages cached.
    /// ``kind`` says what backs it: ``"disk"``, ``"tmpfs"`` or ``"shm"`` (shared anonymous memory).
    #[pyo3(signature = (size, *, kind="disk"))]
    fn file(&self, py: Python<'_>, size: Size, kind: &str) -> PyResult<File> {
        File::create(py, &self.0, size, kind)
    }

    /// The files that have not ended.
    #[getter]
    fn files<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        File::all(py, &self.0)
    }

    /// Writes every dirty page of every file to disk (sync), and says how many those were.
    fn sync(&self, py: Python<'_>) -> PyResult<u32> {
        self.0.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.sync_all()))
    }

    /// Takes the clean pages of all files that nobody uses out of the page cache (drop_caches). Returns how many
    /// left, and how many had to stay.
    fn drop_caches(&self, py: Python<'_>) -> PyResult<(u32, u32)> {
        let Evicted { evicted, kept } =
            self.0.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.drop_caches()))?;
        Ok((evicted, kept))
    }

    /// Frees pages of a node that nobody has used lately, until ``pages`` are freed or all its lists were looked at
    /// (shrink_node). Returns how many were freed.
    ///
    /// Nothing is freed that must be written to a disk's file, and nothing anonymous without swap space.
    /// `KernelError` (EINVAL) for a node that is not there.
    #[pyo3(signature = (pages, *, node=0))]
    fn reclaim(&self, py: Python<'_>, pages: u32, node: usize) -> PyResult<u32> {
        self.0.call(py, Waits::Never, |shared| Ok(shared.machine.reclaim(node, pages)?))
    }

    /// Lets the pages of a node grow older (kswapd_age_node): where there are too few inactive pages, some active
    /// ones become inactive. Returns how many.
    ///
    /// `KernelError` (EINVAL) for a node that is not there.
    #[pyo3(signature = (*, node=0))]
    fn age_node(&self, py: Python<'_>, node: usize) -> PyResult<u32> {
        self.0.call(py, Waits::Never, |shared| Ok(shared.machine.age_node(node)?))
    }

    /// Makes a swap space of ``size`` (``"1MiB"`` or bytes, rounded up to whole pages): reclaim writes anonymous
    /// memory and pages of memory files to it, faults read them back.
    ///
    /// `KernelError` (EBUSY) if there is one, (EINVAL) for none.
    fn swapon(&self, py: Python<'_>, size: Size) -> PyResult<()> {
        self.0.call(py, Waits::Never, |shared| {
            let pages = size.pages()?;
            Ok(shared.machine.swapon(pages)?)
        })
    }

    /// Takes the swap space away, after bringing everything back that is in it.
    ///
    /// `KernelError` (EINVAL) if there is none, (ENOMEM) if there is no room for what is in it: then nothing changes.
    fn swapoff(&self, py: Python<'_>) -> PyResult<()> {
        self.0.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.swapoff()?))
    }

    /// Pages that the swap space has, and those of them that are in use; ``(0, 0)`` without one.
    #[getter]
    fn swap(&self, py: Python<'_>) -> PyResult<(u32, u32)> {
        let SwapUse { total, free } =
            self.0.call(py, Waits::Never, |shared| Ok(shared.machine.swap_use()))?;
        Ok((total, total - free))
    }

    /// Takes the frame of a page out of use that can still be read (soft_offline_page): the content moves to another
    /// frame, or is dropped if it can be read again; nobody is killed. ``page`` is a `Page` or a frame number.
    ///
    /// `KernelError` (EBUSY, EIO, ENOMEM) if that cannot be done; then nothing has changed.
    fn soft_offline_page(&self, py: Python<'_>, page: &Bound<'_, PyAny>) -> PyResult<()> {
        let pfn = failure::frame(&self.0, page)?;
        self.0.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.soft_offline_page(pfn)?))
    }

    /// The frame of a page has failed and its content is lost (memory_failure). Who maps it gets a `SigbusError` on
    /// the next access; ``current``, the process whose access has found it, and processes with ``early_kill`` are told
    /// at once if the page was dirty: see `AddressSpace.on_sigbus`. Returns the signals that were sent.
    ///
    /// `KernelError` (EBUSY) if somebody still uses the frame, (EHWPOISON) if it was poisoned before.
    #[pyo3(signature = (page, *, current=None))]
    fn memory_failure<'py>(
        &self,
        py: Python<'py>,
        page: &Bound<'py, PyAny>,
        current: Option<&Bound<'py, AddressSpace>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let pfn = failure::frame(&self.0, page)?;
        if current.is_some_and(|space| !space.get().shared.is(&self.0)) {
            return Err(misuse("the address space belongs to another machine"));
        }
        failure::fail(py, &self.0, pfn, current.map(|space| &space.get().space))
    }

    /// Takes the poison off a frame and gives it back to the allocator (unpoison_memory). Entries that were poisoned
    /// stay so.
    ///
    /// `KernelError` (EBUSY) if it is not poisoned, or anybody else still uses it.
    fn unpoison(&self, py: Python<'_>, page: &Bound<'_, PyAny>) -> PyResult<()> {
        let pfn = failure::frame(&self.0, page)?;
        self.0.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.unpoison_memory(pfn)?))
    }

    /// Has frames fail: the one at an ``address`` of a ``space`` (as MADV_SOFT_OFFLINE and MADV_HWPOISON do, faulting the
    /// page in), or each frame of the machine with a probability, its ``rate``; ``hard`` if the content is lost.
    /// Returns the numbers of the frames that are poisoned by it.
    ///
    /// `KernelError` if the page at the address could not be offlined; at a rate such frames are passed by.
    #[pyo3(signature = (*, space=None, address=None, rate=None, seed=0, hard=false))]
    fn strike(
        &self,
        py: Python<'_>,
        space: Option<&Bound<'_, AddressSpace>>,
        address: Option<u64>,
        rate: Option<f64>,
        seed: u64,
        hard: bool,
    ) -> PyResult<Vec<u32>> {
        let what = if hard { Injection::Hwpoison } else { Injection::SoftOffline };
        let target = match (space, address, rate) {
            (Some(space), Some(_), None) if !space.get().shared.is(&self.0) => {
                return Err(misuse("the address space belongs to another machine"));
            }
            (Some(space), Some(address), None) => failure::Target::Address(&space.get().space, address),
            (None, None, Some(rate)) if (0.0..=1.0).contains(&rate) => failure::Target::Rate(rate, seed),
            (None, None, Some(rate)) => return Err(input(format!("a rate is from 0 to 1, not {rate}"))),
            _ => return Err(type_error("give a space and an address, or a rate")),
        };
        failure::strike(py, &self.0, target, what)
    }

    /// A `Fault` that strikes while a ``with`` block lasts: something fails at one step of the machine's work.
    ///
    /// Args:
    ///     kind: ``"no_memory"``, ``"copy_failure"``, ``"extra_pin"``, ``"driver_error"``, ``"poison"``, ``"killed"`` or
    ///         ``"spurious_wakeup"``. Each has its own sites, the places where it can strike.
    ///     at: the number of the first site where it strikes: 0 is the first that is passed in the block.
    ///     times: at how many sites, one after the other; ``None`` for every one from ``at`` on.
    ///
    /// `InputError` for a kind that there is not, or for no times.
    #[pyo3(signature = (kind, *, at=0, times=1))]
    fn inject(&self, py: Python<'_>, kind: &str, at: u64, times: Option<u64>) -> PyResult<Fault> {
        Fault::new(py, &self.0, kind, at, times)
    }

    /// Frames that are poisoned (HardwareCorrupted in /proc/meminfo, in pages).
    #[getter]
    fn num_poisoned_pages(&self, py: Python<'_>) -> PyResult<i64> {
        self.0.call(py, Waits::Never, |shared| Ok(shared.machine.num_poisoned_pages()))
    }

    /// The address spaces that have not exited.
    #[getter]
    fn address_spaces<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.0.alive()?;
        space::all(py, &self.0)
    }

    /// What many pages look like, by frame number: an array of ``PAGE_STATE``, one look each.
    ///
    /// `KernelError` (EINVAL) for a frame that is not there.
    fn page_states<'py>(&self, py: Python<'py>, pfns: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let pfns = array::integers("pfns", pfns, None)?;
        let states = self.0.call(py, Waits::Never, |shared| {
            let no_frame = |pfn: &i64| Error::new(Errno::EINVAL, format!("no frame {pfn}"));
            let mut frames = room("frame numbers", pfns.len())?;
            for pfn in &pfns {
                frames.push(u32::try_from(*pfn).map(Pfn).map_err(|_| no_frame(pfn))?);
            }
            Ok(shared.machine.page_states(&frames)?)
        })?;
        array::records(py, "PAGE_STATE", &states)
    }

    /// Empties the LRU batches of every CPU (lru_add_drain_all), or of one (lru_add_drain_cpu).
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

    /// The counters under the kernel's names: of the machine, or of one node.
    #[pyo3(signature = (*, node=None))]
    fn vmstat<'py>(&self, py: Python<'py>, node: Option<usize>) -> PyResult<Bound<'py, PyDict>> {
        let counters = self.0.call(py, Waits::Never, |shared| Ok(shared.machine.vmstat(node)?))?;
        let dict = PyDict::new(py);
        for (name, value) in counters {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    /// The machine's events while a ``with`` block lasts: the protocol's steps and the kernel's tracepoints.
    fn trace(&self, py: Python<'_>) -> PyResult<Tracing> {
        self.0.alive()?;
        Ok(Tracing::new(py, &self.0))
    }

    /// Checks every invariant of a quiet machine. The `Audit` is a tuple of findings: empty when clean.
    ///
    /// `KernelError` (EBUSY) if other threads are inside of calls and do not leave.
    fn audit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let findings = self.0.call_alone(py, |shared| shared.machine.try_audit(&shared.ledger))?;
        let findings = findings.map_err(|error| Refusal::from(error).raise(py, &self.0))?;
        let state = py.import("mmcore.state")?;
        let class = state.getattr("Finding")?;
        let finding = |found: &mmcore::audit::Finding| {
            class.call1((found.rule, found.pfn.map(|pfn| pfn.0), &found.detail))
        };
        let findings: Vec<_> = findings.iter().map(finding).collect::<PyResult<_>>()?;
        Ok(state.getattr("Audit")?.call1((findings,))?.unbind())
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

/// A NUMA node: a range of frames, one lruvec, one buddy allocator.
#[pyclass(frozen, module = "mmcore")]
pub(crate) struct Node {
    shared: MachineRef,
    number: usize,
}

#[pymethods]
impl Node {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// The node's number.
    #[getter]
    fn number(&self) -> usize {
        self.number
    }

    /// The first frame.
    #[getter]
    fn base(&self) -> u32 {
        self.shared.machine.nodes()[self.number].base.0
    }

    /// How many frames it has.
    #[getter]
    fn frames(&self) -> u32 {
        self.shared.machine.nodes()[self.number].frames
    }

    /// Modelled access time in nanoseconds.
    #[getter]
    fn latency_ns(&self) -> u32 {
        self.shared.machine.nodes()[self.number].latency_ns
    }

    /// Free frames: those in the buddy lists and those in per-CPU arrays.
    #[getter]
    fn free(&self, py: Python<'_>) -> PyResult<u32> {
        self.shared.call(py, Waits::Never, |shared| {
            let (buddy, arrays) = shared.machine.free_frames(self.number);
            Ok(buddy + arrays)
        })
    }

    fn __index__(&self) -> usize {
        self.number
    }

    fn __repr__(&self) -> String {
        format!("<Node {} frames={} base={:#x}>", self.number, self.frames(), self.base())
    }
}

/// The calling thread on one CPU, from `Machine.cpu`. Blocks nest.
#[pyclass(frozen, module = "mmcore")]
pub(crate) struct CpuBinding {
    shared: MachineRef,
    cpu: usize,
    /// The blocks entered and not left: the thread, and its binding before.
    blocks: Mutex<Vec<(ThreadId, Option<usize>)>>,
}

impl CpuBinding {
    /// Binds the calling thread and returns its binding before.
    fn bind(&self, py: Python<'_>, cpu: Option<usize>) -> PyResult<Option<usize>> {
        self.shared.call(py, Waits::Never, |shared| Ok(shared.machine.bind_cpu(cpu)))
    }
}

#[pymethods]
impl CpuBinding {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let binding = slf.get();
        let before = binding.bind(slf.py(), Some(binding.cpu))?;
        binding.blocks.lock().push((std::thread::current().id(), before));
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.shared.is_closed() {
            return Ok(());
        }
        let me = std::thread::current().id();
        let mine = {
            let mut blocks = self.blocks.lock();
            let last = blocks.iter().rposition(|(thread, _)| *thread == me);
            last.map(|last| blocks.remove(last))
        };
        let (_, before) = mine.ok_or_else(|| misuse("this thread is in no block of this CPU binding"))?;
        self.bind(py, before).map(drop)
    }

    fn __repr__(&self) -> String {
        format!("<CpuBinding cpu={}>", self.cpu)
    }
}
