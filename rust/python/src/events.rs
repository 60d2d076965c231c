//! `Tracing`: the events of a machine, in order.

use crate::array;
use crate::errors::{Refusal, misuse};
use crate::home::MachineRef;
use mmcore::calls::{Event, Recorded, events};
use mmcore::error::{Error, Result as CoreResult};
use mmcore::memory::more_room;
use mmcore::sync::nanoseconds;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Tracing>()
}

/// Records a machine's events while a ``with`` block lasts, from `Machine.trace`: entries into the kernel's
/// functions that handle pages, returns from them, and the kernel's tracepoints, in order. Iteration yields
/// the events recorded so far, inside of the block too. Another block begins a new recording.
///
/// A machine has one recording at a time: a second one is refused with `MisuseError`.
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct Tracing {
    shared: MachineRef,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: bool,
    /// The time when the block was entered, in nanoseconds of the core's clock.
    began: u64,
    calls: Vec<Recorded>,
    /// The number of events lost because the host had no memory for them.
    lost: u64,
}

impl State {
    /// Appends calls. They are lost, and counted, if the host has no memory for them.
    fn keep(&mut self, mut calls: Vec<Recorded>) -> CoreResult<()> {
        let room = more_room(&mut self.calls, "a trace of so many events", calls.len());
        match &room {
            Ok(()) => self.calls.append(&mut calls),
            Err(_) => self.lost += calls.len() as u64,
        }
        room
    }
}

/// Ends the recording of a block that was never left, so that the machine can be traced again.
impl Drop for Tracing {
    fn drop(&mut self) {
        // A forked child leaves the parent's machine alone: threads that do not exist in the child may hold
        // its locks.
        if self.state.get_mut().running && self.shared.in_this_process() {
            self.shared.machine.end_trace();
        }
    }
}

impl Tracing {
    pub fn new(py: Python<'_>, shared: &MachineRef) -> Tracing {
        Tracing { shared: shared.share(py), state: Mutex::default() }
    }

    /// The time when the block was entered, and the events so far. No call enters the machine here, so a
    /// closed machine gives its events, too.
    ///
    /// Raises:
    ///     MemoryError: if events were lost because the host had no memory for them. The events that are left
    ///         would show another course of the machine's work.
    fn seen(&self, py: Python<'_>) -> PyResult<(u64, Vec<Event>)> {
        self.here()?;
        let seen = py.detach(|| {
            let mut state = self.state.lock();
            let machine = &self.shared.machine;
            if state.running {
                state.keep(machine.take_calls())?;
                state.lost = state.lost.max(machine.lost_calls());
            }
            if state.lost > 0 {
                return Err(Error::host_memory::<Recorded>("a trace of so many events", state.calls.len()));
            }
            Ok((state.began, events(&state.calls, machine.profile().call_names)))
        });
        seen.map_err(|error| Refusal::from(error).raise(py, &self.shared))
    }

    /// Refuses a call in a forked child, where a lock that another thread of the parent held is never
    /// released.
    fn here(&self) -> PyResult<()> {
        match self.shared.in_this_process() {
            true => Ok(()),
            false => self.shared.alive(),
        }
    }
}

#[pymethods]
impl Tracing {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let tracing = slf.get();
        tracing.shared.alive()?;
        let mut state = tracing.state.lock();
        let began = !state.running && tracing.shared.machine.begin_trace();
        if !began {
            return Err(misuse("the machine is being traced already: end that block first"));
        }
        *state = State { running: true, began: nanoseconds(), calls: Vec::new(), lost: 0 };
        drop(state);
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.here()?;
        let mut state = self.state.lock();
        if std::mem::take(&mut state.running) {
            let machine = &self.shared.machine;
            machine.end_trace();
            state.lost = state.lost.max(machine.lost_calls());
            // `events` reports the loss: it raises if `lost` is not 0.
            let _ = state.keep(machine.take_calls());
        }
        Ok(())
    }

    /// The events recorded so far, in order, as a list of `Event`.
    ///
    /// Raises:
    ///     MemoryError: if events were lost because the host had no memory for them.
    #[getter]
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let (began, events) = self.seen(py)?;
        let class = py.import("mmcore._events")?.getattr("Event")?;
        let event = |event: &Event| -> PyResult<Bound<'py, PyAny>> {
            let args = PyDict::new(py);
            for (name, value) in event.arguments.split(' ').filter_map(|word| word.split_once('=')) {
                match value.parse::<i64>() {
                    Ok(number) => args.set_item(name, number)?,
                    Err(_) => args.set_item(name, value)?,
                }
            }
            let page = event.page;
            class.call1((
                event.name,
                event.when.saturating_sub(began),
                event.cpu,
                event.thread,
                page.map(|page| page.pfn.0),
                page.map(|page| page.count),
                page.map(|page| page.mapcount),
                event.dst.map(|dst| dst.0),
                event.ret,
                args,
            ))
        };
        let mut made = array::reserved(events.len())?;
        for each in &events {
            made.push(event(each)?);
        }
        PyList::new(py, made)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.events(py)?.try_iter()
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.seen(py)?.1.len())
    }

    /// Returns the events as JSON in the Trace Event Format, which Perfetto (ui.perfetto.dev) and
    /// chrome://tracing open. With ``path`` the JSON is also written to that file.
    ///
    /// Raises:
    ///     MemoryError: if events were lost because the host had no memory for them.
    ///     OSError: if the file cannot be written.
    #[pyo3(signature = (path=None))]
    fn to_chrome<'py>(
        &self,
        py: Python<'py>,
        path: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        py.import("mmcore._events")?.getattr("chrome")?.call1((self.events(py)?, path))
    }

    fn __repr__(&self) -> String {
        let running = self.shared.in_this_process() && self.state.lock().running;
        format!("<Tracing{}>", if running { " running" } else { "" })
    }
}
