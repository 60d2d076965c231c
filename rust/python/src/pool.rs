//! `PagePool`: movable pages, and owners of them that are written in Python.

use crate::home::{MachineRef, WeakMachine};
use crate::names;
use crate::page::Page;
use crate::shared::{Waits, in_callback};
use crate::waits::report;
use mmcore::error::Errno;
use mmcore::memory::WORDS;
use mmcore::migrate::Mode;
use mmcore::movable::{PagePool as Pool, PoolOwner, PoolPage};
use mmcore::page::Pfn;
use pyo3::exceptions::{PyBlockingIOError, PyIndexError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use std::fmt;
use std::sync::Arc;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PagePool>()
}

/// An owner in Python: an object with the methods of `mmcore.MovableOps`.
///
/// A callback attaches to the interpreter holding page locks only, and whoever waits for those has
/// detached. What a callback raises is a refusal; what is no `OSError` is also reported, through
/// `sys.unraisablehook`, and what is no `Exception`, as `KeyboardInterrupt`, comes out of the call that asked.
pub(crate) struct PythonOwner {
    machine: WeakMachine,
    /// Its number among the objects that the machine keeps.
    number: u64,
}

impl fmt::Debug for PythonOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PythonOwner")
    }
}

impl PythonOwner {
    /// Calls a method with pages and perhaps a word. `None` if there is nobody to ask.
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

    /// Tells of something; nobody waits for an answer.
    fn tell(&self, method: &str, pfn: Pfn) {
        let _ = self.ask(method, &[pfn], None, |returned, methods| {
            if let Err(raised) = returned {
                report(raised, methods);
            }
        });
    }
}

impl PoolOwner for PythonOwner {
    fn isolate(&self, pfn: Pfn) -> bool {
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

    fn migrate(&self, from: Pfn, to: Pfn, mode: Mode) -> Result<(), Errno> {
        let answer = self.ask("migrate", &[from, to], Some(names::of_mode(mode)), |returned, methods| {
            let Err(raised) = returned else { return Ok(()) };
            let py = methods.py();
            if !raised.is_instance_of::<PyOSError>(py) {
                report(raised, methods);
                return Err(Errno::EIO);
            }
            let errno = raised.value(py).getattr("errno").and_then(|errno| errno.extract::<i32>());
            // Raised without a number, the class alone speaks.
            let again = raised.is_instance_of::<PyBlockingIOError>(py);
            Err(errno.map_or(if again { Errno::EAGAIN } else { Errno::EBUSY }, Errno))
        });
        answer.unwrap_or(Err(Errno::EIO))
    }

    fn putback(&self, pfn: Pfn) {
        self.tell("putback", pfn);
    }

    fn released(&self, pfn: Pfn) {
        self.tell("released", pfn);
    }
}

/// Movable pages outside of the LRU, from `Machine.page_pool`: numbered, and found by their numbers wherever
/// they move. The numbers of pages that were let go are used again.
#[pyclass(frozen, module = "mmcore")]
pub(crate) struct PagePool {
    shared: MachineRef,
    pool: Arc<Pool>,
}

impl PagePool {
    pub fn create(py: Python<'_>, shared: &MachineRef, methods: Option<Py<PyAny>>) -> PyResult<PagePool> {
        shared.alive()?;
        let machine = shared.weak(py)?;
        let number = methods.map(|methods| shared.keep_owner(py, methods));
        let owner = number.map(|number| Arc::new(PythonOwner { machine, number }));
        let pool = shared.call(py, Waits::Never, |shared| {
            Ok(match owner {
                Some(owner) => Pool::with_owner(&shared.machine, owner)?,
                None => Pool::new(&shared.machine)?,
            })
        });
        if let (Err(_), Some(number)) = (&pool, number) {
            shared.owners.set(py, number, None);
        }
        let pool = pool?;
        Ok(PagePool { shared: shared.share(py), pool })
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

#[pymethods]
impl PagePool {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// Takes a zeroed page of ``node`` into the pool and returns its number.
    #[pyo3(signature = (*, node=0))]
    fn add(&self, py: Python<'_>, node: usize) -> PyResult<u32> {
        self.shared.call(py, Waits::Never, |shared| Ok(self.pool.add(&shared.machine, node)?.0))
    }

    /// Lets a page go. Under release designs whose puts look, the pool just drops its reference, and whoever
    /// drops the last one calls ``released``; under the others the page's mark is cleared first, under its
    /// page lock, and nobody is called.
    fn release(&self, py: Python<'_>, number: u32) -> PyResult<()> {
        let pfn = self.pfn(py, number)?;
        let looks = self.shared.machine.put_looks();
        let waits = if looks { Waits::Never } else { Waits::ForPageLock(pfn) };
        self.shared.call(py, waits, |shared| Ok(self.pool.release(&shared.machine, PoolPage(number))?))
    }

    /// Where a page is now.
    fn page(&self, py: Python<'_>, number: u32) -> PyResult<Page> {
        Ok(Page::new(py, &self.shared, self.pfn(py, number)?))
    }

    /// One word of a page.
    #[pyo3(signature = (number, word=0))]
    fn read(&self, py: Python<'_>, number: u32, word: usize) -> PyResult<u64> {
        let word = word_in_page(word)?;
        self.shared
            .call(py, Waits::Never, |shared| Ok(self.pool.read(&shared.machine, PoolPage(number), word)?))
    }

    /// Writes one word of a page.
    fn write(&self, py: Python<'_>, number: u32, word: usize, value: u64) -> PyResult<()> {
        let word = word_in_page(word)?;
        self.shared.call(py, Waits::Never, |shared| {
            Ok(self.pool.write(&shared.machine, PoolPage(number), word, value)?)
        })
    }

    /// How many pages were let go and are gone.
    #[getter]
    fn released(&self, py: Python<'_>) -> PyResult<u64> {
        self.shared.call(py, Waits::Never, |_| Ok(self.pool.census().1))
    }

    /// How many pages it has.
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
