//! Address spaces, page tables, reverse maps and the TLB.
//!
//! # A page's mapping, and who changes it
//!
//! ```text
//!            fault                    fork: write-protected in both
//!   none ------------> present ------------------------------------> shared, read-only
//!     ^                 |  ^  ^                                        |
//!     | unmap           |  |  +------- write fault: reuse or copy -----+
//!     |          unmap  |  | restore
//!     |          to     v  |
//!     +---------- migration entry: whoever needs the page waits for its page lock
//! ```
//!
//! An anonymous page that reclaim takes leaves a swap entry behind, and a fault brings it back: see `swap`.
//!
//! # What can go wrong
//!
//! * A frame is freed while a thread that looked before the unmap still writes to it: every put of a
//!   mapping's reference comes after a flush ([`Tlb::flush`]).
//! * A thread writes through its old, writable view after another thread of the same process has
//!   copied the page away: faults are held off until the fork's flush is done.
//! * A child sees a later write of its parent without an earlier one: the same.
//! * A page that a device writes to is shared by a fork, the parent's next write moves the parent to a
//!   copy, and the device goes on with the old page: a pin needs an exclusive page, and fork copies
//!   pages that may be pinned at once (kernel 70e806e4e645).

mod access;
mod advice;
mod area;
mod areas;
mod fault;
mod file;
mod fork;
mod large;
mod mlock;
mod pin;
mod pte;
mod reclaim;
mod rmap;
mod slot;
mod space;
mod split;
mod swap;
mod tlb;
mod unmap;

#[cfg(all(test, not(any(loom, feature = "explored"))))]
mod limits;
// A page of the explored build has two words; these tests write bytes.
#[cfg(all(test, not(feature = "explored")))]
mod tests;

pub use advice::Advice;
pub use area::{Area, AreaKind, Attributes, EntryGuard, Policy};
pub use areas::{Areas, Of};
pub use file::{Evicted, File, FileKind, FileMap, Writeback};
pub use pin::PinKind;
pub use pte::{Entry, Pte};
pub(crate) use slot::Slot;
pub use space::AddressSpace;
pub(crate) use space::Spaces;
pub use swap::{MAX_SWAP_SLOTS, SwapUse};
pub(crate) use swap::{SWAP_CACHE_REFERENCES, SwapSpace};
pub use tlb::{Section, Tlb};
