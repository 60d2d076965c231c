//! Address spaces, page tables, reverse maps and the TLB.
//!
//! # The states of a page's mapping
//!
//! ```text
//!            fault                    fork: write-protected in both
//!   none ------------> present ------------------------------------> shared, read-only
//!     ^                 |  ^  ^                                        |
//!     | unmap           |  |  +------- write fault: reuse or copy -----+
//!     |          unmap  |  | restore
//!     |          to     v  |
//!     +---------- migration entry: a fault waits for the source's page lock
//! ```
//!
//! Reclaim replaces the entries of an anonymous page by swap entries, and a fault on a swap entry
//! brings the page back: see `swap`.
//!
//! # What can go wrong
//!
//! * A frame is freed while a thread still writes to it, because that thread read the entry before the unmap.
//!   Every put of a mapping's reference therefore comes after a flush ([`Tlb::flush`]).
//! * A fork is under way. A thread writes through an old, writable entry after another thread of the same
//!   process has replaced the shared page by a copy, and the write is lost to the process. Faults are
//!   therefore held off until the fork's flush is done.
//! * A child sees a later write of its parent but not an earlier one. Holding faults off until the fork's
//!   flush prevents this too.
//! * A fork shares a page that a device writes to. The parent's next write then moves the parent to a copy,
//!   while the device goes on writing to the old page. Therefore a pin needs an exclusive page, and fork
//!   copies a page at once that may be pinned (kernel 70e806e4e645).

mod access;
mod advice;
mod ahead;
pub(crate) mod area;
pub(crate) mod areas;
pub(crate) mod attributes;
mod fault;
pub(crate) mod file;
mod fork;
mod large;
mod mlock;
mod mmap;
mod pin;
pub(crate) mod pte;
mod reclaim;
mod rmap;
pub(crate) mod slot;
pub(crate) mod space;
mod split;
pub(crate) mod swap;
pub(crate) mod tlb;
mod unmap;
pub(crate) mod watch;

#[cfg(all(test, not(any(loom, feature = "explored"))))]
mod limits;
// The explored build leaves these tests out: they write bytes, and its pages have only two words.
#[cfg(all(test, not(feature = "explored")))]
mod tests;

pub use advice::Advice;
pub use area::{Area, AreaKind, EntryGuard, Of};
pub use areas::Areas;
pub use attributes::{Attributes, Policy};
pub use file::{Evicted, File, FileKind, FileMap, Writeback};
pub use pin::PinKind;
pub use pte::{Entry, Pte};
pub(crate) use reclaim::Reclaimer;
pub(crate) use slot::Slot;
pub use space::AddressSpace;
pub use swap::{MAX_SWAP_SLOTS, SwapUse};
pub use tlb::{Section, Tlb};
