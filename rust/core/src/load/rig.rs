//! A load on a machine, round after round, whatever the release design.

use super::config::{Load, LoadConfig};
use super::crew::{self, Done, Ended, Job, Signal};
use super::fault::{Failed, Finding, LoadError};
use super::gauge::Gauge;
use super::host::{ColdCopies, thread_cpu_time};
use super::report::{Finished, Round, buckets};
use super::storm::Storm;
use super::tiering::{Policy, Tiering, Trace};
use crate::audit::Ledger;
use crate::machine::{MAX_NODES, Machine, enter_thread, reserve_threads};
use crate::release::{Release, with_design};
use crate::rng::Rng;
use crate::stat::Event;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A load that keeps its machine from round to round.
pub trait Rig: Send {
    /// Runs all threads for `seconds`.
    ///
    /// # Errors
    /// [`LoadError::Failed`] if something is wrong with the machine; every later call says the same.
    fn run(&mut self, seed: u64, seconds: f64) -> Result<Round, LoadError>;

    /// Verifies every word, audits, gives everything back, audits again, and looks for lost frames.
    ///
    /// # Errors
    /// As [`Rig::run`].
    fn finish(&mut self) -> Result<Finished, LoadError>;
}

/// Builds a load and its machine. Tiering needs a trace.
///
/// # Errors
/// What makes no sense in the configuration, or what the host or the trace lacks.
pub fn open(config: &LoadConfig, trace: Option<Trace>) -> Result<Box<dyn Rig>, LoadError> {
    open_with(config, trace, None)
}

/// The same, with a policy that decides what moves in tiering.
///
/// # Errors
/// As [`open`].
pub fn open_with(
    config: &LoadConfig,
    trace: Option<Trace>,
    policy: Option<Arc<dyn Policy>>,
) -> Result<Box<dyn Rig>, LoadError> {
    config.check()?;
    enter_thread()?;
    if policy.is_some() && config.load == Load::Storm {
        return Err(LoadError::Config("in a storm pages move at random: a policy is for tiering".into()));
    }
    let design = config.choices()?.release;
    with_design!(design, R => match config.load {
        Load::Storm => Ok(Box::new(Mounted::<R, Storm>::new(config, Storm::set_up(config)?)?)),
        Load::Tiering => {
            let trace = needed(trace)?;
            Ok(Box::new(Mounted::<R, Tiering>::new(config, Tiering::set_up(config, trace, policy)?)?))
        }
    })
}

/// A trace, or what to say without one.
pub(super) fn needed(trace: Option<Trace>) -> Result<Trace, LoadError> {
    trace.ok_or_else(|| LoadError::Config("the tiering load needs a trace".into()))
}

/// A load's parts, in steps small enough to be stopped between, and to be taken one by one when
/// operations are counted.
pub(super) trait Workload: Sized + Send + 'static {
    /// Moves pages.
    type Migrator: Member;
    /// Uses them.
    type User: Member + Uses;

    /// Something is done before the first round.
    fn warm_up<R: Release>(_rig: &mut Mounted<R, Self>) -> Result<(), LoadError> {
        Ok(())
    }

    /// All of them; a round takes them out and puts them back.
    fn members(&mut self) -> (&mut Vec<Self::Migrator>, &mut Vec<Self::User>);

    /// What a migrator has measured.
    fn gauge(migrator: &mut Self::Migrator) -> &mut Gauge;

    /// One migration call; false if there was nothing to do.
    fn migrate<R: Release>(machine: &Machine<R>, migrator: &mut Self::Migrator) -> bool;

    /// Some accesses.
    fn use_memory<R: Release>(machine: &Machine<R>, user: &mut Self::User) -> Result<(), Finding>;

    /// The round is over: give back what must not outlive it.
    fn pause<R: Release>(_machine: &Machine<R>, _user: &mut Self::User) -> Result<(), Finding> {
        Ok(())
    }

    /// Compares every word with what it must say; returns how many.
    fn verify<R: Release>(&mut self, machine: &Machine<R>) -> Result<u64, Finding>;

    /// Gives everything back.
    fn tear_down<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding>;
}

/// Somebody with a thread of its own.
pub(super) trait Member: Send + 'static {
    /// A new round, a new stream of numbers.
    fn reseed(&mut self, rng: Rng);
}

/// What users of memory count.
pub(super) trait Uses {
    /// Hands out the counts and begins anew.
    fn take_counts(&mut self) -> Counts;
}

/// Counts of a user of memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Accesses by node.
    pub accesses: [u64; MAX_NODES],
    /// Whatever else was done.
    pub did: BTreeMap<&'static str, u64>,
}

