//! `Fault`: a failure on purpose at one step of a machine's work, from `Machine.inject`.

use crate::errors::{input, misuse};
use crate::failure;
use crate::home::MachineRef;
use crate::shared::Waits;
use crate::state;
use mmcore::audit::Handle;
use mmcore::inject::{Hit, Kind, Left, Plan};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use std::sync::Arc;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Fault>()
}

/// A fault that can strike while a ``with`` block lasts, from `Machine.inject`. A *site* is a place in the
/// code where a fault of this kind can strike. Each block counts the sites that the machine's threads pass,
/// from 0 on. A fault has one block at a time: a second one is refused with `MisuseError`.
///
/// The end of the block drops the references that the fault took, and handles the frames that it poisoned as
/// failed, so that processes get their signals then (`AddressSpace.on_sigbus`).
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct Fault {
    shared: MachineRef,
    kind: Kind,
    at: u64,
    times: Option<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The plan of the running block, or of the last one.
    plan: Option<Arc<Plan>>,
    armed: bool,
}

/// Disarms the fault of a block that was never left. The fault's references are given back as those of
/// dropped handles are; frames that the fault poisoned stay poisoned, and their failures are not handled.
impl Drop for Fault {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        // In a forked child another thread may hold the lock of the plans for ever.
        if !self.shared.in_this_process() {
            return;
        }
        if let Some(plan) = state.plan.take().filter(|_| state.armed) {
            let left = self.shared.machine.disarm(&plan);
            self.abandon(left);
        }
    }
}

impl Fault {
    pub fn new(
        py: Python<'_>,
        shared: &MachineRef,
        kind: &str,
        at: u64,
        times: Option<u64>,
    ) -> PyResult<Fault> {
        shared.alive()?;
        let Some(&(_, kind)) = Kind::NAMES.iter().find(|(name, _)| *name == kind) else {
            let known: Vec<&str> = Kind::NAMES.iter().map(|(name, _)| *name).collect();
            return Err(input(format!("no fault {kind:?}: choose one of {}", known.join(", "))));
        };
        if times == Some(0) {
            return Err(input("a fault strikes at least once: times is 1 or more, or None for every site"));
        }
        Ok(Fault { shared: shared.share(py), kind, at, times, state: Mutex::default() })
    }

    /// Asks the plan of the running block or the last one; `None` before the first block.
    fn ask<T>(&self, question: impl FnOnce(&Plan) -> T) -> Option<T> {
        let plan = self.state.lock().plan.clone();
        plan.map(|plan| question(&plan))
    }

    fn abandon(&self, left: Left) {
        if self.shared.is_closed() {
            return;
        }
        for head in left.references {
            // In the ledger the reference is a dropped handle, which the machine's next call gives
            // back.
            self.shared.ledger.add(head, Handle::Ref);
            self.shared.abandon(head, Handle::Ref, "an injected fault's reference");
        }
    }
}

#[pymethods]
impl Fault {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// The kind of the fault.
    #[getter]
    fn kind(&self) -> &'static str {
        self.kind.name()
    }

    /// The number of the first site where the fault strikes.
    #[getter]
    fn at(&self) -> u64 {
        self.at
    }

    /// The number of consecutive sites where the fault strikes; ``None`` for all from ``at`` on.
    #[getter]
    fn times(&self) -> Option<u64> {
        self.times
    }

    /// The number of sites that were passed in the running block, or in the last one.
    #[getter]
    fn passed(&self) -> u64 {
        self.ask(Plan::passed).unwrap_or(0)
    }

    /// The number of times that the fault has struck in the running block, or in the last one; 0 if the block
    /// did not reach site ``at``.
    #[getter]
    fn fired(&self) -> u64 {
        self.ask(Plan::fired).unwrap_or(0)
    }

    /// The first 1,024 strikes, each as a `FaultHit`: the site in words and the frame number, or ``None`` if
    /// the site concerns no frame.
    #[getter]
    fn hits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let hits = self.ask(Plan::hits).unwrap_or_default();
        let hit = |Hit { site, pfn }| state::named(py, "FaultHit", (site, pfn.map(|pfn| pfn.0)));
        PyTuple::new(py, hits.into_iter().map(hit).collect::<PyResult<Vec<_>>>()?)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let fault = slf.get();
        fault.shared.alive()?;
        {
            let mut state = fault.state.lock();
            if state.armed {
                return Err(misuse("the fault is armed already: end its block first"));
            }
            let times = fault.times.unwrap_or(u64::MAX);
            *state = State { plan: Some(fault.shared.machine.arm(fault.kind, fault.at, times)), armed: true };
        }
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        let plan = {
            let mut state = self.state.lock();
            if !std::mem::take(&mut state.armed) {
                return Ok(());
            }
            state.plan.clone()
        };
        let Some(plan) = plan else { return Ok(()) };
        let mut left = Some(self.shared.machine.disarm(&plan)).filter(|left| *left != Left::default());
        if left.is_none() || self.shared.is_closed() {
            return Ok(());
        }
        let bad = left.as_ref().is_some_and(|left| !left.bad.is_empty());
        let waits = if bad { Waits::ForPageLocks } else { Waits::Never };
        let settled = self.shared.call(py, waits, |shared| {
            Ok(left.take().map_or_else(Vec::new, |left| shared.machine.settle(left)))
        });
        if let Some(left) = left {
            // The call was refused: inside of a callback, for example, it must not wait for page locks.
            self.abandon(left);
        }
        failure::tell(py, &self.shared, &settled?).map(drop)
    }

    fn __repr__(&self) -> String {
        let armed = if self.state.lock().armed { " armed" } else { "" };
        format!("<Fault {} at={} fired={}{armed}>", self.kind.name(), self.at, self.fired())
    }
}
