//! Compares the answers of an order with those of a schedule, part by part.

use super::Outcome;
use super::answer::Answer;
use super::tolerances;
use super::turns::{Turn, Unit};
use crate::error::Errno;
use crate::program::{Op, Program};

/// Compares the answers of an order's units with those of a schedule.
pub struct Merging<'a> {
    units: &'a [Vec<Unit>],
    /// The first error of the performed parts of each thread's operation, and whether a part was left out.
    parts: Vec<(Option<Errno>, bool)>,
}

impl<'a> Merging<'a> {
    pub fn new(units: &'a [Vec<Unit>]) -> Self {
        Merging { units, parts: vec![(None, false); units.len()] }
    }

    /// Adds the answer of the next unit. An error names the difference.
    pub fn add(
        &mut self,
        turn: Turn,
        given: &Option<Answer>,
        outcome: &Outcome,
        program: &Program,
    ) -> Result<(), String> {
        let thread = usize::from(turn.thread);
        let unit = &self.units[thread][turn.unit as usize];
        let Some(op) = &unit.does else { return Ok(()) };
        if unit.is_prelude() {
            return Ok(());
        }
        let (part, all) = unit.part;
        if part == 0 {
            self.parts[thread] = (None, false);
        }
        let own = &mut self.parts[thread];
        let whole = &outcome.answers[thread][unit.op];
        let Some(given) = given else {
            own.1 = true;
            return Ok(());
        };
        own.0 = own.0.or(given.errno);
        let differs = |due: &Answer| format!("`{op}` {given} and not {due}");
        // The parts of a punch are single calls of advice, and a punch tells only their number.
        let punch = matches!(program.threads[thread].ops[unit.op], Op::Punch { .. });
        match whole.part(part, all).filter(|_| !punch) {
            Some(due) => {
                let same = match all {
                    1 => given.is_same(&due),
                    _ => given.of_part() == due.of_part(),
                };
                let tolerated = || {
                    tolerances::fails_by_fault(&due, all)
                        || tolerances::is_in_table(program, thread, op, &due)
                };
                if !same && !tolerated() {
                    return Err(differs(&due));
                }
            }
            // The operation has one answer for all its parts: the first error.
            None if part + 1 == all
                && !own.1
                && own.0 != whole.errno
                && !tolerances::fails_by_fault(whole, all)
                && !tolerances::is_in_table(program, thread, op, whole) =>
            {
                return Err(differs(whole));
            }
            None => {}
        }
        Ok(())
    }
}
