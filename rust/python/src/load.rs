//! The loads: configurations and reports are JSON, traces are arrays.

use crate::errors::misuse;
use mmcore::load::{LoadConfig, LoadError, Rig, Trace, open};
use mmcore_counted::load as counted;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::sync::{Mutex, TryLockError};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<LoadRig>()?;
    module.add_function(wrap_pyfunction!(count_ops, module)?)?;
    module.add_function(wrap_pyfunction!(count_puts, module)?)
}

/// The page of each access, whether it writes, and its thread. Threads are not looked at: a load deals a
/// trace out by page, so that every page keeps the trace's order.
type Arrays = (PyBuffer<u32>, PyBuffer<u8>, PyBuffer<u16>);

/// A load on a machine, round after round.
#[pyclass(frozen, module = "mmcore._mmcore")]
struct LoadRig(Mutex<Box<dyn Rig>>);

#[pymethods]
impl LoadRig {
    /// Builds the machine of a configuration; ValueError if that makes no sense.
    #[new]
    #[pyo3(signature = (config_json, trace=None, /))]
    fn new(py: Python<'_>, config_json: &str, trace: Option<Arrays>) -> PyResult<Self> {
        let trace = copied(py, trace)?.map(|(ids, writes)| Trace { ids, writes });
        let rig = py.detach(|| open(&LoadConfig::from_json(config_json)?, trace));
        Ok(LoadRig(Mutex::new(rig.map_err(raised)?)))
    }

    /// One round; its report as JSON.
    #[pyo3(signature = (round_seed, seconds, /))]
    fn run(&self, py: Python<'_>, round_seed: u64, seconds: f64) -> PyResult<String> {
        self.with(py, |rig| rig.run(round_seed, seconds).map(|round| round.to_json()))
    }

    /// Verifies, audits and gives everything back; the report as JSON.
    fn finish(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |rig| rig.finish().map(|end| end.to_json()))
    }
}

impl LoadRig {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut dyn Rig) -> Result<T, LoadError> + Send,
    ) -> PyResult<T> {
        py.detach(|| {
            // Never waits: a round of another thread may take long, and after a fork for ever.
            let mut rig = match self.0.try_lock() {
                Ok(rig) => rig,
                // A rig remembers by itself that a round has failed.
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    return Err(misuse("another thread runs this load"));
                }
            };
            work(&mut **rig).map_err(raised)
        })
    }
}

/// Operations of a load in the counting build, as JSON.
#[pyfunction]
#[pyo3(signature = (config_json, trace=None, /))]
fn count_ops(py: Python<'_>, config_json: &str, trace: Option<Arrays>) -> PyResult<String> {
    let trace = copied(py, trace)?.map(|(ids, writes)| counted::Trace { ids, writes });
    py.detach(|| counted::count_ops(&counted::LoadConfig::from_json(config_json)?, trace))
        .map(|ops| ops.to_json())
        .map_err(|error| exception(matches!(error, counted::LoadError::Failed(_)), &error))
}

/// What a release design costs every put, in the counting build, as JSON.
#[pyfunction]
#[pyo3(signature = (config_json, /))]
fn count_puts(py: Python<'_>, config_json: &str) -> PyResult<String> {
    py.detach(|| counted::count_puts(&counted::LoadConfig::from_json(config_json)?))
        .map(|ops| ops.to_json())
        .map_err(|error| exception(matches!(error, counted::LoadError::Failed(_)), &error))
}

fn copied(py: Python<'_>, trace: Option<Arrays>) -> PyResult<Option<(Vec<u32>, Vec<u8>)>> {
    let Some((ids, writes, _)) = trace else { return Ok(None) };
    Ok(Some((ids.to_vec(py)?, writes.to_vec(py)?)))
}

fn raised(error: LoadError) -> PyErr {
    exception(matches!(error, LoadError::Failed(_)), &error)
}

/// What was found wrong with the machine is a RuntimeError, everything else bad input.
fn exception(finding: bool, error: &dyn std::fmt::Display) -> PyErr {
    match finding {
        true => PyRuntimeError::new_err(error.to_string()),
        false => PyValueError::new_err(error.to_string()),
    }
}
