//! The locks that a thread holds.

use crate::sync::class::LockClass;

/// A lock that a thread holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub class: LockClass,
    pub key: usize,
}
