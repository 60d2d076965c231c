//! The text language of programs as JSON, from which the Python classes are made.

use crate::run::room;
use mmcore::program::{Program, operations, parse};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(parse_program, module)?)?;
    module.add_function(wrap_pyfunction!(print_program, module)?)?;
    module.add_function(wrap_pyfunction!(program_operations, module)?)
}

/// The most memory that reading and exporting takes for a byte of text, in bytes; the shortest operation is
/// `sync`.
const PARSED: usize = 128;

/// Parses a program's text. ValueError(message, line, column) for malformed text.
#[pyfunction]
fn parse_program(py: Python<'_>, text: &str) -> PyResult<String> {
    room(text.len().saturating_mul(PARSED))?;
    let program = py.detach(|| parse(text));
    let program = program.map_err(|e| PyValueError::new_err((e.message, e.line, e.column)))?;
    Ok(program.to_json())
}

/// Writes a program, given as JSON, in the canonical text form. ValueError(message) if the JSON is no
/// program.
#[pyfunction]
fn print_program(py: Python<'_>, json: &str) -> PyResult<String> {
    room(json.len().saturating_mul(PARSED))?;
    let program = py.detach(|| Program::from_json(json));
    Ok(program.map_err(|e| PyValueError::new_err(e.to_string()))?.to_string())
}

/// The operations of the language, as JSON.
#[pyfunction]
fn program_operations() -> PyResult<String> {
    serde_json::to_string(operations()).map_err(|e| PyValueError::new_err(e.to_string()))
}
