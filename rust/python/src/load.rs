//! Loads: configurations and reports are JSON, traces are arrays.

use crate::array;
use crate::errors::{misuse, type_error};
use crate::fork;
use crate::held_objects::HeldObjects;
use crate::waits::{hear_signals, with_callbacks};
use mmcore::load::{Decision, Epoch, LoadConfig, LoadError, Policy, Rig, Trace, count_hits, open_with};
use mmcore::sync::interruptible;
use mmcore_counted::load as counted;
use parking_lot::Mutex;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyIndexError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use std::sync::Arc;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<LoadRig>()?;
    module.add_function(wrap_pyfunction!(count_ops, module)?)?;
    module.add_function(wrap_pyfunction!(hits, module)?)?;
    module.add_function(wrap_pyfunction!(count_puts, module)?)
}

/// A trace: for each access the page, whether it writes, and the thread. The thread is ignored: a load
/// distributes the accesses by page, so that the accesses to each page stay in the trace's order.
type Arrays = (PyBuffer<u32>, PyBuffer<u8>, PyBuffer<u16>);

/// A policy in Python: a callable that is given hits, node and age of all pages, and returns the pages to
/// promote and the pages to demote.
///
/// The thread that asks the policy holds no lock when it attaches to the interpreter. An exception of the
/// callable ends the load, and is raised by the call that runs the load.
///
/// A [`LoadRig`] shows its callable to the garbage collector, and lives until the last call of the policy is
/// over. In `count_hits` the policy lives during the call only.
struct PythonPolicy(HeldObjects);

/// Runs long work of a load. An exception that a signal handler raises ends the work: its partial result is
/// dropped, and the caller gets the exception.
fn heard<T: Send, E: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> PyResult<Result<T, E>> {
    py.detach(|| with_callbacks(|| interruptible(hear_signals, work), drop))
}

/// As [`heard`], for the counting build of the core, whose work asks its own `interruptible`.
fn heard_counting<T: Send, E: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> PyResult<Result<T, E>> {
    py.detach(|| with_callbacks(|| mmcore_counted::sync::interruptible(hear_signals, work), drop))
}

/// The key under which the Python objects of a policy keep the callable.
const CALLABLE: u64 = 0;

/// The key of the exception that the callable has raised.
const RAISED: u64 = 1;

impl PythonPolicy {
    fn new(py: Python<'_>, callable: Py<PyAny>) -> Arc<PythonPolicy> {
        let objects = HeldObjects::default();
        objects.set(py, CALLABLE, Some(callable));
        Arc::new(PythonPolicy(objects))
    }

    fn ask(&self, py: Python<'_>, epoch: Epoch<'_>) -> PyResult<Decision> {
        let hits = array::filled(py, "uint32", epoch.hits)?;
        let node = array::filled(py, "int8", epoch.node)?;
        let age = array::filled(py, "uint32", epoch.age)?;
        // The callable is missing only if the collector has cleared the load.
        let callable =
            self.0.get(py, CALLABLE).ok_or_else(|| misuse("the garbage collector has cleared this load"))?;
        let answer = callable.call1((hits, node, age))?;
        let two =
            || type_error("a policy returns two arrays of page numbers: what to promote and what to demote");
        let answer = answer.cast::<PyTuple>().ok().filter(|answer| answer.len() == 2).ok_or_else(two)?;
        let pages = epoch.hits.len();
        let numbers = |what: &str, at: usize| -> PyResult<Vec<u32>> {
            let numbers = array::integers(what, &answer.get_item(at)?, None)?;
            let number = |&number: &i64| match usize::try_from(number) {
                Ok(page) if page < pages => Ok(page as u32),
                _ => Err(PyIndexError::new_err(format!("{what}: no page {number}, the trace has {pages}"))),
            };
            let mut found = array::reserved(numbers.len())?;
            for one in &numbers {
                found.push(number(one)?);
            }
            Ok(found)
        };
        Ok(Decision { promote: numbers("promote", 0)?, demote: numbers("demote", 1)? })
    }

    /// The exception of the callable, in place of the load's error that only repeats it.
    fn instead(&self, py: Python<'_>, error: PyErr) -> PyErr {
        self.0.take(py, RAISED).map_or(error, PyErr::from_value)
    }
}

