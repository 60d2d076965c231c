//! The loads: what drives a machine when designs are raced against each other.
//!
//! | file | idea |
//! |---|---|
//! | `config` | what to run; the JSON of it |
//! | `report` | what a round and a whole run say; the JSON of it |
//! | `fault` | how a load fails: loudly, with the seed and the command to repeat |
//! | `content` | what the words of a page say, so that a reader knows a lost copy when it sees one |
//! | `host` | what the host measures: a thread's CPU time, a bare `memcpy` of cold pages |
//! | `crew` | threads that start together, stop together, and cannot hang their caller |
//! | `gauge` | what one migrator measures about its calls |
//! | `planted` | faults planted on purpose, to see that they are found |
//! | `rig` | a load on a machine, round after round, whatever the release design |
//! | `storm` | migrators against mutators, every word checked |
//! | `replacement` | list policies on a program's accesses, in a memory too small for it |
//! | `tiering` | a real program's accesses over a fast and a slow node |
//! | `count` | the same loads, one operation after the other, for the counting build |
//! | `trace` | memory traces of real programs |
//!
//! Loads run on real threads, so the explored build has only `trace`.

#[cfg(not(feature = "explored"))]
mod native {
    pub use super::config::{Load, LoadConfig, NodeSpec, Planted};
    pub use super::content::{Layout, Seen, Stamp, Violation};
    pub use super::count::{PageOps, PutOps, count_ops, count_puts};
    pub use super::fault::{Failed, Finding, LoadError};
    pub use super::replacement::{Counts, Outcome, Replacement};
    pub use super::report::{Finished, Round};
    pub use super::rig::{Rig, open, open_with};
    pub use super::tiering::{Decision, Epoch, Policy, Trace};
}

#[cfg(not(feature = "explored"))]
mod config;
#[cfg(not(feature = "explored"))]
mod content;
#[cfg(not(feature = "explored"))]
mod count;
#[cfg(not(feature = "explored"))]
mod crew;
#[cfg(not(feature = "explored"))]
mod fault;
#[cfg(not(feature = "explored"))]
mod gauge;
#[cfg(not(feature = "explored"))]
#[allow(unsafe_code, reason = "the thread's clock and the bare memcpy")]
mod host;
#[cfg(not(feature = "explored"))]
mod planted;
mod poison;
#[cfg(not(feature = "explored"))]
mod replacement;
#[cfg(not(feature = "explored"))]
mod report;
#[cfg(not(feature = "explored"))]
mod rig;
#[cfg(not(feature = "explored"))]
mod storm;
#[cfg(not(feature = "explored"))]
mod tiering;
pub mod trace;

#[cfg(not(feature = "explored"))]
pub use native::*;
