//! NumPy arrays without a NumPy crate: Python allocates, the buffer protocol fills.

use crate::errors::type_error;
use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;

/// A new one-dimensional array of `dtype` with these values.
pub(crate) fn filled<'py, T: Element>(
    py: Python<'py>,
    dtype: &str,
    values: &[T],
) -> PyResult<Bound<'py, PyAny>> {
    let array = py.import("numpy")?.call_method1("empty", (values.len(), dtype))?;
    if !values.is_empty() {
        PyBuffer::<T>::get(&array)?.copy_from_slice(py, values)?;
    }
    Ok(array)
}

/// The integers of anything that NumPy makes a one-dimensional array of; a scalar is repeated `len`
/// times if there is a `len`.
///
/// `TypeError` for what are no integers, `ValueError` for more dimensions.
pub(crate) fn integers(what: &str, values: &Bound<'_, PyAny>, len: Option<usize>) -> PyResult<Vec<i64>> {
    let py = values.py();
    let numpy = py.import("numpy")?;
    let mut array = numpy.call_method1("asarray", (values,))?;
    let kind: String = array.getattr("dtype")?.getattr("kind")?.extract()?;
    let size: usize = array.getattr("size")?.extract()?;
    if size == 0 {
        return Ok(Vec::new());
    }
    if kind != "i" && kind != "u" {
        return Err(type_error(format!("{what} must be integers of 64 bits at most")));
    }
    let dimensions: usize = array.getattr("ndim")?.extract()?;
    if let (0, Some(len)) = (dimensions, len) {
        array = numpy.call_method1("broadcast_to", (array, len))?;
    } else if dimensions != 1 {
        return Err(PyValueError::new_err(format!("{what} must have one dimension, not {dimensions}")));
    }
    // Addresses beyond 2**63 wrap to negative numbers and back.
    let array = numpy.call_method1("ascontiguousarray", (array.call_method1("astype", ("int64",))?,))?;
    copied(py, what, &PyBuffer::<i64>::get(&array)?)
}

/// What a buffer holds. `MemoryError` if there is no room for a copy.
pub(crate) fn copied<T: Element + Default>(
    py: Python<'_>,
    what: &str,
    buffer: &PyBuffer<T>,
) -> PyResult<Vec<T>> {
    let len = buffer.item_count();
    let mut values = Vec::new();
    let full = |_| PyMemoryError::new_err(format!("no memory for a copy of {len} values ({what})"));
    values.try_reserve_exact(len).map_err(full)?;
    values.resize_with(len, T::default);
    buffer.copy_to_slice(py, &mut values)?;
    Ok(values)
}

/// A new array of a record type of `mmcore.state`, from the records' bytes.
pub(crate) fn records<'py>(py: Python<'py>, dtype: &str, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let dtype = py.import("mmcore.state")?.getattr(dtype)?;
    filled(py, "uint8", bytes)?.call_method1("view", (dtype,))
}
