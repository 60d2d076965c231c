//! Files under the explorer. For all operations of two threads on a file's page, a read finds the content
//! last written, through every mapping and through the file, and nothing is lost, leaked or used
//! after free.

use crate::texts::program;
use mmcore_explored::explore::{Exhaustive, ProgramOptions, ProgramReport, Search};
use mmcore_explored::program::MachineSpec;
use mmcore_explored::sync::Mutation;

fn explored(text: &str, machine: &str, mutation: Option<Mutation>, search: Search) -> ProgramReport {
    let machine: MachineSpec = program(machine).machine.unwrap_or_default();
    let options = ProgramOptions { machine, search, mutation, ..ProgramOptions::default() };
    crate::texts::explored(text, &options)
}

fn two_preemptions() -> Search {
    Search::Exhaustive(Exhaustive { preemptions: Some(2), ..Exhaustive::default() })
}

/// No schedule with up to two preemptions breaks a rule.
#[track_caller]
fn holds(text: &str, machine: &str) {
    let report = explored(text, machine, None, two_preemptions());
    if let Some(found) = report.counterexample {
        let rows: Vec<String> = found
            .trace
            .iter()
            .map(|r| format!("{} {} {} {} {} -> {}", r.name, r.op, r.kind, r.object, r.before, r.after))
            .collect();
        let (rule, detail, rows) = (&found.rule, &found.detail, rows.join("\n"));
        panic!("{rule}: {detail}\n{}schedule {}\n{rows}", found.program, found.schedule);
    }
    assert!(["bounded", "complete"].contains(&report.coverage), "{}", report.covered);
}

/// The operations on a page, by name.
const STEPS: &[(&str, &str)] = &[
    ("write", "write r0"),
    ("read", "read r0"),
    ("fork", "fork c0\n  cwrite c0 r0\n  exit c0"),
    ("migrate", "move r0 node=1 all"),
    ("fwrite", "fwrite r0"),
    ("fread", "fread r0"),
    ("write-back", "begin_writeback r0\n  end_writeback r0"),
    ("truncate", "truncate r0 0"),
    ("drop", "drop 1"),
    ("pageout", "madv r0 pageout"),
    ("unmap", "unmap r0"),
];

/// Runs every pair of the operations on two threads, including each with itself.
#[track_caller]
fn every_two(set_up: &str, machine: &str, leave_out: &[&str]) {
    let steps: Vec<_> = STEPS.iter().filter(|(name, _)| !leave_out.contains(name)).collect();
    for (at, (_, a)) in steps.iter().enumerate() {
        for (_, b) in &steps[at..] {
            let text = format!("{set_up}\nthread A\n  {a}\nthread B\n  {b}\nfinally\n  audit");
            let b = text.replace("c0", "c1");
            let text =
                text.replacen(&text[text.find("thread B").unwrap()..], &b[b.find("thread B").unwrap()..], 1);
            holds(&text, machine);
        }
    }
}

#[test]
fn shared_pages_of_a_disk() {
    every_two("map r0 file 1\nwrite r0\ndrain", "", &[]);
}

#[test]
fn private_pages_of_a_disk() {
    every_two("map r0 filepriv 1\nread r0\ndrain", "", &[]);
}

#[test]
fn shared_pages_of_memory() {
    every_two("map r0 tmpfs 1\nread r0\ndrain", "machine release=packed", &["write-back"]);
}

#[test]
fn pages_that_are_not_cached_yet() {
    every_two("map r0 file 1", "machine kernel=6.1", &["migrate"]);
}

/// The defect is found, and without it the program is sound.
#[track_caller]
fn finds(mutation: Mutation, text: &str) {
    let report = explored(text, "", Some(mutation), two_preemptions());
    let found = report.counterexample.expect("the defect");
    assert_eq!(found.rule, "content is what was last written");
    holds(text, "");
}

#[test]
fn a_look_into_the_cache_without_a_second_look_is_found() {
    finds(
        Mutation::CacheNotRechecked,
        "machine nodes=1 pages=2\nmap r0 file 1\nmap r1 file 1\nfread r0\ndrain\nthread A\n  fread r0\n\
         thread B\n  drop 1\n  fread r1",
    );
}

#[test]
fn an_unmap_that_reports_the_dirty_entry_too_early_is_found() {
    finds(
        Mutation::DirtyBeforeFlush,
        "map r0 file 2\nwrite r0\ndrain\nthread A\n  write r0:0\nthread B\n  unmap r0:0\n\
         thread C\n  begin_writeback r0:0\n  end_writeback r0:0\nfinally\n  drop 1\n  fread r0:0",
    );
}

/// The child of a fork gets its own copy of a page that may be pinned. A truncation between the copy and
/// the child's entry would leave that entry beyond the end of the file.
#[test]
fn a_fork_copies_a_pinned_page_before_or_after_a_truncation() {
    let cut = "map r0 filepriv 2\npin g0 r0:1 longterm\nthread A\n  fork c0\nthread B\n  truncate r0 1";
    holds(&format!("{cut}\nfinally\n  audit"), "machine nodes=1 pages=6 cpus=1");
    // Without a frame for the copy the fork fails, and the space is as before.
    holds(&format!("{cut}\nfinally\n  audit"), "machine nodes=1 pages=4 cpus=1");
}

/// A private mapping keeps its copy when the file is written later, whichever thread made the copy.
#[test]
fn private_copies_keep_their_content_when_the_file_is_written() {
    for kind in ["filepriv", "tmpfspriv"] {
        for copy in ["mlock r0", "pin g0 r0:0 longterm"] {
            let set_up = format!("map r0 {kind} 1");
            for threads in [
                format!("thread A\n  fwrite r0\n  read r0\nthread B\n  {copy}"),
                format!("thread A\n  {copy}\nthread B\n  fwrite r0\nthread C\n  fork c0"),
                format!("thread A\n  {copy}\n  fork c0\n  fwrite r0\n  cread c0 r0\nthread B\n  fwrite r0"),
            ] {
                holds(&format!("{set_up}\n{threads}\nfinally\n  read r0\n  audit"), "machine pages=4 cpus=1");
            }
            // Copied in the set-up.
            let threads = "thread A\n  fwrite r0\nthread B\n  read r0\n  fork c0";
            holds(
                &format!("{set_up}\n{copy}\n{threads}\nfinally\n  read r0\n  audit"),
                "machine pages=4 cpus=1",
            );
        }
    }
}
