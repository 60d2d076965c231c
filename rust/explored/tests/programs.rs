//! Programs under the explorer: no operation breaks a rule in any schedule, and a planted defect
//! is found, shrunk and replayed.

use crate::texts::program;
use mmcore_explored::explore::{
    Exhaustive, Explorer, Method, Options, ProgramOptions, ProgramReport, ProgramWorld, Sampling, Schedule,
    Search, explore_program, replay_program,
};
use mmcore_explored::program::MachineSpec;
use mmcore_explored::sync::Mutation;
use std::sync::atomic::AtomicBool;

const DESIGNS: [&str; 5] = ["putback", "split", "hook", "hook_late", "packed"];

/// The number of schedules for each method; set `MMCORE_SCHEDULES` for more.
fn schedules() -> u64 {
    crate::texts::limit(500)
}

fn machine(text: &str) -> MachineSpec {
    program(text).machine.unwrap_or_default()
}

fn explored(text: &str, by: &str, search: Search) -> ProgramReport {
    let options = ProgramOptions { machine: machine(by), search, ..ProgramOptions::default() };
    crate::texts::explored(text, &options)
}

/// No schedule of any design breaks a rule.
#[track_caller]
fn holds(text: &str) {
    for design in DESIGNS {
        for (method, seed) in
            [(Method::Walk { stay: 0 }, 1), (Method::Pct { depth: 3 }, 2), (Method::Walk { stay: 200 }, 3)]
        {
            let search = Search::Sample(Sampling { method, schedules: schedules(), seed });
            let report = explored(text, &format!("machine release={design}"), search);
            if let Some(found) = report.counterexample {
                let rows: Vec<String> = found
                    .trace
                    .iter()
                    .map(|r| {
                        format!("{} {} {} {} {} -> {}", r.name, r.op, r.kind, r.object, r.before, r.after)
                    })
                    .collect();
                panic!(
                    "{design}: {}: {}\n{}schedule {}\n{}",
                    found.rule,
                    found.detail,
                    found.program,
                    found.schedule,
                    rows.join("\n")
                );
            }
            assert_eq!(report.schedules, schedules());
        }
    }
}

#[test]
fn get_and_put_pairs() {
    holds(
        "map r0 anon 1\nwrite r0\nthread A\n  get r0\n  put r0\nthread B\n  try_get r0\n  put r0\n  get r0\n  put r0",
    );
    holds(
        "allocate p0\nthread A\n  try_get p0\n  put p0\nthread B\n  free p0\nthread C\n  allocate p1\n  free p1",
    );
}

#[test]
fn isolation_and_put() {
    holds(
        "map r0 anon 1\nwrite r0\ndrain\nthread A\n  isolate r0\n  putback r0\nthread B\n  get r0\n  put r0",
    );
    holds("map r0 anon 1\nwrite r0\ndrain\nthread A\n  isolate r0\n  putback r0\nthread B\n  unmap r0");
    holds(
        "allocate p0\nlru_add p0\ndrain\nthread A\n  isolate p0\n  putback p0\n  drain\nthread B\n  free p0",
    );
}

#[test]
fn isolation_and_isolation() {
    holds(
        "map r0 anon 1\nwrite r0\ndrain\nthread A\n  isolate r0\n  putback r0\nthread B\n  isolate r0\n  putback r0",
    );
    holds("movable m0 1\nthread A\n  isolate m0\n  putback m0\nthread B\n  isolate m0\n  putback m0");
}

#[test]
fn migration_and_faults() {
    holds(
        "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  write r0\n  read r0\nfinally\n  read r0",
    );
    holds(
        "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\n  move r0 node=0\nthread B\n  read r0\n  write r0\nthread C\n  read r0",
    );
    holds(
        "map r0 anon 2\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  fork c0\n  cwrite c0 r0:0\n  cread c0 r0\n  exit c0\nfinally\n  read r0",
    );
    holds("map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  unmap r0");
    holds(
        "map r0 anon 1\nwrite r0\ndrain\nthread A\n  isolate r0\n  migrate r0 node=1 mode=async\nthread B\n  pin g0 r0 longterm\n  unpin g0",
    );
}

#[test]
fn migration_and_locks_and_drains() {
    holds(
        "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  lock r0\n  unlock r0\nthread C\n  drain",
    );
    holds(
        "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  move r0 node=1\n  write r0\nfinally\n  read r0",
    );
}

#[test]
fn release_and_migration_of_movable_pages() {
    holds("movable m0 1\nthread A\n  isolate m0\n  migrate m0 node=1\nthread B\n  release m0");
    holds(
        "movable m0 2\nthread A\n  isolate m0\n  migrate m0 node=1\nthread B\n  isolate m0\n  putback m0\nthread C\n  release m0",
    );
    holds(
        "movable m0 1\nthread A\n  isolate m0\n  putback m0\nthread B\n  release m0\nthread C\n  try_get m0\n  put m0",
    );
}

