//! One step of the path that an exhaustive search follows.

use crate::sync::explored::Threads;

/// A step of the path under exploration: the choice before it, and the alternatives still to try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub runnable: Threads,
    pub chosen: u8,
    /// The threads tried here, including the current choice.
    pub done: Threads,
    /// The threads to be tried here.
    pub todo: Threads,
    /// The preemptions before this step.
    pub spent: u32,
}

impl Node {
    /// The preemptions (0 or 1) that choosing `thread` costs, if `before` executed the previous
    /// step.
    pub fn cost(&self, thread: u8, before: Option<u8>) -> u32 {
        before.is_some_and(|before| before != thread && self.runnable & 1 << before != 0).into()
    }
}
