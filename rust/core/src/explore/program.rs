//! Exploring programs: from a text and a few options to a result that can be printed, stored and
//! replayed.

use super::jobs::working;
use super::owners::{bring_owners, brought, differing};
use super::program_world::{ProgramWorld, WorldError};
use super::smaller::Case;
use super::tally::Tally;
use super::{
    Budget, Checks, Counterexample, Coverage, Exhaustive, Explorer, Kind, Method, Options, Pairs, Report,
    Sampling, Schedule, Shrunk, Trace, Violation, explore,
};
use crate::map::Pte;
use crate::page::Word;
use crate::program::{MachineSpec, Program, Refused, SetupError};
use crate::sync::{Mutation, enforce};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The choice of the schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Drawn at random.
    Sample(Sampling),
    /// All schedules within a bound.
    Exhaustive(Exhaustive),
}

/// The options of an exploration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramOptions {
    /// Changes to the program's machine.
    pub machine: MachineSpec,
    /// The choice of the schedules.
    pub search: Search,
    /// The options of each schedule.
    pub options: Options,
    /// The OS threads that a sample is spread over; the result does not depend on their number.
    pub jobs: usize,
    /// The defect that is put into the core.
    pub mutation: Option<Mutation>,
    /// The most schedules run to shrink a counterexample; 0 leaves it as it was found.
    pub shrink: u32,
}

/// The schedules that a search by sampling runs if the caller names no limit.
pub const SCHEDULES: u64 = 20_000;

/// The schedules that are run to shrink a race if the caller names no limit.
pub const SHRINK: u32 = 2_500;

impl Default for ProgramOptions {
    /// [`SCHEDULES`] of the portfolio.
    fn default() -> Self {
        ProgramOptions {
            machine: MachineSpec::default(),
            search: Search::Sample(Sampling { method: Method::Portfolio, schedules: SCHEDULES, seed: 0 }),
            options: Options::default(),
            jobs: 1,
            mutation: None,
            shrink: SHRINK,
        }
    }
}

impl ProgramOptions {
    /// The options of a schedule that is run for itself and not as part of the search: no pairs are gathered.
    fn alone(&self) -> Options {
        Options { pairs: false, ..self.options }
    }

    /// The number of OS threads that have schedules to run.
    pub fn working(&self) -> usize {
        match self.search {
            Search::Sample(sampling) => working(&sampling, self.jobs) as usize,
            Search::Exhaustive(_) => 1,
        }
    }
}

/// The result of exploring a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramReport {
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
    /// The bound on preemptions, or the reason why the search stopped early.
    pub covered: String,
    /// Operations that had no effect in any schedule. Empty beside a counterexample, as the search
    /// ended there.
    pub refused: Vec<Refused>,
    /// The reason why the answers of the schedules were not compared with orders of the operations; `None` if
    /// they were, or if not all checks were wanted.
    pub unordered: Option<&'static str>,
    /// The first schedule that breaks a rule, if any.
    pub counterexample: Option<Found>,
    /// The pairs of steps that the search interleaved, if they were gathered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Pairs>,
}

/// A program and a schedule that break a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The rule.
    pub rule: String,
    /// The state that broke it.
    pub detail: String,
    /// The program, shrunk.
    pub program: String,
    /// The thread that executes each step.
    pub schedule: String,
    /// The number of schedules that were run before this one.
    pub index: u64,
    /// The number of schedules that the shrinking ran.
    pub shrink_runs: u32,
    /// True if nothing more can be removed; false if the budget was used up or the shrinking was
    /// stopped.
    pub minimal: bool,
    /// Switches away from a thread that could have gone on.
    pub preemptions: u32,
    /// Switches from one thread to another.
    pub switches: u32,
    /// The steps. The last one breaks the rule, unless `at_end`.
    pub trace: Vec<TraceRow>,
    /// True if all threads had ended, and the audit found the violation.
    pub at_end: bool,
}

/// One step of a counterexample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceRow {
    /// The thread's number.
    pub thread: u8,
    /// The thread's name.
    pub name: String,
    /// The operation's number in its thread.
    pub i: u32,
    /// The operation.
    pub op: String,
    /// The kind of the step.
    pub kind: &'static str,
    /// The object that it touched.
    pub object: String,
    /// The word before the step.
    pub before: String,
    /// The word after it.
    pub after: String,
    /// The function of the core that took the step.
    pub function: &'static str,
    /// The step's file and line.
    pub place: String,
}

