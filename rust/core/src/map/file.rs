//! Files: each has a page cache, and a file of a disk also has the store behind it.
//!
//! # The states of a slot of the page cache
//!
//! ```text
//!            insert: page locked, +1 (slot)             migration: freeze, replace, unfreeze
//!   empty  --------------------------------> page A  ----------------------------------------> page B
//!     ^                                        |                                                 |
//!     +---- eviction: freeze, clean and unmapped only                                            |
//!     +---- truncation: page locked, written back, unmapped -------------------------------------+
//! ```
//!
//! A slot changes under the file's tree lock (`i_pages`), with the page concerned locked. A lookup
//! takes no lock: it reads the slot, tries to get the page, and reads the slot once more. A page
//! that is found frozen will leave its slot or be thawed. The lookup is then repeated under the
//! tree lock, where no page is frozen.
//!
//! | file | idea |
//! |---|---|
//! | `state` | the fields of a file |
//! | `cache` | look up, insert, remove, replace |
//! | `fault` | faults of file mappings |
//! | `fill` | a page of a file, locked and read in |
//! | `io` | read and write through the file |
//! | `writeback` | dirty pages to the store |
//! | `shrink` | truncation and eviction |
//! | `failure` | pages whose frame is bad |
//! | `life` | a file is made, mapped, removed, and ended by its last user |
//!
//! # What can go wrong
//!
//! * A lookup finds a page, and before it takes its reference the page is replaced or freed. The reference
//!   then lands on the frame's next page. Therefore the lookup reads the slot a second time (lifecycle 3.2).
//! * A fault maps a page that a truncation has just removed. Therefore the fault holds the page lock from the
//!   check that the page is still the file's until the entry is filled, and the truncation takes the page
//!   lock and unmaps the page once more under it.
//! * A store through a mapping is lost, because the write-back copied the page before the store and cleaned
//!   it afterwards. Therefore the page is first write-protected and flushed, then cleaned, and copied last.
//! * An unmap moves the dirty bit of its entry to the page before the flush, and a write-back cleans the page
//!   in between. A thread that is still inside an access then stores into a clean page. Therefore the page is
//!   marked dirty after the flush, while the mapping's reference still keeps it from being dropped (kernel
//!   5df397dec7c4).
//! * The dirty mark moves to a migration's destination after the source is thawed. Another thread then sees a
//!   clean page with content that was never written. Therefore the mark moves while the source is frozen
//!   (lifecycle 6.4).

mod cache;
mod failure;
mod fault;
pub(super) mod fill;
mod io;
mod life;
mod shrink;
pub(crate) mod state;
mod writeback;

// Not in the explored build, whose pages have two words: these tests write bytes.
#[cfg(all(test, not(feature = "explored")))]
mod tests;

pub use shrink::Evicted;
pub use state::{File, FileKind, FileMap, MAX_FILE_PAGES};
pub use writeback::Writeback;
