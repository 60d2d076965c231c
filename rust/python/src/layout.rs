//! The layout of a node: what its frames are, and `Arrangement`, a node filled by a layout.

use crate::array;
use crate::errors::type_error;
use crate::home::MachineRef;
use crate::machine::Machine;
use crate::shared::Waits;
use mmcore::layout::{Kind, runs};
use mmcore::page::Pfn;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let kinds = PyDict::new(module.py());
    for kind in Kind::ALL {
        kinds.set_item(char::from(kind.letter()), kind.meaning())?;
    }
    module.add("FRAME_KINDS", kinds)?;
    module.add_function(wrap_pyfunction!(pattern_runs, module)?)?;
    module.add_class::<Arrangement>()
}

/// The runs of a layout: how often in a row each pattern of letters comes.
#[pyfunction]
fn pattern_runs(letters: &[u8]) -> Vec<(usize, String)> {
    let run = |(times, pattern): (usize, &[u8])| (times, String::from_utf8_lossy(pattern).into_owned());
    runs(letters).map(run).collect()
}

/// The layout of some nodes, or of all, as an `mmcore.results.NodeMaps`.
pub(crate) fn map<'py>(
    py: Python<'py>,
    shared: &MachineRef,
    node: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let numbers = match node {
        Some(number) => number..number + 1,
        None => 0..shared.machine.nodes().len(),
    };
    let mut maps = Vec::new();
    let module = py.import("mmcore._map")?;
    for number in numbers {
        let read = shared.call(py, Waits::Never, |shared| Ok(shared.machine.layout(number)?))?;
        let letters = array::filled(py, "uint8", &read.letters)?;
        let owners = array::filled(py, "uint32", &read.owners)?;
        let free = PyTuple::new(py, read.free_blocks)?;
        let types = String::from_utf8_lossy(&read.types);
        let pageblock = 1u32 << read.pageblock_order;
        let base = shared.machine.nodes()[number].base.0;
        let values = (number, base, letters, owners, free, types, pageblock);
        maps.push(module.getattr("NodeMap")?.call1(values)?);
    }
    module.getattr("NodeMaps")?.call1((PyTuple::new(py, maps)?,))
}

/// Fills a node and returns the arrangement.
pub(crate) fn arrange(
    py: Python<'_>,
    shared: &MachineRef,
    letters: &Bound<'_, PyAny>,
    types: Option<&Bound<'_, PyAny>>,
    node: usize,
) -> PyResult<Arrangement> {
    let letters = bytes_of(letters)?;
    let types = types.map(bytes_of).transpose()?.unwrap_or_default();
    let number = shared.call(py, Waits::ForPageLocks, |shared| {
        let arranged = shared.machine.arrange(&shared.ledger, node, &letters, &types)?;
        Ok(shared.keep_arranged(arranged))
    })?;
    Ok(Arrangement { shared: shared.share(py), node, number })
}

/// The bytes of a text, of bytes, or of an array of uint8.
fn bytes_of(letters: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let of_array;
    let bytes = match (letters.cast::<PyString>(), letters.cast::<PyBytes>()) {
        (Ok(text), _) => text.to_str()?.as_bytes(),
        (_, Ok(bytes)) => bytes.as_bytes(),
        _ => {
            let wrong = |_| type_error("letters are a text, bytes or an array of uint8");
            of_array = letters.call_method0("tobytes").map_err(wrong)?.cast_into::<PyBytes>()?;
            of_array.as_bytes()
        }
    };
    let mut copy = array::reserved(bytes.len())?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// Pages that fill a node by a layout, made by `Machine.arrange`. They stay when this object is dropped;
/// `close`, or the end of a ``with`` block, frees them.
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct Arrangement {
    shared: MachineRef,
    node: usize,
    number: u64,
}

#[pymethods]
impl Arrangement {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// The number of the node.
    #[getter]
    fn node(&self) -> usize {
        self.node
    }

    /// The frame of the first page whose content is no longer what the arrangement wrote to it; ``None`` if
    /// all pages are intact, or the machine is unbacked.
    ///
    /// Raises:
    ///     MisuseError: if the arrangement is closed.
    fn damaged(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        let found: Option<Pfn> = self.shared.call(py, Waits::ForPageLocks, |shared| {
            shared.with_arranged(self.number, |arranged| shared.machine.damaged(arranged))
        })?;
        Ok(found.map(|pfn| pfn.0))
    }

    /// Frees every page of the arrangement, wherever it is by now. A second call does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.call(py, Waits::ForPageLocks, |shared| {
            shared.clear_arranged(self.number);
            Ok(())
        })
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        // A closed machine has freed everything already.
        if self.shared.is_closed() { Ok(()) } else { self.close(py) }
    }

    fn __repr__(&self) -> String {
        format!("<Arrangement node={}>", self.node)
    }
}

#[pymethods]
impl Machine {
    /// What each frame is, of all nodes or of one: an `mmcore.results.NodeMaps`, which prints as a picture.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node.
    #[pyo3(signature = (node=None))]
    fn map<'py>(&self, py: Python<'py>, node: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        map(py, &self.0, node)
    }

    /// Fills a fresh node so that each frame is what its letter says (`mmcore.results.FRAME_KINDS`), and
    /// returns the `Arrangement` that keeps the pages. ``letters`` is a text, bytes or array of uint8, a
    /// letter for each frame; ``types`` the same for each pageblock's migratetype (docs/maps.md).
    ///
    /// Raises:
    ///     KernelError: EINVAL for letters that no node can have, EBUSY for a frame in use; nothing changes.
    #[pyo3(signature = (letters, *, types=None, node=0))]
    fn arrange(
        &self,
        py: Python<'_>,
        letters: &Bound<'_, PyAny>,
        types: Option<&Bound<'_, PyAny>>,
        node: usize,
    ) -> PyResult<Arrangement> {
        arrange(py, &self.0, letters, types, node)
    }
}
