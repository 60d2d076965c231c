//! Explorers side by side: two threads that get and put a reference twice each.
//!
//! `cargo bench -p mmcore-benches --bench explorers [-- FILTER]`. One core each, the same loop of
//! compare-exchange and subtract, uniform random schedules (loom: its exhaustive search with two
//! preemptions). The results are nanoseconds of processor time a schedule; those of `steps` a step.
//! Compare results of one run only.
#![allow(missing_docs, clippy::print_stdout, reason = "a bench reports")]

use criterion::{Criterion, SamplingMode};
use mmcore_benches::measures::ProcessorTime;
use mmcore_explored::explore::{
    Exhaustive, Explorer, Method, Options, ProgramWorld, Sampling, Violation, World, explore,
};
use mmcore_explored::program::{Defaults, MachineSpec, parse};
use mmcore_explored::sync::{AtomicU64, Ordering};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

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

/// Processor time in nanoseconds, schedules and steps of all rounds of a search.
#[derive(Clone, Copy, Default)]
struct Sum {
    took: f64,
    schedules: f64,
    steps: f64,
}

/// The divisor of a value.
#[derive(Clone, Copy)]
enum Per {
    Schedule,
    Step,
}

/// Measures `search`, which returns the schedules and steps that it took. The sum is that of all its rounds,
/// none if the filter leaves it out.
fn measure(
    criterion: &mut Criterion<ProcessorTime>,
    name: &str,
    per: Per,
    mut search: impl FnMut() -> (u64, u64),
) -> Sum {
    let mut sum = Sum::default();
    let mut group = criterion.benchmark_group(match per {
        Per::Schedule => "a schedule",
        Per::Step => "a step",
    });
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|rounds| {
            let mut each = || {
                let (mut schedules, mut steps) = (0, 0);
                let took = ProcessorTime::of(|| (schedules, steps) = search());
                sum.took += took;
                sum.schedules += schedules as f64;
                sum.steps += steps as f64;
                match per {
                    Per::Schedule => took / schedules as f64,
                    Per::Step => took / steps as f64,
                }
            };
            (0..rounds).map(|_| each()).sum()
        });
    });
    group.finish();
    sum
}

/// Measures programs, once and five times as long. The difference is the cost of the steps; the
/// rest of a schedule's time is the cost of its beginning, its undoing and its audit.
fn programs(criterion: &mut Criterion<ProcessorTime>) {
    for (name, ops) in PROGRAMS {
        let points = [1, 5].map(|times| {
            let sampling = Sampling { method: Method::Portfolio, schedules: 5_000, seed: 0 };
            let name = format!("mmcore, full machine, {times} x {name}").replace('/', " and ");
            measure(criterion, &name, Per::Schedule, || {
                let world = || full_machine(ops, times);
                let report = explore(world, &sampling, Options::default(), 1, &AtomicBool::new(false));
                assert_eq!(report.counterexample, None);
                (report.schedules, report.steps)
            })
        });
        if points.iter().all(|point| point.schedules > 0.0) {
            let [(each, length), (long, length_long)] =
                points.map(|point| (point.took / point.schedules, point.steps / point.schedules));
            let step = (long - each) / (length_long - length);
            let beside = (each - length * step) / 1e3;
            println!("{name}: {length:.0} steps of {step:.0} ns, and {beside:.2} us beside them");
        }
    }
}

/// Samples schedules of worlds that know no wrong state.
fn sampled<W: World>(build: impl Fn() -> W + Sync, method: Method, schedules: u64) -> (u64, u64) {
    let sampling = Sampling { method, schedules, seed: 0 };
    let report = explore(build, &sampling, Options::default(), 1, &AtomicBool::new(false));
    assert_eq!(report.counterexample, None);
    (report.schedules, report.steps)
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .with_measurement(ProcessorTime)
        .configure_from_args();
    let criterion = &mut criterion;
    let build = || GetPut(AtomicU64::new(1));
    for (name, method) in [
        ("mmcore, uniform walk", Method::Walk { stay: 0 }),
        ("mmcore, sticky walk", Method::Walk { stay: 192 }),
        ("mmcore, PCT 3", Method::Pct { depth: 3 }),
        ("mmcore, portfolio", Method::Portfolio),
    ] {
        measure(criterion, name, Per::Schedule, || sampled(build, method, 200_000));
    }
    for (name, reduce) in
        [("mmcore, all of 2 preemptions", false), ("mmcore, all of 2 preemptions, reduced", true)]
    {
        let mut explorer = Explorer::new(build());
        measure(criterion, name, Per::Schedule, || {
            let (mut schedules, mut steps) = (0, 0);
            while schedules < 50_000 {
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
        ("mmcore, 100 pairs, uniform walk", Method::Walk { stay: 0 }),
        ("mmcore, 100 pairs, PCT 3", Method::Pct { depth: 3 }),
    ] {
        measure(criterion, name, Per::Step, || sampled(long, method, 4_000));
    }
    programs(criterion);
    measure(criterion, "shuttle, random", Per::Schedule, || {
        let schedules = 5_000;
        shuttle::check_random(|| get_put!(shuttle), schedules);
        (schedules as u64, 0)
    });
    measure(criterion, "loom, all of 2 preemptions", Per::Schedule, || {
        let schedules = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = schedules.clone();
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(move || {
            // Relaxed: a count that is read when the model has ended.
            count.fetch_add(1, Ordering::Relaxed);
            get_put!(loom)
        });
        (schedules.load(Ordering::Relaxed), 0)
    });
}
