//! What is explored, and one schedule of it.

use super::endings::{End, Endings};
use super::schedule::{Replay, Schedule};
use super::trace::Trace;
use crate::sync::explored::{Digest, Options, Record, Runtime, Strategy, Violation};

/// A set-up and the threads that run on it.
///
/// A world is built once and run as often as wished: everything its threads change goes through
/// [`crate::sync`], and is put back after each schedule. It is used by one OS thread.
pub trait World {
    /// How many threads there are: 1 to [`THREADS`](super::THREADS).
    fn threads(&self) -> usize;

    /// What thread `thread` does.
    fn run(&self, thread: usize);

    /// When all threads have ended: is everything as it should be?
    fn check(&self) -> Result<(), Violation> {
        Ok(())
    }

    /// When all threads have ended: tells what check and fingerprint depend on beyond the objects of
    /// [`crate::sync`], so that a state which passed once need not be checked again. False: it cannot be
    /// told, and the check is made. No operation of [`crate::sync`] is allowed here.
    fn tell(&self, digest: &mut Digest) -> bool {
        let _ = digest;
        false
    }

    /// When all threads have ended well: a number that tells final states apart.
    fn fingerprint(&self) -> u64 {
        0
    }

    /// What the word at `address` is called in traces.
    fn label(&self, address: usize) -> Option<String> {
        let _ = address;
        None
    }
}

impl<W: World + ?Sized> World for Box<W> {
    fn threads(&self) -> usize {
        (**self).threads()
    }
    fn run(&self, thread: usize) {
        (**self).run(thread)
    }
    fn check(&self) -> Result<(), Violation> {
        (**self).check()
    }
    fn tell(&self, digest: &mut Digest) -> bool {
        (**self).tell(digest)
    }
    fn fingerprint(&self) -> u64 {
        (**self).fingerprint()
    }
    fn label(&self, address: usize) -> Option<String> {
        (**self).label(address)
    }
}

/// How one schedule went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The final state's fingerprint, or the rule that was broken.
    pub outcome: Result<u64, Violation>,
    /// How many steps were executed.
    pub steps: u32,
}

/// Runs schedules of one world.
#[derive(Debug)]
pub struct Explorer<W> {
    world: W,
    pub(super) runtime: Runtime,
    endings: Endings,
}

impl<W: World> Explorer<W> {
    /// An explorer of `world` with default [`Options`].
    pub fn new(world: W) -> Self {
        Self::with_options(world, Options::default())
    }

    /// An explorer of `world`.
    pub fn with_options(world: W, options: Options) -> Self {
        Explorer { world, runtime: Runtime::new(options), endings: Endings::default() }
    }

    /// The world, as it was set up.
    pub fn world(&self) -> &W {
        &self.world
    }

    /// Runs the schedule that `strategy` makes up.
    ///
    /// # Panics
    /// If the world has no threads or too many, or within another exploration.
    pub fn run(&mut self, strategy: &mut dyn Strategy) -> Run {
        self.record(strategy, Record::Steps)
    }

    pub(super) fn record(&mut self, strategy: &mut dyn Strategy, record: Record) -> Run {
        let Explorer { world, runtime, endings } = self;
        let mut end = End { world: &*world, endings, fingerprint: 0 };
        let outcome = runtime.run(world.threads(), &|thread| world.run(thread), strategy, record, &mut end);
        Run { outcome: outcome.map(|()| end.fingerprint), steps: runtime.steps() }
    }

    /// Schedules whose threads ended well so far, and in how many of them the end state was checked:
    /// the others ended in a state that had passed before.
    pub fn checked(&self) -> (u64, u64) {
        (self.endings.ended, self.endings.checked)
    }

    /// Runs `schedule`.
    pub fn replay(&mut self, schedule: &Schedule) -> Run {
        self.run(&mut Replay::new(schedule))
    }

    /// Runs `schedule` and tells what happened.
    pub fn trace(&mut self, schedule: &Schedule) -> Trace {
        let run = self.record(&mut Replay::new(schedule), Record::Values);
        Trace::new(run.outcome, self.runtime.recorded(), |address| self.world.label(address))
    }

    /// The schedule that ran last: one thread number for each step executed.
    pub fn executed(&self) -> Schedule {
        Schedule::new(self.runtime.log().map(|step| step.thread))
    }
}
