//! The load `storm`: short runs must be clean, and planted faults must be found.

// The loads run on native threads: the loom build has no `mmcore::load`.
#![cfg(not(loom))]

use mmcore::load::{Finding, LoadConfig, LoadError, Planted, open};
use serde_json::json;

fn storm(design: &str, seed: u64) -> LoadConfig {
    let mut config = LoadConfig { pages: 2048, seed, ..LoadConfig::default() };
    config.profile.insert("release".into(), json!(design));
    config
}

fn a_short_storm_is_clean(design: &str) {
    let mut rig = open(&storm(design, 11), None).unwrap();
    let mut migrated = 0;
    for round in 0..3 {
        let round = rig.run(round, 0.25).unwrap();
        assert!(round.wall_s >= 0.25 && round.migrator_cpu_s > 0.0, "{round:?}");
        assert_eq!(
            round.latency_ns.iter().map(|&(_, pages)| pages).sum::<u64>(),
            round.migrated + round.failed
        );
        assert!(round.accesses_by_node.iter().all(|&n| n > 0), "{round:?}");
        assert!(round.memcpy_pages > 0 && round.memcpy_pages_per_s > 1e4);
        for what in ["pins", "forks", "remaps", "pool_releases"] {
            assert!(round.did.get(what).is_some_and(|&n| n > 0), "no {what}: {round:?}");
        }
        migrated += round.migrated;
    }
    let end = rig.finish().unwrap();
    assert_eq!((end.rounds, end.migrated), (3, migrated));
    assert!(migrated > 1000, "{migrated}");
    assert!(end.verified_words > 2000 * 512);
    assert!(rig.run(9, 0.1).is_err(), "a finished load does not run");
}

fn a_storm_with_poison_is_clean(design: &str) {
    let mut rig = open(&LoadConfig { poison_rate: 0.2, ..storm(design, 14) }, None).unwrap();
    let mut did = std::collections::BTreeMap::new();
    for round in 0..3 {
        for (what, n) in rig.run(round, 0.3).unwrap().did {
            *did.entry(what).or_insert(0) += n;
        }
    }
    for what in ["soft_offlined", "lost", "unpoisoned", "bus_errors"] {
        assert!(did.get(what).is_some_and(|&n| n > 0), "no {what}: {did:?}");
    }
    assert!(rig.finish().unwrap().verified_words > 0);
}

fn an_unbacked_storm_is_clean(design: &str) {
    let mut rig = open(&LoadConfig { copy: false, ..storm(design, 12) }, None).unwrap();
    let round = rig.run(1, 0.2).unwrap();
    assert!(round.migrated > 0);
    assert_eq!(rig.finish().unwrap().verified_words, 0);
}

fn migrators_may_be_alone(design: &str) {
    let mut rig = open(&LoadConfig { alone: true, ..storm(design, 12) }, None).unwrap();
    let round = rig.run(1, 0.1).unwrap();
    assert!(round.migrated > 0 && round.did.is_empty(), "{round:?}");
    assert_eq!(round.accesses_by_node.iter().sum::<u64>(), 0);
    assert!(rig.finish().unwrap().verified_words > 0, "what was written before is still there");
}

fn a_lost_copy_is_found(design: &str) {
    let planted = Planted { lost_copy: true, ..Planted::default() };
    let mut rig = open(&LoadConfig { planted, ..storm(design, 13) }, None).unwrap();
    let found = (0..40).find_map(|seed| rig.run(seed, 0.25).err()).or_else(|| rig.finish().err());
    match found {
        Some(LoadError::Failed(failed)) => {
            assert!(matches!(failed.finding, Finding::Content(_)), "{failed}");
            let text = failed.to_string();
            assert!(text.contains(design) && text.contains("seed") && text.contains("lost_copy"), "{text}");
        }
        other => panic!("a lost copy went unseen: {other:?}"),
    }
    assert!(rig.run(99, 0.1).is_err(), "a failed load stays failed");
}

