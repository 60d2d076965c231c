//! Who watches over the threads of a program: the calling thread.
//!
//! A program is performed on threads that the runner has started itself, the set-up and `finally` too. The calling
//! thread asks its caller now and then whether to go on, and looks whether anything gets done. Who must not go on is
//! told to stop, wherever he waits, and is joined: a program that waits for ever leaves nothing behind.

use super::setup::SetupError;
use crate::machine::too_many_threads;
use crate::sync::{Stop, claim_thread_slot};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// What the caller says to a program that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Go on.
    On,
    /// End with the round that is being run.
    Finish,
    /// Stop at once.
    Stop,
}

/// How often the calling thread looks up.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// How long a thread may take to stop when it was told to: one that takes longer waits nowhere.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// What the calling thread and the program's threads know of each other.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Told to stop: whoever performs an operation.
    pub stop: Stop,
    /// The caller said so; else nothing got done for too long.
    interrupted: AtomicBool,
    finish: AtomicBool,
    /// Operations that have ended, and changes of the patience.
    events: AtomicU64,
    /// Milliseconds without an event after which the operations are given up; 0 while none is performed.
    patience: AtomicU64,
}

// Relaxed (all): requests and counts that order nothing.
impl Watch {
    /// Operations are performed from here on.
    pub fn begins(&self, patience: Duration) {
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).max(1);
        self.patience.store(millis, Ordering::Relaxed);
        self.progress();
    }

    /// None is, until the next time.
    pub fn pauses(&self) {
        self.patience.store(0, Ordering::Relaxed);
    }

    /// An operation has ended.
    pub fn progress(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// No further round is wanted.
    pub fn finishes(&self) -> bool {
        self.finish.load(Ordering::Relaxed) || self.stop.is_requested()
    }

    /// It was stopped by the caller.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

/// Does `work` on a thread of its own, and asks `ask` meanwhile.
pub(super) fn watched<T: Send + 'static>(
    ask: &mut dyn FnMut() -> Go,
    work: impl FnOnce(&Arc<Watch>) -> Result<T, SetupError> + Send + 'static,
) -> Result<T, SetupError> {
    let watch = Arc::new(Watch::default());
    let (sender, result) = channel();
    let its = Arc::clone(&watch);
    let thread = spawn(move || {
        let done = if claim_thread_slot() { work(&its) } else { Err(no_slot(1)) };
        // Nobody listens any more if the thread did not stop in time.
        let _ = sender.send(done);
    })?;
    let (mut seen, mut since) = (0, Instant::now());
    let mut told: Option<Instant> = None;
    loop {
        match result.recv_timeout(LOOK) {
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
        match told {
            // The thread waits for others, twice at most: for what they tell, and for their end.
            Some(when) if when.elapsed() > 4 * GRACE => {
                return Err(SetupError("the program does not stop: it is left behind".into()));
            }
            Some(_) => continue,
            None => {}
        }
        match ask() {
            Go::On => {}
            Go::Finish => watch.finish.store(true, Ordering::Relaxed),
            Go::Stop => {
                watch.interrupted.store(true, Ordering::Relaxed);
                watch.stop.request();
                told = Some(Instant::now());
            }
        }
        let events = watch.events.load(Ordering::Relaxed);
        let patience = watch.patience.load(Ordering::Relaxed);
        if events != seen || patience == 0 {
            (seen, since) = (events, Instant::now());
        } else if since.elapsed().as_millis() >= patience.into() {
            watch.stop.request();
            told = Some(Instant::now());
        }
    }
}

/// A thread of the host.
pub(super) fn spawn(body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, SetupError> {
    let spawned = Builder::new().name("mmcore program".into()).spawn(body);
    spawned.map_err(|error| SetupError(format!("the host has no more threads: {error}")))
}

/// Too few threads can use machines beside those that do.
pub(super) fn no_slot(threads: usize) -> SetupError {
    SetupError(too_many_threads(threads).why.to_string())
}
