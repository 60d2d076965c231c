//! The explorer: programs, options and results as JSON.
//!
//! The explorer runs on an OS thread of its own, detached from the interpreter. Meanwhile the calling thread
//! checks for signals and for the end of the allowed time.

use crate::errors::input;
use crate::owners::{Ended, PythonOwners};
use crate::run::{room, with_partial};
use mmcore_explored::explore::{
    ProgramOptions, Request, Schedule, ScheduleError, explore_program, minimum as least, outcomes_of,
    replay_program, shrink_counterexample,
};
use mmcore_explored::program::Program;
use mmcore_explored::sync::Mutation;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
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
    module.add_function(wrap_pyfunction!(parse_schedule, module)?)?;
    module.add_function(wrap_pyfunction!(print_schedule, module)?)?;
    module.add_function(wrap_pyfunction!(replay, module)?)?;
    module.add_function(wrap_pyfunction!(shrink, module)?)?;
    module.add_function(wrap_pyfunction!(minimum, module)?)?;
    module.add_function(wrap_pyfunction!(outcomes, module)?)?;
    module.add_function(wrap_pyfunction!(mutations, module)?)
}

/// The time between two checks that the calling thread makes while it waits for the explorer.
const LOOK: Duration = Duration::from_millis(20);

/// A flag that makes explorations stop. Any thread can set it. A signal, in contrast, is handled in the main
/// thread alone, and so ends only an exploration that the main thread waits for.
#[pyclass(frozen, module = "mmcore._mmcore")]
#[derive(Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

#[pymethods]
impl Stop {
    #[new]
    fn new() -> Stop {
        Stop::default()
    }

