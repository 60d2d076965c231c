//! Runs the schedules of a world, one after another.

use super::endings::{End, Endings};
use super::pairs::{Collector, Pairs};
use super::schedule::{Replay, Schedule};
use super::trace::Trace;
use super::world::{Run, World};
use crate::sync::explored::{Options, Record, Runtime, Strategy};

/// Runs schedules of one world.
#[derive(Debug)]
pub struct Explorer<W> {
    world: W,
    pub(super) runtime: Runtime,
    endings: Endings,
    /// Gathers the pairs of steps, if wanted.
    pairs: Option<Collector>,
}

impl<W: World> Explorer<W> {
    /// An explorer of `world` with default [`Options`].
    pub fn new(world: W) -> Self {
        Self::with_options(world, Options::default())
    }

    /// An explorer of `world`.
    pub fn with_options(mut world: W, options: Options) -> Self {
        world.check_as(options.checks);
        let pairs = options.pairs.then(Collector::default);
        let mut runtime = Runtime::new(options);
        if world.buffers_stores() {
            runtime.buffer_stores();
        }
        Explorer { world, runtime, endings: Endings::default(), pairs }
    }

    /// The world, as it was set up.
    pub fn world(&self) -> &W {
        &self.world
    }

    /// Runs the schedule that `strategy` chooses.
    ///
    /// # Panics
    /// If the world has no threads or too many, or within another exploration.
    pub fn run(&mut self, strategy: &mut dyn Strategy) -> Run {
        self.record(strategy, Record::Steps)
    }

    pub(super) fn record(&mut self, strategy: &mut dyn Strategy, record: Record) -> Run {
        let Explorer { world, runtime, endings, pairs } = self;
        world.begin();
        let mut end = End { world: &*world, endings, fingerprint: 0 };
        let outcome = runtime.run(world.threads(), &|thread| world.run(thread), strategy, record, &mut end);
        let fingerprint = end.fingerprint;
        if let Some(pairs) = pairs {
            pairs.add(&*world, runtime);
        }
        let outcome = outcome.and_then(|()| world.judge(fingerprint)).map(|()| fingerprint);
        Run { outcome, steps: runtime.steps() }
    }

    /// The pairs of steps in the schedules that ran since the last call; `None` if they are not gathered.
    pub fn take_pairs(&mut self) -> Option<Pairs> {
        self.pairs.as_mut().map(Collector::take)
    }

    /// The number of schedules whose threads ended without a violation, and in how many of them the
    /// end state had to be checked. The other end states had passed before.
    pub fn checked(&self) -> (u64, u64) {
        (self.endings.ended, self.endings.checked)
    }

    /// Runs `schedule`.
    pub fn replay(&mut self, schedule: &Schedule) -> Run {
        self.run(&mut Replay::new(schedule))
    }

    /// Runs `schedule` and returns its trace.
    pub fn trace(&mut self, schedule: &Schedule) -> Trace {
        let run = self.record(&mut Replay::new(schedule), Record::Values);
        let label = |address| self.world.label(address);
        Trace::new(run.outcome, self.runtime.recorded(), label, |address| self.world.holder(address))
    }

    /// The last schedule that ran: one thread number for each executed step.
    pub fn executed(&self) -> Schedule {
        Schedule::new(self.runtime.log().map(|step| step.thread))
    }
}
