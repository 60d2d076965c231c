//! How a schedule is run, and what is recorded of it.

use super::super::LockClass;
use super::THREADS;
use super::context::{Context, Mode};
use super::step::{Access, Kind, Step, Threads};
use std::cell::{Cell, RefCell};
use std::panic::Location;

/// How a schedule is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A schedule that needs more steps violates [`rule::STEP_BOUND`].
    pub max_steps: u32,
    /// The how-manyth weak compare-exchange of a schedule fails for no reason; 0: none does.
    pub spurious_failure: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options { max_steps: 20_000, spurious_failure: 0 }
    }
}

/// A line of the core.
pub type Place = &'static Location<'static>;

/// A step's operation number, its word before and after, and where it stands in the core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Operation of the thread's program.
    pub operation: u32,
    /// The word before the step.
    pub before: u64,
    /// The word after it.
    pub after: u64,
    /// The line that took the step; of an unlock, the line that took the lock.
    pub place: Option<Place>,
}

/// What is recorded beyond the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Nothing.
    Steps,
    /// Each step's word before and after, and its line.
    Values,
    /// Runnable sets from step `from` on, and accesses that are no steps.
    Analysis {
        /// First step whose runnable set is wanted.
        from: u32,
    },
}

/// A replayed schedule.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What was executed.
    pub steps: Vec<Step>,
    /// What it did, step by step.
    pub values: Vec<Values>,
    /// Which addresses are locks, in order of first use.
    pub locks: Vec<(usize, LockClass)>,
}

/// What the running schedule has recorded.
#[derive(Debug, Default)]
pub(super) struct Recording {
    /// Values before and after are recorded.
    tracing: Cell<bool>,
    /// Runnable sets and accesses are recorded.
    pub analysing: Cell<bool>,
    /// From this step on every step is decided on, so that the runnable sets are complete.
    pub analyse_from: Cell<u32>,
    pub runnable: RefCell<Vec<Threads>>,
    pub accesses: RefCell<Vec<Access>>,
    values: RefCell<Vec<Values>>,
    /// Operations begun: the steps executed before, the thread, the operation's number.
    begun: RefCell<Vec<(u32, u8, u32)>>,
    locks: RefCell<Vec<(usize, LockClass)>>,
}

impl Recording {
    pub fn begin(&self, record: Record) {
        self.tracing.set(record == Record::Values);
        let from = if let Record::Analysis { from } = record { Some(from) } else { None };
        self.analysing.set(from.is_some());
        self.analyse_from.set(from.unwrap_or(u32::MAX));
        self.runnable.borrow_mut().clear();
        self.accesses.borrow_mut().clear();
        self.values.borrow_mut().clear();
        self.begun.borrow_mut().clear();
        self.locks.borrow_mut().clear();
    }

    /// The word at `address` is a lock of this class.
    #[inline]
    pub fn lock(&self, class: LockClass, address: usize) {
        if self.tracing.get() {
            let mut locks = self.locks.borrow_mut();
            if !locks.iter().any(|(known, _)| *known == address) {
                locks.push((address, class));
            }
        }
    }

    /// Before step `step`, `runnable` could go on. Steps executed without a decision ran in a
    /// prefix whose sets are known already, or in the only thread left.
    #[inline]
    pub fn runnable(&self, step: u32, runnable: Threads) {
        if self.analysing.get() {
            let mut log = self.runnable.borrow_mut();
            log.resize(step as usize, 0);
            log.push(runnable);
        }
    }
}

impl Context {
    /// Records what the step that has just been executed did to its word, for the caller's line.
    #[inline(always)]
    #[track_caller]
    pub(super) fn values(&self, before: u64, after: u64) {
        self.values_at(before, after, Location::caller());
    }

    /// The same for a line that is known: a guard is dropped where nobody calls it.
    #[inline(always)]
    pub(super) fn values_at(&self, before: u64, after: u64, place: Place) {
        if self.recording.tracing.get() {
            self.record_values(before, after, place);
        }
    }

    #[cold]
    fn record_values(&self, before: u64, after: u64, place: Place) {
        if self.mode.get() != Mode::Running {
            return;
        }
        let mut values = self.recording.values.borrow_mut();
        let steps = self.steps.get() as usize;
        values.resize(steps.max(1) - 1, Values::default());
        // Its operation is filled in at the end: steps without a word have one too.
        values.push(Values { operation: 0, before, after, place: Some(place) });
    }

    /// The current thread begins operation `number` of its program.
    pub(super) fn begin_operation(&self, number: u32) {
        if self.recording.tracing.get() {
            let begins = (self.steps.get(), self.current.get() as u8, number);
            self.recording.begun.borrow_mut().push(begins);
        }
    }

    /// Records an access that is no step.
    #[inline]
    pub(super) fn attach(&self, kind: Kind, address: usize) {
        if self.recording.analysing.get() && self.is_concurrent() {
            self.recording.accesses.borrow_mut().push(Access {
                after: self.steps.get(),
                thread: self.current.get() as u8,
                kind,
                address,
            });
        }
    }

    /// Records an access that belongs to an earlier step: the one that was the `after`-th.
    pub(super) fn attach_at(&self, after: u32, kind: Kind, address: usize) {
        if self.recording.analysing.get() {
            let mut accesses = self.recording.accesses.borrow_mut();
            let place = accesses.partition_point(|access| access.after <= after);
            let thread = self.current.get() as u8;
            accesses.insert(place, Access { after, thread, kind, address });
        }
    }

    /// What the schedule that ran last recorded.
    pub(super) fn recorded(&self) -> Recorded {
        let mut values = self.recording.values.borrow().clone();
        let steps: Vec<Step> = self.log().iter().map(Cell::get).collect();
        values.resize(steps.len(), Values::default());
        let begun = self.recording.begun.borrow();
        let mut begun = begun.iter().peekable();
        let mut operations = [0; THREADS];
        for (number, (step, values)) in (0..).zip(steps.iter().zip(&mut values)) {
            // What a thread begins after some steps, its next step belongs to.
            while let Some((_, thread, operation)) = begun.next_if(|&&(after, ..)| after <= number) {
                operations[usize::from(*thread)] = *operation;
            }
            values.operation = operations[usize::from(step.thread)];
        }
        Recorded { steps, values, locks: self.recording.locks.borrow().clone() }
    }

    /// The steps executed so far.
    pub(super) fn log(&self) -> &[Cell<Step>] {
        &self.log[..self.steps.get() as usize]
    }
}
