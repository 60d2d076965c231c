//! Operations one at a time, in a given order.

use super::answer::Answer;
use crate::program::Op;
use crate::sync::explored::{Choice, Strategy, View};
use std::cell::{Cell, RefCell};
use std::num::NonZeroU8;

/// The work of a thread between two switches: an operation, or its part on one page.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The number of the operation in its thread.
    pub op: usize,
    /// The number of the part, and the number of the operation's parts; 0 parts for the drain that an
    /// operation begins with.
    pub part: (usize, usize),
    /// The operation, or the part of it on one page; `None` for the end of the thread, which gives
    /// locks back.
    pub does: Option<Op>,
}

impl Unit {
    /// True for the drain of the batches with which an operation begins.
    pub fn is_prelude(&self) -> bool {
        self.part.1 == 0
    }
}

/// A place in an order: the thread whose next unit runs, and whether it is performed or left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub thread: u8,
    pub unit: u32,
    pub performed: bool,
}

/// The order that the threads of an oracle follow. No access to it is a step of the explorer.
#[derive(Debug)]
pub struct Turns {
    units: Vec<Vec<Unit>>,
    /// The beginning of the order. Behind it the threads run one after the other.
    wanted: RefCell<Vec<Turn>>,
    taken: RefCell<Vec<(Turn, Option<Answer>)>>,
    blocked: Cell<Option<usize>>,
    /// The number of faults that have struck in each operation of each thread.
    struck: RefCell<Vec<Vec<u8>>>,
}

impl Turns {
    pub fn new(units: Vec<Vec<Unit>>) -> Turns {
        Turns {
            units,
            wanted: RefCell::default(),
            taken: RefCell::default(),
            blocked: Cell::new(None),
            struck: RefCell::default(),
        }
    }

    /// Lets faults strike as often as they have struck in the schedule. A fault may have struck less often
    /// there than it was armed for, if another thread made the step needless that was to fail.
    pub fn strikes(&self, answers: &[Vec<Answer>]) {
        let of = |answers: &Vec<Answer>| answers.iter().map(|answer| answer.struck).collect();
        self.struck.replace(answers.iter().map(of).collect());
    }

    /// Returns the number of times that a fault is to strike in a unit. None strikes in a part of an
    /// operation: see `tolerances::fails_by_fault`.
    pub fn strikes_in(&self, thread: usize, unit: &Unit) -> Option<NonZeroU8> {
        let struck = *self.struck.borrow()[thread].get(unit.op)?;
        NonZeroU8::new(struck).filter(|_| unit.part == (0, 1))
    }

    pub fn units(&self) -> &[Vec<Unit>] {
        &self.units
    }

    /// Prescribes an order.
    pub fn begin(&self, wanted: Vec<Turn>) {
        self.wanted.replace(wanted);
    }

    /// Forgets the turns that were taken.
    pub fn clear(&self) {
        self.taken.borrow_mut().clear();
        self.blocked.set(None);
    }

    /// The turns that were taken, with the answers of the units that were performed.
    pub fn taken(&self) -> Vec<(Turn, Option<Answer>)> {
        self.taken.borrow().clone()
    }

    /// The first place in the order at which a thread had to wait, or another thread took the turn.
    pub fn blocked(&self) -> Option<usize> {
        self.blocked.get()
    }

    /// Records that the order cannot go on.
    pub fn block(&self) {
        let place = self.taken.borrow().len();
        self.blocked.set(Some(self.blocked.get().map_or(place, |before| before.min(place))));
    }

    /// The thread whose turn it is. Behind the end of the order it is the lowest thread that has units left.
    fn due(&self) -> Option<usize> {
        let taken = self.taken.borrow();
        if let Some(turn) = self.wanted.borrow().get(taken.len()) {
            return Some(turn.thread.into());
        }
        self.next_after(&taken).map(|turn| turn.thread.into())
    }

    /// The turn that follows the turns in `taken`, if the prescribed order has ended with them.
    pub fn next_after(&self, taken: &[(Turn, Option<Answer>)]) -> Option<Turn> {
        let done =
            |thread: usize| taken.iter().filter(|(turn, _)| usize::from(turn.thread) == thread).count();
        let thread = (0..self.units.len()).find(|&thread| done(thread) < self.units[thread].len())?;
        Some(Turn { thread: thread as u8, unit: done(thread) as u32, performed: true })
    }

    /// True if the unit that begins now is to be performed.
    pub fn is_performed(&self) -> bool {
        let place = self.taken.borrow().len();
        self.wanted.borrow().get(place).is_none_or(|turn| turn.performed)
    }

    /// Records that a unit has ended; without an answer if it was left out.
    pub fn took(&self, thread: usize, unit: usize, answer: Option<Answer>) {
        let performed = answer.is_some();
        let turn = Turn { thread: thread as u8, unit: unit as u32, performed };
        if self.due() != Some(thread) {
            self.block();
        }
        self.taken.borrow_mut().push((turn, answer));
    }

    pub fn shown(&self, turn: Turn) -> String {
        let unit = &self.units[usize::from(turn.thread)][turn.unit as usize];
        let text = match &unit.does {
            Some(op) => format!("`{op}`"),
            None => "the end of the thread".into(),
        };
        if turn.performed { text } else { format!("{text} (left out)") }
    }
}

/// Lets the threads take their turns.
pub struct InTurns<'a>(pub &'a Turns);

impl Strategy for InTurns<'_> {
    fn choose(&mut self, view: View) -> Choice {
        let due = self.0.due();
        if due.is_none_or(|thread| view.runnable & 1 << thread == 0) {
            self.0.block();
        }
        Choice { thread: view.fall_back(due), until: view.step + 1 }
    }
}
