//! List policies on a trace: the share of a program's accesses that find their page in a memory
//! with fewer pages than the program uses.
//!
//! All pages belong to one file, which is read through the page cache of a machine without bytes. A
//! request for a cached page marks the page accessed. A request for another page first makes room
//! by [`Machine::reclaim`], if the memory is full, and then reads the page in: the page is
//! allocated, inserted into the cache, and added to the LRU through the CPU's batch. The measured
//! code is therefore the machine's ordinary reclaim, and the time includes all of it.
//!
//! With batches of one page the policies `fifo`, `lru` and `clock` evict in the textbook's order.

use super::fault::{Finding, LoadError};
use crate::audit::Ledger;
use crate::lru::LruList;
use crate::machine::{Config, Machine, NodeConfig, enter_thread};
use crate::map::{File, FileKind};
use crate::profile::Profile;
use crate::release::Split;
use crate::stat::{Event, NodeItem};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Additional frames for per-CPU arrays and batches.
const SPARE: u32 = 1024;
/// The reclaims for one request that may free no page before the run gives up. The first ones may
/// only deactivate pages.
const PATIENCE: u32 = 8;

/// The run of a policy over a trace.
pub struct Replacement {
    machine: Machine<Split>,
    file: Arc<File>,
    /// The most pages that the memory holds, and the pages that it holds now.
    size: u32,
    resident: u32,
    /// Requests of the warm-up that are still to come; they are not among the `counts`.
    warm_up: u64,
    /// All requests so far, those of the warm-up included.
    made: u64,
    counts: Counts,
    time: Duration,
}

impl std::fmt::Debug for Replacement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Replacement { size, resident, counts, .. } = self;
        write!(f, "Replacement of {resident} of {size} pages, {counts:?}")
    }
}

/// The counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests, after those of the warm-up.
    pub requests: u64,
    /// Requests whose page was not cached.
    pub misses: u64,
}

/// The result of a policy.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Requests and misses.
    #[serde(flatten)]
    pub counts: Counts,
    /// Seconds that all requests took, the warm-up included.
    pub seconds: f64,
    /// Requests a second, those of the warm-up included.
    pub requests_per_s: f64,
    /// Activations of pages.
    pub activated: i64,
    /// Deactivations of pages.
    pub deactivated: i64,
    /// Pages that reclaim scanned.
    pub scanned: i64,
    /// Refaults: pages that were read again after their eviction.
    pub refaulted: i64,
    /// Refaulted pages that were activated at once.
    pub reactivated: i64,
    /// Active pages at the end.
    pub active: u32,
}

impl Replacement {
    /// Makes an empty memory of `size` pages for a program of `footprint` pages.
    pub fn new(profile: Profile, footprint: u32, size: u32, warm_up: u64) -> Result<Replacement, LoadError> {
        if size == 0 || footprint == 0 {
            return Err(LoadError::Config("the memory and the trace need at least one page each".into()));
        }
        let frames = size
            .checked_add(SPARE)
            .ok_or_else(|| LoadError::Config(format!("a memory of {size} pages is too large")))?;
        let nodes = vec![NodeConfig { frames, latency_ns: NodeConfig::LATENCY_NS }];
        let machine = Machine::new(&Config { nodes, cpus: 1, backed: false, profile, ..Config::new(1, 1) })?;
        enter_thread()?;
        let file = machine.file(FileKind::Disk, footprint)?;
        let (counts, time) = (Counts::default(), Duration::ZERO);
        Ok(Replacement { machine, file, size, resident: 0, warm_up, made: 0, counts, time })
    }

    /// Performs requests: page numbers below the footprint.
    pub fn run(&mut self, requests: &[u32]) -> Result<(), LoadError> {
        enter_thread()?;
        let start = Instant::now();
        for &page in requests {
            let hit = self.machine.read_cached(&self.file, page);
            if !hit {
                self.make_room()?;
                self.machine.read_uncached(&self.file, page, 0)?;
                self.resident += 1;
            }
            match self.warm_up {
                0 => {
                    self.counts.requests += 1;
                    self.counts.misses += u64::from(!hit);
                }
                _ => self.warm_up -= 1,
            }
        }
        self.made += requests.len() as u64;
        self.time += start.elapsed();
        Ok(())
    }

    fn make_room(&mut self) -> Result<(), LoadError> {
        let mut patience = PATIENCE;
        while self.resident >= self.size {
            let freed = self.machine.reclaim(0, self.resident + 1 - self.size)?;
            self.resident -= freed;
            if freed == 0 {
                patience -= 1;
                if patience == 0 {
                    return Err(LoadError::Config(format!(
                        "reclaim frees none of {} clean pages",
                        self.resident
                    )));
                }
            }
        }
        Ok(())
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Audits the machine and ends it.
    pub fn finish(self) -> Result<Outcome, Finding> {
        enter_thread().map_err(Finding::refused("the end of the run"))?;
        let machine = &self.machine;
        machine.lru_drain_all();
        let findings = machine.audit(&Ledger::default());
        if !findings.is_empty() {
            return Err(Finding::Audit(findings.iter().map(ToString::to_string).collect()));
        }
        let seconds = self.time.as_secs_f64();
        let event = |event| machine.stats().events(event);
        let item = |item| machine.stats().on_node(0, item);
        let all = machine.stats().events(Event::PgscanDirect);
        Ok(Outcome {
            counts: self.counts,
            seconds,
            requests_per_s: self.made as f64 / seconds.max(f64::MIN_POSITIVE),
            activated: event(Event::Pgactivate),
            deactivated: event(Event::Pgdeactivate),
            scanned: all,
            refaulted: item(NodeItem::WorkingsetRefaultFile),
            reactivated: item(NodeItem::WorkingsetActivateFile),
            active: machine.nodes()[0].lruvec.lock().pages(LruList::ActiveFile),
        })
    }
}

impl Outcome {
    /// Serialises the result as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain numbers are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::collections::VecDeque;

