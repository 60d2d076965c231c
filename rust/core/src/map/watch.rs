//! Checks that a thread flushes the TLB after it has taken an entry away. A processor that still has the old
//! entry would go on reading and writing the frame: after a copy its writes are lost, and after a free they
//! hit another page.
//!
//! Only the explored build makes this check, at the end of each operation of a program. So the check finds a
//! missing flush in every schedule, not only in those in which another thread uses the old entry at that
//! moment. In every other build the functions are empty and cost nothing.

#[cfg(not(feature = "explored"))]
mod empty;
#[cfg(feature = "explored")]
mod explored;

#[cfg(not(feature = "explored"))]
pub(super) use empty::{flushed, replaced};
#[cfg(feature = "explored")]
pub(super) use explored::{flushed, replaced};
#[cfg(feature = "explored")]
pub(crate) use explored::{note_operation_start, unflushed};
