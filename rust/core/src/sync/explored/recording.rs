//! Records the word of each step before and after the step, and the accesses that are no steps.

use super::context::{Context, Mode, context};
use super::journal::Stamp;
use super::record::{Between, Place, Recorded, Values, Words};
use super::step::{Access, Kind, Step, THREADS};
use std::cell::Cell;
use std::panic::Location;

impl Context {
    /// Records the word before and after the step that was just executed, for the caller's line.
    #[inline(always)]
    #[track_caller]
    pub(super) fn values(&self, before: u64, after: u64) {
        self.values_at(before, after, Location::caller());
    }

    /// Like [`Context::values`], for a known line: a guard's `drop` has no caller in the source.
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
        // `recorded` fills in the operation, because steps without a word have one too.
        values.push(Values { operation: 0, before, after, place: Some(place) });
    }

    /// Records that the current thread begins operation `number` of its program.
    pub(super) fn begin_operation(&self, number: u32) {
        if self.recording.tracing.get() {
            let operation = (self.steps.get(), self.current.get() as u8, number);
            self.recording.operations.borrow_mut().push(operation);
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

    /// Records an access that belongs to an earlier step: step number `after`, counted from 1.
    pub(super) fn attach_at(&self, after: u32, kind: Kind, address: usize) {
        if self.recording.analysing.get() {
            let mut accesses = self.recording.accesses.borrow_mut();
            let place = accesses.partition_point(|access| access.after <= after);
            let thread = self.current.get() as u8;
            accesses.insert(place, Access { after, thread, kind, address });
        }
    }

    /// Records a write of plain data, for the caller's line.
    #[inline(always)]
    #[track_caller]
    pub(super) fn wrote(&self, address: usize) {
        if self.recording.tracing.get() {
            self.record_between(address, Some(Location::caller()));
        }
    }

    /// Handles the drop of an object: the journal must not write to it, and the next object at its address
    /// is another one.
    #[inline]
    pub(super) fn dropped(&self, stamp: &Stamp, address: usize) {
        self.journal.forget(stamp);
        if self.buffers.any_filled() {
            self.buffers.forget(address);
        }
        if self.recording.tracing.get() {
            self.record_between(address, None);
        }
    }

    #[cold]
    fn record_between(&self, address: usize, place: Option<Place>) {
        if self.is_concurrent() {
            let write = place.map(|place| (self.current.get() as u8, place));
            let between = Between { after: self.steps.get(), address, write };
            self.recording.between.borrow_mut().push(between);
        }
    }

    /// Returns the data recorded of the last schedule.
    pub(super) fn recorded(&self) -> Recorded {
        let mut values = self.recording.values.borrow().clone();
        let steps: Vec<Step> = self.log().iter().map(Cell::get).collect();
        values.resize(steps.len(), Values::default());
        let operations_begun = self.recording.operations.borrow();
        let mut operations_begun = operations_begun.iter().peekable();
        let mut operations = [0; THREADS];
        for (number, (step, values)) in (0..).zip(steps.iter().zip(&mut values)) {
            // An operation that a thread begins after `after` steps includes the thread's next
            // step.
            while let Some((_, thread, operation)) = operations_begun.next_if(|&&(after, ..)| after <= number)
            {
                operations[usize::from(*thread)] = *operation;
            }
            values.operation = operations[step.owner()];
        }
        let (locks, made) = (self.recording.locks.borrow().clone(), self.recording.made.borrow().clone());
        Recorded { steps, values, locks, made }
    }
}

/// Names words of an object that the running schedule has made, if the schedule is traced.
pub fn name_words(words: Words) {
    if let Some(context) = context()
        && context.recording.tracing.get()
    {
        context.recording.made.borrow_mut().push(words);
    }
}
