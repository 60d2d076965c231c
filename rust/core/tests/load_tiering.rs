//! The load `tiering`: after a trace over two nodes the bytes are those of a plain replay.

// The loads run on native threads: the loom build has no `mmcore::load`.
#![cfg(not(loom))]

use mmcore::load::{Finding, Load, LoadConfig, LoadError, NodeSpec, Planted, Trace, open};
use mmcore::rng::Rng;
use serde_json::json;

fn tiering(design: &str) -> LoadConfig {
    let mut config = LoadConfig { load: Load::Tiering, mutators: 2, memcpy: false, ..LoadConfig::default() };
    config.profile.insert("release".into(), json!(design));
    config
}

/// The trace of a program whose working set, an eighth of its pages, changes from time to time,
/// with some accesses to rarely used pages.
fn wandering(pages: u32, accesses: usize) -> Trace {
    let mut rng = Rng::new(42, 0);
    let mut trace = Trace::default();
    let set = pages / 8;
    for at in 0..accesses {
        let start = (at / 20_000) as u32 * set / 2;
        let page = match rng.below(10) {
            0 => rng.below(pages),
            _ => (start + rng.below(set)) % pages,
        };
        trace.ids.push(page);
        trace.writes.push(u8::from(rng.below(3) == 0));
    }
    trace
}

fn a_replay_ends_with_the_bytes_of_a_plain_array(design: &str) {
    let mut rig = open(&tiering(design), Some(wandering(4096, 400_000))).unwrap();
    let mut migrated = 0;
    for seed in 0..3 {
        let round = rig.run(seed, 0.2).unwrap();
        let by_node = &round.accesses_by_node;
        assert_eq!(round.modelled_ns, by_node[0] as f64 * 100.0 + by_node[1] as f64 * 250.0);
        assert!(round.accesses_by_node.iter().all(|&n| n > 0), "{round:?}");
        migrated += round.migrated;
    }
    let end = rig.finish().unwrap();
    assert_eq!(end.migrated, migrated);
    assert!(migrated > 1000, "{migrated}");
    assert_eq!(end.verified_words, 4096 * 512);
    assert!(end.vmstat["pgactivate"] > 0 && end.vmstat["pgdeactivate"] > 0, "{:?}", end.vmstat);
}

fn a_lost_copy_is_found(design: &str) {
    let planted = Planted { lost_copy: true, ..Planted::default() };
    let trace = wandering(4096, 400_000);
    let opened = open(&LoadConfig { planted, ..tiering(design) }, Some(trace));
    // The warm-up may have found the fault already.
    let found = match opened {
        Err(error) => Some(error),
        Ok(mut rig) => (0..40).find_map(|seed| rig.run(seed, 0.1).err()).or_else(|| rig.finish().err()),
    };
    match found {
        Some(LoadError::Failed(failed)) => assert!(matches!(failed.finding, Finding::Content(_)), "{failed}"),
        other => panic!("a lost copy went unseen: {other:?}"),
    }
}

macro_rules! designs {
    ($($design:ident),*) => {
        $(mod $design {
            #[test]
            fn a_replay_ends_with_the_bytes_of_a_plain_array() {
                super::a_replay_ends_with_the_bytes_of_a_plain_array(stringify!($design))
            }
            #[test]
            fn a_lost_copy_is_found() { super::a_lost_copy_is_found(stringify!($design)) }
        })*
    };
}

designs!(putback, split, hook, hook_late, packed, mine);

#[test]
fn a_trace_that_moves_nothing_is_refused_with_advice() {
    // The fast node holds all pages.
    let nodes = vec![NodeSpec { bytes: 4 << 20, latency_ns: 100.0 }; 2];
    let small = wandering(200, 50_000);
    let error = open(&LoadConfig { nodes, ..tiering("split") }, Some(small)).err().unwrap();
    assert!(matches!(error, LoadError::TooFewMigrations { migrated: 0, .. }), "{error}");
    assert!(error.to_string().contains("make it smaller"), "{error}");
    // After its first 1,024 accesses the trace uses a single page.
    let mut idle = Trace { ids: (0..1024).collect(), writes: vec![1; 1024] };
    idle.ids.extend(std::iter::repeat_n(7, 1 << 22));
    idle.writes.resize(idle.ids.len(), 0);
    let error = open(&tiering("split"), Some(idle)).err();
    assert!(error.is_none_or(|error| error.to_string().contains("uses more memory")), "advice");
}

#[test]
fn a_trace_that_makes_no_sense_is_one_line() {
    let says = |trace: Option<Trace>, text: &str| {
        let error = open(&tiering("split"), trace).err().unwrap().to_string();
        assert!(error.contains(text) && !error.contains('\n'), "{error}");
    };
    says(None, "needs a trace");
    says(Some(Trace::default()), "empty");
    says(Some(Trace { ids: vec![1, 2], writes: vec![0] }), "2 accesses, but 1 write marks");
    says(Some(Trace { ids: vec![1 << 31], writes: vec![0] }), "more than");
    says(Some(wandering(40, 1000)), "uses 40 pages, and a fast node of 10 pages is too small");
    let nodes = vec![NodeSpec { bytes: 1 << 20, latency_ns: 100.0 }; 2];
    let config = LoadConfig { nodes, ..tiering("split") };
    let error = open(&config, Some(wandering(4096, 9000))).err().unwrap();
    assert!(error.to_string().contains("larger nodes"), "{error}");
}
