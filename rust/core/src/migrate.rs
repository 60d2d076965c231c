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
//! [`Machine::migrate_pages`] takes isolated pages and leaves those that could not move on its list,
//! still isolated; the caller puts them back. A page is in the hands of exactly one thread from its
//! isolation until then.
//!
//! # What can go wrong
//!
//! * A reference that nobody accounts for (a batch, a pin, a walker): the count does not match, try
//!   again, give up, undo.
//! * Poisoning on "not `EAGAIN`" instead of on success (lifecycle 6.7): a permanent failure is
//!   no success.
//! * Only the page that the caller knew is put back although the list has grown (kernel
//!   6e49019db5f7): the *list* is what goes back.

mod demote;
mod list;
mod longterm;
mod misplaced;
mod move_pages;
mod one;
mod policy;

pub(crate) use demote::Isolation;
pub use demote::Reclaimed;
pub use list::Migrated;
pub use move_pages::{MoveFlags, Moved};
pub use policy::MbindFlags;

use crate::page::Pfn;

/// How much a migration may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Never.
    Async,
    /// On page locks, not on writeback.
    SyncLight,
    /// On everything.
    Sync,
}

impl Mode {
    /// The names that programs and reports use.
    pub const NAMES: &'static [(&'static str, Mode)] =
        &[("async", Mode::Async), ("sync_light", Mode::SyncLight), ("sync", Mode::Sync)];
}

/// Why a page is migrated, under the names of the kernel's tracepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Making large free blocks.
    Compaction,
    /// Soft offline; the source's last reference is left to the caller.
    MemoryFailure,
    /// A block of memory goes away.
    MemoryHotplug,
    /// `move_pages` and `migrate_pages`.
    Syscall,
    /// mbind.
    MempolicyMbind,
    /// Promotion of a page that its users run far from.
    NumaMisplaced,
    /// Clearing a range for a contiguous allocation.
    ContigRange,
    /// A pin that will last wants another zone.
    LongtermPin,
    /// Reclaim to a slower node.
    Demotion,
}

impl Reason {
    /// The names, in the kernel's order.
    pub const NAMES: &'static [(&'static str, Reason)] = &[
        ("compaction", Reason::Compaction),
        ("memory_failure", Reason::MemoryFailure),
        ("memory_hotplug", Reason::MemoryHotplug),
        ("syscall", Reason::Syscall),
        ("mempolicy_mbind", Reason::MempolicyMbind),
        ("numa_misplaced", Reason::NumaMisplaced),
        ("contig_range", Reason::ContigRange),
        ("longterm_pin", Reason::LongtermPin),
        ("demotion", Reason::Demotion),
    ];
}

/// What became of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its content is in this frame now.
    Moved(Pfn),
    /// Its users had let go of it: there was nothing to move, and it is freed.
    Freed,
    /// Somebody was in the way, each time that it was tried.
    Again,
    /// It cannot move, however often it is tried.
    Refused,
    /// There was no frame to move to, and the migration ended with it.
    NoMemory,
}

/// Where the destination pages come from (`get_new_folio`), and who hears what became of the sources. A closure from
/// a source to its destination is one.
pub trait NewPage {
    /// A fresh page for `src`, with one reference, which is the migration's from here on: it puts what it could not use,
    /// and asks again on the next attempt. `None` ends the migration as `ENOMEM`; what is unmapped by then still moves.
    ///
    /// Page locks of earlier sources and destinations may be held: nothing may be done here that waits for a page.
    fn get_new_page(&mut self, src: Pfn) -> Option<Pfn>;

    /// An attempt at `src` has ended so; of several the last counts. Nothing is heard of pages that were not tried. A
    /// source that moved may be somebody else's frame by now.
    fn ended(&mut self, _src: Pfn, _outcome: Outcome) {}
}

impl<F: FnMut(Pfn) -> Option<Pfn>> NewPage for F {
    fn get_new_page(&mut self, src: Pfn) -> Option<Pfn> {
        self(src)
    }
}

/// A migration's [`NewPage`].
pub type Target<'a> = &'a mut dyn NewPage;