impl Policy for PythonPolicy {
    fn decide(&self, epoch: Epoch<'_>) -> Result<Decision, String> {
        let decided = Python::try_attach(|py| {
            self.ask(py, epoch).map_err(|error| {
                let why = error.to_string();
                self.0.set(py, RAISED, Some(error.into_value(py).into_any()));
                why
            })
        });
        decided.ok_or("the interpreter has ended")?
    }
}

/// A load on a machine, run in rounds.
#[pyclass(frozen, module = "mmcore._mmcore")]
struct LoadRig {
    /// Taken out while a round runs: a round may call Python, and no lock may be held then.
    rig: Mutex<Option<Box<dyn Rig>>>,
    policy: Option<Arc<PythonPolicy>>,
    process: fork::Process,
}

/// A forked child leaks the rig. A thread that a round has left behind does not exist there, and a lock that
/// the thread held at the fork is never released.
impl Drop for LoadRig {
    fn drop(&mut self) {
        if !self.process.is_current() {
            std::mem::forget(self.rig.get_mut().take());
        }
    }
}

#[pymethods]
impl LoadRig {
    /// Builds a load and its machine from a configuration in JSON. The load ``tiering`` needs a ``trace``,
    /// and takes a ``policy``: a callable that gets three arrays of shape (pages,) after each epoch. They are
    /// the hits of each page (uint32), its node (int8; -1 before the first access and while it moves) and
    /// the epochs since its last access (uint32). The callable returns two arrays of page numbers: the pages
    /// to promote and the pages to demote.
    ///
    /// Raises:
    ///     MemoryError: if the host has no memory for a copy of the trace.
    ///     RuntimeError: if the machine breaks a rule while the load is prepared.
    ///     ValueError: if the configuration or the trace cannot be run, or the host has too little memory for
    ///         the machine.
    #[new]
    #[pyo3(signature = (config_json, trace=None, policy=None, /))]
    fn new(
        py: Python<'_>,
        config_json: &str,
        trace: Option<Arrays>,
        policy: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let trace = copied(py, trace)?.map(|(ids, writes)| Trace { ids, writes });
        let policy = policy.map(|callable| PythonPolicy::new(py, callable));
        let asked = policy.clone().map(|policy| policy as Arc<dyn Policy>);
        let rig = heard(py, || open_with(&LoadConfig::from_json(config_json)?, trace, asked))?;
        let rig = rig.map_err(raised).map_err(|error| match &policy {
            Some(policy) => policy.instead(py, error),
            None => error,
        })?;
        Ok(LoadRig { rig: Mutex::new(Some(rig)), policy, process: fork::Process::current() })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.policy.as_ref().map_or(Ok(()), |policy| policy.0.visit(&visit))
    }

    fn __clear__(&self, py: Python<'_>) {
        if let Some(policy) = &self.policy {
            policy.0.clear(py);
        }
    }

    /// Runs one round of ``seconds``, a day at most, and returns its report as JSON. An exception of a signal
    /// handler ends the round, which has no report then; the load can be run again. An exception of the
    /// policy ends the load, and is raised here.
    ///
    /// Raises:
    ///     MisuseError: if another thread runs this load.
    ///     RuntimeError: if the machine has broken a rule, now or in an earlier round.
    ///     ValueError: if the load has finished, the time is out of range, or the host has no threads.
    #[pyo3(signature = (round_seed, seconds, /))]
    fn run(&self, py: Python<'_>, round_seed: u64, seconds: f64) -> PyResult<String> {
        self.with(py, |rig| rig.run(round_seed, seconds).map(|round| round.to_json()))
    }

    /// Verifies the content, audits the machine, frees everything and returns the report as JSON. An
    /// exception of a signal handler ends the verification; the load can be finished again. The errors are
    /// those of `run`.
    fn finish(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |rig| rig.finish().map(|end| end.to_json()))
    }
}

