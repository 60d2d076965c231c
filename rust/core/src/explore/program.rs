//! Exploring programs: from a text and a few choices to a result that can be printed, kept and
//! replayed.

use super::jobs::working;
use super::program_world::{ProgramWorld, Unset};
use super::smaller::Case;
use super::tally::Tally;
use super::{
    Budget, Counterexample, Coverage, Exhaustive, Explorer, Kind, Method, Options, Report, Sampling,
    Schedule, Shrunk, Trace, Violation, explore,
};
use crate::map::Pte;
use crate::page::Word;
use crate::program::{MachineSpec, Program, Refused, SetupError};
use crate::sync::{Mutation, enforce};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How the schedules are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// At random.
    Sample(Sampling),
    /// All within a bound.
    Exhaustive(Exhaustive),
}

/// How a program is explored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramOptions {
    /// What to change of the machine that the program asks for.
    pub machine: MachineSpec,
    /// Which schedules.
    pub search: Search,
    /// How each is run.
    pub options: Options,
    /// OS threads that a sample is spread over; the result does not depend on it.
    pub jobs: usize,
    /// The defect that the core is to have.
    pub mutation: Option<Mutation>,
    /// Schedules that may be run to make a counterexample smaller; 0 leaves it as it was found.
    pub shrink: u32,
}

impl Default for ProgramOptions {
    /// 20,000 schedules of the portfolio.
    fn default() -> Self {
        ProgramOptions {
            machine: MachineSpec::default(),
            search: Search::Sample(Sampling { method: Method::Portfolio, schedules: 20_000, seed: 0 }),
            options: Options::default(),
            jobs: 1,
            mutation: None,
            shrink: 2_500,
        }
    }
}

impl ProgramOptions {
    /// OS threads that have something to do.
    pub fn working(&self) -> usize {
        match self.search {
            Search::Sample(sampling) => working(&sampling, self.jobs) as usize,
            Search::Exhaustive(_) => 1,
        }
    }
}

/// What an exploration of a program found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramReport {
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
    /// Operations that did nothing of what they say, in any schedule. Not told beside a counterexample, where the
    /// search ended.
    pub refused: Vec<Refused>,
    /// The first schedule that breaks a rule, if any.
    pub counterexample: Option<Found>,
}

/// A program and a schedule that break a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The rule.
    pub rule: String,
    /// What was found.
    pub detail: String,
    /// The program, as small as it would get.
    pub program: String,
    /// Who executes each step.
    pub schedule: String,
    /// How many schedules were run before it was found.
    pub index: u64,
    /// Schedules run to make it smaller.
    pub shrink_runs: u32,
    /// It was made smaller until nothing more could go; not until those schedules were used up, or it was stopped.
    pub minimal: bool,
    /// Switches away from a thread that could have gone on.
    pub preemptions: u32,
    /// Changes of the thread.
    pub switches: u32,
    /// What happened, step by step. The last step breaks the rule, unless `at_end`.
    pub trace: Vec<TraceRow>,
    /// All threads had ended: the audit found it.
    pub at_end: bool,
}

/// One step of a counterexample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceRow {
    /// The thread's number.
    pub thread: u8,
    /// Its name.
    pub name: String,
    /// The operation's number in its thread.
    pub i: u32,
    /// The operation.
    pub op: String,
    /// The step.
    pub kind: &'static str,
    /// What it touched.
    pub object: String,
    /// The word before the step.
    pub before: String,
    /// The word after it.
    pub after: String,
    /// The function of the core that took the step.
    pub function: &'static str,
    /// Its line.
    pub place: String,
}

/// Explores a program until a rule breaks, the search is over, or `stop` is set.
///
/// The OS threads that run the schedules are its own.
pub fn explore_program(
    program: &Program,
    options: &ProgramOptions,
    stop: &AtomicBool,
) -> Result<ProgramReport, SetupError> {
    let program = on(program, &options.machine);
    on_own_thread(options.mutation, || {
        let case = Case::new(&program)?;
        let tally = Arc::new(Tally::new(&program, false));
        let report = match search(&case, options, &tally, stop)? {
            Ok(report) => report,
            Err(violation) => return Ok(of_set_up(&program, violation)),
        };
        let (coverage, covered) = told(&report.coverage);
        let refused = match report.counterexample {
            None => refused(&case, options.options, &tally),
            Some(_) => Vec::new(),
        };
        let counterexample = match report.counterexample {
            None => None,
            Some(found) => Some(counterexample(case, found, options, stop)?),
        };
        Ok(ProgramReport {
            schema: 1,
            program: program.to_string(),
            schedules: report.schedules,
            steps: report.steps,
            coverage,
            covered,
            refused,
            counterexample,
        })
    })
}

