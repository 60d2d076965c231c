//! `Balloon`: memory that a machine gives back to its host.

use crate::home::MachineRef;
use crate::machine::Machine;
use crate::page::Page;
use crate::shared::Waits;
use mmcore::balloon::Balloon as Core;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use std::sync::Arc;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Balloon>()
}

/// The balloon of a machine, from `Machine.balloon`: pages that the machine has given back to its host, as
/// virtio-balloon does. They are movable pages outside of the LRU: a migration gives the host another page
/// instead.
///
/// The profile's field ``deflate_on_oom`` decides whether an allocation of at most 8 frames that finds no
/// block on any node takes up to 256 pages out of the balloon (virtballoon_oom_notify).
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct Balloon {
    shared: MachineRef,
    balloon: Arc<Core>,
}

/// The number of `Page` objects that are made between two checks for signals.
const PAGES_BETWEEN_SIGNALS: usize = 1 << 14;

impl Balloon {
    /// The balloon of a machine; the first call makes it.
    pub fn of(py: Python<'_>, shared: &MachineRef) -> PyResult<Balloon> {
        let balloon = shared.call(py, Waits::Never, |shared| {
            let mut made = shared.balloon.lock();
            if made.is_none() {
                *made = Some(Core::new(&shared.machine)?);
            }
            Ok(made.clone())
        })?;
        let balloon = balloon.ok_or_else(|| crate::errors::misuse("this machine has no balloon"))?;
        Ok(Balloon { shared: shared.share(py), balloon })
    }
}

#[pymethods]
impl Balloon {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// Puts up to ``pages`` base pages into the balloon (fill_balloon): of ``node`` as long as it has free
    /// frames, then of the other nodes. Returns the number of pages put in. It is smaller if the machine has
    /// no more free frames, or another thread has locked a fresh page by its frame number.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node.
    ///     MemoryError: if the host has no memory for the list of pages; pages that came in before stay.
    #[pyo3(signature = (pages, *, node=0))]
    fn inflate(&self, py: Python<'_>, pages: u32, node: usize) -> PyResult<u32> {
        self.shared.call(py, Waits::Never, |shared| Ok(self.balloon.inflate(&shared.machine, pages, node)?))
    }

    /// Takes up to ``pages`` base pages out of the balloon and frees them (leak_balloon). The page that came
    /// in last leaves first. Returns the number of pages taken out. It is smaller if the balloon has fewer,
    /// or a page is isolated or locked.
    fn deflate(&self, py: Python<'_>, pages: u32) -> PyResult<u32> {
        self.shared.call(py, Waits::Never, |shared| Ok(self.balloon.deflate(&shared.machine, pages)))
    }

    /// Inflates or deflates the balloon towards ``pages`` pages. Returns its size afterwards.
    ///
    /// Args:
    ///     pages: the size to reach, in base pages.
    ///     node: the number of the node that gives frames first.
    ///
    /// Raises:
    ///     KernelError: EINVAL if the balloon is to grow and there is no such node.
    ///     MemoryError: if the host has no memory for the list of pages; pages that came in before stay.
    #[pyo3(signature = (pages, *, node=0))]
    fn resize(&self, py: Python<'_>, pages: u32, node: usize) -> PyResult<u32> {
        self.shared.call(py, Waits::Never, |shared| Ok(self.balloon.resize(&shared.machine, pages, node)?))
    }

    /// The number of pages in the balloon, those isolated for a migration included.
    #[getter]
    fn size(&self, py: Python<'_>) -> PyResult<u32> {
        self.shared.call(py, Waits::Never, |_| Ok(self.balloon.size()))
    }

    /// The number of pages in the balloon that are isolated for a migration.
    #[getter]
    fn isolated(&self, py: Python<'_>) -> PyResult<u32> {
        self.shared.call(py, Waits::Never, |_| Ok(self.balloon.isolated()))
    }

    /// The pages in the balloon that are not isolated, as `Page` objects, in the order in which `deflate`
    /// takes them.
    fn pages<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let pages = self.shared.call(py, Waits::Never, |_| Ok(self.balloon.listed()))?;
        let page = |(number, pfn)| {
            if number % PAGES_BETWEEN_SIGNALS == 0 {
                py.check_signals()?;
            }
            Bound::new(py, Page::new(py, &self.shared, pfn))
        };
        PyTuple::new(py, pages.into_iter().enumerate().map(page).collect::<PyResult<Vec<_>>>()?)
    }

    fn __repr__(&self) -> String {
        match self.shared.is_closed() {
            true => "<Balloon closed>".into(),
            false => format!("<Balloon pages={}>", self.balloon.size()),
        }
    }
}

#[pymethods]
impl Machine {
    /// Returns the balloon of the machine. The first call makes it; a machine has at most one.
    ///
    /// Raises:
    ///     KernelError: ENOMEM if the machine has as many pools, files and mappings as it can have.
    fn balloon(&self, py: Python<'_>) -> PyResult<Balloon> {
        Balloon::of(py, &self.0)
    }
}
