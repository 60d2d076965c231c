//! Programs on real threads: one pass, or pass after pass until a rule breaks.
//!
//! A pass is the set-up in order, then all threads at once, then what comes after them, then the
//! audit. A rule that the core finds broken ends the run: what the machine looks like afterwards says
//! nothing.

use super::crew::Crew;
use super::session::{Session, Step};
use super::setup::{Defaults, SetupError};
use super::{MachineSpec, Program};
use crate::audit::Finding;
use crate::machine::Config;
use crate::release::Chosen;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// So long may no thread get anything done before those that are left are given up.
    pub patience: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions { patience: Duration::from_secs(10) }
    }
}

/// One operation and what it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `setup`, the thread's name, or `finally`.
    pub section: String,
    /// Its number within the section, from 0.
    pub i: usize,
    /// The line.
    pub op: String,
    /// What it did.
    #[serde(flatten)]
    pub step: Step,
}

/// What one pass has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// Every operation that ended, section by section.
    pub steps: Vec<Row>,
    /// Broken rules: of the steps, of the core, of the audit at the end.
    pub findings: Vec<Finding>,
    /// What the program still holds at the end.
    pub held: Vec<String>,
}

impl RunReport {
    /// Is no rule broken?
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// How often each outcome of one operation was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// `setup`, the thread's name, or `finally`.
    pub section: String,
    /// Its number within the section, from 0.
    pub i: usize,
    /// The line.
    pub op: String,
    /// `ok`, `misuse`, `unsupported` or an errno, and how often.
    pub seen: BTreeMap<&'static str, u64>,
}

/// What pass after pass has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StressReport {
    /// Passes over a fresh machine.
    pub rounds: u64,
    /// What the operations came to.
    pub outcomes: Vec<Outcomes>,
    /// The number of the round that broke a rule, from 0, and all of it.
    pub broken: Option<(u64, RunReport)>,
}

/// A rule that a run itself watches.
pub const NO_PROGRESS: &str = "no thread waits for ever";

/// Runs a program once, on the machine that it asks for, changed as `by` says.
pub fn run(program: &Program, by: &MachineSpec, options: &RunOptions) -> Result<RunReport, SetupError> {
    let (config, cpus) = program.configured(by, &Defaults::RUN)?;
    let mut crew = Crew::new(program, &cpus)?;
    Ok(crew.round(session(&config)?, 0, options))
}

/// Runs a program again and again, each time on a fresh machine, as long as `go_on` says so (it is
/// asked before each round) and no rule is broken.
pub fn stress(
    program: &Program,
    by: &MachineSpec,
    options: &RunOptions,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<StressReport, SetupError> {
    let (config, cpus) = program.configured(by, &Defaults::RUN)?;
    let mut report = StressReport { rounds: 0, outcomes: outcomes(program), broken: None };
    let mut crew = Crew::new(program, &cpus)?;
    while report.broken.is_none() && go_on() {
        let round = crew.round(session(&config)?, report.rounds, options);
        // A round that ends early lacks rows at the end, or at the end of a thread.
        let mut rows = round.steps.iter().peekable();
        for seen in &mut report.outcomes {
            if rows.peek().is_some_and(|row| row.i == seen.i && row.section == seen.section) {
                let step = rows.next().map_or("", |row| outcome(&row.step));
                *seen.seen.entry(step).or_default() += 1;
            }
        }
        if !round.is_clean() {
            report.broken = Some((report.rounds, round));
        }
        report.rounds += 1;
    }
    Ok(report)
}

fn session(config: &Config) -> Result<Session<Chosen>, SetupError> {
    Session::new(config).map_err(|error| SetupError(error.why.to_string()))
}

/// A row for each operation, with nothing seen.
fn outcomes(program: &Program) -> Vec<Outcomes> {
    let threads = program.threads.iter().map(|thread| (thread.name.as_str(), &thread.ops));
    let sections = [("setup", &program.setup)].into_iter().chain(threads);
    let sections = sections.chain([("finally", &program.finally)]);
    let rows = sections.flat_map(|(section, ops)| {
        ops.iter().enumerate().map(move |(i, op)| Outcomes {
            section: section.to_owned(),
            i,
            op: op.to_string(),
            seen: BTreeMap::new(),
        })
    });
    rows.collect()
}

/// What a step came to, in a word.
fn outcome(step: &Step) -> &'static str {
    match &step.problem {
        None => "ok",
        Some(problem) if problem.kind() != "failed" => problem.kind(),
        Some(problem) => problem.errno().name().unwrap_or("failed"),
    }
}
