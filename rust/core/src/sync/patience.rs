//! How long the calling thread waits: for callers that must look up now and then, as an interpreter does whose
//! signals are heard between two calls only.

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    static UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs `work`, whose waits for migrations and for the page locks of faults last `patience` at most: then it is refused
/// with `EINTR`, nothing has changed, and it can be called again. Under the explorer and in models every wait lasts as
/// long as it must.
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

/// Until when the calling thread waits; `None`: as long as it must.
#[cfg(not(any(feature = "explored", loom)))]
pub(super) fn until() -> Option<Instant> {
    UNTIL.get()
}
