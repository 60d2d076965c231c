//! Programs on real threads.

use mmcore::program::run::{Go, NO_PROGRESS, RunOptions, RunReport, run, stress};
use mmcore::program::{MachineSpec, Program, parse};
use std::time::Duration;

fn program(text: &str) -> Program {
    parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn machine(text: &str) -> MachineSpec {
    program(text).machine.unwrap_or_default()
}

fn go_on() -> Go {
    Go::On
}

#[track_caller]
fn once(text: &str) -> RunReport {
    run(&program(text), &MachineSpec::default(), &RunOptions::default(), &mut go_on).unwrap()
}

const RACE: &str = "map r0 anon 4
write r0
movable m0 2
thread A
  move r0 node=1
  isolate m0
  migrate m0 node=1
thread B cpu=1
  write r0:0-1
  release m0:0
  read r0
thread C
  get r0
  drain
  put r0
finally
  read r0
  query r0
";

#[test]
fn a_pass_tells_what_each_operation_did() {
    let report = once(
        "map r0 anon 2\nwrite r0\nthread A\n  put r0:0\n  set stat_interval 1\nfinally\n  read r0\n  get r0:0",
    );
    assert!(report.is_clean(), "{:?}", report.findings);
    let rows: Vec<_> =
        report.steps.iter().map(|row| (row.section.as_str(), row.i, row.op.as_str())).collect();
    let expected = [
        ("setup", 0, "map r0 anon 2"),
        ("setup", 1, "write r0"),
        ("A", 0, "put r0:0"),
        ("A", 1, "set stat_interval 1"),
        ("finally", 0, "read r0"),
        ("finally", 1, "get r0:0"),
    ];
    assert_eq!(rows, expected);
    assert!(report.steps[2].step.is_misuse() && report.steps[3].step.is_unsupported());
    let [held] = report.held.as_slice() else { panic!("{:?}", report.held) };
    assert!(held.starts_with("r0:0: a reference on page 0x"), "{held}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        json["steps"][1],
        serde_json::json!({"section": "setup", "i": 1, "op": "write r0", "ret": 0, "acc": [[2, "ok"]]})
    );
    assert_eq!(json["steps"][3]["problem"], "unsupported");
    assert_eq!(json["steps"][2]["errno"], "EPERM");
}

#[test]
fn threads_run_under_every_design_and_leave_a_clean_machine() {
    for design in ["putback", "split", "hook", "hook_late", "packed", "mine"] {
        for kernel in ["4.5", "6.1", "6.12"] {
            let by = machine(&format!("machine kernel={kernel} release={design} pagevec=2"));
            let report = run(&program(RACE), &by, &RunOptions::default(), &mut go_on).unwrap();
            assert!(report.is_clean(), "{design} {kernel}: {:?}", report.findings);
            assert_eq!(report.steps.len(), program(RACE).ops().count());
        }
    }
}

#[test]
fn stress_goes_on_until_its_rounds_are_done() {
    for design in ["putback", "split", "hook", "hook_late", "packed"] {
        let options = RunOptions { rounds: 200, ..RunOptions::default() };
        let by = machine(&format!("machine pages=64 release={design}"));
        let report = stress(&program(RACE), &by, &options, &mut go_on).unwrap();
        assert_eq!(report.broken, None);
        assert_eq!(report.rounds, 200);
        assert!(
            report.outcomes.iter().all(|row| row.seen.values().sum::<u64>() == 200),
            "{:?}",
            report.outcomes
        );
    }
}

#[test]
fn a_thread_that_waits_for_ever_is_a_finding() {
    let options = hasty();
    let text = "map r0 anon 1\nwrite r0\nlock r0\nthread A\n  drain\n  lock r0\nthread B\n  read r0";
    let report = run(&program(text), &MachineSpec::default(), &options, &mut go_on).unwrap();
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert_eq!(report.findings[0].rule, NO_PROGRESS);
    assert_eq!(report.findings[0].detail, "thread A in `lock r0` made no progress");
}

fn hasty() -> RunOptions {
    RunOptions { patience: Duration::from_millis(200), ..RunOptions::default() }
}

/// The number of threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Programs that wait for ever, each with the place where it waits.
const WAIT: &[(&str, &str)] = &[
    ("map r0 anon 1\nwrite r0\nlock r0\nthread A\n  lock r0", "thread A in `lock r0` made no progress"),
    (
        "map r0 anon 1\nwrite r0\nlock r0\nthread A\n  drain\nfinally\n  lock r0",
        "finally in `lock r0` made no progress",
    ),
    (
        "map r0 file 1\nwrite r0\nbegin_writeback r0\nthread A\n  truncate r0 0",
        "thread A in `truncate r0 0` made no progress",
    ),
    (
        "map r0 anon 1\nwrite r0\nlock r0\nthread A\n  move r0 node=1",
        "thread A in `move r0 node=1` made no progress",
    ),
];

#[test]
fn the_threads_of_a_program_end_with_it_whatever_they_wait_for() {
    for (text, detail) in WAIT {
        for _ in 0..3 {
            let report = run(&program(text), &MachineSpec::default(), &hasty(), &mut go_on).unwrap();
            assert_eq!(report.findings.len(), 1, "{text}: {:?}", report.findings);
            assert_eq!(report.findings[0].detail, *detail, "{text}");
        }
    }
    // No stopped thread keeps its slot; otherwise 270 runs would use up all slots.
    for _ in 0..270 {
        let options = RunOptions { patience: Duration::from_millis(1), ..RunOptions::default() };
        let by = machine("machine pages=16");
        let report = run(&program(WAIT[0].0), &by, &options, &mut go_on).unwrap();
        assert_eq!(report.findings[0].rule, NO_PROGRESS);
    }
    assert!(threads() < 100, "{} threads are left", threads());
}

#[test]
fn a_run_that_is_told_to_stop_stops_and_reports_its_steps() {
    let patient = RunOptions { patience: Duration::MAX, ..RunOptions::default() };
    for (text, _) in WAIT {
        let mut asked = 0;
        let mut ask = || {
            asked += 1;
            if asked < 3 { Go::On } else { Go::Stop }
        };
        let report = run(&program(text), &MachineSpec::default(), &patient, &mut ask).unwrap();
        assert!(report.interrupted && report.is_clean(), "{text}: {:?}", report.findings);
        assert_eq!(report.steps.first().map(|row| row.section.as_str()), Some("setup"));
    }
    let mut ask = || Go::Stop;
    let report = stress(&program(RACE), &MachineSpec::default(), &patient, &mut ask).unwrap();
    assert!(report.interrupted && report.broken.is_none());
    let mut ask = || Go::Finish;
    let report = stress(&program(RACE), &machine("machine pages=64"), &patient, &mut ask).unwrap();
    assert!(!report.interrupted && report.rounds > 0);
}

#[test]
fn an_operation_that_did_nothing_is_told() {
    // The batch was not drained, so the page is on no list yet.
    let text = "map r0 anon 1\nwrite r0\nthread A\n  isolate r0\n  query r0\nthread B\n  read r0";
    let report = once(text);
    assert!(report.is_clean());
    let [refused] = report.refused.as_slice() else { panic!("{:?}", report.refused) };
    assert_eq!((refused.section.as_str(), refused.i, refused.op.as_str()), ("A", 0, "isolate r0"));
    assert_eq!(refused.errnos, ["EBUSY"]);
    assert!(refused.why.contains("not on an LRU list"), "{}", refused.why);
    let options = RunOptions { rounds: 20, ..RunOptions::default() };
    let report = stress(&program(text), &MachineSpec::default(), &options, &mut go_on).unwrap();
    assert_eq!(report.refused.len(), 1);
    assert_eq!(report.outcomes[2].seen, [("EBUSY", 20)].into());
    // An operation that had an effect on some of its pages is not refused.
    let part = once("map r0 anon 2\nwrite r0:0\ndrain\nthread A\n  isolate r0\n  putback r0");
    assert_eq!(part.refused, []);
}

#[test]
fn a_program_that_cannot_run_is_refused() {
    let refused = |text: &str, by: &str| {
        run(&program(text), &machine(by), &RunOptions::default(), &mut go_on).unwrap_err().to_string()
    };
    assert!(refused("thread A cpu=9\n  drain", "").contains("no CPU 9"));
    assert!(refused("drain", "machine kernel=3.2").contains("4.5"));
    assert!(refused("drain", "machine nodes=0").contains("nodes"));
    assert!(refused("drain", "machine pages=0").contains("no frames"));
    let many: String = (0..300).map(|n| format!("thread T{n}\n  drain\n")).collect();
    assert!(refused(&many, "").contains("at most"));
    assert!(refused("thread A\n  read r7", "").contains("there is no r7"));
}

#[test]
fn a_store_on_a_device_that_another_thread_has_closed_says_so() {
    let report = once("zs_open 8\nthread A\n  zs_close\nfinally\n  zs_put 0 size=24");
    assert!(report.is_clean(), "{:?}", report.findings);
    let json = serde_json::to_value(&report.steps[2]).unwrap();
    assert_eq!(json["errno"], "EINVAL", "{json}");
    assert!(
        json.to_string().contains("the pool is closed") && !json.to_string().contains("no room"),
        "{json}"
    );
    let full = once("zs_open 8 limit=1\nzs_put 0-7 size=4000");
    let shown = serde_json::to_value(&full.steps[1]).unwrap();
    assert_eq!(shown["errno"], "EIO", "{shown}");
}

/// Found by the fuzzer (files, seed 8570): reclaim writes other content to the blocks of a swap device.
#[test]
fn blocks_of_a_swap_device_are_not_the_programs() {
    let swap = "swapon 1 zram\nmadv r0 pageout\nzs_check 0-3";
    let set_up = "zs_open 8\nzs_put 0-3 size=100\nmap r0 anon 8\nwrite r0\ndrain";
    for text in [
        format!("{set_up}\n{swap}"),
        format!("{set_up}\nthread A\n  swapon 1 zram\nthread B\n  madv r0 pageout\nfinally\n  zs_check 0-3"),
        format!("{set_up}\n{swap}\nswapoff\nread r0\naudit"),
    ] {
        assert!(once(&text).is_clean(), "{text}");
    }
}
