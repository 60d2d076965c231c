//! Memory failure: the choice of frames, and the signals to processes.

use crate::errors::{Refusal, misuse};
use crate::home::MachineRef;
use crate::page::Page;
use crate::shared::Waits;
use mmcore::error::{Errno, Error};
use mmcore::failure::{Handled, Injection, Signal};
use mmcore::map::AddressSpace;
use mmcore::page::{Flags, Pfn};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::Arc;

/// The frame of a page of this machine, or of a frame number.
pub(crate) fn frame(shared: &MachineRef, page: &Bound<'_, PyAny>) -> PyResult<Pfn> {
    match page.cast::<Page>() {
        Ok(page) if page.get().shared.is(shared) => Ok(page.get().number),
        Ok(_) => Err(misuse("the page belongs to another machine")),
        Err(_) => Ok(Pfn(page.extract()?)),
    }
}

/// Handles a hard failure and calls the handlers of its signals. An error of the failure itself is raised
/// after the handlers have run.
pub(crate) fn fail<'py>(
    py: Python<'py>,
    shared: &MachineRef,
    pfn: Pfn,
    current: Option<&Arc<AddressSpace>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let Handled { result, signals, .. } = shared.call(py, Waits::ForPageLocks, |shared| {
        let current = current.map(|space| &**space);
        Ok(shared.machine.memory_failure(pfn, current))
    })?;
    let sent = tell(py, shared, &signals)?;
    result.map_err(|error| Refusal::from(error).raise(py, shared))?;
    PyTuple::new(py, sent)
}

/// Calls the handler of each signalled process and returns the signals for Python.
pub(crate) fn tell<'py>(
    py: Python<'py>,
    shared: &MachineRef,
    signals: &[Signal],
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let class = py.import("mmcore._state")?.getattr("Signal")?;
    let sent = |signal: &Signal| class.call1((signal.space, signal.address, signal.code.name()));
    let sent = signals.iter().map(sent).collect::<PyResult<Vec<_>>>()?;
    let mut raised = None;
    for (signal, shown) in signals.iter().zip(&sent) {
        // The table's lock is not held during the call, because a handler may change the table.
        let Some(handler) = shared.handlers.get(py, signal.space.into()) else { continue };
        if let Err(error) = handler.call1((shown,)) {
            // All handlers are called. An exception that ends a program (`KeyboardInterrupt`) is
            // raised in preference to an error of another handler.
            let ends_the_program = |error: &PyErr| !error.is_instance_of::<PyException>(py);
            raised = Some(match raised {
                Some(first) if ends_the_program(&first) || !ends_the_program(&error) => first,
                _ => error,
            });
        }
    }
    raised.map_or(Ok(sent), Err)
}

/// The frames that fail.
pub(crate) enum Target<'a> {
    /// The page at an address of a process.
    Address(&'a Arc<AddressSpace>, u64),
    /// Each frame of the machine, with this probability and seed.
    Rate(f64, u64),
}

/// Makes frames fail, at an address or with a rate, and returns the frames that were poisoned.
pub(crate) fn strike(
    py: Python<'_>,
    shared: &MachineRef,
    target: Target<'_>,
    what: Injection,
) -> PyResult<Vec<u32>> {
    let (result, poisoned, signals) = shared.call(py, Waits::ForPageLocks, |shared| {
        Ok(match target {
            Target::Rate(rate, seed) => {
                let struck = shared.machine.strike(rate, seed, what);
                (Ok(()), struck.poisoned, struck.signals)
            }
            Target::Address(space, address) => {
                let Some((area, index)) = space.find(address) else {
                    let why = format!("nothing is mapped at {address:#x} of address space {}", space.id);
                    return Err(Error::new(Errno::EFAULT, why).into());
                };
                let frame = shared.machine.page_at(&area, index);
                let injected = shared.machine.inject_failure(space, &area, index..index + 1, what);
                let poisoned =
                    frame.filter(|pfn| shared.machine.frames()[*pfn].flags().contains(Flags::HWPOISON));
                (injected.result, poisoned.into_iter().collect(), injected.signals)
            }
        })
    })?;
    tell(py, shared, &signals)?;
    result.map_err(|error| Refusal::from(error).raise(py, shared))?;
    Ok(poisoned.into_iter().map(|pfn| pfn.0).collect())
}
