//! `CpuBinding`: threads bound to a CPU of a machine for a `with` block.

use crate::errors::misuse;
use crate::home::MachineRef;
use crate::shared::Waits;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use std::thread::ThreadId;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<CpuBinding>()
}

/// Binds the thread that enters the ``with`` block to one CPU, from `Machine.cpu`. At the end of the block
/// the thread's earlier binding is restored, so blocks can be nested. A block must end in the thread that
/// entered it; any other thread gets a `MisuseError`.
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct CpuBinding {
    shared: MachineRef,
    cpu: usize,
    /// The blocks entered and not left: for each its thread, and the CPU to which that was bound before.
    blocks: Mutex<Vec<(ThreadId, Option<usize>)>>,
}

impl CpuBinding {
    pub(crate) fn new(shared: MachineRef, cpu: usize) -> CpuBinding {
        CpuBinding { shared, cpu, blocks: Mutex::default() }
    }

    /// Binds the calling thread to a CPU, or unbinds it (`None`). Returns its binding before.
    fn bind(&self, py: Python<'_>, cpu: Option<usize>) -> PyResult<Option<usize>> {
        self.shared.call(py, Waits::Never, |shared| Ok(shared.machine.bind_cpu(cpu)))
    }
}

#[pymethods]
impl CpuBinding {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let binding = slf.get();
        let before = binding.bind(slf.py(), Some(binding.cpu))?;
        binding.blocks.lock().push((std::thread::current().id(), before));
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.shared.is_closed() {
            return Ok(());
        }
        let me = std::thread::current().id();
        let mine = {
            let mut blocks = self.blocks.lock();
            let last = blocks.iter().rposition(|(thread, _)| *thread == me);
            last.map(|last| blocks.remove(last))
        };
        let (_, before) = mine.ok_or_else(|| misuse("this thread is in no block of this CPU binding"))?;
        self.bind(py, before).map(drop)
    }

    fn __repr__(&self) -> String {
        format!("<CpuBinding cpu={}>", self.cpu)
    }
}
