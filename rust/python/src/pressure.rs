//! Memory pressure: watermarks, runs of `kswapd`, and the daemons of a machine.

use crate::ending;
use crate::errors::Refusal;
use crate::machine::Machine;
use crate::shared::{Waits, look_up};
use crate::state;
use crate::waits::{LOOK_AGAIN, is_in_callback, with_callbacks};
use mmcore::machine;
use mmcore::pressure::{Daemons, Surroundings};
use mmcore::release::Chosen;
use parking_lot::{Mutex, RwLock};
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// The daemons of a machine, if they run or are about to end.
#[derive(Default)]
pub(crate) struct Background(Mutex<Option<Daemons<Chosen>>>);

impl Background {
    /// Starts the daemons, unless they run. `may` says whether the machine is still open. It is called under
    /// the lock that `tell_to_end` takes, too. Without the lock, a `close` between the question and the start
    /// would find no daemons, and those that start afterwards would never be stopped.
    fn start(
        &self,
        machine: &Arc<machine::Machine<Chosen>>,
        gate: &Arc<RwLock<()>>,
        may: impl FnOnce() -> bool,
    ) -> Result<(), Refusal> {
        let gate = Arc::clone(gate);
        // Each piece of a daemon's work enters the gate as a call does, and leaves it at its end. Between two
        // pieces an audit can have the gate alone.
        let around: Surroundings = Arc::new(move |work| {
            let done = {
                let _inside = gate.read_recursive();
                let piece = || {
                    work();
                    Ok::<(), Refusal>(())
                };
                with_callbacks(piece, drop)
            };
            if let Err(raised) = done {
                // A daemon has no caller that could get the exception.
                Python::try_attach(|py| raised.write_unraisable(py, None));
            }
        });
        let mut daemons = self.0.lock();
        if !may() {
            return Err(Refusal::misuse("this machine is closed"));
        }
        // Daemons that were told to end still do so by themselves while the new ones run.
        if let Some(ending) = daemons.take_if(|daemons| daemons.are_ending()) {
            ending.leave();
        }
        if daemons.is_none() {
            *daemons = Some(Daemons::start(machine, &around)?);
        }
        Ok(())
    }

    /// Tells the daemons to end.
    pub fn tell_to_end(&self) {
        if let Some(daemons) = &*self.0.lock() {
            daemons.tell_to_end();
        }
    }

    /// Stops the daemons and waits, detached, until they have ended. A daemon may have to attach before it
    /// can end, because its last piece of work may call an owner of movable pages in Python. An exception of
    /// a signal handler ends the wait; the daemons end all the same.
    pub fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let began = Instant::now();
        self.tell_to_end();
        // Two threads may stop the daemons, and both wait. A third one may start new ones meanwhile.
        let end = |daemons: &Daemons<Chosen>| daemons.are_ending() && !daemons.have_ended();
        // At the end of the interpreter a daemon that attaches hangs, and must not be waited for.
        while !ending::has_begun() && self.0.lock().as_ref().is_some_and(end) {
            py.detach(|| std::thread::sleep(LOOK_AGAIN));
            look_up(py, began)?;
        }
        drop(self.0.lock().take_if(|daemons| daemons.are_ending() && daemons.have_ended()));
        Ok(())
    }

    /// Forgets the daemons, in a child process: their threads are the parent's.
    pub fn forget(&self) {
        std::mem::forget(self.0.lock().take());
    }
}

/// Dropped with the machine's home, by a thread that is attached.
impl Drop for Background {
    fn drop(&mut self) {
        let Some(daemons) = self.0.get_mut().take() else { return };
        // At the end of the interpreter nothing waits for daemons, as in `stop`. A callback must not wait
        // for them either: it may drop the machine while its call holds a page lock that a daemon wants.
        match ending::has_begun() || is_in_callback() {
            true => daemons.leave(),
            false => Python::attach(|py| py.detach(|| drop(daemons))),
        }
    }
}

#[pymethods]
impl Machine {
    /// True if the machine has memory pressure (``pressure=True``): watermarks, and allocations that reclaim
    /// and compact before they fail.
    #[getter]
    fn pressure(&self) -> bool {
        self.0.machine.has_pressure()
    }

    /// The reserve of the whole machine in KiB (``vm.min_free_kbytes``), from which the watermarks follow. 0
    /// on a machine without memory pressure, where it cannot be set.
    ///
    /// Raises:
    ///     KernelError: EINVAL if it is set on a machine without memory pressure.
    #[getter]
    fn min_free_kbytes(&self, py: Python<'_>) -> PyResult<u32> {
        self.0.look(py, |shared| shared.machine.min_free_kbytes())
    }

    #[setter]
    fn set_min_free_kbytes(&self, py: Python<'_>, kbytes: u32) -> PyResult<()> {
        self.0.call(py, Waits::Never, |shared| {
            shared.machine.set_min_free_kbytes(kbytes)?;
            Ok(())
        })
    }

    /// The watermarks of a node, as `Watermarks`. All are 0 on a machine without memory pressure.
    ///
    /// Args:
    ///     node: the number of the node.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node.
    #[pyo3(signature = (node=0))]
    fn watermarks<'py>(&self, py: Python<'py>, node: usize) -> PyResult<Bound<'py, PyAny>> {
        let marks = self.0.call(py, Waits::Never, |shared| Ok(shared.machine.watermarks(node)?))?;
        state::named(py, "Watermarks", (marks.min, marks.low, marks.high))
    }

    /// Makes one run of a node's reclaiming daemon for blocks of 2**``order`` frames (balance_pgdat): frees
    /// pages that were not used lately, until the node has such a block free above its high watermark, or a
    /// round has freed nothing. Once twice the block is freed, the run leaves the block to compaction and
    /// stops at the high watermark. Returns the number of pages freed. The daemons that `start_daemons`
    /// starts make such a run whenever an allocation wakes them.
    ///
    /// Args:
    ///     order: the size of the wanted blocks, as a power of two of frames.
    ///     node: the number of the node.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node or order.
    #[pyo3(signature = (order=0, *, node=0))]
    fn kswapd(&self, py: Python<'_>, order: u8, node: usize) -> PyResult<u32> {
        self.0.call(py, Waits::ForPageLocks, |shared| {
            shared.machine.take_wanted_kswapd(node);
            Ok(shared.machine.kswapd(node, order)?)
        })
    }

    /// Starts the daemons of all nodes as threads: ``kswapd`` reclaims when allocations find little free
    /// memory. ``kcompactd`` compacts for large blocks; every half a second it also checks whether the node
    /// is more fragmented than `compaction_proactiveness` allows, and compacts then. The daemons stop when
    /// the machine is closed. The call does nothing if they run.
    ///
    /// Raises:
    ///     KernelError: EAGAIN if fewer than two threads a node can start; no daemon runs then.
    fn start_daemons(&self, py: Python<'_>) -> PyResult<()> {
        self.0.call(py, Waits::Never, |shared| {
            shared.background.start(&shared.machine, &shared.gate, || !shared.is_closed())
        })
    }

    /// Stops the daemons and waits until they have ended. Does nothing if they do not run. A daemon may wait
    /// for a page lock, so the call first waits until other threads' handles hold none.
    ///
    /// Raises:
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    fn stop_daemons(&self, py: Python<'_>) -> PyResult<()> {
        self.0.call(py, Waits::ForPageLocks, |shared| {
            shared.background.tell_to_end();
            Ok(())
        })?;
        self.0.background.stop(py)
    }
}
