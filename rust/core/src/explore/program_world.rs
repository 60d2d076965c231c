//! A program as a world: its set-up is done once, its threads are explored.

use super::outcomes::Kept;
use super::tally::Tally;
use super::world::World;
use super::{Digest, Violation, operation};
use crate::audit::{Auditor, Finding};
use crate::machine::Config;
use crate::program::session::{Actor, Session, Step};
use crate::program::{Op, Program};
use crate::release::Chosen;
use crate::sync::broken;
use crate::sync::explored::caught;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A program set up on a machine of its own.
pub struct ProgramWorld {
    session: Session<Chosen>,
    threads: Vec<Vec<Op>>,
    finally: Vec<Op>,
    cpus: Vec<usize>,
    /// Some operation forks.
    forks: bool,
    /// Tell final states apart.
    fingerprints: bool,
    /// Keep what each final state is.
    kept: Option<Kept>,
    /// Which operations did anything.
    tally: Option<Arc<Tally>>,
    own: RefCell<Own>,
    /// All threads of the schedule that ran last had ended.
    ended: Cell<bool>,
}

/// What the threads of the schedule that ran last have; outside of the door, so that using it is no
/// step, and made anew by each schedule.
struct Own {
    threads: Vec<Actor>,
    program: Actor,
    auditor: Auditor,
    /// What the operations of each thread came to.
    outcomes: Vec<u64>,
    /// The same as data, what comes after the threads last; only if it is kept.
    steps: Vec<Vec<Value>>,
}

/// Where outcomes are told: no thread has such a number, and no object such an address.
const OUTCOMES: usize = 1 << 9;

/// Why a program could not be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unset {
    /// It asks for something that cannot be had.
    Refused(String),
    /// The set-up itself broke a rule.
    Broken(Violation),
}

impl ProgramWorld {
    /// Sets a program up on a machine like `config`, its threads on these CPUs.
    pub fn new(program: &Program, config: &Config, cpus: &[usize]) -> Result<ProgramWorld, Unset> {
        if program.threads.is_empty() {
            return Err(Unset::Refused("the program has no threads: there is nothing to explore".into()));
        }
        for op in program.ops() {
            if let Some(why) = crate::program::session::unsupported(op) {
                return Err(Unset::Refused(format!("`{op}`: {why}")));
            }
        }
        let session = Session::new(config).map_err(|error| Unset::Refused(error.why.to_string()))?;
        let mut world = ProgramWorld {
            session,
            threads: program.threads.iter().map(|thread| thread.ops.clone()).collect(),
            finally: program.finally.clone(),
            cpus: cpus.to_vec(),
            forks: program.ops().any(|op| matches!(op, Op::Fork { .. })),
            fingerprints: false,
            kept: None,
            tally: None,
            own: RefCell::new(Own {
                threads: (0..program.threads.len()).map(Actor::thread).collect(),
                program: Actor::program(),
                auditor: Auditor::default(),
                outcomes: Vec::new(),
                steps: vec![Vec::new(); program.threads.len() + 1],
            }),
            ended: Cell::new(false),
        };
        world.set_up(&program.setup)?;
        Ok(world)
    }

    fn set_up(&mut self, ops: &[Op]) -> Result<(), Unset> {
        let mut program = Actor::program();
        self.session.machine().bind_cpu(Some(0));
        for op in ops {
            // A core that is broken enough stops here already, outside of any schedule.
            let step = match caught(|| self.session.step(&mut program, op)) {
                Ok(step) => step,
                Err(violation) => return Err(Unset::Broken(violation)),
            };
            if let Some(finding) = step.findings.first() {
                return Err(Unset::Broken(violation(finding)));
            }
            if let Some(problem) = step.problem {
                return Err(Unset::Refused(format!("the set-up cannot `{op}`: {problem}")));
            }
        }
        self.session.publish(program);
        Ok(())
    }

    /// Had all threads of the schedule that ran last ended, so that what was found was found afterwards?
    pub fn ended(&self) -> bool {
        self.ended.get()
    }

    /// Tells final states apart by what the operations came to and what the pages are.
    #[must_use]
    pub fn with_fingerprints(mut self) -> Self {
        self.fingerprints = true;
        self
    }

