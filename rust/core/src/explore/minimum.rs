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
/// with at most two preemptions. A part is searched once with preemptions, and if it breaks the rule,
/// again for each number of switches; each of these searches takes at most `limit` schedules.
///
/// # Errors
/// If the program cannot be set up or has more operations than the search takes parts of, or if `stop` was
/// set.
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
    let (others, ops) = sections(&program);
    if others > MOST || ops > MOST {
        return Err(SetupError(format!(
            "the search for the minimum takes {MOST} operations of threads at most and {MOST} others, not {ops} \
             and {others}: shrink the program first"
        )));
    }
    on_separate_thread(options.mutation, || {
        let mut schedules = 0;
        let mut proven = true;
        let bounds = Bounds { limit, stop };
        for (programs, part) in parts(&program).enumerate() {
            if bounds.stopped() {
                return Err(SetupError("the search for the minimum was stopped".into()));
            }
            let Ok(case) = Case::new(&part) else { continue };
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

/// The search takes a program whose threads have at most this many operations together, and whose set-up
/// and `finally` have at most this many together.
const MOST: usize = 64;

/// The number of operations of a program's set-up and `finally`, and the number of its threads'.
fn sections(program: &Program) -> (usize, usize) {
    (program.setup.len() + program.finally.len(), operations(program))
}

/// The sets of `size` numbers below `of`, each as a mask, in ascending order.
fn subsets(of: usize, size: usize) -> impl Iterator<Item = u128> {
    let mut next = (size <= of).then(|| (1u128 << size) - 1);
    std::iter::from_fn(move || {
        let mask = next?;
        // The next larger number with as many bits: the lowest block of bits gives its highest bit to the
        // next place, and the others fall to the bottom.
        let low = mask & mask.wrapping_neg();
        let carried = mask + low;
        let larger = if mask == 0 { 0 } else { (((carried ^ mask) >> 2) / low) | carried };
        next = (mask != 0 && larger >> of == 0).then_some(larger);
        Some(mask)
    })
}

/// The parts of a program, those with the fewest operations of threads first; of these, those with the
/// fewest threads, and then those with the fewest other operations. The parts are made one by one: a
/// program of 55 operations has more than any memory holds.
fn parts(program: &Program) -> impl Iterator<Item = Program> + '_ {
    let (others, ops) = sections(program);
    let sizes = (1..=ops).flat_map(|size| (1..=program.threads.len()).map(move |threads| (size, threads)));
    let sizes = sizes.flat_map(move |(size, threads)| (0..=others).map(move |rest| (size, threads, rest)));
    sizes.flat_map(move |(size, threads, rest)| {
        let spans = move |chosen: &u128| threads_of(program, *chosen) == threads;
        let chosen = subsets(ops, size).filter(spans);
        chosen.flat_map(move |chosen| subsets(others, rest).map(move |others| part(program, others, chosen)))
    })
}

/// The number of threads that have an operation in a set.
fn threads_of(program: &Program, chosen: u128) -> usize {
    let mut place = 0;
    let has = |thread: &&crate::program::Thread| {
        let own = (1u128 << thread.ops.len()) - 1;
        let chosen = chosen >> place & own;
        place += thread.ops.len();
        chosen != 0
    };
    program.threads.iter().filter(has).count()
}

/// The part of a program with some operations of the set-up and `finally`, and some of the threads'.
fn part(program: &Program, others: u128, chosen: u128) -> Program {
    fn kept(ops: &[crate::program::Op], chosen: &mut u128) -> Vec<crate::program::Op> {
        let own = *chosen;
        *chosen >>= ops.len();
        let kept = ops.iter().enumerate().filter(|(at, _)| own >> at & 1 != 0);
        kept.map(|(_, op)| op.clone()).collect()
    }
    let (mut others, mut chosen) = (others, chosen);
    let setup = kept(&program.setup, &mut others);
    let finally = kept(&program.finally, &mut others);
    let threads = program.threads.iter().map(|thread| {
        let ops = kept(&thread.ops, &mut chosen);
        crate::program::Thread { ops, ..thread.clone() }
    });
    let threads = threads.filter(|thread| !thread.ops.is_empty()).collect();
    Program { setup, finally, threads, ..program.clone() }
}

/// The limits of a search.
struct Bounds<'a> {
    /// The most schedules of one search of a program.
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

/// Finds the schedule with the fewest switches that breaks the rule. If this search takes too many
/// schedules, returns a shrunk schedule that may have more switches.
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
