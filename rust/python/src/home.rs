//! What a machine is for the collector of cycles.
//!
//! Handlers and owners often lead back to their machine: a cycle through Rust, which only the collector can end. It
//! needs each reference to be shown exactly once, by an object that owns it. So each machine has one Python object,
//! its `Home`, that owns what is Rust's and shows what Python objects that keeps; every object of the machine, pages and regions
//! as well as the machine, has a counted reference on it and shows that. No other way leads to the kept
//! objects: what the core knows of owners in Python names them by a weak reference on the home. As long as any
//! object of the machine can be reached, or one of its calls is under way, so can its home, and then nothing of it is
//! cleared. Without a home there is nobody left who could make a call.

use crate::shared::Shared;
use mmcore::machine::Machine;
use mmcore::release::Chosen;
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};
use pyo3::{PyTraverseError, PyVisit};
use std::ops::Deref;

/// The machine's one object.
#[pyclass(frozen, weakref, module = "mmcore._mmcore")]
pub(crate) struct Home {
    /// In a box: the interpreter aligns objects to words only, and a machine is aligned to cache lines.
    shared: Box<Shared>,
}

#[pymethods]
impl Home {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.objects().into_iter().try_for_each(|kept| kept.visit(&visit))
    }

    fn __clear__(&self, py: Python<'_>) {
        self.shared.objects().into_iter().for_each(|kept| kept.clear(py));
    }
}

/// A counted reference on a machine's home: what every Python object of a machine has.
pub(crate) struct MachineRef(Py<Home>);

impl MachineRef {
    /// The home of a new machine.
    pub fn new(py: Python<'_>, machine: Machine<Chosen>) -> PyResult<MachineRef> {
        Ok(MachineRef(Py::new(py, Home { shared: Box::new(Shared::new(machine)) })?))
    }

    /// One more.
    pub fn share(&self, py: Python<'_>) -> MachineRef {
        MachineRef(self.0.clone_ref(py))
    }

    /// Do both lead to one machine?
    pub fn is(&self, other: &MachineRef) -> bool {
        self.0.as_ptr() == other.0.as_ptr()
    }

    /// A number that no other machine has meanwhile.
    pub fn id(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// For the traversal of the object that has this reference.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }

    /// A reference that keeps nothing.
    pub fn weak(&self, py: Python<'_>) -> PyResult<WeakMachine> {
        Ok(WeakMachine(PyWeakrefReference::new(self.0.bind(py))?.unbind()))
    }
}

impl Deref for MachineRef {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0.get().shared
    }
}

/// Names a machine, as long as there is one.
pub(crate) struct WeakMachine(Py<PyWeakrefReference>);

impl WeakMachine {
    pub fn upgrade(&self, py: Python<'_>) -> Option<MachineRef> {
        let home = self.0.bind(py).upgrade_as::<Home>().ok().flatten()?;
        Some(MachineRef(home.unbind()))
    }
}
