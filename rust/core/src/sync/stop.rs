//! Stops threads on request, even threads that wait.
//!
//! A caller that starts threads for a program must be able to join them, even if one of them waits
//! for a page lock that is never released. Such a thread works under a [`Stop`]. Once the stop is
//! requested, the thread's next check (in each wait, and at each [`stop_point`](super::stop_point))
//! unwinds its stack up to [`stoppable`]. Locks and references that the thread held in the machine
//! stay held, so the machine can only be dropped afterwards.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A stop, which can be requested of the threads that work under it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

/// The panic payload that unwinds a stopping thread's stack.
struct Unwinding;

/// An error: the thread has stopped because its stop was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// The longest time for which a waiting thread sleeps between two checks for a requested stop.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

thread_local! {
    /// The stop that the calling thread obeys.
    static CURRENT_STOP: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

impl Stop {
    /// Asks the threads to stop.
    pub fn request(&self) {
        // Relaxed: the flag publishes no data. A thread that misses the flag sees it at its next
        // check.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns true if the threads were asked to stop.
    pub fn is_requested(&self) -> bool {
        // Relaxed: the flag publishes no data, as in `request`.
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs `f`, which ends early if the thread is asked to stop meanwhile.
///
/// # Errors
/// [`Stopped`] if the stop unwound `f`, which may have done any part of its work.
pub fn stoppable<T>(stop: &Stop, f: impl FnOnce() -> T) -> Result<T, Stopped> {
    let before = CURRENT_STOP.replace(Some(stop.clone()));
    let result = catch_unwind(AssertUnwindSafe(f));
    CURRENT_STOP.set(before);
    result.map_err(|payload| match is_stop(&*payload) {
        true => Stopped,
        false => resume_unwind(payload),
    })
}

/// Returns true if a caught payload comes from a stopping thread, and not from a panic. Code that
/// catches such a payload must resume the unwinding, or the thread does not stop.
pub fn is_stop(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Unwinding>()
}

/// Unwinds the calling thread if its stop was requested. Otherwise returns how long the thread may
/// wait until its next check; `None` if the thread has no [`Stop`].
#[cold]
pub(super) fn check_stop() -> Option<Duration> {
    // The borrow of the cell ends here: during the unwinding `stoppable` writes to the cell, which
    // would panic if it were still borrowed.
    let requested = CURRENT_STOP.with_borrow(|stop| stop.as_ref().map(Stop::is_requested))?;
    // A thread that panics already must not unwind a second time: that would abort the process.
    if requested && !std::thread::panicking() {
        // Unlike a panic, `resume_unwind` calls no panic hook, so nothing is printed.
        resume_unwind(Box::new(Unwinding));
    }
    Some(CHECK_INTERVAL)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::{AtomicU64, park, park_patiently, patiently, spin_until};

    #[test]
    fn a_thread_that_waits_for_ever_stops_on_request() {
        let waits: [fn(&AtomicU64); 3] = [
            |word| loop {
                park(word, || true);
            },
            |word| patiently(Duration::from_secs(60), || while park_patiently(word, || true) {}),
            |word| {
                spin_until(word, |value| value != 0);
            },
        ];
        for wait in waits {
            let (stop, word) = (Stop::default(), AtomicU64::new(0));
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| stoppable(&stop, || wait(&word)));
                std::thread::sleep(Duration::from_millis(5));
                assert!(!waiting.is_finished());
                stop.request();
                assert_eq!(waiting.join().unwrap(), Err(Stopped));
            });
        }
    }

    #[test]
    fn a_result_or_a_panic_passes_through_unchanged() {
        let stop = Stop::default();
        assert_eq!(stoppable(&stop, || 3), Ok(3));
        assert!(catch_unwind(|| stoppable(&stop, || panic!("as it is"))).is_err());
        assert_eq!(check_stop(), None, "this thread has no stop");
    }
}
