//! Smaller counterexamples.
//!
//! A schedule is simpler if it has fewer switches, then fewer preemptions, then fewer steps. What
//! is tried are edits of its runs (stretches of one thread): cut the end off, drop runs, give a
//! run to the thread before, move it to another of its thread so that the two merge. Since every list of threads
//! is a schedule, no edit is invalid; an edit is kept if the same rule is broken and what was
//! *executed* is simpler.

use super::schedule::{Replay, Schedule};
use super::world::{Explorer, World};
use crate::sync::explored::{Options, Record, Threads, View, Violation};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// A schedule that has become as simple as it would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The schedule; steps at the end that the fall-back rule takes anyway are left out.
    pub schedule: Schedule,
    /// What it breaks.
    pub violation: Violation,
    /// Switches away from a thread that could have gone on.
    pub preemptions: u32,
    /// Changes of the thread.
    pub switches: u32,
    /// Steps executed.
    pub steps: u32,
    /// Schedules run to get here.
    pub runs: u32,
    /// Was every edit tried in vain at the end, or were the runs used up before?
    pub minimal: bool,
}

/// How long something may be made smaller.
#[derive(Clone, Copy, Debug)]
pub struct Budget<'a> {
    /// Schedules run.
    pub runs: u32,
    /// A request to end it.
    pub stop: &'a AtomicBool,
}

/// Nobody asks to stop.
static NEVER: AtomicBool = AtomicBool::new(false);

impl From<u32> for Budget<'_> {
    fn from(runs: u32) -> Self {
        Budget { runs, stop: &NEVER }
    }
}

impl Budget<'_> {
    /// What is left after so many runs; none if it is to stop.
    fn left(&self, runs: u32) -> u32 {
        // Relaxed: a request that orders nothing.
        match self.stop.load(Ordering::Relaxed) {
            true => 0,
            false => self.runs.saturating_sub(runs),
        }
    }
}

/// An executed schedule that breaks the rule.
#[derive(Clone, Debug)]
struct Candidate {
    threads: Vec<u8>,
    runnable: Vec<Threads>,
    violation: Violation,
}

impl Candidate {
    /// Switches, preemptions, steps.
    fn measure(&self) -> (u32, u32, u32) {
        let mut preemptions = 0;
        let mut switches = 0;
        for (step, pair) in self.threads.windows(2).enumerate() {
            if pair[0] != pair[1] {
                switches += 1;
                // Zero: only one thread was left.
                preemptions += u32::from(self.runnable[step + 1] & 1 << pair[0] != 0);
            }
        }
        (switches, preemptions, self.threads.len() as u32)
    }

    /// The shortest list that the fall-back rule completes to this schedule.
    fn schedule(&self) -> Schedule {
        let mut length = self.threads.len();
        while let Some(step) = length.checked_sub(1) {
            let runnable = match self.runnable[step] {
                0 => break,
                runnable => runnable,
            };
            let current = step.checked_sub(1).map(|before| self.threads[before].into());
            let view = View { step: step as u32, current, runnable, alive: runnable };
            if view.fall_back(None) != usize::from(self.threads[step]) {
                break;
            }
            length = step;
        }
        Schedule::new(self.threads[..length].iter().copied())
    }

    fn shrunk(self, runs: u32, minimal: bool) -> Shrunk {
        let (switches, preemptions, steps) = self.measure();
        let schedule = self.schedule();
        Shrunk { schedule, preemptions, switches, steps, runs, minimal, violation: self.violation }
    }
}

struct Shrinker<'a, W> {
    explorer: &'a mut Explorer<W>,
    rule: &'static str,
    best: Candidate,
    runs: u32,
    budget: Budget<'a>,
    /// What was run in vain: an edit that leads to the same list need not be.
    tried: HashSet<Vec<u8>>,
}

type Runs = Vec<(u8, usize)>;

