//! The build of this extension, and the features of the processor that it uses.

use mmcore::memory::CopyKind;
use pyo3::prelude::*;
use pyo3::types::PyDict;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(build_info, module)?)?;
    module.add_function(wrap_pyfunction!(page_copy, module)?)
}

/// Returns facts about this build, all as strings: ``version``, ``profile`` (``"release"`` or ``"debug"``),
/// ``opt_level``, ``rustc`` (the compiler and its version) and ``target`` (the target triple).
#[pyfunction]
fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
    info.set_item("opt_level", env!("MMCORE_OPT_LEVEL"))?;
    info.set_item("rustc", env!("MMCORE_RUSTC"))?;
    info.set_item("target", env!("MMCORE_TARGET"))?;
    Ok(info)
}

/// Returns the instructions by which machines copy pages on this processor: "avx512", "avx2" or "sse2" for
/// streaming stores of 64, 32 or 16 bytes, or "plain" for the compiler's memcpy.
#[pyfunction]
fn page_copy() -> &'static str {
    CopyKind::best().name()
}
