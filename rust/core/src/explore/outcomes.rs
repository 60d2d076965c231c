//! All outcomes of a program: the distinct results of its schedules.
//!
//! [`explore_program`](super::explore_program) ends at the first broken rule. This search goes on and
//! counts a broken rule as one of the outcomes. With an exhaustive search the list is complete within
//! the bound: each schedule that the reduction omits has the outcome of a schedule that is run.

use super::program::{ProgramOptions, Search, describe_coverage, on_separate_thread, refused, with_machine};
use super::program_world::{EndStates, ProgramWorld, WorldError};
use super::sample::{Sampler, length};
use super::smaller::Case;
use super::tally::Tally;
use super::{Coverage, Explorer, Run, Schedule, Violation};
use crate::program::{Program, Refused, SetupError};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::ops::ControlFlow::{Break, Continue};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The outcomes of a program's schedules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcomes {
    /// The version of this object's form.
    pub schema: u32,
    /// The program, with the machine that it was explored on.
    pub program: String,
    /// Schedules run.
    pub schedules: u64,
    /// Steps executed.
    pub steps: u64,
    /// `complete`, `bounded`, `sampled` or `incomplete`.
    pub coverage: &'static str,
    /// The bound on preemptions, or why the search stopped early.
    pub covered: String,
    /// Operations that had no effect in any schedule.
    pub refused: Vec<Refused>,
    /// The outcomes, in the order in which they were found.
    pub outcomes: Vec<Outcome>,
}

/// One outcome, and the first schedule that leads to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The results of the operations (`ops`, by thread) and the visible end state (`end`); `None`
    /// if a rule broke.
    pub state: Option<Value>,
    /// The rule that broke; `None` if none did.
    pub rule: Option<String>,
    /// The detail of the broken rule, in the first schedule with this outcome.
    pub detail: Option<String>,
    /// The first schedule with this outcome: the thread that executes each step.
    pub schedule: String,
    /// The number of executed schedules with this outcome.
    pub times: u64,
}

/// Gathers the outcomes of a program until the search is over or `stop` is set.
///
/// # Errors
/// If the program cannot be set up on its machine, or its set-up breaks a rule.
pub fn outcomes_of(
    program: &Program,
    options: &ProgramOptions,
    stop: &AtomicBool,
) -> Result<Outcomes, SetupError> {
    let program = with_machine(program, &options.machine);
    on_separate_thread(options.mutation, || {
        let case = Case::new(&program)?;
        gather(&case, options, stop)
    })
}

fn gather(case: &Case, options: &ProgramOptions, stop: &AtomicBool) -> Result<Outcomes, SetupError> {
    let world = match ProgramWorld::new(&case.program, &case.config, &case.cpus) {
        Ok(world) => world,
        Err(WorldError::Refused(why)) => return Err(SetupError(why)),
        Err(WorldError::Broken(violation)) => {
            return Err(SetupError(format!("the set-up breaks a rule: {violation}")));
        }
    };
    let end_states = EndStates::default();
    let tally = Arc::new(Tally::new(&case.program, false));
    let world = world.with_outcomes(Rc::clone(&end_states)).with_tally(&tally);
    let mut explorer = Explorer::with_options(world, options.options);
    let mut collector = Collector { end_states, places: HashMap::new(), outcomes: Vec::new() };
    // Relaxed: the flag only asks the search to stop; it publishes no data.
    let stopped = || stop.load(Ordering::Relaxed);
    let mut early = false;
    let (mut schedules, mut steps) = (0, 0);
    let coverage = match options.search {
        Search::Exhaustive(exhaustive) => {
            let report = exhaustive.visit(&mut explorer, |seen, _| {
                collector.add(seen.run, || Schedule::new(seen.threads.iter().copied()));
                early = stopped();
                if early { Break(()) } else { Continue(()) }
            });
            (schedules, steps) = (report.schedules, report.steps);
            report.coverage
        }
        Search::Sample(sampling) => {
            let length = length(&mut explorer);
            while schedules < sampling.schedules && !early {
                let run = explorer.run(&mut Sampler::new(&sampling, schedules, length));
                schedules += 1;
                steps += u64::from(run.steps);
                collector.add(&run, || explorer.executed());
                early = stopped();
            }
            Coverage::Sampled
        }
    };
    let coverage = match early {
        true => Coverage::Incomplete(format!("stopped after {schedules} schedules")),
        false => coverage,
    };
    let (coverage, covered) = describe_coverage(&coverage);
    let program = case.program.to_string();
    let refused = refused(case, options.options, &tally);
    let outcomes = collector.outcomes;
    Ok(Outcomes { schema: 1, program, schedules, steps, coverage, covered, refused, outcomes })
}

/// Collects the distinct outcomes.
struct Collector {
    end_states: EndStates,
    /// The index of each outcome in the list, by the fingerprint of the end state or by the rule that
    /// broke.
    places: HashMap<Result<u64, &'static str>, usize>,
    outcomes: Vec<Outcome>,
}

impl Collector {
    fn add(&mut self, run: &Run, schedule: impl FnOnce() -> Schedule) {
        let key = match &run.outcome {
            Ok(fingerprint) => Ok(*fingerprint),
            Err(Violation { rule, .. }) => Err(*rule),
        };
        let place = *self.places.entry(key).or_insert_with(|| {
            let violation = run.outcome.as_ref().err();
            self.outcomes.push(Outcome {
                state: key.ok().and_then(|fingerprint| self.end_states.borrow().get(&fingerprint).cloned()),
                rule: violation.map(|violation| violation.rule.to_owned()),
                detail: violation.map(|violation| violation.detail.clone()),
                schedule: schedule().to_string(),
                times: 0,
            });
            self.outcomes.len() - 1
        });
        self.outcomes[place].times += 1;
    }
}
