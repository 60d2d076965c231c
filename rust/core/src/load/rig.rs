//! Runs a load on a machine of any release design, in rounds.

use super::config::LoadConfig;
use super::crew::{self, Done, Ended, Job, Signal};
use super::fault::{Failed, Finding, LoadError, audited};
use super::gauge::Gauge;
use super::host::{BareCopies, thread_cpu_time};
use super::report::{Finished, Round, buckets};
use crate::audit::{Handle, Ledger};
use crate::machine::{MAX_NODES, Machine, enter_thread, reserve_threads};
use crate::page::Pfn;
use crate::release::Release;
use crate::rng::Rng;
use crate::stat::Event;
use crate::sync::{interrupted, uninterrupted};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A load that keeps its machine from round to round.
pub trait Rig: Send {
    /// Runs all threads for `seconds`.
    ///
    /// # Errors
    /// [`LoadError::Failed`] if the machine broke a rule; every later call returns the same error.
    /// [`LoadError::Interrupted`] if the caller has ended the round; the load can be run again.
    fn run(&mut self, seed: u64, seconds: f64) -> Result<Round, LoadError>;

    /// Verifies every word, audits, gives all pages back, audits again, and checks that every frame
    /// is free.
    ///
    /// # Errors
    /// The same as those of [`Rig::run`].
    fn finish(&mut self) -> Result<Finished, LoadError>;
}

/// The parts of a load. Their steps are small, so that a round can stop between two of them and the
/// counting build can run them one by one.
pub(super) trait Workload: Sized + Send + 'static {
    /// The member that moves pages.
    type Migrator: Member;
    /// The member that uses the pages.
    type User: Member + Uses;

    /// Prepares the load before its first round.
    fn warm_up<R: Release>(_rig: &mut Mounted<R, Self>) -> Result<(), LoadError> {
        Ok(())
    }

    /// Returns all migrators and users. A round takes the members out, and puts them back at its
    /// end.
    fn members(&mut self) -> (&mut Vec<Self::Migrator>, &mut Vec<Self::User>);

    /// Returns the measurements of a migrator.
    fn gauge(migrator: &mut Self::Migrator) -> &mut Gauge;

    /// Makes one migration call; false if there was no page to move.
    fn migrate<R: Release>(machine: &Machine<R>, migrator: &mut Self::Migrator) -> Result<bool, Finding>;

    /// Makes some accesses.
    fn use_memory<R: Release>(machine: &Machine<R>, user: &mut Self::User) -> Result<(), Finding>;

    /// Ends a round for a user: releases pins and other handles that must not outlive the round.
    fn pause<R: Release>(_machine: &Machine<R>, _user: &mut Self::User) -> Result<(), Finding> {
        Ok(())
    }

    /// Adds the measurements that only this load has to the report of a round.
    fn describe<R: Release>(&mut self, _machine: &Machine<R>, _round: &mut Round) {}

    /// Returns the pages outside of the allocator on which the load itself holds a reference between two
    /// rounds.
    fn holds(&self) -> Vec<Pfn> {
        Vec::new()
    }

    /// Compares every word with its expected content; returns the number of words.
    fn verify<R: Release>(&mut self, machine: &Machine<R>) -> Result<u64, Finding>;

    /// Gives all pages back.
    fn tear_down<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding>;
}

/// A migrator or user, which has a thread of its own in each round.
pub(super) trait Member: Send + 'static {
    /// Replaces the random generator at the start of a round.
    fn reseed(&mut self, rng: Rng);
}

/// The counts of a user of memory.
pub(super) trait Uses {
    /// Returns the counts and resets them.
    fn take_counts(&mut self) -> Counts;
}

/// Counts of a user of memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Accesses by node.
    pub accesses: [u64; MAX_NODES],
    /// Number of other operations, by name.
    pub did: BTreeMap<&'static str, u64>,
}

/// A load on a machine of design `R`.
pub(super) struct Mounted<R: Release, W: Workload> {
    pub machine: Arc<Machine<R>>,
    pub load: W,
    pub config: LoadConfig,
    copies: Option<BareCopies>,
    rounds: u64,
    migrated: u64,
    spoiled: Option<LoadError>,
}

/// The migrator or user that a thread returns.
enum Part<W: Workload> {
    Migrator(W::Migrator),
    User(W::User),
}

