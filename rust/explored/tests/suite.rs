//! The integration tests of the explored core, as one program (`rust/core/tests/suite.rs` says why).

mod address_space;
mod answers;
mod endings;
mod equal;
mod files;
mod large;
mod mutations;
mod outcomes;
mod pairs;
mod pins;
mod pressure;
mod programs;
mod progress;
mod results;
mod serial;
mod shrinking;
mod small;
mod swap;
mod texts;
mod tso;
mod verdicts;
mod windows;
mod zsmalloc;
