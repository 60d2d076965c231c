//! Handles: the references, pins, page locks, isolations and writes to disk that a script holds on
//! pages. Each is given back exactly once.

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

/// One handle. The first call that gives it back spends it; later ones are refused.
pub(crate) struct Held {
    pub shared: MachineRef,
    pub pfn: Pfn,
    handle: Handle,
    /// The name of the handle in messages.
    what: &'static str,
    /// [`SPENT`], or the number of buffers over the page. Both are in one word, so that a thread that gives
    /// the handle back and a thread that exports a buffer cannot both succeed.
    state: AtomicU32,
}

/// The state of a handle that was given back.
const SPENT: u32 = u32::MAX;

/// The reason why a handle cannot be spent.
enum NotSpendable {
    Spent,
    Buffers(u32),
}

impl Held {
    fn new(py: Python<'_>, shared: &MachineRef, pfn: Pfn, handle: Handle, what: &'static str) -> Held {
        Held { shared: shared.share(py), pfn, handle, what, state: AtomicU32::new(0) }
    }

    pub fn is_spent(&self) -> bool {
        // Relaxed: a hint. `try_spend` decides.
        self.state.load(Ordering::Relaxed) == SPENT
    }

    pub fn already_spent(&self) -> PyErr {
        misuse(format!("this {} of page {} was given back already", self.what, self.pfn))
    }

    /// Spends the handle. True for one caller only, and only while there is no buffer over the page.
    pub fn spend(&self) -> bool {
        self.try_spend().is_ok()
    }

    fn try_spend(&self) -> Result<(), NotSpendable> {
        // Acquire pairs with the Release of `buffer_released`: the last access through a buffer
        // happens before the frame can be freed and used by another owner. The check for buffers
        // and the spending are one compare-exchange, so that no buffer is exported between them.
        let spent = self.state.compare_exchange(0, SPENT, Ordering::Acquire, Ordering::Relaxed);
        spent
            .map(drop)
            .map_err(|state| if state == SPENT { NotSpendable::Spent } else { NotSpendable::Buffers(state) })
    }

    /// Makes the handle valid again, after the operation that spent it has failed without a change.
    pub fn unspend(&self) {
        // Release pairs with the Acquire of the next `try_spend`.
        self.state.store(0, Ordering::Release);
    }

