//! Tiering: the accesses of a real program over a fast and a slow node.
//!
//! # The threads
//!
//! ```text
//!   user thread: replays its part of the trace ----- "this slow page is hot" ---> mailbox
//!                                                                                    |
//!   migrator thread: fast node short of free frames? demote the tail of its <--------+
//!                    inactive list; then promote the pages of the mailbox
//! ```
//!
//! Each page belongs to one user thread, which a hash of the page's number chooses. Every page is
//! therefore accessed in the order of the trace, however the threads run. A thread that has reached
//! the end of its part begins again.
//!
//! Migrations run on threads of their own, not inline in the access that finds a slow page. The
//! cost of migrations is then the CPU time of these threads, and pages move while other threads use
//! them, which is the condition under which the designs are compared. In the kernel the reclaim
//! thread demotes, and NUMA faults promote inline.
//!
//! With a [`Policy`] of the user, the policy alone decides which pages move: see `policy`.
//!
//! # What is checked
//!
//! The value of a store follows from its position in the trace and its place in memory, and a load
//! accepts only a value that some store writes to this place. At the end every byte must equal the
//! byte of a plain array after the same stores.
//!
//! Both nodes are DRAM of this host, so the time of the accesses is modelled: accesses × latency.

mod migrator;
mod place;
mod policy;
mod replay;
mod user;

use super::config::LoadConfig;
use super::fault::{Finding, LoadError};
use super::gauge::Gauge;
use super::poison;
use super::rig::{Mounted, Workload};
use crate::machine::{Config, Machine};
use crate::map::AddressSpace;
use crate::release::Release;
use crate::sync::{Lock, LockClass};
use migrator::Migrator;
use place::Place;
use policy::Director;
pub use policy::{Decision, Epoch, Policy};
use replay::Part;
pub use replay::Trace;
use std::sync::Arc;
use std::time::{Duration, Instant};
use user::User;

/// The fewest migrations from which a difference of designs can be measured.
const NEEDED: u64 = 1000;
/// The time in which a trace must cause these migrations. Every trace gets at least one pass.
const PROBE: Duration = Duration::from_secs(1);
/// The time of one round of the probe.
const SLICE: Duration = Duration::from_millis(50);
/// The factor by which the probe is longer for a trace that has moved some pages already, because
/// the host may give its threads little time.
const PATIENCE: u32 = 8;
/// The fewest frames of a fast node. The free frames of a smaller node could all be in the per-CPU
/// arrays, which hold two frames a CPU.
const SMALLEST_FAST: u32 = 16;

/// The load `tiering`.
#[derive(Debug)]
pub(super) struct Tiering {
    space: Arc<AddressSpace>,
    place: Arc<Place>,
    migrators: Vec<Migrator>,
    users: Vec<User>,
    accesses: usize,
}

impl Tiering {
    /// Builds a machine without mapped pages, and assigns the trace's accesses to the users.
    pub fn set_up<R: Release>(
        config: &LoadConfig,
        trace: Trace,
        policy: Option<Arc<dyn Policy>>,
    ) -> Result<(Machine<R>, Tiering), LoadError> {
        trace.check()?;
        let footprint = trace.footprint();
        let fast = (f64::from(footprint) * config.fast_share).ceil() as u32;
        let shape = config.machine(&[fast, footprint + footprint / 8 + 1024])?;
        fits(&shape, footprint)?;
        let machine = Machine::new(&shape)?;
        let space = machine.address_space()?;
        let area = machine.mmap(&space, footprint)?;
        machine.prefer(&area, 0)?;
        let mailbox = || Lock::new(LockClass::Leaf, Vec::new());
        let place = Arc::new(Place {
            area,
            mailboxes: (0..config.migrators).map(|_| mailbox()).collect(),
            director: policy.map(|policy| Director::new(policy, footprint)),
        });
        let gauge = Gauge::new(config.planted.slowdown);
        let migrators =
            (0..config.migrators).map(|me| Migrator::new(&place, me, gauge.clone(), config)).collect();
        let users = Part::deal(&trace, config.mutator_count())
            .into_iter()
            .enumerate()
            .map(|(me, part)| User::new(&place, me, part, config.copy))
            .collect();
        Ok((machine, Tiering { space, place, migrators, users, accesses: trace.ids.len() }))
    }

    /// Returns the number of passes that the slowest user has completed over its part.
    fn passes(&self) -> u64 {
        self.users.iter().map(User::passes).min().unwrap_or(0)
    }
}

/// Refuses nodes that cannot hold the trace's pages, and a fast node that is too small.
fn fits(shape: &Config, footprint: u32) -> Result<(), LoadError> {
    let fast = shape.nodes[0].frames;
    if fast < SMALLEST_FAST {
        return Err(LoadError::Config(format!(
            "the trace uses {footprint} pages, and a fast node of {fast} pages is too small: \
             {SMALLEST_FAST} is the least; trace a program that uses more memory, or give the fast \
             node more"
        )));
    }
    let total: u64 = shape.nodes.iter().map(|node| u64::from(node.frames)).sum();
    let needed = u64::from(footprint) + u64::from(footprint / 16) + 512;
    if total < needed {
        return Err(LoadError::Config(format!(
            "the nodes have {total} pages together, the trace's {footprint} need {needed}: give larger nodes"
        )));
    }
    Ok(())
}

impl Workload for Tiering {
    type Migrator = Migrator;
    type User = User;

    /// Runs the load until the trace has caused enough migrations, and refuses a trace that causes too
    /// few. Under a policy of the user one pass over the trace is enough.
    fn warm_up<R: Release>(rig: &mut Mounted<R, Tiering>) -> Result<(), LoadError> {
        let start = Instant::now();
        let mut migrated = 0;
        while migrated < NEEDED {
            // A policy may move as few pages as it wants.
            if rig.load.place.director.is_some() && rig.load.passes() > 0 {
                return Ok(());
            }
            let patience = if migrated > 0 { PROBE * PATIENCE } else { PROBE };
            if rig.load.passes() > 0 && start.elapsed() >= patience {
                let node = rig.machine.nodes()[0].frames;
                let footprint = rig.load.place.area.pages();
                let advice = match footprint <= node {
                    true => format!("the fast node holds {node} pages and so all of it: make it smaller"),
                    false => format!(
                        "a fast node of {node} pages is enough for what is used often: make it smaller, or \
                         trace a program that uses more memory"
                    ),
                };
                let accesses = rig.load.accesses;
                return Err(LoadError::TooFewMigrations {
                    migrated,
                    needed: NEEDED,
                    accesses,
                    footprint,
                    advice,
                });
            }
            migrated += rig.round_without_copies(rig.config.seed, SLICE)?.migrated;
        }
        Ok(())
    }

    fn members(&mut self) -> (&mut Vec<Migrator>, &mut Vec<User>) {
        (&mut self.migrators, &mut self.users)
    }

    fn gauge(migrator: &mut Migrator) -> &mut Gauge {
        &mut migrator.gauge
    }

    fn migrate<R: Release>(machine: &Machine<R>, migrator: &mut Migrator) -> Result<bool, Finding> {
        Ok(migrator.step(machine))
    }

    fn use_memory<R: Release>(machine: &Machine<R>, user: &mut User) -> Result<(), Finding> {
        user.step(machine)
    }

    fn verify<R: Release>(&mut self, machine: &Machine<R>) -> Result<u64, Finding> {
        replay::verify(machine, &self.place.area, self.users.iter().map(User::part))
    }

    fn tear_down<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        machine.exit(&self.space);
        poison::relieve_all(machine)
    }
}