impl<W: World> Shrinker<'_, W> {
    /// Keeps `edited` if it breaks the rule and is simpler when executed. False too if all runs are used up.
    fn attempt(&mut self, edited: &[(u8, usize)]) -> bool {
        let edited = Schedule::from_runs(edited);
        if edited.threads() == self.best.threads || self.tried.contains(edited.threads()) || self.spent() {
            return false;
        }
        self.runs += 1;
        match self.explorer.candidate(edited.threads(), Some(self.rule)) {
            Some(candidate) if candidate.measure() < self.best.measure() => {
                self.best = candidate;
                true
            }
            _ => {
                self.tried.insert(edited.threads().to_vec());
                false
            }
        }
    }

    fn spent(&self) -> bool {
        self.budget.left(self.runs) == 0
    }

    fn runs_of_best(&self) -> Runs {
        Schedule::new(self.best.threads.iter().copied()).runs()
    }

    /// Makes an edit at one place after the other, at the same place again after one that was kept.
    fn pass(&mut self, edit: impl Fn(&Runs, usize) -> Option<Runs>) {
        let mut at = 0;
        loop {
            let runs = self.runs_of_best();
            if at >= runs.len() {
                return;
            }
            if !edit(&runs, at).is_some_and(|edited| self.attempt(&edited)) {
                at += 1;
            }
        }
    }

    /// All edits, those that simplify most first, until none helps.
    fn shrink(&mut self) {
        // The fall-back rule completes a beginning: try short ones.
        let runs = self.runs_of_best();
        let mut keep = 0;
        while keep < runs.len() && !self.attempt(&runs[..keep]) {
            keep += 1 + keep / 3;
        }
        let mut size = self.runs_of_best().len() / 2;
        while size > 1 {
            self.pass(|runs, at| without(runs, at, size));
            size /= 2;
        }
        loop {
            let before = self.best.measure();
            self.pass(|runs, at| Some(runs[..at].to_vec()));
            self.pass(|runs, at| without(runs, at, 1));
            self.pass(given);
            self.pass(later);
            self.pass(earlier);
            self.pass(exchanged);
            if self.best.measure() == before || self.spent() {
                return;
            }
        }
    }
}

fn without(runs: &Runs, at: usize, size: usize) -> Option<Runs> {
    let end = at + size;
    (end <= runs.len()).then(|| [&runs[..at], &runs[end..]].concat())
}

/// The run goes to the thread before.
fn given(runs: &Runs, at: usize) -> Option<Runs> {
    let mut edited = runs.clone();
    edited[at].0 = runs[at.checked_sub(1)?].0;
    Some(edited)
}

/// The run stands before the next run of its thread.
fn later(runs: &Runs, at: usize) -> Option<Runs> {
    let other = (at + 1..runs.len()).find(|&other| runs[other].0 == runs[at].0)?;
    let mut edited = runs.clone();
    let run = edited.remove(at);
    edited.insert(other - 1, run);
    Some(edited)
}

/// The run stands behind the last run of its thread.
fn earlier(runs: &Runs, at: usize) -> Option<Runs> {
    let other = (0..at).rev().find(|&other| runs[other].0 == runs[at].0)?;
    let mut edited = runs.clone();
    let run = edited.remove(at);
    edited.insert(other + 1, run);
    Some(edited)
}

fn exchanged(runs: &Runs, at: usize) -> Option<Runs> {
    let mut edited = runs.clone();
    edited.swap(at.checked_sub(1)?, at);
    Some(edited)
}

impl<W: World> Explorer<W> {
    /// Runs a list of threads; what was executed, if it breaks `rule`, or any if none is said.
    fn candidate(&mut self, threads: &[u8], rule: Option<&'static str>) -> Option<Candidate> {
        let run = self.record(&mut Replay::of(threads), Record::Analysis { from: 0 });
        let violation =
            run.outcome.err().filter(|violation| rule.is_none_or(|rule| violation.rule == rule))?;
        let threads: Vec<u8> = self.runtime.log().map(|step| step.thread).collect();
        let runnable = self.runtime.analysis(|runnable, _| {
            let mut runnable = runnable.to_vec();
            runnable.resize(threads.len(), 0);
            for (set, thread) in runnable.iter_mut().zip(&threads) {
                if *set == 0 {
                    *set = 1 << thread;
                }
            }
            runnable
        });
        Some(Candidate { threads, runnable, violation })
    }

