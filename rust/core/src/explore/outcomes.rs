//! Everything that a program can come to: the outcomes of its schedules, told apart.
//!
//! Where [`explore_program`](super::explore_program) ends at the first broken rule, this goes on: a broken
//! rule is one of the outcomes. With a search that is exhaustive the list is complete within the bound:
//! the reduction leaves out only schedules that end like one of those that are run.

use super::program::{ProgramOptions, Search, on, on_own_thread, refused, told};
use super::program_world::{ProgramWorld, Unset};
use super::sample::{Sampler, length};
use super::smaller::Case;
use super::tally::Tally;
use super::{Coverage, Explorer, Run, Schedule, Violation};
use crate::program::{Program, Refused, SetupError};
use serde::Serialize;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow::{Break, Continue};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the schedules of a program come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcomes {
    /// The form of this object.
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
    /// Operations that did nothing of what they say, in any schedule.
    pub refused: Vec<Refused>,
    /// The outcomes, in the order in which they were met.
    pub outcomes: Vec<Outcome>,
}

/// One outcome, and the first schedule that leads there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// What the operations came to (`ops`, by thread) and what can be seen at the end (`end`); `None` if a rule broke.
    pub state: Option<Value>,
    /// The rule that broke.
    pub rule: Option<String>,
    /// What was found.
    pub detail: Option<String>,
    /// Who executes each step.
    pub schedule: String,
    /// In how many of the schedules that were run.
    pub times: u64,
}

/// Where a world keeps the outcomes of its schedules, by fingerprint.
pub(super) type Kept = Rc<RefCell<HashMap<u64, Value>>>;

/// Gathers the outcomes of a program until the search is over or `stop` is set.
///
/// # Errors
/// If the program cannot be set up on its machine, or its set-up breaks a rule.
pub fn outcomes_of(
    program: &Program,
    options: &ProgramOptions,
    stop: &AtomicBool,
) -> Result<Outcomes, SetupError> {
    let program = on(program, &options.machine);
    on_own_thread(options.mutation, || {
        let case = Case::new(&program)?;
        gather(&case, options, stop)
    })
}

fn gather(case: &Case, options: &ProgramOptions, stop: &AtomicBool) -> Result<Outcomes, SetupError> {
    let world = match ProgramWorld::new(&case.program, &case.config, &case.cpus) {
        Ok(world) => world,
        Err(Unset::Refused(why)) => return Err(SetupError(why)),
        Err(Unset::Broken(violation)) => {
            return Err(SetupError(format!("the set-up breaks a rule: {violation}")));
        }
    };
    let kept = Kept::default();
    let tally = Arc::new(Tally::new(&case.program, false));
    let world = world.with_outcomes(Rc::clone(&kept)).with_tally(&tally);
    let mut explorer = Explorer::with_options(world, options.options);
    let mut met = Met { kept, places: HashMap::new(), outcomes: Vec::new() };
    // Relaxed: a request that orders nothing.
    let stopped = || stop.load(Ordering::Relaxed);
    let mut early = false;
    let (mut schedules, mut steps) = (0, 0);
    let coverage = match options.search {
        Search::Exhaustive(exhaustive) => {
            let report = exhaustive.visit(&mut explorer, |seen, _| {
                met.add(seen.run, || Schedule::new(seen.threads.iter().copied()));
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
                met.add(&run, || explorer.executed());
                early = stopped();
            }
            Coverage::Sampled
        }
    };
    let coverage = match early {
        true => Coverage::Incomplete(format!("stopped after {schedules} schedules")),
        false => coverage,
    };
    let (coverage, covered) = told(&coverage);
    let program = case.program.to_string();
    let refused = refused(case, options.options, &tally);
    Ok(Outcomes { schema: 1, program, schedules, steps, coverage, covered, refused, outcomes: met.outcomes })
}

/// The outcomes so far.
struct Met {
    kept: Kept,
    /// Where each is in the list: by fingerprint, or by the rule that broke.
    places: HashMap<Result<u64, &'static str>, usize>,
    outcomes: Vec<Outcome>,
}

impl Met {
    fn add(&mut self, run: &Run, schedule: impl FnOnce() -> Schedule) {
        let key = match &run.outcome {
            Ok(fingerprint) => Ok(*fingerprint),
            Err(Violation { rule, .. }) => Err(*rule),
        };
        let place = *self.places.entry(key).or_insert_with(|| {
            let violation = run.outcome.as_ref().err();
            self.outcomes.push(Outcome {
                state: key.ok().and_then(|fingerprint| self.kept.borrow().get(&fingerprint).cloned()),
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
