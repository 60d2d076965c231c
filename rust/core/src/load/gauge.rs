//! The measurements of one migrator's calls.

use super::host::thread_cpu_time;
use super::planted::Slowdown;
use crate::sync::ops::{Ops, current};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The result of one migration call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Pages that arrived.
    pub migrated: u64,
    /// Pages that were tried and stayed.
    pub failed: u64,
    /// Attempts that ended with "try again".
    pub retries: u64,
    /// Operations beside the migration: choosing pages by age, or preparing the next request. Their number
    /// depends on the list policy and on chance, not on the designs that are compared, so it is kept apart.
    pub aside: Ops,
}

/// Sums and latencies of all calls of a migrator.
#[derive(Clone, Debug)]
pub(super) struct Gauge {
    /// Nanoseconds a page.
    pub latency: Histogram<u64>,
    /// Sum over the calls.
    pub total: Tally,
    /// Number of calls that had pages to move.
    pub calls: u64,
    /// Time inside these calls.
    pub busy: Duration,
    /// CPU time of steps that found no pages to move, and of work beside the migration.
    pub idle_cpu: Duration,
    /// Nanoseconds a request for a block.
    pub asked: Histogram<u64>,
    /// Number of requests that were served.
    pub served: u64,
    /// Number of other operations, by name.
    pub did: BTreeMap<&'static str, u64>,
    /// The planted slowdown of each call.
    slowdown: Slowdown,
}

/// Longest latency that the histogram distinguishes: a minute a page.
const LONGEST_NS: u64 = 60_000_000_000;

impl Gauge {
    /// Makes an empty gauge with this slowdown.
    pub fn new(slowdown: f64) -> Gauge {
        Gauge::with(Slowdown::new(slowdown))
    }

    fn with(slowdown: Slowdown) -> Gauge {
        let empty = || Histogram::new_with_bounds(1, LONGEST_NS, 2).expect("these bounds make sense");
        Gauge {
            latency: empty(),
            asked: empty(),
            served: 0,
            total: Tally::default(),
            calls: 0,
            busy: Duration::ZERO,
            idle_cpu: Duration::ZERO,
            did: BTreeMap::new(),
            slowdown,
        }
    }

    /// Runs one call and measures it.
    #[inline]
    pub fn measure(&mut self, call: impl FnOnce() -> Tally) -> Tally {
        self.timed(|| (call(), ())).0
    }

    /// Runs one request for a block and measures it, whether or not pages moved for it.
    pub fn request<T, E>(&mut self, call: impl FnOnce() -> (Tally, Result<T, E>)) -> Result<T, E> {
        let (_, result, took) = self.timed(call);
        self.asked.saturating_record(took.as_nanos() as u64);
        self.served += u64::from(result.is_ok());
        result
    }

    #[inline]
    fn timed<T>(&mut self, call: impl FnOnce() -> (Tally, T)) -> (Tally, T, Duration) {
        let start = Instant::now();
        let (tally, result) = call();
        let pages = tally.migrated + tally.failed;
        self.slowdown.prolong(start, pages);
        let took = start.elapsed();
        if let Some(each) = (took.as_nanos() as u64).checked_div(pages) {
            self.calls += 1;
            self.busy += took;
            self.latency.saturating_record_n(each, pages);
            self.total.migrated += tally.migrated;
            self.total.failed += tally.failed;
            self.total.retries += tally.retries;
        }
        self.total.aside = self.total.aside.plus(tally.aside);
        (tally, result, took)
    }

    /// Runs work beside the migration. The CPU time and the operations of this work count for no
    /// page.
    pub fn aside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (cpu, ops) = (thread_cpu_time(), current());
        let done = work();
        self.idle_cpu += thread_cpu_time().saturating_sub(cpu);
        self.total.aside = self.total.aside.plus(current().minus(ops));
        done
    }

    /// Counts an operation that is no migration.
    pub fn did(&mut self, what: &'static str) {
        *self.did.entry(what).or_default() += 1;
    }

    /// Returns the measurements and resets them.
    pub fn take(&mut self) -> Gauge {
        std::mem::replace(self, Gauge::with(self.slowdown))
    }
}