    /// Returns a trace with hot pages, scans and noise.
    fn trace() -> Vec<u32> {
        let mut rng = Rng::new(11, 0);
        (0..20_000u32)
            .map(|at| match rng.below(10) {
                0..=5 => rng.below(40),
                6..=7 => 40 + at % 300,
                _ => rng.below(400),
            })
            .collect()
    }

    fn misses(policy: &str, size: u32, pagevec: &str) -> u64 {
        let mut profile = Profile::default();
        profile.set("lru_policy", policy).unwrap();
        profile.set("pagevec", pagevec).unwrap();
        let mut run = Replacement::new(profile, 400, size, 0).unwrap();
        trace().chunks(7).for_each(|requests| run.run(requests).unwrap());
        let outcome = run.finish().unwrap();
        assert_eq!(outcome.counts.requests, 20_000);
        outcome.counts.misses
    }

    /// Runs the textbook's algorithm over a queue with the front first, and returns the misses.
    fn textbook(policy: &str, size: usize) -> u64 {
        let mut queue: VecDeque<(u32, bool)> = VecDeque::new();
        let mut misses = 0;
        for page in trace() {
            if let Some(at) = queue.iter().position(|&(cached, _)| cached == page) {
                match policy {
                    "lru" => {
                        let found = queue.remove(at).unwrap();
                        queue.push_front(found);
                    }
                    "clock" => queue[at].1 = true,
                    _ => {}
                }
                continue;
            }
            misses += 1;
            while queue.len() == size {
                match queue.pop_back().unwrap() {
                    (spared, true) => queue.push_front((spared, false)),
                    _ => break,
                }
            }
            queue.push_front((page, false));
        }
        misses
    }

    #[test]
    fn with_batches_of_one_page_a_textbooks_policy_is_the_textbooks() {
        for policy in ["fifo", "lru", "clock"] {
            for size in [1, 2, 31, 100, 399, 400] {
                assert_eq!(misses(policy, size, "1"), textbook(policy, size as usize), "{policy} {size}");
            }
        }
    }

    #[test]
    fn a_memory_that_holds_everything_misses_each_page_once() {
        for policy in crate::profile::LruPolicy::ALL {
            assert_eq!(misses(policy.name(), 400, "31"), 400, "{policy}");
        }
    }

    #[test]
    fn pages_in_use_survive_a_scan_only_under_policies_that_look() {
        // Forty hot pages and a scan of twice the memory.
        let of = |policy: &str| {
            let mut profile = Profile::default();
            profile.set("lru_policy", policy).unwrap();
            let mut run = Replacement::new(profile, 1000, 100, 0).unwrap();
            for _ in 0..4 {
                run.run(&(0..40).collect::<Vec<_>>()).unwrap();
            }
            run.run(&(100..1000).collect::<Vec<_>>()).unwrap();
            let before = run.counts().misses;
            run.run(&(0..40).collect::<Vec<_>>()).unwrap();
            run.counts().misses - before
        };
        // `mglru` spares pages with several accesses only after it has seen such pages refault.
        assert_eq!(of("mglru"), 40);
        assert_eq!(of("fifo"), 40);
        assert_eq!(of("lru"), 40);
        assert_eq!(of("clock"), 40);
        assert_eq!(of("two_list"), 0);
    }

    #[test]
    fn the_rate_is_that_of_all_requests() {
        let mut run = Replacement::new(Profile::default(), 400, 100, 19_990).unwrap();
        run.run(&trace()).unwrap();
        let outcome = run.finish().unwrap();
        assert_eq!(outcome.counts.requests, 10);
        assert_eq!((outcome.requests_per_s * outcome.seconds).round(), 20_000.0);
    }

    #[test]
    fn generations_learn_which_tiers_to_spare() {
        let mut profile = Profile::default();
        profile.set("lru_policy", "mglru").unwrap();
        let mut run = Replacement::new(profile, 100_000, 100, 0).unwrap();
        let mut misses = Vec::new();
        for round in 0..40u32 {
            // Forty pages, each accessed four times, then more pages than fit, each accessed once.
            let before = run.counts().misses;
            for _ in 0..4 {
                run.run(&(0..40).collect::<Vec<_>>()).unwrap();
            }
            misses.push(run.counts().misses - before);
            let first = 100 + round * 120;
            run.run(&(first..first + 120).collect::<Vec<_>>()).unwrap();
        }
        assert_eq!(misses[1], 40);
        assert!(misses[20..].iter().any(|&misses| misses < 40), "{misses:?}");
        run.finish().unwrap();
    }
}
