//! Memory failure: frames that are bad, or about to be (lifecycle 8).
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
//! *Soft offline* moves the content of a frame that can still be read away, and kills nobody; if it
//! fails, nothing has changed. *Hard* failure has lost the content: the mappings become poisoned entries, on
//! which later accesses get SIGBUS, and the processes that had written are told.
//!
//! One mutex (`mf_mutex`, outermost of all locks) serialises both and unpoisoning. The flag itself is set
//! without any other lock: see [`crate::page`].
//!
//! | file | idea |
//! |---|---|
//! | `pin` | a reference on whatever is behind a frame number, or the knowledge that it is free |
//! | `soft` | soft offline |
//! | `hard` | hard failure, step by step |
//! | `handlers` | what is done to the page, by its state |
//! | `mappings` | unmapping a lost page |
//! | `kill` | who is told |
//! | `contain` | the books: how many frames are poisoned, which of them poison itself holds |
//! | `unpoison` | the way back |
//! | `inject` | `madvise` with MADV_SOFT_OFFLINE and MADV_HWPOISON |
//! | `settle` | failures that were injected at a step, and are handled afterwards |
//! | `zero` | the zero page, which cannot be offlined |
//!
//! # What can go wrong
//!
//! * Poisoning on "not `EAGAIN`" instead of on success (lifecycle 6.7; kernel d7e69488bd04): a
//!   page in use is flagged, counted, and can never be offlined again.
//! * The frame is flagged after its last put, when somebody has allocated it already (kernel
//!   d4ae9916ea29); or before it, and unpoisoned meanwhile, so that a reference is dropped twice. Hence one
//!   mutex for all, the flag before the put, and a free path that refuses.
//! * A frame that could not be taken off the free lists is held all the same (kernel 8cf360b9d6a8).
//! * The second to meet a bad page is told "handled" before the first has unmapped it (kernel 171936ddaf97).
//! * A reference is dropped that is not poison's own: the books say which frames it holds.

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

pub(crate) use contain::{Cause, Failure};
pub use hard::{Handled, Verdict};
pub use inject::{Injected, Injection, Struck};
pub use kill::{Code, Signal};
