//! zsmalloc and zram under the explorer: stores, loads, frees, compactions and migrations of each page of a
//! zspage race, with today's locks and with those of 4.8. No schedule breaks a rule, and the three bugs
//! of its history are found.

use crate::texts::{exhausted, limit, race};
use mmcore_explored::sync::Mutation;

/// One zspage of three pages with room for two objects, one of which is stored.
const SETUP: &str = "zs_open 2\nzs_put 0 size=24\n";
const END: &str = "audit\n  zs_check 0-1\n  zs_free_empty\n  zs_close\n  audit";
const TODAY: &str = "machine pages=8\n";
const CLASS: &str = "machine pages=8 zs_locking=class zspage_groups=quarters\n";
const TRY: &str = "machine pages=8 zspage_writer_waits=false\n";

const THREADS: [&str; 11] = [
    "zs_put 1 size=24",
    "zs_put 0 size=24",
    "zs_check 0-1",
    "zs_del 0",
    "zs_compact",
    "zs_free_empty",
    "isolate z0:0\n  putback z0:0",
    "isolate z0:0\n  migrate z0:0 node=1",
    "isolate z0:1\n  migrate z0:1 node=1",
    "isolate z0:2\n  migrate z0:2 node=1",
    "zs_close",
];

/// The most schedules of a pair.
const USUAL: u64 = 400;

fn pairs_hold(machine: &str) {
    let mut all = 0;
    for (number, one) in THREADS.iter().enumerate() {
        for other in &THREADS[number..] {
            let text = format!("{machine}{SETUP}thread A\n  {one}\nthread B\n  {other}\nfinally\n  {END}\n");
            let report = exhausted(&text, None, limit(USUAL));
            if let Some(found) = race(&report) {
                panic!("{text}\n{found}");
            }
            all += report.schedules;
        }
    }
    assert!(all > 1000);
}

#[test]
fn pairs_hold_with_the_locks_of_today() {
    pairs_hold(TODAY);
}

#[test]
fn pairs_hold_with_the_locks_of_4_8() {
    pairs_hold(CLASS);
}

#[test]
fn pairs_hold_where_a_migration_gives_up_on_a_zspage_in_use() {
    pairs_hold(TRY);
}

fn found(mutation: Mutation, text: &str) {
    assert_eq!(race(&exhausted(text, None, limit(USUAL))), None);
    let report = exhausted(text, Some(mutation), u64::MAX);
    assert!(race(&report).is_some(), "{} is not found", mutation.name());
}

#[test]
fn an_empty_zspage_that_a_migration_forgets_is_found() {
    let threads = "thread A\n  isolate z0:0\n  migrate z0:0 node=1\nthread B\n  zs_del 0\n";
    found(Mutation::EmptyZspageForgotten, &format!("{CLASS}{SETUP}{threads}"));
}

#[test]
fn a_chain_that_is_locked_by_old_links_is_found() {
    let threads = "thread A\n  isolate z0:1\n  migrate z0:1 node=1\nthread B\n  zs_del 0\n";
    found(Mutation::ChainLockedByOldLinks, &format!("{TODAY}{SETUP}{threads}"));
}

#[test]
fn a_wake_up_that_the_end_of_a_pool_misses_is_found() {
    let threads = "isolate z0:0\nthread A\n  putback z0:0\nthread B\n  zs_close\n";
    found(Mutation::ClosingReadEarly, &format!("{CLASS}{SETUP}{threads}"));
}

#[test]
fn pages_are_swapped_to_a_device_and_back() {
    let setup = "machine pages=8\nmap r0 anon 1\nwrite r0\ndrain\nswapon 1 zram\n";
    for threads in [
        "thread A\n  madv r0 pageout\nthread B\n  write r0\n",
        "thread A\n  madv r0 pageout\n  read r0\nthread B\n  zs_compact\n",
        "thread A\n  madv r0 pageout\nthread B\n  unmap r0\n",
    ] {
        let text = format!("{setup}{threads}finally\n  audit\n");
        let report = exhausted(&text, None, limit(USUAL));
        if let Some(found) = race(&report) {
            panic!("{text}\n{found}");
        }
    }
}

#[test]
fn a_device_is_reset_or_becomes_the_swap_space() {
    let setup = "machine pages=8\nzs_open 2\nmap r0 anon 1\nwrite r0\ndrain\n";
    let threads = "thread A\n  zs_close\nthread B\n  swapon 1 zram\n  madv r0 pageout\n  read r0\n";
    let text = format!("{setup}{threads}finally\n  audit\n");
    let report = exhausted(&text, None, 20 * limit(USUAL));
    if let Some(found) = race(&report) {
        panic!("{text}\n{found}");
    }
}

#[test]
fn a_pool_is_closed_after_another_thread_has_freed_its_last_zspage() {
    let setup = "isolate z0:0\nzs_del 0\nputback z0:0\n";
    let threads = "thread A\n  zs_free_empty\nthread B\n  zs_close\n";
    let text = format!("{CLASS}{SETUP}{setup}{threads}finally\n  {END}\n");
    let report = exhausted(&text, None, 20 * limit(USUAL));
    if let Some(found) = race(&report) {
        panic!("{text}\n{found}");
    }
}
