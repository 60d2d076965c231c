//! Memory that comes and goes: memory blocks that are taken offline and put online, and ranges of frames
//! that are emptied for the caller (`FrameRange`).

use crate::errors::{Refusal, input, misuse};
use crate::home::MachineRef;
use crate::machine::Machine;
use crate::names;
use crate::shared::Waits;
use crate::space::Size;
use mmcore::hotplug::{BLOCK_FRAMES, BlockState};
use mmcore::page::Pfn;
use mmcore::sync::interrupted;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use std::ops::Range;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<FrameRange>()
}

/// The number of frames of a memory block, from the keyword `block` of `Machine`.
pub(crate) fn block_frames(size: Option<&Size>) -> PyResult<u32> {
    size.map_or(Ok(BLOCK_FRAMES), |size| size.pages().map_err(|error| input(error.why)))
}

/// Takes a memory block offline, as `Machine.offline` does.
pub(crate) fn offline(
    py: Python<'_>,
    shared: &MachineRef,
    node: usize,
    block: u32,
    rounds: u32,
) -> PyResult<()> {
    shared.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.offline_block(node, block, rounds)?))
}

pub(crate) fn online(
    py: Python<'_>,
    shared: &MachineRef,
    node: usize,
    block: u32,
    zone: Option<&str>,
) -> PyResult<()> {
    let zone = zone.map(names::zone).transpose()?;
    // The call may wait until another thread has taken a block offline, and that thread for page locks.
    shared.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.online_block(node, block, zone)?))
}

/// The states of a node's memory blocks, in their order.
pub(crate) fn blocks<'py>(
    py: Python<'py>,
    shared: &MachineRef,
    node: usize,
) -> PyResult<Bound<'py, PyTuple>> {
    let states = shared.call(py, Waits::Never, |shared| {
        Ok(shared.machine.nodes()[node].blocks.states().collect::<Vec<_>>())
    })?;
    let name = |state: BlockState| match state {
        BlockState::Offline => "offline",
        BlockState::Online(zone) => names::of_zone(zone),
    };
    PyTuple::new(py, states.into_iter().map(name))
}

/// The frames of a contiguous range, from `Machine.alloc_range`. Each frame is a page that nobody else uses.
/// As a context manager the range is freed at the end of the block; a block over a range that was freed
/// before raises `MisuseError`.
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct FrameRange {
    shared: MachineRef,
    range: Range<Pfn>,
    /// The frames that are not freed yet.
    rest: Mutex<Range<Pfn>>,
}

/// The number of frames that are freed between two checks for signals.
const PIECE: u32 = 1 << 12;

impl FrameRange {
    pub fn create(py: Python<'_>, shared: &MachineRef, first: u32, count: u32) -> PyResult<FrameRange> {
        let end = first.saturating_add(count);
        let range = Pfn(first)..Pfn(end);
        shared.take(
            py,
            Waits::ForPageLocks,
            |shared| Ok(shared.machine.hold_range(&shared.ledger, range.clone())?),
            |shared, ()| shared.machine.let_go_range(&shared.ledger, range.clone()),
        )?;
        Ok(FrameRange { shared: shared.share(py), rest: Mutex::new(range.clone()), range })
    }

    /// Takes up to `count` of the frames that are not freed yet, for the caller alone to free. `None` if all
    /// are freed.
    fn spend(&self, count: u32) -> Option<Range<Pfn>> {
        let mut rest = self.rest.lock();
        let end = Pfn(rest.start.0.saturating_add(count).min(rest.end.0));
        let piece = rest.start..end;
        rest.start = end;
        (!piece.is_empty()).then_some(piece)
    }
}

#[pymethods]
impl FrameRange {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// The number of the first frame.
    #[getter]
    fn first(&self) -> u32 {
        self.range.start.0
    }

    /// The number of frames.
    #[getter]
    fn count(&self) -> u32 {
        self.range.end.0 - self.range.start.0
    }

    /// True if the range was freed.
    #[getter]
    fn freed(&self) -> bool {
        self.rest.lock().is_empty()
    }

