//! Counterexamples shrink to their minimum.

use crate::small;
use mmcore_explored::explore::{
    Adapt, Executed, Exhaustive, Explorer, Method, Options, Sampling, Schedule, Shrinkable, Violation, World,
    explore, same_steps, shrink_program,
};
use mmcore_explored::sync::{AtomicU64, Ordering::*};
use std::sync::atomic::AtomicBool;

/// The operation of a test program's thread on one of two counters.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    /// Reads, adds one, writes: the defect.
    Bad(usize),
    Good(usize),
    Look(usize),
}

#[derive(Clone, Debug, PartialEq)]
struct Program(Vec<Vec<Op>>);

struct Counters {
    program: Program,
    counters: [AtomicU64; 2],
}

impl World for Counters {
    fn threads(&self) -> usize {
        self.program.0.len()
    }

    fn run(&self, thread: usize) {
        for &op in &self.program.0[thread] {
            match op {
                Op::Bad(which) => {
                    let value = self.counters[which].load(Relaxed);
                    self.counters[which].store(value + 1, Relaxed);
                }
                Op::Good(which) => _ = self.counters[which].fetch_add(1, Relaxed),
                Op::Look(which) => _ = self.counters[which].load(Relaxed),
            }
        }
    }

    fn check(&self) -> Result<(), Violation> {
        for which in 0..2 {
            let ops = self.program.0.iter().flatten();
            let due = ops.filter(|op| **op == Op::Bad(which) || **op == Op::Good(which)).count() as u64;
            let found = self.counters[which].load(Relaxed);
            if found != due {
                return Err(Violation::new("lost update", format!("counter {which} is {found}, not {due}")));
            }
        }
        Ok(())
    }
}

impl Shrinkable for Program {
    type World = Counters;

    fn build(&self) -> Option<Counters> {
        let program = self.clone();
        (!program.0.is_empty()).then(|| Counters { program, counters: Default::default() })
    }

    fn smaller(&self) -> Vec<(Self, Adapt)> {
        let mut smaller: Vec<(Self, Adapt)> = Vec::new();
        for thread in 0..self.0.len() {
            let mut program = self.clone();
            program.0.remove(thread);
            let adapt = move |steps: &[Executed]| {
                let others = steps.iter().map(|step| step.thread).filter(|&t| usize::from(t) != thread);
                Schedule::new(others.map(|t| t - u8::from(usize::from(t) > thread)))
            };
            smaller.push((program, Box::new(adapt)));
        }
        for thread in 0..self.0.len() {
            for op in 0..self.0[thread].len() {
                let mut program = self.clone();
                program.0[thread].remove(op);
                smaller.push((program, Box::new(same_steps)));
            }
        }
        smaller
    }
}

/// Four threads with many operations beside the defect.
fn busy() -> Program {
    use Op::{Bad, Good, Look};
    Program(vec![
        vec![Look(0), Good(1), Good(0), Look(1), Good(1)],
        vec![Good(1), Look(0), Bad(0), Good(1), Look(0)],
        vec![Good(0), Look(1), Good(1), Good(1), Good(0)],
        vec![Good(1), Good(1), Look(1), Good(0), Look(1)],
    ])
}

#[test]
fn a_program_and_its_schedule_become_minimal() {
    let sampling = Sampling { method: Method::Walk { stay: 0 }, schedules: 10_000, seed: 11 };
    let build = || busy().build().expect("threads");
    let report = explore(build, &sampling, Options::default(), 2, &AtomicBool::new(false));
    let found = report.counterexample.expect("a lost update");
    let small =
        shrink_program(busy(), &found.schedule, Options::default(), 500).expect("still a lost update");
    assert!(small.runs <= 500, "{} runs", small.runs);
    // The minimum is a read, another thread's update, the write: two threads, two operations, two
    // switches.
    let mut threads = small.program.0.clone();
    threads.sort_by_key(|ops| format!("{ops:?}"));
    assert_eq!(threads, [[Op::Bad(0)], [Op::Good(0)]]);
    assert_eq!((small.shrunk.switches, small.shrunk.preemptions, small.shrunk.steps), (2, 1, 3));
    let mut explorer = Explorer::new(small.program.build().expect("threads"));
    assert_eq!(explorer.replay(&small.shrunk.schedule).outcome, Err(small.shrunk.violation));
}

#[test]
fn shrinking_reaches_the_fewest_preemptions() {
    fn compare<W: World>(build: impl Fn() -> W + Sync) {
        let options = Options { max_steps: 2_000, ..Options::default() };
        let mut explorer = Explorer::with_options(build(), options);
        let least = Exhaustive::default().search(&mut explorer).counterexample.expect("a violation");
        let least = explorer.shrink(&least.schedule, 500).expect("a violation");
        for seed in 0..20 {
            let sampling = Sampling { method: Method::Walk { stay: 0 }, schedules: 5_000, seed };
            let report = explore(&build, &sampling, options, 1, &AtomicBool::new(false));
            let found = report.counterexample.expect("a violation");
            let shrunk = explorer.shrink(&found.schedule, 500).expect("a violation");
            assert!(shrunk.minimal);
            assert_eq!((shrunk.preemptions, shrunk.switches), (least.preemptions, least.switches));
            assert_eq!(explorer.replay(&shrunk.schedule).outcome, Err(shrunk.violation));
        }
    }
    compare(small::lost_update);
    compare(small::deadlock);
    compare(|| small::sleeper(false));
    compare(|| small::publish(Relaxed));
    compare(|| busy().build().expect("threads"));
}

#[test]
fn a_schedule_that_breaks_no_rule_does_not_shrink() {
    let mut explorer = Explorer::new(small::lost_update());
    assert_eq!(explorer.shrink(&Schedule::default(), 100), None);
}
