//! List policies on a trace: how many of a program's accesses find their page in a memory that holds fewer pages than
//! the program uses.
//!
//! The pages are those of one file, read through the page cache of a machine of records alone. A request whose page is
//! cached marks it accessed. Another one first makes room, if the memory holds its number of pages, by
//! [`Machine::reclaim`], and then reads its page in: allocated, inserted into the cache, added to the LRU through the
//! CPU's batch. What is measured is so the same code that reclaims anywhere else, and its time.
//!
//! With batches of one page the policies `fifo`, `lru` and `clock` are the textbook's.

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

/// Frames besides those that the memory is to hold: what per-CPU arrays and batches keep.
const SPARE: u32 = 1024;
/// Rounds of reclaim that may free nothing: what was active is inactive after the first.
const PATIENCE: u32 = 8;

/// A policy on a trace.
pub struct Replacement {
    machine: Machine<Split>,
    file: Arc<File>,
    /// Pages that the memory may hold, and those that it holds.
    size: u32,
    resident: u32,
    /// Requests that are not counted yet.
    warm_up: u64,
    counts: Counts,
    time: Duration,
}

impl std::fmt::Debug for Replacement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Replacement { size, resident, counts, .. } = self;
        write!(f, "Replacement of {resident} of {size} pages, {counts:?}")
    }
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests, after those of the warm-up.
    pub requests: u64,
    /// Those whose page was not there.
    pub misses: u64,
}

/// What a policy came to.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Requests and misses.
    #[serde(flatten)]
    pub counts: Counts,
    /// Seconds that all requests took, those of the warm-up too.
    pub seconds: f64,
    /// Requests a second.
    pub requests_per_s: f64,
    /// Pages that became active, and inactive again.
    pub activated: i64,
    /// The same.
    pub deactivated: i64,
    /// Pages looked at for one that was freed, in sum.
    pub scanned: i64,
    /// Pages that came back after their eviction.
    pub refaulted: i64,
    /// Of those: active at once.
    pub reactivated: i64,
    /// Active pages at the end.
    pub active: u32,
}

impl Replacement {
    /// A memory of `size` pages for a program of `footprint` pages; nothing of it is there.
    pub fn new(profile: Profile, footprint: u32, size: u32, warm_up: u64) -> Result<Replacement, LoadError> {
        if size == 0 || footprint == 0 {
            return Err(LoadError::Config("a memory has one page at least, and a trace too".into()));
        }
        let frames = size.checked_add(SPARE).ok_or_else(|| LoadError::Config(format!("{size} pages")))?;
        let nodes = vec![NodeConfig { frames, latency_ns: NodeConfig::LATENCY_NS }];
        let machine = Machine::new(&Config { nodes, cpus: 1, backed: false, profile, ..Config::new(1, 1) })?;
        enter_thread()?;
        let file = machine.file(FileKind::Disk, footprint)?;
        let (counts, time) = (Counts::default(), Duration::ZERO);
        Ok(Replacement { machine, file, size, resident: 0, warm_up, counts, time })
    }

    /// Some requests: numbers of pages below the footprint.
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

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Audits the machine and ends it.
    pub fn finish(self) -> Result<Outcome, Finding> {
        enter_thread().map_err(Finding::refused("to end it"))?;
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
            requests_per_s: self.counts.requests as f64 / seconds.max(f64::MIN_POSITIVE),
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
    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain numbers are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::collections::VecDeque;

    /// A trace with hot pages, scans and noise.
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

    /// The textbook, over a queue with the front first.
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
        // Generations have to see pages come back before they spare those that were accessed more than once.
        assert_eq!(of("mglru"), 40);
        assert_eq!(of("fifo"), 40);
        assert_eq!(of("lru"), 40);
        assert_eq!(of("clock"), 40);
        assert_eq!(of("two_list"), 0);
    }
    #[test]
    fn generations_learn_which_tiers_to_spare() {
        let mut profile = Profile::default();
        profile.set("lru_policy", "mglru").unwrap();
        let mut run = Replacement::new(profile, 100_000, 100, 0).unwrap();
        let mut misses = Vec::new();
        for round in 0..40u32 {
            // Forty pages, each accessed four times, and then more pages than there is room for, each once.
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
