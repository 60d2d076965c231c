//! Parsing of traces of valgrind's tool lackey.

use mmcore::load::trace::{Accesses, Lackey, TraceError};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Mutex;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<LackeyParser>()
}

/// A parser of the output of `valgrind --tool=lackey --trace-mem=yes`, which is fed in chunks.
#[pyclass(frozen, module = "mmcore._mmcore")]
struct LackeyParser(Mutex<State>);

enum State {
    Reading(Box<Lackey>),
    Read(Accesses),
    /// After an error or after `take`.
    Spent,
}

#[pymethods]
impl LackeyParser {
    #[new]
    fn new() -> Self {
        LackeyParser(Mutex::new(State::Reading(Box::default())))
    }

    /// Parses the next chunk of the text.
    ///
    /// `ValueError` for a malformed line, which the message names, and if the text has ended before.
    fn feed(&self, py: Python<'_>, chunk: &[u8]) -> PyResult<()> {
        py.detach(|| {
            let mut state = self.lock();
            let State::Reading(parser) = &mut *state else { return Err(spent()) };
            parser.feed(chunk).map_err(|error| {
                *state = State::Spent;
                bad_trace(&error)
            })
        })
    }

    /// Ends the text and returns the number of accesses and the number of distinct pages.
    ///
    /// `ValueError` if the last line is malformed, or the text has ended before.
    fn finish(&self) -> PyResult<(usize, usize)> {
        let mut state = self.lock();
        let State::Reading(parser) = std::mem::replace(&mut *state, State::Spent) else {
            return Err(spent());
        };
        let accesses = parser.finish().map_err(|error| bad_trace(&error))?;
        let lengths = (accesses.ids.len(), accesses.pages.len());
        *state = State::Read(accesses);
        Ok(lengths)
    }

    /// Fills arrays of the lengths that `finish` returned, and frees the trace: for each access its page (as
    /// an index) and 1 if it wrote, and for each distinct page its number (the address divided by 4,096).
    ///
    /// `ValueError` if the text has not ended, or the trace was taken before.
    fn take(
        &self,
        py: Python<'_>,
        ids: PyBuffer<u32>,
        writes: PyBuffer<u8>,
        page_numbers: PyBuffer<u64>,
    ) -> PyResult<()> {
        let mut state = self.lock();
        let State::Read(accesses) = &*state else { return Err(spent()) };
        ids.copy_from_slice(py, &accesses.ids)?;
        writes.copy_from_slice(py, &accesses.writes)?;
        page_numbers.copy_from_slice(py, &accesses.pages)?;
        *state = State::Spent;
        Ok(())
    }
}

impl LackeyParser {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic while parsing leaves a state that is still valid to read.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn bad_trace(error: &TraceError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn spent() -> PyErr {
    PyValueError::new_err("this parser has ended; make a new one")
}
