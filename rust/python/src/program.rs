//! Programs as JSON: the text of a program becomes JSON and JSON becomes text. `mmcore.program` makes its
//! classes from the JSON.

use crate::run::room;
use mmcore::program::{Program, operations, parse};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(parse_program, module)?)?;
    module.add_function(wrap_pyfunction!(print_program, module)?)?;
    module.add_function(wrap_pyfunction!(program_operations, module)?)
}

/// The most bytes of memory that parsing and printing take for each byte of a program's text. A text that
/// consists of `sync` lines takes the most: `sync` is the shortest operation, so no other text has as many
/// operations for its length.
const PARSED: usize = 128;

/// Parses the text of a program and returns the program as JSON.
///
/// Raises:
///     MemoryError: if the host has no memory for a program of this length.
///     ValueError: with ``(message, line, column)`` as its arguments, if the text is malformed.
#[pyfunction]
fn parse_program(py: Python<'_>, text: &str) -> PyResult<String> {
    room(text.len().saturating_mul(PARSED))?;
    let program = py.detach(|| parse(text));
    let program = program.map_err(|e| PyValueError::new_err((e.message, e.line, e.column)))?;
    Ok(program.to_json())
}

/// Writes a program, given as JSON, in the canonical text form.
///
/// Raises:
///     MemoryError: if the host has no memory for a program of this length.
///     ValueError: if the JSON is no program.
#[pyfunction]
fn print_program(py: Python<'_>, json: &str) -> PyResult<String> {
    room(json.len().saturating_mul(PARSED))?;
    let program = py.detach(|| Program::from_json(json));
    Ok(program.map_err(|e| PyValueError::new_err(e.to_string()))?.to_string())
}

/// The operations of the language, as a JSON list: name, first word, usage, arguments and description of
/// each.
#[pyfunction]
fn program_operations() -> PyResult<String> {
    serde_json::to_string(operations()).map_err(|e| PyValueError::new_err(e.to_string()))
}
