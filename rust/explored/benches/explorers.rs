//! Explorers side by side: two threads that get and put a reference twice each.
//!
//! `cargo bench -p mmcore-explored --bench explorers`. One core each, the same loop of
//! compare-exchange and subtract, uniform random schedules (loom: its exhaustive search with two
//! preemptions). The results are medians of several rounds in one process, in processor time,
//! because other work shares the machine. Compare results of one run only.
#![allow(clippy::print_stdout, reason = "a report")]

use mmcore_explored::explore::{
    Exhaustive, Explorer, Method, Options, ProgramWorld, Sampling, Violation, World, explore,
};
use mmcore_explored::program::{Defaults, MachineSpec, parse};
use mmcore_explored::sync::{AtomicU64, Ordering};
use std::sync::atomic::AtomicBool;

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

/// The same loop, fifty times as long, which measures steps rather than schedules.
struct Long(GetPut);

impl World for Long {
    fn threads(&self) -> usize {
        2
    }

    fn run(&self, thread: usize) {
        (0..50).for_each(|_| self.0.run(thread));
    }

    fn check(&self) -> Result<(), Violation> {
        self.0.check()
    }
}

/// The loop for the types of the other explorers.
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

/// Operations of two threads of a program on a full machine: two nodes of eight pages.
const PROGRAMS: [(&str, &str); 4] = [
    ("get/put", "get r0:0\nput r0:0"),
    ("write/read", "write r0:0\nread r0:0"),
    ("isolate/putback", "isolate r0:0\nputback r0:0"),
    ("isolate/migrate", "isolate r0:0\nmigrate r0:0 node=1\nisolate r0:0\nmigrate r0:0 node=0"),
];

/// A program on a full machine in which two threads each perform `ops` `times` times.
fn full_machine(ops: &str, times: usize) -> ProgramWorld {
    let ops = vec![ops; times].join("\n");
    let text = format!(
        "machine nodes=2 pages=8\nmap r0 anon 4\nwrite r0\nmap r1 anon 4 node=1\nwrite r1\ndrain\n\
         thread A\n{ops}\nthread B\n{ops}"
    );
    let program = parse(&text).expect("a program");
    let configured = program.configured(&MachineSpec::default(), &Defaults::EXPLORE);
    let (config, cpus) = configured.expect("a machine");
    ProgramWorld::new(&program, &config, &cpus).expect("a set-up")
}

/// Measures programs, once and five times as long. The difference is the cost of the steps; the
/// rest of a schedule's time is the cost of its beginning, its undoing and its audit.
fn programs() {
    for (name, ops) in PROGRAMS {
        let mut points = Vec::new();
        for times in [1, 5] {
            let sampling = Sampling { method: Method::Portfolio, schedules: 20_000, seed: 0 };
            let world = || full_machine(ops, times);
            let point = measure(&format!("mmcore, full machine, {times} x {name}"), || {
                let report = explore(world, &sampling, Options::default(), 1, &AtomicBool::new(false));
                assert_eq!(report.counterexample, None);
                (report.schedules, report.steps)
            });
            points.extend(point);
        }
        if let [(schedules, steps), (schedules_long, steps_long)] = points[..] {
            let (each, long) = (1e6 / schedules, 1e6 / schedules_long);
            let (length, length_long) = (steps / schedules, steps_long / schedules_long);
            let step = (long - each) / (length_long - length);
            println!(
                "    {length:.0} steps of {:.0} ns, and {:.2} us beside them",
                step * 1e3,
                each - length * step
            );
        }
    }
}

/// The processor time of this process so far.
fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on Linux, and the pointer is to a local that outlives the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "no processor clock");
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Prints the median, slowest and fastest round in schedules and steps per second. Only for names
/// that contain the first argument, if there is one. Returns both medians.
fn measure(name: &str, mut round: impl FnMut() -> (u64, u64)) -> Option<(f64, f64)> {
    let wanted = std::env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    if wanted.is_some_and(|wanted| !name.contains(&wanted)) {
        return None;
    }
    let mut rates: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| {
            let start = processor_seconds();
            let (schedules, steps) = round();
            let seconds = processor_seconds() - start;
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
    Some((schedules, steps))
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
    let long = || Long(GetPut(AtomicU64::new(1)));
    for (name, method) in [
        ("mmcore, 100 get/put, uniform walk", Method::Walk { stay: 0 }),
        ("mmcore, 100 get/put, PCT 3", Method::Pct { depth: 3 }),
    ] {
        let sampling = Sampling { method, schedules: 8_000, seed: 0 };
        measure(name, || {
            let report = explore(long, &sampling, Options::default(), 1, &AtomicBool::new(false));
            assert_eq!(report.counterexample, None);
            (report.schedules, report.steps)
        });
    }
    programs();
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