    /// Gives all frames back (free_contig_range). If a signal handler raises an exception, some frames may be
    /// left, and another call gives them back.
    ///
    /// Raises:
    ///     MisuseError: if the range was freed already.
    fn free(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.alive()?;
        self.shared.call(py, Waits::Never, |shared| {
            let mut piece = self.spend(PIECE);
            if piece.is_none() {
                let why = format!("the frames from {} on were freed already", self.range.start);
                return Err(Refusal::Misuse(why));
            }
            while let Some(frames) = piece {
                shared.machine.let_go_range(&shared.ledger, frames);
                piece = if interrupted() { None } else { self.spend(PIECE) };
            }
            Ok(())
        })
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().shared.alive()?;
        match slf.get().freed() {
            true => Err(misuse(format!("the frames from {} on were freed already", slf.get().range.start))),
            false => Ok(slf),
        }
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        match self.freed() || self.shared.is_closed() {
            true => Ok(()),
            false => self.free(py),
        }
    }

    fn __len__(&self) -> usize {
        self.count() as usize
    }

    fn __repr__(&self) -> String {
        let state = if self.freed() { " freed" } else { "" };
        format!("<FrameRange first={} count={}{state}>", self.range.start, self.count())
    }
}

impl Drop for FrameRange {
    fn drop(&mut self) {
        if let Some(rest) = self.spend(u32::MAX) {
            self.shared.abandon_range(rest);
        }
    }
}

#[pymethods]
impl Machine {
    /// Empties ``count`` frames from ``first`` on and allocates them (alloc_contig_range): their pages move
    /// to other frames or are dropped. Afterwards the pageblocks that hold the range are movable, whatever
    /// their types were. After an error too, pages that have moved stay where they are.
    ///
    /// Args:
    ///     first: the number of the first frame.
    ///     count: the number of frames. All lie in one node.
    ///
    /// Raises:
    ///     KernelError: EBUSY if a page cannot move or does not move in 5 tries, or another thread empties
    ///         one of the pageblocks; ENOMEM without a frame to move to, or for a huge page of a pool that
    ///         cannot be replaced; EINVAL for an empty range, or one that is not in one node or not online.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    fn alloc_range(&self, py: Python<'_>, first: u32, count: u32) -> PyResult<FrameRange> {
        FrameRange::create(py, &self.0, first, count)
    }

    /// Takes a memory block of a node offline (offline_pages): its pages move to other nodes, or to other
    /// blocks of the node if no other node has memory. Then its frames leave the machine. A poisoned frame
    /// that memory failure has taken out of use does not hinder the operation.
    ///
    /// Args:
    ///     block: the number of the memory block within the node, from 0.
    ///     node: the number of the node.
    ///     rounds: the most rounds. A round moves the pages that can move; a round that finds none takes the
    ///         frames out of the machine, unless one is in use. The kernel repeats rounds until a signal.
    ///
    /// Raises:
    ///     KernelError: EBUSY for a page that cannot move, for a pageblock that another thread empties, or
    ///         for the last memory of the machine; EINTR after the last round: the block is still online,
    ///         but all its pageblocks are movable, and pages may have moved; EINVAL if there is no such block
    ///         or it is offline.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    #[pyo3(signature = (block, *, node, rounds=1000))]
    fn offline(&self, py: Python<'_>, block: u32, node: usize, rounds: u32) -> PyResult<()> {
        offline(py, &self.0, node, block, rounds)
    }

    /// Puts a memory block of a node online (online_pages), for any page (``zone="kernel"``) or for movable
    /// pages only (``zone="movable"``).
    ///
    /// Args:
    ///     block: the number of the memory block within the node, from 0.
    ///     node: the number of the node.
    ///     zone: ``"kernel"`` or ``"movable"``. Left out, the zone is ``"movable"`` if the block lies between
    ///         online blocks of that zone and not between those of ``"kernel"``, else ``"kernel"``
    ///         (default_zone_for_pfn).
    ///
    /// Raises:
    ///     KernelError: EHWPOISON for a block that went offline with a poisoned frame, in kernels since 6.2;
    ///         EINVAL if there is no such block or it is online.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    ///     ValueError: if there is no such zone.
    #[pyo3(signature = (block, *, node, zone=None))]
    fn online(&self, py: Python<'_>, block: u32, node: usize, zone: Option<&str>) -> PyResult<()> {
        online(py, &self.0, node, block, zone)
    }
}
