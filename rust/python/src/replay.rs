//! A script replayed as a recording of a real kernel was made: text in, JSON out.

use crate::array;
use crate::run::replayed;
use mmcore::program::replay::KernelPages;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(replay_program, module)?)
}

/// Runs a script and returns every step with the state that was visible after it, as JSON. Each entry of
/// `kernel` tells which frames of a node the kernel itself uses from a step on. It has the number of the
/// step, from 0, the number of the node, and one letter for each frame of the node: `.`, or for a frame of
/// the kernel's own the letter of its kind.
///
/// `InputError` if the script or the machine line is not valid, or if the script has threads.
#[pyfunction]
#[pyo3(signature = (program, machine, kernel=vec![]))]
fn replay_program(
    py: Python<'_>,
    program: &str,
    machine: &str,
    kernel: Vec<(usize, usize, PyBackedBytes)>,
) -> PyResult<String> {
    let pages = |(step, node, letters): (usize, usize, PyBackedBytes)| {
        let mut copy = array::reserved(letters.len())?;
        copy.extend_from_slice(&letters);
        Ok::<_, PyErr>(KernelPages { step, node, letters: copy })
    };
    replayed(py, program, machine, kernel.into_iter().map(pages).collect::<PyResult<_>>()?)
}
