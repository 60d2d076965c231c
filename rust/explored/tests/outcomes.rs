//! The outcomes of a program: all of them, each once, whatever schedules the reduction leaves out.

use mmcore_explored::explore::{
    Exhaustive, Outcome, Outcomes, ProgramOptions, Search, outcomes_of, replay_program,
};
use mmcore_explored::program::parse;
use mmcore_explored::sync::Mutation;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

const RACE: &str = "machine nodes=2 pages=4 cpus=2
map r0 anon 1
write r0
thread A
  move r0 node=1
thread B
  get r0
  put r0";

fn outcomes(text: &str, exhaustive: Exhaustive) -> Outcomes {
    let options = ProgramOptions { search: Search::Exhaustive(exhaustive), ..ProgramOptions::default() };
    outcomes_of(&parse(text).unwrap(), &options, &AtomicBool::new(false)).unwrap()
}

fn states(outcomes: &Outcomes) -> BTreeSet<String> {
    let states: Vec<_> = outcomes.outcomes.iter().map(|outcome| format!("{:?}", outcome.state)).collect();
    let distinct: BTreeSet<_> = states.iter().cloned().collect();
    assert_eq!(distinct.len(), states.len(), "each once");
    distinct
}

#[test]
fn the_reduction_leaves_out_no_outcome() {
    let bound = Exhaustive { preemptions: Some(1), ..Exhaustive::default() };
    let reduced = outcomes(RACE, bound);
    let plain = outcomes(RACE, Exhaustive { reduce: false, ..bound });
    assert_eq!(states(&reduced), states(&plain));
    assert!(reduced.schedules < plain.schedules);
    assert_eq!((reduced.coverage, plain.coverage), ("bounded", "bounded"));
    assert_eq!(reduced.outcomes.iter().map(|outcome| outcome.times).sum::<u64>(), reduced.schedules);
    // With a reference that keeps the page from migrating, or without.
    assert!(states(&reduced).len() > 1);
}

#[test]
fn a_schedule_leads_to_its_outcome_and_nowhere_else() {
    let all = outcomes(RACE, Exhaustive { preemptions: Some(1), ..Exhaustive::default() });
    let program = parse(&all.program).unwrap();
    let mut hashes = BTreeSet::new();
    for outcome in &all.outcomes {
        let schedule = outcome.schedule.parse().unwrap();
        let options = ProgramOptions::default();
        let replayed = replay_program(&program, &options.machine, &schedule, options.options, None).unwrap();
        assert_eq!(replayed.rule, outcome.rule);
        hashes.insert(replayed.hash);
    }
    assert_eq!(hashes.len(), all.outcomes.len());
}

#[test]
fn a_broken_rule_is_one_of_the_outcomes_and_the_search_goes_on() {
    let text = "machine nodes=2 pages=4 cpus=2
map r0 anon 1
write r0
thread A
  move r0 node=1
thread B
  read r0";
    let options = ProgramOptions {
        search: Search::Exhaustive(Exhaustive { preemptions: Some(1), ..Exhaustive::default() }),
        mutation: Mutation::from_name("copy-after-restore"),
        ..ProgramOptions::default()
    };
    let all = outcomes_of(&parse(text).unwrap(), &options, &AtomicBool::new(false)).unwrap();
    assert_eq!(all.coverage, "bounded");
    assert!(all.outcomes.iter().all(|outcome| outcome.rule.is_some() != outcome.state.is_some()));
    let broken: Vec<_> = all.outcomes.iter().filter_map(|outcome| outcome.rule.as_deref()).collect();
    assert!(broken.contains(&"data race") && broken.len() < all.outcomes.len(), "{broken:?}");
}

#[test]
fn a_limit_reached_is_reported() {
    let all = outcomes(RACE, Exhaustive { limit: 3, ..Exhaustive::default() });
    assert_eq!((all.schedules, all.coverage), (3, "incomplete"));
}

/// Migrates a page that two processes map, beside a reader in one of them. Returns each outcome's result of
/// the migration, and the results of all operations.
fn read_while_it_moves(kernel: &str, kind: &str) -> Vec<(Value, Value)> {
    let text = format!(
        "machine nodes=2 pages=16 cpus=2 kernel={kernel}
map r0 {kind} 1
write r0
fork c0
cread c0 r0
drain
thread A
  move r0 node=1 all
thread B
  cread c0 r0
finally
  query r0"
    );
    let all = outcomes(&text, Exhaustive { preemptions: Some(2), ..Exhaustive::default() });
    let ops = |outcome: &Outcome| outcome.state.as_ref().expect("no rule breaks")["ops"].clone();
    // The first operation of the first thread is the migration.
    all.outcomes.iter().map(|outcome| (ops(outcome)[0][0]["ret"].clone(), ops(outcome))).collect()
}

#[test]
fn a_reader_between_clear_and_mark_makes_the_migration_of_a_file_s_page_fail() {
    for kernel in ["6.1", "6.12"] {
        let shared = read_while_it_moves(kernel, "shm");
        let mut ended: Vec<_> = shared.iter().map(|(ret, _)| ret.as_i64()).collect();
        ended.sort_unstable();
        assert_eq!(ended, [Some(0), Some(1)], "{kernel}: {shared:?}");
        // A reader of anonymous memory finds only the migration entry, and waits without a
        // reference.
        let own = read_while_it_moves(kernel, "anon");
        assert!(own.iter().all(|(ret, _)| ret.as_i64() == Some(0)), "{kernel}: {own:?}");
    }
}
