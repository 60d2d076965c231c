//! Exhaustive search: every interleaving within a bound on preemptions.
//!
//! A preemption is a switch away from a thread that could have gone on. A switch away from a thread
//! that waits or has ended is free. Most concurrency bugs need few preemptions (Musuvathi and
//! Qadeer, "Iterative context bounding for systematic testing of multithreaded programs", PLDI
//! 2007). So the bound is raised from 0, and the first counterexample has the fewest preemptions.
//!
//! The search is depth-first and stateless: it replays a prefix of choices, then lets the current
//! thread go on for as long as it can. With `reduce` it tries only the alternatives that
//! [`super::reduce`] requires, otherwise all alternatives.

use super::explorer::Explorer;
use super::node::Node;
use super::reduce::Reduction;
use super::world::World;
use super::{Counterexample, Coverage, Report, Run};
use crate::sync::explored::{Choice, Record, Strategy, View};
use std::ops::ControlFlow;

/// A search of all schedules within a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhaustive {
    /// The most preemptions of a schedule; `None` for no bound.
    pub preemptions: Option<u32>,
    /// Leave out schedules that only reorder independent steps.
    pub reduce: bool,
    /// The number of schedules after which the search stops and reports itself incomplete.
    pub limit: u64,
}

impl Default for Exhaustive {
    fn default() -> Self {
        Exhaustive { preemptions: Some(2), reduce: true, limit: u64::MAX }
    }
}

/// One schedule that was run, for a visitor.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The schedule's outcome and its number of steps.
    pub run: &'a Run,
    /// The thread that executed each step.
    pub threads: &'a [u8],
}

/// Follows a prefix, then lets the current thread go on for as long as it can.
struct Prefix<'a>(&'a [Node]);

impl Strategy for Prefix<'_> {
    fn choose(&mut self, view: View) -> Choice {
        let step = view.step as usize;
        match self.0.get(step..) {
            Some(rest @ [node, ..]) => {
                let run = rest.iter().take_while(|other| other.chosen == node.chosen).count();
                Choice { thread: node.chosen.into(), until: (step + run) as u32 }
            }
            _ => Choice { thread: view.fall_back(None), until: u32::MAX },
        }
    }
}

impl Exhaustive {
    /// Searches until a rule is broken or all schedules within the bound are covered.
    pub fn search<W: World>(&self, explorer: &mut Explorer<W>) -> Report {
        self.search_until(explorer, || false)
    }

    /// Like [`Exhaustive::search`], but also ends after a schedule, and reports itself incomplete, when
    /// `stopped` is true.
    pub fn search_until<W: World>(&self, explorer: &mut Explorer<W>, stopped: impl Fn() -> bool) -> Report {
        let mut found = None;
        let mut report = self.visit(explorer, |seen, index| match &seen.run.outcome {
            Ok(_) if stopped() => ControlFlow::Break(()),
            Ok(_) => ControlFlow::Continue(()),
            Err(violation) => {
                let schedule = super::Schedule::new(seen.threads.iter().copied());
                found = Some(Counterexample { violation: violation.clone(), schedule, index });
                ControlFlow::Break(())
            }
        });
        if found.is_some() {
            report.coverage = Coverage::Incomplete("stopped at a violation".into());
        }
        report.counterexample = found;
        report
    }

