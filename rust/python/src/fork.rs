//! The identity of this process across any number of `os.fork()` calls.

use pyo3::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of forks that lie between the interpreter's start and this process.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Identifies a process among its ancestors and descendants, until the number of forks wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u64);

impl Process {
    pub fn current() -> Process {
        // Relaxed: the value is written in the child right after a fork, by its only thread.
        Process(FORKS.load(Ordering::Relaxed))
    }

    pub fn is_current(self) -> bool {
        self == Process::current()
    }
}

#[pyfunction]
fn _forked() {
    // Relaxed: as in `Process::current`.
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Registers a function that counts the forks.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let options = pyo3::types::PyDict::new(module.py());
    options.set_item("after_in_child", wrap_pyfunction!(_forked, module)?)?;
    module.py().import("os")?.call_method("register_at_fork", (), Some(&options))?;
    Ok(())
}
