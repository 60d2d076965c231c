//! The smallest race, found by search and not by shrinking.
//!
//! The search takes every part of a program, that is, every program made of some of its operations, the
//! parts with the fewest operations first. For the first part that breaks the rule it tries every
//! schedule without a switch, then with one switch, and so on. Tests compare the results of shrinking
//! with this minimum.

use super::program::{Found, ProgramOptions, describe, on_separate_thread, with_machine};
use super::schedule::Replay;
use super::smaller::Case;
use super::{Exhaustive, Explorer, Run, Schedule, Shrunk, World};
use crate::program::{Program, SetupError};
use crate::sync::explored::{Record, threads_in};
use serde::Serialize;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::atomic::{AtomicBool, Ordering};

/// The smallest race.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Minimum {
    /// The version of this object's form.
    pub schema: u32,
    /// The program and the schedule.
    pub found: Found,
    /// The number of the program's threads.
    pub threads: usize,
    /// The number of its threads' operations.
    pub operations: usize,
    /// The number of smaller programs that come before this one in the search.
    pub programs: usize,
    /// Schedules run.
    pub schedules: u64,
    /// True if no search stopped early: within the bound on preemptions nothing smaller breaks the
    /// rule.
    pub proven: bool,
}

/// The smallest race by which `program`, or a part of it, breaks `rule`. `None` if there is none
/// with at most two preemptions. At most `limit` schedules of each program are searched.
///
/// # Errors
/// If the program cannot be set up, or `stop` was set.
pub fn minimum(
    program: &Program,
    rule: &str,
    options: &ProgramOptions,
    limit: u64,
    stop: &AtomicBool,
) -> Result<Option<Minimum>, SetupError> {
    let program = with_machine(program, &options.machine);
    // An error here means that the whole program cannot be set up. A part that cannot be set up is
    // skipped below.
    Case::new(&program)?;
    on_separate_thread(options.mutation, || {
        let mut schedules = 0;
        let mut proven = true;
        for (programs, part) in parts(&program).into_iter().enumerate() {
            let Ok(case) = Case::new(&part) else { continue };
            let bounds = Bounds { limit, stop };
            let schedule = fewest_switches(&case, rule, options, &bounds, &mut schedules, &mut proven);
            if bounds.stopped() {
                return Err(SetupError("the search for the minimum was stopped".into()));
            }
            let Some(schedule) = schedule else { continue };
            let found = describe(&case, schedule, 0, options.options)?;
            let (threads, operations) = (part.threads.len(), operations(&part));
            return Ok(Some(Minimum { schema: 1, found, threads, operations, programs, schedules, proven }));
        }
        Ok(None)
    })
}

fn operations(program: &Program) -> usize {
    program.threads.iter().map(|thread| thread.ops.len()).sum()
}

/// The parts of a program, those with the fewest operations of threads first.
fn parts(program: &Program) -> Vec<Program> {
    let counts: Vec<usize> = [program.setup.len(), program.finally.len()]
        .into_iter()
        .chain(program.threads.iter().map(|thread| thread.ops.len()))
        .collect();
    let total: usize = counts.iter().sum();
    let mut parts: Vec<Program> = (0..1u64 << total.min(20))
        .map(|chosen| {
            let mut place = 0;
            let mut part = |ops: &[crate::program::Op]| {
                let kept = ops.iter().enumerate().filter(|(at, _)| chosen & 1 << (place + at) != 0);
                let kept = kept.map(|(_, op)| op.clone()).collect::<Vec<_>>();
                place += ops.len();
                kept
            };
            let setup = part(&program.setup);
            let finally = part(&program.finally);
            let threads = program.threads.iter().map(|thread| {
                let ops = part(&thread.ops);
                crate::program::Thread { ops, ..thread.clone() }
            });
            let threads = threads.collect::<Vec<_>>().into_iter().filter(|thread| !thread.ops.is_empty());
            Program { setup, finally, threads: threads.collect(), ..program.clone() }
        })
        .filter(|part| !part.threads.is_empty())
        .collect();
    parts.sort_by_key(|part| (operations(part), part.threads.len(), part.setup.len() + part.finally.len()));
    parts
}

