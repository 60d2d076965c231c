//! Deadlines for waits. An interpreter handles signals only between two calls, so a call that waits
//! must return regularly.

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    static UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs `work`, and lets its waits last at most `patience`: waits for migrations, for the page locks of
/// faults and of file accesses, and for the pages of a zsmalloc pool. An operation that would wait longer
/// fails with `EINTR`, and can be called again. It has changed nothing, except that a reset of a zram device
/// may have discarded blocks. Under the explorer and in models such waits have no deadline.
pub fn patiently<T>(patience: Duration, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Instant>);
    impl Drop for Restore {
        fn drop(&mut self) {
            UNTIL.set(self.0);
        }
    }
    let _before = Restore(UNTIL.replace(Instant::now().checked_add(patience)));
    work()
}

/// Returns the calling thread's deadline for waits; `None` if it has no deadline.
#[cfg(not(any(feature = "explored", loom)))]
pub(super) fn until() -> Option<Instant> {
    UNTIL.get()
}
