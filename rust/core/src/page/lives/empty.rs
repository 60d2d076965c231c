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
pub(crate) fn on_allocated(_page: &Page) {}

/// Ignores the end of a life.
#[inline(always)]
pub(crate) fn on_freed(_page: &Page, _pfn: Pfn) {}

/// Ignores a wake-up.
#[inline(always)]
pub(crate) fn check_wake_up(_page: &Page, _changed_in: Life) {}

/// Ignores the end of a wait.
#[inline(always)]
pub(crate) fn check_wait(_page: &Page, _slept_in: Life) {}

/// Ignores references that the calling thread got.
#[inline(always)]
pub(crate) fn took(_page: &Page, _references: u32) {}

/// Ignores references that the calling thread has given up.
#[inline(always)]
pub(crate) fn gave(_page: &Page, _references: u32) {}

/// Ignores the beginning of a fault.
#[inline(always)]
pub(crate) fn note_fault_start() {}

/// Ignores a fault that is about to wait for a migration.
#[inline(always)]
pub(crate) fn awaits_migration(_page: &Page, _pfn: Pfn) {}
