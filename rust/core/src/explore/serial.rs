//! Checks serial answers: some order in which the operations run one at a time must give the same answers and
//! end state. Each thread's operations keep their order. The core itself is the oracle: the orders run on a
//! second world of the same program.
//!
//! | file | idea |
//! |---|---|
//! | `answer` | the answer of an operation, as far as it is compared |
//! | `merging` | compares the answers of an order with those of a schedule |
//! | `parts` | operations on many pages, cut into operations on one page each |
//! | `turns` | lets the operations of the threads run one at a time in a given order |
//! | `tolerances` | the table of the effects of concurrent operations that no order has |
//!
//! Schedules have few distinct outcomes, and each outcome is searched once. The search is depth-first over
//! the orders; an order is left at the first operation with another answer than the schedule's.

mod answer;
mod merging;
mod parts;
mod tolerances;
mod turns;

use super::Violation;
use crate::machine::Config;
use crate::program::Program;
use crate::program::session::Visible;
pub(super) use answer::Answer;
use std::collections::HashMap;
use tolerances::is_same_state;
pub(super) use tolerances::stands_for;
pub(super) use turns::{InTurns, Turns};
use turns::{Turn, Unit};

/// The rule.
const RULE: &str = "answers and end are those of some order";

/// The most orders of a program's operations. A program with more is not checked.
const MOST_ORDERS: u64 = 2_000;

/// The answers of a schedule by thread and operation, and the state that its threads left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Outcome {
    pub answers: Vec<Vec<Answer>>,
    pub end: Visible,
}

/// A world that performs the operations of a program one at a time.
pub(super) trait Oracle {
    /// Performs the operations in the order that the turns prescribe. Returns the state that the threads
    /// left; `None` if an operation had to wait for a later one, or broke a rule.
    fn perform(&mut self) -> Option<Visible>;
}

/// The outcomes that were searched, and the search for others.
pub(super) struct Serial {
    known: HashMap<u64, Option<Violation>>,
}

/// The turns that are possible at one place of an order, and the one that is tried.
#[derive(Clone, Debug)]
struct Choice {
    all: Vec<Turn>,
    at: usize,
}

impl Serial {
    /// The check of a program, or the reason why its schedules are not checked by this rule.
    pub fn new(program: &Program, config: &Config) -> Result<Serial, &'static str> {
        if config.pressure || config.profile.deflate_on_oom {
            return Err(
                "what an allocation finds under memory pressure depends on how far other threads are",
            );
        }
        if program.threads.iter().flat_map(|thread| &thread.ops).any(tolerances::names_whole_pool) {
            return Err("a step names all pages of z0 or b0, whose number changes");
        }
        if orders(&parts::units(program)) > MOST_ORDERS {
            return Err("the operations have more than 2,000 orders");
        }
        Ok(Serial { known: HashMap::new() })
    }

    /// The units of a program's threads.
    pub fn units(program: &Program) -> Vec<Vec<Unit>> {
        parts::units(program)
    }

    /// The verdict on an outcome that was searched before.
    pub fn known(&self, fingerprint: u64) -> Option<&Option<Violation>> {
        self.known.get(&fingerprint)
    }

    /// Searches an order with this outcome.
    pub fn judge(
        &mut self,
        fingerprint: u64,
        program: &Program,
        outcome: &Outcome,
        turns: &Turns,
        oracle: &mut dyn Oracle,
    ) -> Option<Violation> {
        let verdict = search(program, outcome, turns, oracle);
        self.known.insert(fingerprint, verdict.clone());
        verdict
    }
}

/// The number of orders of the units. The count ends as soon as it exceeds [`MOST_ORDERS`].
fn orders(units: &[Vec<Unit>]) -> u64 {
    let (mut all, mut before) = (1_u64, 0_u64);
    for thread in units {
        for number in 1..=thread.len() as u64 {
            all = all * (before + number) / number;
            if all > MOST_ORDERS {
                return all;
            }
        }
        before += thread.len() as u64;
    }
    all
}

fn search(program: &Program, outcome: &Outcome, turns: &Turns, oracle: &mut dyn Oracle) -> Option<Violation> {
    let mut path: Vec<Choice> = Vec::new();
    let mut nearest: Option<(usize, String)> = None;
    let total: usize = turns.units().iter().map(Vec::len).sum();
    loop {
        turns.strikes(&outcome.answers);
        turns.begin(path.iter().map(|choice| choice.all[choice.at]).collect());
        let end = oracle.perform();
        let mut taken = turns.taken();
        if let Some(blocked) = turns.blocked() {
            taken.truncate(blocked);
        }
        // The first place at which the order does not fit the outcome.
        let mut wrong = None;
        let mut merged = merging::Merging::new(turns.units());
        for (place, (turn, given)) in taken.iter().enumerate() {
            if place >= path.len() {
                path.push(choices(program, outcome, turns, &taken[..place], *turn));
            }
            if let Err(why) = merged.add(*turn, given, outcome, program) {
                wrong = Some((place, why));
                break;
            }
        }
        let (place, why) = match (wrong, end) {
            (Some(wrong), _) => wrong,
            (None, Some(end)) if taken.len() == total => match is_same_state(program, outcome, &end) {
                Ok(()) => return None,
                Err(why) => (total, why),
            },
            (None, _) => {
                let place = taken.len().min(total - 1);
                if place >= path.len()
                    && let Some(next) = turns.next_after(&taken)
                {
                    path.push(choices(program, outcome, turns, &taken, next));
                }
                (place, "waits".into())
            }
        };
        if nearest.as_ref().is_none_or(|(best, _)| place > *best) {
            let order: Vec<String> = taken.iter().map(|(turn, _)| turns.shown(*turn)).collect();
            nearest = Some((place, format!("the nearest order is {}: {why}", order.join(", "))));
        }
        path.truncate((place + 1).min(total));
        loop {
            let Some(last) = path.last_mut() else {
                let why = nearest.map(|(_, why)| why).unwrap_or_default();
                return Some(Violation::new(
                    RULE,
                    format!("no order gives {}; {why}", shown(program, outcome)),
                ));
            };
            last.at += 1;
            if last.at < last.all.len() {
                break;
            }
            path.pop();
        }
    }
}

/// The turns that can follow the turns in `before`; `taken` is the first of them.
fn choices(
    program: &Program,
    outcome: &Outcome,
    turns: &Turns,
    before: &[(Turn, Option<Answer>)],
    taken: Turn,
) -> Choice {
    let mut all = vec![taken];
    for (thread, units) in turns.units().iter().enumerate() {
        let next = before.iter().filter(|(turn, _)| usize::from(turn.thread) == thread).count();
        let Some(unit) = units.get(next) else { continue };
        for performed in [true, false] {
            let turn = Turn { thread: thread as u8, unit: next as u32, performed };
            let possible = performed || tolerances::may_be_left_out(program, outcome, thread, unit);
            if possible && turn != taken {
                all.push(turn);
            }
        }
    }
    Choice { all, at: 0 }
}

fn shown(program: &Program, outcome: &Outcome) -> String {
    let mut text = Vec::new();
    for (thread, answers) in program.threads.iter().zip(&outcome.answers) {
        for (op, answer) in thread.ops.iter().zip(answers) {
            text.push(format!("`{op}` {answer}"));
        }
    }
    text.join(", ")
}
