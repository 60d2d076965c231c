//! The loads: what drives a machine when designs are raced against each other.

pub mod trace;
