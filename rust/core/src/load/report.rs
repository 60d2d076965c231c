//! The results of a load: one [`Round`] after the other, and [`Finished`] at its end.
//!
//! The JSON is flat and holds every number of every round, so that a comparison needs no other
//! source.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// The measurements of one round.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Round {
    /// The seed of the round.
    pub seed: u64,
    /// Wall time from the common start to the stop signal.
    pub wall_s: f64,
    /// CPU time of all migrators while they had pages to move.
    pub migrator_cpu_s: f64,
    /// CPU time of all threads that use memory.
    pub user_cpu_s: f64,
    /// Time inside migration calls, with isolation and putback, summed over the migrators.
    pub migrating_s: f64,
    /// Pages that arrived in another frame.
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
    /// Requests for a block, in the loads that ask for blocks.
    pub requests: u64,
    /// The requests that got their block.
    pub served: u64,
    /// Nanoseconds of each request, as (value, requests): a histogram as above.
    pub request_ns: Vec<(u64, u64)>,
    /// The zram device at the end of the round; `None` in loads without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
    /// Pages that libc's `memcpy` copied in a second of CPU time on one thread, in memory of the load's
    /// size and in the same round; 0 if this was not measured.
    pub memcpy_pages_per_s: f64,
    /// Number of pages that `memcpy` copied: the pages migrated in the round, within fixed bounds.
    pub memcpy_pages: u64,
    /// Number of loads and stores.
    pub accesses: u64,
    /// Loads and stores by the node of the page.
    pub accesses_by_node: Vec<u64>,
    /// Accesses times the latencies of their nodes, summed over the threads, in nanoseconds.
    pub modelled_ns: f64,
    /// Number of other operations of migrators and users, by name.
    pub did: BTreeMap<&'static str, u64>,
}

/// The use of a zram device, in bytes or pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Bytes of the content.
    pub content_bytes: u64,
    /// Bytes of the compressed content.
    pub compressed_bytes: u64,
    /// Bytes of the pages of zsmalloc that hold the compressed content.
    pub pool_bytes: u64,
    /// Pages of which all words are the same.
    pub same_pages: u64,
    /// Pages that did not compress.
    pub huge_pages: u64,
}

/// The end of a load: all words were verified, all pages given back, and the machine audited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Finished {
    /// Rounds run.
    pub rounds: u64,
    /// Pages migrated in all rounds.
    pub migrated: u64,
    /// Words that were compared with their expected content at the end; 0 on an unbacked machine.
    pub verified_words: u64,
    /// The machine's events, under the kernel's names.
    pub vmstat: BTreeMap<&'static str, i64>,
}

impl Round {
    /// Serialises the numbers as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// Returns the number of pages migrated in a second of wall time.
    pub fn pages_per_second(&self) -> f64 {
        self.migrated as f64 / self.wall_s
    }
}

impl Finished {
    /// Serialises the numbers as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

/// Returns the buckets of a histogram that are not empty.
pub(super) fn buckets(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    histogram.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect()
}
