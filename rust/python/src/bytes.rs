//! Transfers of bytes to and from regions and files.

#![allow(unsafe_code, reason = "a long buffer is made in parts, with signals handled in between")]

use crate::errors::Refusal;
use crate::shared::{Shared, Waits};
use mmcore::page::PAGE_SIZE;
use mmcore::sync::interrupted;
use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::ops::Range;

/// The number of bytes that are made between two looks for signals.
const PART: usize = 1 << 24;

/// A new bytes object of `len` bytes, filled by `fill`. Like `PyBytes::new_with`, but signals are handled
/// while the host commits the memory of a long buffer.
pub(crate) fn filled<'py>(
    py: Python<'py>,
    len: usize,
    fill: impl FnOnce(&mut [u8]) -> PyResult<()>,
) -> PyResult<Bound<'py, PyBytes>> {
    let size =
        ffi::Py_ssize_t::try_from(len).map_err(|_| PyMemoryError::new_err("no memory for the bytes"))?;
    // SAFETY: without a source the interpreter makes an object of `size` bytes with no content.
    let made = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), size) };
    // SAFETY: the interpreter has returned a new reference, or null after it has set an error.
    let object = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
    let bytes = object.cast_into::<PyBytes>()?;
    // SAFETY: the object is a bytes object, whose buffer has `len` bytes.
    let start = unsafe { ffi::PyBytes_AsString(bytes.as_ptr()) }.cast::<u8>();
    for at in (0..len).step_by(PART) {
        // SAFETY: `at` is less than `len`, so the sum stays within the buffer.
        let part = unsafe { start.add(at) };
        // SAFETY: the part ends within the buffer, which no other code refers to: the object was just made,
        // and no container that a collector or a handler could look into has it.
        unsafe { part.write_bytes(0, PART.min(len - at)) };
        py.check_signals()?;
    }
    // SAFETY: all bytes of the buffer are initialised, and only this function refers to them until its end.
    fill(unsafe { std::slice::from_raw_parts_mut(start, len) })?;
    Ok(bytes)
}

/// Transfers `len` bytes from `offset` on, page by page. For each page `work` is called with the offset and
/// the range of the caller's buffer. If `work` would wait long for a page, the call leaves the machine to
/// handle signals and then goes on with that page. Pages that are done are not transferred again, because a
/// second store could overwrite that of another thread.
///
/// A range that ends beyond `size` is passed to `work` as a whole: the core refuses it before the first byte
/// is transferred.
pub(crate) fn transfer(
    py: Python<'_>,
    shared: &Shared,
    waits: Waits,
    (offset, len, size): (u64, usize, u64),
    mut work: impl FnMut(&Shared, u64, Range<usize>) -> Result<(), Refusal> + Send,
) -> PyResult<()> {
    let within = offset.checked_add(len as u64).is_some_and(|end| end <= size);
    let mut done = 0;
    shared.call_again(py, waits, |shared| {
        loop {
            let end = match within {
                true => len.min(done + PAGE_SIZE - (offset as usize + done) % PAGE_SIZE),
                false => len,
            };
            work(shared, offset.saturating_add(done as u64), done..end)?;
            done = end;
            if done == len || interrupted() {
                return Ok(());
            }
        }
    })
}
