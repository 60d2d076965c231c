//! The reckoner of the explored build: it derives the counters of `/proc/vmstat` a second time, from what
//! happens to pages.
//!
//! The core counts an event where its code decides that the event happens. The reckoner is told no such
//! decision. It sees the bits of page words that change, pages that are linked and unlinked, the lists of
//! migrations at their beginning and at their end, contents that are written to swap; and it adds up
//! what the kernel's definition of a counter says about them. At the end of a schedule the explorer
//! compares the two. An event that is counted twice on a retry, not on a path of failure, as one page for a
//! large page, or for another node shows as a difference, although no page is wrong.
//!
//! | counter | derived from |
//! |---|---|
//! | `pgactivate` | `ACTIVE` is set on a page that was taken off a list |
//! | `pgrotated` | a page is linked at the tail of its list |
//! | `pglazyfree` | `SWAPBACKED` is cleared on a page that was taken off a list |
//! | `unevictable_pgs_mlocked` | `MLOCKED` is set on a page with a reference |
//! | `unevictable_pgs_munlocked`, `_stranded`, `_cleared` | `MLOCKED` is cleared: on a listed page or an evictable one, on an isolated unevictable page, on a page without references |
//! | `unevictable_pgs_culled` | `UNEVICTABLE` is set on a page that comes from a list or a batch |
//! | `unevictable_pgs_rescued` | `UNEVICTABLE` is cleared, and the page is linked on an evictable list in the same life |
//! | `pgmigrate_success` | base pages on the list of a migration at its beginning, minus those left on it |
//! | `pgmigrate_fail` | base pages left on the list of a migration that were tried |
//! | `thp_migration_*` | pages of order 9 on the list of a migration: gone, left, split |
//! | `thp_split_page`, `thp_deferred_split_page` | pages of order 9 that come apart, that are marked to be split |
//! | `pgfault` | calls of the fault handler by accesses, pins and mlock |
//! | `pswpin`, `pswpout` | contents that went from or to a slot of the swap space |
//! | `numa_hit`, `numa_miss`, `numa_foreign` | the node that an allocation asked for, and the node of its frame |
//! | `numa_hint_faults`, `numa_pages_migrated` | hints that applied; the node of the page before and after a hint fault |
//!
//! Only the explored build has a reckoner, and only schedules that are checked against all rules
//! ([`Checks::All`](crate::explore::Checks::All)) use it. In every other build the functions are empty and cost nothing.

#[cfg(not(feature = "explored"))]
mod empty;
#[cfg(feature = "explored")]
mod explored;

#[cfg(not(feature = "explored"))]
pub(crate) use empty::*;
#[cfg(feature = "explored")]
pub(crate) use explored::*;

/// A fact that the reckoner adds up as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// An access, a pin or an mlock calls the fault handler.
    Fault,
    /// The content of a page went to a slot of the swap space.
    SwappedOut,
    /// The content of a slot of the swap space went to a page.
    SwappedIn,
    /// A hint of NUMA balancing applied to a page.
    Hint,
    /// A hint fault brought its page to the node of the thread.
    HintMoved,
}
