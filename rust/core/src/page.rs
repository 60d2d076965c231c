//! The page record: 32 bytes for each frame, which may be read in every state of the frame.
//!
//! # What each field means in each state
//!
//! A record of zero bytes is valid, and means a frame that was never used. So a table of records
//! can be reserved without being written to.
//!
//! In the table, *entries* is the number of page-table entries that map the page. A *driver's*
//! value is chosen by the driver that owns the page.
//!
//! | state | `word` count | `mapcount` | `owner` | `index` | `next`, `prev` | `order` | `private` |
//! |---|---|---|---|---|---|---|---|
//! | never used | 0 | 0 | 0 | 0 | none | 0 | 0 |
//! | free block head (buddy) | 0, `BUDDY` | 0 | 0 | 0 | zone free list | block order | 0; of a single frame: one that is further on in the list, or 0 |
//! | inside a free block | 0 | 0 | 0 | 0 | none | 0 | 0 |
//! | per-CPU free list | 0 | 0 | 0 | 0 | none (the CPU keeps an array) | 0 | 0 |
//! | allocated, private | ≥ 1 | 0 | 0 or driver | driver's | driver's | order | driver's; in an arranged node the letter of its [`Kind`](crate::layout::Kind) |
//! | mapped anon / file | ≥ 1 | entries | anon or file slot | offset | LRU list, or none | order | swap slot (`SWAPCACHE`) |
//! | in the swap cache, never mapped | ≥ 1, `SWAPCACHE` | 0 | 0 | 0 | LRU list, or none | order | swap slot |
//! | unevictable | ≥ 1 | entries | owner slot | offset | no links; `prev` counts the mappings that lock the page | order | as above |
//! | isolated | ≥ 1 | entries | owner slot | offset | none (isolator keeps a vector) | order | as above |
//! | migration destination | ≥ 1 | 0 | 0 until commit | 0 until commit | none | order | 0 |
//! | movable | ≥ 1 | 0 | driver slot | driver's | driver's | order | driver's |
//! | tail of a large page | 0, `TAIL` | entries of this base page | head's number | 0; of the first tail: entries of the whole page | none | 0 | 0; of the first tail: pins |
//! | poisoned, contained | 1, `HWPOISON` | 0 | 0, or what it was | as it was | none | 0 | [`TAKEN_OFF_BUDDY`] if it was free |
//! | poisoned, refused | 0, `HWPOISON`, `REFUSED` | 0 | 0, or what it was | as it was | none | 0 | 0 |
//!
//! # What can go wrong
//!
//! * A field that is read in the wrong state gives a stale number and never crashes. The explored build
//!   watches the list links, which are plain fields, with its race detector.
//! * A frame can be freed and used for another page between two reads of its record. A walker that read the
//!   record earlier must check it again under a reference (lifecycle 3.4).
//! * A plain store to the word would lose a `WAITERS` or `HWPOISON` that another thread sets at the same
//!   time, as it happened in the kernel with `PG_isolated` (2022). So every change of the word is a
//!   read-modify-write.

mod kpageflags;
pub(crate) mod large;
pub(crate) mod list;
pub(crate) mod lives;
mod lock;
#[cfg(feature = "explored")]
pub(crate) mod marks;
mod merged;
pub(crate) mod pfn;
mod poison;
pub(crate) mod reckon;
pub(crate) mod record;
pub(crate) mod refcount;
pub(crate) mod size;
pub(crate) mod word;
mod writeback;

pub use kpageflags::KpageFlags;
pub use large::Folio;
pub(crate) use large::OF_A_TAIL;
pub use list::List;
pub use pfn::{Link, Pfn, ZERO_PAGE};
pub use record::{Frames, Page, TAKEN_OFF_BUDDY};
pub use refcount::{Dropped, PIN};
pub use size::{HUGE_ORDER, MAX_ORDER, PAGE_SIZE};
pub use word::{Flags, Word};
