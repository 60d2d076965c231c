//! Swap under the explorer. Pageout, faults, forks, unmapping, migration and swapoff of one page
//! race; afterwards every slot's count is the number of its entries, and a read finds the content
//! last written.

use crate::texts::program;
use mmcore_explored::explore::{Exhaustive, Method, ProgramOptions, ProgramReport, Sampling, Search};

/// The number of schedules of a sample; set `MMCORE_SCHEDULES` for more.
fn schedules() -> u64 {
    crate::texts::limit(300)
}

/// A page that is mapped.
const IN: &str = "machine nodes=2 pages=6 cpus=1\nswapon 1\nmap r0 anon 1\nwrite r0\ndrain\n";
/// A page that is swapped out.
const OUT: &str =
    "machine nodes=2 pages=6 cpus=1\nswapon 1\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout\n";
/// A page that is swapped out and shared with a child.
const SHARED: &str =
    "machine nodes=2 pages=6 cpus=1\nswapon 1\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout\nfork c0\n";
/// A page of a memory file.
const FILE: &str = "machine nodes=2 pages=6 cpus=1\nswapon 1\nmap r0 tmpfs 1\nwrite r0\ndrain\n";

fn text(setup: &str, threads: &[&str]) -> String {
    let threads = threads.iter().zip(["A", "B", "C"]).map(|(ops, name)| format!("thread {name}\n  {ops}\n"));
    format!("{setup}{}finally\n  read r0\n", threads.collect::<String>())
}

fn explored(text: &str, release: &str, search: Search) -> ProgramReport {
    let by = program(&format!("machine release={release}")).machine.unwrap_or_default();
    let options = ProgramOptions { machine: by, search, ..ProgramOptions::default() };
    crate::texts::explored(text, &options)
}

#[track_caller]
fn assert_no_race(report: &ProgramReport) {
    if let Some(found) = &report.counterexample {
        let rows = found.trace.iter().map(|r| {
            format!("{} | {} | {} {} {} -> {}\n", r.name, r.op, r.kind, r.object, r.before, r.after)
        });
        panic!(
            "{}: {}\n{}schedule {}\n{}",
            found.rule,
            found.detail,
            found.program,
            found.schedule,
            rows.collect::<String>()
        );
    }
}

/// No schedule with up to two preemptions breaks a rule.
#[track_caller]
fn holds(setup: &str, threads: &[&str]) {
    let text = text(setup, threads);
    let report = explored(&text, "split", Search::Exhaustive(Exhaustive::default()));
    assert_no_race(&report);
    assert!(["bounded", "complete"].contains(&report.coverage), "{}: {}", report.coverage, report.covered);
}

/// Drawn schedules of a program with up to three threads break no rule either, in each design of the kernel
/// and of mmcore.
#[track_caller]
fn holds_sampled(setup: &str, threads: &[&str]) {
    let text = text(setup, threads);
    for release in ["putback", "split", "hook", "hook_late", "packed"] {
        let sampling = Sampling { method: Method::Portfolio, schedules: schedules(), seed: 1 };
        assert_no_race(&explored(&text, release, Search::Sample(sampling)));
    }
}

#[test]
fn pageout_and_accesses() {
    holds(IN, &["madv r0 pageout", "write r0"]);
    holds(IN, &["madv r0 pageout", "read r0"]);
    holds(IN, &["madv r0 pageout", "madv r0 pageout"]);
    holds(OUT, &["write r0", "read r0"]);
    holds(OUT, &["write r0", "write r0"]);
    holds(OUT, &["write r0\n  madv r0 pageout", "read r0"]);
}

#[test]
fn pageout_and_operations_that_clear_the_entry() {
    holds(IN, &["madv r0 pageout", "madv r0 dontneed"]);
    holds(IN, &["madv r0 pageout", "madv r0 free"]);
    holds(OUT, &["write r0", "madv r0 dontneed"]);
    holds(OUT, &["read r0", "madv r0 free"]);
}

#[test]
fn pageout_and_unmap() {
    for (setup, first) in [(IN, "madv r0 pageout"), (OUT, "madv r0 willneed")] {
        let text = format!("{setup}thread A\n  {first}\nthread B\n  unmap r0\n");
        assert_no_race(&explored(&text, "split", Search::Exhaustive(Exhaustive::default())));
    }
}

