//! Every mutation is found by its program and breaks its rule; without the mutation the program
//! breaks no rule.

use mmcore_explored::explore::{
    Checks, Method, Options, ProgramOptions, ProgramReport, Sampling, Search, explore_program, minimum,
};
use mmcore_explored::program::{Program, parse};
use mmcore_explored::sync::Mutation;
use std::path::Path;
use std::sync::atomic::AtomicBool;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/mmcore/data");

fn program(name: &str) -> Program {
    let path = Path::new(DATA).join("mutations").join(format!("{name}.mm"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The options of a schedule that is checked against all rules.
const ALL: Options = Options { checks: Checks::All, ..Options::DEFAULT };

fn explored(name: &str, mutation: Option<Mutation>, schedules: u64, seed: u64) -> ProgramReport {
    let search = Search::Sample(Sampling { method: Method::Portfolio, schedules, seed });
    let options = ProgramOptions { search, mutation, options: ALL, ..ProgramOptions::default() };
    explore_program(&program(name), &options, &AtomicBool::new(false))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn each_mutation_is_found_and_breaks_its_rule() {
    let data = std::fs::read_to_string(Path::new(DATA).join("mutations.json")).unwrap();
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    let mut wrong = Vec::new();
    for &mutation in Mutation::ALL {
        let name = mutation.name();
        let rule = data["mutations"][name]["rule"].as_str().unwrap();
        // Some defects break several rules, and the seed decides which one a search meets first.
        let mut rules = Vec::new();
        while !rules.iter().any(|other| other == rule) && rules.len() < 4 {
            let found = explored(name, Some(mutation), 50_000, rules.len() as u64).counterexample;
            let Some(found) = found else { break };
            rules.push(found.rule);
        }
        if !rules.iter().any(|other| other == rule) {
            wrong.push(format!("{name}: {rules:?}, not `{rule}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_programs_of_the_mutations_hold_in_the_sound_core() {
    for &mutation in Mutation::ALL {
        let report = explored(mutation.name(), None, 2_000, 0);
        assert_eq!(report.counterexample, None, "{}", mutation.name());
    }
}

#[test]
fn the_minimum_of_a_long_program_is_in_any_of_its_operations() {
    let drains = "  drain\n".repeat(24);
    let program = format!("movable m0 1\nthread A\n{drains}  isolate m0\n  putback m0\n");
    let program = parse(&program).unwrap();
    let mutation = Some(Mutation::MovablePutOnLru);
    let options = ProgramOptions { mutation, options: ALL, ..ProgramOptions::default() };
    let found = minimum(&program, "a page is in one place", &options, 1_000, &AtomicBool::new(false));
    let found = found.unwrap().expect("the last two operations break the rule");
    assert_eq!((found.threads, found.operations, found.proven), (1, 2, true));
    // Before this part came the parts with one operation, and those with two that are earlier in the order.
    assert!(found.programs > 26 && found.programs < 2 * (26 + 26 * 25 / 2), "{}", found.programs);
}

#[test]
fn a_program_with_too_many_parts_is_refused() {
    let program = parse(&format!("thread A\n{}", "  drain\n".repeat(65))).unwrap();
    let refused = minimum(&program, "deadlock", &ProgramOptions::default(), 1_000, &AtomicBool::new(false));
    assert!(refused.unwrap_err().0.contains("64 operations of threads at most"));
}
