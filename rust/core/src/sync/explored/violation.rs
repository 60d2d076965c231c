//! What a schedule can be found guilty of.

use std::fmt;

/// A broken rule. The rule is a fixed string, so that "the same violation" can be compared while
/// a counterexample shrinks; the detail is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule: one of [`rule`], or the core's own first argument of `broken`.
    pub rule: &'static str,
    /// What was found.
    pub detail: String,
}

impl Violation {
    /// A violation of `rule`.
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

/// The rules that the explorer itself watches.
pub mod rule {
    /// Threads wait for each other.
    pub const DEADLOCK: &str = "deadlock";
    /// A thread sleeps although what it waited for has happened, and nobody will wake it.
    pub const LOST_WAKEUP: &str = "lost wake-up";
    /// The schedule did not end within the bound on steps: a livelock, or a bound too small.
    pub const STEP_BOUND: &str = "step bound";
    /// Two accesses to protocol-protected data, one of them a write, that nothing orders.
    pub const DATA_RACE: &str = "data race";
    /// A lock was waited for out of the documented order.
    pub const LOCK_ORDER: &str = "lock order";
    /// Something was done without the lock that it needs.
    pub const NOT_HELD: &str = "lock not held";
    /// A thread went to sleep with a lock under which nobody may sleep.
    pub const SLEEP: &str = "sleeping under a spinning lock";
    /// A panic that nobody caught.
    pub const PANIC: &str = "panic";
    /// Code that runs on the host's stack, where nothing can be switched, had to wait.
    pub const HOST_BLOCKED: &str = "blocked on the host's stack";
    /// A schedule touched more words than the journal has room for.
    pub const JOURNAL_FULL: &str = "journal full";
}