#[test]
fn a_freeze_keeps_references_away() {
    holds(
        "allocate p0\nthread A\n  freeze p0 refs=1\n  unfreeze p0 refs=1\nthread B\n  try_get p0\n  put p0",
    );
}

#[test]
fn a_defect_is_found_shrunk_and_replayed() {
    let text = "map r0 anon 3\nwrite r0\nmovable m0 2\nread r0\nthread A\n  get r0:1\n  isolate m0\n  putback m0\n  put r0:1\n\
                thread B\n  read r0:0-2\nfinally\n  read r0";
    let options = ProgramOptions { mutation: Some(Mutation::MovablePutOnLru), ..ProgramOptions::default() };
    let explore = || explore_program(&program(text), &options, &AtomicBool::new(false)).unwrap();
    let report = explore();
    assert_eq!(report, explore(), "the same search finds the same");
    let found = report.counterexample.expect("the defect");
    let small = program(&found.program);
    assert!(small.ops().count() <= 4, "{}", found.program);
    let schedule: Schedule = found.schedule.parse().unwrap();
    let again =
        replay_program(&small, &MachineSpec::default(), &schedule, Options::default(), options.mutation)
            .unwrap();
    assert_eq!(again.rule.as_ref(), Some(&found.rule));
    assert_eq!(again.trace, found.trace);
    let sound = replay_program(&small, &MachineSpec::default(), &schedule, Options::default(), None).unwrap();
    assert_eq!(sound.rule, None);
}

#[test]
fn the_lockless_hook_is_found_and_its_words_are_named() {
    // Thread B takes a reference on the frame before it is marked movable, and its put looks before
    // the mark is set.
    let text = "machine release=hook nodes=1 pages=1\nallocate p0\nfree p0\nthread A\n  movable m0 1\n  release m0\n\
                thread B\n  try_get p0\n  put p0";
    let options = ProgramOptions { mutation: Some(Mutation::HookWithoutLock), ..ProgramOptions::default() };
    let report = explore_program(&program(text), &options, &AtomicBool::new(false)).unwrap();
    let found = report.counterexample.expect("the rejected variant is wrong");
    assert_eq!(found.rule, "released is called once");
    assert!(found.at_end);
    assert!(found.trace.iter().any(|row| row.object == "page 0x0 word" && row.after.contains("MOVABLE")));
    assert!(found.trace.iter().all(|row| !row.op.is_empty() && !row.name.is_empty()));
}

#[test]
fn a_program_that_cannot_be_explored_is_refused_in_one_line() {
    let refused = |text: &str, why: &str| {
        let error = explore_program(&program(text), &ProgramOptions::default(), &AtomicBool::new(false));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains('\n'), "{error}");
    };
    refused("map r0 anon 1", "no threads");
    refused("map r0 anon 40\nthread A\n  read r0", "the set-up cannot `map r0 anon 40`");
    refused("thread A cpu=7\n  drain", "no CPU 7");
    refused("machine release=fast\nthread A\n  drain", "release");
}

#[test]
fn a_deadlock_of_the_program_is_a_result() {
    let text = "map r0 anon 1\nwrite r0\nlock r0\nthread A\n  lock r0\nthread B\n  read r0";
    let report = explored(text, "", Search::Exhaustive(Exhaustive::default()));
    let found = report.counterexample.expect("nobody unlocks");
    assert_eq!(found.rule, "deadlock");
}

/// Bounds the cost of a schedule on a full machine beside its steps. The bound is loose, so that a
/// debug build on a busy host passes.
#[test]
fn undoing_and_auditing_is_cheap() {
    let text = "machine nodes=2 pages=8\nmap r0 anon 4\nwrite r0\nmap r1 anon 4 node=1\nwrite r1\ndrain\nthread A\n  try_get r0:0\nthread B\n  try_get r1:0";
    let program = program(text);
    let (config, cpus) =
        program.configured(&MachineSpec::default(), &mmcore_explored::program::Defaults::EXPLORE).unwrap();
    let world = ProgramWorld::new(&program, &config, &cpus).unwrap();
    let mut explorer = Explorer::new(world);
    let count: i32 = if cfg!(debug_assertions) { 2_000 } else { 200_000 };
    let schedule = Schedule::default();
    let start = std::time::Instant::now();
    let mut steps = 0;
    for _ in 0..count {
        let run = explorer.replay(&schedule);
        assert!(run.outcome.is_ok(), "{:?}", run.outcome);
        steps += u64::from(run.steps);
    }
    let each = start.elapsed().as_nanos() as f64 / f64::from(count);
    assert!(each < 1e6, "{each:.0} ns a schedule of {} steps", steps / count as u64);
}
