//! An operation whose moments are looked at ([`super::watched`]).

use std::cell::Cell;

/// A look at each moment of an operation that runs. The argument is true if the moments before do not count
/// any more: the operation has just begun.
pub(super) type Look = dyn Fn(bool);

/// An operation whose moments are looked at.
#[derive(Debug)]
pub(super) struct Watch {
    pub thread: usize,
    /// The number of steps when the operation was called.
    pub called: u32,
    /// True once the thread has taken a step since then.
    pub begun: Cell<bool>,
    pub look: *const Look,
}
