//! What one migrator measures about its calls.

use super::planted::Slowdown;
use crate::sync::ops::Ops;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What one call did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Pages that arrived.
    pub migrated: u64,
    /// Pages that were tried and stayed.
    pub failed: u64,
    /// Attempts that ended with "try again".
    pub retries: u64,
    /// Operations of choosing pages: how many looks find how many is a matter of the list policy and of
    /// chance, not of what is compared.
    pub choosing: Ops,
}

/// Measures calls.
#[derive(Clone, Debug)]
pub(super) struct Gauge {
    /// Nanoseconds a page.
    pub latency: Histogram<u64>,
    /// Sum over the calls.
    pub total: Tally,
    /// Number of calls that had pages to move.
    pub calls: u64,
    /// Time inside of them.
    pub busy: Duration,
    /// CPU time spent on looking for work that was not there.
    pub idle_cpu: Duration,
    /// Other things that it did, by name.
    pub did: BTreeMap<&'static str, u64>,
    /// Planted: each call takes this share longer.
    slowdown: Slowdown,
}

/// Longest latency told apart: a minute a page.
const LONGEST_NS: u64 = 60_000_000_000;

impl Gauge {
    /// Nothing measured.
    pub fn new(slowdown: f64) -> Gauge {
        Gauge::with(Slowdown::new(slowdown))
    }

    fn with(slowdown: Slowdown) -> Gauge {
        let latency = Histogram::new_with_bounds(1, LONGEST_NS, 2).expect("these bounds make sense");
        Gauge {
            latency,
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
        let start = Instant::now();
        let tally = call();
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
        self.total.choosing = self.total.choosing.plus(tally.choosing);
        tally
    }

    /// Notes something that is no migration.
    pub fn did(&mut self, what: &'static str) {
        *self.did.entry(what).or_default() += 1;
    }

    /// Hands out what was measured and begins anew.
    pub fn take(&mut self) -> Gauge {
        std::mem::replace(self, Gauge::with(self.slowdown))
    }
}
