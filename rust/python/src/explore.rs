//! The explorer: programs, options and results as JSON.
//!
//! The work runs detached on an OS thread of its own; the calling thread waits for it and looks for
//! signals and for the end of the time meanwhile.

use crate::run::{room, with_partial};
use mmcore_explored::explore::{
    ProgramOptions, Request, Schedule, explore_program, minimum as least, outcomes_of, replay_program,
    shrink_counterexample,
};
use mmcore_explored::program::{Program, session};
use mmcore_explored::sync::Mutation;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use serde::Serialize;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Stop>()?;
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

/// A request that explorations stop, from whatever thread: signals reach the main thread alone.
#[pyclass(frozen, module = "mmcore._mmcore")]
#[derive(Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

#[pymethods]
impl Stop {
    #[new]
    fn new() -> Stop {
        Stop::default()
    }

    /// Tells them to stop.
    fn set(&self) {
        // Relaxed: a request that orders nothing.
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Searches the schedules of a program; the report as JSON. `seconds` or `stop` ends the search early. What a signal
/// raises carries the report so far.
#[pyfunction]
#[pyo3(signature = (program, options, seconds=None, stop=None))]
fn explore(
    py: Python<'_>,
    program: &str,
    options: &str,
    seconds: Option<f64>,
    stop: Option<&Stop>,
) -> PyResult<String> {
    let program = read(program)?;
    let options = with_room(request(options)?)?;
    let work = |stop: &AtomicBool| {
        json(explore_program(&program, &options, stop).map_err(|error| error.to_string()))
    };
    waited_for(py, seconds, stop, work)
}

/// Runs one schedule of a program; what happened as JSON.
#[pyfunction]
fn replay(py: Python<'_>, program: &str, schedule: &str, options: &str) -> PyResult<String> {
    let (program, schedule, request) = (read(program)?, steps(schedule)?, request(options)?);
    let mutation = request.mutation().map_err(PyValueError::new_err)?;
    with_room(request.clone())?;
    let work = |_: &AtomicBool| {
        let replayed = replay_program(&program, &request.machine, &schedule, request.options(), mutation);
        json(replayed.map_err(|error| error.to_string()))
    };
    waited_for(py, None, None, work)
}

/// Makes a program and a schedule that break a rule smaller; the counterexample as JSON, `null` if they
/// break none. What a signal raises carries the counterexample as small as it is by then.
#[pyfunction]
fn shrink(py: Python<'_>, program: &str, schedule: &str, options: &str) -> PyResult<String> {
    let (program, schedule) = (read(program)?, steps(schedule)?);
    let options = with_room(request(options)?)?;
    let work = |stop: &AtomicBool| {
        let shrunk = shrink_counterexample(&program, &schedule, &options, stop);
        json(shrunk.map_err(|error| error.to_string()))
    };
    waited_for(py, None, None, work)
}

/// The smallest race by which a program, or a part of it, breaks `rule`, as JSON; `null` if there is none.
/// `limit` schedules of each part are searched.
#[pyfunction]
fn minimum(py: Python<'_>, program: &str, rule: &str, options: &str, limit: u64) -> PyResult<String> {
    let program = read(program)?;
    let options = with_room(request(options)?)?;
    let work = |stop: &AtomicBool| {
        json(least(&program, rule, &options, limit, stop).map_err(|error| error.to_string()))
    };
    waited_for(py, None, None, work)
}

/// Everything that the schedules of a program come to, as JSON. `seconds` ends the search early. What a
/// signal raises carries those met by then.
#[pyfunction]
#[pyo3(signature = (program, options, seconds=None))]
fn outcomes(py: Python<'_>, program: &str, options: &str, seconds: Option<f64>) -> PyResult<String> {
    let program = read(program)?;
    let options = with_room(request(options)?)?;
    let work =
        |stop: &AtomicBool| json(outcomes_of(&program, &options, stop).map_err(|error| error.to_string()));
    waited_for(py, seconds, None, work)
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

fn json<T: Serialize>(result: Result<T, String>) -> Result<String, String> {
    result.and_then(|result| serde_json::to_string(&result).map_err(|error| error.to_string()))
}

/// Memory that each job takes beside what its steps take.
const JOB: usize = 24 << 20;

/// Address space that the C library reserves for what a thread allocates.
const ARENA: usize = 64 << 20;

/// The options, if there is memory for what they ask for: what the explorer reserves at its beginning must not fail.
fn with_room(request: Request) -> PyResult<ProgramOptions> {
    let options = request.program_options().map_err(PyValueError::new_err)?;
    let jobs = options.working();
    let each = (options.options.max_steps as usize).saturating_mul(64).saturating_add(JOB);
    // A thread waits for the jobs, another one for that thread; beyond a few for each processor arenas are shared.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let arenas = (jobs + 3).min(8 * processors) * ARENA;
    room(jobs.saturating_mul(each).saturating_add(arenas))?;
    Ok(options)
}

/// Runs `work` on a thread of its own until it ends, the time is over, it is told to stop, or a signal raises. In
/// the last case what it has by then goes with the exception.
fn waited_for(
    py: Python<'_>,
    seconds: Option<f64>,
    stop: Option<&Stop>,
    work: impl FnOnce(&AtomicBool) -> Result<String, String> + Send,
) -> PyResult<String> {
    // What is longer than any clock runs has no end.
    let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let begin = Instant::now();
    let told = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, mut waiting) = channel();
        let body = move || done.send(catch_unwind(AssertUnwindSafe(|| work(told))).map_err(broken));
        let spawned = Builder::new().spawn_scoped(scope, body);
        spawned.map_err(|error| PyMemoryError::new_err(format!("the host has no more threads: {error}")))?;
        let mut raised: Option<PyErr> = None;
        loop {
            let waiting = &mut waiting;
            match py.detach(move || waiting.recv_timeout(LOOK)) {
                Ok(result) => return ended(py, raised, result),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(PyValueError::new_err("the explorer stopped without a result"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if raised.is_none() {
                raised = py.check_signals().err();
            }
            // Relaxed (both): requests that order nothing.
            let asked = stop.is_some_and(|stop| stop.0.load(Ordering::Relaxed));
            if asked || raised.is_some() || limit.is_some_and(|limit| begin.elapsed() >= limit) {
                told.store(true, Ordering::Relaxed);
            }
        }
    })
}

/// What a panic of the explorer says.
fn broken(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}

/// The result; or what a signal raised, with the result.
fn ended(
    py: Python<'_>,
    raised: Option<PyErr>,
    result: Result<Result<String, String>, String>,
) -> PyResult<String> {
    match (raised, result) {
        (Some(error), Ok(Ok(result))) => Err(with_partial(py, error, result)),
        (Some(error), _) => Err(error),
        (None, Ok(result)) => result.map_err(PyValueError::new_err),
        (None, Err(text)) if text.contains("no memory") => Err(PyMemoryError::new_err(text)),
        (None, Err(text)) => Err(PyRuntimeError::new_err(format!("the explorer broke down: {text}"))),
    }
}
