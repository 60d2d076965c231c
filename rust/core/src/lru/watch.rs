//! Checks two promises of the batches. When a drain ends, every page that was queued before the
//! drain began is on its list. While the batches are off, no page waits in one.
//!
//! Only the explored build checks them. In every other build the functions are empty and cost
//! nothing.

#[cfg(not(feature = "explored"))]
mod empty;
#[cfg(feature = "explored")]
mod explored;

pub(super) use super::batch::BatchKind;
#[cfg(not(feature = "explored"))]
pub(super) use empty::{next_step_if_checked, now, queued, settled};
#[cfg(feature = "explored")]
pub(super) use explored::{next_step_if_checked, now, queued, settled};
