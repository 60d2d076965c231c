//! Swap: the content of anonymous pages, and of pages of memory file systems, whose frames were
//! needed for other pages.
//!
//! # The states of a swap slot
//!
//! ```text
//!          add to swap: page locked,        unmap: an entry more for
//!          +1 (swap cache)                  each mapping; written, evicted
//!   free ---------------------> cached ------------------------------> swapped out: entries only
//!    ^                           |   ^                                     |         |
//!    |  no entry left: page      |   | fault, shared: read into the cache  |         | fault, alone:
//!    +------ locked, -1 ---------+   +-------------------------------------+         | read past
//!    |                                                                               v the cache
//!    +------------------------------ the only entry becomes present ------------- reading
//! ```
//!
//! An *entry* of a slot is a page-table entry, or a slot of a memory file's page cache, that names
//! the swap slot. The swap slot counts its entries. A fault is *alone* if only one entry names the
//! slot, and *shared* otherwise. A page in the swap cache is found by its slot, and names the slot
//! in its field `private`.
//!
//! Every change of a slot happens under the swap lock. A page enters and leaves the swap cache with
//! its page lock held. Lookups take no lock, like those of a page cache. A slot counts an entry
//! before the entry is published, and stops counting it under the entry's own lock. Therefore a
//! slot that an entry names is never free. A large page has a slot for each of its parts, and
//! swaps out and leaves the cache as a whole, but comes back from the swap space in base pages.
//!
//! | file | idea |
//! |---|---|
//! | `space` | the machine's swap space, if it has one |
//! | `store` | the slots: their entry counts, their cached pages, their content |
//! | `content` | the content, in host memory or on a zram device |
//! | `cache` | pages enter the swap cache, leave it, and move in it |
//! | `out` | mappings become swap entries; the content is written |
//! | `fault` | faults on swap entries |
//! | `swapped` | the page that such a fault brings back |
//! | `file` | pages of memory file systems |
//! | `on` | swapon, and queries of the swap space |
//! | `off` | swapoff: all content comes back into memory |
//!
//! # What can go wrong
//!
//! * Two threads fault on one entry and read past the cache. The first thread maps its page, writes to it,
//!   and the page is swapped out to the same slot again. The second thread finds the entry as it was, and
//!   maps the old content. Therefore a thread marks the slot that it reads past the cache, and other threads
//!   wait until the mark is gone (kernel 13ddaf26be32).
//! * A page is written to its slot before the flush. A thread that is still inside a store then changes the
//!   page, and the content read back later is older than the store. Therefore reclaim unmaps, flushes, cleans
//!   and writes the page, in this order, and evicts it only if no thread has dirtied it
//!   or taken a reference since.
//! * A page is evicted while a thread that has found it in the cache is about to map it. Therefore eviction
//!   freezes the count, as for a file's page.
//! * A page that was read past the cache is clean and has no slot any more. Its content exists nowhere else,
//!   although its flags say that it is clean. Therefore it is marked dirty when it gets a slot again.

mod cache;
mod content;
mod fault;
mod file;
mod off;
mod on;
mod out;
pub(crate) mod space;
pub(crate) mod store;
mod swapped;

// The explored build leaves these tests out: they write bytes, and its pages have only two words.
#[cfg(all(test, not(feature = "explored")))]
mod tests;

pub use space::MAX_SWAP_SLOTS;
pub use store::SwapUse;
pub(in crate::map) use swapped::Swapped;
