//! Memory pressure: the work of an allocation that finds too few free frames
//! (`__alloc_pages_slowpath`).
//!
//! A machine has memory pressure if its configuration asks for it
//! ([`Config::pressure`](crate::machine::Config)). Without it an allocation that finds no frame fails at
//! once.
//!
//! ```text
//!   free frames of a node
//!     |          allocations take frames
//!   high  . . .  kswapd stops here
//!   low   . . .  below: allocations wake kswapd
//!   min   . . .  below: allocations reclaim and compact by themselves, before they take a frame
//!     0          threads that reclaim take the last frames
//! ```
//!
//! An allocation under pressure goes through rounds: it tries to take a frame above `min`, reclaims, and for
//! a block compacts. Another round follows as long as the last round made progress or the next round may make
//! some. At last the allocation asks the balloon for pages. If the balloon gives none, the allocation fails:
//! out of memory. The kernel would kill a process at this point; mmcore returns the error to the caller.
//!
//! | file | idea |
//! |---|---|
//! | `state` | the setting, the marks of threads that reclaim, the words of the daemons |
//! | `slow` | the rounds of an allocation |
//! | `retry` | whether an allocation makes another round |
//! | `kswapd` | reclaim in the background, until `high` is reached |
//! | `daemons` | the threads that reclaim and compact in the background |
//! | `settings` | watermarks, and `min_free_kbytes` |
//!
//! # What can go wrong
//!
//! * Reclaim allocates: a page that goes to zram needs frames for the compressed bytes. If that allocation
//!   reclaimed, it would come back to zram without end. So a thread that reclaims is marked, and its
//!   allocations only take the frames below `min`, which exist for this.
//! * A write to zram that no reclaim has asked for allocates, too. Its reclaim must not write to swap, which
//!   may be on the same device (`GFP_NOIO`).
//! * The caller of an allocation holds a page lock, and reclaim meets that page. Reclaim only tries page
//!   locks, and so does compaction for an allocation, in every mode.
//! * The caller holds a lock under which no thread may sleep. At the start of every slow allocation the
//!   explored build checks that the thread holds no such lock.
//! * Two allocations fail at the same time, and one of them gets the pages that the balloon gives up. So the
//!   last attempt is made under a lock, and looks for a frame once more before the balloon is asked.
//! * The free frames lie in the arrays of other CPUs. The arrays are flushed before an allocation fails.

#[cfg(not(any(loom, feature = "explored")))]
mod daemons;
mod kswapd;
mod retry;
mod settings;
mod slow;
pub(crate) mod state;

#[cfg(not(any(loom, feature = "explored")))]
pub use daemons::{Daemons, Surroundings};
