//! The life of a Linux memory page, as a library: see `docs/design.md`.

#![deny(unsafe_code)]

pub mod load;
pub mod program;
pub mod sync;
