//! The reckoner of the explored build: it derives the counters of `/proc/vmstat` a second time, from the
//! changes of pages.
//!
//! The core counts an event where its code decides that the event happens. The reckoner does not learn of
//! these decisions. Its inputs are the changed bits of page words, the pages that are linked and unlinked,
//! the lists of migrations at their beginning and at their end, and the contents that are written to swap.
//! From them the reckoner computes each counter by the kernel's definition. At the end of a schedule the
//! explorer compares the two. They differ, although no page is wrong, if an event is counted twice on a
//! retry, not counted on a path of failure, counted once for a large page, or counted for another node.
//!
//! The table of the counters is in `docs/explorer.md`, "Counters".
//!
//! Only the explored build has a reckoner, and only schedules that are checked against all rules
//! ([`Checks::All`](crate::explore::Checks::All)) use it. In every other build the functions are empty and
//! cost nothing.

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
    /// The page of such a hint was on the node of the thread.
    HintAtHome,
    /// A hint fault brought its page to the node of the thread.
    HintMoved,
}

/// A list that reclaim scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    Active,
    Inactive { file: bool },
}

/// A batch that is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Pages that become inactive; `generations` if the lists have generations, which hide the age of a page.
    Deactivation {
        generations: bool,
    },
    /// Pages of files that could not be dropped.
    OfFiles,
    Another,
}
