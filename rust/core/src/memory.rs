//! The frames' bytes, and tables that cost nothing until they are touched.
//!
//! This is one of the few files with `unsafe`: it reserves address space, hands out references to
//! zeroed records in it, and copies pages.
//!
//! # Who may touch a frame's bytes
//!
//! * A user's load or store through a mapping: [`Memory::load`], [`Memory::store`]: relaxed atomic
//!   words, because users race with each other as on real hardware.
//! * The copy inside a migration: [`Memory::copy_page`], plain and fast. Its caller has unmapped the
//!   source, completed the flush (no thread is inside an access that began before) and holds both
//!   pages locked; the destination is not published yet. Streaming stores are fenced before it returns,
//!   so a later Release store publishes them.

#[cfg(not(any(feature = "explored", loom)))]
mod arena;
#[cfg(not(any(feature = "explored", loom)))]
mod copy;
#[cfg(any(feature = "explored", loom))]
mod modelled;
mod room;

#[cfg(not(any(feature = "explored", loom)))]
pub use arena::{Memory, Table};
#[cfg(any(feature = "explored", loom))]
pub use modelled::{Memory, Table};
pub use room::{filled, more_room, room};

/// Eight-byte words of a frame that exist: all 512 natively, two under the explorer (enough for a
/// torn copy to show).
pub const WORDS: usize = if cfg!(any(feature = "explored", loom)) { 2 } else { crate::page::PAGE_SIZE / 8 };
