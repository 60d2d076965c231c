//! The extension module `mmcore._mmcore`: translation only, no logic.
//!
//! One file for each group of Python names. Each has a `register` function that adds them to the
//! module; this file only lists the groups.

#![deny(unsafe_code)]

mod build;
mod program;

// The crates of the other doors: the counting and the explored build of the same core.
use mmcore_counted as _;
use mmcore_explored as _;

/// The module; the public names live in the Python package `mmcore`.
#[pyo3::pymodule]
mod _mmcore {
    use super::{build, program};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        build::register(module)?;
        program::register(module)?;
        // PyO3 collects the names in `__all__`; of a private module nobody imports all.
        module.delattr("__all__")
    }
}
