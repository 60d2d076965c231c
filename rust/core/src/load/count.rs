//! The operations that a migrated page costs, and the nodes on which the accesses of a trace find their
//! pages. The loads run on one thread, one operation after the other, so that every run counts the same
//! numbers.
//!
//! Only the counting build (`mmcore-counted`) counts operations; the other builds run the load and
//! report zeros. Migrator and users are on CPUs of their own, as in a round. Pages that a design
//! leaves in a batch of the migrator's CPU are therefore drained by the migrator, and the drain is
//! counted for it.

use super::compaction::Compaction;
use super::config::{Load, LoadConfig};
use super::crew::guarded;
use super::fault::{Failed, Finding, LoadError, audited, unless_interrupted};
use super::open::needed;
use super::planted::atomics;
use super::rig::{Member, Uses, Workload, ledger_of};
use super::storm::Storm;
use super::tiering::{Policy, Tiering, Trace};
use super::zram::ZramStorm;
use crate::error::Error;
use crate::machine::{Config, Machine, enter_thread};
use crate::page::Pfn;
use crate::release::{Chosen, Release};
use crate::rng::Rng;
use crate::sync::ops::{Ops, current};
use serde::Serialize;
use std::sync::Arc;

/// The number of migrated pages at which the count ends.
const PAGES: u64 = 10_000;
/// The number of calls after which the count ends even if few pages have migrated.
const MOST_CALLS: u64 = 40_000;
/// Number of puts of each of the two kinds.
const PUTS: u32 = 1000;
/// Accesses of which the nodes are counted: the whole trace, within these bounds. A shorter trace is
/// repeated. A part of a trace would only tell how its program starts.
const ACCESSES: (u64, u64) = (1 << 21, 1 << 25);

/// Operations of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PageOps {
    /// Pages that arrived in another frame.
    pub migrated: u64,
    /// The migrator's operations for these pages. Failed attempts and drains are included; the
    /// choice of pages by age is not.
    #[serde(flatten)]
    pub ops: Ops,
    /// Loads and stores of the users.
    pub accesses: u64,
    /// The users' operations besides the accesses themselves: faults, reclaim, frees, and all else that the
    /// load's users do.
    pub used: Ops,
}

/// The nodes on which the accesses of a trace find their pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// Pages that arrived on another node meanwhile.
    pub migrated: u64,
    /// Loads and stores by the node of the page.
    pub accesses_by_node: Vec<u64>,
    /// The modelled latency of each node, in nanoseconds.
    pub latency_ns: Vec<u32>,
}

/// The cost of puts under a release design, summed over all puts of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PutOps {
    /// Number of puts of each of the two kinds.
    pub puts: u32,
    /// Operations of all puts that leave other references.
    pub kept: Ops,
    /// Operations of all puts that free a page which is on no list.
    pub last: Ops,
}

