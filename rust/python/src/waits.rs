//! The locks that a call may wait for, and the exceptions that callbacks leave for their call.

use mmcore::page::Pfn;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// The time for which a call sleeps between two looks at the thing that it waits for: page locks and writes
/// of other threads' handles, or daemons that have not ended. After each sleep it also checks for signals.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The time for which a thread sleeps before it checks for signals, in a wait whose end wakes it at once.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);

/// The locks that a call may wait for inside of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// None: the call never waits for another call.
    Never,
    /// A migration: an access to a page that is moving waits until it has moved.
    ForMigrations,
    /// The lock of one page.
    ForPageLock(Pfn),
    /// The locks of any pages, and the ends of writes to disk.
    ForPageLocks,
}

thread_local! {
    /// True if this thread runs signal handlers inside of a call.
    static HANDLES_SIGNALS: Cell<bool> = const { Cell::new(false) };
    /// The number of nested callbacks into Python on this thread.
    static CALLBACKS: Cell<u32> = const { Cell::new(0) };
    /// The exception that ends this thread's call. If calls are nested, it is that of the innermost one.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Runs a callback that the core makes under page locks. Until it returns, Python code of this thread
/// must not wait for pages: the thread could wait for a lock that it holds itself. This is true of the
/// callback, of a hook that reports its exception, and of a finaliser of its result.
pub(crate) fn in_callback<T>(callback: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            CALLBACKS.set(CALLBACKS.get() - 1);
        }
    }
    CALLBACKS.set(CALLBACKS.get() + 1);
    let _leave = Leave;
    callback()
}

/// True if this thread is inside of a callback.
pub(crate) fn is_in_callback() -> bool {
    CALLBACKS.get() > 0
}

/// Handles an exception of a callback that is no answer. (In `isolate` and `migrate` an `OSError` is an
/// answer: a refusal.) `KeyboardInterrupt`, `SystemExit` and other exceptions that are no `Exception` end the
/// call; all others are reported through `sys.unraisablehook`, with `object` as their source.
pub(crate) fn report(raised: PyErr, object: &Bound<'_, PyAny>) {
    let py = object.py();
    if raised.is_instance_of::<PyException>(py) {
        return raised.write_unraisable(py, Some(object));
    }
    keep(raised);
}

/// Runs the handlers of the signals that have arrived, on the main thread. The core calls this function
/// between two pages of a long call ([`interruptible`](mmcore::sync::interruptible)). Returns true if a
/// handler has raised an exception, which ends the call. After any other handler the call goes on.
pub(crate) fn hear_signals() -> bool {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            HANDLES_SIGNALS.set(self.0);
        }
    }
    // The core may hold locks here, and isolated pages, as when it calls an owner.
    let heard = in_callback(|| {
        Python::try_attach(|py| {
            let _before = Before(HANDLES_SIGNALS.replace(true));
            py.check_signals()
        })
    });
    let Some(Err(raised)) = heard else { return false };
    keep(raised);
    true
}

/// True if this thread is inside of a signal handler that runs within a call.
pub(crate) fn is_in_handler() -> bool {
    HANDLES_SIGNALS.get()
}

/// Keeps the exception that ends this thread's call. The first one is kept, because later ones follow from
/// it.
fn keep(raised: PyErr) {
    // The cell is not borrowed while the later exception is dropped: that may run Python code, which may come
    // here again.
    let first = RAISED.take().unwrap_or(raised);
    RAISED.set(Some(first));
}

/// True if a callback or a signal handler has raised the exception that ends this thread's call. The call
/// ends as soon as the core's operation does, and asks no owner anything more.
pub(crate) fn is_interrupted() -> bool {
    RAISED.with(|cell| cell.borrow().is_some())
}

/// Runs `work`, which may make callbacks and takes long at times. If a callback was interrupted, or a signal
/// handler has raised an exception, this exception is the result, and `undo` gets what `work` has taken.
///
/// The caller can be a callback of an outer call in which an earlier callback was interrupted. The outer
/// call's exception is put aside while `work` runs. Otherwise it would be raised here, inside of the
/// callback, which could suppress it.
pub(crate) fn with_callbacks<T, E>(
    work: impl FnOnce() -> Result<T, E>,
    undo: impl FnOnce(T),
) -> PyResult<Result<T, E>> {
    struct Outer(Option<PyErr>);
    impl Drop for Outer {
        fn drop(&mut self) {
            RAISED.set(self.0.take());
        }
    }
    let _outer = Outer(RAISED.take());
    let done = work();
    if !is_interrupted() {
        return Ok(done);
    }
    if let Ok(taken) = done {
        undo(taken);
    }
    // If a callback of `undo` was interrupted, too, `report` has kept the first exception.
    Err(RAISED.take().expect("an interrupted call has an exception"))
}
