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

impl Context {
    /// Nobody else has an object at this address; a topic is a byte of it.
    fn noted(&self, kind: Kind, topic: Topic) {
        self.attach(kind, std::ptr::from_ref(&self.pending).addr() + topic as usize);
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
    moment(Kind::Peek, Topic::Pending)
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
    moment(Kind::Note, topic)
}

/// Something begins that must know what is over by now.
pub fn starts(knows: Topic) -> Option<u32> {
    moment(Kind::Peek, knows)
}

fn moment(kind: Kind, topic: Topic) -> Option<u32> {
    let context = context().filter(|context| context.is_concurrent())?;
    context.noted(kind, topic);
    Some(context.steps.get())
}
