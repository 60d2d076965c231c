//! How a program is run on real threads, and what was seen of it.

use super::Refused;
use super::session::Step;
use crate::audit::Finding;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The options of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// How long no operation may end before the remaining threads are stopped.
    pub patience: Duration,
    /// The most rounds of a stress run.
    pub rounds: u64,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions { patience: Duration::from_secs(10), rounds: u64::MAX }
    }
}

/// One operation and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `setup`, the thread's name, or `finally`.
    pub section: String,
    /// Its number within the section, from 0.
    pub i: usize,
    /// The operation's line.
    pub op: String,
    /// Its result.
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
    /// Whether the caller stopped it before its end.
    pub interrupted: bool,
    /// Operations that had no effect.
    pub refused: Vec<Refused>,
}

impl RunReport {
    /// Whether no rule is broken.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// How often one operation had each outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// `setup`, the thread's name, or `finally`.
    pub section: String,
    /// Its number within the section, from 0.
    pub i: usize,
    /// The operation's line.
    pub op: String,
    /// `ok`, `misuse`, `unsupported` or an errno, each with its number of times.
    pub seen: BTreeMap<&'static str, u64>,
}

/// The result of many rounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StressReport {
    /// The rounds, each on a fresh machine.
    pub rounds: u64,
    /// The outcomes of the operations.
    pub outcomes: Vec<Outcomes>,
    /// The number of the round that broke a rule, from 0, and its report.
    pub broken: Option<(u64, RunReport)>,
    /// Whether the caller stopped it; the round that was stopped is not counted.
    pub interrupted: bool,
    /// Operations that had no effect in any round.
    pub refused: Vec<Refused>,
}

/// The rule that every thread makes progress.
pub const NO_PROGRESS: &str = "no thread waits for ever";