/// Explores a program until a rule breaks, the search is over, or `stop` is set.
///
/// The schedules run on OS threads that this call starts.
pub fn explore_program(
    program: &Program,
    options: &ProgramOptions,
    stop: &AtomicBool,
) -> Result<ProgramReport, SetupError> {
    let program = with_machine(program, &options.machine);
    on_separate_thread(options.mutation, || {
        let case = Case::new(&program)?;
        let tally = Arc::new(Tally::new(&program, false));
        // The set-up is tried here once, so that a failure is an error and not a panic in a job.
        let world = match ProgramWorld::new(&case.program, &case.config, &case.cpus) {
            Ok(world) => world,
            Err(WorldError::Refused(why)) => return Err(SetupError(why)),
            Err(WorldError::Broken(violation)) => return Ok(set_up_report(&program, violation)),
        };
        let unordered = match options.options.checks {
            Checks::All => world.unordered(),
            Checks::State => None,
        };
        let report = search(world, &case, options, &tally, stop);
        let (coverage, covered) = describe_coverage(&report.coverage);
        if report.counterexample.is_none() {
            check_owners(&case, &Schedule::default(), options.alone())?;
        }
        let refused = match report.counterexample {
            None => refused(&case, options.alone(), &tally),
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
            unordered,
            counterexample,
            pairs: report.pairs,
        })
    })
}

/// The operations that had no effect in any schedule, with the reasons found in the default
/// schedule.
pub(super) fn refused(case: &Case, options: Options, tally: &Tally) -> Vec<Refused> {
    if !tally.has_refused() {
        return Vec::new();
    }
    let reasons = Arc::new(Tally::new(&case.program, true));
    if let Some(world) = case.world() {
        Explorer::with_options(world.with_tally(&reasons), options).replay(&Schedule::default());
    }
    tally.refused(&case.program, &reasons)
}

/// Runs one schedule of a program, and returns its trace and the rule that it breaks, if any.
pub fn replay_program(
    program: &Program,
    machine: &MachineSpec,
    schedule: &Schedule,
    options: Options,
    mutation: Option<Mutation>,
) -> Result<Replayed, SetupError> {
    let program = with_machine(program, machine);
    on_separate_thread(mutation, || {
        let case = Case::new(&program)?;
        check_owners(&case, schedule, options)?;
        let (trace, at_end) = trace(&case, schedule, options)?;
        let violation = trace.outcome.as_ref().err().cloned();
        let refused = match violation {
            None => refused_in(&case, schedule, options),
            Some(_) => Vec::new(),
        };
        Ok(Replayed {
            schema: 1,
            program: program.to_string(),
            schedule: schedule.to_string(),
            hash: trace.hash,
            rule: violation.as_ref().map(|violation| violation.rule.to_owned()),
            detail: violation.map(|violation| violation.detail),
            trace: rows(&program, &trace),
            at_end,
            refused,
        })
    })
}

/// The operations that had no effect in one schedule.
fn refused_in(case: &Case, schedule: &Schedule, options: Options) -> Vec<Refused> {
    let tally = Arc::new(Tally::new(&case.program, true));
    if let Some(world) = case.world() {
        Explorer::with_options(world.with_tally(&tally), options).replay(schedule);
    }
    tally.refused(&case.program, &tally)
}

/// Shrinks program and schedule together, until nothing more can be removed or `stop` is set.
/// `None` if they break no rule.
pub fn shrink_counterexample(
    program: &Program,
    schedule: &Schedule,
    options: &ProgramOptions,
    stop: &AtomicBool,
) -> Result<Option<Found>, SetupError> {
    let program = with_machine(program, &options.machine);
    on_separate_thread(options.mutation, || {
        let case = Case::new(&program)?;
        let Err(violation) = trace(&case, schedule, options.options)?.0.outcome else { return Ok(None) };
        let found = Counterexample { violation, schedule: schedule.clone(), index: 0 };
        counterexample(case, found, options, stop).map(Some)
    })
}

/// A schedule, replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// The version of this object's form.
    pub schema: u32,
    /// The program, with the machine that it ran on.
    pub program: String,
    /// The thread that was to execute each step.
    pub schedule: String,
    /// A hash of the steps and their values, the same on every host.
    pub hash: u64,
    /// The rule that broke, if one did.
    pub rule: Option<String>,
    /// The state that broke it.
    pub detail: Option<String>,
    /// The steps.
    pub trace: Vec<TraceRow>,
    /// True if all threads had ended.
    pub at_end: bool,
    /// The operations of the threads and of `finally` that had no effect. Empty if a rule broke: the
    /// operations after it were not made.
    pub refused: Vec<Refused>,
}

/// The program with the machine that it asks for, changed by `overrides`.
pub(super) fn with_machine(program: &Program, overrides: &MachineSpec) -> Program {
    let machine = program.machine.clone().unwrap_or_default().overridden(overrides);
    let machine = (machine != MachineSpec::default()).then_some(machine);
    Program { machine, ..program.clone() }
}

