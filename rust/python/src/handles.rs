//! Handles: what a script holds on a page, each given back exactly once.

#![allow(unsafe_code, reason = "the buffer protocol")]

use crate::errors::{Refusal, misuse};
use crate::names;
use crate::page::Page;
use crate::shared::{Shared, Waits};
use mmcore::audit::Handle;
use mmcore::migrate::Mode;
use mmcore::page::{PAGE_SIZE, Pfn};
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PageRef>()?;
    module.add_class::<Pin>()?;
    module.add_class::<PageLock>()?;
    module.add_class::<Writeback>()?;
    module.add_class::<Isolated>()
}

/// One handle: spent by whoever gives it back first.
pub(crate) struct Held {
    pub shared: Arc<Shared>,
    pub pfn: Pfn,
    handle: Handle,
    /// What it is called.
    what: &'static str,
    spent: AtomicBool,
    /// Buffers over the page.
    buffers: AtomicU32,
}

impl Held {
    fn new(shared: &Arc<Shared>, pfn: Pfn, handle: Handle, what: &'static str) -> Held {
        Held {
            shared: Arc::clone(shared),
            pfn,
            handle,
            what,
            spent: AtomicBool::new(false),
            buffers: AtomicU32::new(0),
        }
    }

    pub fn is_spent(&self) -> bool {
        // Relaxed: a look; `spend` decides.
        self.spent.load(Ordering::Relaxed)
    }

    pub fn already_spent(&self) -> PyErr {
        misuse(format!("this {} of page {} was given back already", self.what, self.pfn))
    }

    /// True for the one caller that gives it back.
    pub fn spend(&self) -> bool {
        // Relaxed: exactly one caller gets it; the core's own atomics order what follows.
        !self.spent.swap(true, Ordering::Relaxed)
    }

    /// For who spent it and then did nothing.
    pub fn unspend(&self) {
        // Relaxed: as above.
        self.spent.store(false, Ordering::Relaxed);
    }

    pub fn kind(&self) -> Handle {
        self.handle
    }

    /// Ends the handle's life by `end`; `MisuseError` if it has ended, and nothing has changed if the
    /// call is refused before it begins.
    fn end<T: Send>(
        &self,
        py: Python<'_>,
        waits: Waits,
        end: impl FnOnce(&Shared) -> Result<T, Refusal> + Send,
    ) -> PyResult<T> {
        self.enter()?;
        // Acquire pairs with the Release of `__releasebuffer__`: the last access through it is over.
        let buffers = self.buffers.load(Ordering::Acquire);
        if buffers > 0 {
            return Err(PyBufferError::new_err(format!("{buffers} buffers over page {} exist", self.pfn)));
        }
        self.shared.call(py, waits, |shared| {
            if !self.spend() {
                return Err(Refusal::Misuse(format!(
                    "this {} of page {} was just given back",
                    self.what, self.pfn
                )));
            }
            end(shared)
        })
    }

    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        let waits = match self.handle {
            Handle::IsolatedMovable => Waits::ForPageLock(self.pfn),
            _ => Waits::Never,
        };
        self.end(py, waits, |shared| {
            shared.let_go(self.pfn, self.handle);
            Ok(())
        })
    }

    /// The end of a `with` block: silent if it was given back inside, or the machine is gone.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_spent() || self.shared.is_closed() {
            return Ok(());
        }
        self.give_back(py)
    }

    fn enter(&self) -> PyResult<()> {
        if self.is_spent() { Err(self.already_spent()) } else { self.shared.alive() }
    }

    fn page(&self) -> Page {
        Page::new(&self.shared, self.pfn)
    }

    fn show(&self, class: &str) -> String {
        let state = if self.is_spent() { " given back" } else { "" };
        format!("<{class} pfn={}{state}>", self.pfn)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.spend() {
            self.shared.abandon(self.pfn, self.handle, self.what);
        }
    }
}

