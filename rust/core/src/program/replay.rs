//! A script replayed as the kernel lab runs it: one process, step by step, each with everything that
//! a recording of a real kernel has.

use super::ballast::Ballast;
use super::caught::guarded;
use super::session::{Access, Actor, Observed, Observer, Session, Step};
use super::setup::{Defaults, SetupError};
use super::watch::{Go, watched};
use super::{Boot, MachineSpec, Op, Program, Refused};
use crate::audit::Finding;
use crate::machine::Config;
use crate::release::Chosen;
use crate::stat::{Event, NodeItem};
use crate::sync::{Stopped, rest, stoppable};
use serde::Serialize;

/// One operation: what it returned, and what could be seen afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayStep {
    /// Its number, from 0.
    pub i: usize,
    /// The line.
    pub op: String,
    /// What it returned.
    #[serde(flatten)]
    pub step: Step,
    /// What changed.
    #[serde(flatten)]
    pub observed: Observed,
}

/// What is left when everything is unmapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Poisoned memory, in KiB.
    pub hwc_kb: i64,
    /// `nr_isolated_anon` and `nr_isolated_file`.
    pub isolated: [i64; 2],
    /// Pages migrated since the start.
    pub pgmigrate_success: i64,
    /// Pages that could not be.
    pub pgmigrate_fail: i64,
}

/// A script, replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// The steps, up to the first that this machine cannot do, or at which a rule was broken.
    pub steps: Vec<ReplayStep>,
    /// Why there are no more, if the machine cannot do the next operation.
    pub unsupported: Option<String>,
    /// Broken rules.
    pub findings: Vec<Finding>,
    /// Operations that did nothing of what they say.
    pub refused: Vec<Refused>,
    /// The end, if the whole script was done.
    #[serde(rename = "final")]
    pub balance: Option<Balance>,
}

/// Replays a script on the lab's machine (two nodes of 256 MiB, two CPUs, the script on the first),
/// changed as `by` says. The caller is asked now and then whether to go on.
///
/// # Errors
/// If the program has threads, or the machine cannot be made; if the caller stopped it.
pub fn replay(
    program: &Program,
    by: &MachineSpec,
    ask: &mut dyn FnMut() -> Go,
) -> Result<Replay, SetupError> {
    if !program.threads.is_empty() || !program.finally.is_empty() {
        return Err(SetupError("a replay has one sequence of operations, no threads".into()));
    }
    let (mut config, _) = program.configured(by, &Defaults::RUN)?;
    config.calls = true;
    let program = program.clone();
    watched(ask, move |watch| {
        let stopped = |_: Stopped| SetupError("the replay was stopped".into());
        stoppable(&watch.stop, || on_machine(&config, &program)).map_err(stopped)?
    })
}

fn on_machine(config: &Config, program: &Program) -> Result<Replay, SetupError> {
    let refused = |error: crate::error::Error| SetupError(error.why.to_string());
    let session = Session::<Chosen>::new(config).map_err(refused)?;
    session.machine().bind_cpu(Some(0));
    let ballast = match program.boot {
        Some(Boot { ballast: false }) => None,
        _ => Some(Ballast::load(session.machine()).map_err(refused)?),
    };
    Ok(steps(&session, program, ballast))
}

fn steps(session: &Session<Chosen>, program: &Program, ballast: Option<Ballast>) -> Replay {
    let mut replay = Replay::default();
    let mut actor = Actor::program();
    let mut observer = Observer::default();
    for (i, op) in program.setup.iter().enumerate() {
        rest();
        let done = guarded(|| {
            observer.before(session, &actor);
            let mut step = session.step(&mut actor, op);
            expected_zeroes(op, &mut step);
            let observed = observer.after(session, &actor, op, &step);
            ReplayStep { i, op: op.to_string(), step, observed }
        });
        let row = match done {
            Ok(row) => row,
            Err(finding) => {
                replay.findings.push(finding);
                return replay;
            }
        };
        if row.step.is_unsupported() {
            replay.unsupported = row.step.problem.map(|problem| problem.to_string());
            return replay;
        }
        replay.findings.extend(row.step.findings.iter().cloned());
        if !row.step.did_anything(op) {
            replay.refused.push(Refused::new(("setup", i, op), row.step.errnos(), row.step.why()));
        }
        replay.steps.push(row);
    }
    let ended = guarded(|| {
        ballast.into_iter().for_each(|ballast| ballast.drop(session.machine()));
        session.end(&mut actor)
    });
    replay.findings.extend(ended.unwrap_or_else(|finding| vec![finding]));
    replay.balance = Some(balance(session));
    replay
}

/// A recording says `zero` only where something else was expected, and of a child only whether it could
/// read.
fn expected_zeroes(op: &Op, step: &mut Step) {
    if step.findings.is_empty() {
        let child = matches!(op, Op::Cread { .. });
        let fine = |access: &Access| match access {
            Access::Zero => true,
            Access::Any | Access::Lost => child,
            _ => false,
        };
        step.acc.iter_mut().filter(|access| fine(access)).for_each(|access| *access = Access::Ok);
    }
}

fn balance(session: &Session<Chosen>) -> Balance {
    let stats = session.machine().stats();
    let isolated = |item| (0..session.machine().nodes().len()).map(|node| stats.on_node(node, item)).sum();
    Balance {
        hwc_kb: session.machine().num_poisoned_pages() * (crate::page::PAGE_SIZE / 1024) as i64,
        isolated: [isolated(NodeItem::IsolatedAnon), isolated(NodeItem::IsolatedFile)],
        pgmigrate_success: stats.events(Event::PgmigrateSuccess),
        pgmigrate_fail: stats.events(Event::PgmigrateFail),
    }
}
