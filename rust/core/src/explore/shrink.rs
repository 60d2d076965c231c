//! Shrinking counterexamples.
//!
//! A schedule is simpler if it has fewer switches, then fewer preemptions, then fewer steps. The
//! shrinker edits the schedule's runs (stretches of one thread): it cuts the end off, drops a run,
//! gives a run to the previous thread, or moves a run next to another of its thread so that the two
//! merge. No edit is invalid, because every list of threads is a schedule. An edit is kept if the
//! same rule is broken and the *executed* schedule is simpler.

use super::explorer::Explorer;
use super::schedule::{Replay, Schedule};
use super::world::World;
use crate::sync::explored::{Options, Record, Threads, View, Violation};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// A shrunk schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The schedule; steps at the end that the fall-back rule takes anyway are left out.
    pub schedule: Schedule,
    /// The rule that it breaks.
    pub violation: Violation,
    /// Switches away from a thread that could have gone on.
    pub preemptions: u32,
    /// Switches from one thread to another.
    pub switches: u32,
    /// Steps executed.
    pub steps: u32,
    /// The number of schedules that the shrinking ran.
    pub runs: u32,
    /// True if no edit simplifies the schedule further; false if the budget was used up before all edits
    /// were tried.
    pub minimal: bool,
}

/// The limits of shrinking.
#[derive(Clone, Copy, Debug)]
pub struct Budget<'a> {
    /// The most schedules to run.
    pub runs: u32,
    /// Ends the shrinking when set.
    pub stop: &'a AtomicBool,
}

/// The flag of a budget that is never stopped.
static NEVER: AtomicBool = AtomicBool::new(false);

impl From<u32> for Budget<'_> {
    fn from(runs: u32) -> Self {
        Budget { runs, stop: &NEVER }
    }
}

impl Budget<'_> {
    /// The number of runs that are left after `runs` runs; 0 if the shrinking is to stop.
    fn left(&self, runs: u32) -> u32 {
        // Relaxed: the flag only asks to stop; it publishes no data.
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
                // Where only one thread was left to run, the set has no other thread.
                preemptions += u32::from(self.runnable[step + 1] & 1 << pair[0] != 0);
            }
        }
        (switches, preemptions, self.threads.len() as u32)
    }

    /// The shortest list of threads that the fall-back rule completes to this schedule.
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
    /// Lists that were run without success, so that no list is run twice.
    tried: HashSet<Vec<u8>>,
}

type Runs = Vec<(u8, usize)>;

impl<W: World> Shrinker<'_, W> {
    /// Runs `edited`, and keeps it if it breaks the rule and is simpler when executed. Returns
    /// false otherwise, and if the budget is used up.
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

    /// Tries an edit at each place in turn; after a success it tries the same place again.
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

    /// Applies all edits, those that remove most first, until none helps.
    fn shrink(&mut self) {
        // The fall-back rule completes a prefix to a schedule, so short prefixes are tried first.
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
            self.pass(given_to_previous_thread);
            self.pass(moved_later);
            self.pass(moved_earlier);
            self.pass(swapped);
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

/// Gives the run to the thread of the previous run.
fn given_to_previous_thread(runs: &Runs, at: usize) -> Option<Runs> {
    let mut edited = runs.clone();
    edited[at].0 = runs[at.checked_sub(1)?].0;
    Some(edited)
}

/// Moves the run next to the following run of its thread.
fn moved_later(runs: &Runs, at: usize) -> Option<Runs> {
    let other = (at + 1..runs.len()).find(|&other| runs[other].0 == runs[at].0)?;
    let mut edited = runs.clone();
    let run = edited.remove(at);
    edited.insert(other - 1, run);
    Some(edited)
}

/// Moves the run next to the preceding run of its thread.
fn moved_earlier(runs: &Runs, at: usize) -> Option<Runs> {
    let other = (0..at).rev().find(|&other| runs[other].0 == runs[at].0)?;
    let mut edited = runs.clone();
    let run = edited.remove(at);
    edited.insert(other + 1, run);
    Some(edited)
}

/// Swaps the run with the previous one.
fn swapped(runs: &Runs, at: usize) -> Option<Runs> {
    let mut edited = runs.clone();
    edited.swap(at.checked_sub(1)?, at);
    Some(edited)
}

impl<W: World> Explorer<W> {
    /// Runs a list of threads. Returns the executed schedule if it breaks `rule`, or any rule if
    /// `None`.
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

    /// Finds the simplest schedule, in at most `budget` runs, that breaks the same rule as
    /// `schedule`. `None` if `schedule` breaks no rule.
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

    /// The thread and the operation of each step of `schedule`.
    fn executed_by(&mut self, schedule: &Schedule) -> Vec<Executed> {
        let trace = self.trace(schedule);
        let threads: Vec<u8> = self.runtime.log().map(|step| step.thread).collect();
        let executed = |(row, thread): (&super::Row, u8)| Executed { thread, operation: row.operation };
        trace.rows.iter().zip(threads).map(executed).collect()
    }
}

/// A program that can be made smaller.
pub trait Shrinkable: Sized {
    /// The program's world.
    type World: World;

    /// Sets the program up; `None` if it cannot be.
    fn build(&self) -> Option<Self::World>;

    /// Programs that are smaller by one removal or simplification, those that remove most first.
    /// Each comes with a function that adapts a schedule of this program.
    fn smaller(&self) -> Vec<(Self, Adapt)>;

    /// The number of operations of the longest section: more neighbours than that need not be
    /// removed.
    fn longest(&self) -> usize {
        0
    }

    /// Programs that each lack `operations` neighbouring operations. A thread with no more
    /// operations than that is removed as a whole.
    fn without(&self, operations: usize) -> Vec<(Self, Adapt)> {
        let _ = operations;
        Vec::new()
    }
}

/// A step's thread and operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The thread.
    pub thread: u8,
    /// The operation of its program, as passed to [`operation`](super::operation).
    pub operation: u32,
}

