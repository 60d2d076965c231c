//! The reckoner of the builds without an explorer: its functions do nothing.

use super::{Drained, Fact, Scanned};
use crate::page::{Frames, Page, Pfn, Word};

/// Returns 0.
#[inline(always)]
pub(crate) fn pages(_page: &Page) -> i64 {
    0
}

/// Ignores a change of a page's word.
#[inline(always)]
pub(crate) fn changed(_page: &Page, _old: Word, _new: Word) {}

/// Ignores the beginning of a page's life.
#[inline(always)]
pub(crate) fn born(_page: &Page) {}

/// Ignores the frame that a migrated page has left.
#[inline(always)]
pub(crate) fn has_left(_page: &Page) {}

/// Ignores a page that is queued for its list.
#[inline(always)]
pub(crate) fn queued(_page: &Page) {}

/// Ignores a page that is linked.
#[inline(always)]
pub(crate) fn linked(_page: &Page, _evictable: bool) {}

/// Ignores a page that goes to the tail of its list.
#[inline(always)]
pub(crate) fn linked_at_tail(_page: &Page) {}

/// Ignores a page that is unlinked.
#[inline(always)]
pub(crate) fn unlinked(_page: &Page, _active: bool) {}

/// Ignores a page that a scan has taken.
#[inline(always)]
pub(crate) fn unlinked_by_scan(_page: &Page, _list: Scanned) {}

/// Ignores a page that reclaim gives back.
#[inline(always)]
pub(crate) fn put_back(_page: &Page) {}

/// Ignores a page that a scan meets.
#[inline(always)]
pub(crate) fn scanned(_page: &Page, _list: Scanned) {}

/// Ignores a daemon that begins to reclaim.
#[inline(always)]
pub(crate) fn note_daemon_start() {}

/// Ignores a daemon that has reclaimed.
#[inline(always)]
pub(crate) fn note_daemon_end() {}

/// Ignores a drain that begins.
#[inline(always)]
pub(crate) fn note_drain_start(_batch: Drained) {}

/// Ignores a drain that has ended.
#[inline(always)]
pub(crate) fn note_drain_end() {}

/// Ignores a fault that begins.
#[inline(always)]
pub(crate) fn note_fault_start() {}

/// Ignores a fault that has ended.
#[inline(always)]
pub(crate) fn note_fault_end() {}

/// Ignores a read whose page is gone.
#[inline(always)]
pub(crate) fn read_lost() {}

/// Ignores a read from a disk.
#[inline(always)]
pub(crate) fn disk_read() {}

/// Ignores a write to a disk.
#[inline(always)]
pub(crate) fn disk_written() {}

/// Ignores an allocation that has failed.
#[inline(always)]
pub(crate) fn unserved(_order: u8) {}

/// Ignores a page for which there are no swap slots.
#[inline(always)]
pub(crate) fn slotless(_page: &Page, _pfn: Pfn) {}

/// Ignores a split that begins.
#[inline(always)]
pub(crate) fn note_split_start(_frames: &Frames, _head: Pfn) {}

/// Ignores a split that has ended.
#[inline(always)]
pub(crate) fn note_split_end() {}

/// Ignores pages to which something happened.
#[inline(always)]
pub(crate) fn happened(_fact: Fact, _pages: i64) {}

/// Ignores a block that a compaction captured.
#[inline(always)]
pub(crate) fn captured() {}

/// Ignores a frame that an allocation got.
#[inline(always)]
pub(crate) fn served(_asked: usize, _node: usize) {}

/// Ignores the list of a migration that begins.
#[inline(always)]
pub(crate) fn note_migration_start(_frames: &Frames, _list: &[Pfn]) {}

/// Ignores an attempt at a page of a migration.
#[inline(always)]
pub(crate) fn tried(_frames: &Frames, _pfn: Pfn) {}

/// Ignores a large page that is marked to be split.
#[inline(always)]
pub(crate) fn marked(_frames: &Frames, _head: Pfn, _marked: bool) {}

/// Ignores a large page that came apart.
#[inline(always)]
pub(crate) fn split(_frames: &Frames, _parts: &[Pfn]) {}

/// Ignores the list of a migration that has ended.
#[inline(always)]
pub(crate) fn migration_ended(_frames: &Frames, _list: &[Pfn], _whole: bool) {}
