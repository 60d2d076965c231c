//! What has begun and must be over before something else is: watched, never a step.
//!
//! A drain promises that whatever was queued before it has left its batch *and* is where it belongs. That
//! cannot be seen from any one word. So whoever queues says when it begins, whoever finishes says that it is
//! over, and the drain asks for what is left.
//!
//! What was there before depends on the order of these words, so a search must try their orders: each
//! belongs to the step that its thread has just executed, and a look ([`since`], [`unfinished`]) conflicts with
//! what others say.

use super::context::{Context, context};
use super::step::Kind;
use std::cell::Cell;

/// What a note or a look is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Topic {
    /// What is under way, here.
    Pending,
    /// Writes that are over; kept elsewhere.
    Writes,
    /// Forks that are over; kept elsewhere.
    Forks,
}

impl Topic {
    /// A byte of what nobody else has an object at.
    fn address(self, context: &Context) -> usize {
        std::ptr::from_ref(&context.pending).addr() + self as usize
    }
}

impl Context {
    fn noted(&self, kind: Kind, topic: Topic) {
        self.attach(kind, topic.address(self));
    }

    fn begins(&self, what: usize) {
        self.noted(Kind::Note, Topic::Pending);
        self.pending.borrow_mut().push((what, self.steps.get()));
    }

    fn ends(&self, what: usize) {
        self.noted(Kind::Note, Topic::Pending);
        let mut pending = self.pending.borrow_mut();
        if let Some(place) = pending.iter().rposition(|&(other, _)| other == what) {
            pending.swap_remove(place);
        }
    }
}

/// From now until [`ends`], `what` is under way.
pub fn begins(what: usize) {
    if let Some(context) = context() {
        context.begins(what);
    }
}

/// It is over.
pub fn ends(what: usize) {
    if let Some(context) = context() {
        context.ends(what);
    }
}

/// From now on: the number of the next step, while a schedule runs, to ask later what was under way.
pub fn since() -> Option<u32> {
    noted(Kind::Peek, Topic::Pending)
}

/// The number of the next step, while a schedule runs. Nothing hangs on it: see [`after_first_step`].
pub fn moment() -> Option<u32> {
    context().filter(|context| context.is_concurrent()).map(|context| context.steps.get())
}

/// The moment after the first step that the calling thread has executed from `moment` on, to ask what was
/// under way then. What comes before a first step is executed as soon as the thread's step before is over, so
/// an operation begins with its first step.
pub fn after_first_step(moment: u32) -> Option<u32> {
    let context = context()?;
    let mine = context.log().iter().skip(moment as usize);
    let first = mine.map(Cell::get).position(|step| usize::from(step.thread) == context.current.get())?;
    let after = moment + first as u32 + 1;
    context.attach_at(after, Kind::Peek, Topic::Pending.address(context));
    Some(after)
}

/// When did what is under way begin? `None`: before the schedule, or it is not under way.
pub fn begun(what: usize) -> Option<u32> {
    let pending = context()?.pending.borrow();
    pending.iter().rfind(|(other, _)| *other == what).map(|&(_, begun)| begun)
}

/// Something that began before `moment` and is still under way.
pub fn unfinished(moment: u32) -> Option<usize> {
    let context = context()?;
    context.noted(Kind::Peek, Topic::Pending);
    let pending = context.pending.borrow();
    pending.iter().find(|&&(_, begun)| begun < moment).map(|&(what, _)| what)
}

/// Something is over, and told elsewhere; the number of the next step, while a schedule runs.
pub fn over(topic: Topic) -> Option<u32> {
    noted(Kind::Note, topic)
}

/// Something begins that must know what is over by now.
pub fn starts(knows: Topic) -> Option<u32> {
    noted(Kind::Peek, knows)
}

fn noted(kind: Kind, topic: Topic) -> Option<u32> {
    let moment = moment()?;
    context()?.noted(kind, topic);
    Some(moment)
}
