//! The life of a Linux memory page, as a library: see `docs/design.md`.

#![deny(unsafe_code)]

pub mod alloc;
pub mod audit;
pub mod calls;
pub mod error;
#[cfg(feature = "explored")]
pub mod explore;
pub mod handle;
// Loads run on real threads; weak-memory models have none.
#[cfg(not(loom))]
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
pub mod program;
pub mod release;
pub mod rng;
pub mod stat;
pub mod states;
pub mod sync;
pub mod vmstat;
