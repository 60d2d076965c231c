//! The result of a search, and its coverage.

use super::{Pairs, Schedule};
use crate::sync::explored::Violation;

/// The share of a program's behaviour that a search has covered. A search that stops at a limit does not
/// pass: only [`Coverage::Complete`] and [`Coverage::Bounded`] show that there is nothing to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All interleavings.
    Complete,
    /// All interleavings with at most `preemptions` preemptions.
    Bounded {
        /// The bound.
        preemptions: u32,
    },
    /// The requested number of schedules, drawn at random: not exhaustive.
    Sampled,
    /// Only a part of the wanted schedules; with the reason why the search stopped early.
    Incomplete(String),
}

impl Coverage {
    /// True if all schedules within the search's bound were covered.
    pub fn is_exhaustive(&self) -> bool {
        matches!(self, Coverage::Complete | Coverage::Bounded { .. })
    }
}

/// A schedule that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The rule, and the state that broke it.
    pub violation: Violation,
    /// The thread that executes each step.
    pub schedule: Schedule,
    /// The number of schedules that were run before it.
    pub index: u64,
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Schedules run.
    pub schedules: u64,
    /// Steps executed.
    pub steps: u64,
    /// The coverage of those schedules.
    pub coverage: Coverage,
    /// The first schedule that breaks a rule, if any. The search ended there.
    pub counterexample: Option<Counterexample>,
    /// The pairs of steps of those schedules, if they were gathered.
    pub pairs: Option<Pairs>,
}
