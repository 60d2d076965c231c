//! The options and the results of a run on real threads.

use super::Refused;
use super::session::Step;
use crate::audit::Finding;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The options of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// The time without the end of an operation after which the remaining threads are stopped.
    pub patience: Duration,
    /// The most rounds of a stress run.
    pub rounds: u64,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions { patience: Duration::from_secs(10), rounds: u64::MAX }
    }
}

/// An operation and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `setup`, the thread's name, or `finally`.
    pub section: String,
    /// The number of the operation within the section, from 0.
    pub i: usize,
    /// The operation's line.
    pub op: String,
    /// The result of the operation.
    #[serde(flatten)]
    pub step: Step,
}

/// The result of one round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// Every operation that ended, section by section.
    pub steps: Vec<Row>,
    /// Broken rules: of the steps, of the core, of the audit at the end.
    pub findings: Vec<Finding>,
    /// The handles that the program still holds at the end.
    pub held: Vec<String>,
    /// True if the caller stopped the round before its end.
    pub interrupted: bool,
    /// Operations that had no effect.
    pub refused: Vec<Refused>,
}

impl RunReport {
    /// Returns true if no rule is broken.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// The outcomes of one operation, each with its number of times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// `setup`, the thread's name, or `finally`.
    pub section: String,
    /// The number of the operation within the section, from 0.
    pub i: usize,
    /// The operation's line.
    pub op: String,
    /// `ok`, `misuse`, `unsupported` or an errno, each with its number of times.
    pub seen: BTreeMap<&'static str, u64>,
}

/// The result of many rounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StressReport {
    /// The number of rounds, each on a fresh machine.
    pub rounds: u64,
    /// The outcomes of the operations.
    pub outcomes: Vec<Outcomes>,
    /// The number of the round that broke a rule, from 0, and its report.
    pub broken: Option<(u64, RunReport)>,
    /// True if the caller stopped the run. The stopped round is not counted.
    pub interrupted: bool,
    /// Operations that had no effect in any round.
    pub refused: Vec<Refused>,
}

/// The rule that every thread makes progress.
pub const NO_PROGRESS: &str = "no thread waits for ever";
