//! The methods of `Machine` for compaction, and for the types of pageblocks.

use crate::machine::Machine;
use crate::names;
use crate::shared::Waits;
use crate::state;
use mmcore::compact::Compacted;
use mmcore::page::Pfn;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

/// The result of a run as `mmcore.results.Compacted`.
pub(crate) fn compacted<'py>(py: Python<'py>, run: Compacted) -> PyResult<Bound<'py, PyAny>> {
    let moves = run.moves.iter().map(|(source, target)| state::named(py, "Move", (source.0, target.0)));
    let moves = PyTuple::new(py, moves.collect::<PyResult<Vec<_>>>()?)?;
    let status = run.status.name();
    let counts = (run.migrate_scanned, run.free_scanned, run.isolated);
    let values = (status, run.migrated, counts.0, counts.1, counts.2, run.blocks_gained, moves);
    state::named(py, "Compacted", values)
}

#[pymethods]
impl Machine {
    /// Compacts a node (a write to its ``compact`` file): moves every page that can move towards the
    /// node's end, so that large free blocks form at its start. Movable pages outside of the LRU move
    /// with their owners' help. Returns a `Compacted`; with ``moves`` it lists each page that moved.
    ///
    /// The call ends early, with the status ``contended``, if no frame is left to move to, or if many
    /// pages of the node stay isolated for 100 ms.
    ///
    /// Args:
    ///     node: the number of the node.
    ///     moves: whether the result lists each page that moved.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node.
    ///     MemoryError: if the host has no memory for the list of moves; pages that moved stay there.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    #[pyo3(signature = (node=0, *, moves=false))]
    fn compact<'py>(&self, py: Python<'py>, node: usize, moves: bool) -> PyResult<Bound<'py, PyAny>> {
        let run =
            self.0.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.compact(node, moves)?))?;
        compacted(py, run)
    }

    /// Compacts a node for one block of 2**``order`` frames, as an allocation does if none is free
    /// (try_to_compact_pages). The run begins where the last one stopped, and passes over pageblocks with a
    /// skip hint. It ends at the end of a pageblock once such a block is free. Returns a `Compacted`.
    ///
    /// If a run that is not asynchronous fails, the next requests are left out with the status ``deferred``:
    /// 1 after the first failure, then 3, 7 and so on up to 63. The status is ``skipped`` if too little
    /// memory is free, or, for an order above 3, if the free memory is little fragmented.
    ///
    /// Args:
    ///     order: the order of the block that is wanted, 10 at most.
    ///     node: the number of the node.
    ///     priority: the effort of the run, as ``enum compact_priority``. ``"async"`` takes pages from
    ///         movable pageblocks only, and passes over the rest of a block of the wanted order once a page
    ///         in it stays; ``"sync_light"`` takes pages from all pageblocks; ``"sync_full"`` does so in the
    ///         whole node, whatever the hints and the deferral say, and moves pages to pageblocks of any
    ///         type. No run waits for a page lock, because the thread that allocates may hold that lock.
    ///     moves: whether the result lists each page that moved.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node or order.
    ///     MemoryError: if the host has no memory for the list of moves; pages that moved stay there.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    ///     ValueError: if there is no such priority.
    #[pyo3(signature = (order, *, node=0, priority="sync_light", moves=false))]
    fn compact_for<'py>(
        &self,
        py: Python<'py>,
        order: u8,
        node: usize,
        priority: &str,
        moves: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let priority = names::compact_priority(priority)?;
        let run = self.0.call(py, Waits::ForPageLocks, |shared| {
            Ok(shared.machine.compact_for(node, order, priority, moves)?)
        })?;
        compacted(py, run)
    }

    /// Makes one run of a node's compaction daemon for a block of 2**``order`` frames (kcompactd_do_work).
    /// Scans like `compact_for` with ``"sync_light"``, but works for no allocation: when the run has scanned
    /// the node to its end, it does not ask for the skip hints to be cleared. The counters
    /// ``compact_daemon_*`` of `vmstat` count the run. Returns a `Compacted`.
    ///
    /// Args:
    ///     order: the size of the wanted block, as a power of two of frames, 10 at most.
    ///     node: the number of the node.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node or order.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    #[pyo3(signature = (order, *, node=0))]
    fn kcompactd<'py>(&self, py: Python<'py>, order: u8, node: usize) -> PyResult<Bound<'py, PyAny>> {
        let run =
            self.0.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.kcompactd(node, order)?))?;
        compacted(py, run)
    }

    /// Compacts a node as its daemon does in the background (proactive_compact_node). The aim is a
    /// `fragmentation_score` of 100 less the `compaction_proactiveness`, but at least 5. If the score is more
    /// than 10 above the aim, the run goes on until the score has reached the aim, or the whole node was
    /// scanned. Returns a `Compacted`, or ``None`` if the score is lower or the proactiveness is 0.
    ///
    /// Args:
    ///     node: the number of the node.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    #[pyo3(signature = (node=0))]
    fn compact_proactively<'py>(&self, py: Python<'py>, node: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let run =
            self.0.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.compact_proactively(node)?))?;
        run.map(|run| compacted(py, run)).transpose()
    }

    /// Returns the share of a node's free memory that lies in blocks smaller than a pageblock, in percent
    /// (fragmentation_score_zone); 0 if nothing is free.
    ///
    /// Args:
    ///     node: the number of the node.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node.
    #[pyo3(signature = (node=0))]
    fn fragmentation_score(&self, py: Python<'_>, node: usize) -> PyResult<u32> {
        self.0.call(py, Waits::Never, |shared| Ok(shared.machine.fragmentation_score(node)?))
    }

    /// Returns the reason why an allocation of 2**``order`` frames of a node would fail, in thousandths
    /// (``extfrag_index`` of debugfs): towards 0 for lack of memory, towards 1000 because free memory is in
    /// pieces; -1000 if the allocation would not fail.
    ///
    /// Args:
    ///     order: the size of the block, as a power of two of frames.
    ///     node: the number of the node.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node or order.
    #[pyo3(signature = (order, *, node=0))]
    fn fragmentation_index(&self, py: Python<'_>, order: u8, node: usize) -> PyResult<i32> {
        self.0.call(py, Waits::Never, |shared| Ok(shared.machine.fragmentation_index(node, order)?))
    }

    /// Returns the state that a node keeps between two runs of compaction, as a `CompactionState`: the frames
    /// where the scanners begin, the skip hints of the pageblocks, and how many requests are left out.
    ///
    /// Args:
    ///     node: the number of the node.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node.
    #[pyo3(signature = (node=0))]
    fn compaction_state<'py>(&self, py: Python<'py>, node: usize) -> PyResult<Bound<'py, PyAny>> {
        let (kept, hints) = self.0.call(py, Waits::Never, |shared| {
            Ok((shared.machine.compaction_state(node)?, shared.machine.skip_hints(node)?))
        })?;
        let [asynchronous, other] = kept.migrate;
        let hints = PyTuple::new(py, hints)?;
        let deferral = (kept.considered(), kept.defer_limit(), kept.order_failed());
        let values = (asynchronous, other, kept.free, hints, deferral.0, deferral.1, deferral.2);
        state::named(py, "CompactionState", values)
    }

    /// The eagerness with which background compaction lowers the fragmentation
    /// (``vm.compaction_proactiveness``): from 0, which switches it off, to 100. 20 at first. Setting it to
    /// more than 0 wakes the compaction daemons.
    ///
    /// Raises:
    ///     KernelError: EINVAL for more than 100.
    #[getter]
    fn compaction_proactiveness(&self, py: Python<'_>) -> PyResult<u32> {
        self.0.look(py, |shared| shared.machine.compaction_proactiveness())
    }

    #[setter]
    fn set_compaction_proactiveness(&self, py: Python<'_>, proactiveness: u32) -> PyResult<()> {
        self.0.call(py, Waits::Never, |shared| {
            shared.machine.set_compaction_proactiveness(proactiveness)?;
            Ok(())
        })
    }

    /// True if compaction moves pages of the unevictable list, such as mlocked pages
    /// (``vm.compact_unevictable_allowed``). True at first.
    #[getter]
    fn compact_unevictable_allowed(&self, py: Python<'_>) -> PyResult<bool> {
        self.0.look(py, |shared| shared.machine.compact_unevictable_allowed())
    }

    #[setter]
    fn set_compact_unevictable_allowed(&self, py: Python<'_>, allowed: bool) -> PyResult<()> {
        self.0.call(py, Waits::Never, |shared| {
            shared.machine.set_compact_unevictable_allowed(allowed);
            Ok(())
        })
    }

    /// Returns the migratetype of each pageblock of a node, such as ``"movable"``, in the order of the
    /// frames. A pageblock has 2**``pageblock_order`` frames (a field of the profile), 512 by default.
    ///
    /// Args:
    ///     node: the number of the node.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node.
    #[pyo3(signature = (node=0))]
    fn pageblock_types<'py>(&self, py: Python<'py>, node: usize) -> PyResult<Bound<'py, PyTuple>> {
        let types = self.0.call(py, Waits::Never, |shared| Ok(shared.machine.pageblock_types(node)?))?;
        PyTuple::new(py, types.into_iter().map(|kind| PyString::intern(py, kind.name())))
    }

    /// Sets the migratetype of the pageblock that holds a frame (set_pageblock_migratetype). From then on the
    /// pageblock's free frames are on the free lists of that type.
    ///
    /// Args:
    ///     pfn: the number of any frame of the pageblock.
    ///     kind: the migratetype, such as ``"movable"``.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such frame.
    ///     ValueError: if there is no such type.
    fn set_pageblock_type(&self, py: Python<'_>, pfn: u32, kind: &str) -> PyResult<()> {
        let kind = names::migrate_type(kind)?;
        self.0.call(py, Waits::Never, |shared| {
            shared.machine.set_pageblock_type(Pfn(pfn), kind)?;
            Ok(())
        })
    }
}
