//! Programs as texts: explored with some options, and the race that was found as text.

use mmcore_explored::explore::{Exhaustive, ProgramOptions, ProgramReport, Search, explore_program};
use mmcore_explored::program::{Program, parse};
use mmcore_explored::sync::Mutation;
use std::sync::atomic::AtomicBool;

pub fn program(text: &str) -> Program {
    parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub fn explored(text: &str, options: &ProgramOptions) -> ProgramReport {
    let report = explore_program(&program(text), options, &AtomicBool::new(false));
    report.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Runs every schedule with up to two preemptions, `limit` schedules at most.
pub fn exhausted(text: &str, mutation: Option<Mutation>, limit: u64) -> ProgramReport {
    let search = Search::Exhaustive(Exhaustive { limit, ..Exhaustive::default() });
    explored(text, &ProgramOptions { search, mutation, ..ProgramOptions::default() })
}

/// The race that was found, with its steps; `None` if no rule broke.
pub fn race(report: &ProgramReport) -> Option<String> {
    let found = report.counterexample.as_ref()?;
    let rows = found
        .trace
        .iter()
        .map(|r| format!("{} | {} | {} {} {} -> {}\n", r.name, r.op, r.kind, r.object, r.before, r.after));
    Some(format!("{}: {}\n{}{}", found.rule, found.detail, found.program, rows.collect::<String>()))
}

/// The most schedules of one program; `MMCORE_SCHEDULES` sets another limit than `usual`.
pub fn limit(usual: u64) -> u64 {
    std::env::var("MMCORE_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}
