//! A script replayed as a recording of a real kernel was made: text in, JSON out.

use crate::array;
use crate::run::replayed;
use mmcore::program::replay::KernelPages;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(replay_program, module)?)
}

/// Runs a script and returns every step with the state that was visible after it. Each entry of `kernel`
/// has the number of a step, a node, and a letter for each of its frames: those that the kernel itself
/// uses from this step on.
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
