//! What a migrated page costs in operations: the same loads, one operation after the other on one thread,
//! so that every run counts the same.
//!
//! Only the counting build (`mmcore-counted`) counts anything; the other builds run the load and report
//! zeros. Migrator and users are on CPUs of their own, as in a round: what a design leaves in a batch of
//! the migrator's CPU is drained, and paid for, by the migrator.

use super::config::{Load, LoadConfig};
use super::crew::guarded;
use super::fault::{Failed, Finding, LoadError};
use super::rig::{Member, Workload, needed};
use super::storm::Storm;
use super::tiering::{Tiering, Trace};
use crate::audit::Ledger;
use crate::error::Error;
use crate::machine::{Config, Machine, enter_thread};
use crate::page::Pfn;
use crate::release::{Chosen, Release};
use crate::rng::Rng;
use crate::sync::ops::{Ops, current};
use serde::Serialize;

/// Pages migrated before the count ends.
const PAGES: u64 = 10_000;
/// Calls after which a load that hardly migrates is given up.
const MOST_CALLS: u64 = 40_000;
/// Puts of each kind.
const PUTS: u32 = 1000;

/// Operations of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PageOps {
    /// Pages that arrived on another node.
    pub migrated: u64,
    /// What the migrator did for them: failed attempts and drains included, choosing them by their age not.
    #[serde(flatten)]
    pub ops: Ops,
}

/// What a release design costs every put, averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PutOps {
    /// Puts of each kind.
    pub puts: u32,
    /// Operations of all puts that leave other references.
    pub kept: Ops,
    /// Operations of all puts that free a page which is on no list.
    pub last: Ops,
}

impl PageOps {
    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

impl PutOps {
    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

/// Counts the operations of a load under one configuration. There is one
/// migrator, whatever it says.
///
/// # Errors
/// As opening and running the load.
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
    }
}

/// CPUs of the two roles.
const MIGRATOR: usize = 0;
const USER: usize = 1;

fn count<R: Release, W: Workload>(
    config: &LoadConfig,
    machine: &Machine<R>,
    mut load: W,
) -> Result<PageOps, LoadError> {
    let bound = machine.bind_cpu(None);
    let counted = guarded("the count", || count_pages(config.seed, machine, &mut load));
    machine.bind_cpu(bound);
    counted.map_err(|finding| {
        let (design, seed, command) = (machine.profile().release.name(), config.seed, config.repeat());
        LoadError::Failed(Box::new(Failed { finding, design, seed, command }))
    })
}

fn count_pages<R: Release, W: Workload>(
    seed: u64,
    machine: &Machine<R>,
    load: &mut W,
) -> Result<PageOps, Finding> {
    let (migrators, users) = load.members();
    let migrator = &mut migrators[0];
    migrator.reseed(Rng::new(seed, 0));
    for (at, user) in (1..).zip(users.iter_mut()) {
        user.reseed(Rng::new(seed, at));
    }
    let mut ops = Ops::default();
    for _ in 0..MOST_CALLS {
        machine.bind_cpu(Some(USER));
        for user in users.iter_mut() {
            W::use_memory(machine, user)?;
        }
        // The users' pages that wait in a batch are theirs to drain.
        machine.lru_drain_local();
        machine.bind_cpu(Some(MIGRATOR));
        let before = current();
        W::migrate(machine, migrator);
        ops = ops.plus(current().since(before));
        if W::gauge(migrator).total.migrated >= PAGES {
            break;
        }
    }
    let before = current();
    machine.lru_drain_local();
    ops = ops.plus(current().since(before));
    for user in users.iter_mut() {
        W::pause(machine, user)?;
    }
    machine.lru_drain_all();
    let findings = machine.audit(&Ledger::default());
    if !findings.is_empty() {
        return Err(Finding::Audit(findings.iter().map(ToString::to_string).collect()));
    }
    let total = W::gauge(migrator).total;
    Ok(PageOps { migrated: total.migrated, ops: ops.since(total.choosing) })
}

/// What a release design makes of every put: of one that leaves others, and of the last.
///
/// # Errors
/// As building the machine.
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
        current().since(before)
    };
    for &page in &pages {
        machine.frames[page].get(page);
    }
    Ok(PutOps { puts: PUTS, kept: put_all(), last: put_all() })
}
