//! The answers of concurrent operations, and the state that they leave, are those of some order in which they
//! run one at a time. Each of the defects here is seen by this rule and by no other.

use mmcore_explored::explore::{
    Checks, Exhaustive, Options, ProgramOptions, ProgramReport, Schedule, Search, explore_program,
    replay_program,
};
use mmcore_explored::program::{MachineSpec, parse};
use mmcore_explored::sync::Mutation;
use std::path::Path;
use std::sync::atomic::AtomicBool;

const RULE: &str = "answers and end are those of some order";

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/mmcore/data/mutations");

const DEFECTS: &[&str] =
    &["offline-claims-anothers", "deflate-counts-early", "lookup-gives-up", "truncation-regrows"];

fn options(checks: Checks) -> Options {
    Options { checks, ..Options::default() }
}

fn explored(text: &str, mutation: Option<&str>, checks: Checks) -> ProgramReport {
    let mutation = mutation.map(|name| Mutation::from_name(name).expect("a known defect"));
    let search = Search::Exhaustive(Exhaustive { preemptions: Some(1), ..Exhaustive::default() });
    let options = ProgramOptions { search, mutation, options: options(checks), ..ProgramOptions::default() };
    explore_program(&parse(text).unwrap(), &options, &AtomicBool::new(false)).unwrap()
}

fn program_of(defect: &str) -> String {
    std::fs::read_to_string(Path::new(DATA).join(format!("{defect}.mm"))).unwrap()
}

#[test]
fn a_defect_of_answers_is_seen_by_this_rule_alone() {
    for &defect in DEFECTS {
        let text = program_of(defect);
        assert_eq!(explored(&text, Some(defect), Checks::State).counterexample, None, "{defect}");
        let found = explored(&text, Some(defect), Checks::All).counterexample.expect(defect);
        assert_eq!(found.rule, RULE, "{defect}: {}", found.detail);
        assert!(found.at_end && found.detail.contains("the nearest order"), "{}", found.detail);
        // A replay judges the one schedule anew.
        let schedule: Schedule = found.schedule.parse().unwrap();
        let mutation = Mutation::from_name(defect);
        let program = parse(&found.program).unwrap();
        let replayed =
            replay_program(&program, &MachineSpec::default(), &schedule, options(Checks::All), mutation);
        assert_eq!(replayed.unwrap().detail, Some(found.detail), "{defect}");
        assert_eq!(explored(&text, None, Checks::All).counterexample, None, "{defect}: the sound core");
    }
}

#[test]
fn a_refusal_needs_no_order_while_another_thread_is_at_the_page() {
    // No order lets the migration find the page without a place on a list.
    let text = "map r0 anon 1
write r0
drain
thread A
  isolate r0
  putback r0
thread B
  move r0 node=1";
    assert_eq!(explored(text, None, Checks::All).counterexample, None);
}

#[test]
fn a_call_on_two_pages_is_two_calls() {
    let text = "machine nodes=2 pages=8
map r0 anon 2
write r0
drain
thread A
  mbind r0 node=0
thread B
  mbind r0:1,0 node=1";
    assert_eq!(explored(text, None, Checks::All).counterexample, None);
}

#[test]
fn a_program_with_too_many_orders_is_not_checked_and_the_report_says_so() {
    let defect = "lookup-gives-up";
    let lookups = "  try_get p0\n  put p0\n".repeat(4);
    let long = |operations: &str| {
        format!("movable m0 1\nallocate p0\nthread A\n  get m0\n{operations}thread B\n  get m0\n{operations}")
    };
    let few = explored(&long(""), Some(defect), Checks::All);
    assert!(few.counterexample.is_some());
    assert_eq!(few.unordered, None);
    let limit = Exhaustive { limit: 2_000, ..Exhaustive::default() };
    let search = Search::Exhaustive(limit);
    let mutation = Mutation::from_name(defect);
    let options =
        ProgramOptions { search, mutation, options: options(Checks::All), ..ProgramOptions::default() };
    let program = parse(&long(&lookups)).unwrap();
    let report = explore_program(&program, &options, &AtomicBool::new(false)).unwrap();
    assert_eq!(report.counterexample, None);
    assert_eq!(report.unordered, Some("the operations have more than 2,000 orders"));
}
