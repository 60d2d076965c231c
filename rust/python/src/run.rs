//! Programs on real threads: the program comes as text, the report goes as JSON.

use crate::errors::input;
use mmcore::program::run::{RunOptions, run, stress};
use mmcore::program::{MachineSpec, Program, parse};
use pyo3::prelude::*;
use std::time::{Duration, Instant};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(run_program, module)?)?;
    module.add_function(wrap_pyfunction!(stress_program, module)?)
}

/// How long a stress run goes on between two looks at the interpreter's signals.
const LOOK: Duration = Duration::from_millis(100);

/// The program, and the machine line that changes its machine.
fn read(program: &str, machine: &str) -> PyResult<(Program, MachineSpec)> {
    let by = parse(machine).map_err(input)?.machine.unwrap_or_default();
    Ok((parse(program).map_err(input)?, by))
}

fn options(patience: f64) -> PyResult<RunOptions> {
    Ok(RunOptions { patience: Duration::try_from_secs_f64(patience).map_err(input)? })
}

/// One pass.
#[pyfunction]
fn run_program(py: Python<'_>, program: &str, machine: &str, patience: f64) -> PyResult<String> {
    let (program, by) = read(program, machine)?;
    let options = options(patience)?;
    let report = py.detach(|| run(&program, &by, &options)).map_err(input)?;
    serde_json::to_string(&report).map_err(input)
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
    let end = Instant::now() + Duration::try_from_secs_f64(seconds).map_err(input)?;
    let mut interrupted = None;
    let report = py.detach(|| {
        let mut look = Instant::now();
        stress(&program, &by, &options, &mut || {
            let now = Instant::now();
            if now >= look {
                look = now + LOOK;
                interrupted = Python::attach(|py| py.check_signals()).err();
            }
            interrupted.is_none() && now < end
        })
    });
    match interrupted {
        Some(error) => Err(error),
        None => serde_json::to_string(&report.map_err(input)?).map_err(input),
    }
}
