//! Migration: isolate, unmap, commit, copy, remap, release (lifecycle 6).
//!
//! # A page's way
//!
//! ```text
//!  on a list --isolate--> isolated --unmap--> unmapped, src and dst locked --move--> done
//!                             ^                          |
//!                             +----- undo: mappings restored, both unlocked, dst freed
//! ```
//!
//! [`Machine::migrate_pages`](crate::machine::Machine::migrate_pages) takes a list of isolated
//! pages. Pages that could not move stay on the list, still isolated, and the caller puts them
//! back. From its isolation until then, exactly one thread works on a page.
//!
//! # The steps
//!
//! The numbers are those of lifecycle 6.3, in the order in which the steps run; comments here cite
//! them. `src` is the frame that the page leaves, `dst` the frame to which it moves. Kernel
//! functions are those of Linux 6.12.
//!
//! | step | what happens | kernel function | why at this place | function here |
//! |---|---|---|---|---|
//! | 1 | a page without users is freed, and its migration ends | `migrate_folio_unmap` | before any work: such a page has nothing to move | `Machine::migrate_lock` in `one` |
//! | 2 | `dst` is allocated | `get_new_folio`, the caller's | after 1, which needs no `dst`; before 3, because an allocation may reclaim, and reclaim locks pages | `NewPage::get_new_page`, the caller's |
//! | 3 | `src` is locked | `folio_trylock`, `folio_lock` | held until 12: threads that truncate the file, fault, or unmap the page for another reason wait for this lock | `Machine::lock_pair` |
//! | 4 | the thread waits until writeback of `src` has ended | `folio_wait_writeback` | under the lock of 3, so that no writeback begins afterwards; before 6: the disk still reads `src` | `Machine::lock_pair` |
//! | 5 | `dst` is locked, by trylock | `folio_trylock` | held until 11: no thread may use `dst` before it is mapped. By trylock, because a thread that holds one page lock never waits for another | `Machine::lock_pair` |
//! | 6 | page table entries of `src` become migration entries | `try_to_migrate` | before 8: the entries' references are dropped, so that 8 can compare the count | `Machine::migrate_unmap` in `window` |
//! | 7 | TLBs are flushed, once for a batch | `try_to_unmap_flush` | between the last 6 and the first 8: until the flush, a CPU may still write to `src` through a stale TLB entry | `Machine::migrate_batch`, `Machine::migrate_singly` in `list` |
//! | 8 | bytes, flags and owner go to `dst`: the commit point | `move_to_new_folio` | after 7, when no CPU writes to `src` any more; before 10, after which CPUs write to `dst` | `Machine::commit`, `Machine::migrate_movable` in `one` |
//! | 9 | `dst` goes to the LRU | `folio_add_lru` | before 10: an entry in a locked area mlocks `dst`, which must be in a batch or on a list by then | `Machine::migrate_move` in `window` |
//! | 10 | migration entries become mappings of `dst` | `remove_migration_ptes` | before 12: a thread that faulted on a migration entry sleeps on the lock of `src`; when it wakes, the entry must be gone | `Machine::restore_all_mappings` in `map/rmap.rs` |
//! | 11 | `dst` is unlocked; its allocation's reference is put | `folio_unlock`, `folio_put` | after 10: the mappings hold `dst` now | `Machine::unlock_and_put` |
//! | 12 | `src` is unlocked; its isolation's reference is put | `migrate_folio_done` | last: until then no other thread can free the frame | `Machine::finish_migrations` in `release.rs` |
//!
//! A batch runs 1 to 5 for each page, 6 for up to 64 locked pages at once, and 7 once. Then windows of up to
//! 64 pages run each of 8 to 12 for all their pages before the next step; the bytes of a window are copied
//! back to back before its step 8 (`Machine::copy_ahead`). Without batches each page runs all twelve steps
//! before the next page begins. A movable page outside of the LRU skips 6, 9 and 10. An attempt that fails
//! after 5 is undone by `Machine::migrate_undo`: the mappings of `src` are restored as in 10, then both
//! pages are unlocked and `dst` is put.
//!
//! # What can go wrong
//!
//! * A thread or a batch holds a reference that the migration does not expect: a pin, a walk by frame number,
//!   a page in an LRU batch. The count does not match in step 8. The page is tried again; after the last
//!   attempt it is undone, and it stays where it was.
//! * Soft offline poisons the source frame on every result but `EAGAIN`, as old kernels did (lifecycle 6.7).
//!   A permanent failure is such a result too, and then a page in use is poisoned. Only success may poison
//!   the frame.
//! * A large page is split during the migration, so its parts are on the caller's list. A caller that puts
//!   back only the page it knew leaves the other parts isolated for ever (kernel 6e49019db5f7). Callers
//!   therefore put back the whole *list*.

