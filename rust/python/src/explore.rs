//! The explorer: programs, options and results as JSON.
//!
//! The work runs detached on an OS thread of its own; the calling thread waits for it and looks for
//! signals and for the end of the time meanwhile.

use mmcore_explored::explore::{
    ProgramReport, Replayed, Request, Schedule, explore_program, minimum as least, outcomes_of,
    replay_program, shrink_counterexample,
};
use mmcore_explored::program::{Program, session};
use mmcore_explored::sync::Mutation;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(explore, module)?)?;
    module.add_function(wrap_pyfunction!(replay, module)?)?;
    module.add_function(wrap_pyfunction!(shrink, module)?)?;
    module.add_function(wrap_pyfunction!(minimum, module)?)?;
    module.add_function(wrap_pyfunction!(outcomes, module)?)?;
    module.add_function(wrap_pyfunction!(unsupported, module)?)?;
    module.add_function(wrap_pyfunction!(mutations, module)?)
}

/// How often the waiting thread looks up.
const LOOK: Duration = Duration::from_millis(20);

/// Searches the schedules of a program; the report as JSON. `seconds` ends the search early.
#[pyfunction]
#[pyo3(signature = (program, options, seconds=None))]
fn explore(py: Python<'_>, program: &str, options: &str, seconds: Option<f64>) -> PyResult<String> {
    let program = read(program)?;
    let options = request(options)?.program_options().map_err(PyValueError::new_err)?;
    let work = |stop: &AtomicBool| explore_program(&program, &options, stop).map_err(|e| e.to_string());
    let report: ProgramReport = waited_for(py, seconds, work)?;
    serde_json::to_string(&report).map_err(told)
}

/// Runs one schedule of a program; what happened as JSON.
#[pyfunction]
fn replay(py: Python<'_>, program: &str, schedule: &str, options: &str) -> PyResult<String> {
    let (program, schedule, request) = (read(program)?, steps(schedule)?, request(options)?);
    let mutation = request.mutation().map_err(PyValueError::new_err)?;
    let work = |_: &AtomicBool| {
        replay_program(&program, &request.machine, &schedule, request.options(), mutation)
            .map_err(|error| error.to_string())
    };
    let replayed: Replayed = waited_for(py, None, work)?;
    serde_json::to_string(&replayed).map_err(told)
}

/// Makes a program and a schedule that break a rule smaller; the counterexample as JSON, `null` if they
/// break none.
#[pyfunction]
fn shrink(py: Python<'_>, program: &str, schedule: &str, options: &str) -> PyResult<String> {
    let (program, schedule) = (read(program)?, steps(schedule)?);
    let options = request(options)?.program_options().map_err(PyValueError::new_err)?;
    let work = |_: &AtomicBool| {
        shrink_counterexample(&program, &schedule, &options).map_err(|error| error.to_string())
    };
    serde_json::to_string(&waited_for(py, None, work)?).map_err(told)
}

/// The smallest race by which a program, or a part of it, breaks `rule`, as JSON; `null` if there is none.
/// `limit` schedules of each part are searched.
#[pyfunction]
fn minimum(py: Python<'_>, program: &str, rule: &str, options: &str, limit: u64) -> PyResult<String> {
    let program = read(program)?;
    let options = request(options)?.program_options().map_err(PyValueError::new_err)?;
    let work = |_: &AtomicBool| least(&program, rule, &options, limit).map_err(|error| error.to_string());
    serde_json::to_string(&waited_for(py, None, work)?).map_err(told)
}

/// Everything that the schedules of a program come to, as JSON. `seconds` ends the search early.
#[pyfunction]
#[pyo3(signature = (program, options, seconds=None))]
fn outcomes(py: Python<'_>, program: &str, options: &str, seconds: Option<f64>) -> PyResult<String> {
    let program = read(program)?;
    let options = request(options)?.program_options().map_err(PyValueError::new_err)?;
    let work = |stop: &AtomicBool| outcomes_of(&program, &options, stop).map_err(|error| error.to_string());
    serde_json::to_string(&waited_for(py, seconds, work)?).map_err(told)
}

/// The operations of a program that the core does not offer: each with the reason.
#[pyfunction]
fn unsupported(program: &str) -> PyResult<Vec<(String, &'static str)>> {
    let program = read(program)?;
    let missing = |op: &mmcore_explored::program::Op| Some((op.to_string(), session::unsupported(op)?));
    Ok(program.ops().filter_map(missing).collect())
}

/// The defects that the explored core can be given: name, origin, what is wrong.
#[pyfunction]
fn mutations() -> Vec<(&'static str, &'static str, &'static str)> {
    Mutation::ALL.iter().map(|m| (m.name(), m.origin(), m.defect())).collect()
}

fn read(program: &str) -> PyResult<Program> {
    Program::from_json(program).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn steps(schedule: &str) -> PyResult<Schedule> {
    schedule
        .parse()
        .map_err(|error: mmcore_explored::explore::ScheduleError| PyValueError::new_err(error.to_string()))
}

fn request(options: &str) -> PyResult<Request> {
    Request::from_json(options).map_err(PyValueError::new_err)
}

fn told(error: serde_json::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Runs `work` on a thread of its own until it ends, the time is over, or a signal raises.
fn waited_for<T: Send>(
    py: Python<'_>,
    seconds: Option<f64>,
    work: impl FnOnce(&AtomicBool) -> Result<T, String> + Send,
) -> PyResult<T> {
    let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let begin = Instant::now();
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, mut waiting) = channel();
        scope.spawn(move || done.send(work(stop)));
        let mut raised = Ok(());
        loop {
            let waiting = &mut waiting;
            match py.detach(move || waiting.recv_timeout(LOOK)) {
                Ok(result) => return raised.and_then(|()| result.map_err(PyValueError::new_err)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(PyValueError::new_err("the explorer stopped without a result"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if raised.is_ok() {
                raised = py.check_signals();
            }
            if raised.is_err() || limit.is_some_and(|limit| begin.elapsed() >= limit) {
                // Relaxed: a request that orders nothing.
                stop.store(true, Ordering::Relaxed);
            }
        }
    })
}
