//! Memory pressure: watermarks, runs of `kswapd`, and the daemons of a machine.

use crate::ending;
use crate::machine::Machine;
use crate::shared::{Shared, Waits};
use crate::state;
use crate::waits::take_raised;
use mmcore::machine;
use mmcore::pressure::{Daemons, Surroundings};
use mmcore::release::Chosen;
use parking_lot::{Mutex, RwLock};
use pyo3::prelude::*;
use std::sync::Arc;

/// The daemons of a machine, if they run.
#[derive(Default)]
pub(crate) struct Background(Mutex<Option<Daemons<Chosen>>>);

impl Background {
    /// Starts the daemons, unless they run.
    fn start(
        &self,
        machine: &Arc<machine::Machine<Chosen>>,
        gate: &Arc<RwLock<()>>,
    ) -> mmcore::error::Result<()> {
        let gate = Arc::clone(gate);
        // An audit has the gate alone, so each piece of work is a call of its own.
        let around: Surroundings = Arc::new(move |work| {
            {
                let _inside = gate.read_recursive();
                work();
            }
            if let Some(raised) = take_raised() {
                // No call could raise it.
                Python::try_attach(|py| raised.write_unraisable(py, None));
            }
        });
        let mut running = self.0.lock();
        if running.is_none() {
            *running = Some(Daemons::start(machine, &around)?);
        }
        Ok(())
    }

    /// Stops the daemons and waits for their ends. They may have to attach for it: an owner of movable
    /// pages may be written in Python.
    pub fn stop(&self, py: Python<'_>) {
        let running = self.0.lock().take();
        py.detach(|| drop(running));
    }

    fn is_running(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Leaves threads alone that are not there, in a child process.
    pub fn forget(&self) {
        std::mem::forget(self.0.lock().take());
    }
}

/// Dropped with the machine's home, by a thread that is attached.
impl Drop for Background {
    fn drop(&mut self) {
        if !self.is_running() {
            return;
        }
        // At the end of the interpreter a daemon that attaches hangs, and must not be waited for.
        match ending::has_begun() {
            true => self.forget(),
            false => Python::attach(|py| self.stop(py)),
        }
    }
}

impl Shared {
    fn start_daemons(&self) -> mmcore::error::Result<()> {
        self.background.start(&self.machine, &self.gate)
    }
}

#[pymethods]
impl Machine {
    /// Whether the machine has memory pressure (``pressure=True``): watermarks, and allocations that reclaim
    /// and compact before they fail.
    #[getter]
    fn pressure(&self) -> bool {
        self.0.machine.has_pressure()
    }

    /// The reserve of the whole machine in KiB (``vm.min_free_kbytes``), from which the watermarks follow. 0
    /// on a machine without memory pressure, which refuses another value.
    ///
    /// Raises:
    ///     KernelError: EINVAL if the machine has no memory pressure.
    #[getter]
    fn min_free_kbytes(&self) -> u32 {
        self.0.machine.min_free_kbytes()
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
    /// Raises:
    ///     KernelError: EINVAL if there is no such node.
    #[pyo3(signature = (node=0))]
    fn watermarks<'py>(&self, py: Python<'py>, node: usize) -> PyResult<Bound<'py, PyAny>> {
        let marks = self.0.call(py, Waits::Never, |shared| Ok(shared.machine.watermarks(node)?))?;
        state::named(py, "Watermarks", (marks.min, marks.low, marks.high))
    }

    /// Makes one run of a node's reclaiming daemon for blocks of 2**``order`` frames (balance_pgdat): frees
    /// pages that were not used lately, until the node's free frames reach its high watermark. Returns the
    /// number of pages freed. `start_daemons` runs it whenever an allocation needs it.
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
    /// memory, ``kcompactd`` compacts for large blocks and, every half a second, if the memory is too
    /// fragmented for the `compaction_proactiveness`. They stop when the machine is closed. Does nothing if
    /// they run.
    ///
    /// Raises:
    ///     KernelError: EAGAIN if the process cannot have as many threads more.
    fn start_daemons(&self, py: Python<'_>) -> PyResult<()> {
        self.0.call(py, Waits::Never, |shared| {
            shared.start_daemons()?;
            Ok(())
        })
    }

    /// Stops the daemons and waits for their ends. Does nothing if they do not run.
    fn stop_daemons(&self, py: Python<'_>) -> PyResult<()> {
        self.0.alive()?;
        self.0.background.stop(py);
        Ok(())
    }
}