/// Runs `f` on an OS thread of its own. A schedule that abandons an unwinding stack leaves its OS
/// thread "panicking" for ever. The caller's thread stays free of that state.
pub(super) fn on_separate_thread<T: Send>(
    mutation: Option<Mutation>,
    f: impl FnOnce() -> Result<T, SetupError> + Send,
) -> Result<T, SetupError> {
    let owners = brought();
    let with_mutation = || {
        enforce(mutation);
        bring_owners(owners);
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

/// Runs the search. A sample has a world for each job instead of `world`.
fn search(
    world: ProgramWorld,
    case: &Case,
    options: &ProgramOptions,
    tally: &Arc<Tally>,
    stop: &AtomicBool,
) -> Report {
    match options.search {
        Search::Sample(sampling) => {
            drop(world);
            let owners = brought();
            let build = || {
                // The jobs run on OS threads of their own.
                enforce(options.mutation);
                bring_owners(owners.clone());
                case.world().expect("the same set-up has just succeeded").with_tally(tally)
            };
            explore(build, &sampling, options.options, options.jobs, stop)
        }
        Search::Exhaustive(exhaustive) => {
            let mut explorer = Explorer::with_options(world.with_tally(tally), options.options);
            // Relaxed: the flag only asks to stop; it publishes no data.
            exhaustive.search_until(&mut explorer, || stop.load(Ordering::Relaxed))
        }
    }
}

/// The coverage as a word, and as a phrase.
pub(super) fn describe_coverage(coverage: &Coverage) -> (&'static str, String) {
    match coverage {
        Coverage::Complete => ("complete", "every interleaving".into()),
        Coverage::Bounded { preemptions } => {
            ("bounded", format!("every interleaving with at most {preemptions} preemptions"))
        }
        Coverage::Sampled => ("sampled", "drawn at random, not exhaustive".into()),
        Coverage::Incomplete(why) => ("incomplete", why.clone()),
    }
}

/// The report of a program whose set-up breaks a rule.
fn set_up_report(program: &Program, violation: Violation) -> ProgramReport {
    ProgramReport {
        schema: 1,
        program: program.to_string(),
        schedules: 0,
        steps: 0,
        coverage: "incomplete",
        covered: "the set-up breaks a rule".into(),
        refused: Vec::new(),
        unordered: None,
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
        pairs: None,
    }
}

/// Shrinks a counterexample, and describes it.
fn counterexample(
    case: Case,
    found: Counterexample,
    options: &ProgramOptions,
    stop: &AtomicBool,
) -> Result<Found, SetupError> {
    let unshrunk = case.clone();
    let each = options.alone();
    let shrunk = match options.shrink {
        0 => case.measured(&found.schedule, each).map(|shrunk| (case, shrunk)),
        runs => case.shrunk(&found.schedule, each, Budget { runs, stop }),
    };
    let Some((case, shrunk)) = shrunk else {
        check_owners(&unshrunk, &found.schedule, each)?;
        let wrong = "the same schedule breaks no rule a second time: something is not deterministic";
        return Err(SetupError(format!("{}: {wrong}", found.violation)));
    };
    describe(&case, shrunk, found.index, each)
}

/// Describes a counterexample with its trace.
pub(super) fn describe(
    case: &Case,
    shrunk: Shrunk,
    index: u64,
    options: Options,
) -> Result<Found, SetupError> {
    check_owners(case, &shrunk.schedule, options)?;
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

/// An error if an owner that the caller brought along answers differently when a schedule is run
/// again: then no schedule could be replayed.
fn check_owners(case: &Case, schedule: &Schedule, options: Options) -> Result<(), SetupError> {
    if brought().is_none() {
        return Ok(());
    }
    let Some(world) = case.world().filter(|world| !world.owners().is_empty()) else { return Ok(()) };
    let mut explorer = Explorer::with_options(world, options);
    let mut answers = || {
        explorer.replay(schedule);
        explorer.world().owners().iter().map(|owner| owner.answers()).collect::<Vec<_>>()
    };
    let (first, second) = (answers(), answers());
    match differing(&first, &second) {
        Some(why) => Err(SetupError(why)),
        None => Ok(()),
    }
}

/// The trace of a schedule, and whether all threads had ended.
fn trace(case: &Case, schedule: &Schedule, options: Options) -> Result<(Trace, bool), SetupError> {
    match ProgramWorld::new(&case.program, &case.config, &case.cpus) {
        Ok(world) => {
            let mut explorer = Explorer::with_options(world, options);
            let trace = explorer.trace(schedule);
            Ok((trace, explorer.world().ended()))
        }
        Err(WorldError::Refused(why)) => Err(SetupError(why)),
        Err(WorldError::Broken(violation)) => {
            Err(SetupError(format!("the set-up breaks a rule: {violation}")))
        }
    }
}

/// The state of a lock's word as text: free, held, or the number of readers.
fn lock_state(kind: Kind, value: u64) -> String {
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
        // Page words and entries are shown decoded.
        let value = |value: u64| match row.object.as_str() {
            "" => String::new(),
            object if object.ends_with(" word") => Word(value).to_string(),
            object if object.starts_with("entry of ") => Pte(value).to_string(),
            object if object.contains(" lock") => lock_state(row.kind, value),
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
