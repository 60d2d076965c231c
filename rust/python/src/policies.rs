//! List policies on a trace.

use crate::array;
use crate::errors::misuse;
use crate::profile::Profile;
use mmcore::load::{LoadError, Replacement};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PolicyReplay>()
}

/// A trace replayed over a memory of a policy, stretch by stretch.
#[pyclass(frozen, module = "mmcore._mmcore")]
struct PolicyReplay {
    requests: Vec<u32>,
    /// In a box: the interpreter aligns objects to words only, and a machine is aligned to cache lines.
    state: Mutex<Option<(Box<Replacement>, usize)>>,
}

/// An object of Python's lies where Python's allocator put it: at a multiple of 16 bytes.
const _: () = assert!(align_of::<PolicyReplay>() <= 16);

#[pymethods]
impl PolicyReplay {
    /// `requests` are numbers of pages below `footprint`; the first `warm_up` are not counted.
    #[new]
    #[pyo3(signature = (profile, requests, footprint, size, warm_up, /))]
    fn new(
        py: Python<'_>,
        profile: &Bound<'_, Profile>,
        requests: PyBuffer<u32>,
        footprint: u32,
        size: u32,
        warm_up: u64,
    ) -> PyResult<Self> {
        let requests = array::copied(py, &requests)?;
        if requests.iter().any(|&page| page >= footprint) {
            return Err(PyValueError::new_err(format!("a page of the trace is not below {footprint}")));
        }
        let profile = profile.get().0.clone();
        let replacement =
            py.detach(|| Replacement::new(profile, footprint, size, warm_up)).map_err(|e| bad(&e))?;
        Ok(PolicyReplay { requests, state: Mutex::new(Some((Box::new(replacement), 0))) })
    }

    /// Up to `most` requests more; how many are done by now.
    #[pyo3(signature = (most, /))]
    fn step(&self, py: Python<'_>, most: usize) -> PyResult<usize> {
        py.detach(|| {
            let mut state = self.lock();
            let Some((replacement, done)) = &mut *state else { return Err(misuse("this replay has ended")) };
            let next = self.requests.len().min(*done + most);
            replacement.run(&self.requests[*done..next]).map_err(|error| bad(&error))?;
            *done = next;
            Ok(next)
        })
    }

    /// Audits the machine; what was counted, as JSON.
    fn finish(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| {
            let Some((replacement, _)) = self.lock().take() else {
                return Err(misuse("this replay has ended"));
            };
            let outcome = replacement.finish();
            outcome.map(|o| o.to_json()).map_err(|finding| PyRuntimeError::new_err(finding.to_string()))
        })
    }
}

impl PolicyReplay {
    fn lock(&self) -> MutexGuard<'_, Option<(Box<Replacement>, usize)>> {
        // A panic leaves counts that are still valid to look at.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bad(error: &LoadError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
