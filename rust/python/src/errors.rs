//! Refusals of the core as Python exceptions. The classes live in `mmcore.errors`.

use crate::shared::Shared;
use crate::state;
use mmcore::error::{Errno, Error};
use mmcore::failure::Code;
use mmcore::machine::too_many_threads;
use pyo3::exceptions::{PyBufferError, PyMemoryError, PyTypeError};
use pyo3::prelude::*;

pyo3::import_exception!(mmcore.errors, InputError);
pyo3::import_exception!(mmcore.errors, KernelError);
pyo3::import_exception!(mmcore.errors, MisuseError);
pyo3::import_exception!(mmcore.errors, SigbusError);

/// Imports the classes when the extension is loaded. Finalisers make calls, and raise errors, even while the
/// interpreter ends, when modules can no longer be imported.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    // A failed import is an exception here; at the first use of the class it would be a panic.
    py.import("mmcore.errors")?;
    let _found = [
        py.get_type::<InputError>(),
        py.get_type::<KernelError>(),
        py.get_type::<MisuseError>(),
        py.get_type::<SigbusError>(),
    ];
    Ok(())
}

/// The reason why a call was refused.
pub(crate) enum Refusal {
    /// An error of the core with its errno; one of the host's memory becomes a `MemoryError`.
    Kernel(Error),
    /// An access to a poisoned frame, at this address.
    Sigbus(Error, u64),
    /// A call against the rules of the interface; nothing has changed.
    Misuse(String),
    /// The page still has buffers over it.
    Buffers(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Kernel(error)
    }
}

impl Refusal {
    pub fn too_many_threads() -> Refusal {
        too_many_threads(1).into()
    }

    pub fn misuse(why: &str) -> Refusal {
        Refusal::Misuse(why.to_owned())
    }

    pub fn not_quiet() -> Refusal {
        Error::new(Errno::EBUSY, "the machine is not quiet: other threads are inside of calls").into()
    }

    /// The exception for Python. If the error is about a page, the exception has the page's state.
    pub fn raise(self, py: Python<'_>, shared: &Shared) -> PyErr {
        match self {
            Refusal::Misuse(why) => misuse(why),
            Refusal::Buffers(why) => PyBufferError::new_err(why),
            Refusal::Kernel(error) => kernel_error(py, shared, &error),
            Refusal::Sigbus(error, address) => sigbus(py, shared, &error, address),
        }
    }
}

pub(crate) fn misuse(why: impl Into<String>) -> PyErr {
    MisuseError::new_err(why.into())
}

/// The `InputError` for invalid input to a new object.
pub(crate) fn input(why: impl std::fmt::Display) -> PyErr {
    InputError::new_err(why.to_string())
}

/// The exception for a machine that cannot be built: `InputError` for a wrong configuration (`EINVAL`),
/// `MemoryError` if the host has no memory, else `KernelError`.
pub(crate) fn not_built(error: Error) -> PyErr {
    match error.errno {
        Errno::EINVAL => input(error.why),
        _ if error.is_of_host() => PyMemoryError::new_err(error.why.to_string()),
        errno => KernelError::new_err((errno.0, error.why.to_string())),
    }
}

pub(crate) fn type_error(why: impl Into<String>) -> PyErr {
    PyTypeError::new_err(why.into())
}

fn kernel_error(py: Python<'_>, shared: &Shared, error: &Error) -> PyErr {
    if error.is_of_host() {
        return PyMemoryError::new_err(error.why.to_string());
    }
    let Some(pfn) = error.pfn else {
        return KernelError::new_err((error.errno.0, error.why.to_string()));
    };
    let found = match state::found(py, shared, pfn) {
        Ok(found) => found,
        Err(raised) => return raised,
    };
    let message = format!("page {pfn}: {}; {}", error.why, found.text);
    KernelError::new_err((error.errno.0, message, found.state))
}

/// The `SigbusError` of an access that could not complete.
fn sigbus(py: Python<'_>, shared: &Shared, error: &Error, address: u64) -> PyErr {
    let code = Code::ActionRequired.name();
    let found = match error.pfn.map(|pfn| state::found(py, shared, pfn)).transpose() {
        Ok(found) => found,
        Err(raised) => return raised,
    };
    let message = format!("{code} at {address:#x}: {}", error.why);
    SigbusError::new_err((error.errno.0, message, found.map(|found| found.state), address, code))
}