    /// Makes the explorations that were given this flag stop.
    fn set(&self) {
        // Relaxed: the flag orders no other memory.
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Searches the schedules of a program and returns the report as JSON. The search ends early after `seconds`,
/// or when `stop` is set. An exception raised by a signal handler carries the report so far. `owners` are
/// Python owners of movable pages, by their names in the program.
///
/// Raises:
///     MemoryError: if the host has no memory or no thread for the search.
///     RuntimeError: if the explorer itself fails.
///     ValueError: if the program or the options are not valid, or the program cannot be set up.
#[pyfunction]
#[pyo3(signature = (program, options, seconds=None, stop=None, owners=None))]
fn explore(
    py: Python<'_>,
    program: &str,
    options: &str,
    seconds: Option<f64>,
    stop: Option<&Stop>,
    owners: Option<&Bound<'_, PyDict>>,
) -> PyResult<String> {
    let program = read(program)?;
    let options = with_room(request(options)?)?;
    let owners = PythonOwners::bring(owners)?;
    let ended = owners.ended();
    let work = |stop: &AtomicBool| {
        owners.arrive();
        json(explore_program(&program, &options, stop).map_err(|error| error.to_string()))
    };
    waited_for(py, seconds, stop, &ended, work)
}

/// Runs one schedule of a program and returns as JSON its steps, and the rule that it breaks, if any. An
/// exception raised by a signal handler does not end the schedule: it is raised at the end, and carries the
/// result. The errors are those of `explore`.
#[pyfunction]
#[pyo3(signature = (program, schedule, options, owners=None))]
fn replay(
    py: Python<'_>,
    program: &str,
    schedule: &str,
    options: &str,
    owners: Option<&Bound<'_, PyDict>>,
) -> PyResult<String> {
    let (program, schedule, request) = (read(program)?, steps(schedule)?, request(options)?);
    let mutation = request.mutation().map_err(PyValueError::new_err)?;
    let options = with_room(request.clone())?.options;
    let owners = PythonOwners::bring(owners)?;
    let ended = owners.ended();
    let work = |_: &AtomicBool| {
        owners.arrive();
        let replayed = replay_program(&program, &request.machine, &schedule, options, mutation);
        json(replayed.map_err(|error| error.to_string()))
    };
    waited_for(py, None, None, &ended, work)
}

/// Shrinks a program and a schedule that break a rule. Returns the counterexample as JSON, or `null` if no
/// rule is broken. An exception raised by a signal handler carries the smallest counterexample so far. The
/// errors are those of `explore`.
#[pyfunction]
#[pyo3(signature = (program, schedule, options, owners=None))]
fn shrink(
    py: Python<'_>,
    program: &str,
    schedule: &str,
    options: &str,
    owners: Option<&Bound<'_, PyDict>>,
) -> PyResult<String> {
    let (program, schedule) = (read(program)?, steps(schedule)?);
    let options = with_room(request(options)?)?;
    let owners = PythonOwners::bring(owners)?;
    let ended = owners.ended();
    let work = |stop: &AtomicBool| {
        owners.arrive();
        let shrunk = shrink_counterexample(&program, &schedule, &options, stop);
        json(shrunk.map_err(|error| error.to_string()))
    };
    waited_for(py, None, None, &ended, work)
}

/// Finds the smallest race by which a program, or a part of the program, breaks `rule`. Returns the race as
/// JSON, or `null` if there is none with at most two preemptions. `limit` is the most schedules of one search
/// of a part. The program may have at most 64 operations of threads, and 64 others. An exception raised by a
/// signal handler carries no result. The errors are those of `explore`.
#[pyfunction]
fn minimum(py: Python<'_>, program: &str, rule: &str, options: &str, limit: u64) -> PyResult<String> {
    let program = read(program)?;
    let options = with_room(request(options)?)?;
    let work = |stop: &AtomicBool| {
        json(least(&program, rule, &options, limit, stop).map_err(|error| error.to_string()))
    };
    waited_for(py, None, None, &Ended::default(), work)
}

/// Collects all outcomes of a program's schedules, as JSON. The search ends early after `seconds`. An
/// exception raised by a signal handler carries the outcomes found so far. The errors are those of `explore`,
/// and ValueError also if the program's set-up breaks a rule.
#[pyfunction]
#[pyo3(signature = (program, options, seconds=None))]
fn outcomes(py: Python<'_>, program: &str, options: &str, seconds: Option<f64>) -> PyResult<String> {
    let program = read(program)?;
    let options = with_room(request(options)?)?;
    let work =
        |stop: &AtomicBool| json(outcomes_of(&program, &options, stop).map_err(|error| error.to_string()));
    waited_for(py, seconds, None, &Ended::default(), work)
}

/// Parses a schedule's text into one byte for each step: the number of its thread.
///
/// Raises:
///     InputError: if the text is malformed, or the schedule has more than 2**24 steps.
#[pyfunction]
fn parse_schedule<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyBytes>> {
    let schedule: Schedule = text.parse().map_err(|error: ScheduleError| input(error))?;
    Ok(PyBytes::new(py, schedule.threads()))
}

/// Returns a schedule as text, such as ``0x12,1x3,0``, from the number of the thread of each step.
#[pyfunction]
fn print_schedule(threads: &[u8]) -> String {
    Schedule::new(threads.iter().copied()).to_string()
}

/// Returns the defects that can be planted in the explored core (mutations), each as its name, its origin and
/// a description.
#[pyfunction]
fn mutations() -> Vec<(&'static str, &'static str, &'static str)> {
    Mutation::ALL.iter().map(|m| (m.name(), m.origin(), m.defect())).collect()
}

fn read(program: &str) -> PyResult<Program> {
    Program::from_json(program).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn steps(schedule: &str) -> PyResult<Schedule> {
    schedule.parse().map_err(|error: ScheduleError| PyValueError::new_err(error.to_string()))
}

fn request(options: &str) -> PyResult<Request> {
    Request::from_json(options).map_err(PyValueError::new_err)
}

fn json<T: Serialize>(result: Result<T, String>) -> Result<String, String> {
    result.and_then(|result| serde_json::to_string(&result).map_err(|error| error.to_string()))
}

/// Memory of a job in addition to the memory of its steps, in bytes.
const JOB: usize = 24 << 20;

/// Address space that the C library reserves for the allocations of one thread, in bytes.
const ARENA: usize = 64 << 20;

/// Reads the options and checks that the host has the memory that they need. The explorer's first
/// reservations must not fail, because they would abort the process.
fn with_room(request: Request) -> PyResult<ProgramOptions> {
    let options = request.program_options().map_err(PyValueError::new_err)?;
    let jobs = options.working();
    let each = (options.options.max_steps as usize).saturating_mul(64).saturating_add(JOB);
    // Three threads are added to the jobs: the one that waits for the jobs, the one that waits for
    // that thread, and the caller. The C library makes at most eight arenas for each processor; further
    // threads share them. The number of processors matters only beyond eight arenas, and is not asked for
    // otherwise, because the answer is read from files.
    let mut arenas = jobs + 3;
    if arenas > 8 {
        arenas = arenas.min(8 * std::thread::available_parallelism().map_or(1, usize::from));
    }
    room(jobs.saturating_mul(each).saturating_add(arenas * ARENA))?;
    Ok(options)
}

/// Runs `work` on a thread of its own and returns its result. `work` gets a flag that is set when the time is
/// over, `stop` is set, or a signal handler or an owner raises; `work` then ends early. The exception of a
/// signal handler is raised with the result so far. The exception by which an owner ends the call is raised
/// without a result, because the search has gone on without the owner's answers.
fn waited_for(
    py: Python<'_>,
    seconds: Option<f64>,
    stop: Option<&Stop>,
    owners: &Ended,
    work: impl FnOnce(&AtomicBool) -> Result<String, String> + Send,
) -> PyResult<String> {
    // A time beyond the range of the clock is no limit.
    let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let begin = Instant::now();
    let ends_early = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, mut waiting) = channel();
        let body = move || done.send(catch_unwind(AssertUnwindSafe(|| work(ends_early))).map_err(broken));
        let spawned = Builder::new().spawn_scoped(scope, body);
        spawned.map_err(|error| PyMemoryError::new_err(format!("the host has no more threads: {error}")))?;
        let mut raised: Option<PyErr> = None;
        let mut by_owner: Option<PyErr> = None;
        loop {
            let waiting = &mut waiting;
            let received = py.detach(move || waiting.recv_timeout(LOOK));
            by_owner = by_owner.or_else(|| owners.take());
            match received {
                Ok(result) => return by_owner.map_or_else(|| ended(py, raised, result), Err),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(PyValueError::new_err("the explorer stopped without a result"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if raised.is_none() {
                raised = py.check_signals().err();
            }
            // Relaxed (both): the flags order no other memory.
            let asked = stop.is_some_and(|stop| stop.0.load(Ordering::Relaxed));
            if asked
                || raised.is_some()
                || by_owner.is_some()
                || limit.is_some_and(|limit| begin.elapsed() >= limit)
            {
                ends_early.store(true, Ordering::Relaxed);
            }
        }
    })
}

/// The message of a panic of the explorer.
fn broken(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}

/// The result; or the exception that a signal handler raised, to which the result is then attached.
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
        (None, Err(text)) => Err(PyRuntimeError::new_err(format!("the explorer failed: {text}"))),
    }
}
