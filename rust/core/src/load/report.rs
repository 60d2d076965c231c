//! What a load says about itself: one [`Round`] after the other, and how it ended.
//!
//! The JSON is flat and complete: whoever compares designs has every number of every round.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// One round.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Round {
    /// Its seed.
    pub seed: u64,
    /// From the common start to the sign to stop.
    pub wall_s: f64,
    /// CPU time of all migrators while they had something to do.
    pub migrator_cpu_s: f64,
    /// CPU time of all threads that use memory.
    pub user_cpu_s: f64,
    /// Time inside migration calls, isolation and putback included, summed over the migrators.
    pub migrating_s: f64,
    /// Pages that arrived on another node.
    pub migrated: u64,
    /// Pages that were tried and stayed.
    pub failed: u64,
    /// Attempts that ended with "try again".
    pub retries: u64,
    /// Migration calls.
    pub calls: u64,
    /// Nanoseconds a page of each call, as (value, pages): the buckets of a histogram with two
    /// significant digits.
    pub latency_ns: Vec<(u64, u64)>,
    /// Cold pages a second of CPU time that libc's `memcpy` copied on one thread, in the same round; 0 if
    /// it was not asked for.
    pub memcpy_pages_per_s: f64,
    /// How many: as many as were migrated, but no more than the working set.
    pub memcpy_pages: u64,
    /// Loads and stores.
    pub accesses: u64,
    /// The same, by node of the page.
    pub accesses_by_node: Vec<u64>,
    /// These × their nodes' latencies, summed over the threads.
    pub modelled_ns: f64,
    /// Other things that the users of memory did, by name.
    pub did: BTreeMap<&'static str, u64>,
}

/// The end of a load: everything was verified, given back, and audited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Finished {
    /// Rounds run.
    pub rounds: u64,
    /// Pages migrated in all of them.
    pub migrated: u64,
    /// Words read at the end and compared with what they must say; 0 on an unbacked machine.
    pub verified_words: u64,
    /// The machine's events, under the kernel's names.
    pub vmstat: BTreeMap<&'static str, i64>,
}

impl Round {
    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// Pages migrated a second of the clock on the wall.
    pub fn pages_per_second(&self) -> f64 {
        self.migrated as f64 / self.wall_s
    }
}

impl Finished {
    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

/// The buckets of a histogram that hold something.
pub(super) fn buckets(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    histogram.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect()
}
