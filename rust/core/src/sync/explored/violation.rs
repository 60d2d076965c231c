//! The violations with which a schedule can end.

use std::fmt;

/// A broken rule. The rule is a fixed string, so that shrinking can tell whether a smaller
/// counterexample has the same violation. The detail is for the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule: one of [`rule`], or the core's own first argument of `broken`.
    pub rule: &'static str,
    /// The state that broke the rule.
    pub detail: String,
}

impl Violation {
    /// Makes a violation of `rule`.
    pub fn new(rule: &'static str, detail: impl Into<String>) -> Self {
        Violation { rule, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}

impl std::error::Error for Violation {}

/// The rules that the explorer itself checks.
pub mod rule {
    /// All remaining threads wait, and none of them can go on.
    pub const DEADLOCK: &str = "deadlock";
    /// A thread sleeps although the event it waited for has happened, and no thread will wake it.
    pub const LOST_WAKEUP: &str = "lost wake-up";
    /// The schedule did not end within the bound on steps, and no thread repeats itself: the bound is too
    /// small.
    pub const STEP_BOUND: &str = "step bound";
    /// Threads repeat the same steps for ever, however fair the scheduler is.
    pub const NO_PROGRESS: &str = "no progress";
    /// A thread repeats the same steps until another one goes on, and does not sleep meanwhile.
    pub const BUSY_WAIT: &str = "busy wait";
    /// Two accesses to protocol-protected data, one of them a write, that nothing orders.
    pub const DATA_RACE: &str = "data race";
    /// A thread waited for a lock out of the documented order.
    pub const LOCK_ORDER: &str = "lock order";
    /// A thread acted without the lock that the action needs.
    pub const NOT_HELD: &str = "lock not held";
    /// A thread went to sleep while it held a lock under which sleeping is forbidden.
    pub const SLEEP: &str = "sleeping under a spinning lock";
    /// A panic that was not caught.
    pub const PANIC: &str = "panic";
    /// Code on the host's stack, where no switch is possible, had to wait.
    pub const HOST_BLOCKED: &str = "blocked on the host's stack";
    /// A schedule touched more words than the journal has room for.
    pub const JOURNAL_FULL: &str = "journal full";
}
