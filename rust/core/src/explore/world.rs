//! The world that is explored, and the result of one schedule of it.

use super::kind::kind_of;
use crate::sync::explored::{Checks, Digest, Violation};

/// A set-up and the threads that run on it.
///
/// A world is built once and run any number of times. All changes of its threads go through
/// [`crate::sync`] and are undone after each schedule. One OS thread uses it.
pub trait World {
    /// The number of threads: 1 to [`THREADS`](super::THREADS).
    fn threads(&self) -> usize;

    /// Called before each schedule, outside of it: puts back the state that the end of a schedule does not
    /// undo.
    fn begin(&self) {}

    /// True if stores of the threads are delayed in buffers, as x86 does. The world then has at most
    /// [`FIRST_BUFFER`](crate::sync::explored::FIRST_BUFFER) threads.
    fn buffers_stores(&self) -> bool {
        false
    }

    /// Runs thread `thread`.
    fn run(&self, thread: usize);

    /// Checks the end state, once all threads have ended.
    fn check(&self) -> Result<(), Violation> {
        Ok(())
    }

    /// Adds to the digest the state outside of [`crate::sync`] on which the check and the
    /// fingerprint depend, once all threads have ended. So a state that passed the check need not
    /// be checked again. Returns false if that state cannot be digested; then the check always
    /// runs. Must use no operation of [`crate::sync`].
    fn digest_into(&self, digest: &mut Digest) -> bool {
        let _ = digest;
        false
    }

    /// A number that tells end states apart, once all threads have ended and the check has passed.
    fn fingerprint(&self) -> u64 {
        0
    }

    /// Called once, before the first schedule, with the rules against which the schedules are checked.
    fn check_as(&mut self, checks: Checks) {
        let _ = checks;
    }

    /// Judges the outcome of a schedule whose check has passed. Called after the schedule, outside of it.
    fn judge(&self, fingerprint: u64) -> Result<(), Violation> {
        let _ = fingerprint;
        Ok(())
    }

    /// The name of the word at `address` in traces.
    fn label(&self, address: usize) -> Option<String> {
        let _ = address;
        None
    }

    /// The name of the object that the lock at `address` protects, as `CPU 1`, for traces.
    fn holder(&self, address: usize) -> Option<String> {
        let _ = address;
        None
    }

    /// The kind of the word at `address`, for the coverage of pairs, and whether the word was there before
    /// the schedule.
    fn kind(&self, address: usize) -> Option<(String, bool)> {
        Some((kind_of(&self.label(address)?), true))
    }
}

impl<W: World + ?Sized> World for Box<W> {
    fn threads(&self) -> usize {
        (**self).threads()
    }
    fn begin(&self) {
        (**self).begin()
    }
    fn buffers_stores(&self) -> bool {
        (**self).buffers_stores()
    }
    fn run(&self, thread: usize) {
        (**self).run(thread)
    }
    fn check(&self) -> Result<(), Violation> {
        (**self).check()
    }
    fn digest_into(&self, digest: &mut Digest) -> bool {
        (**self).digest_into(digest)
    }
    fn fingerprint(&self) -> u64 {
        (**self).fingerprint()
    }
    fn check_as(&mut self, checks: Checks) {
        (**self).check_as(checks)
    }
    fn judge(&self, fingerprint: u64) -> Result<(), Violation> {
        (**self).judge(fingerprint)
    }
    fn label(&self, address: usize) -> Option<String> {
        (**self).label(address)
    }
    fn holder(&self, address: usize) -> Option<String> {
        (**self).holder(address)
    }
    fn kind(&self, address: usize) -> Option<(String, bool)> {
        (**self).kind(address)
    }
}

/// The outcome of one schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The end state's fingerprint, or the rule that was broken.
    pub outcome: Result<u64, Violation>,
    /// The number of steps that were executed.
    pub steps: u32,
}
