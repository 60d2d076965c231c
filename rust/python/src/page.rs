//! `Page`: a frame, named by its number.

use crate::errors::misuse;
use crate::handles::{Isolated, PageLock, PageRef, Pin};
use crate::home::MachineRef;
use crate::shared::{Shared, Waits, look_up};
use crate::state;
use mmcore::audit::Handle;
use mmcore::error::Errno;
use mmcore::page::{PAGE_SIZE, Page as Record, Pfn};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// The time for which `Page.lock` and `Page.pin` sleep between two attempts, while the page is locked.
const LOCK_POLL: Duration = Duration::from_micros(200);

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Page>()
}

/// A frame, named by its number, as a ``struct page *`` names one in the kernel. A `Page` holds no
/// reference. It can be read while the frame is free, too, and other threads may change the page between
/// two reads.
#[pyclass(frozen, module = "mmcore")]
pub(crate) struct Page {
    pub shared: MachineRef,
    pub number: Pfn,
}

impl Page {
    pub fn new(py: Python<'_>, shared: &MachineRef, number: Pfn) -> Page {
        Page { shared: shared.share(py), number }
    }

    fn look<T>(&self, py: Python<'_>, look: impl Fn(&Record) -> T) -> PyResult<T> {
        let pfn = self.number;
        self.shared.look(py, |shared| look(&shared.machine.frames()[pfn]))
    }

    /// The deadline of a wait of `timeout` seconds; `None` if the wait has no end.
    fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
        let Some(seconds) = timeout else { return Ok(None) };
        let wait = Duration::try_from_secs_f64(seconds)
            .map_err(|_| PyValueError::new_err(format!("a timeout cannot be {seconds} seconds")))?;
        Ok(Instant::now().checked_add(wait))
    }
}

#[pymethods]
impl Page {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// The frame's number.
    #[getter]
    fn pfn(&self) -> u32 {
        self.number.0
    }

    /// The node that the frame belongs to.
    #[getter]
    fn node(&self) -> usize {
        self.shared.machine.node_of(self.number)
    }

    /// The reference count.
    #[getter]
    fn refcount(&self, py: Python<'_>) -> PyResult<u32> {
        self.look(py, Record::count)
    }

    /// The number of page-table entries that map the page.
    #[getter]
    fn mapcount(&self, py: Python<'_>) -> PyResult<u32> {
        self.look(py, Record::mapcount)
    }

