//! The cost of a migrated page, step by step, derived by hand from lifecycle 6.7 and the protocol.
//! The counting build must count exactly these operations.

use mmcore_counted::audit::Ledger;
use mmcore_counted::load::{Load, LoadConfig, PageOps, Trace, count_hits, count_ops, count_puts};
use mmcore_counted::machine::{Config, Machine};
use mmcore_counted::migrate::{Mode, Reason};
use mmcore_counted::page::Pfn;
use mmcore_counted::release::{Putback, Release, Split};
use mmcore_counted::rng::Rng;
use mmcore_counted::sync::ops::{Ops, current};

/// One line of a ledger: the step, and the numbers of its read-modify-writes, fences, acquisitions
/// of lruvec, batch and other locks, pagevec insertions, and list operations.
type Line = (&'static str, [u64; 7]);

/// The steps of each page up to the point where the designs differ, for one written page that is mapped
/// once and on an LRU list.
#[rustfmt::skip]
const UP_TO_THE_END: &[Line] = &[
    //                                                  rmw fence lruvec batch other pvec list
    ("the caller's reference, before it isolates",      [1, 0, 0, 0, 0, 0, 0]),
    ("isolate: clear LRU, take the isolation's ref",    [2, 0, 0, 0, 0, 0, 0]),
    ("isolate: unlink under the lruvec lock",           [0, 0, 1, 0, 0, 0, 1]),
    ("the caller's reference goes",                     [1, 0, 0, 0, 0, 0, 0]),
    ("dst: out of the CPU's array of free frames",      [0, 0, 0, 0, 1, 0, 0]),
    ("dst: its first reference",                        [1, 0, 0, 0, 0, 0, 0]),
    ("lock src",                                        [1, 0, 0, 0, 0, 0, 0]),
    ("lock dst",                                        [1, 0, 0, 0, 0, 0, 0]),
    ("unmap: lock the entry",                           [1, 0, 0, 0, 0, 0, 0]),
    ("unmap: no longer exclusive",                      [1, 0, 0, 0, 0, 0, 0]),
    ("unmap: clear the entry",                          [1, 0, 0, 0, 0, 0, 0]),
    ("unmap: a migration entry, a store that unlocks",  [0, 0, 0, 0, 0, 0, 0]),
    ("unmap: the entry was dirty, so is the page",      [1, 0, 0, 0, 0, 0, 0]),
    ("unmap: one mapping less",                         [1, 0, 0, 0, 0, 0, 0]),
    ("unmap: the mapping's reference goes",             [1, 0, 0, 0, 0, 0, 0]),
    ("flags move to dst",                               [1, 0, 0, 0, 0, 0, 0]),
    ("dst into a batch: the batch's reference",         [1, 0, 0, 0, 0, 0, 0]),
    ("dst into a batch",                                [0, 0, 0, 0, 0, 1, 0]),
    ("remap: lock the entry",                           [1, 0, 0, 0, 0, 0, 0]),
    ("remap: exclusive again",                          [1, 0, 0, 0, 0, 0, 0]),
    ("remap: the mapping's reference and count",        [2, 0, 0, 0, 0, 0, 0]),
    ("remap: the entry leads to dst, which unlocks it", [1, 0, 0, 0, 0, 0, 0]),
    ("unlock dst",                                      [1, 0, 0, 0, 0, 0, 0]),
    ("dst: the allocation's reference goes",            [1, 0, 0, 0, 0, 0, 0]),
    ("unlock src",                                      [1, 0, 0, 0, 0, 0, 0]),
];

/// The locks that serve all pages of a window: here all pages of the list, which have one owner.
#[rustfmt::skip]
const WINDOW: &[Line] = &[
    ("unmap: the reverse map's lock",                   [0, 0, 0, 0, 1, 0, 0]),
    ("dst into a batch: the batch lock",                [0, 0, 0, 1, 0, 0, 0]),
    ("remap: the reverse map's lock",                   [0, 0, 0, 0, 1, 0, 0]),
    ("src: into the CPU's array of free frames",        [0, 0, 0, 0, 1, 0, 0]),
];

/// The last steps under `split`, which ends with a put.
#[rustfmt::skip]
const SPLIT: &[Line] = &[
    ("src: the isolation's reference is the last",      [1, 1, 0, 0, 0, 0, 0]),
    ("src: flags reset",                                [1, 0, 0, 0, 0, 0, 0]),
];

/// The last steps under `putback`: src has no user any more, but passes once more through a batch
/// and a list.
#[rustfmt::skip]
const PUTBACK: &[Line] = &[
    ("src into a batch: the batch's reference",         [1, 0, 0, 0, 0, 0, 0]),
    ("src into a batch",                                [0, 0, 0, 1, 0, 1, 0]),
    ("src: the isolation's reference goes",             [1, 0, 0, 0, 0, 0, 0]),
    ("drain: src gets LRU and is linked",               [1, 0, 0, 0, 0, 0, 1]),
    ("src: the batch's reference is the last",          [1, 1, 0, 0, 0, 0, 0]),
    ("src: unlinked again",                             [1, 0, 0, 0, 0, 0, 1]),
    ("src: flags reset",                                [1, 0, 0, 0, 0, 0, 0]),
];

/// The steps that bring dst from its batch to its list.
#[rustfmt::skip]
const DRAIN_DST: &[Line] = &[
    ("drain: dst gets LRU and is linked",               [1, 0, 0, 0, 0, 0, 1]),
    ("drain: the batch's reference goes",               [1, 0, 0, 0, 0, 0, 0]),
];

/// The read-modify-writes that each page saves under `split` if the profile merges atomic operations.
const MERGED: &[(&str, u64)] = &[
    ("isolate: one step clears LRU and takes the isolation's ref", 1),
    ("unmap: the put of the mapping's reference takes the mark back and leaves the dirty bit", 2),
    ("remap: one step takes the mapping's reference and sets the mark", 1),
    ("dst: one step unlocks and puts", 1),
    ("src: one step unlocks and puts", 1),
];

/// The flush of the TLB, once for a whole list, before any page is copied.
#[rustfmt::skip]
const FLUSH: Line = ("flush the TLB",                   [0, 1, 0, 0, 0, 0, 0]);

fn add(sum: &mut Ops, (_, line): &Line, times: u64) {
    let [rmw, fences, lruvec_locks, batch_locks, other_locks, pagevec_inserts, list_ops] =
        line.map(|n| n * times);
    let counted = Ops {
        rmw,
        fences,
        lruvec_locks,
        batch_locks,
        other_locks,
        pagevec_inserts,
        list_ops,
        tlb_flushes: 0,
    };
    *sum = sum.plus(counted);
}

/// The ledger of `pages` pages under a design whose last steps are `end`. `drain` has the locks and
/// the count of the drains.
fn ledger(pages: u64, end: &[Line], drain: [u64; 7]) -> Ops {
    let mut sum = Ops::default();
    for line in UP_TO_THE_END.iter().chain(end).chain(DRAIN_DST) {
        add(&mut sum, line, pages);
    }
    for line in WINDOW.iter().chain([&FLUSH]) {
        add(&mut sum, line, 1);
    }
    sum.tlb_flushes += 1;
    add(&mut sum, &("the drain's locks", drain), 1);
    sum
}

/// Migrates `pages` written pages from node 0 to node 1 as one list. With `drain`, the drain of the
/// batches afterwards is counted, too.
fn migrate<R: Release>(pages: u32, pagevec: u8, drain: bool) -> Ops {
    migrate_by::<R>("kernel", pages, pagevec, drain)
}

/// Migrates as [`migrate`] does, by the `atomics` of the profile.
fn migrate_by<R: Release>(atomics: &str, pages: u32, pagevec: u8, drain: bool) -> Ops {
    let mut config = Config { cpus: 1, ..Config::new(2, 4096) };
    config.profile.release = R::DESIGN;
    config.profile.set("atomics", atomics).unwrap();
    config.profile.set("pagevec", &pagevec.to_string()).unwrap();
    let machine = Machine::<R>::new(&config).unwrap();
    // A first allocation brings frames of node 1 into the CPU's array, so that no refill is
    // counted.
    let warm = machine.alloc_pages(1, 0).unwrap();
    machine.put(warm);
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, pages).unwrap();
    for index in 0..pages {
        machine.write_word(&area, index, 0, 1).unwrap();
    }
    machine.lru_drain_all();

    let before = current();
    let mut list = Vec::new();
    for index in 0..pages {
        let pfn = machine.page_at(&area, index).unwrap();
        assert!(machine.frames()[pfn].try_get());
        machine.isolate(pfn).unwrap();
        machine.put(pfn);
        list.push(pfn);
    }
    let mut target = |_: Pfn| machine.alloc_pages(1, 0).ok();
    let result = machine.migrate_pages(&mut list, &mut target, Mode::Async, Reason::Syscall);
    if drain {
        machine.lru_drain_all();
    }
    let counted = current().minus(before);

    assert_eq!((result.succeeded, result.failed, result.retries), (pages, 0, 0));
    machine.lru_drain_all();
    assert_eq!(machine.audit(&Ledger::default()), []);
    counted
}

