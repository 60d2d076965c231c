//! The extension module `mmcore._mmcore`: translation only, no logic.
//!
//! There is one file for each group of Python names. Its `register` function adds the names to the
//! module; this file only lists the groups. Files without a `register` function add methods to the
//! class `Machine`, or serve the other files.

#![deny(unsafe_code)]

mod array;
mod balloon;
mod build;
mod bytes;
mod compact;
mod cpu;
mod ending;
mod errors;
mod events;
mod explore;
mod failure;
mod file;
mod fork;
mod handles;
mod held_objects;
mod home;
mod hotplug;
mod inject;
mod layout;
mod limits;
mod load;
mod machine;
mod migrate;
mod names;
mod node;
mod owners;
mod page;
mod policies;
mod pool;
mod pressure;
mod profile;
mod program;
mod region;
mod replay;
mod run;
mod shared;
mod space;
mod state;
mod trace;
mod waits;
mod zram;

/// The module; the public names live in the Python package `mmcore`.
#[pyo3::pymodule]
mod _mmcore {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::balloon::register(module)?;
        super::build::register(module)?;
        super::cpu::register(module)?;
        super::ending::register(module)?;
        super::errors::register(module)?;
        super::events::register(module)?;
        super::explore::register(module)?;
        super::file::register(module)?;
        super::fork::register(module)?;
        super::handles::register(module)?;
        super::hotplug::register(module)?;
        super::inject::register(module)?;
        super::layout::register(module)?;
        super::limits::register(module)?;
        super::load::register(module)?;
        super::machine::register(module)?;
        super::node::register(module)?;
        super::owners::register(module)?;
        super::page::register(module)?;
        super::policies::register(module)?;
        super::pool::register(module)?;
        super::profile::register(module)?;
        super::region::register(module)?;
        super::space::register(module)?;
        super::state::register(module)?;
        super::program::register(module)?;
        super::replay::register(module)?;
        super::run::register(module)?;
        super::trace::register(module)?;
        super::zram::register(module)?;
        // PyO3 lists the names in `__all__`, which a private module does not need.
        module.delattr("__all__")
    }
}