    /// The names of the flags that are set, in lower case as the kernel's tools print them: ``uptodate``.
    #[getter]
    fn flags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        state::flag_tuple(py, self.look(py, Record::flags)?)
    }

    /// log2 of the number of base pages in the large page, or in the free block, that begins at this frame. 0
    /// for a base page.
    #[getter]
    fn order(&self, py: Python<'_>) -> PyResult<u8> {
        self.look(py, Record::order)
    }

    /// The head of the large page that this page is part of. The head has the count, the flags and the lock
    /// of the whole large page. A base page is its own head.
    #[getter]
    fn head(&self, py: Python<'_>) -> PyResult<Page> {
        let head = self.shared.look(py, |shared| shared.head(self.number))?;
        Ok(Page::new(py, &self.shared, head))
    }

    /// The holders of references on the page, as `mmcore.results.Holder` objects. A part of a large page has
    /// the holders of the whole.
    fn holders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let held = self.shared.call(py, Waits::Never, |shared| Ok(state::holders_of(shared, self.number)))?;
        state::holders(py, &held)
    }

    /// Reads number, node, order, count, mapcount, flags and holders in one call, as a `PageState`. Count and
    /// flags are those of one moment; the other values may be of another if threads change the page
    /// meanwhile.
    fn state(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.shared.call(py, Waits::Never, |_| Ok(()))?;
        Ok(state::found(py, &self.shared, self.number)?.state)
    }

    /// Takes a counted reference (``folio_try_get``). A reference on a part of a large page keeps the whole.
    ///
    /// Raises:
    ///     KernelError: EBUSY if the page is free or frozen, ENOMEM if its count is at the limit.
    fn get(&self, py: Python<'_>) -> PyResult<PageRef> {
        let pfn = self.number;
        self.shared.take(
            py,
            Waits::Never,
            |shared| Ok(shared.machine.hold(&shared.ledger, pfn)?),
            |shared, ()| shared.give_back(pfn, Handle::Ref),
        )?;
        Ok(PageRef::holding(py, &self.shared, pfn, Handle::Ref))
    }

    /// Takes a pin, as a device does: 1024 references, or 1 in kernels without counted pins (profile field
    /// ``pins``). The page cannot move until the pin is given back. A buffer over the pin,
    /// ``memoryview(pin)``, shows the page's bytes. The call waits while a migration or another operation has
    /// the page locked; a page lock that a handle holds is no obstacle.
    ///
    /// Raises:
    ///     KernelError: EBUSY if the frame is free or frozen, or if the page moved or was freed during the
    ///         call, and for a movable page in kernels without counted pins; ENOMEM if the count is at its
    ///         limit.
    ///     MisuseError: if the call would have to wait and is made inside of a callback. A callback runs
    ///         under page locks, and the awaited lock may be one of them.
    fn pin(&self, py: Python<'_>) -> PyResult<Pin> {
        let (pfn, began) = (self.number, Instant::now());
        let try_it = |shared: &Shared| match shared.try_pin(pfn) {
            Err(error) if error.errno == Errno::EAGAIN => Ok(false),
            pinned => Ok(pinned.map(|()| true)?),
        };
        let undo = |shared: &Shared, pinned| {
            if pinned {
                shared.give_back(pfn, Handle::Pin);
            }
        };
        loop {
            if self.shared.take(py, Waits::Never, try_it, undo)? {
                return Ok(Pin::holding(py, &self.shared, pfn, Handle::Pin));
            }
            self.shared.may_sleep()?;
            py.detach(|| std::thread::sleep(LOCK_POLL));
            look_up(py, began)?;
        }
    }

    /// Isolates the page: takes it off its LRU list (``folio_isolate_lru``), or from its owner if it is
    /// movable (``isolate_movable_page``). A part of a large page is isolated with the whole.
    ///
    /// Raises:
    ///     KernelError: EBUSY if the page is on no list because it waits in a batch, is isolated or is free,
    ///         or if the owner of a movable page refuses.
    fn isolate(&self, py: Python<'_>) -> PyResult<Isolated> {
        let pfn = self.number;
        let handle = self.shared.take(
            py,
            Waits::Never,
            |shared| Ok(shared.machine.hold_isolated(&shared.ledger, pfn)?),
            |shared, handle| shared.give_back(pfn, handle),
        )?;
        Ok(Isolated::holding(py, &self.shared, pfn, handle))
    }

    /// Splits the large page that this page is part of into base pages (``split_folio``). Base pages that are
    /// mapped nowhere are freed. A base page is left as it is. Use `PageRef.split` for a page that the script
    /// has allocated. Waits for the page lock.
    ///
    /// Raises:
    ///     KernelError: EAGAIN if the page has references beside its mappings, such as those of handles, pins
    ///         or batches; EBUSY if it is free, frozen or of a kind that cannot be split.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    fn split(&self, py: Python<'_>) -> PyResult<()> {
        let pfn = self.number;
        self.shared.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.split_huge_page(pfn)?))
    }

    /// Takes the page lock, with a reference that keeps the page. Never waits: returns ``None`` if the lock
    /// is taken, be it by this thread.
    ///
    /// Raises:
    ///     KernelError: EBUSY if the page is free or frozen, ENOMEM if its count is at the limit.
    fn trylock(&self, py: Python<'_>) -> PyResult<Option<PageLock>> {
        let locked = self.shared.try_lock_page(py, self.number)?;
        Ok(locked.then(|| PageLock::holding(py, &self.shared, self.number, Handle::Lock)))
    }

    /// Takes the page lock, with a reference that keeps the page. Waits while another thread has the lock.
    ///
    /// Args:
    ///     timeout: the longest wait in seconds; left out, the wait has no end.
    ///
    /// Raises:
    ///     KernelError: EBUSY if the page is free or frozen, ENOMEM if its count is at the limit.
    ///     MisuseError: if this thread has the lock already, or if the lock is taken and this thread is
    ///         inside of an owner's callback: the call that made the callback holds page locks, and waiting
    ///         could deadlock.
    ///     TimeoutError: if the lock was not free within ``timeout`` seconds.
    ///     ValueError: if ``timeout`` is negative, not a number, or too large.
    #[pyo3(signature = (*, timeout=None))]
    fn lock(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<PageLock> {
        let (deadline, began) = (Page::deadline(timeout)?, Instant::now());
        loop {
            if self.shared.try_lock_page(py, self.number)? {
                return Ok(PageLock::holding(py, &self.shared, self.number, Handle::Lock));
            }
            if self.shared.holds_lock(self.number) {
                return Err(misuse(format!("this thread already holds the page lock of {}", self.number)));
            }
            self.shared.may_sleep()?;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let why = format!("the page lock of {} was not released in time", self.number);
                return Err(pyo3::exceptions::PyTimeoutError::new_err(why));
            }
            py.detach(|| std::thread::sleep(LOCK_POLL));
            look_up(py, began)?;
        }
    }

    /// Copies the 4,096 bytes of the page that is in the frame, word by word. Writes of other threads may
    /// come in between, as on real hardware.
    ///
    /// Raises:
    ///     KernelError: EBUSY if the frame is free or frozen; ENODATA if the page has no content yet, because
    ///         it is being filled or was only allocated; ENODEV on an unbacked machine.
    fn peek<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let pfn = self.number;
        let bytes = self.shared.call(py, Waits::Never, |shared| Ok(shared.machine.frame_bytes(pfn)?))?;
        debug_assert_eq!(bytes.len(), PAGE_SIZE);
        Ok(PyBytes::new(py, &bytes))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Page>()
            .is_ok_and(|other| self.shared.is(&other.get().shared) && self.number == other.get().number)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.shared.id(), self.number).hash(&mut hasher);
        hasher.finish()
    }

    fn __index__(&self) -> u32 {
        self.number.0
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let shown = self.look(py, |page| {
            let flags = state::flag_names(page.flags()).join(" ");
            format!("count={} [{flags}] mapped×{}", page.count(), page.mapcount())
        });
        let shown = shown.unwrap_or_else(|_| "closed".into());
        format!("<Page pfn={} node={} {shown}>", self.number, self.node())
    }
}
