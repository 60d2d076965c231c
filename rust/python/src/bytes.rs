//! Transfers of bytes to and from regions and files.

use crate::errors::Refusal;
use crate::shared::{Shared, Waits};
use mmcore::page::PAGE_SIZE;
use mmcore::sync::interrupted;
use pyo3::prelude::*;
use std::ops::Range;

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
