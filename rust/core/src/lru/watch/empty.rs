//! The watch of the builds without an explorer: its functions do nothing.

use super::BatchKind;
use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;

/// Ignores a page that is queued.
#[inline(always)]
pub(in crate::lru) fn queued(_cpu: usize, _pfn: Pfn, _kind: BatchKind) {}

/// Ignores a queued page that a drain has taken care of.
#[inline(always)]
pub(in crate::lru) fn settled(_cpu: usize, _pfn: Pfn, _kind: BatchKind) {}

/// Returns `None`: only the explored build checks drains.
#[inline(always)]
pub(in crate::lru) fn next_step_if_checked() -> Option<u32> {
    None
}

/// Returns `None`: only the explored build numbers its steps.
#[inline(always)]
pub(in crate::lru) fn now() -> Option<u32> {
    None
}

impl<R: Release> Machine<R> {
    /// Checks nothing.
    #[inline(always)]
    pub(in crate::lru) fn expect_no_batches(&self) {}

    /// Checks nothing.
    #[inline(always)]
    pub(in crate::lru) fn expect_cpu_drained(&self, _cpu: usize, _began: Option<u32>) {}

    /// Checks nothing.
    #[inline(always)]
    pub(in crate::lru) fn expect_drained(&self, _began: Option<u32>) {}
}
