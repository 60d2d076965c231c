//! A program as a world: its set-up runs once, and its threads are explored.

use super::kind::kind_of;
use super::owners::{Brought, fresh};
use super::reckoned::Baseline;
use super::serial::{Answer, InTurns, Oracle, Outcome, Serial, Turns, stands_for};
use super::tally::Tally;
use super::world::World;
use super::{Checks, Digest, Explorer, Options, Violation, operation};
use crate::audit::{Auditor, Finding};
use crate::lru::model;
use crate::machine::Config;
use crate::page::{lives, reckon};
use crate::program::session::{Actor, Session, Step, Visible};
use crate::program::{MemoryModel, Movable, Op, Program};
use crate::release::Chosen;
use crate::sync::explored::{FIRST_BUFFER, caught, note_operation_end};
use crate::sync::{Ordering, broken, fence};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

/// The end states of a world's schedules, by fingerprint.
pub(super) type EndStates = Rc<RefCell<HashMap<u64, Value>>>;

/// A program set up on a machine of its own.
pub struct ProgramWorld {
    session: Session<Chosen>,
    threads: Vec<Vec<Op>>,
    finally: Vec<Op>,
    cpus: Vec<usize>,
    /// True if stores are delayed in buffers.
    buffers_stores: bool,
    /// The owners that the caller brought along.
    owners: Vec<Arc<Brought>>,
    /// True if an operation forks.
    forks: bool,
    /// True if end states get a fingerprint.
    fingerprints: bool,
    /// Collects the end states, if wanted.
    end_states: Option<EndStates>,
    /// Records which operations had an effect, if wanted.
    tally: Option<Arc<Tally>>,
    /// The counters after the set-up, with which the reckoner's sums begin.
    baseline: Baseline,
    /// The program and its machine, of which an oracle is made.
    origin: Rc<(Program, Config, Vec<usize>)>,
    /// The check of serial answers, if wanted.
    serial: Option<RefCell<SerialCheck>>,
    /// The order that the threads follow, if the world is the oracle of such a check.
    turns: Option<Rc<Turns>>,
    own: RefCell<ScheduleState>,
    /// True if all threads of the last schedule had ended.
    ended: Cell<bool>,
}

/// The state of the last schedule's threads. It does not go through `crate::sync`, so that using it
/// takes no step; each schedule makes it anew.
struct ScheduleState {
    #[allow(clippy::vec_box, reason = "an actor is large, and goes to its thread and back in each schedule")]
    threads: Vec<Box<Actor>>,
    /// For each thread an actor that takes its place while it runs.
    idle: Vec<Option<Box<Actor>>>,
    program: Actor,
    auditor: Auditor,
    /// A hash of the results of each thread's operations.
    outcomes: Vec<u64>,
    /// The results as data, those of `finally` last; only if end states are collected.
    steps: Vec<Vec<Value>>,
    /// The answers of each thread's operations, and the state that the threads left; only for the check of
    /// serial answers.
    outcome: Outcome,
}

impl ScheduleState {
    /// Takes a thread's actor. A thread that is abandoned in the middle does not give its actor back.
    fn take(&mut self, thread: usize) -> Box<Actor> {
        let idle = self.idle[thread].take().unwrap_or_else(|| Box::new(Actor::thread(thread)));
        std::mem::replace(&mut self.threads[thread], idle)
    }

    fn give_back(&mut self, thread: usize, actor: Box<Actor>) {
        self.idle[thread] = Some(std::mem::replace(&mut self.threads[thread], actor));
    }
}

/// The check of serial answers, and the program that its oracle is made of.
struct SerialCheck {
    serial: Serial,
    oracle: Option<Box<ProgramOracle>>,
}

/// A second world of the program, whose threads take turns.
struct ProgramOracle {
    explorer: Explorer<ProgramWorld>,
    turns: Rc<Turns>,
}

impl Oracle for ProgramOracle {
    fn perform(&mut self) -> Option<Visible> {
        self.turns.clear();
        let run = self.explorer.run(&mut InTurns(&self.turns));
        let world = self.explorer.world();
        run.outcome.is_ok().then(|| std::mem::take(&mut world.own.borrow_mut().outcome.end))
    }
}

/// The place of the outcomes in the digest: no thread has this number, and no object this address.
const OUTCOMES: usize = 1 << 9;

/// The place of the reckoner's sums in the digest.
const RECKONED: usize = OUTCOMES + 1;

/// The place of the compared answers in the digest.
const ANSWERS: usize = RECKONED + 1;

/// The reason why a program could not be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorldError {
    /// The program asks for something that the machine does not have.
    Refused(String),
    /// The set-up broke a rule.
    Broken(Violation),
}