impl PageOps {
    /// Serialises the numbers as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

impl Hits {
    /// Serialises the numbers as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

impl PutOps {
    /// Serialises the numbers as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

/// Counts the operations of a load under one configuration, with one migrator, whatever number the
/// configuration has.
///
/// # Errors
/// The errors of opening and of running the load.
pub fn count_ops(config: &LoadConfig, trace: Option<Trace>) -> Result<PageOps, LoadError> {
    let config = LoadConfig { migrators: 1, memcpy: false, ..config.clone() };
    config.check()?;
    enter_thread()?;
    match config.load {
        Load::Storm => {
            let (machine, load) = Storm::set_up::<Chosen>(&config)?;
            count(&config, &machine, load)
        }
        Load::Tiering => {
            let (machine, load) = Tiering::set_up::<Chosen>(&config, needed(trace)?, None)?;
            count(&config, &machine, load)
        }
        Load::Compaction => {
            let (machine, load) = Compaction::set_up::<Chosen>(&config)?;
            count(&config, &machine, load)
        }
        Load::Zram => {
            let (machine, load) = ZramStorm::set_up::<Chosen>(&config)?;
            count(&config, &machine, load)
        }
    }
}

/// Counts on which nodes a fixed number of accesses of a trace find their pages, under the kernel's own
/// choice of the pages that move or under a policy. In a round on real threads this depends on how far
/// the threads come. Here it does not, so the number describes the policy and not the host.
///
/// # Errors
/// The errors of opening and of running the load.
pub fn count_hits(
    config: &LoadConfig,
    trace: Option<Trace>,
    policy: Option<Arc<dyn Policy>>,
) -> Result<Hits, LoadError> {
    let config =
        LoadConfig { load: Load::Tiering, migrators: 1, mutators: 1, memcpy: false, ..config.clone() };
    config.check()?;
    enter_thread()?;
    let trace = needed(trace)?;
    let accesses = (trace.ids.len() as u64).clamp(ACCESSES.0, ACCESSES.1);
    let (machine, mut load) = Tiering::set_up::<Chosen>(&config, trace, policy)?;
    on_one_thread(&config, &machine, || hits(accesses, config.seed, &machine, &mut load))
}

fn hits<R: Release>(
    accesses: u64,
    seed: u64,
    machine: &Machine<R>,
    load: &mut Tiering,
) -> Result<Hits, Finding> {
    let (migrators, users) = load.members();
    let (migrator, user) = (&mut migrators[0], &mut users[0]);
    migrator.reseed(Rng::new(seed, 0));
    let mut by_node = vec![0; machine.nodes().len()];
    while by_node.iter().sum::<u64>() < accesses {
        unless_interrupted()?;
        machine.bind_cpu(Some(USER));
        Tiering::use_memory(machine, user)?;
        machine.lru_drain_local();
        for (sum, more) in by_node.iter_mut().zip(user.take_counts().accesses) {
            *sum += more;
        }
        machine.bind_cpu(Some(MIGRATOR));
        Tiering::migrate(machine, migrator)?;
    }
    let migrated = Tiering::gauge(migrator).total.migrated;
    audited(machine, &ledger_of(load))?;
    let latency_ns = machine.nodes().iter().map(|node| node.latency_ns).collect();
    Ok(Hits { migrated, accesses_by_node: by_node, latency_ns })
}

/// The CPUs of the migrator and of the users.
const MIGRATOR: usize = 0;
const USER: usize = 1;

fn count<R: Release, W: Workload>(
    config: &LoadConfig,
    machine: &Machine<R>,
    mut load: W,
) -> Result<PageOps, LoadError> {
    on_one_thread(config, machine, || count_pages(config, machine, &mut load))
}

/// Runs a count on the calling thread; a finding becomes an error with the data that repeats it. If the
/// caller has ended the work, the error is [`LoadError::Interrupted`].
fn on_one_thread<R: Release, T>(
    config: &LoadConfig,
    machine: &Machine<R>,
    count: impl FnOnce() -> Result<T, Finding>,
) -> Result<T, LoadError> {
    let bound = machine.bind_cpu(None);
    let counted = guarded("the count", count);
    machine.bind_cpu(bound);
    counted.map_err(|finding| {
        let (design, seed, command) = (machine.profile().release.name(), config.seed, config.repeat());
        LoadError::Failed(Box::new(Failed { finding, design, seed, command })).or_interrupted()
    })
}

fn count_pages<R: Release, W: Workload>(
    config: &LoadConfig,
    machine: &Machine<R>,
    load: &mut W,
) -> Result<PageOps, Finding> {
    let seed = config.seed;
    let (migrators, users) = load.members();
    let migrator = &mut migrators[0];
    migrator.reseed(Rng::new(seed, 0));
    for (at, user) in (1..).zip(users.iter_mut()) {
        user.reseed(Rng::new(seed, at));
    }
    let (mut ops, mut used) = (Ops::default(), Ops::default());
    for _ in 0..MOST_CALLS {
        unless_interrupted()?;
        machine.bind_cpu(Some(USER));
        let before = current();
        for user in users.iter_mut() {
            W::use_memory(machine, user)?;
        }
        // The users' batches are drained first, so that the migrator does not pay for them.
        machine.lru_drain_local();
        used = used.plus(current().minus(before));
        machine.bind_cpu(Some(MIGRATOR));
        let before = current();
        let moved = W::gauge(migrator).total.migrated;
        W::migrate(machine, migrator)?;
        atomics(config.planted.atomics, W::gauge(migrator).total.migrated - moved);
        ops = ops.plus(current().minus(before));
        if W::gauge(migrator).total.migrated >= PAGES {
            break;
        }
    }
    let before = current();
    machine.lru_drain_local();
    ops = ops.plus(current().minus(before));
    let total = W::gauge(migrator).total;
    let mut accesses = 0;
    for user in users.iter_mut() {
        W::pause(machine, user)?;
        accesses += user.take_counts().accesses.iter().sum::<u64>();
    }
    audited(machine, &ledger_of(load))?;
    Ok(PageOps { migrated: total.migrated, ops: ops.minus(total.aside), accesses, used })
}

/// Counts the operations of a put under a release design: of a put that leaves other references,
/// and of the last put.
///
/// # Errors
/// The errors of building the machine.
pub fn count_puts(config: &LoadConfig) -> Result<PutOps, LoadError> {
    let profile = config.choices()?;
    enter_thread()?;
    let shape = Config { backed: false, profile, ..Config::new(1, 2 * PUTS) };
    Ok(count_puts_of(&Machine::<Chosen>::new(&shape)?)?)
}

fn count_puts_of<R: Release>(machine: &Machine<R>) -> Result<PutOps, Error> {
    let pages: Vec<Pfn> = (0..PUTS).map(|_| machine.alloc_pages(0, 0)).collect::<Result<_, _>>()?;
    let put_all = || {
        let before = current();
        for &page in &pages {
            machine.put(page);
        }
        current().minus(before)
    };
    for &page in &pages {
        machine.frames[page].get(page);
    }
    Ok(PutOps { puts: PUTS, kept: put_all(), last: put_all() })
}
