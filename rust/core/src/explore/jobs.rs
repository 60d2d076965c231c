//! Random schedules on several OS threads, with a result that does not depend on their number.
//!
//! Schedule number `i` is the same on every job, and the report has the counterexample with the lowest
//! number: after a job has found one, the jobs still finish all schedules with lower numbers. So the
//! report does not depend on the number of jobs or on their speed. Each job builds its own world.
//!
//! Jobs always run on OS threads of their own, even if there is only one job. A schedule that abandons
//! an unwinding stack leaves its OS thread "panicking" for ever, so it must not run on the caller's.

use super::explorer::Explorer;
use super::pairs::Pairs;
use super::sample::{Sampler, Sampling, length};
use super::world::World;
use super::{Counterexample, Coverage, Report};
use crate::sync::explored::Options;
// The jobs are real threads beside the exploration, not threads of it.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Builder;

/// The number of schedules that a job takes at a time.
const CHUNK: u64 = 1024;

/// The most OS threads of an exploration: more than any host has processors.
pub const MAX_JOBS: usize = 1024;

/// The number of jobs that have schedules to run.
pub(super) fn working(sampling: &Sampling, jobs: usize) -> u64 {
    (jobs.max(1) as u64).min(sampling.schedules.div_ceil(CHUNK).max(1))
}

/// A job's result for one chunk of schedules.
struct Done {
    chunk: u64,
    schedules: u64,
    steps: u64,
    found: Option<Counterexample>,
    pairs: Option<Pairs>,
}

/// Runs the schedules of `sampling` on worlds made by `build`, `jobs` at a time, until one breaks
/// a rule, all are run, or `stop` is set.
///
/// # Panics
/// If `build` panics, or the host has no thread at all for the jobs.
pub fn explore<W: World, F: Fn() -> W + Sync>(
    build: F,
    sampling: &Sampling,
    options: Options,
    jobs: usize,
    stop: &AtomicBool,
) -> Report {
    let next = AtomicU64::new(0);
    let best = AtomicU64::new(u64::MAX);
    let chunks = sampling.schedules.div_ceil(CHUNK);
    let jobs = working(sampling, jobs);
    let mut done: Vec<Done> = std::thread::scope(|scope| {
        let job = || {
            let mut explorer = Explorer::with_options(build(), options);
            let length = length(&mut explorer);
            // The default schedule runs once for each job, so its pairs are not counted: the counts would
            // depend on the number of jobs.
            explorer.take_pairs();
            let mut done = Vec::new();
            loop {
                // Relaxed (all): counters and flags that publish no data; joining the jobs
                // publishes their results.
                let chunk = next.fetch_add(1, Ordering::Relaxed);
                let first = chunk * CHUNK;
                let over = chunk >= chunks || first > best.load(Ordering::Relaxed);
                if over || stop.load(Ordering::Relaxed) {
                    return done;
                }
                let last = (first + CHUNK).min(sampling.schedules);
                let mut result = Done { chunk, schedules: 0, steps: 0, found: None, pairs: None };
                for index in first..last {
                    // Relaxed: as above. A job that misses the request runs one schedule more.
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let run = explorer.run(&mut Sampler::new(sampling, index, length));
                    result.schedules += 1;
                    result.steps += u64::from(run.steps);
                    if let Err(violation) = run.outcome {
                        // Relaxed: as above. A job that misses the number runs a chunk that is dropped.
                        best.fetch_min(index, Ordering::Relaxed);
                        let schedule = explorer.executed();
                        result.found = Some(Counterexample { violation, schedule, index });
                        break;
                    }
                }
                result.pairs = explorer.take_pairs();
                done.push(result);
            }
        };
        // If the host has too few threads, fewer jobs run, with the same result.
        let spawn = |_| Builder::new().spawn_scoped(scope, job).ok();
        let handles: Vec<_> = (0..jobs).map_while(spawn).collect();
        assert!(!handles.is_empty(), "no memory for a thread of the explorer");
        handles
            .into_iter()
            .flat_map(|handle| match handle.join() {
                Ok(done) => done,
                Err(payload) => std::panic::resume_unwind(payload),
            })
            .collect()
    });
    done.sort_unstable_by_key(|chunk| chunk.chunk);
    // Schedules beyond the reported counterexample are not counted: how many ran depends on the speed of
    // the jobs.
    let kept = done.iter().position(|chunk| chunk.found.is_some()).map_or(done.len(), |place| place + 1);
    done.truncate(kept);
    let schedules = done.iter().map(|chunk| chunk.schedules).sum();
    let mut pairs = options.pairs.then(Pairs::default);
    if let Some(pairs) = &mut pairs {
        done.iter_mut().filter_map(|chunk| chunk.pairs.take()).for_each(|more| pairs.add(more));
    }
    let counterexample = done.last_mut().and_then(|chunk| chunk.found.take());
    let coverage = if counterexample.is_none() && schedules < sampling.schedules {
        Coverage::Incomplete(format!("stopped after {schedules} of {} schedules", sampling.schedules))
    } else {
        Coverage::Sampled
    };
    Report { schedules, steps: done.iter().map(|chunk| chunk.steps).sum(), coverage, counterexample, pairs }
}
