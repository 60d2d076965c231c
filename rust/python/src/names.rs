//! Choices that Python writes as strings.

use mmcore::migrate::{Mode, Reason};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

fn choose<T: Copy>(what: &str, name: &str, choices: &[(&'static str, T)]) -> PyResult<T> {
    let found = choices.iter().find(|(known, _)| *known == name);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let known: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
        PyValueError::new_err(format!("no {what} {name:?}: choose one of {}", known.join(", ")))
    })
}

pub(crate) fn mode(name: &str) -> PyResult<Mode> {
    choose("mode", name, Mode::NAMES)
}

pub(crate) fn reason(name: &str) -> PyResult<Reason> {
    choose("reason", name, Reason::NAMES)
}
