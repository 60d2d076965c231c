//! The layout of a node, a letter for each frame. `Machine.map` reads the layout. `Machine.arrange` does the
//! reverse: it puts pages into a node as a layout says, and returns an `Arrangement`.

use crate::array;
use crate::errors::{misuse, type_error};
use crate::home::MachineRef;
use crate::machine::Machine;
use crate::shared::{Lent, Shared, Waits};
use mmcore::layout::{Kind, runs};
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

/// Returns the runs of a layout, in order. Each run is a pair: the number of times that a pattern comes in a
/// row, and the pattern, of 16 letters at most. ``b".a.a.aSS"`` gives ``[(3, ".a"), (2, "S")]``, as in the
/// field ``layout`` of recordings.
#[pyfunction]
fn pattern_runs(letters: &[u8]) -> Vec<(usize, String)> {
    let run = |(times, pattern): (usize, &[u8])| (times, String::from_utf8_lossy(pattern).into_owned());
    runs(letters).map(run).collect()
}

/// The layout of one node, or of all nodes if `node` is `None`, as an `mmcore.results.NodeMaps`.
pub(crate) fn map<'py>(
    py: Python<'py>,
    shared: &MachineRef,
    node: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let all = 0..shared.machine.nodes().len();
    let numbers = node.map_or_else(|| all.collect(), |number| vec![number]);
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

/// Fills a node with pages as its letters say. May wait for page locks: faults, mlock and soft offline do.
pub(crate) fn arrange(
    py: Python<'_>,
    shared: &MachineRef,
    letters: &Bound<'_, PyAny>,
    types: Option<&Bound<'_, PyAny>>,
    node: usize,
) -> PyResult<Arrangement> {
    let letters = bytes_of(letters)?;
    let types = types.map(bytes_of).transpose()?.unwrap_or_default();
    let arrange = |shared: &Shared| Ok(shared.machine.arrange(&shared.ledger, node, &letters, &types)?);
    let undo = |shared: &Shared, arranged| shared.machine.clear_all_arranged(&shared.ledger, arranged);
    let arranged = shared.take(py, Waits::ForPageLocks, arrange, undo)?;
    let number = shared.keep_arranged(arranged);
    Ok(Arrangement { shared: shared.share(py), node, number })
}

/// Copies the letters that a user gave as a text, as bytes or as an array. The bytes of an array are taken as
/// letters whatever its type is: the core refuses an array of wider integers for having too many letters.
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

/// Pages that fill a node by a layout, made by `Machine.arrange`. `close`, or the end of a ``with``
/// block, frees them. If this object is dropped, the pages stay as long as the machine lives.
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct Arrangement {
    shared: MachineRef,
    node: usize,
    number: u64,
}

impl Arrangement {
    /// Takes the arrangement for a call; `None` if it is closed.
    fn lent(&self, py: Python<'_>) -> PyResult<Option<Lent<'_>>> {
        self.shared.call_again(py, Waits::ForPageLocks, |_| self.shared.lend_arranged(self.number))
    }
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

    /// Looks for a page whose content has changed since the arrangement wrote it. Returns the number of the
    /// frame into which the page was put, even if the page has moved since; ``None`` if all pages are intact,
    /// or the machine is unbacked. Only the first eight bytes of each page are compared. Poisoned frames and
    /// pages of the kernel's own are not compared.
    ///
    /// Raises:
    ///     MisuseError: if the arrangement or the machine is closed; if this thread holds a page lock or has
    ///         begun a write to disk, or is inside of a callback.
    fn damaged(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        let arranged = self.lent(py)?.ok_or_else(|| misuse("this arrangement is closed"))?;
        let found = self.shared.call(py, Waits::ForPageLocks, |_| Ok(arranged.damaged()))?;
        Ok(found.map(|pfn| pfn.0))
    }

    /// Frees every page of the arrangement, in whatever frame it is now, unpoisons the frames that the
    /// arrangement poisoned, and gives pageblocks their earlier migratetypes back. A second call does
    /// nothing. If a signal handler ends the call, another call frees the rest.
    ///
    /// Raises:
    ///     MisuseError: if the machine is closed; if this thread holds a page lock or has begun a write to
    ///         disk, or is inside of a callback.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let mut arranged = self.lent(py)?;
        self.shared.call(py, Waits::ForPageLocks, |_| Ok(arranged.take().map_or(Ok(()), Lent::clear)?))
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        // A closed machine refuses every call. Its pages are freed with its memory.
        if self.shared.is_closed() { Ok(()) } else { self.close(py) }
    }

    fn __repr__(&self) -> String {
        format!("<Arrangement node={}>", self.node)
    }
}

#[pymethods]
impl Machine {
    /// Reads the layout of all nodes, or of one. Returns an `mmcore.results.NodeMaps`, which holds a letter
    /// for each frame and prints as a picture. The free frames of a node are read at one moment, all others
    /// one by one without a lock.
    ///
    /// Args:
    ///     node: the number of the node; ``None`` for all nodes.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node.
    ///     MemoryError: if the host has no memory for the letters.
    #[pyo3(signature = (node=None))]
    fn map<'py>(&self, py: Python<'py>, node: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        map(py, &self.0, node)
    }

    /// Fills a fresh node, one whose frames are all free, so that each frame is what its letter says. Returns
    /// the `Arrangement` that keeps the pages. No other thread may use the machine meanwhile.
    ///
    /// Args:
    ///     letters: a letter of `mmcore.results.FRAME_KINDS` for each frame of the node, as a text, bytes or
    ///         an array of uint8 of shape (frames,).
    ///     types: a letter for each pageblock's migratetype (docs/maps.md), in the same forms; left out, the
    ///         migratetypes stay as they are.
    ///     node: the number of the node.
    ///
    /// Raises:
    ///     KernelError: EINVAL if there is no such node, for a wrong number of letters, an unknown letter, a
    ///         kind that cannot be arranged, or more pages that wait in batches than the batches hold; EBUSY
    ///         for a frame in use; ENOMEM if the machine has as many pools, files and mappings as it can
    ///         have. After an error the node is as it was.
    ///     MemoryError: if the host has no memory for the pages of the layout.
    ///     MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
    ///         callback.
    ///     TypeError: if letters or types are of another type.
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
