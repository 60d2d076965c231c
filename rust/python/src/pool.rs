//! `PagePool`: movable pages with owners that are written in Python.

use crate::home::{MachineRef, WeakMachine};
use crate::names;
use crate::page::Page;
use crate::shared::{Outbox, Waits, in_callback};
use crate::waits::{is_interrupted, report};
use mmcore::error::Errno;
use mmcore::memory::WORDS;
use mmcore::migrate::Mode;
use mmcore::movable::{PagePool as Pool, PageView, PoolOwner, PoolPage};
use mmcore::page::Pfn;
use pyo3::exceptions::{PyAttributeError, PyBlockingIOError, PyIndexError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use std::fmt;
use std::sync::Arc;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PagePool>()
}

/// An owner in Python: an object with the methods of `mmcore.handles.MovableOps`.
///
/// A thread attaches to the interpreter for a callback while it holds page locks and the gate. Threads that
/// wait for these are detached, so no two threads wait for each other.
///
/// An exception of `isolate` or `migrate` is a refusal. An exception of any callback is also reported through
/// `sys.unraisablehook`, except an `OSError` that refuses. An exception that is no `Exception`, such as
/// `KeyboardInterrupt`, is not reported: the call that led to the callback raises it and asks the owner
/// nothing more. The owner is still told of pages that are put back or released.
pub(crate) struct PythonOwner {
    machine: WeakMachine,
    /// The owner's number in the machine's table of owners.
    number: u64,
    outbox: Arc<Outbox>,
}

impl Drop for PythonOwner {
    fn drop(&mut self) {
        self.outbox.forget_owner(self.number);
    }
}

impl fmt::Debug for PythonOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PythonOwner")
    }
}

impl PythonOwner {
    /// Calls a method with pages and perhaps a word, and passes the result or the exception to `answer`.
    /// `None` if the owner no longer exists, or the interpreter has ended.
    fn ask<T>(
        &self,
        method: &str,
        pages: &[Pfn],
        word: Option<&str>,
        answer: impl FnOnce(PyResult<Bound<'_, PyAny>>, &Bound<'_, PyAny>) -> T,
    ) -> Option<T> {
        let ask = |py: Python<'_>| {
            let machine = self.machine.upgrade(py)?;
            let methods = machine.owners.get(py, self.number)?;
            let arguments = || -> PyResult<Bound<'_, PyTuple>> {
                let mut arguments = Vec::new();
                for &pfn in pages {
                    arguments.push(Bound::new(py, Page::new(py, &machine, pfn))?.into_any());
                }
                if let Some(word) = word {
                    arguments.push(word.into_pyobject(py)?.into_any());
                }
                PyTuple::new(py, arguments)
            };
            let returned = arguments().and_then(|arguments| methods.call_method1(method, arguments));
            Some(answer(returned, &methods))
        };
        in_callback(|| Python::try_attach(ask))?
    }

    /// Calls a method and ignores its result. An exception is handled by [`report`].
    fn tell(&self, method: &str, pfn: Pfn) {
        let _ = self.ask(method, &[pfn], None, |returned, methods| {
            if let Err(raised) = returned {
                report(raised, methods);
            }
        });
    }
}

impl PoolOwner for PythonOwner {
    fn isolate(&self, _view: &dyn PageView, pfn: Pfn) -> bool {
        if is_interrupted() {
            return false;
        }
        let answer = self.ask("isolate", &[pfn], None, |returned, methods| {
            returned.and_then(|answer| answer.is_truthy()).unwrap_or_else(|raised| {
                if !raised.is_instance_of::<PyOSError>(methods.py()) {
                    report(raised, methods);
                }
                false
            })
        });
        answer.unwrap_or(false)
    }