    /// The simplest schedule found, in at most `budget` runs, that breaks the rule which
    /// `schedule` breaks; `None` if it breaks none.
    pub fn shrink<'a>(&mut self, schedule: &Schedule, budget: impl Into<Budget<'a>>) -> Option<Shrunk> {
        let budget = budget.into();
        let best = self.candidate(schedule.threads(), None)?;
        let rule = best.violation.rule;
        let tried = HashSet::new();
        let mut shrinker = Shrinker { explorer: self, rule, best, runs: 1, budget, tried };
        shrinker.shrink();
        let minimal = !shrinker.spent();
        let Shrinker { best, runs, .. } = shrinker;
        Some(best.shrunk(runs, minimal))
    }

    /// What each step of `schedule` belongs to.
    fn executed_by(&mut self, schedule: &Schedule) -> Vec<Executed> {
        let trace = self.trace(schedule);
        let executed = |row: &super::Row| Executed { thread: row.thread, operation: row.operation };
        trace.rows.iter().map(executed).collect()
    }
}

/// A program that can be made smaller.
pub trait Shrinkable: Sized {
    /// What it sets up.
    type World: World;

    /// Sets the program up; `None` if it makes no sense.
    fn build(&self) -> Option<Self::World>;

    /// Programs that are smaller by one removal or simplification, those that remove most first.
    /// With each, what becomes of a schedule of this program.
    fn smaller(&self) -> Vec<(Self, Adapt)>;

    /// Operations of the longest thread: nothing is gained by removing more neighbours at a time.
    fn longest(&self) -> usize {
        0
    }

    /// Programs without so many neighbouring operations, each; a thread that has no more than that is left out as a
    /// whole.
    fn without(&self, operations: usize) -> Vec<(Self, Adapt)> {
        let _ = operations;
        Vec::new()
    }
}

/// A step, and what it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The thread.
    pub thread: u8,
    /// The operation of its program, as it was told to [`operation`](super::operation).
    pub operation: u32,
}

/// Turns what was executed of a program into a schedule of a smaller program.
pub type Adapt = Box<dyn Fn(&[Executed]) -> Schedule>;

/// The threads of the steps, for a smaller program whose threads do much the same.
pub fn same_steps(steps: &[Executed]) -> Schedule {
    Schedule::new(steps.iter().map(|step| step.thread))
}

/// A program and a schedule as small as they would get together.
#[derive(Clone, Debug)]
pub struct ShrunkProgram<P> {
    /// The program.
    pub program: P,
    /// Its schedule.
    pub shrunk: Shrunk,
    /// Schedules run to get here.
    pub runs: u32,
}

/// Schedules tried on a smaller program that its old schedule does not break.
const SEARCH: u32 = 60;

/// Makes program and schedule smaller, as long as the same rule is broken, within `budget`. `None` if `schedule`
/// breaks no rule of `program`.
pub fn shrink_program<'a, P: Shrinkable>(
    program: P,
    schedule: &Schedule,
    options: Options,
    budget: impl Into<Budget<'a>>,
) -> Option<ShrunkProgram<P>> {
    let whole = budget.into();
    let mut explorer = Explorer::with_options(program.build()?, options);
    let shrunk = explorer.shrink(schedule, 1)?;
    // One run is kept back: the last program that is kept needs it to be measured.
    let budget = Budget { runs: whole.runs.saturating_sub(1), ..whole };
    let mut reducer =
        Reducer { program, explorer, runs: shrunk.runs, shrunk, settled: false, options, budget };
    // What many operations have nothing to do with goes first, many at a time: all that follows is cheaper then.
    reducer.remove_neighbours();
    // The schedule alone has half of what is left: a simple schedule fits smaller programs better.
    reducer.simplify(budget.left(reducer.runs) / 2);
    // Removals that the schedule survives as it is cost a run each; only then others are searched for.
    while reducer.remove(0) || reducer.settle() || reducer.remove(SEARCH) {}
    let Reducer { program, shrunk, runs, settled, .. } = reducer;
    Some(ShrunkProgram { program, shrunk: Shrunk { minimal: settled, ..shrunk }, runs })
}

struct Reducer<'a, P: Shrinkable> {
    program: P,
    explorer: Explorer<P::World>,
    shrunk: Shrunk,
    runs: u32,
    /// Nothing can go from the program that the schedule can do without, and no switch from the schedule. Other
    /// schedules may make do with less.
    settled: bool,
    options: Options,
    budget: Budget<'a>,
}

