//! LRU lists, per-CPU batches, isolation and putback (lifecycle 5).
//!
//! # A page's way
//!
//! ```text
//!                 lru_add: +1 (batch)         drain: LRU set, -1
//!   allocated  -----------------------> batch --------------------> on a list
//!                                                                    |   ^
//!                                     claim: LRU cleared, +1 (token) |   | putback: through a batch,
//!                                                                    v   | then -1 (token)
//!                                                                  isolated
//! ```
//!
//! An LRU list holds no reference on its pages. The thread that drops the last reference of a
//! listed page unlinks the page, and takes the lruvec lock to do so. A put under the lruvec lock
//! could therefore wait for a lock that its own thread holds.
//!
//! # What can go wrong
//!
//! * Two threads isolate the same page. One atomic clears `LRU`: the thread that found the bit set owns the
//!   isolation, the other thread gives up (lifecycle 3.4). With a separate test and clear, both threads would
//!   unlink the page.
//! * A page waits in an add batch. Its `LRU` is clear, and the batch holds a reference that the page's users
//!   do not know of. Isolation fails, and the count does not match the one that migration expects, until a
//!   drain puts the page on its list.
//! * An isolation races with the last put, which unlinks the page if `LRU` is set. A thread therefore holds a
//!   reference before it clears `LRU`: its caller's in an isolation, one taken for this purpose in a scan.
//!   Otherwise the count could fall to zero while `LRU` is clear, and the page would be freed although it is
//!   still linked.

mod add;
pub(crate) mod batch;
mod drain;
pub(crate) mod generations;
mod isolate;
pub(crate) mod lruvec;
mod mlock;
pub(crate) mod model;
mod moves;
mod scan;
pub(crate) mod shadow;
#[cfg(all(test, not(feature = "explored")))]
mod tests;
mod watch;
mod workingset;

pub use batch::Batches;
pub(crate) use generations::MAX_NR_GENS;
pub use lruvec::{LruList, Lruvec};
pub use scan::SWAP_CLUSTER_MAX;
