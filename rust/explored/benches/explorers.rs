//! Explorers side by side: two threads that get and put a reference twice each.
//!
//! `cargo bench -p mmcore-explored --bench explorers`. One core each, the same loop of
//! compare-exchange and subtract, uniform random schedules (loom: its exhaustive search with two
//! preemptions). Medians of several rounds in one process; compare within one run only.
#![allow(clippy::print_stdout, reason = "a report")]

use mmcore_explored::explore::{Exhaustive, Explorer, Method, Options, Sampling, Violation, World, explore};
use mmcore_explored::sync::{AtomicU64, Ordering};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

const ROUNDS: usize = 7;

struct GetPut(AtomicU64);

impl World for GetPut {
    fn threads(&self) -> usize {
        2
    }

    fn run(&self, _thread: usize) {
        for _ in 0..2 {
            let mut seen = self.0.load(Ordering::Relaxed);
            while let Err(now) =
                self.0.compare_exchange_weak(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed)
            {
                seen = now;
            }
            self.0.fetch_sub(1, Ordering::Release);
        }
    }

    fn check(&self) -> Result<(), Violation> {
        match self.0.load(Ordering::Relaxed) {
            1 => Ok(()),
            n => Err(Violation::new("count", n.to_string())),
        }
    }
}

/// The loop for the other explorers' types.
macro_rules! get_put {
    ($explorer:ident) => {{
        use $explorer::sync::Arc;
        use $explorer::sync::atomic::AtomicU64;
        let word = Arc::new(AtomicU64::new(1));
        let body = |word: Arc<AtomicU64>| {
            move || {
                for _ in 0..2 {
                    let mut seen = word.load(Ordering::Relaxed);
                    while let Err(now) =
                        word.compare_exchange_weak(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed)
                    {
                        seen = now;
                    }
                    word.fetch_sub(1, Ordering::Release);
                }
            }
        };
        let threads =
            [$explorer::thread::spawn(body(word.clone())), $explorer::thread::spawn(body(word.clone()))];
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(word.load(Ordering::Relaxed), 1);
    }};
}

/// Schedules and steps a second: median, slowest, fastest round. Only names that contain the
/// first argument, if there is one.
fn measure(name: &str, mut round: impl FnMut() -> (u64, u64)) {
    let wanted = std::env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    if wanted.is_some_and(|wanted| !name.contains(&wanted)) {
        return;
    }
    let mut rates: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let (schedules, steps) = round();
            let seconds = start.elapsed().as_secs_f64();
            (schedules as f64 / seconds, steps as f64 / seconds)
        })
        .collect();
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (schedules, steps) = rates[ROUNDS / 2];
    println!(
        "{name:42} {:10.0} schedules/s ({:.0} .. {:.0})  {:6.1} M steps/s",
        schedules,
        rates[0].0,
        rates[ROUNDS - 1].0,
        steps / 1e6
    );
}

fn main() {
    if cfg!(debug_assertions) {
        println!("a debug build measures nothing: use cargo bench");
        return;
    }
    let build = || GetPut(AtomicU64::new(1));
    for (name, method) in [
        ("mmcore, uniform walk", Method::Walk { stay: 0 }),
        ("mmcore, sticky walk", Method::Walk { stay: 192 }),
        ("mmcore, PCT 3", Method::Pct { depth: 3 }),
        ("mmcore, portfolio", Method::Portfolio),
    ] {
        let sampling = Sampling { method, schedules: 400_000, seed: 0 };
        measure(name, || {
            let report = explore(build, &sampling, Options::default(), 1, &AtomicBool::new(false));
            assert_eq!(report.counterexample, None);
            (report.schedules, report.steps)
        });
    }
    for reduce in [false, true] {
        let name =
            if reduce { "mmcore, all of 2 preemptions, reduced" } else { "mmcore, all of 2 preemptions" };
        let mut explorer = Explorer::new(build());
        measure(name, || {
            let (mut schedules, mut steps) = (0, 0);
            while schedules < 100_000 {
                let report = Exhaustive { reduce, ..Exhaustive::default() }.search(&mut explorer);
                assert!(report.coverage.is_exhaustive());
                schedules += report.schedules;
                steps += report.steps;
            }
            (schedules, steps)
        });
    }
    measure("shuttle, random", || {
        let schedules = 20_000;
        shuttle::check_random(|| get_put!(shuttle), schedules);
        (schedules as u64, 0)
    });
    measure("loom, all of 2 preemptions", || {
        let schedules = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = schedules.clone();
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            get_put!(loom)
        });
        (schedules.load(Ordering::Relaxed), 0)
    });
}
