//! Smaller counterexamples.
//!
//! A schedule is simpler if it has fewer preemptions, then fewer switches, then fewer steps. What
//! is tried are edits of its runs (stretches of one thread): cut the end off, drop a run, give a
//! run to the thread before, exchange neighbours so that runs merge. Since every list of threads
//! is a schedule, no edit is invalid; an edit is kept if the same rule is broken and what was
//! *executed* is simpler.

use super::schedule::{Replay, Schedule};
use super::world::{Explorer, World};
use crate::sync::explored::{Options, Record, Threads, View, Violation};

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
    /// Was every edit tried in vain at the end, or were the runs used up?
    pub minimal: bool,
}

/// An executed schedule that breaks the rule.
#[derive(Clone, Debug)]
struct Candidate {
    threads: Vec<u8>,
    runnable: Vec<Threads>,
    violation: Violation,
}

impl Candidate {
    /// Preemptions, switches, steps.
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
        (preemptions, switches, self.threads.len() as u32)
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
}

struct Shrinker<'a, W> {
    explorer: &'a mut Explorer<W>,
    rule: &'static str,
    runs: u32,
    budget: u32,
}

impl<W: World> Shrinker<'_, W> {
    fn attempt(&mut self, threads: &[u8]) -> Option<Candidate> {
        self.runs += 1;
        let run = self.explorer.record(&mut Replay::of(threads), Record::Analysis { from: 0 });
        let violation = run.outcome.err().filter(|violation| violation.rule == self.rule)?;
        let threads: Vec<u8> = self.explorer.runtime.log().map(|step| step.thread).collect();
        let runnable = self.explorer.runtime.analysis(|runnable, _| {
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

    /// Tries the edits of `best` in turn; the first that is simpler.
    fn improve(&mut self, best: &Candidate) -> Option<Candidate> {
        let runs = Schedule::new(best.threads.iter().copied()).runs();
        for edited in edits(&runs) {
            if self.runs == self.budget {
                return None;
            }
            let edited = Schedule::from_runs(&edited);
            if edited.threads() == best.threads {
                continue;
            }
            let candidate = self.attempt(edited.threads());
            if let Some(candidate) = candidate.filter(|candidate| candidate.measure() < best.measure()) {
                return Some(candidate);
            }
        }
        None
    }
}

type Runs = Vec<(u8, usize)>;

/// The edits of a list of runs, those that simplify most first.
fn edits(runs: &Runs) -> impl Iterator<Item = Runs> + '_ {
    let count = runs.len();
    let cut = (0..count).map(move |keep| runs[..keep].to_vec());
    let dropped = (0..count).map(move |at| {
        let mut edited = runs.clone();
        edited.remove(at);
        edited
    });
    let given = (1..count).map(move |at| {
        let mut edited = runs.clone();
        edited[at].0 = edited[at - 1].0;
        edited
    });
    let exchanged = (1..count).map(move |at| {
        let mut edited = runs.clone();
        edited.swap(at - 1, at);
        edited
    });
    // A run at the front of the next run of its thread, or at the end of the last one.
    let later = (0..count).flat_map(move |at| {
        let same = (at + 1..count).find(|&other| runs[other].0 == runs[at].0);
        same.map(|other| {
            let mut edited = runs.clone();
            let run = edited.remove(at);
            edited.insert(other - 1, run);
            edited
        })
    });
    let earlier = (0..count).flat_map(move |at| {
        let same = (0..at).rev().find(|&other| runs[other].0 == runs[at].0);
        same.map(|other| {
            let mut edited = runs.clone();
            let run = edited.remove(at);
            edited.insert(other + 1, run);
            edited
        })
    });
    cut.chain(dropped).chain(given).chain(later).chain(earlier).chain(exchanged)
}

impl<W: World> Explorer<W> {
    /// The simplest schedule found, in at most `budget` runs, that breaks the rule which
    /// `schedule` breaks; `None` if it breaks none.
    pub fn shrink(&mut self, schedule: &Schedule, budget: u32) -> Option<Shrunk> {
        let violation = self.replay(schedule).outcome.err()?;
        let mut shrinker = Shrinker { explorer: self, rule: violation.rule, runs: 1, budget };
        let mut best = shrinker.attempt(schedule.threads())?;
        while let Some(better) = shrinker.improve(&best) {
            best = better;
        }
        let (preemptions, switches, steps) = best.measure();
        Some(Shrunk {
            schedule: best.schedule(),
            preemptions,
            switches,
            steps,
            runs: shrinker.runs,
            minimal: shrinker.runs < budget,
            violation: best.violation,
        })
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
}

/// Turns a schedule of a program into one of a smaller program: the same list, if in doubt.
pub type Adapt = Box<dyn Fn(&Schedule) -> Schedule>;

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

/// Makes program and schedule smaller, as long as the same rule is broken, in about `budget` runs.
/// `None` if `schedule` breaks no rule of `program`.
pub fn shrink_program<P: Shrinkable>(
    program: P,
    schedule: &Schedule,
    options: Options,
    budget: u32,
) -> Option<ShrunkProgram<P>> {
    let mut explorer = Explorer::with_options(program.build()?, options);
    let mut best = ShrunkProgram { shrunk: explorer.shrink(schedule, budget)?, program, runs: 0 };
    best.runs = best.shrunk.runs;
    let rule = best.shrunk.violation.rule;
    while let Some(better) = smaller_program(&best, rule, options, budget) {
        best = better;
    }
    Some(best)
}

fn smaller_program<P: Shrinkable>(
    best: &ShrunkProgram<P>,
    rule: &'static str,
    options: Options,
    budget: u32,
) -> Option<ShrunkProgram<P>> {
    let mut runs = best.runs;
    for (program, adapt) in best.program.smaller() {
        if runs >= budget {
            return None;
        }
        let Some(world) = program.build() else { continue };
        let mut explorer = Explorer::with_options(world, options);
        let Some(schedule) = breaks(&mut explorer, &adapt(&best.shrunk.schedule), rule, &mut runs) else {
            continue;
        };
        let shrunk = explorer.shrink(&schedule, budget.saturating_sub(runs).max(2))?;
        return Some(ShrunkProgram { program, runs: runs + shrunk.runs, shrunk });
    }
    None
}

/// A schedule that breaks `rule`: the one given, or a few with up to two preemptions.
fn breaks<W: World>(
    explorer: &mut Explorer<W>,
    schedule: &Schedule,
    rule: &'static str,
    runs: &mut u32,
) -> Option<Schedule> {
    let broken = |run: super::Run| run.outcome.is_err_and(|violation| violation.rule == rule);
    *runs += 1;
    if broken(explorer.replay(schedule)) {
        return Some(explorer.executed());
    }
    let search = super::Exhaustive { preemptions: Some(2), reduce: true, limit: SEARCH.into() };
    let mut found = None;
    let report = search.visit(explorer, |seen, _| {
        if broken(seen.run.clone()) {
            found = Some(Schedule::new(seen.threads.iter().copied()));
            return std::ops::ControlFlow::Break(());
        }
        std::ops::ControlFlow::Continue(())
    });
    *runs += report.schedules as u32;
    found
}
