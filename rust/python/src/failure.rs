//! Memory failure: the calls of a machine that make frames fail, and the signals that processes get.

use crate::errors::{Refusal, input, misuse, type_error};
use crate::home::MachineRef;
use crate::machine::Machine;
use crate::page::Page;
use crate::shared::Waits;
use crate::space::AddressSpace;
use mmcore::error::{Errno, Error};
use mmcore::failure::{Handled, Injection, Signal};
use mmcore::map;
use mmcore::page::Pfn;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::Arc;

#[pymethods]
impl Machine {
    /// Takes a frame out of use whose content can still be read (soft_offline_page). The content moves to
    /// another frame, or is dropped if it can be read from disk again; no process is killed. ``page`` is a
    /// `Page` or a frame number.
    ///
    /// Raises:
    ///     KernelError: EBUSY, EIO or ENOMEM if the frame must stay in use, EIO also if it is offline, ENXIO
    ///         if the machine has no such frame. The page keeps its content, but a large page may have been
    ///         split. Under profiles with ``poison=non_eagain`` (kernel 4.5), a frame whose page cannot move
    ///         is poisoned all the same.
    ///     MisuseError: if the page belongs to another machine.
    fn soft_offline_page(&self, py: Python<'_>, page: &Bound<'_, PyAny>) -> PyResult<()> {
        let pfn = frame(&self.0, page)?;
        self.0.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.soft_offline_page(pfn)?))
    }

    /// Handles the failure of a frame whose content is lost (memory_failure). Returns the signals sent.
    ///
    /// A process that maps the page gets a `SigbusError` on its next access. A clean page of a disk's file,
    /// and a clean page of the swap cache, is read again instead. If the page was dirty or cannot be
    /// unmapped, a `Signal` is sent at once to ``current`` and to processes with ``early_kill``, if they map
    /// the page: see `AddressSpace.on_sigbus`.
    ///
    /// Args:
    ///     page: the page, or the frame number of the frame that failed.
    ///     current: the process whose access met the failure; ``None`` if no access met it.
    ///
    /// Raises:
    ///     KernelError: EBUSY if the frame is still in use or its page is of no kind that can be handled,
    ///         EHWPOISON if the frame was poisoned before, ENXIO if it is offline or does not exist. Profile
    ///         fields change two answers: ``failure_again_tells`` that of a second failure,
    ///         ``unsplit_failure`` that of a large page that cannot be split. The frame is poisoned even if
    ///         the call fails, unless it is offline or such a large page under ``unsplit_failure=forgotten``.
    ///     MisuseError: if the page or ``current`` belongs to another machine.
    #[pyo3(signature = (page, *, current=None))]
    fn memory_failure<'py>(
        &self,
        py: Python<'py>,
        page: &Bound<'py, PyAny>,
        current: Option<&Bound<'py, AddressSpace>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let pfn = frame(&self.0, page)?;
        if current.is_some_and(|space| !space.get().shared.is(&self.0)) {
            return Err(misuse("the address space belongs to another machine"));
        }
        fail(py, &self.0, pfn, current.map(|space| &space.get().space))
    }

    /// Removes the poison from a frame and gives the frame back to the allocator (unpoison_memory). If
    /// another holder has the only reference, the frame stays in use until that is put. Poisoned page-table
    /// entries stay poisoned.
    ///
    /// Args:
    ///     page: the page, or the frame number of the poisoned frame.
    ///
    /// Raises:
    ///     KernelError: EBUSY if the frame is not poisoned, or is still in use (under profiles without
    ///         ``unpoison_refusal_told`` the call then does nothing); EIO if the frame is offline, ENXIO if
    ///         it does not exist.
    ///     MisuseError: if the page belongs to another machine.
    fn unpoison(&self, py: Python<'_>, page: &Bound<'_, PyAny>) -> PyResult<()> {
        let pfn = frame(&self.0, page)?;
        self.0.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.unpoison_memory(pfn)?))
    }

    /// Makes frames fail, and returns the numbers of the frames poisoned. Give a ``space`` and an
    /// ``address``, whose page is faulted in first (as by MADV_SOFT_OFFLINE and MADV_HWPOISON); or give a
    /// ``rate``, with which each frame fails that is online and not poisoned yet. Signals are sent as by
    /// `memory_failure`.
    ///
    /// Args:
    ///     space: the address space in which the page is found.
    ///     address: a virtual address of ``space``, in bytes.
    ///     rate: the probability with which each frame fails, from 0 to 1.
    ///     seed: the seed of the choice of frames.
    ///     hard: true for failures that lose the content (`memory_failure`), false for soft offline.
    ///
    /// Raises:
    ///     InputError: if ``rate`` is not from 0 to 1.
    ///     KernelError: EFAULT if nothing is mapped at the address; the errors of `soft_offline_page` or
    ///         `memory_failure` if the page at the address could not be taken out of use. With a rate no
    ///         error is raised: a frame that cannot be offlined is left out.
    ///     MisuseError: if the space belongs to another machine.
    ///     TypeError: for other combinations of ``space``, ``address`` and ``rate``.
    #[pyo3(signature = (*, space=None, address=None, rate=None, seed=0, hard=false))]
    fn strike(
        &self,
        py: Python<'_>,
        space: Option<&Bound<'_, AddressSpace>>,
        address: Option<u64>,
        rate: Option<f64>,
        seed: u64,
        hard: bool,
    ) -> PyResult<Vec<u32>> {
        let what = if hard { Injection::Hwpoison } else { Injection::SoftOffline };
        let target = match (space, address, rate) {
            (Some(space), Some(_), None) if !space.get().shared.is(&self.0) => {
                return Err(misuse("the address space belongs to another machine"));
            }
            (Some(space), Some(address), None) => Target::Address(&space.get().space, address),
            (None, None, Some(rate)) if (0.0..=1.0).contains(&rate) => Target::Rate(rate, seed),
            (None, None, Some(rate)) => return Err(input(format!("a rate is from 0 to 1, not {rate}"))),
            _ => return Err(type_error("give a space and an address, or a rate")),
        };
        strike(py, &self.0, target, what)
    }

    /// The number of poisoned frames, as the kernel counts them (HardwareCorrupted in /proc/meminfo, there in
    /// kB).
    #[getter]
    fn num_poisoned_pages(&self, py: Python<'_>) -> PyResult<i64> {
        self.0.call(py, Waits::Never, |shared| Ok(shared.machine.num_poisoned_pages()))
    }
}