/// Turns the executed steps of a program into a schedule of a smaller program.
pub type Adapt = Box<dyn Fn(&[Executed]) -> Schedule>;

/// Keeps the threads of the steps, for a smaller program whose threads execute similar steps.
pub fn same_steps(steps: &[Executed]) -> Schedule {
    Schedule::new(steps.iter().map(|step| step.thread))
}

/// A program and a schedule that were shrunk together.
#[derive(Clone, Debug)]
pub struct ShrunkProgram<P> {
    /// The program.
    pub program: P,
    /// Its schedule.
    pub shrunk: Shrunk,
    /// The number of schedules that the shrinking ran.
    pub runs: u32,
}

/// The number of schedules of a smaller program that are searched if the adapted schedule breaks no rule.
const SEARCH: u32 = 60;

/// Shrinks program and schedule together within `budget`, as long as the same rule is broken.
/// `None` if `schedule` breaks no rule of `program`.
pub fn shrink_program<'a, P: Shrinkable>(
    program: P,
    schedule: &Schedule,
    options: Options,
    budget: impl Into<Budget<'a>>,
) -> Option<ShrunkProgram<P>> {
    let whole = budget.into();
    let mut explorer = Explorer::with_options(program.build()?, options);
    let shrunk = explorer.shrink(schedule, 1)?;
    // One run is reserved, to measure the last program that is kept.
    let budget = Budget { runs: whole.runs.saturating_sub(1), ..whole };
    let mut reducer =
        Reducer { program, explorer, runs: shrunk.runs, shrunk, settled: false, options, budget };
    // Large groups of unrelated operations are removed first, which makes all later runs cheaper.
    reducer.remove_neighbours();
    // Half of the remaining budget simplifies the schedule, as a simple schedule fits smaller
    // programs better.
    reducer.simplify(budget.left(reducer.runs) / 2);
    // A removal that works with the adapted schedule costs one run. Only when there are no more of
    // these, other schedules are searched.
    while reducer.remove(0) || reducer.settle() || reducer.remove(SEARCH) {}
    let Reducer { program, shrunk, runs, settled, .. } = reducer;
    Some(ShrunkProgram { program, shrunk: Shrunk { minimal: settled, ..shrunk }, runs })
}

struct Reducer<'a, P: Shrinkable> {
    program: P,
    explorer: Explorer<P::World>,
    shrunk: Shrunk,
    runs: u32,
    /// True if no operation can be removed with the current schedule, and the schedule cannot be
    /// simplified. With another schedule more may be removable.
    settled: bool,
    options: Options,
    budget: Budget<'a>,
}

impl<P: Shrinkable> Reducer<'_, P> {
    fn spent(&self) -> bool {
        self.budget.left(self.runs) == 0
    }

    /// Removes groups of neighbouring operations: whole threads, then halves, quarters and so on
    /// (Zeller, Hildebrandt, "Simplifying and isolating failure-inducing input", TSE 2002). One run
    /// per attempt.
    fn remove_neighbours(&mut self) {
        let mut size = self.program.longest();
        while size > 1 {
            let mut at = 0;
            let mut steps = self.executed();
            while !self.spent() {
                let Some((program, adapt)) = self.program.without(size).into_iter().nth(at) else { break };
                match self.breaks(program, &adapt(&steps), 0) {
                    // The next group has moved up to this place.
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

    /// The steps that the schedule executes.
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

    /// Simplifies the schedule, once no operation can be removed. Returns true if the schedule has
    /// changed, so that operations may be removable again.
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

    /// Tries the smaller programs, and returns whether one was kept. Each is run with the adapted
    /// schedule if `search` is 0, and otherwise with up to `search` other schedules.
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
            // The next smaller program has moved up to this place.
            at -= 1;
            self.simplify(self.budget.left(self.runs));
            if search > 0 {
                // With the new schedule the cheap removals may work again.
                return true;
            }
        }
    }

    /// Simplifies the schedule, in at most `runs` runs.
    fn simplify(&mut self, runs: u32) {
        // One run is needed in any case, to measure the schedule.
        let budget = Budget { runs: runs.max(1), ..self.budget };
        if let Some(shrunk) = self.explorer.shrink(&self.shrunk.schedule, budget) {
            self.runs += shrunk.runs;
            self.shrunk = shrunk;
        }
    }

    /// Finds a schedule of `program` that breaks the rule: the given one if `search` is 0, otherwise
    /// one of up to `search` others.
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
