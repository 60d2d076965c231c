//! Replays a script as the recorded guest runs it: one process, step by step, with all observables of a
//! recording of a real kernel.

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
use crate::sync::{Stopped, stop_point, stoppable};
use serde::Serialize;

/// A step of a replay: the result of an operation, and the changes that could be observed
/// afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayStep {
    /// The number of the step, from 0.
    pub i: usize,
    /// The operation's line.
    pub op: String,
    /// The result of the operation.
    #[serde(flatten)]
    pub step: Step,
    /// The observed changes.
    #[serde(flatten)]
    pub observed: Observed,
}

/// The state that is left after everything is unmapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Poisoned memory, in KiB.
    pub hwc_kb: i64,
    /// `nr_isolated_anon` and `nr_isolated_file`.
    pub isolated: [i64; 2],
    /// Pages migrated since the start.
    pub pgmigrate_success: i64,
    /// Pages that could not be migrated.
    pub pgmigrate_fail: i64,
}

/// The replay of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// The steps, up to the first that this machine does not support, or that a broken rule has
    /// ended.
    pub steps: Vec<ReplayStep>,
    /// The reason why the next operation is not supported.
    pub unsupported: Option<String>,
    /// Broken rules.
    pub findings: Vec<Finding>,
    /// Operations that had no effect.
    pub refused: Vec<Refused>,
    /// The final balance, if the whole script was performed.
    #[serde(rename = "final")]
    pub balance: Option<Balance>,
}

/// The frames of a node that the kernel itself uses from a step of the script on. Each such frame
/// has the letter of its [`Kind`](crate::layout::Kind); all other frames have `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelPages {
    /// The number of the step, from 0.
    pub step: usize,
    /// The node.
    pub node: usize,
    /// A letter for each frame of the node.
    pub letters: Vec<u8>,
}

/// Replays a script on the guest's machine (two nodes of 256 MiB, two CPUs, the script on the first), changed
/// by `overrides`. Before each step that `kernel` names, the kernel allocates and frees pages of its own, so
/// that exactly the named frames hold such pages. Calls `ask` regularly to learn whether to go on.
///
/// # Errors
/// If the program has threads, if the machine cannot be made, or if the caller stopped the replay.
pub fn replay(
    program: &Program,
    overrides: &MachineSpec,
    kernel: Vec<KernelPages>,
    ask: &mut dyn FnMut() -> Go,
) -> Result<Replay, SetupError> {
    if !program.threads.is_empty() || !program.finally.is_empty() {
        return Err(SetupError(
            "a program with threads or `finally` has no single sequence to replay: take them out".into(),
        ));
    }
    let (mut config, _) = program.configured(overrides, &Defaults::RUN)?;
    config.calls = true;
    let program = program.clone();
    watched(ask, move |watch| {
        let stopped = |_: Stopped| SetupError("the replay was stopped".into());
        stoppable(&watch.stop, || on_machine(&config, &program, &kernel)).map_err(stopped)?
    })
}

fn on_machine(config: &Config, program: &Program, kernel: &[KernelPages]) -> Result<Replay, SetupError> {
    let refused = |error: crate::error::Error| SetupError(error.why.to_string());
    let session = Session::<Chosen>::for_program(config, program).map_err(refused)?;
    session.machine().bind_cpu(Some(0));
    let mut actor = Actor::program();
    // The pages that the kernel has from the beginning on take their frames before the ballast does.
    let (first, later): (Vec<_>, Vec<_>) = kernel.iter().partition(|pages| pages.step == 0);
    for KernelPages { node, letters, .. } in first {
        session.hold_kernel_pages(&mut actor, *node, letters).map_err(refused)?;
    }
    let ballast = match program.boot {
        Some(Boot { ballast: false }) => None,
        _ => Some(Ballast::load(session.machine()).map_err(refused)?),
    };
    steps(&session, program, &later, actor, ballast).map_err(refused)
}

fn steps(
    session: &Session<Chosen>,
    program: &Program,
    kernel: &[&KernelPages],
    mut actor: Actor,
    ballast: Option<Ballast>,
) -> crate::error::Result<Replay> {
    let mut replay = Replay::default();
    let mut observer = Observer::default();
    for (i, op) in program.setup.iter().enumerate() {
        stop_point();
        for KernelPages { node, letters, .. } in kernel.iter().filter(|pages| pages.step == i) {
            session.hold_kernel_pages(&mut actor, *node, letters)?;
        }
        let done = guarded(|| {
            observer.before(session, &actor);
            let mut step = session.step(&mut actor, op);
            // Layouts are recorded on guests with a third node. Only these guests make page tables beside the
            // script.
            if session.machine().nodes().len() > 2 && step.problem.is_none() {
                step.findings.extend(session.make_page_tables(&actor, op).err().map(out_of_memory));
            }
            expected_zeroes(op, &mut step);
            let observed = observer.after(session, &actor, op, &step);
            // The observer reports the moves if the script asks for them.
            step.moves.clear();
            ReplayStep { i, op: op.to_string(), step, observed }
        });
        let row = match done {
            Ok(row) => row,
            Err(finding) => {
                replay.findings.push(finding);
                return Ok(replay);
            }
        };
        if row.step.is_unsupported() {
            replay.unsupported = row.step.problem.map(|problem| problem.to_string());
            return Ok(replay);
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
    Ok(replay)
}

/// Makes the finding for a page of the recording program itself that could not be allocated.
fn out_of_memory(error: crate::error::Error) -> Finding {
    Finding { rule: "the replay has memory for its own pages", pfn: None, detail: error.to_string() }
}

/// Replaces expected zeroes by `ok`, because a recording has `zero` only where other content was
/// expected. For a child, a recording tells only whether the read succeeded.
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
