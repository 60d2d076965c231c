//! The states of many pages in one call, as a packed table.

use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::memory::room;
use crate::page::Pfn;
use crate::release::Release;

/// The bytes of one row: flags (8), reference count (4), mapcount (4), frame (4), node (1), order
/// (1), and two zero bytes. Numbers are in the host's byte order.
pub const ROW: usize = 24;

impl<R: Release> Machine<R> {
    /// The states of pages, one row of [`ROW`] bytes for each. `EINVAL` for a frame that does not
    /// exist; `ENOMEM` if the host has no memory for the table; `EINTR` if the call was interrupted.
    pub fn page_states(&self, pfns: &[Pfn]) -> Result<Vec<u8>> {
        let mut rows = room("the states of pages", pfns.len().saturating_mul(ROW))?;
        for &pfn in pfns {
            Error::unless_interrupted()?;
            let page = self.page(pfn)?;
            let word = page.word();
            rows.extend_from_slice(&word.flags().bits().to_ne_bytes());
            rows.extend_from_slice(&word.count().to_ne_bytes());
            rows.extend_from_slice(&page.mapcount().to_ne_bytes());
            rows.extend_from_slice(&pfn.0.to_ne_bytes());
            rows.extend_from_slice(&[self.node_of(pfn) as u8, page.order(), 0, 0]);
        }
        Ok(rows)
    }
}
