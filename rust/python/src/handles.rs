//! Handles: what a script holds on a page, each given back exactly once.

#![allow(unsafe_code, reason = "the buffer protocol")]

use crate::errors::{Refusal, misuse};
use crate::home::MachineRef;
use crate::names;
use crate::page::Page;
use crate::shared::{Shared, Waits, look_up};
use crate::waits::LOOK_AGAIN;
use mmcore::audit::Handle;
use mmcore::migrate::Mode;
use mmcore::page::{PAGE_SIZE, Pfn};
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PageRef>()?;
    module.add_class::<Pin>()?;
    module.add_class::<PageLock>()?;
    module.add_class::<Writeback>()?;
    module.add_class::<Isolated>()
}

/// One handle: spent by whoever gives it back first.
pub(crate) struct Held {
    pub shared: MachineRef,
    pub pfn: Pfn,
    handle: Handle,
    /// What it is called.
    what: &'static str,
    /// [`SPENT`], or the number of buffers over the page: one word, so that whoever gives the handle back and whoever
    /// exports a buffer see each other.
    state: AtomicU32,
}

/// It was given back.
const SPENT: u32 = u32::MAX;

/// Why a handle cannot be spent.
enum Kept {
    Spent,
    Buffers(u32),
}

impl Held {
    fn new(py: Python<'_>, shared: &MachineRef, pfn: Pfn, handle: Handle, what: &'static str) -> Held {
        Held { shared: shared.share(py), pfn, handle, what, state: AtomicU32::new(0) }
    }

    pub fn is_spent(&self) -> bool {
        // Relaxed: a look; `spend` decides.
        self.state.load(Ordering::Relaxed) == SPENT
    }

    pub fn already_spent(&self) -> PyErr {
        misuse(format!("this {} of page {} was given back already", self.what, self.pfn))
    }

    /// True for the one caller that gives it back, while no buffer is there.
    pub fn spend(&self) -> bool {
        self.try_spend().is_ok()
    }

    fn try_spend(&self) -> Result<(), Kept> {
        // Acquire pairs with the Release of `buffer_released`: the last access through a buffer is over before the frame
        // is anybody else's. One compare-exchange, so that no buffer is exported between the look and the end.
        let spent = self.state.compare_exchange(0, SPENT, Ordering::Acquire, Ordering::Relaxed);
        spent.map(drop).map_err(|state| if state == SPENT { Kept::Spent } else { Kept::Buffers(state) })
    }

    /// For who spent it and then did nothing.
    pub fn unspend(&self) {
        // Release pairs with the Acquire of whoever spends it next.
        self.state.store(0, Ordering::Release);
    }

    /// One more buffer over the page; false if the handle was given back, or has as many as can be counted.
    fn buffer_exported(&self) -> bool {
        let more = |state: u32| (state < SPENT - 1).then(|| state + 1);
        // Relaxed, twice: that it is not spent is all that counts, and is decided by the exchange itself.
        self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// One buffer less.
    fn buffer_released(&self) {
        // Release pairs with the Acquire in `try_spend`.
        self.state.fetch_sub(1, Ordering::Release);
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
        self.shared.call(py, waits, |shared| match self.try_spend() {
            Ok(()) => end(shared),
            Err(Kept::Buffers(n)) => {
                Err(Refusal::Buffers(format!("{n} buffers over page {} exist: release them first", self.pfn)))
            }
            Err(Kept::Spent) => {
                Err(Refusal::Misuse(format!("this {} of page {} was just given back", self.what, self.pfn)))
            }
        })
    }

    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        if self.handle != Handle::IsolatedMovable {
            return self.end(py, Waits::Never, |shared| {
                shared.let_go(self.pfn, self.handle);
                Ok(())
            });
        }
        let began = Instant::now();
        // Its owner is told under the page lock, which others may hold for long.
        let try_it = |shared: &Shared| {
            let given_back = shared.try_put_back(self.pfn);
            if !given_back {
                self.unspend();
            }
            Ok(given_back)
        };
        while !self.end(py, Waits::ForPageLock(self.pfn), try_it)? {
            py.detach(|| std::thread::sleep(LOOK_AGAIN));
            look_up(py, began)?;
        }
        Ok(())
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

    fn page(&self, py: Python<'_>) -> Page {
        Page::new(py, &self.shared, self.pfn)
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
            pub fn holding(py: Python<'_>, shared: &MachineRef, pfn: Pfn, handle: Handle) -> $class {
                $class(Held::new(py, shared, pfn, handle, $what))
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
            fn page(&self, py: Python<'_>) -> Page {
                self.0.page(py)
            }

            fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
                self.0.shared.visit(&visit)
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
                parts.inspect_err(|_| held.unspend()).map_err(Into::into)
            });
            let parts = std::iter::once(held.pfn).chain(split?);
            Ok(parts.map(|pfn| PageRef::holding(py, &held.shared, pfn, Handle::Ref)).collect())
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
            // Counted before there is a view: from here on the pin is not given back.
            if !held.buffer_exported() {
                return Err(held.already_spent());
            }
            // SAFETY: the interpreter hands in a view to fill. The frame is PAGE_SIZE bytes of the machine's
            // memory; the view keeps `slf`, `slf` keeps the machine. While the view exists the pin is not
            // given back (`Held::try_spend`), so the frame is neither freed nor migrated. Others may load and store
            // through mappings meanwhile, word by word and atomically, as on hardware.
            let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, PAGE_SIZE as ffi::Py_ssize_t, 0, flags) };
            if filled != 0 {
                held.buffer_released();
                return Err(PyErr::fetch(slf.py()));
            }
            Ok(())
        }

        unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
            self.0.buffer_released();
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
        ///
        /// `KernelError` (EBUSY) for a page that is mapped, in a file or in the swap cache: it belongs on its list, so use
        /// `putback`. The token is as it was then.
        fn put(&self, py: Python<'_>) -> PyResult<()> {
            if self.0.handle == Handle::IsolatedMovable {
                return Err(misuse("the owner of a movable page waits for an answer: use putback or migrate"));
            }
            self.0.end(py, Waits::Never, |shared| {
                let put = shared.machine.put_isolated(&shared.ledger, self.0.pfn);
                // Ours to take back: nobody else can have spent it.
                put.inspect_err(|_| self.0.unspend()).map_err(Into::into)
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
            Ok(Page::new(py, &self.0.shared, moved.unwrap_or(pfn)))
        }
    }
}