impl<P: Shrinkable> Reducer<'_, P> {
    fn spent(&self) -> bool {
        self.budget.left(self.runs) == 0
    }

    /// Removes whole threads, then halves of what is left, and so on, that the schedule can do without
    /// (Zeller, Hildebrandt, "Simplifying and isolating failure-inducing input", TSE 2002). A run each.
    fn remove_neighbours(&mut self) {
        let mut size = self.program.longest();
        while size > 1 {
            let mut at = 0;
            let mut steps = self.executed();
            while !self.spent() {
                let Some((program, adapt)) = self.program.without(size).into_iter().nth(at) else { break };
                match self.breaks(program, &adapt(&steps), 0) {
                    // What stood there has gone, and something else has moved up.
                    Some(kept) => {
                        self.keep(kept);
                        steps = self.executed();
                    }
                    None => at += 1,
                }
            }
            size /= 2;
        }
    }

    /// What the schedule executes.
    fn executed(&mut self) -> Vec<Executed> {
        self.runs += 1;
        self.explorer.executed_by(&self.shrunk.schedule)
    }

    fn keep(&mut self, (program, explorer, schedule): (P, Explorer<P::World>, Schedule)) {
        (self.program, self.explorer) = (program, explorer);
        self.shrunk.schedule = schedule;
        self.shrunk.minimal = false;
        self.settled = false;
    }

    /// Nothing can go from the program: the schedule is made as simple as it will be. True if it is another one then,
    /// so that operations may go again.
    fn settle(&mut self) -> bool {
        if self.spent() {
            return false;
        }
        if !self.shrunk.minimal {
            let before = self.shrunk.schedule.clone();
            self.simplify(self.budget.left(self.runs));
            if self.shrunk.schedule != before {
                return !self.spent();
            }
        }
        self.settled = self.shrunk.minimal;
        false
    }

    /// Goes through the smaller programs; whether one was kept. Each is given the schedule, adapted, and
    /// up to `search` others.
    fn remove(&mut self, search: u32) -> bool {
        let mut removed = false;
        let mut at = 0;
        loop {
            if self.spent() {
                return removed;
            }
            let steps = self.executed();
            let mut smaller = self.program.smaller().into_iter().skip(at);
            let kept = smaller.find_map(|(program, adapt)| {
                at += 1;
                self.breaks(program, &adapt(&steps), search)
            });
            let Some(kept) = kept else { return removed };
            self.keep(kept);
            removed = true;
            // What stood there has gone, and something else has moved up.
            at -= 1;
            self.simplify(self.budget.left(self.runs));
            if search > 0 {
                // With another schedule the cheap removals may do again.
                return true;
            }
        }
    }

    /// Makes the schedule simpler, in so many runs.
    fn simplify(&mut self, runs: u32) {
        // One at least: it measures.
        let budget = Budget { runs: runs.max(1), ..self.budget };
        if let Some(shrunk) = self.explorer.shrink(&self.shrunk.schedule, budget) {
            self.runs += shrunk.runs;
            self.shrunk = shrunk;
        }
    }

    /// A schedule of `program` that breaks the rule: the one given, or one of a few others.
    fn breaks(
        &mut self,
        program: P,
        schedule: &Schedule,
        search: u32,
    ) -> Option<(P, Explorer<P::World>, Schedule)> {
        let left = self.budget.left(self.runs);
        if left == 0 {
            return None;
        }
        let rule = self.shrunk.violation.rule;
        let broken = |run: &super::Run| run.outcome.as_ref().is_err_and(|violation| violation.rule == rule);
        let mut explorer = Explorer::with_options(program.build()?, self.options);
        if search == 0 {
            self.runs += 1;
            let kept = broken(&explorer.replay(schedule));
            let executed = explorer.executed();
            return kept.then_some((program, explorer, executed));
        }
        let all = super::Exhaustive { preemptions: Some(2), reduce: true, limit: search.min(left).into() };
        let mut found = None;
        let report = all.visit(&mut explorer, |seen, _| {
            if broken(seen.run) {
                found = Some(Schedule::new(seen.threads.iter().copied()));
                return std::ops::ControlFlow::Break(());
            }
            std::ops::ControlFlow::Continue(())
        });
        self.runs += report.schedules as u32;
        found.map(|schedule| (program, explorer, schedule))
    }
}