impl LoadRig {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut dyn Rig) -> Result<T, LoadError> + Send,
    ) -> PyResult<T> {
        let done = heard(py, || {
            // The call does not wait for another thread's round: the round may take long, and in a forked
            // child it never ends.
            let rig = self.rig.lock().take().ok_or_else(|| misuse("another thread runs this load"))?;
            let mut lent = Lent { place: &self.rig, rig: Some(rig) };
            work(&mut **lent.rig.as_mut().expect("it is there until the end")).map_err(raised)
        })?;
        done.map_err(|error| match &self.policy {
            Some(policy) => policy.instead(py, error),
            None => error,
        })
    }
}

/// The rig while a round uses it. It goes back into its place however the round ends. After a round that has
/// failed, the rig itself refuses further ones.
struct Lent<'a> {
    place: &'a Mutex<Option<Box<dyn Rig>>>,
    rig: Option<Box<dyn Rig>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        *self.place.lock() = self.rig.take();
    }
}

/// Counts the operations of a load (atomic read-modify-writes, fences, locks and the like) in the counting
/// build, and returns the numbers as JSON. The load runs on one thread with one migrator, until 10,000 pages
/// have migrated or 40,000 calls were made. The errors are those of `LoadRig`.
#[pyfunction]
#[pyo3(signature = (config_json, trace=None, /))]
fn count_ops(py: Python<'_>, config_json: &str, trace: Option<Arrays>) -> PyResult<String> {
    let trace = copied(py, trace)?.map(|(ids, writes)| counted::Trace { ids, writes });
    heard_counting(py, || counted::count_ops(&counted::LoadConfig::from_json(config_json)?, trace))?
        .map(|ops| ops.to_json())
        .map_err(|error| exception(matches!(error, counted::LoadError::Failed(_)), &error))
}

/// Counts on which nodes a fixed number of a trace's accesses find their pages, and returns the numbers as
/// JSON. The accesses are those of the whole trace, within two bounds: at least 2**21, for which a shorter
/// trace is repeated, and at most 2**25. A policy may choose the pages that move. The errors are those of
/// `LoadRig`.
#[pyfunction]
#[pyo3(name = "count_hits", signature = (config_json, trace=None, policy=None, /))]
fn hits(
    py: Python<'_>,
    config_json: &str,
    trace: Option<Arrays>,
    policy: Option<Py<PyAny>>,
) -> PyResult<String> {
    let trace = copied(py, trace)?.map(|(ids, writes)| Trace { ids, writes });
    let policy = policy.map(|callable| PythonPolicy::new(py, callable));
    let asked = policy.clone().map(|policy| policy as Arc<dyn Policy>);
    heard(py, || count_hits(&LoadConfig::from_json(config_json)?, trace, asked))?
        .map(|hits| hits.to_json())
        .map_err(raised)
        .map_err(|error| match &policy {
            Some(policy) => policy.instead(py, error),
            None => error,
        })
}

/// Counts the operations of 1,000 puts that leave a reference and of 1,000 last puts, under the release
/// design of a configuration, in the counting build. Returns the sums as JSON. ValueError if the machine
/// cannot be built.
#[pyfunction]
#[pyo3(signature = (config_json, /))]
fn count_puts(py: Python<'_>, config_json: &str) -> PyResult<String> {
    py.detach(|| counted::count_puts(&counted::LoadConfig::from_json(config_json)?))
        .map(|ops| ops.to_json())
        .map_err(|error| exception(matches!(error, counted::LoadError::Failed(_)), &error))
}

fn copied(py: Python<'_>, trace: Option<Arrays>) -> PyResult<Option<(Vec<u32>, Vec<u8>)>> {
    let Some((ids, writes, _)) = trace else { return Ok(None) };
    Ok(Some((array::copied(py, &ids)?, array::copied(py, &writes)?)))
}

fn raised(error: LoadError) -> PyErr {
    exception(matches!(error, LoadError::Failed(_)), &error)
}

/// A finding in the machine is a RuntimeError. Any other error is a ValueError, such as an invalid
/// configuration or too little memory of the host.
fn exception(finding: bool, error: &dyn std::fmt::Display) -> PyErr {
    match finding {
        true => PyRuntimeError::new_err(error.to_string()),
        false => PyValueError::new_err(error.to_string()),
    }
}
