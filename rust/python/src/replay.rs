//! A script replayed as a recording of a real kernel was made: text in, JSON out.

use crate::errors::input;
use mmcore::program::parse;
use mmcore::program::replay::replay;
use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(replay_program, module)?)
}

/// Every step with what could be seen after it.
#[pyfunction]
fn replay_program(py: Python<'_>, program: &str, machine: &str) -> PyResult<String> {
    let by = parse(machine).map_err(input)?.machine.unwrap_or_default();
    let program = parse(program).map_err(input)?;
    let report = py.detach(|| replay(&program, &by)).map_err(input)?;
    serde_json::to_string(&report).map_err(input)
}
