//! Code that the benchmarks share: measurements beside the wall clock, and rounds over all pages of a
//! machine.

pub mod measures;
pub mod rounds;
