//! Which process this is, after any number of `os.fork()`.

use pyo3::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Forks between the interpreter's start and this process.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// A process, as long as its descendants do not wrap around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u64);

impl Process {
    pub fn current() -> Process {
        // Relaxed: written by the only thread of a fresh process.
        Process(FORKS.load(Ordering::Relaxed))
    }

    pub fn is_current(self) -> bool {
        self == Process::current()
    }
}

#[pyfunction]
fn _forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Asks the interpreter to tell of forks.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let options = pyo3::types::PyDict::new(module.py());
    options.set_item("after_in_child", wrap_pyfunction!(_forked, module)?)?;
    module.py().import("os")?.call_method("register_at_fork", (), Some(&options))?;
    Ok(())
}