    fn migrate(&self, _view: &dyn PageView, from: Pfn, to: Pfn, mode: Mode) -> Result<bool, Errno> {
        if is_interrupted() {
            return Err(Errno::EIO);
        }
        let answer = self.ask("migrate", &[from, to], Some(names::of_mode(mode)), |returned, methods| {
            let raised = match returned.and_then(|answer| answer.is_truthy()) {
                Ok(copied) => return Ok(copied),
                Err(raised) => raised,
            };
            let py = methods.py();
            if !raised.is_instance_of::<PyOSError>(py) {
                report(raised, methods);
                return Err(Errno::EIO);
            }
            Err(refusal(py, &raised))
        });
        answer.unwrap_or(Err(Errno::EIO))
    }

    fn putback(&self, _view: &dyn PageView, pfn: Pfn) {
        self.tell("putback", pfn);
    }

    fn released(&self, _view: &dyn PageView, pfn: Pfn) {
        self.tell("released", pfn);
    }

    fn held(&self, _view: &dyn PageView) -> Option<Vec<Pfn>> {
        if is_interrupted() {
            return None;
        }
        let answer = self.ask("held", &[], None, |returned, methods| {
            returned.and_then(|pages| accounted(&pages)).unwrap_or_else(|raised| {
                // An owner may be any object with the methods of the contract, and `held` is none of
                // them.
                if !raised.is_instance_of::<PyAttributeError>(methods.py()) {
                    report(raised, methods);
                }
                None
            })
        });
        answer.flatten()
    }
}

/// The errno with which an `OSError` of a callback refuses.
pub(crate) fn refusal(py: Python<'_>, raised: &PyErr) -> Errno {
    let errno = raised.value(py).getattr("errno").and_then(|errno| errno.extract::<i32>());
    // Without an errno the class of the exception decides: `BlockingIOError` means `EAGAIN`.
    let again = raised.is_instance_of::<PyBlockingIOError>(py);
    errno.map_or(if again { Errno::EAGAIN } else { Errno::EBUSY }, Errno)
}

/// The frames of the pages that an owner's `held` has returned; `None` if the owner keeps no account.
pub(crate) fn accounted(pages: &Bound<'_, PyAny>) -> PyResult<Option<Vec<Pfn>>> {
    if pages.is_none() {
        return Ok(None);
    }
    let number =
        |page: PyResult<Bound<'_, PyAny>>| page?.call_method0("__index__")?.extract::<u32>().map(Pfn);
    pages.try_iter()?.map(number).collect::<PyResult<Vec<_>>>().map(Some)
}

/// A pool of movable pages outside of the LRU, from `Machine.page_pool`. A page keeps its number in the pool
/// when it moves to another frame. The number of a released page is used again.
///
/// A machine has room for 65,536 pools, files and mappings at a time. An empty pool makes room when its
/// Python object is deleted; a pool with pages stays, with its owner, until the last page is released.
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct PagePool {
    shared: MachineRef,
    pool: Arc<Pool>,
}

impl PagePool {
    pub fn create(py: Python<'_>, shared: &MachineRef, methods: Option<Py<PyAny>>) -> PyResult<PagePool> {
        shared.alive()?;
        let machine = shared.weak(py)?;
        let number = methods.map(|methods| shared.keep_owner(py, methods));
        let outbox = Arc::clone(&shared.outbox);
        let owner = number.map(|number| Arc::new(PythonOwner { machine, number, outbox }));
        let pool = shared.call(py, Waits::Never, |shared| {
            Ok(match owner {
                Some(owner) => Pool::with_owner(&shared.machine, owner)?,
                None => Pool::new(&shared.machine)?,
            })
        });
        Ok(PagePool { shared: shared.share(py), pool: pool? })
    }

    fn pfn(&self, py: Python<'_>, number: u32) -> PyResult<Pfn> {
        self.shared.call(py, Waits::Never, |_| Ok(self.pool.pfn(PoolPage(number))?))
    }
}

fn word_in_page(word: usize) -> PyResult<usize> {
    if word < WORDS {
        return Ok(word);
    }
    Err(PyIndexError::new_err(format!("no word {word}: a page has {WORDS}")))
}