/// The limits of a search.
struct Bounds<'a> {
    /// The most schedules of each program.
    limit: u64,
    /// Ends the search when set.
    stop: &'a AtomicBool,
}

impl Bounds<'_> {
    fn stopped(&self) -> bool {
        // Relaxed: the flag only asks to stop; it publishes no data.
        self.stop.load(Ordering::Relaxed)
    }
}

/// Finds the schedule with the fewest switches that breaks the rule.
fn fewest_switches(
    case: &Case,
    rule: &str,
    options: &ProgramOptions,
    bounds: &Bounds<'_>,
    schedules: &mut u64,
    proven: &mut bool,
) -> Option<Shrunk> {
    let limit = bounds.limit;
    let mut explorer = Explorer::with_options(case.world()?, options.options);
    let mut found = None;
    let all = Exhaustive { preemptions: Some(2), reduce: true, limit };
    let report = all.visit(&mut explorer, |seen, _| {
        if breaks(seen.run, rule) {
            found = Some(Schedule::new(seen.threads.iter().copied()));
            return Break(());
        }
        if bounds.stopped() { Break(()) } else { Continue(()) }
    });
    *schedules += report.schedules;
    let Some(found) = found else {
        *proven &= report.coverage.is_exhaustive();
        return None;
    };
    for switches in 0.. {
        let mut search = BySwitches { explorer: &mut explorer, rule, left: limit, bounds };
        let schedule = search.within(&[], switches);
        let spent = search.left == 0 || bounds.stopped();
        *schedules += limit - search.left;
        if let Some(schedule) = schedule {
            return explorer.shrink(&schedule, 1);
        }
        if spent {
            break;
        }
    }
    *proven = false;
    explorer.shrink(&found, 500)
}

fn breaks(run: &Run, rule: &str) -> bool {
    run.outcome.as_ref().is_err_and(|violation| violation.rule == rule)
}

/// Searches all schedules with up to a number of switches, without reduction. A forced switch, away from
/// a thread that waits or has ended, counts, too.
struct BySwitches<'a, W> {
    explorer: &'a mut Explorer<W>,
    rule: &'a str,
    left: u64,
    bounds: &'a Bounds<'a>,
}

impl<W: World> BySwitches<'_, W> {
    /// The first schedule that begins with `prefix`, has at most `switches` switches, and breaks
    /// the rule.
    fn within(&mut self, prefix: &[u8], switches: u32) -> Option<Schedule> {
        self.left = self.left.checked_sub(1).filter(|_| !self.bounds.stopped())?;
        let from = prefix.len() as u32;
        let run = self.explorer.record(&mut Replay::of(prefix), Record::Analysis { from });
        let threads: Vec<u8> = self.explorer.runtime.log().map(|step| step.thread).collect();
        let runnable = self.explorer.runtime.analysis(|runnable, _| runnable.to_vec());
        let mut spent = 0;
        // Beyond the prefix, the run has only forced switches.
        let within = threads.windows(2).all(|pair| {
            spent += u32::from(pair[0] != pair[1]);
            spent <= switches
        });
        if within && breaks(&run, self.rule) {
            return Some(Schedule::new(threads));
        }
        let mut spent = 0;
        for step in 0..threads.len() {
            let before = step.checked_sub(1).map(|before| threads[before]);
            if step >= prefix.len() {
                let others = runnable.get(step).copied().unwrap_or_default() & !(1 << threads[step]);
                for other in threads_in(others) {
                    let other = other as u8;
                    let costs = spent + u32::from(before.is_some_and(|before| before != other));
                    if costs <= switches {
                        let longer = [&threads[..step], &[other]].concat();
                        let found = self.within(&longer, switches);
                        if found.is_some() {
                            return found;
                        }
                    }
                }
            }
            spent += u32::from(before.is_some_and(|before| before != threads[step]));
            if spent > switches {
                break;
            }
        }
        None
    }
}
