//! The watch of the builds without an explorer: its functions do nothing.

use crate::map::pte::Pte;

/// Ignores an entry that is replaced.
#[inline(always)]
pub(in crate::map) fn replaced(_old: Pte, _new: Pte) {}

/// Ignores a flush.
#[inline(always)]
pub(in crate::map) fn flushed() {}