/// The operations that no schedule could do: in what words, the default schedule says.
pub(super) fn refused(case: &Case, options: Options, tally: &Tally) -> Vec<Refused> {
    if !tally.has_refused() {
        return Vec::new();
    }
    let why = Arc::new(Tally::new(&case.program, true));
    if let Some(world) = case.world() {
        Explorer::with_options(world.with_tally(&why), options).replay(&Schedule::default());
    }
    tally.refused(&case.program, &why)
}

/// Runs one schedule of a program and tells what happened: the counterexample that it is, or `None` and
/// the trace.
pub fn replay_program(
    program: &Program,
    machine: &MachineSpec,
    schedule: &Schedule,
    options: Options,
    mutation: Option<Mutation>,
) -> Result<Replayed, SetupError> {
    let program = on(program, machine);
    on_own_thread(mutation, || {
        let case = Case::new(&program)?;
        let (trace, at_end) = trace(&case, schedule, options)?;
        let violation = trace.outcome.as_ref().err().cloned();
        Ok(Replayed {
            schema: 1,
            program: program.to_string(),
            schedule: schedule.to_string(),
            hash: trace.hash,
            rule: violation.as_ref().map(|violation| violation.rule.to_owned()),
            detail: violation.map(|violation| violation.detail),
            trace: rows(&program, &trace),
            at_end,
        })
    })
}

/// Program and schedule made smaller together, until that is done or `stop` is set; `None` if they break no rule.
pub fn shrink_counterexample(
    program: &Program,
    schedule: &Schedule,
    options: &ProgramOptions,
    stop: &AtomicBool,
) -> Result<Option<Found>, SetupError> {
    let program = on(program, &options.machine);
    on_own_thread(options.mutation, || {
        let case = Case::new(&program)?;
        let Err(violation) = trace(&case, schedule, options.options)?.0.outcome else { return Ok(None) };
        let found = Counterexample { violation, schedule: schedule.clone(), index: 0 };
        counterexample(case, found, options, stop).map(Some)
    })
}

/// A schedule, replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// The form of this object.
    pub schema: u32,
    /// The program, with the machine that it ran on.
    pub program: String,
    /// Who was to execute each step.
    pub schedule: String,
    /// The same for the same steps with the same values, on every machine.
    pub hash: u64,
    /// The rule that broke, if one did.
    pub rule: Option<String>,
    /// What was found.
    pub detail: Option<String>,
    /// What happened.
    pub trace: Vec<TraceRow>,
    /// All threads had ended.
    pub at_end: bool,
}

/// The program on the machine that it asks for, changed as `by` says, in so many words.
pub(super) fn on(program: &Program, by: &MachineSpec) -> Program {
    let machine = program.machine.clone().unwrap_or_default().overridden(by);
    let machine = (machine != MachineSpec::default()).then_some(machine);
    Program { machine, ..program.clone() }
}

/// A schedule whose stack had to be given up leaves its OS thread "panicking" for ever: not the caller's.
pub(super) fn on_own_thread<T: Send>(
    mutation: Option<Mutation>,
    f: impl FnOnce() -> Result<T, SetupError> + Send,
) -> Result<T, SetupError> {
    let with_mutation = || {
        enforce(mutation);
        f()
    };
    std::thread::scope(|scope| {
        let spawned = std::thread::Builder::new().spawn_scoped(scope, with_mutation);
        let thread = spawned.map_err(|error| SetupError(format!("the host has no more threads: {error}")))?;
        match thread.join() {
            Ok(result) => result,
            Err(payload) => std::panic::resume_unwind(payload),
        }
    })
}

/// The search's report; or what the set-up breaks.
fn search(
    case: &Case,
    options: &ProgramOptions,
    tally: &Arc<Tally>,
    stop: &AtomicBool,
) -> Result<Result<Report, Violation>, SetupError> {
    // Once here, so that a program that cannot be set up is told of, not panicked over.
    let world = match ProgramWorld::new(&case.program, &case.config, &case.cpus) {
        Ok(world) => world,
        Err(Unset::Refused(why)) => return Err(SetupError(why)),
        Err(Unset::Broken(violation)) => return Ok(Err(violation)),
    };
    Ok(Ok(match options.search {
        Search::Sample(sampling) => {
            drop(world);
            let build = || {
                // The jobs run on OS threads of their own.
                enforce(options.mutation);
                case.world().expect("as it was a moment ago").with_tally(tally)
            };
            explore(build, &sampling, options.options, options.jobs, stop)
        }
        Search::Exhaustive(exhaustive) => {
            let world = world.with_tally(tally);
            exhaust(&exhaustive, &mut Explorer::with_options(world, options.options), stop)
        }
    }))
}

