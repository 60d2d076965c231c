//! A window of pages under the explorer: two pages pass each step of a migration together, while another
//! thread uses, unmaps, pins, isolates or migrates one of them.

use mmcore_explored::explore::{Exhaustive, ProgramOptions, Search};

const TWO: &str = "machine nodes=2 pages=8 cpus=1\nmap r0 anon 2\nwrite r0\ndrain\n";
/// The second page is mlocked, so its migration drains the batch in which both pages wait.
const MLOCKED: &str = "machine nodes=2 pages=8 cpus=1\nmap r0 anon 2\nwrite r0\nmlock r0:1\ndrain\n";
/// Node 1 has one frame, so only the first page finds a destination.
const ONE_FRAME: &str = "machine nodes=2 pages=4 cpus=1\nmap r0 anon 2\nwrite r0\ndrain\n\
    allocate p0 node=1\nallocate p1 node=1\nallocate p2 node=1\n";

/// No schedule with up to two preemptions breaks a rule.
#[track_caller]
fn holds(setup: &str, threads: [&str; 2]) {
    for design in ["split", "packed"] {
        let setup = setup.replacen("machine", &format!("machine release={design}"), 1);
        let [a, b] = threads.map(|thread| thread.replace('\n', "\n  "));
        let text = format!("{setup}thread A\n  {a}\nthread B\n  {b}\nfinally\n  audit\n");
        let options =
            ProgramOptions { search: Search::Exhaustive(Exhaustive::default()), ..ProgramOptions::default() };
        let report = crate::texts::explored(&text, &options);
        if let Some(found) = &report.counterexample {
            panic!("{}: {}\n{}schedule {}\n{text}", found.rule, found.detail, found.program, found.schedule);
        }
        assert!(
            ["bounded", "complete"].contains(&report.coverage),
            "{}: {}",
            report.coverage,
            report.covered
        );
    }
}

#[test]
fn a_page_of_the_window_is_used_unmapped_or_forked() {
    for other in ["write r0:1", "unmap r0:0", "fork c0\nexit c0"] {
        holds(TWO, ["move r0:0-1 node=1", other]);
    }
}

#[test]
fn a_page_of_the_window_is_held_isolated_or_migrated() {
    for other in
        ["try_get r0:1\nput r0:1", "pin g0 r0:0 longterm\nunpin g0", "isolate r0:1\nputback r0:1", "drain"]
    {
        holds(TWO, ["move r0:0-1 node=1", other]);
    }
    holds(TWO, ["isolate r0:0-1\nmigrate r0:0-1 node=1", "move r0:1 node=1"]);
}

#[test]
fn a_window_drains_its_batch_for_a_locked_page() {
    for other in ["munlock r0:1", "write r0:0"] {
        holds(MLOCKED, ["move r0:0-1 node=1", other]);
    }
}

#[test]
fn a_window_finds_too_few_destinations() {
    for other in ["free p0", "unmap r0:0"] {
        holds(ONE_FRAME, ["move r0:0-1 node=1", other]);
    }
}
