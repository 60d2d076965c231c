//! Replays of a trace over a memory with a replacement policy.

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

/// Replays a trace over a memory with a replacement policy, in stretches.
#[pyclass(frozen, module = "mmcore._mmcore")]
struct PolicyReplay {
    requests: Vec<u32>,
    /// Boxed, because the interpreter aligns objects to 16 bytes at most, and a machine is aligned to cache
    /// lines.
    state: Mutex<Option<(Box<Replacement>, usize)>>,
}

/// The alignment of Python objects: a multiple of 16 bytes.
const _: () = assert!(align_of::<PolicyReplay>() <= 16);

#[pymethods]
impl PolicyReplay {
    /// Makes an empty memory of `size` pages with the policy of the profile. `requests` are page numbers
    /// below `footprint`; the first `warm_up` of them are replayed, but not counted.
    ///
    /// `ValueError` for a page number that is not below `footprint`, and for a memory or trace without pages.
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

    /// Replays at most `most` further requests and returns the number replayed in all.
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

    /// Audits the machine, if there is one, and returns the counts as JSON.
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
        // A panic leaves counts that are still valid to read.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bad(error: &LoadError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