#[test]
fn pageout_and_fork() {
    holds(IN, &["madv r0 pageout", "fork c1\n  cread c1 r0"]);
    holds(OUT, &["write r0", "fork c1\n  cread c1 r0"]);
    holds(SHARED, &["write r0", "cread c0 r0"]);
    holds(SHARED, &["read r0", "cwrite c0 r0"]);
    holds(SHARED, &["write r0", "exit c0"]);
}

#[test]
fn pageout_and_migration_and_pins() {
    holds(IN, &["madv r0 pageout", "move r0 node=1"]);
    holds(IN, &["madv r0 pageout", "pin g0 r0 longterm\n  unpin g0"]);
    holds(IN, &["madv r0 pageout", "get r0\n  put r0"]);
    holds(SHARED, &["read r0\n  move r0 node=1", "cread c0 r0"]);
    holds(OUT, &["madv r0 willneed\n  madv r0 willneed", "write r0"]);
}

/// A lookup of a slot in the swap cache races with the unmap of the last entry that names the slot,
/// while the page moves. The reference that the lookup takes must not leak.
#[test]
fn a_page_that_moves_while_its_last_swap_entry_goes() {
    let setup = format!("{SHARED}read r0\n");
    holds(&setup, &["exit c0", "move r0 node=1 all"]);
}

/// A read of a hole in a file races with a truncation. The emptied page lies beyond the new end, so
/// the read must not count as one of a hole.
#[test]
fn a_read_of_a_memory_file_and_a_truncation() {
    for setup in [FILE.to_owned(), format!("{FILE}madv r0 pageout\n")] {
        let text = format!("{setup}thread A\n  fread r0\nthread B\n  truncate r0 0\n");
        assert_no_race(&explored(&text, "split", Search::Exhaustive(Exhaustive::default())));
    }
}

#[test]
fn swapoff_and_all_other_operations() {
    holds(OUT, &["swapoff", "write r0"]);
    holds(IN, &["swapoff", "madv r0 pageout"]);
    holds(OUT, &["swapoff", "madv r0 dontneed"]);
    holds(SHARED, &["swapoff", "cread c0 r0"]);
    holds(SHARED, &["swapoff", "exit c0"]);
    holds(OUT, &["swapoff", "fork c1\n  cread c1 r0"]);
}

#[test]
fn pages_of_memory_files() {
    holds(FILE, &["madv r0 pageout", "write r0"]);
    holds(FILE, &["madv r0 pageout", "fread r0"]);
    holds(FILE, &["madv r0 pageout", "fwrite r0"]);
    holds(FILE, &["madv r0 pageout", "move r0 node=1"]);
    let out = format!("{FILE}madv r0 pageout\n");
    holds(&out, &["write r0", "fread r0"]);
    holds(&out, &["swapoff", "read r0"]);
    let text = format!("{out}thread A\n  truncate r0 0\nthread B\n  swapoff\n");
    assert_no_race(&explored(&text, "split", Search::Exhaustive(Exhaustive::default())));
    let text = format!("{FILE}thread A\n  truncate r0 0\nthread B\n  madv r0 pageout\n");
    assert_no_race(&explored(&text, "split", Search::Exhaustive(Exhaustive::default())));
}

#[test]
fn three_threads_and_each_design() {
    holds_sampled(IN, &["madv r0 pageout", "write r0", "move r0 node=1"]);
    holds_sampled(OUT, &["write r0\n  madv r0 pageout", "read r0", "fork c1\n  cwrite c1 r0"]);
    holds_sampled(SHARED, &["write r0", "cwrite c0 r0", "madv r0 pageout"]);
    holds_sampled(SHARED, &["swapoff", "write r0", "cwrite c0 r0"]);
}

#[test]
fn a_store_gives_back_the_page_that_another_fault_has_mapped_meanwhile() {
    for kernel in ["4.5", "4.8", "6.1"] {
        let setup = OUT.replacen("machine", &format!("machine kernel={kernel}"), 1);
        holds(&setup, &["read r0", "write r0"]);
    }
}

#[test]
fn a_process_cannot_change_the_blocks_of_the_swap_space() {
    let setup = "machine nodes=1 pages=4 cpus=1\nswapon 1 zram\nmap r0 anon 2\nwrite r0\n";
    for change in ["zs_del 0", "zs_put 0 size=24"] {
        holds(setup, &["reclaim 1", change]);
        // The device may become the swap space while the process is at it.
        let made = "machine nodes=1 pages=4 cpus=1\nzs_open 2\nmap r0 anon 2\nwrite r0\n";
        holds(made, &["swapon 1 zram\n  reclaim 1", change]);
    }
}
