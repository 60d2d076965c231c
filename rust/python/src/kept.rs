//! `Kept`: Python objects in a table of ours.
//!
//! Whatever is done to a Python object may run Python: its last reference runs finalisers, and those call the
//! machine. So an object leaves the table first, and the lock is open again before anything happens to it; the table
//! has no other operations. Nor can the collector come while the lock is held: between locking and opening nothing
//! is done that could begin a collection, here or, in a free-threaded interpreter, wait for one of another thread.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::collections::HashMap;

/// Python objects by number. Each operation asks for the interpreter: what is let go of is dropped at once, here, and
/// not by whoever attaches next.
#[derive(Default)]
pub(crate) struct Kept(Mutex<HashMap<u64, Py<PyAny>>>);

impl Kept {
    /// One more reference on the object with this key.
    pub fn get<'py>(&self, py: Python<'py>, key: u64) -> Option<Bound<'py, PyAny>> {
        let found = self.0.lock().get(&key).map(|object| object.clone_ref(py));
        found.map(|object| object.into_bound(py))
    }

    /// Sets or removes the object with this key, and lets go of the one before.
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

    /// Takes the object with this key out.
    pub fn take<'py>(&self, py: Python<'py>, key: u64) -> Option<Bound<'py, PyAny>> {
        let taken = self.0.lock().remove(&key);
        taken.map(|object| object.into_bound(py))
    }

    /// Lets go of all of them.
    pub fn clear(&self, _py: Python<'_>) {
        let all = std::mem::take(&mut *self.0.lock());
        drop(all);
    }

    /// Shows them to the collector, which stops all other users of the interpreter meanwhile.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.lock().values().try_for_each(|object| visit.call(object))
    }
}