#[test]
fn one_page_under_split() {
    // The drain at the end takes this CPU's batch lock and one node's lruvec lock. Then it takes
    // the lock of drains, counts itself, and takes the batch lock once more.
    assert_eq!(migrate::<Split>(1, 31, true), ledger(1, SPLIT, [1, 0, 1, 2, 1, 0, 0]));
}

#[test]
fn one_page_under_putback() {
    // The drain costs the same as under `split`, and two lruvec locks more: dst and src are on two nodes, and
    // src is unlinked again.
    assert_eq!(migrate::<Putback>(1, 31, true), ledger(1, PUTBACK, [1, 0, 3, 2, 1, 0, 0]));
}

#[test]
fn a_full_batch_under_split() {
    // The last page fills the batch and drains it under the batch lock that is held already. So one
    // lruvec lock is added.
    for pagevec in [1, 14, 15, 31] {
        let pages = u64::from(pagevec);
        let counted = migrate::<Split>(pagevec.into(), pagevec, false);
        assert_eq!(counted, ledger(pages, SPLIT, [0, 0, 1, 0, 0, 0, 0]), "pagevec {pagevec}");
    }
}

#[test]
fn a_full_batch_under_putback() {
    // Twice as many pages pass through the batches: all dst, which fill one, then all src. Each of the two
    // drains takes one lruvec lock, and all src that it frees are unlinked under one more. The src that fills
    // the batch has its isolation's reference until after the drain, so it is unlinked and freed later than
    // the others, under locks of its own.
    for pagevec in [1, 14, 15, 31] {
        let pages = u64::from(pagevec);
        let counted = migrate::<Putback>(pagevec.into(), pagevec, false);
        let later = u64::from(pages > 1);
        assert_eq!(counted, ledger(pages, PUTBACK, [0, 0, 3 + later, 0, later, 0, 0]), "pagevec {pagevec}");
    }
}

