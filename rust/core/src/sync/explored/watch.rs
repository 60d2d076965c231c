//! An operation whose pages the explorer samples between steps ([`super::watched`]).

use std::cell::Cell;

/// Samples the pages. `true` drops all earlier samples, because the operation begins only now.
pub(super) type Look = dyn Fn(bool);

/// An operation whose pages the explorer samples.
#[derive(Debug)]
pub(super) struct Watch {
    pub thread: usize,
    /// The number of steps when the operation was called.
    pub called: u32,
    /// True once the thread has taken a step of the operation.
    pub has_stepped: Cell<bool>,
    pub look: *const Look,
}
