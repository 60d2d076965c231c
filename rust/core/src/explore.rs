//! The explorer: interleavings as data, searched, replayed and shrunk.
//!
//! | file | idea |
//! |---|---|
//! | `world` | what is explored, and one schedule of it |
//! | `endings` | end states that were checked before |
//! | `schedule` | an interleaving as a list of thread numbers, and its text |
//! | `crate::rng` | the generator that decides schedules |
//! | `sample` | random walks and PCT |
//! | `exhaust`, `reduce` | everything within a bound on preemptions, and what may be left out |
//! | `jobs` | samples on several OS threads, with the outcome of one |
//! | `shrink` | smaller schedules and smaller programs with the same violation |
//! | `minimum` | the smallest race, by exhaustive search |
//! | `trace`, `functions` | what a schedule did, step by step, in which functions, and its hash |
//! | `report` | what a search found, and what it covered |
//! | `program`, `program_world` | programs explored: from a text to a result |
//! | `outcomes` | everything that a program can come to |
//! | `request` | what a caller outside of Rust asks for |
//! | `smaller` | what can be taken away from a program |
//! | `tally` | operations that no schedule could do |
//!
//! The order from below: a [`World`] is run under a [`Strategy`](crate::sync::explored::Strategy)
//! by an [`Explorer`]; the searches are strategies and the loops around them.

mod endings;
mod exhaust;
mod functions;
mod jobs;
mod minimum;
mod outcomes;
mod program;
mod program_world;
mod reduce;
mod report;
mod request;
mod sample;
mod schedule;
mod shrink;
mod smaller;
mod tally;
mod trace;
mod world;

pub use crate::rng::Rng;
pub use crate::sync::explored::{Digest, Kind, Options, THREADS, Violation, on_host, operation, rule};
pub use exhaust::{Exhaustive, Seen};
pub use jobs::explore;
pub use minimum::{Minimum, minimum};
pub use outcomes::{Outcome, Outcomes, outcomes_of};
pub use program::{
    Found, ProgramOptions, ProgramReport, Replayed, Search, TraceRow, explore_program, replay_program,
    shrink_counterexample,
};
pub use program_world::{ProgramWorld, Unset};
pub use report::{Counterexample, Coverage, Report};
pub use request::Request;
pub use sample::{Method, Sampling};
pub use schedule::{Schedule, ScheduleError};
pub use shrink::{Adapt, Budget, Executed, Shrinkable, Shrunk, ShrunkProgram, same_steps, shrink_program};
pub use trace::{Row, Trace};
pub use world::{Explorer, Run, World};
