//! What a call may have to wait for, and what callbacks leave behind for their call.

use mmcore::page::Pfn;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// How long a waiting thread sleeps before it looks at signals, and at what it waits for, again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The same for a thread that is woken by the end of what it waits for: it looks at signals only.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);

/// What a call may have to wait for inside of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Nothing that another call holds.
    Never,
    /// A migration that is under way: an access to a page between two frames.
    ForMigrations,
    /// The lock of this page.
    ForPageLock(Pfn),
    /// The locks of any pages, or writes of them to disk.
    ForPageLocks,
}

thread_local! {
    /// Callbacks into Python that this thread is inside of.
    static CALLBACKS: Cell<u32> = const { Cell::new(0) };
    /// What ends the call that this thread is inside of, when the core is through.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Runs a callback that the core makes with page locks held, and whatever belongs to it: a hook that is told of what
/// it raised, or a finaliser of what it returned, must not wait for pages either.
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

/// Is this thread inside of a callback?
pub(crate) fn is_in_callback() -> bool {
    CALLBACKS.get() > 0
}

/// What a callback raised that nobody reads as an answer: `KeyboardInterrupt`, `SystemExit` and their like end the call;
/// others are reported through `sys.unraisablehook`.
pub(crate) fn report(raised: PyErr, object: &Bound<'_, PyAny>) {
    let py = object.py();
    if raised.is_instance_of::<PyException>(py) {
        return raised.write_unraisable(py, Some(object));
    }
    // The first one: later ones come of it. Taken out of the cell before one of the two is dropped.
    let first = RAISED.with(|cell| cell.borrow_mut().take()).unwrap_or(raised);
    RAISED.with(|cell| *cell.borrow_mut() = Some(first));
}

/// What is to end the call, once.
pub(crate) fn take_raised() -> Option<PyErr> {
    RAISED.with(|cell| cell.borrow_mut().take())
}
