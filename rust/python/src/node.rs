//! `Node`: a NUMA node of a machine.

use crate::errors::{input, type_error};
use crate::home::MachineRef;
use crate::hotplug;
use crate::shared::Waits;
use crate::space::Size;
use mmcore::error::Result as CoreResult;
use mmcore::machine::NodeConfig;
use mmcore::page::HUGE_ORDER;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Node>()
}

/// The size of a node as a user writes it.
#[derive(FromPyObject)]
pub(crate) enum NodeSize {
    Text(String),
    Bytes(u64),
}

impl NodeSize {
    pub fn config(&self) -> CoreResult<NodeConfig> {
        match self {
            NodeSize::Text(text) => text.parse(),
            NodeSize::Bytes(bytes) => NodeConfig::of_bytes(*bytes),
        }
    }
}

/// The sizes of the nodes of a machine as a user writes them.
pub(crate) struct NodeSizes(pub Vec<NodeSize>);

impl FromPyObject<'_, '_> for NodeSizes {
    type Error = PyErr;

    fn extract(sizes: Borrowed<'_, '_, PyAny>) -> PyResult<NodeSizes> {
        let py = sizes.py();
        // The command line and `compare` take one text with commas.
        if let Ok(text) = sizes.extract::<String>() {
            return Ok(NodeSizes(text.split(',').map(|size| NodeSize::Text(size.trim().into())).collect()));
        }
        // PyO3's own message would name types of Rust and Python, not the values that a user has to write.
        let list = sizes.extract().map_err(|error: PyErr| {
            let is_wrong =
                error.is_instance_of::<PyTypeError>(py) || error.is_instance_of::<PyOverflowError>(py);
            if !is_wrong {
                return error;
            }
            let given: String = match sizes.repr() {
                Ok(text) => text.to_string_lossy().chars().take(60).collect(),
                Err(_) => "this value".into(),
            };
            type_error(format!(
                "nodes takes the size of each node, as a list of texts and numbers of bytes such as \
                 [\"64MiB\", 1 << 30], or as one text such as \"64MiB,1GiB\", not {given}"
            ))
        })?;
        Ok(NodeSizes(list))
    }
}

/// A NUMA node: a range of frames with its own lruvec and buddy allocator.
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct Node {
    shared: MachineRef,
    number: usize,
}

impl Node {
    pub(crate) fn new(shared: MachineRef, number: usize) -> Node {
        Node { shared, number }
    }
}

#[pymethods]
impl Node {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// The node's number.
    #[getter]
    fn number(&self) -> usize {
        self.number
    }

    /// The number of the first frame.
    #[getter]
    fn base(&self) -> u32 {
        self.shared.machine.nodes()[self.number].base.0
    }

    /// The number of frames.
    #[getter]
    fn frames(&self) -> u32 {
        self.shared.machine.nodes()[self.number].frames
    }

    /// The modelled access time in nanoseconds.
    #[getter]
    fn latency_ns(&self) -> u32 {
        self.shared.machine.nodes()[self.number].latency_ns
    }

    /// The number of free frames, in the buddy lists and in the per-CPU arrays.
    #[getter]
    fn free(&self, py: Python<'_>) -> PyResult<u32> {
        self.shared.call(py, Waits::Never, |shared| {
            let (buddy, arrays) = shared.machine.free_frames(self.number);
            Ok(buddy + arrays)
        })
    }

    /// The number of managed pages: the online frames of the node, less those that a balloon has taken.
    #[getter]
    fn managed(&self, py: Python<'_>) -> PyResult<i64> {
        self.shared.call(py, Waits::Never, |shared| Ok(shared.machine.managed_pages(self.number)?))
    }

    /// The state of each memory block, in their order: ``"offline"``, or the zone of an online block:
    /// ``"kernel"`` or ``"movable"``. Empty for a node that is smaller than a block.
    #[getter]
    fn blocks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        hotplug::blocks(py, &self.shared, self.number)
    }

    /// Grows or shrinks the node's pool of huge pages to ``count`` pages of ``size`` (``"2MiB"``, the
    /// default, or bytes; rounded up to whole base pages), as far as there is memory (a write to
    /// nr_hugepages). Returns the number of pages in the pool. A page above 4 MiB is a range of frames that
    /// is emptied for the pool: the pages in the range move to other frames.
    ///
    /// Raises:
    ///     InputError: if ``size`` is a text that is no size, or a number of 16 TiB or more.
    ///     KernelError: EINVAL if the size is no power of two from 8 KiB to 64 GiB.
    #[pyo3(signature = (count, *, size=None))]
    fn set_huge_pages(&self, py: Python<'_>, count: u32, size: Option<Size>) -> PyResult<u32> {
        let pages =
            size.map_or(Ok(1 << HUGE_ORDER), |size| size.pages()).map_err(|error| input(error.why))?;
        // An order that does not exist is refused by the core.
        let order = if pages.is_power_of_two() { pages.ilog2() as u8 } else { u8::MAX };
        self.shared.call(py, Waits::ForPageLocks, |shared| {
            Ok(shared.machine.set_huge_pages(self.number, order, count)?)
        })
    }

    fn __index__(&self) -> usize {
        self.number
    }

    fn __repr__(&self) -> String {
        format!("<Node {} frames={} base={:#x}>", self.number, self.frames(), self.base())
    }
}