    /// Calls `visitor` with each schedule that the search runs, and with the number of schedules that ran
    /// before. The visitor may end the search, which then reports itself incomplete: only the visitor knows
    /// whether a violation was the reason.
    ///
    /// When the bound is raised, the search begins anew. So it visits some schedules more than once.
    pub fn visit<W: World>(
        &self,
        explorer: &mut Explorer<W>,
        mut visitor: impl FnMut(Seen<'_>, u64) -> ControlFlow<()>,
    ) -> Report {
        let mut search = Search {
            // The reduction does not know when a store can leave its buffer.
            reduce: self.reduce && !explorer.runtime.buffers_stores(),
            explorer,
            limit: self.limit,
            schedules: 0,
            steps: 0,
            path: Vec::new(),
            reduction: Reduction::default(),
        };
        let mut bound = if self.preemptions.is_some() { 0 } else { u32::MAX };
        let coverage = loop {
            match search.within(bound, &mut visitor) {
                End::Stopped | End::Limit => {
                    break Coverage::Incomplete(format!("stopped after {} schedules", search.schedules));
                }
                End::Everything => break Coverage::Complete,
                End::Bound if Some(bound) == self.preemptions => {
                    break Coverage::Bounded { preemptions: bound };
                }
                End::Bound => bound += 1,
            }
        };
        let (schedules, steps) = (search.schedules, search.steps);
        Report { schedules, steps, coverage, counterexample: None, pairs: explorer.take_pairs() }
    }
}

/// The end of a search within one bound.
enum End {
    /// All schedules were tried: the bound excluded none.
    Everything,
    /// All schedules within the bound were tried, and the bound excluded others.
    Bound,
    /// The visitor ended the search.
    Stopped,
    /// The number of schedules reached its limit.
    Limit,
}

struct Search<'a, W> {
    explorer: &'a mut Explorer<W>,
    reduce: bool,
    limit: u64,
    schedules: u64,
    steps: u64,
    path: Vec<Node>,
    reduction: Reduction,
}

impl<W: World> Search<'_, W> {
    fn within(&mut self, bound: u32, visitor: &mut impl FnMut(Seen<'_>, u64) -> ControlFlow<()>) -> End {
        self.path.clear();
        let mut left_out = false;
        let mut threads = Vec::new();
        loop {
            if self.schedules == self.limit {
                return End::Limit;
            }
            let prefix = self.path.len();
            let run = self.execute();
            let index = self.schedules;
            self.schedules += 1;
            self.steps += u64::from(run.steps);
            threads.clear();
            threads.extend(self.path.iter().map(|node| node.chosen));
            if visitor(Seen { run: &run, threads: &threads }, index).is_break() {
                return End::Stopped;
            }
            if self.reduce {
                if run.outcome.is_ok() {
                    let Search { explorer, path, reduction, .. } = self;
                    reduction.analyse(&explorer.runtime, path, prefix.saturating_sub(1));
                } else {
                    // The violation cut the schedule short: the later steps of its threads are unknown,
                    // and with them the conflicts that the reduction needs. All alternatives are tried.
                    self.path.iter_mut().for_each(|node| node.todo = node.runnable);
                }
            }
            if !self.back_up(bound, &mut left_out) {
                return if left_out { End::Bound } else { End::Everything };
            }
        }
    }

    /// Runs a schedule that begins with the path, and extends the path to the schedule's end.
    fn execute(&mut self) -> Run {
        let Search { explorer, path, reduce, .. } = self;
        let prefix = path.len();
        let run = explorer.record(&mut Prefix(path), Record::Analysis { from: prefix as u32 });
        let mut before = path.last().map(|last| last.chosen);
        let mut spent = match path.as_slice() {
            [] => 0,
            [first] => first.spent,
            [.., before, last] => last.spent + last.cost(last.chosen, Some(before.chosen)),
        };
        explorer.runtime.analysis(|runnable, _| {
            for (step, executed) in explorer.runtime.log().enumerate().skip(prefix) {
                let me = 1 << executed.thread;
                // Where only one thread was left to run, the set of runnable threads is empty or missing.
                let runnable = runnable.get(step).copied().filter(|set| *set != 0).unwrap_or(me);
                let todo = if *reduce { me } else { runnable };
                let node = Node { runnable, chosen: executed.thread, done: me, todo, spent };
                path.push(node);
                spent += node.cost(node.chosen, before);
                before = Some(node.chosen);
            }
        });
        run
    }

    /// Cuts the path back to the last step with an alternative within the bound, and chooses the
    /// alternative. Returns false if there is none. Sets `left_out` if the bound excludes one.
    fn back_up(&mut self, bound: u32, left_out: &mut bool) -> bool {
        while let Some(mut node) = self.path.pop() {
            let before = self.path.last().map(|last| last.chosen);
            while node.todo & node.runnable & !node.done != 0 {
                let thread = (node.todo & node.runnable & !node.done).trailing_zeros() as u8;
                node.done |= 1 << thread;
                if node.spent + node.cost(thread, before) <= bound {
                    node.chosen = thread;
                    self.path.push(node);
                    return true;
                }
                *left_out = true;
            }
        }
        false
    }
}
