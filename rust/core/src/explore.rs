//! The explorer: interleavings as data, searched, replayed and shrunk.
//!
//! | file | idea |
//! |---|---|
//! | `world` | the thing that is explored, and one schedule of it |
//! | `explorer` | runs schedules of one world |
//! | `endings` | end states that were checked before |
//! | `schedule` | an interleaving as a list of thread numbers, and its text |
//! | `crate::rng` | the generator that decides schedules |
//! | `sample` | random walks and PCT |
//! | `exhaust`, `node`, `reduce` | all schedules within a bound on preemptions; a step of the path; the reduction |
//! | `jobs` | samples on several OS threads, with a result that does not depend on their number |
//! | `shrink` | smaller schedules and smaller programs with the same violation |
//! | `minimum` | the smallest race, by exhaustive search |
//! | `trace`, `functions` | the steps of a schedule with their functions, and their hash |
//! | `report` | the result and the coverage of a search |
//! | `program`, `program_world` | exploring programs: from a text to a result |
//! | `outcomes` | all outcomes of a program's schedules |
//! | `serial` | the order of operations that explains a schedule's answers and end |
//! | `request` | a request from a caller outside of Rust |
//! | `smaller` | the programs that are smaller than a program by one change |
//! | `owners` | owners of movable pages that a caller brings along |
//! | `pairs`, `kind` | which pairs of steps and which lines a search has interleaved; the kinds of words |
//! | `tally` | the operations that had no effect in any schedule |
//! | `reckoned` | compares a machine's counters with those of the reckoner (`crate::page::reckon`) |
//!
//! From the bottom up: an [`Explorer`] runs a [`World`] under a
//! [`Strategy`](crate::sync::explored::Strategy); the searches are strategies and loops around
//! them.

mod endings;
mod exhaust;
mod explorer;
mod functions;
mod jobs;
mod kind;
mod minimum;
mod node;
mod outcomes;
mod owners;
mod pairs;
mod program;
mod program_world;
mod reckoned;
mod reduce;
mod report;
mod request;
mod sample;
mod schedule;
mod serial;
mod shrink;
mod smaller;
mod tally;
mod trace;
mod world;

pub use crate::rng::Rng;
pub use crate::sync::explored::{
    Checks, Digest, FIRST_BUFFER, Kind, Options, THREADS, Violation, on_host, operation, rule,
};
pub use exhaust::{Exhaustive, Seen};
pub use explorer::Explorer;
pub use jobs::{MAX_JOBS, explore};
pub use minimum::{Minimum, minimum};
pub use outcomes::{Outcome, Outcomes, outcomes_of};
pub use owners::{Answer, Callbacks, Owners, Question, RAISES, bring_owners};
pub use pairs::{Line, Pair, Pairs};
pub use program::{
    Found, ProgramOptions, ProgramReport, Replayed, SCHEDULES, SHRINK, Search, TraceRow, explore_program,
    replay_program, shrink_counterexample,
};
pub use program_world::{ProgramWorld, WorldError};
pub use report::{Counterexample, Coverage, Report};
pub use request::Request;
pub use sample::{Method, Sampling};
pub use schedule::{MAX_STEPS, Schedule, ScheduleError};
pub use shrink::{Adapt, Budget, Executed, Shrinkable, Shrunk, ShrunkProgram, same_steps, shrink_program};
pub use trace::{Row, Trace};
pub use world::{Run, World};
