//! The page record: 32 bytes for each frame, valid to look at in every state of the frame.
//!
//! # What each field means in each state
//!
//! All-zero is a valid record (a frame that was never used), so that a table of records can be
//! reserved without being touched.
//!
//! | state | `word` count | `mapcount` | `owner` | `index` | `next`, `prev` | `order` | `private` |
//! |---|---|---|---|---|---|---|---|
//! | never used | 0 | 0 | 0 | 0 | none | 0 | 0 |
//! | free block head (buddy) | 0, `BUDDY` | 0 | 0 | 0 | zone free list | block order | 0 |
//! | inside a free block | 0 | 0 | 0 | 0 | none | 0 | 0 |
//! | per-CPU free list | 0 | 0 | 0 | 0 | none (the CPU keeps an array) | 0 | 0 |
//! | allocated, private | ≥ 1 | 0 | 0 or driver | driver's | driver's | order | driver's |
//! | mapped anon / file | ≥ 1 | entries | anon or file slot | offset | LRU list, or none | order | swap slot (`SWAPCACHE`) |
//! | in the swap cache, never mapped | ≥ 1, `SWAPCACHE` | 0 | 0 | 0 | LRU list, or none | order | swap slot |
//! | unevictable | ≥ 1 | entries | owner slot | offset | list, or none | order | as above |
//! | isolated | ≥ 1 | entries | owner slot | offset | none (isolator keeps a vector) | order | as above |
//! | migration destination | ≥ 1 | 0 | 0 until commit | 0 until commit | none | order | 0 |
//! | movable | ≥ 1 | 0 | driver slot | driver's | driver's | order | driver's |
//! | tail of a large page | 0, `TAIL` | entries of this base page | head's number | 0; of the first tail: entries of the whole page | none | 0 | 0; of the first tail: pins |
//! | poisoned, contained | 1, `HWPOISON` | 0 | 0, or what it was | as it was | none | 0 | [`TAKEN_OFF_BUDDY`] if it was free |
//! | poisoned, refused | 0, `HWPOISON`, `REFUSED` | 0 | 0, or what it was | as it was | none | 0 | 0 |
//!
//! # What can go wrong
//!
//! * A field read in the wrong state is a stale number, not a crash: explored builds watch the
//!   plain fields with a race detector; debug builds assert states at the accessors.
//! * The zone of danger is reuse: a walker that looked at a record before its frame was freed
//!   must re-check under a reference (lifecycle 3.4).
//! * A plain store to the word would lose a concurrent `WAITERS` or `HWPOISON` (the kernel learnt
//!   it with `PG_isolated`, 2022): every change of the word is a read-modify-write.

mod kpageflags;
mod large;
mod list;
mod lock;
mod packed;
mod pfn;
mod poison;
mod record;
mod refcount;
mod word;
mod writeback;

pub use kpageflags::KpageFlags;
pub use large::Folio;
pub(crate) use large::OF_A_TAIL;
pub use list::List;
pub use pfn::{Link, Pfn, ZERO_PAGE};
pub use record::{Frames, Page, TAKEN_OFF_BUDDY};
pub use refcount::{Dropped, PIN};
pub use word::{Flags, Word};

/// Bytes of a base page.
pub const PAGE_SIZE: usize = 4096;

/// The order of what the kernel's counters call a transparent huge page (THP).
pub const HUGE_ORDER: u8 = 9;

/// Largest order of the buddy allocator: blocks of 2^10 pages.
pub const MAX_ORDER: u8 = 10;
