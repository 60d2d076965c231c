//! List policies on a trace: the share of a program's accesses that find their page in a memory
//! with fewer pages than the program uses.
//!
//! The memory is that of a machine without bytes ([`machine`]), so the measured code is the machine's
//! ordinary reclaim, and the time includes all of it. Only where the machine adds nothing to the textbook's
//! order, under `fifo`, `lru` and `clock` with batches of one page, arrays replace it ([`textbook`]).

mod machine;
mod textbook;

use super::fault::{Finding, LoadError};
use crate::profile::Profile;
use machine::OnMachine;
use serde::Serialize;
use std::time::{Duration, Instant};
use textbook::Textbook;

/// The run of a policy over a trace.
pub struct Replacement {
    memory: Memory,
    /// Requests of the warm-up that are still to come; they are not among the `counts`.
    warm_up: u64,
    /// All requests so far, those of the warm-up included.
    made: u64,
    counts: Counts,
    time: Duration,
}

/// The memory whose pages are replaced.
#[allow(clippy::large_enum_variant, reason = "there is one for a run")]
enum Memory {
    Machine(OnMachine),
    Arrays(Textbook),
}

impl std::fmt::Debug for Replacement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replacement after {} requests, {:?}", self.made, self.counts)
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

/// Counts of page events in a run, the warm-up included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Events {
    /// Activations of pages; under `lru` moves to the front.
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
    /// Counts of page events.
    #[serde(flatten)]
    pub events: Events,
}

impl Replacement {
    /// Makes an empty memory of `size` pages for a program of `footprint` pages.
    pub fn new(profile: Profile, footprint: u32, size: u32, warm_up: u64) -> Result<Replacement, LoadError> {
        if size == 0 || footprint == 0 {
            return Err(LoadError::Config("the memory and the trace need at least one page each".into()));
        }
        let memory = match Textbook::new(&profile, footprint, size)? {
            Some(arrays) => Memory::Arrays(arrays),
            None => Memory::Machine(OnMachine::new(profile, footprint, size)?),
        };
        Ok(Replacement::of(memory, warm_up))
    }

    fn of(memory: Memory, warm_up: u64) -> Replacement {
        Replacement { memory, warm_up, made: 0, counts: Counts::default(), time: Duration::ZERO }
    }

    /// Performs requests: page numbers below the footprint.
    pub fn run(&mut self, requests: &[u32]) -> Result<(), LoadError> {
        let start = Instant::now();
        let warm_up = self.warm_up.min(requests.len() as u64);
        let (uncounted, counted) = requests.split_at(warm_up as usize);
        self.perform(uncounted)?;
        self.warm_up -= warm_up;
        self.counts.misses += self.perform(counted)?;
        self.counts.requests += counted.len() as u64;
        self.made += requests.len() as u64;
        self.time += start.elapsed();
        Ok(())
    }

    /// Performs requests, and returns how many of them missed.
    fn perform(&mut self, requests: &[u32]) -> Result<u64, LoadError> {
        match &mut self.memory {
            Memory::Machine(machine) => machine.run(requests),
            Memory::Arrays(arrays) => Ok(arrays.run(requests)),
        }
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Ends the run; audits the machine, if there is one.
    pub fn finish(self) -> Result<Outcome, Finding> {
        let events = match self.memory {
            Memory::Machine(machine) => machine.finish()?,
            Memory::Arrays(arrays) => arrays.events(),
        };
        let seconds = self.time.as_secs_f64();
        let requests_per_s = self.made as f64 / seconds.max(f64::MIN_POSITIVE);
        Ok(Outcome { counts: self.counts, seconds, requests_per_s, events })
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
    use proptest::prelude::*;
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

    proptest! {
        /// Arrays and a machine count the same misses and events, whatever the requests, the size, the kernel
        /// and the stretches in which the requests come.
        #[test]
        fn arrays_replace_as_a_machine_does(
            requests in prop::collection::vec(0u32..60, 1..1500),
            size in 1u32..70,
            policy in prop::sample::select(vec!["fifo", "lru", "clock"]),
            kernel in prop::sample::select(crate::profile::PRESETS.to_vec()),
            stretch in 1usize..400,
            warm_up in 0u64..100,
        ) {
            let mut profile = Profile::preset(kernel).unwrap();
            profile.set("lru_policy", policy).unwrap();
            profile.set("pagevec", "1").unwrap();
            profile.release = crate::profile::Design::Split;
            let arrays = Textbook::new(&profile, 60, size).unwrap().expect("a textbook's policy");
            let machine = OnMachine::new(profile, 60, size).unwrap();
            let [one, other] = [Memory::Arrays(arrays), Memory::Machine(machine)].map(|memory| {
                let mut run = Replacement::of(memory, warm_up);
                requests.chunks(stretch).for_each(|requests| run.run(requests).unwrap());
                let outcome = run.finish().unwrap();
                (outcome.counts, outcome.events)
            });
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn other_policies_and_larger_batches_take_a_machine() {
        for (policy, pagevec) in [("two_list", "1"), ("mglru", "1"), ("lru", "2"), ("clock", "15")] {
            let mut profile = Profile::default();
            profile.set("lru_policy", policy).unwrap();
            profile.set("pagevec", pagevec).unwrap();
            assert!(Textbook::new(&profile, 10, 10).unwrap().is_none(), "{policy}, batches of {pagevec}");
        }
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