mod demote;
mod list;
mod longterm;
mod misplaced;
pub(crate) mod mode;
mod move_pages;
mod on_node;
mod one;
mod policy;
#[cfg(all(test, not(feature = "explored")))]
pub(crate) mod tests;
mod window;

pub(crate) use demote::Isolation;
pub use demote::Reclaimed;
pub use list::Migrated;
pub use mode::{Mode, Reason};
pub use move_pages::{MoveFlags, Moved};
pub use policy::MbindFlags;

use crate::page::Pfn;

/// The result of a page's migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The page has moved to this frame.
    Moved(Pfn),
    /// The page had no users any more. There was nothing to move, and it is freed.
    Freed,
    /// Each attempt failed for a reason that may pass, such as a lock or a reference of another
    /// thread.
    Again,
    /// The page cannot move, however often it is tried.
    Refused,
    /// There was no frame to move to. The migration of the list ended with this page.
    NoMemory,
}

/// The source of destination pages (`get_new_folio`), which also learns the result of each source.
/// A closure from a source to its destination is a `NewPage`.
pub trait NewPage {
    /// Allocates a fresh page for `src`, with one reference that belongs to the migration. The
    /// migration puts a page that it could not use, and asks again at the next attempt. `None` ends
    /// the migration as `ENOMEM`; pages that are unmapped by then still move.
    ///
    /// The migration may hold page locks of earlier sources and destinations, so an implementation
    /// must not wait for a page; it could deadlock.
    fn get_new_page(&mut self, src: Pfn) -> Option<Pfn>;

    /// Called before the migration asks, one after the other, for the destinations of this many base pages,
    /// all of which look as if they could move. The source of destinations may allocate them together. If
    /// another thread interferes, fewer are asked for.
    fn expect(&mut self, _pages: usize) {}

    /// True if pages that the migration could not use go back to the source
    /// ([`NewPage::take_back`]). Otherwise the migration puts them.
    fn takes_back(&self) -> bool {
        false
    }

    /// Takes back a page that the migration could not use, with its reference (`put_new_folio`).
    fn take_back(&mut self, _dst: Pfn) {}

    /// True if the source of destinations learns the outcomes ([`NewPage::ended`]). Otherwise it may learn
    /// some of them or none.
    fn wants_outcomes(&self) -> bool {
        true
    }

    /// Called when an attempt at `src` has ended. A page may be attempted several times; the last
    /// outcome counts. Not called for a page that was never attempted. A source that moved may have
    /// been freed and allocated again by now.
    fn ended(&mut self, _src: Pfn, _outcome: Outcome) {}
}

impl<F: FnMut(Pfn) -> Option<Pfn>> NewPage for F {
    #[inline]
    fn get_new_page(&mut self, src: Pfn) -> Option<Pfn> {
        self(src)
    }

    fn wants_outcomes(&self) -> bool {
        false
    }
}

/// The [`NewPage`] that a migration borrows.
pub type Target<'a> = &'a mut dyn NewPage;
