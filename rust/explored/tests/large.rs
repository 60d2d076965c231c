//! Large pages under the explorer. Split, faults, forks, unmapping, migration and failures of one
//! page race; afterwards no reference, mapping or byte is lost. The standard set has all pairs of
//! these; here are the cases that it lacks: faults that fill a block, pages mapped in part, a
//! node without a block for the whole page, and pages on their way to the swap space and back.

use mmcore_explored::explore::{Exhaustive, Method, ProgramOptions, ProgramReport, Sampling, Search};

/// A region that faults will fill with large pages.
const EMPTY: &str = "machine nodes=2 pages=8 cpus=1\nmap r0 anon 2 order=1\n";
/// A large page of four, of which one part is unmapped.
const PARTLY: &str = "machine nodes=2 pages=8 cpus=1\nmap r0 anon 4 order=2\nwrite r0\ndrain\nunmap r0:3\n";
/// A large page that cannot move whole: every second frame of the other node is taken.
const NO_ROOM: &str = "machine nodes=2 pages=4 cpus=1\nmap r0 anon 2 order=1\nwrite r0\ndrain\n\
    allocate p0 node=1\nallocate p1 node=1\nallocate p2 node=1\nallocate p3 node=1\nfree p0\nfree p2\n";

/// A large page on a machine whose swap space has a run of slots for it, and two more slots.
const SWAP: &str = "machine nodes=2 pages=8 cpus=1\nswapon 4\nmap r0 anon 2 order=1\nwrite r0\ndrain\n";

fn text(setup: &str, threads: &[&str]) -> String {
    let threads = threads.iter().zip(["A", "B", "C"]).map(|(ops, name)| format!("thread {name}\n  {ops}\n"));
    format!("{setup}{}finally\n  read r0\n", threads.collect::<String>())
}

fn explored(text: &str, search: Search) -> ProgramReport {
    let options = ProgramOptions { search, ..ProgramOptions::default() };
    crate::texts::explored(text, &options)
}

/// No schedule with up to two preemptions breaks a rule.
#[track_caller]
fn holds(setup: &str, threads: &[&str]) {
    let text = text(setup, threads);
    let report = explored(&text, Search::Exhaustive(Exhaustive::default()));
    if let Some(found) = &report.counterexample {
        panic!("{}: {}\n{}schedule {}\n{text}", found.rule, found.detail, found.program, found.schedule);
    }
    assert!(["bounded", "complete"].contains(&report.coverage), "{}: {}", report.coverage, report.covered);
}

#[test]
fn a_page_on_its_way_to_swap_and_all_that_finds_it() {
    for other in [
        "write r0:1",
        "read r0:1",
        "fork c0\n  cread c0 r0:1",
        "unmap r0:1",
        "madv r0:1 dontneed",
        "madv r0:1 free",
        "mlock r0:1",
        "move r0:0 node=1",
        "split r0:1",
        "get r0:1\n  put r0:1",
        "swapoff",
        "soft_offline r0:1",
        "madv r0 pageout",
        "look swap r0:1",
    ] {
        holds(SWAP, &["madv r0 pageout", other]);
    }
}

/// A reference keeps the page in the swap cache, unwritten, where the later operations find it.
#[test]
fn a_page_that_stays_in_the_swap_cache() {
    for later in
        ["move r0 node=1", "split r0:1", "soft_offline r0:1", "swapoff", "madv r0:0 dontneed", "unmap r0:1"]
    {
        holds(SWAP, &[&format!("madv r0 pageout\n  read r0:0\n  {later}"), "get r0:1\n  put r0:1"]);
    }
    for other in ["read r0:0\n  move r0 node=1", "write r0:1\n  split r0:0", "fork c0\n  cwrite c0 r0:1"] {
        let sampling = Sampling { method: Method::Portfolio, schedules: crate::texts::limit(300), seed: 1 };
        let text = text(SWAP, &["madv r0 pageout", "get r0:1\n  put r0:1", other]);
        assert_eq!(explored(&text, Search::Sample(sampling)).counterexample, None, "{text}");
    }
}

#[test]
fn two_faults_fill_one_block() {
    holds(EMPTY, &["write r0:0", "write r0:1"]);
    holds(EMPTY, &["write r0:0", "read r0:1"]);
    holds(EMPTY, &["write r0:0", "fork c0"]);
    holds(EMPTY, &["write r0:1", "unmap r0:0"]);
    holds(EMPTY, &["write r0:1", "mlock r0:0"]);
}

#[test]
fn a_page_mapped_in_part_is_split_during_its_migration() {
    holds(PARTLY, &["move r0:0 node=1", "read r0:1"]);
    holds(PARTLY, &["move r0:0 node=1", "unmap r0:1"]);
    holds(PARTLY, &["move r0:0 node=1", "try_get r0:2\nput r0:2"]);
}

#[test]
fn without_a_block_for_the_whole_its_parts_are_moved_or_put_back() {
    holds(NO_ROOM, &["move r0:0 node=1", "write r0:1"]);
    holds(NO_ROOM, &["move r0:0 node=1", "unmap r0:1"]);
    holds(NO_ROOM, &["move r0:0 node=1", "get r0:0\nput r0:0"]);
    holds(NO_ROOM, &["isolate r0:0\nmigrate r0:0 node=1 reason=numa_misplaced", "split r0:1"]);
}

#[test]
fn three_threads_and_a_split() {
    for threads in [
        ["split r0:0", "write r0:1", "fork c0\nexit c0"],
        ["split r0:1", "move r0:0 node=1", "unmap r0:1"],
        ["split r0:0", "pin g0 r0:1 longterm\nunpin g0", "try_get r0:0\nput r0:0"],
        ["phys hard r0:1", "split r0:0", "unmap r0"],
    ] {
        let setup = format!("{EMPTY}write r0\ndrain\nframe r0\n");
        let sampling = Sampling { method: Method::Portfolio, schedules: 3_000, seed: 1 };
        let report = explored(&text(&setup, &threads), Search::Sample(sampling));
        if let Some(found) = &report.counterexample {
            panic!("{}: {}\n{}schedule {}", found.rule, found.detail, found.program, found.schedule);
        }
    }
}