impl ProgramWorld {
    /// Sets a program up on a machine like `config`, its threads on these CPUs.
    pub fn new(program: &Program, config: &Config, cpus: &[usize]) -> Result<ProgramWorld, WorldError> {
        if program.threads.is_empty() {
            return Err(WorldError::Refused(
                "the program has no threads: there is nothing to explore".into(),
            ));
        }
        let memory = program.machine.as_ref().and_then(|machine| machine.memory);
        let buffers_stores = memory == Some(MemoryModel::Tso);
        if buffers_stores && program.threads.len() > FIRST_BUFFER {
            return Err(WorldError::Refused(format!(
                "a program with memory=tso has {FIRST_BUFFER} threads at most, not {}: remove threads, or \
                 memory=tso",
                program.threads.len()
            )));
        }
        let mut session = Session::for_program(config, program)
            .map_err(|error| WorldError::Refused(error.why.to_string()))?;
        let owners = brought(program).map_err(WorldError::Refused)?;
        owners.iter().for_each(|(name, owner)| session.bring_owner(*name, owner.clone()));
        let baseline = Baseline::of(session.machine());
        let mut world = ProgramWorld {
            session,
            threads: program.threads.iter().map(|thread| thread.ops.clone()).collect(),
            finally: program.finally.clone(),
            cpus: cpus.to_vec(),
            buffers_stores,
            owners: owners.into_iter().map(|(_, owner)| owner).collect(),
            forks: program.ops().any(|op| matches!(op, Op::Fork { .. })),
            fingerprints: false,
            end_states: None,
            tally: None,
            baseline,
            origin: Rc::new((program.clone(), config.clone(), cpus.to_vec())),
            serial: None,
            turns: None,
            own: RefCell::new(ScheduleState {
                threads: (0..program.threads.len()).map(|thread| Box::new(Actor::thread(thread))).collect(),
                idle: (0..program.threads.len()).map(|_| None).collect(),
                program: Actor::program(),
                auditor: Auditor::default(),
                outcomes: Vec::new(),
                steps: vec![Vec::new(); program.threads.len() + 1],
                outcome: Outcome { answers: vec![Vec::new(); program.threads.len()], ..Outcome::default() },
            }),
            ended: Cell::new(false),
        };
        world.set_up(&program.setup)?;
        world.owners.iter().for_each(|owner| owner.settle());
        world.baseline = Baseline::of(world.session.machine());
        Ok(world)
    }

    /// The check of serial answers, or the reason why the program's schedules are not checked by it.
    fn serial_check(&self) -> Result<Serial, &'static str> {
        if !self.owners.is_empty() {
            return Err("an owner in Python answers only once");
        }
        Serial::new(&self.origin.0, &self.origin.1)
    }

    /// The reason why no order is searched for the answers of this program's schedules; `None` if all are
    /// checked.
    pub(super) fn unordered(&self) -> Option<&'static str> {
        self.serial_check().err()
    }

    /// The owners that the caller brought along.
    pub(super) fn owners(&self) -> &[Arc<Brought>] {
        &self.owners
    }

    fn set_up(&mut self, ops: &[Op]) -> Result<(), WorldError> {
        let mut program = Actor::program();
        self.session.machine().bind_cpu(Some(0));
        for op in ops {
            // A rule may break in the set-up already, outside of any schedule.
            let step = match caught(|| self.session.step(&mut program, op)) {
                Ok(step) => step,
                Err(violation) => return Err(WorldError::Broken(violation)),
            };
            if let Some(finding) = step.findings.first() {
                return Err(WorldError::Broken(violation(finding)));
            }
            // A fault that the set-up asks for is meant to make an operation fail, so the failure is accepted
            // if the fault has struck.
            if let Some(problem) = step.problem.filter(|_| step.fault.is_none_or(|struck| struck == 0)) {
                return Err(WorldError::Refused(format!("the set-up cannot `{op}`: {problem}")));
            }
        }
        self.session.publish(program);
        Ok(())
    }

    /// True if all threads of the last schedule had ended, so that a violation was found by the
    /// check after them.
    pub fn ended(&self) -> bool {
        self.ended.get()
    }

    /// Gives end states a fingerprint of the operations' results and the pages' states.
    #[must_use]
    pub fn with_fingerprints(mut self) -> Self {
        self.fingerprints = true;
        self
    }

    /// Like [`ProgramWorld::with_fingerprints`], and collects each end state by its fingerprint.
    #[must_use]
    pub(super) fn with_outcomes(mut self, end_states: EndStates) -> Self {
        self.end_states = Some(end_states);
        self.with_fingerprints()
    }

    /// Records the results of the operations in `tally`.
    #[must_use]
    pub(super) fn with_tally(mut self, tally: &Arc<Tally>) -> Self {
        self.tally = Some(Arc::clone(tally));
        self
    }

    /// Runs thread `thread` of an oracle.
    fn run_in_turns(&self, thread: usize, actor: &mut Actor, turns: &Turns) {
        // The fault that the thread has asked for, kept until its next operation. The drain with which that
        // operation begins is a unit before it, and must not meet the fault.
        let mut fault = None;
        for (number, unit) in turns.units()[thread].iter().enumerate() {
            // The fence is a step, at which the thread waits for its turn. SeqCst: the ordering has no
            // meaning here.
            fence(Ordering::SeqCst);
            if !turns.is_performed() {
                if let Some(op) = unit.does.as_ref().and_then(stands_for) {
                    self.session.step(actor, &op);
                }
                turns.took(thread, number, None);
                continue;
            }
            let answer = match &unit.does {
                Some(op) => {
                    if let Some(times) = turns.strikes_in(thread, unit) {
                        self.session.give_fault(actor, fault, times);
                    }
                    let step = self.session.step(actor, op);
                    fault = self.session.take_fault(actor).or(fault);
                    if !step.findings.is_empty() {
                        turns.block();
                    }
                    Answer::of(&step)
                }
                None => {
                    self.session.leave(actor);
                    Answer::default()
                }
            };
            turns.took(thread, number, Some(answer));
        }
        self.session.leave(actor);
    }

    /// The visible end state, as data.
    fn state(&self, own: &ScheduleState) -> Value {
        json!({ "ops": own.steps, "end": self.session.end_state(&own.program) })
    }
}