/// A load on a machine of design `R`.
pub(super) struct Mounted<R: Release, W: Workload> {
    pub machine: Arc<Machine<R>>,
    pub load: W,
    pub config: LoadConfig,
    copies: Option<ColdCopies>,
    rounds: u64,
    migrated: u64,
    spoiled: Option<LoadError>,
}

/// What comes back from a thread.
enum Part<W: Workload> {
    Migrator(W::Migrator),
    User(W::User),
}

impl<R: Release, W: Workload> Mounted<R, W> {
    pub fn new(config: &LoadConfig, (machine, load): (Machine<R>, W)) -> Result<Self, LoadError> {
        let copies = match config.memcpy {
            true => Some(ColdCopies::new(config.page_count(), config.seed)?),
            false => None,
        };
        let mut rig = Mounted {
            machine: Arc::new(machine),
            load,
            config: config.clone(),
            copies,
            rounds: 0,
            migrated: 0,
            spoiled: None,
        };
        W::warm_up(&mut rig)?;
        Ok(rig)
    }

    /// A finding with how to see it again; the rig is of no use from now on.
    pub fn fail(&mut self, seed: u64, finding: Finding) -> LoadError {
        let failed = Failed {
            finding,
            design: self.machine.profile().release.name(),
            seed,
            command: self.config.repeat(),
        };
        let error = LoadError::Failed(Box::new(failed));
        self.spoiled = Some(error.clone());
        error
    }

    /// One round of all threads, with the bare copies that it is compared with.
    fn round(&mut self, seed: u64, time: Duration) -> Result<Round, LoadError> {
        let mut round = self.round_without_copies(seed, time)?;
        self.migrated += round.migrated;
        self.rounds += 1;
        if let Some(copies) = &mut self.copies {
            // A run has hundreds of rounds: a few copies in each say enough, and cost little.
            let pages = round.migrated.clamp(FEWEST_COPIES, MOST_COPIES);
            round.memcpy_pages = pages;
            round.memcpy_pages_per_s = pages as f64 / copies.run(pages as usize).as_secs_f64();
        }
        Ok(round)
    }

    /// One round of all threads.
    pub fn round_without_copies(&mut self, seed: u64, time: Duration) -> Result<Round, LoadError> {
        if let Some(error) = &self.spoiled {
            return Err(error.clone());
        }
        enter_thread()?;
        let (migrators, users) = self.load.members();
        // Before anybody is taken out: too many threads now may be few enough later.
        let slots = reserve_threads(migrators.len() + users.len())?;
        let (migrators, users) = (std::mem::take(migrators), std::mem::take(users));
        let jobs = migrators
            .into_iter()
            .map(Part::<W>::Migrator)
            .chain(users.into_iter().map(Part::User))
            .enumerate()
            .map(|(at, part)| self.job(at, part, seed));
        match crew::run(jobs.collect(), slots, time) {
            Ok((wall, done)) => Ok(Round { seed, ..self.sum_up(wall, done) }),
            Err(Ended::Found(finding)) => Err(self.fail(seed, finding)),
            Err(Ended::NoThread(error)) => {
                let error = LoadError::SetUp(error);
                self.spoiled = Some(error.clone());
                Err(error)
            }
        }
    }

    fn job(&self, at: usize, mut part: Part<W>, seed: u64) -> Job<Part<W>> {
        let machine = Arc::clone(&self.machine);
        let cpu = at % machine.cpu_count();
        let rng = Rng::new(seed, at as u64);
        let name = match &part {
            Part::Migrator(_) => format!("migrator {at}"),
            Part::User(_) => format!("user {}", at - self.config.migrators),
        };
        let work = move |signal: &Signal| {
            machine.bind_cpu(Some(cpu));
            match &mut part {
                Part::Migrator(migrator) => {
                    migrator.reseed(rng);
                    migrate_until::<R, W>(&machine, migrator, signal);
                }
                Part::User(user) => {
                    user.reseed(rng);
                    while !signal.stopped() {
                        W::use_memory(&machine, user)?;
                    }
                    W::pause(&machine, user)?;
                }
            }
            Ok(part)
        };
        Job { name, work: Box::new(work) }
    }