impl Drop for PagePool {
    fn drop(&mut self) {
        self.shared.abandon_pool(&self.pool);
    }
}

#[pymethods]
impl PagePool {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// Allocates a zeroed page of ``node`` and returns its number in the pool.
    ///
    /// Raises:
    ///     KernelError: ENOMEM without a free page, EINVAL for a node that does not exist.
    #[pyo3(signature = (*, node=0))]
    fn add(&self, py: Python<'_>, node: usize) -> PyResult<u32> {
        let page = self.shared.take(
            py,
            Waits::Never,
            |shared| Ok(self.pool.add(&shared.machine, node)?),
            |shared, page| shared.release(&self.pool, page),
        )?;
        Ok(page.0)
    }

    /// Releases a page. The machine's profile decides how. Under release designs whose puts look for an
    /// owner, the pool drops its reference, and the thread that drops the last reference calls ``released``.
    /// Under the other designs the pool first clears the page's movable mark under the page lock, and
    /// ``released`` is not called.
    ///
    /// Args:
    ///     number: the number of the page within the pool, as `add` returned it.
    ///
    /// Raises:
    ///     KernelError: EINVAL if the pool has no page of that number.
    ///     MisuseError: if the call would wait for the page's lock, and this thread holds that lock or is
    ///         inside of a callback.
    fn release(&self, py: Python<'_>, number: u32) -> PyResult<()> {
        let pfn = self.pfn(py, number)?;
        let looks = self.shared.machine.put_looks();
        let waits = if looks { Waits::Never } else { Waits::ForPageLock(pfn) };
        self.shared.call(py, waits, |shared| Ok(self.pool.release(&shared.machine, PoolPage(number))?))
    }

    /// Returns the page's frame at the time of the call; a migration may move the page afterwards.
    ///
    /// Args:
    ///     number: the number of the page within the pool.
    ///
    /// Raises:
    ///     KernelError: EINVAL if the pool has no page of that number.
    fn page(&self, py: Python<'_>, number: u32) -> PyResult<Page> {
        Ok(Page::new(py, &self.shared, self.pfn(py, number)?))
    }

    /// Reads one word of a page.
    ///
    /// Args:
    ///     number: the number of the page within the pool.
    ///     word: the number of the word of 8 bytes within the page, from 0.
    ///
    /// Raises:
    ///     KernelError: EINVAL if the pool has no page of that number.
    ///     IndexError: if a page has no such word.
    #[pyo3(signature = (number, word=0))]
    fn read(&self, py: Python<'_>, number: u32, word: usize) -> PyResult<u64> {
        let word = word_in_page(word)?;
        self.shared
            .call(py, Waits::Never, |shared| Ok(self.pool.read(&shared.machine, PoolPage(number), word)?))
    }

    /// Writes one word of a page.
    ///
    /// Args:
    ///     number: the number of the page within the pool.
    ///     word: the number of the word of 8 bytes within the page, from 0.
    ///     value: the new value, an unsigned number of 64 bits.
    ///
    /// Raises:
    ///     KernelError: EINVAL if the pool has no page of that number.
    ///     IndexError: if a page has no such word.
    fn write(&self, py: Python<'_>, number: u32, word: usize, value: u64) -> PyResult<()> {
        let word = word_in_page(word)?;
        self.shared.call(py, Waits::Never, |shared| {
            Ok(self.pool.write(&shared.machine, PoolPage(number), word, value)?)
        })
    }

    /// The number of pages that were released and freed.
    #[getter]
    fn released(&self, py: Python<'_>) -> PyResult<u64> {
        self.shared.call(py, Waits::Never, |_| Ok(self.pool.census().1))
    }

    /// The number of pages in the pool.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.shared.call(py, Waits::Never, |_| Ok(self.pool.census().0))
    }

    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self) -> String {
        match self.shared.is_closed() {
            true => "<PagePool closed>".into(),
            false => format!("<PagePool pages={}>", self.pool.census().0),
        }
    }
}