#[test]
fn merged_atomics_save_six_a_page_and_change_nothing_else() {
    let saved: u64 = MERGED.iter().map(|(_, saved)| saved).sum();
    for pages in [1, 31] {
        let kernel = migrate::<Split>(pages, 31, true);
        let merged = migrate_by::<Split>("merged", pages, 31, true);
        assert_eq!(merged, Ops { rmw: kernel.rmw - u64::from(pages) * saved, ..kernel }, "{pages} pages");
    }
}

#[test]
fn a_second_window_takes_the_locks_of_a_window_again() {
    // Without the read-modify-writes: the buddy lists, which are used once more, mark records.
    let counted = |pages| Ops { rmw: 0, ..migrate::<Split>(pages, 31, false) };
    // Both lists end with a full batch. 62 pages are one window; 93 pages are two, and 31 pages more.
    let mut more = Ops::default();
    for line in UP_TO_THE_END.iter().chain(SPLIT).chain(DRAIN_DST) {
        add(&mut more, line, 31);
    }
    WINDOW.iter().for_each(|line| add(&mut more, line, 1));
    add(&mut more, &("the batch that the first window leaves", [0, 0, 0, 1, 0, 0, 0]), 1);
    add(&mut more, &("one more full batch", [0, 0, 1, 0, 0, 0, 0]), 1);
    add(&mut more, &("one more refill of an array, and one more flush", [0, 0, 0, 0, 2, 0, 0]), 1);
    assert_eq!(counted(93).minus(counted(62)), Ops { rmw: 0, ..more });
}