    /// Puts the members back and adds up what they measured.
    fn sum_up(&mut self, wall: Duration, done: Vec<Done<Part<W>>>) -> Round {
        let mut round = Round { wall_s: wall.as_secs_f64(), ..Round::default() };
        let mut latency: Option<Histogram<u64>> = None;
        let mut accesses = [0u64; MAX_NODES];
        let (migrators, users) = self.load.members();
        for Done { value, cpu } in done {
            match value {
                Part::Migrator(mut migrator) => {
                    let gauge = W::gauge(&mut migrator).take();
                    round.migrator_cpu_s += cpu.saturating_sub(gauge.idle_cpu).as_secs_f64();
                    round.migrating_s += gauge.busy.as_secs_f64();
                    round.migrated += gauge.total.migrated;
                    round.failed += gauge.total.failed;
                    round.retries += gauge.total.retries;
                    round.calls += gauge.calls;
                    for (name, n) in gauge.did {
                        *round.did.entry(name).or_default() += n;
                    }
                    match &mut latency {
                        Some(sum) => sum.add(&gauge.latency).expect("the same bounds"),
                        None => latency = Some(gauge.latency),
                    }
                    migrators.push(migrator);
                }
                Part::User(mut user) => {
                    let counts = user.take_counts();
                    round.user_cpu_s += cpu.as_secs_f64();
                    for (sum, n) in accesses.iter_mut().zip(counts.accesses) {
                        *sum += n;
                    }
                    for (name, n) in counts.did {
                        *round.did.entry(name).or_default() += n;
                    }
                    users.push(user);
                }
            }
        }
        let nodes = self.machine.nodes();
        round.accesses = accesses.iter().sum();
        round.accesses_by_node = accesses[..nodes.len()].to_vec();
        round.modelled_ns =
            nodes.iter().zip(accesses).map(|(node, n)| n as f64 * f64::from(node.latency_ns)).sum();
        round.latency_ns = latency.as_ref().map(buckets).unwrap_or_default();
        round
    }

    fn check_clean(&mut self) -> Result<(), Finding> {
        self.machine.lru_drain_all();
        let findings = self.machine.audit(&Ledger::default());
        match findings.is_empty() {
            true => Ok(()),
            false => Err(Finding::Audit(findings.iter().map(ToString::to_string).collect())),
        }
    }

    fn end(&mut self) -> Result<Finished, Finding> {
        self.check_clean()?;
        let verified_words = match self.machine.memory().is_backed() {
            true => self.load.verify(&self.machine)?,
            false => 0,
        };
        self.load.tear_down(&self.machine)?;
        self.check_clean()?;
        let free = |node: usize| {
            let (buddy, arrays) = self.machine.free_frames(node);
            buddy + arrays
        };
        let lost: u32 =
            self.machine.nodes().iter().enumerate().map(|(at, node)| node.frames - free(at)).sum();
        if lost > 0 {
            return Err(Finding::LostFrames(lost));
        }
        let stats = &self.machine.stats;
        let vmstat = Event::ALL.iter().map(|&event| (event.name(), stats.events(event))).collect();
        Ok(Finished { rounds: self.rounds, migrated: self.migrated, verified_words, vmstat })
    }
}

/// A migrator's round. The CPU time of looks that found nothing to do is told apart: else a load that
/// migrates little would measure how often it looks.
fn migrate_until<R: Release, W: Workload>(machine: &Machine<R>, migrator: &mut W::Migrator, signal: &Signal) {
    let mut idle_since: Option<Duration> = None;
    let mut idle_looks = 0;
    while !signal.stopped() {
        let before = idle_since.map(|_| thread_cpu_time());
        let worked = W::migrate(machine, migrator);
        if worked {
            idle_looks = 0;
            if let (Some(since), Some(before)) = (idle_since.take(), before) {
                W::gauge(migrator).idle_cpu += before.saturating_sub(since);
            }
        } else {
            idle_since.get_or_insert_with(thread_cpu_time);
            idle_looks += 1;
            match idle_looks {
                0..=EAGER => std::thread::yield_now(),
                _ => std::thread::sleep(IDLE),
            }
        }
    }
    if let Some(since) = idle_since {
        W::gauge(migrator).idle_cpu += thread_cpu_time() - since;
    }
}

/// Looks of a migrator without work before it sleeps: users that wait for it should not wait for a timer.
const EAGER: u32 = 64;
/// How long a migrator without work sleeps then.
const IDLE: Duration = Duration::from_micros(50);

/// Bare copies beside one round.
const FEWEST_COPIES: u64 = 128;
const MOST_COPIES: u64 = 512;

/// Longest round: a day, so that a wrong unit is noticed before a week is over.
const LONGEST_S: f64 = 86_400.0;

impl<R: Release, W: Workload> Rig for Mounted<R, W> {
    fn run(&mut self, seed: u64, seconds: f64) -> Result<Round, LoadError> {
        if !(seconds > 0.0 && seconds <= LONGEST_S) {
            return Err(LoadError::Config(format!("a round cannot take {seconds} s")));
        }
        self.round(seed, Duration::from_secs_f64(seconds))
    }

    fn finish(&mut self) -> Result<Finished, LoadError> {
        if let Some(error) = &self.spoiled {
            return Err(error.clone());
        }
        enter_thread()?;
        let end = crew::guarded("the end", || self.end());
        let ended = end.map_err(|finding| self.fail(self.config.seed, finding))?;
        // Nothing is left to run or to finish once more.
        self.spoiled = Some(LoadError::Config("this load has finished".into()));
        Ok(ended)
    }
}
