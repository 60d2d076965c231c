//! Programs on real threads: the program comes as text, the report goes as JSON.

use crate::errors::input;
use mmcore::program::replay::replay;
use mmcore::program::run::{Go, RunOptions, run, stress};
use mmcore::program::{MachineSpec, Program, SetupError, parse};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use serde::Serialize;
use std::time::{Duration, Instant};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(run_program, module)?)?;
    module.add_function(wrap_pyfunction!(stress_program, module)?)
}

/// Memory that can be had, or `MemoryError`: what comes next reserves so much without asking, and must not fail.
pub(crate) fn room(bytes: usize) -> PyResult<()> {
    let mut probe: Vec<u8> = Vec::new();
    let told = |_| PyMemoryError::new_err(format!("there is no memory for {bytes} bytes"));
    probe.try_reserve_exact(bytes).map_err(told)
}

/// An exception that ends a call early, with what the call has by then: `mmcore._interrupted` takes it off again.
pub(crate) fn with_partial(py: Python<'_>, error: PyErr, result: String) -> PyErr {
    // An exception that cannot carry it is raised all the same.
    let _ = error.value(py).setattr("_partial", result);
    error
}

/// The program, and the machine line that changes its machine.
fn read(program: &str, machine: &str) -> PyResult<(Program, MachineSpec)> {
    let by = parse(machine).map_err(input)?.machine.unwrap_or_default();
    Ok((parse(program).map_err(input)?, by))
}

fn options(patience: f64) -> PyResult<RunOptions> {
    // What is longer than any clock runs has no end.
    let patience = Duration::try_from_secs_f64(patience).unwrap_or(Duration::MAX);
    Ok(RunOptions { patience, ..RunOptions::default() })
}

/// Asks the interpreter whether to go on; keeps what a signal raised.
fn ask(raised: &mut Option<PyErr>) -> Go {
    if raised.is_none() {
        *raised = Python::attach(|py| py.check_signals()).err();
    }
    if raised.is_some() { Go::Stop } else { Go::On }
}

/// The report; or what a signal raised, with the report so far.
fn told<T: Serialize>(
    py: Python<'_>,
    raised: Option<PyErr>,
    report: Result<T, SetupError>,
) -> PyResult<String> {
    match (raised, report) {
        (Some(error), Ok(report)) => Err(match serde_json::to_string(&report) {
            Ok(text) => with_partial(py, error, text),
            Err(_) => error,
        }),
        (Some(error), Err(_)) => Err(error),
        (None, report) => serde_json::to_string(&report.map_err(input)?).map_err(input),
    }
}

/// One pass.
#[pyfunction]
fn run_program(py: Python<'_>, program: &str, machine: &str, patience: f64) -> PyResult<String> {
    let (program, by) = read(program, machine)?;
    let options = options(patience)?;
    let mut raised = None;
    let report = py.detach(|| run(&program, &by, &options, &mut || ask(&mut raised)));
    told(py, raised, report)
}

/// Pass after pass for `seconds`.
#[pyfunction]
fn stress_program(
    py: Python<'_>,
    program: &str,
    machine: &str,
    patience: f64,
    seconds: f64,
) -> PyResult<String> {
    let (program, by) = read(program, machine)?;
    let options = options(patience)?;
    // No end if it is later than the clock can tell.
    let end = Duration::try_from_secs_f64(seconds).ok().and_then(|time| Instant::now().checked_add(time));
    let mut raised = None;
    let report = py.detach(|| {
        stress(&program, &by, &options, &mut || match ask(&mut raised) {
            Go::On if end.is_some_and(|end| Instant::now() >= end) => Go::Finish,
            go => go,
        })
    });
    told(py, raised, report)
}

/// A script replayed as a recording of a real kernel was made: every step with what could be seen after it.
pub(crate) fn replayed(py: Python<'_>, program: &str, machine: &str) -> PyResult<String> {
    let (program, by) = read(program, machine)?;
    let mut raised = None;
    let report = py.detach(|| replay(&program, &by, &mut || ask(&mut raised)));
    told(py, raised, report)
}