impl<R: Release, W: Workload> Mounted<R, W> {
    pub fn new(config: &LoadConfig, (machine, load): (Machine<R>, W)) -> Result<Self, LoadError> {
        let copies = match config.memcpy {
            true => Some(BareCopies::new(config.page_count(), config.seed)?),
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

    /// Turns a finding into an error with the seed and the command that repeat it. From then on every
    /// call of the rig fails.
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

    /// Runs one round of all threads, and then the bare copies with which the round is compared.
    fn round(&mut self, seed: u64, time: Duration) -> Result<Round, LoadError> {
        let mut round = self.round_without_copies(seed, time)?;
        self.migrated += round.migrated;
        self.rounds += 1;
        if let Some(copies) = &mut self.copies {
            // A run has hundreds of rounds, so a few copies in each are enough.
            let pages = round.migrated.clamp(FEWEST_COPIES, MOST_COPIES);
            round.memcpy_pages = pages;
            round.memcpy_pages_per_s = pages as f64 / copies.run(pages as usize).as_secs_f64();
        }
        Ok(round)
    }

    /// Runs one round of all threads.
    pub fn round_without_copies(&mut self, seed: u64, time: Duration) -> Result<Round, LoadError> {
        if let Some(error) = &self.spoiled {
            return Err(error.clone());
        }
        enter_thread()?;
        let (migrators, users) = self.load.members();
        // The threads are reserved before the members are taken out. If too many threads run now, the
        // members stay, and a later round may succeed.
        let slots = reserve_threads(migrators.len() + users.len())?;
        let (migrators, users) = (std::mem::take(migrators), std::mem::take(users));
        let jobs = migrators
            .into_iter()
            .map(Part::<W>::Migrator)
            .chain(users.into_iter().map(Part::User))
            .enumerate()
            .map(|(at, part)| self.job(at, part, seed));
        match crew::run(jobs.collect(), slots, time) {
            Ok((wall, done)) => {
                let round = Round { seed, ..self.sum_up(wall, done) };
                if interrupted() { Err(LoadError::Interrupted) } else { Ok(round) }
            }
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
                    migrate_until::<R, W>(&machine, migrator, signal)?;
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

    /// Puts the members back and adds up their measurements.
    fn sum_up(&mut self, wall: Duration, done: Vec<Done<Part<W>>>) -> Round {
        let mut round = Round { wall_s: wall.as_secs_f64(), ..Round::default() };
        let mut latency: Option<Histogram<u64>> = None;
        let mut asked: Option<Histogram<u64>> = None;
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
                    round.requests += gauge.asked.len();
                    round.served += gauge.served;
                    for (sum, more) in [(&mut latency, gauge.latency), (&mut asked, gauge.asked)] {
                        match sum {
                            Some(sum) => sum.add(&more).expect("the same bounds"),
                            None => *sum = Some(more),
                        }
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
        round.request_ns = asked.as_ref().map(buckets).unwrap_or_default();
        self.load.describe(&self.machine, &mut round);
        round
    }

    fn check_clean(&mut self) -> Result<(), Finding> {
        audited(&self.machine, &ledger_of(&self.load))
    }

    /// Audits, and compares every word; returns the number of words.
    fn verify(&mut self) -> Result<u64, Finding> {
        self.check_clean()?;
        match self.machine.memory().is_backed() {
            true => self.load.verify(&self.machine),
            false => Ok(0),
        }
    }

    fn end(&mut self, verified_words: u64) -> Result<Finished, Finding> {
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

/// Returns the references that a load holds, as handles for the audit.
pub(super) fn ledger_of<W: Workload>(load: &W) -> Ledger {
    let ledger = Ledger::default();
    load.holds().into_iter().for_each(|pfn| ledger.add(pfn, Handle::Ref));
    ledger
}

/// Runs a migrator until the round ends. The CPU time of steps that found no page to move is
/// measured separately; otherwise the cost of these steps would count as the cost of migration.
fn migrate_until<R: Release, W: Workload>(
    machine: &Machine<R>,
    migrator: &mut W::Migrator,
    signal: &Signal,
) -> Result<(), Finding> {
    let mut idle_since: Option<Duration> = None;
    let mut idle_looks = 0;
    while !signal.stopped() {
        let before = idle_since.map(|_| thread_cpu_time());
        let worked = W::migrate(machine, migrator)?;
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
    Ok(())
}

/// The number of steps without work after which a migrator sleeps. A migrator that slept earlier would make
/// its waiting users wait for its timer.
const EAGER: u32 = 64;
/// The time that a migrator sleeps after each further step without work.
const IDLE: Duration = Duration::from_micros(50);

/// Bounds of the number of bare copies in one round.
const FEWEST_COPIES: u64 = 128;
const MOST_COPIES: u64 = 512;

/// The longest round: a day. A longer time is most likely a number in a wrong unit.
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
        let verified = crew::guarded("the end", || self.verify());
        if verified.is_err() && interrupted() {
            return Err(LoadError::Interrupted);
        }
        // A load that was given back in part could be neither finished nor verified again.
        let end = |words| uninterrupted(|| crew::guarded("the end", || self.end(words)));
        let ended = verified.and_then(end).map_err(|finding| self.fail(self.config.seed, finding))?;
        // A finished load can be neither run nor finished again.
        self.spoiled = Some(LoadError::Config("this load has finished".into()));
        Ok(ended)
    }
}
