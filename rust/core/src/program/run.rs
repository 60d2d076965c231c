//! Programs on real threads: one pass, or pass after pass until a rule breaks.
//!
//! A pass is the set-up in order, then all threads at once, then what comes after them, then the
//! audit. A rule that the core finds broken ends the run: what the machine looks like afterwards says
//! nothing.

use super::crew::Crew;
use super::session::{Session, Step};
use super::setup::{Defaults, SetupError};
use super::watch::watched;
use super::{MachineSpec, Op, Program, Refused};
use crate::audit::Finding;
use crate::error::Errno;
use crate::machine::Config;
use crate::release::Chosen;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use super::watch::Go;

/// How a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// So long may no thread get anything done before those that are left are given up.
    pub patience: Duration,
    /// Passes of a stress run, at most.
    pub rounds: u64,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions { patience: Duration::from_secs(10), rounds: u64::MAX }
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
    /// The caller stopped it before its end.
    pub interrupted: bool,
    /// Operations that did nothing of what they say.
    pub refused: Vec<Refused>,
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
    /// The caller stopped it; the round that it stopped in is not counted.
    pub interrupted: bool,
    /// Operations that did nothing of what they say, in any round.
    pub refused: Vec<Refused>,
}

/// A rule that a run itself watches.
pub const NO_PROGRESS: &str = "no thread waits for ever";

/// Runs a program once, on the machine that it asks for, changed as `by` says. The caller is asked now and then whether
/// to go on.
///
/// # Errors
/// If the program can never be run, the machine cannot be had, or too many threads of this process use machines.
pub fn run(
    program: &Program,
    by: &MachineSpec,
    options: &RunOptions,
    ask: &mut dyn FnMut() -> Go,
) -> Result<RunReport, SetupError> {
    let (config, cpus) = program.configured(by, &Defaults::RUN)?;
    let (program, options) = (Arc::new(program.clone()), *options);
    watched(ask, move |watch| {
        let mut crew = Crew::new(&program, &cpus, watch)?;
        let mut report = crew.round(session(&config)?, 0, &options);
        let mut seen = Seen::new(&program);
        seen.add(&report);
        report.refused = seen.refused();
        Ok(report)
    })
}

/// Runs a program again and again, each time on a fresh machine, until a rule is broken, the rounds are done, or the
/// caller, who is asked now and then, says so. There is one round at least.
///
/// # Errors
/// As [`run`].
pub fn stress(
    program: &Program,
    by: &MachineSpec,
    options: &RunOptions,
    ask: &mut dyn FnMut() -> Go,
) -> Result<StressReport, SetupError> {
    let (config, cpus) = program.configured(by, &Defaults::RUN)?;
    let (program, options) = (Arc::new(program.clone()), *options);
    watched(ask, move |watch| {
        let mut seen = Seen::new(&program);
        let mut crew = Crew::new(&program, &cpus, watch)?;
        let (mut rounds, mut broken, mut interrupted) = (0, None, false);
        while broken.is_none() && !interrupted {
            let round = crew.round(session(&config)?, rounds, &options);
            interrupted = round.interrupted;
            if !interrupted || !round.is_clean() {
                seen.add(&round);
                if !round.is_clean() {
                    broken = Some((rounds, round));
                }
                rounds += 1;
            }
            if rounds >= options.rounds || watch.finishes() {
                break;
            }
        }
        interrupted |= watch.is_interrupted();
        let refused = seen.refused();
        Ok(StressReport { rounds, outcomes: seen.outcomes, broken, interrupted, refused })
    })
}

fn session(config: &Config) -> Result<Session<Chosen>, SetupError> {
    Session::new(config).map_err(|error| SetupError(error.why.to_string()))
}

/// What the operations of a program came to, round after round.
struct Seen {
    ops: Vec<Op>,
    outcomes: Vec<Outcomes>,
    /// Of an operation that never did anything: how it failed, and why at first.
    failed: Vec<Option<(BTreeSet<Errno>, String)>>,
    did: Vec<bool>,
}

impl Seen {
    /// A row for each operation, with nothing seen.
    fn new(program: &Program) -> Seen {
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
        let outcomes: Vec<Outcomes> = rows.collect();
        let count = outcomes.len();
        Seen {
            ops: program.ops().cloned().collect(),
            outcomes,
            failed: vec![None; count],
            did: vec![false; count],
        }
    }

    /// Adds a round.
    fn add(&mut self, round: &RunReport) {
        // A round that ends early lacks rows at the end, or at the end of a thread.
        let mut rows = round.steps.iter().peekable();
        for (at, seen) in self.outcomes.iter_mut().enumerate() {
            let Some(row) = rows.next_if(|row| row.i == seen.i && row.section == seen.section) else {
                continue;
            };
            *seen.seen.entry(outcome(&row.step)).or_default() += 1;
            if self.did[at] || row.step.did_anything(&self.ops[at]) {
                self.did[at] = true;
                continue;
            }
            let (errnos, _) = self.failed[at].get_or_insert_with(|| (BTreeSet::new(), row.step.why()));
            errnos.extend(row.step.errnos());
        }
    }

    /// The operations that were tried and never did anything.
    fn refused(&self) -> Vec<Refused> {
        let all = self.outcomes.iter().zip(&self.ops).zip(self.failed.iter().zip(&self.did));
        let never = all.filter_map(|((seen, op), (failed, did))| {
            let (errnos, why) = failed.as_ref().filter(|_| !did)?;
            Some(Refused::new((&seen.section, seen.i, op), errnos.iter().copied(), why.clone()))
        });
        never.collect()
    }
}

/// What a step came to, in a word.
fn outcome(step: &Step) -> &'static str {
    match &step.problem {
        None => "ok",
        Some(problem) if problem.kind() != "failed" => problem.kind(),
        Some(problem) => problem.errno().name().unwrap_or("failed"),
    }
}