/// [`Exhaustive::search`], but that it can be stopped.
fn exhaust<W: super::World>(search: &Exhaustive, explorer: &mut Explorer<W>, stop: &AtomicBool) -> Report {
    use std::ops::ControlFlow::{Break, Continue};
    let mut found = None;
    let mut stopped = false;
    let mut report = search.visit(explorer, |seen, index| match &seen.run.outcome {
        Err(violation) => {
            let schedule = Schedule::new(seen.threads.iter().copied());
            found = Some(Counterexample { violation: violation.clone(), schedule, index });
            Break(())
        }
        // Relaxed: a request that orders nothing.
        Ok(_) if stop.load(Ordering::Relaxed) => {
            stopped = true;
            Break(())
        }
        Ok(_) => Continue(()),
    });
    report.counterexample = found;
    if stopped {
        report.coverage = Coverage::Incomplete(format!("stopped after {} schedules", report.schedules));
    }
    report
}

pub(super) fn told(coverage: &Coverage) -> (&'static str, String) {
    match coverage {
        Coverage::Complete => ("complete", "every interleaving".into()),
        Coverage::Bounded { preemptions } => {
            ("bounded", format!("every interleaving with at most {preemptions} preemptions"))
        }
        Coverage::Sampled => ("sampled", "drawn at random, not exhaustive".into()),
        Coverage::Incomplete(why) => ("incomplete", why.clone()),
    }
}

fn of_set_up(program: &Program, violation: Violation) -> ProgramReport {
    ProgramReport {
        schema: 1,
        program: program.to_string(),
        schedules: 0,
        steps: 0,
        coverage: "incomplete",
        covered: "the set-up breaks a rule".into(),
        refused: Vec::new(),
        counterexample: Some(Found {
            rule: violation.rule.into(),
            detail: violation.detail,
            program: program.to_string(),
            schedule: String::new(),
            index: 0,
            shrink_runs: 0,
            minimal: true,
            preemptions: 0,
            switches: 0,
            trace: Vec::new(),
            at_end: true,
        }),
    }
}

fn counterexample(
    case: Case,
    found: Counterexample,
    options: &ProgramOptions,
    stop: &AtomicBool,
) -> Result<Found, SetupError> {
    let shrunk = match options.shrink {
        0 => case.measured(&found.schedule, options.options).map(|shrunk| (case, shrunk)),
        runs => case.shrunk(&found.schedule, options.options, Budget { runs, stop }),
    };
    let Some((case, shrunk)) = shrunk else {
        let wrong = "the same schedule breaks no rule a second time: something is not deterministic";
        return Err(SetupError(format!("{}: {wrong}", found.violation)));
    };
    shown(&case, shrunk, found.index, options.options)
}

/// A counterexample with its trace.
pub(super) fn shown(case: &Case, shrunk: Shrunk, index: u64, options: Options) -> Result<Found, SetupError> {
    let (trace, at_end) = trace(case, &shrunk.schedule, options)?;
    Ok(Found {
        rule: shrunk.violation.rule.into(),
        detail: shrunk.violation.detail,
        program: case.program.to_string(),
        schedule: shrunk.schedule.to_string(),
        index,
        shrink_runs: shrunk.runs,
        minimal: shrunk.minimal,
        preemptions: shrunk.preemptions,
        switches: shrunk.switches,
        trace: rows(&case.program, &trace),
        at_end,
    })
}

/// What a schedule does, and whether all threads had ended.
fn trace(case: &Case, schedule: &Schedule, options: Options) -> Result<(Trace, bool), SetupError> {
    match ProgramWorld::new(&case.program, &case.config, &case.cpus) {
        Ok(world) => {
            let mut explorer = Explorer::with_options(world, options);
            let trace = explorer.trace(schedule);
            Ok((trace, explorer.world().ended()))
        }
        Err(Unset::Refused(why)) => Err(SetupError(why)),
        Err(Unset::Broken(violation)) => Err(SetupError(format!("the set-up breaks a rule: {violation}"))),
    }
}

/// What a lock's word says: free, held, or so many readers.
fn held(kind: Kind, value: u64) -> String {
    match value {
        0 => "free".into(),
        readers if matches!(kind, Kind::ReadLock | Kind::ReadUnlock) => format!("{readers} readers"),
        _ => "held".into(),
    }
}

fn rows(program: &Program, trace: &Trace) -> Vec<TraceRow> {
    let row = |row: &super::Row| {
        let thread = program.threads.get(usize::from(row.thread));
        let op = thread.and_then(|thread| thread.ops.get(row.operation as usize));
        // Words and entries say more as what they mean.
        let value = |value: u64| match row.object.as_str() {
            "" => String::new(),
            object if object.ends_with(" word") => Word(value).to_string(),
            object if object.starts_with("entry of ") => Pte(value).to_string(),
            object if object.contains(" lock") => held(row.kind, value),
            _ => format!("{value:#x}"),
        };
        TraceRow {
            thread: row.thread,
            name: thread.map_or_else(String::new, |thread| thread.name.to_string()),
            i: row.operation,
            op: op.map_or_else(String::new, ToString::to_string),
            kind: row.kind.name(),
            object: row.object.clone(),
            before: value(row.before),
            after: value(row.after),
            function: row.function,
            place: row.place.clone(),
        }
    };
    trace.rows.iter().map(row).collect()
}