    /// Counts a new buffer over the page. False if the handle was given back, or if the count is at its
    /// limit.
    fn buffer_exported(&self) -> bool {
        let more = |state: u32| (state < SPENT - 1).then(|| state + 1);
        // Relaxed, twice: only the handle's validity matters, and the exchange itself checks it.
        self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Counts the release of a buffer.
    fn buffer_released(&self) {
        // Release pairs with the Acquire in `try_spend`.
        self.state.fetch_sub(1, Ordering::Release);
    }

    pub fn kind(&self) -> Handle {
        self.handle
    }

    /// Spends the handle and runs `end`. `MisuseError` if the handle was spent before, `BufferError` while
    /// there are buffers over the page. If the call is refused before it begins, the handle stays valid.
    fn end<T: Send>(
        &self,
        py: Python<'_>,
        waits: Waits,
        end: impl FnOnce(&Shared) -> Result<T, Refusal> + Send,
    ) -> PyResult<T> {
        self.enter()?;
        self.shared.call(py, waits, |shared| match self.try_spend() {
            Ok(()) => end(shared),
            Err(NotSpendable::Buffers(n)) => {
                Err(Refusal::Buffers(format!("{n} buffers over page {} exist: release them first", self.pfn)))
            }
            Err(NotSpendable::Spent) => {
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
        // The owner is called under the page lock, which other threads may hold for long. So the lock is
        // only tried, and signals are handled between two attempts.
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

    /// The end of a `with` block. Does nothing if the handle was given back inside, or if the machine is
    /// closed.
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

/// Defines the class of one kind of handle, with the members that all of them share: `page`, the method that
/// gives the handle back, the `with` statement, a repr.
macro_rules! handle {
    (
        $(#[$doc:meta])* $class:ident in $module:literal, $what:literal,
        $(#[$back_doc:meta])* $give_back:ident, { $($methods:tt)* }
    ) => {
        $(#[$doc])*
        #[pyclass(frozen, module = $module)]
        pub(crate) struct $class(Held);

        impl $class {
            pub fn holding(py: Python<'_>, shared: &MachineRef, pfn: Pfn, handle: Handle) -> $class {
                $class(Held::new(py, shared, pfn, handle, $what))
            }

            #[allow(dead_code, reason = "calls take only some of the classes as arguments")]
            pub fn held(&self) -> &Held {
                &self.0
            }
        }

        #[pymethods]
        impl $class {
            /// The page that the handle holds.
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
    PageRef in "mmcore.handles", "reference",
    /// Drops the reference; the last one frees the page.
    ///
    /// Raises:
    ///     MisuseError: if the reference was given back already.
    put,
    {
        /// Splits a large page into base pages (split_huge_page), if this is the only reference to it. Spends
        /// the reference and returns one reference to each base page, in order. A base page is not split: the
        /// reference is spent, and a new one is returned in its place.
        ///
        /// Raises:
        ///     KernelError: EAGAIN if the page has other references; EBUSY if the reference was taken by a
        ///         frame that is not the page's first, or if the page is of a kind that cannot be split. The
        ///         reference stays valid.
        ///     MisuseError: if the reference was given back already; if this thread holds a page lock or has
        ///         begun a write to disk, or is inside of a callback.
        fn split(&self, py: Python<'_>) -> PyResult<Vec<PageRef>> {
            let held = &self.0;
            let split = held.end(py, Waits::ForPageLocks, |shared| {
                let parts = shared.machine.split_held(&shared.ledger, held.pfn, Handle::Ref);
                // This call has spent the handle, so no other thread can have spent it meanwhile.
                parts.inspect_err(|_| held.unspend()).map_err(Into::into)
            });
            let parts = std::iter::once(held.pfn).chain(split?);
            Ok(parts.map(|pfn| PageRef::holding(py, &held.shared, pfn, Handle::Ref)).collect())
        }
    }
}

handle! {
    /// The page lock, from `Page.lock`, with a reference that keeps the page from being freed.
    PageLock in "mmcore.handles", "page lock",
    /// Unlocks the page and drops the reference.
    ///
    /// Raises:
    ///     MisuseError: if the lock was given back already.
    unlock,
    {}
}

handle! {
    /// A write of a page to disk that has begun, from `File.begin_writeback`. It needs no reference: a page
    /// under writeback stays in the page cache.
    Writeback in "mmcore.handles", "write-back",
    /// Ends the write, as the device does when it has read the page (folio_end_writeback), and wakes the
    /// threads that wait for the end of the write. On a backed machine the page's bytes at this moment are
    /// those that reach the disk.
    ///
    /// Raises:
    ///     MisuseError: if the write was ended already.
    end,
    {}
}

handle! {
    /// A pin, from `Page.pin` or `Region.pin`. A buffer over the pin (`memoryview(pin)`) shows the 4,096
    /// bytes of the page, and can be written. The pin cannot be given back while the buffer exists, so the
    /// buffer never shows another page's bytes. A pin on an unbacked machine refuses a buffer with
    /// `BufferError`, because pages have no bytes there.
    Pin in "mmcore", "pin",
    /// Gives the pin back (unpin_user_page).
    ///
    /// Raises:
    ///     BufferError: while a buffer over the pin exists.
    ///     MisuseError: if the pin was given back already.
    unpin,
    {
        /// A writable view of the page's bytes.
        unsafe fn __getbuffer__(
            slf: Bound<'_, Self>,
            view: *mut ffi::Py_buffer,
            flags: c_int,
        ) -> PyResult<()> {
            let held = &slf.get().0;
            held.enter()?;
            let bytes = held.shared.machine.memory().frame(held.pfn);
            let bytes = bytes.ok_or_else(|| PyBufferError::new_err("this machine is unbacked: its pages have no bytes"))?;
            let start = bytes.as_ptr().cast_mut().cast();
            // Counted before the view is filled, so that the pin cannot be given back in between.
            if !held.buffer_exported() {
                return Err(held.already_spent());
            }
            // SAFETY: the interpreter passes a view to fill. The frame is PAGE_SIZE bytes of the
            // machine's memory. The view keeps `slf` alive, and `slf` keeps the machine alive.
            // While the view exists the pin cannot be given back (`Held::try_spend`), so the frame
            // is neither freed nor migrated. Other threads may load and store through mappings
            // meanwhile, with atomic accesses to whole words, as on hardware.
            let filled = unsafe {
                ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, PAGE_SIZE as ffi::Py_ssize_t, 0, flags)
            };
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
    /// An isolation token: the page is off its LRU list, or taken from its owner if it is movable, and the
    /// token holds the isolation's reference. The token is spent once: by `put`, `putback` or `migrate`, or
    /// as an item of the list for `Machine.migrate_pages` or `Machine.reclaim_pages`.
    Isolated in "mmcore.handles", "isolation token",
    /// Puts the page back on its LRU list through a batch (putback_lru_page), or gives a movable page back to
    /// its owner (putback_movable_page).
    ///
    /// Raises:
    ///     MisuseError: if the token was given back already; for a movable page also if this thread holds the
    ///         page's lock or is inside of a callback.
    putback,
    {
        /// Drops the isolation's reference without putting the page on a list. The page is freed if nobody
        /// else holds it.
        ///
        /// Raises:
        ///     KernelError: EBUSY for a page that is mapped, in a file or in the swap cache: off its list,
        ///         reclaim would never find it. Use `putback`; the token stays valid.
        ///     MisuseError: if the token was given back already; for a movable page, which its owner must get
        ///         back.
        fn put(&self, py: Python<'_>) -> PyResult<()> {
            if self.0.handle == Handle::IsolatedMovable {
                return Err(misuse("the owner of a movable page waits for an answer: use putback or migrate"));
            }
            self.0.end(py, Waits::Never, |shared| {
                let put = shared.machine.put_isolated(&shared.ledger, self.0.pfn);
                // This call has spent the handle, so no other thread can have spent it meanwhile.
                put.inspect_err(|_| self.0.unspend()).map_err(Into::into)
            })
        }

        /// Migrates the page to ``node`` (migrate_pages() in the kernel) and returns the page that has its
        /// content now. If all other users dropped the page before it moved, the old page is returned, which
        /// is free then.
        ///
        /// A call that begins spends the token in any case: a page that could not move is put back. A call
        /// that is refused with `MisuseError` or `ValueError` leaves the token valid.
        ///
        /// Args:
        ///     node: the number of the node to which the page moves.
        ///     mode: the waits that the migration may make, as ``enum migrate_mode``.
        ///     reason: the reason that the tracepoint shows, as ``enum migrate_reason``.
        ///
        /// Raises:
        ///     KernelError: EBUSY if the page could not move, for example because another holder had a
        ///         reference in every pass; ENOMEM if ``node`` has no free frame; EINVAL for a node that does
        ///         not exist, or for the reasons ``"memory_failure"`` and ``"demotion"``, which only
        ///         `Machine.migrate_pages` takes.
        ///     MisuseError: if the token was given back already; if the call could wait for the page's lock
        ///         or call an owner, and this thread holds that lock or is inside of a callback.
        ///     ValueError: if there is no such mode or reason.
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
