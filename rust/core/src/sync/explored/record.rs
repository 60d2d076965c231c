//! The options of a schedule, and the data recorded while it runs.

use super::step::{Access, Step, Threads};
use crate::sync::class::LockClass;
use std::cell::{Cell, RefCell};
use std::panic::Location;

/// The rules against which the schedules of a search are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// The state of the machine, at each step and at the end.
    #[default]
    State,
    /// Also the answers of the operations, the marks of a page at both ends of its life, the counters, and
    /// the order of each list and batch. These checks take about as long as the schedules themselves.
    All,
}

/// The options of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The bound on the steps of a schedule. A schedule that needs more steps violates
    /// [`rule::STEP_BOUND`].
    pub max_steps: u32,
    /// The number of the weak compare-exchange that fails spuriously, from 1; 0 for none.
    pub spurious_failure: u32,
    /// The rules against which the schedule is checked.
    pub checks: Checks,
    /// Record the line and the word of each step in all schedules, for the coverage of pairs.
    pub pairs: bool,
}

impl Options {
    /// The default options, for constants.
    pub const DEFAULT: Options =
        Options { max_steps: 20_000, spurious_failure: 0, checks: Checks::State, pairs: false };
}

impl Default for Options {
    fn default() -> Self {
        Options::DEFAULT
    }
}

/// A line of the core's source.
pub type Place = &'static Location<'static>;

/// A step's operation number, its word before and after, and the source line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// The number of the operation in the thread's program.
    pub operation: u32,
    /// The word before the step.
    pub before: u64,
    /// The word after the step.
    pub after: u64,
    /// The line that took the step; for an unlock, the line that took the lock.
    pub place: Option<Place>,
}

/// The data that is recorded in addition to the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// No further data.
    Steps,
    /// Each step's word before and after, and its line.
    Values,
    /// Runnable sets from step `from` on, and the accesses that are no steps.
    Analysis {
        /// The first step whose runnable set is wanted.
        from: u32,
    },
}

/// An event between two steps.
#[derive(Clone, Copy, Debug)]
pub struct Between {
    /// The number of steps that were executed before.
    pub after: u32,
    /// The address of the object.
    pub address: usize,
    /// The thread and the line of a write of plain data; `None` if the object was dropped.
    pub write: Option<(u8, Place)>,
}

/// Neighbouring words of an object that the running schedule has made.
#[derive(Clone, Debug)]
pub struct Words {
    /// The address of the first word.
    pub first: usize,
    /// The number of words.
    pub count: usize,
    /// The bytes from one word to the next.
    pub size: usize,
    /// The name of the words, which a number completes.
    pub name: String,
    /// The number of the first word.
    pub from: u64,
}

impl Words {
    /// Returns the name of the word at `address`; `None` if the address is not that of one of these words.
    pub fn name_at(&self, address: usize) -> Option<String> {
        let after = address.checked_sub(self.first)?;
        let index = after / self.size;
        (after % self.size == 0 && index < self.count)
            .then(|| format!("{} {:#x}", self.name, self.from + index as u64))
    }
}

/// A replayed schedule.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The executed steps.
    pub steps: Vec<Step>,
    /// The values of each step.
    pub values: Vec<Values>,
    /// The addresses that are locks, in order of first use.
    pub locks: Vec<(usize, LockClass)>,
    /// The words of objects that the schedule made, in the order in which the objects were made.
    pub made: Vec<Words>,
}

/// The data recorded of the running schedule.
#[derive(Debug, Default)]
pub(super) struct Recording {
    /// True if the word before and after each step is recorded.
    pub tracing: Cell<bool>,
    /// True if runnable sets and accesses are recorded.
    pub analysing: Cell<bool>,
    /// The runnable sets are complete from this step on.
    pub analyse_from: Cell<u32>,
    pub runnable: RefCell<Vec<Threads>>,
    /// The threads that are runnable before the steps that follow without a decision.
    meanwhile: Cell<Threads>,
    pub accesses: RefCell<Vec<Access>>,
    pub values: RefCell<Vec<Values>>,
    /// The begun operations: the steps executed before, the thread, the operation's number.
    pub operations: RefCell<Vec<(u32, u8, u32)>>,
    pub locks: RefCell<Vec<(usize, LockClass)>>,
    pub made: RefCell<Vec<Words>>,
    /// Plain writes and drops, in order.
    pub between: RefCell<Vec<Between>>,
}

impl Recording {
    /// Begins to record a schedule. With `pairs`, the words and lines of its steps are always recorded.
    pub fn begin(&self, record: Record, pairs: bool) {
        if self.analysing.get() {
            self.runnable.borrow_mut().clear();
            self.meanwhile.set(0);
            self.accesses.borrow_mut().clear();
        }
        if self.tracing.get() {
            self.values.borrow_mut().clear();
            self.operations.borrow_mut().clear();
            self.locks.borrow_mut().clear();
            self.made.borrow_mut().clear();
            self.between.borrow_mut().clear();
        }
        self.tracing.set(pairs || record == Record::Values);
        let from = if let Record::Analysis { from } = record { Some(from) } else { None };
        self.analysing.set(from.is_some());
        self.analyse_from.set(from.unwrap_or(u32::MAX));
    }

    /// Records that the word at `address` is a lock of this class.
    #[inline]
    pub fn lock(&self, class: LockClass, address: usize) {
        if self.tracing.get() {
            let mut locks = self.locks.borrow_mut();
            if !locks.iter().any(|(known, _)| *known == address) {
                locks.push((address, class));
            }
        }
    }

    /// Records the threads that are runnable before step `step`, and those that stay so up to the next
    /// decision. The latter are an empty set in a prefix, whose sets are known already, for the only thread
    /// left, and in a turn of the fair scheduler.
    #[inline]
    pub fn runnable(&self, step: u32, runnable: Threads, meanwhile: Threads) {
        if self.analysing.get() {
            let mut log = self.runnable.borrow_mut();
            log.resize(step as usize, self.meanwhile.replace(meanwhile));
            log.push(runnable);
        }
    }

    /// Records the threads that were runnable before the steps since the last decision, up to `step`.
    #[inline]
    pub fn fill(&self, step: u32) {
        if self.analysing.get() {
            self.runnable.borrow_mut().resize(step as usize, self.meanwhile.get());
        }
    }
}
