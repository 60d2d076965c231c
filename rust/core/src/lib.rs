//! The life of a Linux memory page, as a library: see `docs/design.md`.

#![deny(unsafe_code)]

pub mod alloc;
pub mod audit;
pub mod calls;
pub mod error;
#[cfg(feature = "explored")]
pub mod explore;
pub mod failure;
pub mod handle;
pub mod inject;
// Loads run on real threads: neither the explorer nor the weak-memory models have any. Each build leaves out
// what it never runs, because everything here is compiled once for each release design.
#[cfg(not(any(loom, feature = "explored")))]
pub mod load;
pub mod lru;
pub mod machine;
pub mod map;
#[allow(unsafe_code, reason = "reserves memory and copies pages; every block carries its proof")]
pub mod memory;
pub mod migrate;
pub mod movable;
pub mod owner;
pub mod page;
pub mod profile;
// Operations are counted under loads.
#[cfg(not(feature = "counted"))]
pub mod program;
pub mod release;
pub mod rng;
pub mod stat;
pub mod states;
pub mod sync;
pub mod vmstat;
