//! Programs on real threads: the program is text, the report is JSON.

use crate::errors::input;
use mmcore::program::replay::{KernelPages, replay};
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

/// Checks that the host can give this many bytes; `MemoryError` if it cannot. The code that runs next
/// allocates them without a check, and a failure there would abort the process.
pub(crate) fn room(bytes: usize) -> PyResult<()> {
    let mut probe: Vec<u8> = Vec::new();
    let no_memory = |_| PyMemoryError::new_err(format!("there is no memory for {bytes} bytes"));
    probe.try_reserve_exact(bytes).map_err(no_memory)
}

/// Attaches the result so far to an exception that ends a call early. `mmcore._interrupted` takes it off
/// again.
pub(crate) fn with_partial(py: Python<'_>, error: PyErr, result: String) -> PyErr {
    // An exception that refuses the attribute is raised without it.
    let _ = error.value(py).setattr("_partial", result);
    error
}

/// Parses the program, and the machine line whose fields change the program's machine.
fn read(program: &str, machine: &str) -> PyResult<(Program, MachineSpec)> {
    let by = parse(machine).map_err(input)?.machine.unwrap_or_default();
    Ok((parse(program).map_err(input)?, by))
}

fn options(patience: f64) -> PyResult<RunOptions> {
    // A time beyond the range of the clock is no limit.
    let patience = Duration::try_from_secs_f64(patience).unwrap_or(Duration::MAX);
    Ok(RunOptions { patience, ..RunOptions::default() })
}

/// Checks for signals. `Go::Stop` if a handler raised; its exception is kept in `raised`.
fn ask(raised: &mut Option<PyErr>) -> Go {
    if raised.is_none() {
        *raised = Python::attach(|py| py.check_signals()).err();
    }
    if raised.is_some() { Go::Stop } else { Go::On }
}

/// The report, or the exception that a signal handler raised, which then carries the report so far.
fn report_or_raise<T: Serialize>(
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

/// Runs a program once and returns the report as JSON. `machine` is a machine line whose fields replace those
/// of the program. Threads that make no progress for `patience` seconds are stopped.
///
/// `InputError` if the program or the machine line is not valid or cannot be run.
#[pyfunction]
fn run_program(py: Python<'_>, program: &str, machine: &str, patience: f64) -> PyResult<String> {
    let (program, by) = read(program, machine)?;
    let options = options(patience)?;
    let mut raised = None;
    let report = py.detach(|| run(&program, &by, &options, &mut || ask(&mut raised)));
    report_or_raise(py, raised, report)
}

/// Runs a program again and again on fresh machines, until a rule breaks or `seconds` have passed, and
/// returns the report as JSON. The other arguments and the errors are those of `run_program`.
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
    // A deadline beyond the range of the clock is none.
    let end = Duration::try_from_secs_f64(seconds).ok().and_then(|time| Instant::now().checked_add(time));
    let mut raised = None;
    let report = py.detach(|| {
        stress(&program, &by, &options, &mut || match ask(&mut raised) {
            Go::On if end.is_some_and(|end| Instant::now() >= end) => Go::Finish,
            go => go,
        })
    });
    report_or_raise(py, raised, report)
}

/// Runs a script as a recording of a real kernel was made: returns every step with the state that was visible
/// after it.
pub(crate) fn replayed(
    py: Python<'_>,
    program: &str,
    machine: &str,
    kernel: Vec<KernelPages>,
) -> PyResult<String> {
    let (program, by) = read(program, machine)?;
    let mut raised = None;
    let report = py.detach(|| replay(&program, &by, kernel, &mut || ask(&mut raised)));
    report_or_raise(py, raised, report)
}
