//! What has begun and must be over before something else is: watched, never a step.
//!
//! A drain promises that whatever was queued before it has left its batch *and* is where it belongs. That
//! cannot be seen from any one word. So whoever queues says when it begins, whoever finishes says that it is
//! over, and the drain asks for what is left.

use super::context::{Context, context};

impl Context {
    fn begins(&self, what: usize) {
        self.pending.borrow_mut().push((what, self.steps.get()));
    }

    fn ends(&self, what: usize) {
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

/// When did what is under way begin? `None`: before the schedule, or it is not under way.
pub fn begun(what: usize) -> Option<u32> {
    let pending = context()?.pending.borrow();
    pending.iter().rfind(|(other, _)| *other == what).map(|&(_, begun)| begun)
}

/// Something that began before `moment` and is still under way.
pub fn unfinished(moment: u32) -> Option<usize> {
    let pending = context()?.pending.borrow();
    pending.iter().find(|&&(_, begun)| begun < moment).map(|&(what, _)| what)
}
