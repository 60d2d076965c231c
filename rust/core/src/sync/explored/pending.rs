//! Events under way, which must end before another event ends. The records of these events are no steps.
//!
//! A drain promises that every page that was queued before it has left its batch *and* is on its
//! list. No single word of the machine shows both. So the code that queues a page records the
//! beginning of an event, the code that finishes with the page records its end, and the drain asks
//! for the events still under way.
//!
//! The answer depends on the order of these records, so a search must try their orders. Each record
//! belongs to the step that its thread has just executed, and a look ([`mark_pending`],
//! [`pending_before`]) conflicts with the other threads' records.

use super::context::{Context, context};
use super::step::Kind;
use std::cell::Cell;

/// The subject of a record or a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Topic {
    /// The events under way, which this module keeps.
    Pending,
    /// Writes that are over; the caller keeps them.
    Writes,
    /// Forks that are over; the caller keeps them.
    Forks,
}

impl Topic {
    /// Returns an address that no other object has.
    fn address(self, context: &Context) -> usize {
        std::ptr::from_ref(&context.pending).addr() + self as usize
    }
}

impl Context {
    fn record(&self, kind: Kind, topic: Topic) {
        // The rules that use these records speak of the memory as all threads see it.
        self.drain();
        self.attach(kind, topic.address(self));
    }

    fn begin_pending(&self, event: usize) {
        self.record(Kind::Note, Topic::Pending);
        self.pending.borrow_mut().push((event, self.steps.get()));
    }

    fn end_pending(&self, event: usize) {
        self.record(Kind::Note, Topic::Pending);
        let mut pending = self.pending.borrow_mut();
        if let Some(place) = pending.iter().rposition(|&(other, _)| other == event) {
            pending.swap_remove(place);
        }
    }
}

/// Records that `event` is under way, until [`end_pending`].
pub fn begin_pending(event: usize) {
    if let Some(context) = context() {
        context.begin_pending(event);
    }
}

/// Records that `event` is over.
pub fn end_pending(event: usize) {
    if let Some(context) = context() {
        context.end_pending(event);
    }
}

/// Returns the number of the next step while a schedule runs, to ask [`pending_before`] later. The
/// call counts as a look at the events under way.
pub fn mark_pending() -> Option<u32> {
    record(Kind::Peek, Topic::Pending)
}

/// Returns the number of the next step while a schedule runs. Unlike [`mark_pending`] the call is
/// no look, so the search does not reorder it against other threads' records: see
/// [`after_first_step`].
pub fn next_step() -> Option<u32> {
    context().filter(|context| context.is_concurrent()).map(|context| context.steps.get())
}

/// Returns the number of the step after the calling thread's first step from `start` on, to ask for
/// the events that were under way then. An operation begins with its first step: the code before
/// that step executes as part of the thread's previous step, long before the thread's next turn.
pub fn after_first_step(start: u32) -> Option<u32> {
    let context = context()?;
    let mine = context.log().iter().skip(start as usize);
    let first = mine.map(Cell::get).position(|step| usize::from(step.thread) == context.current.get())?;
    let after = start + first as u32 + 1;
    context.attach_at(after, Kind::Peek, Topic::Pending.address(context));
    Some(after)
}

/// Returns the step before which an event under way began. `None` if it began before the schedule,
/// or is not under way.
pub fn pending_since(event: usize) -> Option<u32> {
    let pending = context()?.pending.borrow();
    pending.iter().rfind(|(other, _)| *other == event).map(|&(_, start)| start)
}

/// Returns an event that began before `step` and is still under way.
pub fn pending_before(step: u32) -> Option<usize> {
    let context = context()?;
    context.record(Kind::Peek, Topic::Pending);
    let pending = context.pending.borrow();
    pending.iter().find(|&&(_, start)| start < step).map(|&(event, _)| event)
}

/// Records that an event of `topic` is over. Returns the number of the next step while a schedule
/// runs.
pub fn note_end(topic: Topic) -> Option<u32> {
    record(Kind::Note, topic)
}

/// Records a look at the events of `topic` that are over by now. Returns the number of the next
/// step while a schedule runs.
pub fn look_at(topic: Topic) -> Option<u32> {
    record(Kind::Peek, topic)
}

fn record(kind: Kind, topic: Topic) -> Option<u32> {
    let step = next_step()?;
    context()?.record(kind, topic);
    Some(step)
}