/// A class around a handle, with what all of them share: `page`, the way back, the `with` statement, a repr.
macro_rules! handle {
    ($(#[$doc:meta])* $class:ident, $what:literal, $(#[$back_doc:meta])* $give_back:ident, { $($methods:tt)* }) => {
        $(#[$doc])*
        #[pyclass(frozen, module = "mmcore")]
        pub(crate) struct $class(Held);

        impl $class {
            pub fn holding(shared: &Arc<Shared>, pfn: Pfn, handle: Handle) -> $class {
                $class(Held::new(shared, pfn, handle, $what))
            }

            #[allow(dead_code, reason = "of the classes that calls take as arguments")]
            pub fn held(&self) -> &Held {
                &self.0
            }
        }

        #[pymethods]
        impl $class {
            /// The page.
            #[getter]
            fn page(&self) -> Page {
                self.0.page()
            }

            $(#[$back_doc])*
            fn $give_back(&self, py: Python<'_>) -> PyResult<()> {
                self.0.give_back(py)
            }

            fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
                slf.get().0.enter()?;
                Ok(slf)
            }

            #[pyo3(signature = (*_exception))]
            fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
                self.0.leave(py)
            }

            fn __repr__(&self) -> String {
                self.0.show(stringify!($class))
            }

            $($methods)*
        }
    };
}

handle! {
    /// One counted reference, from `Page.get` or `Machine.alloc`.
    PageRef, "reference",
    /// Drops the reference; the last one frees the page.
    put,
    {
        /// Splits the large page of which this is the only reference into base pages: spends it, and returns a reference
        /// on each of them, in order. Of a base page, one on itself.
        ///
        /// `KernelError` (EAGAIN) if somebody else holds the page; then the reference is as it was.
        fn split(&self, py: Python<'_>) -> PyResult<Vec<PageRef>> {
            let held = &self.0;
            let split = held.end(py, Waits::ForPageLocks, |shared| {
                let parts = shared.machine.split_held(&shared.ledger, held.pfn, Handle::Ref);
                // Ours to take back: nobody else can have spent it.
                parts.inspect_err(|_| held.spent.store(false, Ordering::Relaxed)).map_err(Into::into)
            });
            let parts = std::iter::once(held.pfn).chain(split?);
            Ok(parts.map(|pfn| PageRef::holding(&held.shared, pfn, Handle::Ref)).collect())
        }
    }
}

handle! {
    /// The page lock, from `Page.lock`, with a reference that keeps the page.
    PageLock, "page lock",
    /// Gives the lock back and drops the reference.
    unlock,
    {}
}

handle! {
    /// A write of a page to disk that has begun, from `File.begin_writeback`. Holds no reference: a page that is
    /// written stays in its file.
    Writeback, "write-back",
    /// The device has read the page: ends the write and wakes who waits for it.
    end,
    {}
}

handle! {
    /// A pin: 1024 references, as a device holds them. A buffer over it (`memoryview(pin)`) is the page's
    /// bytes; the pin cannot be given back before the buffer.
    Pin, "pin",
    /// Gives the pin back.
    unpin,
    {
        /// A writable view of the page's bytes.
        unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
            let held = &slf.get().0;
            held.enter()?;
            let bytes = held.shared.machine.memory().frame(held.pfn);
            let bytes = bytes.ok_or_else(|| PyBufferError::new_err("this machine is unbacked: its pages have no bytes"))?;
            let start = bytes.as_ptr().cast_mut().cast();
            // SAFETY: the interpreter hands in a view to fill. The frame is PAGE_SIZE bytes of the machine's
            // memory; the view keeps `slf`, `slf` keeps the machine. While the view exists the pin is not
            // given back (`Held::end`), so the frame is neither freed nor migrated. Others may load and store
            // through mappings meanwhile, word by word and atomically, as on hardware.
            let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, PAGE_SIZE as ffi::Py_ssize_t, 0, flags) };
            if filled != 0 {
                return Err(PyErr::fetch(slf.py()));
            }
            // Relaxed: the interpreter's own order puts it before the view's use and its release.
            held.buffers.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
            // Release pairs with the Acquire in `Held::end`.
            self.0.buffers.fetch_sub(1, Ordering::Release);
        }
    }
}

handle! {
    /// A token: the page is off its LRU list, or taken from the owner of a movable page, and this token
    /// owns the isolation's reference. Exactly one of `put`, `putback` and `migrate` spends it.
    Isolated, "isolation token",
    /// Gives the page back to its list, through a batch, or to its owner.
    putback,
    {
        /// Drops the isolation's reference; the page goes to no list. Not for movable pages, whose owners wait
        /// for an answer.
        fn put(&self, py: Python<'_>) -> PyResult<()> {
            if self.0.handle == Handle::IsolatedMovable {
                return Err(misuse("the owner of a movable page waits for an answer: use putback or migrate"));
            }
            self.0.end(py, Waits::Never, |shared| {
                shared.machine.put_isolated(&shared.ledger, self.0.pfn);
                Ok(())
            })
        }

        /// Migrates the page to ``node`` and returns the page that has its content now: the old one, which is
        /// free then, if all users had let go of it meanwhile.
        ///
        /// The token is spent whatever happens: a page that could not move is put back, and `KernelError`
        /// (EBUSY, ENOMEM) says why.
        #[pyo3(signature = (*, node, mode="sync", reason="syscall"))]
        fn migrate(&self, py: Python<'_>, node: usize, mode: &str, reason: &str) -> PyResult<Page> {
            let (mode, reason) = (names::mode(mode)?, names::reason(reason)?);
            let Held { pfn, handle, .. } = self.0;
            let waits = match (mode, handle) {
                (Mode::Async, Handle::Isolated) => Waits::Never,
                _ => Waits::ForPageLock(pfn),
            };
            let moved = self.0.end(py, waits, |shared| {
                Ok(shared.machine.migrate_isolated(&shared.ledger, pfn, handle, node, mode, reason)?)
            })?;
            Ok(Page::new(&self.0.shared, moved.unwrap_or(pfn)))
        }
    }
}