    /// The same, and what each final state is goes to `kept`, by its fingerprint.
    #[must_use]
    pub(super) fn with_outcomes(mut self, kept: Kept) -> Self {
        self.kept = Some(kept);
        self.with_fingerprints()
    }

    /// Tells `tally` what the operations come to.
    #[must_use]
    pub(super) fn with_tally(mut self, tally: &Arc<Tally>) -> Self {
        self.tally = Some(Arc::clone(tally));
        self
    }

    /// What can be seen of a final state, as data.
    fn state(&self, own: &Own) -> Value {
        json!({ "ops": own.steps, "end": self.session.end_state(&own.program) })
    }
}

/// What an operation came to, without what only a reader wants: frame numbers are no outcome.
fn plain(step: &Step) -> Value {
    let mut plain = json!(step);
    if let Some(fields) = plain.as_object_mut() {
        fields.remove("why");
    }
    plain
}

fn violation(finding: &Finding) -> Violation {
    let place = finding.pfn.map(|pfn| format!("page {pfn}: ")).unwrap_or_default();
    Violation::new(finding.rule, format!("{place}{}", finding.detail))
}

impl World for ProgramWorld {
    fn threads(&self) -> usize {
        self.threads.len()
    }

    fn run(&self, thread: usize) {
        self.ended.set(false);
        let mut actor = std::mem::replace(&mut self.own.borrow_mut().threads[thread], Actor::thread(thread));
        actor.reset();
        self.session.machine().bind_cpu(Some(self.cpus[thread]));
        let mut outcomes = DefaultHasher::new();
        let mut steps = Vec::new();
        for (number, op) in self.threads[thread].iter().enumerate() {
            operation(number as u32);
            let step = self.session.step(&mut actor, op);
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
            if self.kept.is_some() {
                steps.push(plain(&step));
            }
        }
        self.session.leave(&mut actor);
        let mut own = self.own.borrow_mut();
        own.threads[thread] = actor;
        if self.fingerprints {
            own.outcomes.resize(self.threads.len(), 0);
            own.outcomes[thread] = outcomes.finish();
            own.steps[thread] = steps;
        }
    }

    fn check(&self) -> Result<(), Violation> {
        self.ended.set(true);
        let Own { threads, program, auditor, steps, .. } = &mut *self.own.borrow_mut();
        self.session.join_into(program, threads);
        self.session.machine().bind_cpu(Some(0));
        let after = &mut steps[self.threads.len()];
        after.clear();
        for (number, op) in self.finally.iter().enumerate() {
            let step = self.session.step(program, op);
            if let Some(tally) = &self.tally {
                tally.add(self.threads.len(), number, op, &step);
            }
            if self.kept.is_some() {
                after.push(plain(&step));
            }
            if let Some(finding) = step.findings.first() {
                return Err(violation(finding));
            }
        }
        let mut findings = self.session.check(program, auditor);
        if !self.forks {
            self.session.check_held(program, &mut findings);
        }
        match findings.first() {
            Some(finding) => Err(violation(finding)),
            None => Ok(()),
        }
    }

    fn tell(&self, digest: &mut Digest) -> bool {
        self.ended.set(true);
        let own = self.own.borrow();
        if self.fingerprints {
            digest.tell_all(OUTCOMES, &own.outcomes);
        }
        own.threads.iter().all(|thread| thread.tell(digest))
    }

    fn fingerprint(&self) -> u64 {
        if !self.fingerprints {
            return 0;
        }
        let mut hash = DefaultHasher::new();
        if let Some(kept) = &self.kept {
            let state = self.state(&self.own.borrow());
            state.to_string().hash(&mut hash);
            let fingerprint = hash.finish();
            kept.borrow_mut().insert(fingerprint, state);
            return fingerprint;
        }
        self.own.borrow().outcomes.hash(&mut hash);
        self.session.fingerprint(&mut hash);
        hash.finish()
    }

    fn label(&self, address: usize) -> Option<String> {
        let own = self.own.borrow();
        self.session.label(address, own.threads.iter().chain([&own.program]))
    }
}
