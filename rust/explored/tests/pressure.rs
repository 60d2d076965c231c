//! Allocations under memory pressure, under the explorer: reclaim, compaction, the balloon and the last
//! attempt race with the users of the pages. No schedule breaks a rule, and the bug of the captured block
//! is found.

use crate::texts::{exhausted, limit, race};
use mmcore_explored::sync::Mutation;

/// The most schedules of a pair.
const USUAL: u64 = 3_000;

/// Explores each pair of threads after a set-up, with an end that uses and frees all memory.
fn pairs_hold(setup: &str, threads: &[&str], end: &str) {
    let mut all = 0;
    for (number, one) in threads.iter().enumerate() {
        for other in &threads[number..] {
            let line = |text: &str, name: &str| text.replace("{t}", name).replace('\n', "\n  ");
            let (one, other) = (line(one, "1"), line(other, "2"));
            let text = format!("{setup}\nthread A\n  {one}\nthread B\n  {other}\nfinally\n  audit\n{end}\n");
            let report = exhausted(&text, None, limit(USUAL));
            assert_eq!(race(&report), None, "{one} / {other}");
            all += report.schedules;
        }
    }
    assert!(all > 100, "only {all} schedules");
}

#[test]
fn allocations_that_swap_out_hold() {
    // Three of four frames can be swapped out, and one is left to threads that reclaim.
    pairs_hold(
        "machine nodes=1 pages=4 pressure=on\nset min_free_kbytes 4\nswapon 1\nmap r0 anon 3\nwrite r0\n\
         map r1 anon 1\nmap r2 file 1\ndrain",
        &[
            "write r1",
            "read r0",
            "write r0:0",
            "fread r2",
            "allocate p{t}\nfree p{t}",
            "kswapd",
            "madv r0 pageout",
            "unmap r0",
        ],
        "unmap r0\nunmap r1\nunmap r2\ndrain",
    );
}

#[test]
fn allocations_that_end_out_of_memory_hold() {
    // No page can be reclaimed: the balloon is asked, and then the allocation fails.
    pairs_hold(
        "machine nodes=1 pages=3 pressure=on deflate_on_oom=true\nset min_free_kbytes 0\nmap r0 anon 3\n\
         write r0:0\ninflate 2",
        &[
            "write r0:1",
            "write r0:2",
            "allocate p{t}\nfree p{t}",
            "inflate 1",
            "deflate 1",
            "isolate b0:0\nputback b0:0",
        ],
        "deflate 9\nunmap r0\ndrain",
    );
}

#[test]
fn swap_on_zram_takes_the_last_frames() {
    pairs_hold(
        "machine nodes=1 pages=8 pressure=on\nset min_free_kbytes 16\nswapon 1 zram\nmap r0 anon 3\n\
         write r0\nmap r1 anon 2\ndrain",
        &["write r1", "read r0", "kswapd", "madv r0:0 pageout", "zs_compact"],
        "unmap r0\nunmap r1\ndrain",
    );
}

#[test]
fn allocations_that_compact_hold() {
    // Each pageblock of four frames has one page.
    pairs_hold(
        "machine nodes=1 pages=16 pageblock_order=2 cpus=1 pressure=on\nset min_free_kbytes 0\n\
         allocate p0 order=1\nmap r0 anon 14\nwrite r0\nmadv r0:0-4,6-8,10-12 dontneed\ndrain",
        &[
            "allocate p{t} order=2\nfree p{t}",
            "free p0",
            "write r0:5",
            "unmap r0:9",
            "kcompactd order=2",
            "isolate r0:13\nputback r0:13",
        ],
        "unmap r0\ndrain",
    );
}

#[test]
fn a_block_that_is_captured_too_late_is_lost() {
    let text = include_str!("../../../python/mmcore/data/mutations/capture-read-early.mm");
    let report = exhausted(text, Some(Mutation::CaptureReadEarly), 2_000_000);
    let found = report.counterexample.expect("the defect is found");
    assert_eq!(found.rule, "no page is lost");
    assert_eq!(race(&exhausted(text, None, 20_000)), None);
}
