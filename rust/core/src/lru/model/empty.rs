//! The model of the builds without an explorer: its functions do nothing.

use crate::page::Pfn;

/// No model of lists.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Lists {}

impl Lists {
    /// Ignores that the pages of one generation join another generation.
    #[inline(always)]
    pub(crate) fn join(&mut self, _from: usize, _into: usize) {}

    /// Expects nothing of a scan.
    #[inline(always)]
    pub(crate) fn scan(&self, _list: usize) -> Scan {
        Scan
    }
}

/// A scan of which nothing is expected.
#[derive(Debug)]
pub(crate) struct Scan;

impl Scan {
    /// Ignores a page that the scan meets.
    #[inline(always)]
    pub(crate) fn meets(&mut self, _pfn: Pfn) {}

    /// Ignores a page that the scan moves to the head of its list.
    #[inline(always)]
    pub(crate) fn spares(&mut self, _pfn: Pfn) {}
}

/// No model of batches.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Queues {}

impl Queues {
    /// Ignores a page that is queued.
    #[inline(always)]
    pub(crate) fn queue(&mut self, _batch: usize, _pfn: Pfn) {}
}

/// Ignores a drain that begins.
#[inline(always)]
pub(crate) fn note_drain_start(_queues: &mut Queues, _cpu: usize, _batch: usize) {}

/// Ignores a page that a drain takes care of.
#[inline(always)]
pub(crate) fn drains(_cpu: usize, _batch: usize, _pfn: Pfn) {}

/// Ignores a drain that has ended.
#[inline(always)]
pub(crate) fn drain_ended(_cpu: usize, _batch: usize) {}
