//! The bytes of the frames, and tables that take up memory of the host only where they are touched.
//!
//! This room is one of the few with `unsafe`: it reserves address space, hands out references to
//! zeroed records in it, and copies pages.
//!
//! # The two kinds of accesses to a frame's bytes
//!
//! * A user's load or store through a mapping ([`Memory::load`], [`Memory::store`]) is a relaxed atomic
//!   access to one word, because users race with each other as on real hardware.
//! * The copy inside a migration ([`Memory::copy_pages`]) is plain and fast. Its caller has unmapped the
//!   sources, has completed the flush, so that no thread is inside an access that began before, and holds
//!   all pages locked. The destinations are not published yet. Streaming stores are fenced before the
//!   function returns, so that a later Release store publishes them. One fence serves any number of pages:
//!   it waits for all streaming stores of the thread, and no destination is published before it.

#[cfg(not(any(feature = "explored", loom)))]
mod arena;
pub(crate) mod copy;
#[cfg(any(feature = "explored", loom))]
mod modelled;
mod room;
pub(crate) mod table;

#[cfg(not(any(feature = "explored", loom)))]
pub use arena::Memory;
pub use copy::CopyKind;
#[cfg(any(feature = "explored", loom))]
pub use modelled::Memory;
pub use room::{filled, more_room, room};
pub use table::Table;

pub use crate::page::size::WORDS;