/// The owners that the caller brought along for the movable pages of a program.
fn brought(program: &Program) -> Result<Vec<(Movable, Arc<Brought>)>, String> {
    let mut owners = Vec::new();
    for op in program.ops() {
        if let Op::Movable { owner, .. } = op
            && owners.iter().all(|(name, _)| name != owner)
            && let Some(fresh) = fresh(*owner)?
        {
            owners.push((*owner, fresh));
        }
    }
    Ok(owners)
}

/// The result of an operation, without the reason of a failure: a reason may contain frame numbers,
/// which differ between equal outcomes.
fn result_of(step: &Step) -> Value {
    let mut result = json!(step);
    if let Some(fields) = result.as_object_mut() {
        fields.remove("why");
    }
    result
}

fn violation(finding: &Finding) -> Violation {
    let place = finding.pfn.map(|pfn| format!("page {pfn}: ")).unwrap_or_default();
    Violation::new(finding.rule, format!("{place}{}", finding.detail))
}

impl World for ProgramWorld {
    fn threads(&self) -> usize {
        self.threads.len()
    }

    fn buffers_stores(&self) -> bool {
        self.buffers_stores
    }

    fn begin(&self) {
        self.owners.iter().for_each(|owner| owner.begin());
        reckon::clear();
        lives::clear();
        model::clear();
    }

    fn run(&self, thread: usize) {
        self.ended.set(false);
        reckon::open();
        lives::open();
        let mut actor = self.own.borrow_mut().take(thread);
        actor.reset();
        self.session.machine().bind_cpu(Some(self.cpus[thread]));
        if let Some(turns) = &self.turns {
            self.run_in_turns(thread, &mut actor, turns);
            self.own.borrow_mut().give_back(thread, actor);
            return;
        }
        let mut answers = Vec::new();
        let mut outcomes = DefaultHasher::new();
        let mut steps = Vec::new();
        for (number, op) in self.threads[thread].iter().enumerate() {
            operation(number as u32);
            let step = self.session.step(&mut actor, op);
            note_operation_end();
            if let Some(finding) = step.findings.first() {
                let Violation { rule, detail } = violation(finding);
                broken(rule, format_args!("`{op}`: {detail}"));
            }
            if let Some(tally) = &self.tally {
                tally.add(thread, number, op, &step);
            }
            if self.fingerprints {
                let Step { ret, errno, status, calls_ret, acc, isolated, .. } = &step;
                (ret, errno, status, calls_ret, acc, isolated).hash(&mut outcomes);
            }
            if self.end_states.is_some() {
                steps.push(result_of(&step));
            }
            if self.serial.is_some() {
                answers.push(Answer::of(&step));
            }
        }
        self.session.leave(&mut actor);
        let mut own = self.own.borrow_mut();
        own.give_back(thread, actor);
        if self.fingerprints {
            own.outcomes.resize(self.threads.len(), 0);
            own.outcomes[thread] = outcomes.finish();
            own.steps[thread] = steps;
        }
        if self.serial.is_some() {
            own.outcome.answers[thread] = answers;
        }
    }

