//! Threads that can be told to stop, whatever they wait for.
//!
//! Who runs a program on threads of its own must get them back also if they wait for a page lock that nobody gives
//! back. So a thread may work under a [`Stop`]: once that is requested, the next look that the thread takes (in
//! each wait, and at each [`rest`](super::rest)) unwinds its stack up to [`stoppable`]. What the thread held in the
//! machine stays held: the machine is of no use any more, but to be dropped.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A request that threads stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

/// What unwinds the stack of a thread that stops.
struct Unwinding;

/// The thread was told to stop, and has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// How often a thread that waits looks whether it is to stop.
const EVERY: Duration = Duration::from_millis(20);

thread_local! {
    /// What the calling thread is to listen to.
    static HEARD: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

impl Stop {
    /// Tells the threads to stop.
    pub fn request(&self) {
        // Relaxed: a request that orders nothing.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Were they told?
    pub fn is_requested(&self) -> bool {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs `f`, which ends early if the thread is told to stop meanwhile.
///
/// # Errors
/// If it was: `f` was left where it stood.
pub fn stoppable<T>(stop: &Stop, f: impl FnOnce() -> T) -> Result<T, Stopped> {
    let before = HEARD.replace(Some(stop.clone()));
    let result = catch_unwind(AssertUnwindSafe(f));
    HEARD.set(before);
    result.map_err(|payload| match is_stop(&*payload) {
        true => Stopped,
        false => resume_unwind(payload),
    })
}

/// Is this what unwinds a thread that stops, and no panic? Whoever catches it passes it on.
pub fn is_stop(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Unwinding>()
}

/// A place where the calling thread may stop. How long it may wait until the next one, if it can be told to.
#[cold]
pub(super) fn look() -> Option<Duration> {
    // Borrowed for the look alone: what unwinds next must find it free.
    let told = HEARD.with_borrow(|heard| heard.as_ref().map(Stop::is_requested))?;
    // A stack that is unwound already is not unwound twice.
    if told && !std::thread::panicking() {
        // Not a panic: no hook is called, and nothing is printed.
        resume_unwind(Box::new(Unwinding));
    }
    Some(EVERY)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::{AtomicU64, park, spin_until};

    #[test]
    fn a_thread_that_waits_for_ever_stops_when_it_is_told() {
        let waits: [fn(&AtomicU64); 2] = [
            |word| loop {
                park(word, || true);
            },
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
    fn what_ends_by_itself_and_what_panics_is_as_without() {
        let stop = Stop::default();
        assert_eq!(stoppable(&stop, || 3), Ok(3));
        assert!(catch_unwind(|| stoppable(&stop, || panic!("as it is"))).is_err());
        assert_eq!(look(), None, "nobody can tell this thread to stop");
    }
}
