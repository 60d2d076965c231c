//! The loads: real threads that use and migrate memory while release designs are compared.
//!
//! | file | idea |
//! |---|---|
//! | `config` | the configuration of a load, read from JSON |
//! | `report` | the results of a round and of a whole run, written as JSON |
//! | `fault` | the errors of a load, with the seed and the command that repeats the failure |
//! | `content` | the encoding of the words of a page, by which a reader recognises a lost copy |
//! | `host` | measurements of the host: a thread's CPU time, a bare `memcpy` in memory of the load's size |
//! | `crew` | threads that start together and stop together; a thread that never ends does not hang the caller |
//! | `gauge` | the measurements of one migrator's calls |
//! | `planted` | planted faults, which test that a comparison finds a slowdown or a lost copy |
//! | `open` | the switch over the loads and the designs |
//! | `rig` | a load on a machine of any release design, run round after round |
//! | `ground` | a range of pages, with the knowledge that one thread has of it |
//! | `blocks` | a thread that asks for large blocks, and breaks up old ones |
//! | `churn` | pages of one thread that come and go one by one |
//! | `storm` | the load `storm`: migrators against mutators, every word checked |
//! | `replacement` | list policies on the accesses of a program that needs more memory than there is |
//! | `tiering` | the load `tiering`: a real program's accesses over a fast and a slow node |
//! | `compaction` | the load `compaction`: requests for blocks of a fragmented node |
//! | `zram` | the load `zram`: requests for blocks, while pages are swapped to a zram device |
//! | `count` | the loads on one thread, one operation after the other, for the counting build |
//! | `poison` | frames that go bad under a load |
//! | `trace` | memory traces of real programs |
//!
//! Loads run on real threads: `lib.rs` leaves this module out of the explored build and of the weak-memory
//! models.

mod blocks;
mod churn;
mod compaction;
mod config;
mod content;
mod count;
mod crew;
mod fault;
mod gauge;
mod ground;
#[allow(unsafe_code, reason = "the thread's clock and the bare memcpy")]
mod host;
mod open;
mod planted;
mod poison;
mod replacement;
mod report;
mod rig;
mod storm;
mod tiering;
pub mod trace;
mod zram;

pub use config::{Load, LoadConfig, NodeSpec, Planted};
pub use content::{Layout, MAX_THREADS, Seen, Stamp, Violation};
pub use count::{Hits, PageOps, PutOps, count_hits, count_ops, count_puts};
pub use fault::{Failed, Finding, LoadError};
pub use open::{open, open_with};
pub use replacement::{Counts, Events, Outcome, Replacement};
pub use report::{Finished, Round, Stored};
pub use rig::Rig;
pub use tiering::{Decision, Epoch, Policy, Trace};
