//! The lives of pages in the builds without an explorer: the functions do nothing.

use crate::page::{Page, Pfn};

/// A life of a page; here all lives are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life;

/// Returns the only life.
#[inline(always)]
pub(crate) fn life_of(_page: &Page) -> Life {
    Life
}

/// Ignores the beginning of a life.
#[inline(always)]
pub(crate) fn begins(_page: &Page) {}

/// Ignores the end of a life.
#[inline(always)]
pub(crate) fn ends(_page: &Page, _pfn: Pfn) {}

/// Ignores a wake-up.
#[inline(always)]
pub(crate) fn wakes(_page: &Page, _since: Life) {}

/// Ignores the end of a wait.
#[inline(always)]
pub(crate) fn waited(_page: &Page, _since: Life) {}

/// Ignores references that the calling thread got.
#[inline(always)]
pub(crate) fn took(_page: &Page, _references: u32) {}

/// Ignores references that the calling thread has given up.
#[inline(always)]
pub(crate) fn gave(_page: &Page, _references: u32) {}

/// Ignores the beginning of a fault.
#[inline(always)]
pub(crate) fn fault_begins() {}

/// Ignores a fault that is about to wait for a migration.
#[inline(always)]
pub(crate) fn awaits_migration(_page: &Page, _pfn: Pfn) {}
