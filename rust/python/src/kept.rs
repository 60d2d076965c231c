//! `Kept`: a table of Python objects.
//!
//! Any operation on a Python object may run Python code: dropping the last reference runs
//! finalisers, and finalisers call the machine. An object is therefore taken out of the table, and
//! the table's lock released, before the object is used or dropped. Otherwise a finaliser could
//! wait for the lock that its own thread holds. The table has no other operations. The collector
//! cannot run while the lock is held either: no code under the lock can start a collection, or, in
//! a free-threaded interpreter, wait for the collection of another thread.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::collections::HashMap;

/// Python objects by number. Each operation needs an attached thread, so that objects are dropped at once and
/// not later, by the next thread that attaches.
#[derive(Default)]
pub(crate) struct Kept(Mutex<HashMap<u64, Py<PyAny>>>);

impl Kept {
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

    /// Shows the objects to the collector, which has stopped all other threads of the interpreter.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.lock().values().try_for_each(|object| visit.call(object))
    }
}