fn storm(design: &str) -> LoadConfig {
    let json = format!(r#"{{"pages": 1024, "mutators": 2, "profile": {{"release": "{design}"}}}}"#);
    LoadConfig::from_json(&json).unwrap()
}

fn tiering(design: &str) -> (LoadConfig, Option<Trace>) {
    let mut rng = Rng::new(3, 0);
    let mut trace = Trace::default();
    for at in 0..200_000u32 {
        trace.ids.push((at / 10_000 * 100 + rng.below(300)) % 2048);
        trace.writes.push((rng.below(2) == 0).into());
    }
    trace.ids[0] = 2047;
    (LoadConfig { load: Load::Tiering, ..storm(design) }, Some(trace))
}

#[test]
fn putback_costs_more_operations_a_page_in_both_loads() {
    for load in ["storm", "tiering"] {
        let count = |design| -> PageOps {
            match load {
                "storm" => count_ops(&storm(design), None).unwrap(),
                _ => {
                    let (config, trace) = tiering(design);
                    count_ops(&config, trace).unwrap()
                }
            }
        };
        let (split, putback) = (count("split"), count("putback"));
        assert!(split.migrated >= 10_000 && putback.migrated >= 10_000, "{split:?} {putback:?}");
        let more = |field: fn(&Ops) -> u64| {
            field(&putback.ops) as f64 / putback.migrated as f64
                > field(&split.ops) as f64 / split.migrated as f64
        };
        assert!(more(|ops| ops.rmw), "{load}: {split:?} {putback:?}");
        assert!(more(|ops| ops.pagevec_inserts), "{load}: {split:?} {putback:?}");
        assert!(more(|ops| ops.lruvec_locks), "{load}: {split:?} {putback:?}");
        assert!(more(|ops| ops.list_ops), "{load}: {split:?} {putback:?}");
    }
}

#[test]
fn the_same_run_counts_the_same() {
    assert_eq!(count_ops(&storm("packed"), None).unwrap(), count_ops(&storm("packed"), None).unwrap());
    let count = || {
        let (config, trace) = tiering("hook");
        count_ops(&config, trace).unwrap()
    };
    assert_eq!(count(), count());
}

#[test]
fn a_planted_atomic_costs_each_page_one_more_and_nothing_else() {
    let plain = count_ops(&storm("split"), None).unwrap();
    let mut config = storm("split");
    config.planted.atomics = 1;
    let planted = count_ops(&config, None).unwrap();
    let more = Ops { rmw: planted.migrated, ..Ops::default() };
    assert_eq!((planted.migrated, planted.ops), (plain.migrated, plain.ops.plus(more)));
}

#[test]
fn a_migration_of_a_list_flushes_the_tlb_once_for_all_its_pages() {
    let counted = count_ops(&storm("split"), None).unwrap();
    let batch = storm("split").batch as u64;
    assert!(counted.ops.tlb_flushes >= counted.migrated / batch, "{counted:?}");
    assert!(counted.ops.tlb_flushes < counted.migrated / 4, "{counted:?}");
}

#[test]
fn the_nodes_that_accesses_find_are_the_same_in_every_run() {
    let hits = || {
        let (config, trace) = tiering("split");
        count_hits(&config, trace, None).unwrap()
    };
    let first = hits();
    assert!(first.migrated >= 1000, "{first:?}");
    assert!(first.accesses_by_node.iter().all(|&accesses| accesses > 0), "{first:?}");
    assert_eq!(first, hits());
}

#[test]
fn only_hook_takes_a_lock_in_every_put() {
    let kept = |design| {
        let counted = count_puts(&storm(design)).unwrap();
        assert_eq!(counted.kept.rmw, u64::from(counted.puts), "{design}: one drop each");
        assert!(counted.last.rmw >= counted.kept.rmw);
        counted.kept.other_locks
    };
    for design in ["putback", "split", "hook_late", "packed"] {
        assert_eq!(kept(design), 0, "{design}");
    }
    // `hook` looks under a lock, so that the flag cannot change meanwhile.
    assert_eq!(kept("hook"), 1000);
}
