//! zsmalloc: objects that are smaller than a page, packed without gaps into chains of pages that
//! can move (lifecycle 7.5).
//!
//! # The parts
//!
//! ```text
//!   handle ---> frame, object number          zspage: page ---- page ---- page
//!                     |                                 |obj 0|obj 1|obj 2|obj 3|
//!                     +--> the frame's record ------>   class: its zspages by fullness
//!                          names the zspage
//! ```
//!
//! A *size class* holds objects of up to one size. A *zspage* is a chain of single pages in which
//! the objects of a class lie one after the other; an object may straddle neighbouring pages. A
//! *handle* names an object and stays the same while the object moves. An object moves for two
//! reasons: a migration takes one page of its zspage to another frame, or a compaction of the pool
//! takes the object to another zspage, so that the zspage it leaves becomes empty.
//!
//! | file | idea |
//! |---|---|
//! | `class` | the geometry of zspages |
//! | `books` | zspages by fullness, and their slots |
//! | `chain` | the pages of a zspage, and the zspage's lock |
//! | `handle` | handles, and the pin bit |
//! | `table` | tables that grow while they are read |
//! | `pool` | the pool with its counters |
//! | `objects` | allocate, map and free objects |
//! | `free` | empty zspages, and the end of a pool |
//! | `compact` | compaction of a pool |
//! | `migrate` | pages move: the contract with the core |
//!
//! # Two lockings
//!
//! | | `class` (Linux 4.8 to 5.16) | `pool` (since 5.17) |
//! |---|---|---|
//! | order | page lock > pin bit > zspage > class | page lock > pool > class > zspage |
//! | an object in use | pin bit, and zspage shared | zspage shared, looked up under pool shared |
//! | a page moves | zspage exclusive, class, tries the pin of each object in the page | pool exclusive, class, zspage exclusive |
//! | objects move | class, tries the pin of each | pool exclusive, class, zspage exclusive |
//! | an isolated page | takes its zspage off its list, and is counted | changes nothing |
//!
//! # What can go wrong
//!
//! * The last object of a zspage is freed while one of its pages is isolated. The free leaves the zspage to
//!   the migration; a migration that succeeds must then see that the zspage is empty (bug 37).
//! * A thread locks the pages of a zspage one after the other to free them. While the thread waits for a
//!   page, a migration replaces that page, and the thread gets the lock of a page of another owner (bug 39).
//! * A thread closes the pool while a page is isolated, and goes to sleep just as the page is put back. If
//!   the putback does not see that the pool is being closed, no thread wakes the sleeper (bug 55).
//! * A page is marked as movable before its neighbours are. A migration of it must find the whole chain, so
//!   the chain is filled before the first mark.

mod books;
mod chain;
pub(crate) mod class;
mod compact;
mod free;
pub(crate) mod handle;
mod migrate;
mod objects;
pub(crate) mod pool;
mod table;

pub use class::{Classes, MAX_CHAIN, MAX_SIZE, SizeClass};
pub use handle::Handle;
pub use objects::Mapping;
#[cfg(not(any(feature = "explored", loom)))]
pub(crate) use objects::word_of;
pub use pool::{ZsPool, ZsStats, ZspageCount};
