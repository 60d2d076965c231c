//! `Home`: how a machine takes part in Python's cycle collection.
//!
//! A machine keeps Python objects: signal handlers, and owners of movable pages. They often refer to
//! their machine. Such a cycle goes through Rust, and only Python's collector can break it. The
//! collector must see each reference exactly once, from the object that owns it. Therefore each
//! machine has one Python object, its `Home`, that owns the Rust side of the machine and shows the
//! collector the kept objects. Every other object of the machine (`Machine`, pages, regions) has a
//! counted reference on the home, and shows this reference. The kept objects can be reached in no
//! other way: the core refers to Python owners through a weak reference on the home. While an object
//! of the machine can be reached, or a call is running, the home can be reached too, and nothing is
//! cleared. When the home cannot be reached, no code is left that could make a call.

use crate::shared::Shared;
use mmcore::machine::Machine;
use mmcore::release::Chosen;
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};
use pyo3::{PyTraverseError, PyVisit};
use std::ops::Deref;

/// The one Python object that owns a machine.
#[pyclass(frozen, weakref, module = "mmcore._mmcore")]
pub(crate) struct Home {
    /// Boxed, because the interpreter aligns objects to 16 bytes at most, and a machine is aligned to cache
    /// lines.
    shared: Box<Shared>,
}

#[pymethods]
impl Home {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.objects().into_iter().try_for_each(|table| table.visit(&visit))
    }

    fn __clear__(&self, py: Python<'_>) {
        self.shared.objects().into_iter().for_each(|table| table.clear(py));
    }
}

/// A counted reference on a machine's home. Every Python object of a machine has one.
pub(crate) struct MachineRef(Py<Home>);

impl MachineRef {
    /// Makes the home of a new machine.
    pub fn new(py: Python<'_>, machine: Machine<Chosen>) -> PyResult<MachineRef> {
        Ok(MachineRef(Py::new(py, Home { shared: Box::new(Shared::new(machine)) })?))
    }

    /// Another counted reference.
    pub fn share(&self, py: Python<'_>) -> MachineRef {
        MachineRef(self.0.clone_ref(py))
    }

    /// True if both references lead to the same machine.
    pub fn is(&self, other: &MachineRef) -> bool {
        self.0.as_ptr() == other.0.as_ptr()
    }

    /// A number that identifies the machine while it exists.
    pub fn id(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// Shows this reference to the collector, when the collector visits the object that has the reference.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }

    /// A weak reference on the home.
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

/// A weak reference on a machine's home.
pub(crate) struct WeakMachine(Py<PyWeakrefReference>);

impl WeakMachine {
    pub fn upgrade(&self, py: Python<'_>) -> Option<MachineRef> {
        let home = self.0.bind(py).upgrade_as::<Home>().ok().flatten()?;
        Some(MachineRef(home.unbind()))
    }
}
