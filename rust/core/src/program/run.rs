//! Programs on real threads: one round, or round after round until a rule breaks.
//!
//! A round is the set-up in order, then all threads at the same time, then `finally`, then the
//! audit. If the core finds a broken rule, the run ends, because the state of the machine is
//! meaningless afterwards.

use super::crew::Crew;
use super::session::{Session, Step};
use super::setup::{Defaults, SetupError};
use super::watch::watched;
use super::{MachineSpec, NO_SITE, Op, Program, Refused};
use crate::error::Errno;
use crate::machine::Config;
use crate::release::Chosen;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use super::report::{NO_PROGRESS, Outcomes, Row, RunOptions, RunReport, StressReport};
pub use super::watch::Go;

/// Runs a program once, on the machine that it asks for, changed by `overrides`. Calls `ask`
/// regularly to learn whether to go on.
///
/// # Errors
/// If the program can never run, the machine cannot be made, or too many threads of this process
/// use machines.
pub fn run(
    program: &Program,
    overrides: &MachineSpec,
    options: &RunOptions,
    ask: &mut dyn FnMut() -> Go,
) -> Result<RunReport, SetupError> {
    let (config, cpus) = program.configured(overrides, &Defaults::RUN)?;
    let (program, options) = (Arc::new(program.clone()), *options);
    watched(ask, move |watch| {
        let mut crew = Crew::new(&program, &cpus, watch)?;
        let mut report = crew.round(session(&config, &program)?, 0, &options);
        let mut seen = Seen::new(&program);
        seen.add(&report);
        report.refused = seen.refused();
        Ok(report)
    })
}

/// Runs a program repeatedly, each time on a fresh machine, until a rule is broken, the rounds are
/// done, or the caller ends the run through `ask`, which is called regularly. At least one round is
/// run.
///
/// # Errors
/// As [`run`].
pub fn stress(
    program: &Program,
    overrides: &MachineSpec,
    options: &RunOptions,
    ask: &mut dyn FnMut() -> Go,
) -> Result<StressReport, SetupError> {
    let (config, cpus) = program.configured(overrides, &Defaults::RUN)?;
    let (program, options) = (Arc::new(program.clone()), *options);
    watched(ask, move |watch| {
        let mut seen = Seen::new(&program);
        let mut crew = Crew::new(&program, &cpus, watch)?;
        let (mut rounds, mut broken, mut interrupted) = (0, None, false);
        while broken.is_none() && !interrupted {
            let round = crew.round(session(&config, &program)?, rounds, &options);
            interrupted = round.interrupted;
            if !interrupted || !round.is_clean() {
                seen.add(&round);
                if !round.is_clean() {
                    broken = Some((rounds, round));
                }
                rounds += 1;
            }
            if rounds >= options.rounds || watch.should_finish() {
                break;
            }
        }
        interrupted |= watch.is_interrupted();
        let refused = seen.refused();
        Ok(StressReport { rounds, outcomes: seen.outcomes, broken, interrupted, refused })
    })
}

fn session(config: &Config, program: &Program) -> Result<Session<Chosen>, SetupError> {
    Session::for_program(config, program).map_err(|error| SetupError(error.why.to_string()))
}

/// The outcomes of a program's operations over all rounds.
struct Seen {
    ops: Vec<Op>,
    outcomes: Vec<Outcomes>,
    /// The errnos of the failures of each operation before its first effect, and the reason of the first
    /// failure.
    failed: Vec<Option<(BTreeSet<Errno>, String)>>,
    had_effect: Vec<bool>,
}

impl Seen {
    /// Makes the rows of a program's operations, without outcomes.
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
            had_effect: vec![false; count],
        }
    }

    /// Adds a round.
    fn add(&mut self, round: &RunReport) {
        // A round that ends early lacks rows at the end of a section.
        let mut rows = round.steps.iter().peekable();
        for (at, seen) in self.outcomes.iter_mut().enumerate() {
            let Some(row) = rows.next_if(|row| row.i == seen.i && row.section == seen.section) else {
                continue;
            };
            *seen.seen.entry(outcome(&row.step)).or_default() += 1;
            // The operation after a `fail` tells whether the fault has struck.
            if matches!(self.ops[at], Op::Fail { .. }) {
                continue;
            }
            if let Some(struck) = row.step.fault {
                self.had_effect[at - 1] |= struck > 0;
                self.failed[at - 1].get_or_insert_with(|| (BTreeSet::new(), NO_SITE.into()));
            }
            if self.had_effect[at] || row.step.did_anything(&self.ops[at]) {
                self.had_effect[at] = true;
                continue;
            }
            let (errnos, _) = self.failed[at].get_or_insert_with(|| (BTreeSet::new(), row.step.why()));
            errnos.extend(row.step.errnos());
        }
    }

    /// Returns the operations that were tried and never had an effect.
    fn refused(&self) -> Vec<Refused> {
        let all = self.outcomes.iter().zip(&self.ops).zip(self.failed.iter().zip(&self.had_effect));
        let never = all.filter_map(|((seen, op), (failed, had_effect))| {
            let (errnos, why) = failed.as_ref().filter(|_| !had_effect)?;
            Some(Refused::new((&seen.section, seen.i, op), errnos.iter().copied(), why.clone()))
        });
        never.collect()
    }
}

/// Returns the outcome of a step, in one word.
fn outcome(step: &Step) -> &'static str {
    match &step.problem {
        None => "ok",
        Some(problem) if problem.kind() != "failed" => problem.kind(),
        Some(problem) => problem.errno().name().unwrap_or("failed"),
    }
}
