//! The loads `compaction` and `zram`: short runs must be clean, and planted faults must be found.

// The loads run on native threads: the loom build has no `mmcore::load`.
#![cfg(not(loom))]

use mmcore::load::{Finding, Load, LoadConfig, LoadError, NodeSpec, Planted, open};
use serde_json::json;

/// A node of 32 pageblocks of 128 frames.
fn load(load: Load, design: &str) -> LoadConfig {
    let nodes = vec![NodeSpec { bytes: 32 << 19, latency_ns: 100.0 }];
    let mut config = LoadConfig { load, nodes, seed: 5, ..LoadConfig::default() };
    config.profile.insert("release".into(), json!(design));
    config.profile.insert("pageblock_order".into(), json!(7));
    config
}

fn requests_are_served_and_all_contents_survive(which: Load, design: &str) {
    let mut rig = open(&load(which, design), None).unwrap();
    let (mut migrated, mut served, mut requests) = (0, 0, 0);
    let mut did = std::collections::BTreeMap::new();
    // A busy host may need some rounds for a few blocks.
    for seed in 0..60 {
        let round = rig.run(seed, 0.25).unwrap();
        let counted = |histogram: &[(u64, u64)]| histogram.iter().map(|&(_, count)| count).sum::<u64>();
        assert_eq!(counted(&round.request_ns), round.requests);
        assert_eq!(counted(&round.latency_ns), round.migrated + round.failed);
        assert_eq!(round.stored.is_some(), which == Load::Zram);
        if let Some(stored) = round.stored {
            assert!(stored.same_pages > 0 && stored.huge_pages > 0, "{stored:?}");
            assert!(stored.compressed_bytes < stored.pool_bytes, "{stored:?}");
            assert!(stored.pool_bytes < stored.content_bytes / 2, "{stored:?}");
        }
        for (what, n) in round.did {
            *did.entry(what).or_insert(0) += n;
        }
        did.entry("accesses").and_modify(|n| *n += round.accesses).or_insert(round.accesses);
        migrated += round.migrated;
        served += round.served;
        requests += round.requests;
        if served > 20 && seed > 2 {
            break;
        }
    }
    let kinds: &[&str] = match which {
        Load::Zram => &["accesses", "blocks_broken_up", "swapped_in", "swapped_out"],
        _ => &["accesses", "blocks_broken_up", "pages_replaced"],
    };
    assert!(kinds.iter().all(|kind| did.get(kind).is_some_and(|&n| n > 0)), "{did:?}");
    let end = rig.finish().unwrap();
    assert_eq!(end.migrated, migrated);
    assert!(end.verified_words > 1000 * 512);
    assert!(served > 20 && served <= requests, "{served} of {requests}");
    // Without compaction few requests would be served, for the blocks are broken up.
    assert!(migrated > 10 * served, "{migrated} pages for {served} blocks");
    assert!(end.vmstat["compact_success"] > 0, "{:?}", end.vmstat);
}

fn a_lost_copy_is_found(which: Load, design: &str) {
    let planted = Planted { lost_copy: true, ..Planted::default() };
    let mut rig = open(&LoadConfig { planted, ..load(which, design) }, None).unwrap();
    let found = (0..60).find_map(|seed| rig.run(seed, 0.25).err()).or_else(|| rig.finish().err());
    match found {
        Some(LoadError::Failed(failed)) => assert!(matches!(failed.finding, Finding::Content(_)), "{failed}"),
        other => panic!("a lost copy went unseen: {other:?}"),
    }
}

#[test]
fn compaction_goes_alone_and_without_contents() {
    let config = LoadConfig { alone: true, copy: false, ..load(Load::Compaction, "split") };
    let mut rig = open(&config, None).unwrap();
    let round = rig.run(1, 0.2).unwrap();
    assert!(round.migrated > 0 && round.accesses == 0, "{round:?}");
    rig.finish().unwrap();
}

#[test]
fn a_load_that_does_not_fit_is_refused_with_the_way_out() {
    let refused = |config: LoadConfig| match open(&config, None) {
        Err(LoadError::Config(why)) => why,
        other => panic!("{:?}", other.err()),
    };
    let compaction = || load(Load::Compaction, "split");
    let zram = || load(Load::Zram, "split");
    let node = |bytes| NodeSpec { bytes, latency_ns: 100.0 };
    assert!(refused(LoadConfig { nodes: vec![node(1 << 24); 2], ..compaction() }).contains("one node"));
    assert!(refused(LoadConfig { nodes: vec![node(1 << 22)], ..compaction() }).contains("too small"));
    assert!(
        refused(LoadConfig { nodes: vec![node(1 << 24)], pages: 1 << 15, ..zram() }).contains("too small")
    );
    assert!(refused(LoadConfig { copy: false, ..zram() }).contains("set copy"));
    assert!(refused(LoadConfig { alone: true, ..zram() }).contains("in zram the accesses"));
    assert!(refused(LoadConfig { poison_rate: 0.5, ..zram() }).contains("storm or tiering"));
}

/// Runs for `STORM_SECONDS` (60 by default); run by `make storm` and `make tsan`.
#[expect(clippy::print_stdout, reason = "a long run says what it has done")]
fn a_long_run_is_clean(which: Load, design: &str) {
    let seconds =
        std::env::var("STORM_SECONDS").map_or(60.0, |text| text.parse().expect("a number of seconds"));
    let mut rig = open(&LoadConfig { mutators: 4, ..load(which, design) }, None).unwrap();
    let round = rig.run(15, seconds).unwrap_or_else(|error| panic!("{error}"));
    let end = rig.finish().unwrap_or_else(|error| panic!("{error}"));
    println!(
        "{} {design}: {seconds} s: {} of {} requests served, {} pages migrated, {} words verified: {:?}",
        which.name(),
        round.served,
        round.requests,
        round.migrated,
        end.verified_words,
        round.did
    );
    assert!(round.served > 0 && round.migrated > 0);
}

macro_rules! designs {
    ($($design:ident),*) => {
        $(mod $design {
            use mmcore::load::Load;
            #[test]
            fn compaction_serves_requests_and_all_contents_survive() {
                super::requests_are_served_and_all_contents_survive(Load::Compaction, stringify!($design))
            }
            #[test]
            fn zram_serves_requests_and_all_contents_survive() {
                super::requests_are_served_and_all_contents_survive(Load::Zram, stringify!($design))
            }
            #[test]
            fn a_lost_copy_is_found() {
                super::a_lost_copy_is_found(Load::Compaction, stringify!($design));
                super::a_lost_copy_is_found(Load::Zram, stringify!($design));
            }
            #[test]
            #[ignore = "takes a minute: make storm"]
            fn a_long_run_of_compaction_is_clean() {
                super::a_long_run_is_clean(Load::Compaction, stringify!($design))
            }
            #[test]
            #[ignore = "takes a minute: make storm"]
            fn a_long_run_of_zram_is_clean() { super::a_long_run_is_clean(Load::Zram, stringify!($design)) }
        })*
    };
}

designs!(putback, split, hook, hook_late, packed, mine);
