//! Memory failure: handles frames that are bad, or about to be (lifecycle 8).
//!
//! # A frame's way
//!
//! ```text
//!   in use --soft offline: content moved or dropped, flagged, last put refused--+
//!   free   --taken off the free lists, flagged----------------------------------+--> contained: count 1,
//!   in use --hard: flagged, unmapped, taken off its list, its users told--------+    HWPOISON
//!      |                                                                                  |
//!      +--hard, and nothing can be done: flagged and counted, still in use           unpoison
//!            |                                                                            |
//!            +--its last put is refused: count 0, HWPOISON, REFUSED --------------------> free
//! ```
//!
//! *Soft offline* takes a frame out of use whose content can still be read: the content is moved or
//! dropped, and no process is killed. If it fails, nothing has changed. In a *hard* failure the content
//! is lost. The mappings become poisoned entries, on which later accesses get SIGBUS, and processes
//! that would miss the lost content are signalled.
//!
//! One mutex (`mf_mutex`, taken before all locks but that of memory hotplug) serialises soft offline,
//! hard failure and unpoisoning. The flag itself is set without any other lock: see [`crate::page`].
//!
//! | file | idea |
//! |---|---|
//! | `pin` | takes a reference on the page behind a frame number, or finds that the frame is free |
//! | `soft` | soft offline |
//! | `hard` | hard failure, step by step |
//! | `handlers` | takes the page out of use, by its state |
//! | `mappings` | unmapping a lost page |
//! | `kill` | the processes that are signalled |
//! | `books` | the number of poisoned frames, and the frames on which poison itself holds a reference |
//! | `contain` | contains a frame whose content is safe |
//! | `unpoison` | takes the poison off a frame |
//! | `inject` | `madvise` with MADV_SOFT_OFFLINE and MADV_HWPOISON |
//! | `settle` | failures that were injected at a step, and are handled afterwards |
//! | `zero` | the zero page, which cannot be offlined |
//!
//! # What can go wrong
//!
//! * Soft offline poisons a frame on every result but `EAGAIN` (lifecycle 6.7; kernel d7e69488bd04). A
//!   permanent failure is such a result too: the page is still in use, but its frame is flagged and counted,
//!   and can never be offlined again. Only success may poison the frame.
//! * The frame is flagged after its last put. Another thread may have allocated the frame by then, and its
//!   page is poisoned (kernel d4ae9916ea29). If the frame is flagged before the put, it may be unpoisoned in
//!   between, and a reference is dropped twice. Hence there is one mutex for all, the flag is set before the
//!   put, and the free path refuses a flagged frame.
//! * A free frame cannot be taken off the free lists, because another thread has just allocated it. If the
//!   failure ignores that and holds the frame all the same, a page in use counts as contained (kernel
//!   8cf360b9d6a8).
//! * Two threads meet the same bad page. The second one finds it flagged and returns "handled", while the
//!   first one has not unmapped it yet: the second thread's process touches the page again (kernel
//!   171936ddaf97).
//! * Unpoisoning drops a reference that belongs to another thread. The books therefore record the frames on
//!   which poison itself holds a reference.

pub(crate) mod books;
mod contain;
mod handlers;
mod hard;
mod inject;
mod kill;
mod mappings;
mod pin;
mod settle;
mod soft;
mod unpoison;
mod zero;

pub(crate) use books::Cause;
pub use hard::{Handled, Verdict};
pub use inject::{Injected, Injection, Struck};
pub use kill::{Code, Signal};
