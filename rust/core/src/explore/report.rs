//! What a search found, and what it covered.

use super::Schedule;
use crate::sync::explored::Violation;

/// How much of a program's behaviour a search has seen. A limit reached is never a pass: only
/// [`Coverage::Complete`] and [`Coverage::Bounded`] say that there is nothing to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Every interleaving.
    Complete,
    /// Every interleaving with at most so many preemptions.
    Bounded {
        /// The bound.
        preemptions: u32,
    },
    /// The schedules that were asked for, drawn at random: not exhaustive.
    Sampled,
    /// The search stopped early, and why.
    Incomplete(String),
}

impl Coverage {
    /// Was everything within the search's bound covered?
    pub fn is_exhaustive(&self) -> bool {
        matches!(self, Coverage::Complete | Coverage::Bounded { .. })
    }
}

/// A schedule that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The rule, and what was found.
    pub violation: Violation,
    /// Who executed each step.
    pub schedule: Schedule,
    /// How many schedules were run before it.
    pub index: u64,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Schedules run.
    pub schedules: u64,
    /// Steps executed.
    pub steps: u64,
    /// What they covered.
    pub coverage: Coverage,
    /// The first schedule, if any, that breaks a rule. The search ended there.
    pub counterexample: Option<Counterexample>,
}