/// The frame that an argument names: a `Page` of this machine, or a frame number.
pub(crate) fn frame(shared: &MachineRef, page: &Bound<'_, PyAny>) -> PyResult<Pfn> {
    match page.cast::<Page>() {
        Ok(page) if page.get().shared.is(shared) => Ok(page.get().number),
        Ok(_) => Err(misuse("the page belongs to another machine")),
        Err(_) => Ok(Pfn(page.extract()?)),
    }
}

/// Handles a hard failure and calls the handlers of its signals. An error of the failure itself is raised
/// after the handlers have run, unless a handler has raised an exception: then that is raised.
pub(crate) fn fail<'py>(
    py: Python<'py>,
    shared: &MachineRef,
    pfn: Pfn,
    current: Option<&Arc<map::AddressSpace>>,
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
            // All handlers are called, and one exception is raised afterwards: the first that ends a
            // program (`KeyboardInterrupt`), or if there is none, the first of all.
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
    Address(&'a Arc<map::AddressSpace>, u64),
    /// Each frame of the machine that is online and not poisoned, with this probability and seed.
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
                let injected = shared.machine.inject_failure(space, &area, index..index + 1, what);
                (injected.result, injected.poisoned, injected.signals)
            }
        })
    })?;
    tell(py, shared, &signals)?;
    result.map_err(|error| Refusal::from(error).raise(py, shared))?;
    Ok(poisoned.into_iter().map(|pfn| pfn.0).collect())
}
