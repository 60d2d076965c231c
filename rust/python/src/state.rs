//! The state of a page, as the data classes of `mmcore._state`.

use crate::shared::Shared;
use mmcore::audit::Holder;
use mmcore::page::{Flags, Pfn};
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};

/// The state of a page, as an object for Python and as text for a message.
pub(crate) struct Found {
    pub state: Py<PyAny>,
    pub text: String,
}

/// A class of `mmcore._state`.
fn class<'py>(py: Python<'py>, cell: &PyOnceLock<Py<PyAny>>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let class = cell.get_or_try_init(py, || py.import("mmcore._state")?.getattr(name).map(Bound::unbind))?;
    Ok(class.bind(py).clone())
}

/// A new value of a named tuple of `mmcore._state`.
pub(crate) fn named<'py>(
    py: Python<'py>,
    name: &str,
    values: impl PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    py.import("mmcore._state")?.getattr(name)?.call1(values)
}

/// The names of flags, as the kernel's tools print them.
pub(crate) fn flag_names(flags: Flags) -> Vec<String> {
    flags.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect()
}

pub(crate) fn flag_tuple(py: Python<'_>, flags: Flags) -> PyResult<Bound<'_, PyTuple>> {
    PyTuple::new(py, flag_names(flags).iter().map(|name| PyString::intern(py, name)))
}

/// The holders of a page. Waits for no page lock.
pub(crate) fn holders_of(shared: &Shared, pfn: Pfn) -> Vec<Holder> {
    shared.machine.holders(pfn, &shared.ledger)
}

pub(crate) fn holders<'py>(py: Python<'py>, held: &[Holder]) -> PyResult<Bound<'py, PyTuple>> {
    static HOLDER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = class(py, &HOLDER, "Holder")?;
    let holders: PyResult<Vec<_>> =
        held.iter().map(|held| class.call1((held.kind(), held.references(), held.to_string()))).collect();
    PyTuple::new(py, holders?)
}

pub(crate) fn found(py: Python<'_>, shared: &Shared, pfn: Pfn) -> PyResult<Found> {
    static STATE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let held = py.detach(|| holders_of(shared, pfn));
    let (node, order, mapcount, word) = {
        let page = &shared.machine.frames()[pfn];
        (shared.machine.node_of(pfn), page.order(), page.mapcount(), page.word())
    };
    let class = class(py, &STATE, "PageState")?;
    let names = flag_tuple(py, word.flags())?;
    let state = class.call1((pfn.0, node, order, word.count(), mapcount, names, holders(py, &held)?))?;
    let names: Vec<String> = held.iter().map(ToString::to_string).collect();
    let held = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    let flags = match flag_names(word.flags()) {
        names if names.is_empty() => "none".to_owned(),
        names => names.join(" "),
    };
    let text = format!("count {}, mapcount {mapcount}, flags {flags}; held by {held}", word.count());
    Ok(Found { state: state.unbind(), text })
}

/// Adds `FLAGS`: by the name of each flag its bit in the records of `Machine.page_states`.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let flags = PyDict::new(module.py());
    for (name, flag) in Flags::all().iter_names() {
        flags.set_item(name.to_ascii_lowercase(), flag.bits())?;
    }
    module.add("FLAGS", flags)
}