    fn check(&self) -> Result<(), Violation> {
        self.ended.set(true);
        let ScheduleState { threads, program, auditor, steps, outcome, .. } = &mut *self.own.borrow_mut();
        self.session.join_into(program, threads);
        if self.serial.is_some() || self.turns.is_some() {
            outcome.end = self.session.visible(program);
        }
        if self.turns.is_some() {
            return Ok(());
        }
        self.session.machine().bind_cpu(Some(0));
        let after = &mut steps[self.threads.len()];
        after.clear();
        for (number, op) in self.finally.iter().enumerate() {
            let step = self.session.step(program, op);
            if let Some(tally) = &self.tally {
                tally.add(self.threads.len(), number, op, &step);
            }
            if self.end_states.is_some() {
                after.push(result_of(&step));
            }
            if let Some(finding) = step.findings.first() {
                return Err(violation(finding));
            }
        }
        let mut findings = self.session.check(program, auditor);
        if !self.forks {
            self.session.check_held(program, &mut findings);
        }
        self.baseline.check(self.session.machine(), &mut findings);
        match findings.first() {
            Some(finding) => Err(violation(finding)),
            None => Ok(()),
        }
    }

    fn digest_into(&self, digest: &mut Digest) -> bool {
        self.ended.set(true);
        let own = self.own.borrow();
        if self.fingerprints {
            digest.add_hash(OUTCOMES, &own.outcomes);
        }
        if self.serial.is_some() {
            digest.add_hash(ANSWERS, &own.outcome.answers);
        }
        if reckon::is_open() {
            reckon::digest_into(digest, RECKONED);
        }
        // The state of an owner that the caller brought along is not known here.
        self.owners.is_empty()
            && self.turns.is_none()
            && own.threads.iter().all(|thread| thread.digest_into(digest))
    }

    fn fingerprint(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        if self.serial.is_some() {
            self.own.borrow().outcome.hash(&mut hash);
        }
        if !self.fingerprints {
            return if self.serial.is_some() { hash.finish() } else { 0 };
        }
        if let Some(end_states) = &self.end_states {
            let state = self.state(&self.own.borrow());
            state.to_string().hash(&mut hash);
            let fingerprint = hash.finish();
            end_states.borrow_mut().insert(fingerprint, state);
            return fingerprint;
        }
        self.own.borrow().outcomes.hash(&mut hash);
        self.session.fingerprint(&mut hash);
        hash.finish()
    }

    fn check_as(&mut self, checks: Checks) {
        let wanted = checks == Checks::All && self.end_states.is_none();
        let serial = wanted.then(|| self.serial_check().ok()).flatten();
        self.serial = serial.map(|serial| RefCell::new(SerialCheck { serial, oracle: None }));
    }

    fn judge(&self, fingerprint: u64) -> Result<(), Violation> {
        let Some(check) = &self.serial else { return Ok(()) };
        let check = &mut *check.borrow_mut();
        let (program, config, cpus) = &*self.origin;
        let verdict = match check.serial.known(fingerprint) {
            Some(verdict) => verdict.clone(),
            None => {
                let oracle = check.oracle.get_or_insert_with(|| {
                    let turns = Rc::new(Turns::new(Serial::units(program)));
                    let world = ProgramWorld::new(program, config, cpus);
                    let world = world.expect("the same set-up has succeeded before");
                    let world = ProgramWorld { turns: Some(Rc::clone(&turns)), ..world };
                    let options = Options { checks: Checks::State, ..Options::default() };
                    Box::new(ProgramOracle { explorer: Explorer::with_options(world, options), turns })
                });
                let turns = Rc::clone(&oracle.turns);
                let own = self.own.borrow();
                check.serial.judge(fingerprint, program, &own.outcome, &turns, oracle.as_mut())
            }
        };
        verdict.map_or(Ok(()), Err)
    }

    fn label(&self, address: usize) -> Option<String> {
        let own = self.own.borrow();
        let of_owner = || self.owners.iter().find_map(|owner| owner.label(address));
        self.session
            .label(address, own.threads.iter().map(|thread| &**thread).chain([&own.program]))
            .or_else(of_owner)
    }

    fn holder(&self, address: usize) -> Option<String> {
        let own = self.own.borrow();
        self.session.holder(address, own.threads.iter().map(|thread| &**thread).chain([&own.program]))
    }

    fn kind(&self, address: usize) -> Option<(String, bool)> {
        // The threads name the words of objects that they have made in the schedule. A word that has a
        // name without the threads outlives the schedule.
        let lasts = self.session.label(address, []);
        let is_made = lasts.is_none();
        Some((kind_of(&lasts.or_else(|| self.label(address))?), !is_made))
    }
}
