//! NumPy arrays without a NumPy crate: Python allocates them, and the buffer protocol fills them.
//!
//! Users choose the lengths of arrays, and the host may have no memory for them. Memory for a vector that is
//! made from an array is therefore reserved first, so that the user gets a `MemoryError`. A vector that
//! allocates on its own would abort the process.

use crate::errors::type_error;
use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PySlice};

/// The number of values that are copied between two looks for signals.
const PART: usize = 1 << 22;

/// An empty vector with room for `len` values.
pub(crate) fn reserved<T>(len: usize) -> PyResult<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| {
        let bytes = len.saturating_mul(size_of::<T>());
        PyMemoryError::new_err(format!("no memory for {bytes} bytes"))
    })?;
    Ok(values)
}

/// A vector of the results of `each` for all values, in order.
pub(crate) fn mapped<T, U>(
    values: impl ExactSizeIterator<Item = T>,
    each: impl FnMut(T) -> U,
) -> PyResult<Vec<U>> {
    let mut made = reserved(values.len())?;
    made.extend(values.map(each));
    Ok(made)
}

/// A copy of a buffer's values. Signals are handled while a long buffer is copied.
pub(crate) fn copied<T: Element + Default>(py: Python<'_>, buffer: &PyBuffer<T>) -> PyResult<Vec<T>> {
    let len = buffer.item_count();
    let mut values = reserved(len)?;
    let long = buffer.obj(py).filter(|_| len > PART && buffer.dimensions() == 1);
    let Some(object) = long else {
        values.resize(len, T::default());
        buffer.copy_to_slice(py, &mut values)?;
        return Ok(values);
    };
    let view = py.get_type::<PyMemoryView>().call1((object,))?;
    for first in (0..len).step_by(PART) {
        let end = len.min(first + PART);
        values.resize(end, T::default());
        PyBuffer::<T>::get(&part(&view, first, end)?)?.copy_to_slice(py, &mut values[first..])?;
        py.check_signals()?;
    }
    Ok(values)
}

/// A new one-dimensional array of `dtype` with these values.
pub(crate) fn filled<'py, T: Element>(
    py: Python<'py>,
    dtype: &str,
    values: &[T],
) -> PyResult<Bound<'py, PyAny>> {
    made(py, dtype, values.len(), |number| values[number])
}

/// A new one-dimensional array of `dtype` of `len` values; `value` returns the value of each place. Signals
/// are handled while a long array is filled.
pub(crate) fn made<'py, T: Element>(
    py: Python<'py>,
    dtype: &str,
    len: usize,
    value: impl Fn(usize) -> T,
) -> PyResult<Bound<'py, PyAny>> {
    let array = py.import("numpy")?.call_method1("empty", (len, dtype))?;
    let mut values = reserved(len.min(PART))?;
    for first in (0..len).step_by(PART) {
        let end = len.min(first + PART);
        values.clear();
        values.extend((first..end).map(&value));
        PyBuffer::<T>::get(&part(&array, first, end)?)?.copy_from_slice(py, &values)?;
        py.check_signals()?;
    }
    Ok(array)
}

/// The values from `first` up to `end` of a sequence, as a view of it.
fn part<'py>(of: &Bound<'py, PyAny>, first: usize, end: usize) -> PyResult<Bound<'py, PyAny>> {
    of.get_item(of.py().get_type::<PySlice>().call1((first, end))?)
}

/// The integers of any value that NumPy converts to a one-dimensional array. If there is a `len`, a scalar is
/// repeated `len` times.
///
/// `TypeError` for values that are no integers of 64 bits at most, `ValueError` for more dimensions, or for a
/// scalar without a `len`, `MemoryError` for too many values. An array without values is accepted whatever
/// its type and shape.
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
    // Addresses of 2**63 and more wrap to negative numbers here. `space.rs` casts them back to `u64`.
    let array = numpy.call_method1("ascontiguousarray", (array.call_method1("astype", ("int64",))?,))?;
    copied(py, &PyBuffer::<i64>::get(&array)?)
}

/// A new array of a record type of `mmcore._state`, from the records' bytes.
pub(crate) fn records<'py>(py: Python<'py>, dtype: &str, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let dtype = py.import("mmcore._state")?.getattr(dtype)?;
    filled(py, "uint8", bytes)?.call_method1("view", (dtype,))
}