/// Runs six threads for `STORM_SECONDS` (60 by default); run by `make storm` and `make tsan`.
#[expect(clippy::print_stdout, reason = "a long run says what it has done")]
fn a_long_storm_is_clean(design: &str, poison_rate: f64) {
    let seconds =
        std::env::var("STORM_SECONDS").map_or(60.0, |text| text.parse().expect("a number of seconds"));
    let config = LoadConfig { migrators: 2, mutators: 4, poison_rate, ..storm(design, 14) };
    let mut rig = open(&config, None).unwrap();
    let round = rig.run(15, seconds).unwrap_or_else(|error| panic!("{error}"));
    let end = rig.finish().unwrap_or_else(|error| panic!("{error}"));
    println!(
        "{design}: {seconds} s: {} pages migrated, {} failed, {} words verified at the end, audit clean: {:?}",
        round.migrated, round.failed, end.verified_words, round.did
    );
    assert!(round.migrated > 0 && end.verified_words > 2000 * 512);
}

macro_rules! designs {
    ($($design:ident),*) => {
        $(mod $design {
            #[test]
            fn a_short_storm_is_clean() { super::a_short_storm_is_clean(stringify!($design)) }
            #[test]
            fn a_storm_with_poison_is_clean() { super::a_storm_with_poison_is_clean(stringify!($design)) }
            #[test]
            fn an_unbacked_storm_is_clean() { super::an_unbacked_storm_is_clean(stringify!($design)) }
            #[test]
            fn migrators_may_be_alone() { super::migrators_may_be_alone(stringify!($design)) }
            #[test]
            fn a_lost_copy_is_found() { super::a_lost_copy_is_found(stringify!($design)) }
            #[test]
            #[ignore = "takes a minute: make storm"]
            fn a_long_storm_is_clean() { super::a_long_storm_is_clean(stringify!($design), 0.0) }
            #[test]
            #[ignore = "takes a minute: make storm"]
            fn a_long_storm_with_poison_is_clean() {
                super::a_long_storm_is_clean(stringify!($design), 0.05)
            }
        })*
    };
}

designs!(putback, split, hook, hook_late, packed, mine);

#[test]
fn a_wrong_configuration_is_refused_in_one_line() {
    let config = |json| LoadConfig::from_json(json).unwrap_err().to_string();
    for (json, says) in [
        ("{\"mutators\": 32}", "mutators must be from 1 to 31, not 32"),
        ("{\"migrators\": 0}", "migrators must be from 1"),
        ("{\"load\": \"rain\"}", "rain"),
        ("{\"wind\": 3}", "wind"),
        ("{\"kernel\": \"5.0\"}", "no profile \"5.0\""),
        ("{\"profile\": {\"pagevec\": 0}}", "1 to 31"),
        ("{\"profile\": {\"pagevecs\": 1}}", "pagevecs"),
        ("{\"nodes\": [{\"bytes\": 5000}]}", "whole pages"),
        ("{\"fast_share\": 1.5}", "between 0 and 1"),
        ("{\"poison_rate\": 2}", "from 0 to 1"),
        ("{\"planted\": {\"lost_copy\": true}, \"copy\": false}", "set copy"),
    ] {
        let text = config(json);
        assert!(text.contains(says) && !text.contains('\n'), "{json}: {text}");
    }
    let small = r#"{"nodes": [{"bytes": 4096}, {"bytes": 4096}]}"#;
    let error = LoadConfig::from_json(small).unwrap_err();
    assert!(error.to_string().contains("larger nodes"), "{error}");
    let single = r#"{"nodes": [{"bytes": 1073741824}]}"#;
    let error = open(&LoadConfig::from_json(single).unwrap(), None).err().unwrap();
    assert!(error.to_string().contains("two"), "{error}");
    let mut rig = open(&storm("split", 1), None).unwrap();
    assert!(rig.run(1, -1.0).is_err() && rig.run(1, f64::NAN).is_err() && rig.run(1, 0.05).is_ok());
}

#[test]
fn a_planted_slowdown_is_as_large_as_asked() {
    // The slowdown doubles the time, so that noise of the host cannot hide it.
    let time = |slowdown| {
        let planted = Planted { slowdown, ..Planted::default() };
        let config = LoadConfig {
            planted,
            copy: false,
            memcpy: false,
            alone: true,
            migrators: 1,
            ..storm("split", 5)
        };
        let mut rig = open(&config, None).unwrap();
        let mut times: Vec<f64> = (0..7)
            .map(|seed| {
                let round = rig.run(seed, 0.05).unwrap();
                round.migrating_s / round.migrated as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[3]
    };
    // Other tests run at the same time. One undisturbed pair of runs is enough.
    let ratios: Vec<f64> = (0..8).map(|_| time(1.0) / time(0.0)).collect();
    assert!(ratios.iter().any(|ratio| (1.5..3.0).contains(ratio)), "{ratios:?}");
}
