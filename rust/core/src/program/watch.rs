//! The watch over the threads of a program, kept by the calling thread.
//!
//! A program runs on threads that the runner starts, including the set-up and `finally`. The
//! calling thread asks its caller regularly whether to go on, and checks that operations end. If
//! the program must not go on, its threads are asked to stop, and are joined even if they wait. A
//! program that waits for ever therefore leaves no thread behind.

use super::setup::SetupError;
use crate::machine::too_many_threads;
use crate::sync::{Stop, claim_thread_slot};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// The caller's answer to a running program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Go on.
    On,
    /// End after the current round.
    Finish,
    /// Stop at once.
    Stop,
}

/// The interval at which the calling thread asks and checks.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The time that a thread may take to stop. A thread that takes longer is in a loop without a check
/// for a stop.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// The state shared by the calling thread and the program's threads.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Asks the threads that perform operations to stop.
    pub stop: Stop,
    /// True if the caller asked for the stop. Otherwise the stop was requested for lack of
    /// progress.
    interrupted: AtomicBool,
    finish: AtomicBool,
    /// The number of operations that have ended, and of changes of the patience.
    events: AtomicU64,
    /// Milliseconds without an event after which the threads are stopped; 0 while no operation
    /// runs.
    patience: AtomicU64,
}

impl Watch {
    /// Starts to check for progress: from here on operations run.
    pub fn start_timing(&self, patience: Duration) {
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).max(1);
        // Relaxed: a watch that sees the number late begins to measure one interval later.
        self.patience.store(millis, Ordering::Relaxed);
        self.progress();
    }

    /// Stops checking for progress, until the next [`Watch::start_timing`].
    pub fn pause_timing(&self) {
        // Relaxed: a watch that misses the pause measures one interval more, by the old patience.
        self.patience.store(0, Ordering::Relaxed);
    }

    /// Records that an operation has ended.
    pub fn progress(&self) {
        // Relaxed: the watch only compares the number with an earlier one.
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns true if no further round is wanted.
    pub fn should_finish(&self) -> bool {
        // Relaxed: a thread that misses the request begins one round more.
        self.finish.load(Ordering::Relaxed) || self.stop.is_requested()
    }

    /// Returns true if the caller stopped the program.
    pub fn is_interrupted(&self) -> bool {
        // Relaxed: the threads act on the request to stop, which is stored after this flag. The flag is read
        // only by the thread that joins them, or that reports why they stopped.
        self.interrupted.load(Ordering::Relaxed)
    }
}

/// Runs `work` on a thread of its own, and calls `ask` regularly meanwhile.
pub(super) fn watched<T: Send + 'static>(
    ask: &mut dyn FnMut() -> Go,
    work: impl FnOnce(&Arc<Watch>) -> Result<T, SetupError> + Send + 'static,
) -> Result<T, SetupError> {
    let watch = Arc::new(Watch::default());
    let (sender, result) = channel();
    let shared = Arc::clone(&watch);
    let thread = spawn(move || {
        let done = if claim_thread_slot() { work(&shared) } else { Err(no_slot(1)) };
        // If the thread did not stop in time, the receiver is gone.
        let _ = sender.send(done);
    })?;
    let (mut seen, mut last_progress) = (0, Instant::now());
    let mut stop_requested_at: Option<Instant> = None;
    loop {
        match result.recv_timeout(CHECK_INTERVAL) {
            Ok(done) => {
                let _ = thread.join();
                return done;
            }
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Ok(()) => return Err(SetupError("the program ended without a result".into())),
                Err(payload) => std::panic::resume_unwind(payload),
            },
            Err(RecvTimeoutError::Timeout) => {}
        }
        match stop_requested_at {
            // The program's thread waits for its crew at most twice, for `GRACE` each time: for the
            // messages of the crew's threads, and for their ends.
            Some(when) if when.elapsed() > 4 * GRACE => {
                return Err(SetupError("the program does not stop: its threads still run".into()));
            }
            Some(_) => continue,
            None => {}
        }
        match ask() {
            Go::On => {}
            // Relaxed: see `should_finish`.
            Go::Finish => watch.finish.store(true, Ordering::Relaxed),
            Go::Stop => {
                // Relaxed: see `is_interrupted`.
                watch.interrupted.store(true, Ordering::Relaxed);
                watch.stop.request();
                stop_requested_at = Some(Instant::now());
            }
        }
        // Relaxed, twice: an old number delays a stop by one interval.
        let events = watch.events.load(Ordering::Relaxed);
        let patience = watch.patience.load(Ordering::Relaxed);
        if events != seen || patience == 0 {
            (seen, last_progress) = (events, Instant::now());
        } else if last_progress.elapsed().as_millis() >= patience.into() {
            watch.stop.request();
            stop_requested_at = Some(Instant::now());
        }
    }
}

/// Starts a thread of the host.
pub(super) fn spawn(body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, SetupError> {
    let spawned = Builder::new().name("mmcore program".into()).spawn(body);
    spawned.map_err(|error| SetupError(format!("the host has no more threads: {error}")))
}

/// Returns the error for too few free thread slots.
pub(super) fn no_slot(threads: usize) -> SetupError {
    SetupError(too_many_threads(threads).why.to_string())
}
