//! A script replayed as a recording of a real kernel was made: text in, JSON out.

use crate::run::replayed;
use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(replay_program, module)?)
}

/// Every step with what could be seen after it.
#[pyfunction]
fn replay_program(py: Python<'_>, program: &str, machine: &str) -> PyResult<String> {
    replayed(py, program, machine)
}
