//! `HeldObjects`: a table of Python objects.
//!
//! Any operation on a Python object may run Python code: dropping the last reference runs
//! finalisers, and finalisers call the machine. Each operation of the table therefore takes an
//! object, or a new reference on it, out of the table and releases the table's lock before the
//! object is used or dropped. Otherwise a finaliser could wait for the lock that its own thread
//! holds. The garbage collector does not run while the lock is held either: no code under the lock
//! allocates a Python object, which could start a collection, or stops for the collection of
//! another thread, as a thread of a free-threaded interpreter may have to.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::collections::HashMap;

/// Python objects by number. Each operation asks for an attached thread (`py`): without one PyO3 would put
/// off the drop of an object until some thread attaches.
#[derive(Default)]
pub(crate) struct HeldObjects(Mutex<HashMap<u64, Py<PyAny>>>);

impl HeldObjects {
    /// A new reference on the object with this key.
    pub fn get<'py>(&self, py: Python<'py>, key: u64) -> Option<Bound<'py, PyAny>> {
        let found = self.0.lock().get(&key).map(|object| object.clone_ref(py));
        found.map(|object| object.into_bound(py))
    }

    /// Sets or removes the object with this key, and drops the previous object.
    pub fn set(&self, _py: Python<'_>, key: u64, object: Option<Py<PyAny>>) {
        let before = {
            let mut table = self.0.lock();
            match object {
                Some(object) => table.insert(key, object),
                None => table.remove(&key),
            }
        };
        drop(before);
    }

    /// Removes the object with this key and returns it.
    pub fn take<'py>(&self, py: Python<'py>, key: u64) -> Option<Bound<'py, PyAny>> {
        let taken = self.0.lock().remove(&key);
        taken.map(|object| object.into_bound(py))
    }

    /// Drops all objects.
    pub fn clear(&self, _py: Python<'_>) {
        let all = std::mem::take(&mut *self.0.lock());
        drop(all);
    }

    /// Shows the objects to the garbage collector. All other threads of the interpreter stand still
    /// meanwhile, and none of them was stopped while it held the lock.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.lock().values().try_for_each(|object| visit.call(object))
    }
}
