//! `Page`: the name of a frame.

use crate::errors::misuse;
use crate::handles::{Isolated, PageLock, PageRef, Pin};
use crate::home::MachineRef;
use crate::shared::{Waits, look_up};
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

/// Between two looks at a page lock that somebody else holds.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Page>()
}

/// Names a frame, as a ``struct page *`` does: no reference, always valid to look at, whatever life the
/// frame leads. What one look shows may be past at the next.
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

    /// `1.5 ms` and the like are for Python; here a wait has an end or none.
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

    /// Page-table entries that map the page.
    #[getter]
    fn mapcount(&self, py: Python<'_>) -> PyResult<u32> {
        self.look(py, Record::mapcount)
    }

    /// The names of the flags that are set, as the kernel's tools print them.
    #[getter]
    fn flags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        state::flag_tuple(py, self.look(py, Record::flags)?)
    }

    /// log2 of the number of base pages: more than 0 for the head of a large page or of a free block.
    #[getter]
    fn order(&self, py: Python<'_>) -> PyResult<u8> {
        self.look(py, Record::order)
    }

    /// The page that this one is part of, which has its count, its flags and its lock: the head of a large page, or the
    /// page itself.
    #[getter]
    fn head(&self, py: Python<'_>) -> PyResult<Page> {
        let head = self.shared.look(py, |shared| shared.head(self.number))?;
        Ok(Page::new(py, &self.shared, head))
    }

    /// Who holds references on the page; of a part of a large page, on the whole.
    fn holders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let held = self.shared.call(py, Waits::Never, |shared| Ok(state::holders_of(shared, self.number)))?;
        state::holders(py, &held)
    }

    /// Everything above in one look, as a `PageState`.
    fn state(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.shared.call(py, Waits::Never, |_| Ok(()))?;
        Ok(state::found(py, &self.shared, self.number)?.state)
    }

    /// A counted reference. `KernelError` (EBUSY) if the page is free or frozen.
    fn get(&self, py: Python<'_>) -> PyResult<PageRef> {
        let pfn = self.number;
        self.shared.call(py, Waits::Never, |shared| Ok(shared.machine.hold(&shared.ledger, pfn)?))?;
        Ok(PageRef::holding(py, &self.shared, pfn, Handle::Ref))
    }

    /// A pin, as a device takes it: 1024 references. The page cannot move until it is given back, and a
    /// buffer over the pin shows the page's bytes. Waits while a migration has the page.
    ///
    /// `KernelError` (EBUSY) if the frame is free, or its page has moved away or was let go. `MisuseError` inside of a
    /// callback, which must not wait, for a page that is locked.
    fn pin(&self, py: Python<'_>) -> PyResult<Pin> {
        let (pfn, began) = (self.number, Instant::now());
        loop {
            let pinned = self.shared.call(py, Waits::Never, |shared| match shared.try_pin(pfn) {
                Err(error) if error.errno == Errno::EAGAIN => Ok(false),
                pinned => Ok(pinned.map(|()| true)?),
            })?;
            if pinned {
                return Ok(Pin::holding(py, &self.shared, pfn, Handle::Pin));
            }
            self.shared.may_sleep()?;
            py.detach(|| std::thread::sleep(LOOK_AGAIN));
            look_up(py, began)?;
        }
    }

    /// Takes the page off its LRU list, or from the owner of a movable page. `KernelError` (EBUSY) if it
    /// is neither on a list nor movable: in a batch, isolated already, free.
    fn isolate(&self, py: Python<'_>) -> PyResult<Isolated> {
        let pfn = self.number;
        let handle = self
            .shared
            .call(py, Waits::Never, |shared| Ok(shared.machine.hold_isolated(&shared.ledger, pfn)?))?;
        Ok(Isolated::holding(py, &self.shared, pfn, handle))
    }

    /// Splits the large page that this one is part of into base pages (``split_folio``); those that nothing maps are free
    /// then. `PageRef.split` splits what a script has allocated. Of a base page nothing is left to do.
    ///
    /// `KernelError` (EAGAIN) if somebody holds the page, as a reference, a pin or a batch does; (EBUSY) if it is free, or
    /// none that can be split.
    fn split(&self, py: Python<'_>) -> PyResult<()> {
        let pfn = self.number;
        self.shared.call(py, Waits::ForPageLocks, |shared| Ok(shared.machine.split_huge_page(pfn)?))
    }

    /// The page lock, with a reference that keeps the page; ``None`` if somebody has it.
    fn trylock(&self, py: Python<'_>) -> PyResult<Option<PageLock>> {
        let locked = self.shared.try_lock_page(py, self.number)?;
        Ok(locked.then(|| PageLock::holding(py, &self.shared, self.number, Handle::Lock)))
    }

    /// The page lock, with a reference that keeps the page; waits while somebody else has it.
    ///
    /// `MisuseError` if this thread has it or is inside of an owner's callback, which holds page locks that it
    /// must not wait with; `TimeoutError` after ``timeout`` seconds.
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
                let why = format!("the page lock of {} was held all the time", self.number);
                return Err(pyo3::exceptions::PyTimeoutError::new_err(why));
            }
            py.detach(|| std::thread::sleep(LOOK_AGAIN));
            look_up(py, began)?;
        }
    }

    /// The bytes of the frame as they are now, whoever owns it.
    ///
    /// `KernelError` (ENODATA) on an unbacked machine.
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
