//! A program as a world: its set-up is done once, its threads are explored.

use super::world::World;
use super::{Digest, Violation, operation};
use crate::audit::{Auditor, Finding};
use crate::machine::Config;
use crate::program::session::{Actor, Session};
use crate::program::{Op, Program};
use crate::release::Release;
use crate::sync::broken;
use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A program set up on a machine of its own.
pub struct ProgramWorld<R: Release> {
    session: Session<R>,
    threads: Vec<Vec<Op>>,
    finally: Vec<Op>,
    cpus: Vec<usize>,
    /// Some operation forks.
    forks: bool,
    /// Tell final states apart.
    fingerprints: bool,
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
    /// What each operation came to.
    outcomes: Vec<u64>,
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

impl<R: Release> ProgramWorld<R> {
    /// Sets a program up on a machine like `config`, its threads on these CPUs.
    pub fn new(program: &Program, config: &Config, cpus: &[usize]) -> Result<ProgramWorld<R>, Unset> {
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
            own: RefCell::new(Own {
                threads: (0..program.threads.len()).map(Actor::thread).collect(),
                program: Actor::program(),
                auditor: Auditor::default(),
                outcomes: Vec::new(),
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
            let step = self.session.step(&mut program, op);
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
}

fn violation(finding: &Finding) -> Violation {
    let place = finding.pfn.map(|pfn| format!("page {pfn}: ")).unwrap_or_default();
    Violation::new(finding.rule, format!("{place}{}", finding.detail))
}

impl<R: Release> World for ProgramWorld<R> {
    fn threads(&self) -> usize {
        self.threads.len()
    }

    fn run(&self, thread: usize) {
        self.ended.set(false);
        let mut actor = std::mem::replace(&mut self.own.borrow_mut().threads[thread], Actor::thread(thread));
        actor.reset();
        self.session.machine().bind_cpu(Some(self.cpus[thread]));
        let mut outcomes = DefaultHasher::new();
        for (number, op) in self.threads[thread].iter().enumerate() {
            operation(number as u32);
            let step = self.session.step(&mut actor, op);
            if let Some(finding) = step.findings.first() {
                let Violation { rule, detail } = violation(finding);
                broken(rule, format_args!("`{op}`: {detail}"));
            }
            if self.fingerprints {
                (step.ret, step.errno, step.status, step.acc).hash(&mut outcomes);
            }
        }
        self.session.leave(&mut actor);
        let mut own = self.own.borrow_mut();
        own.threads[thread] = actor;
        if self.fingerprints {
            own.outcomes.resize(self.threads.len(), 0);
            own.outcomes[thread] = outcomes.finish();
        }
    }

    fn check(&self) -> Result<(), Violation> {
        self.ended.set(true);
        let Own { threads, program, auditor, .. } = &mut *self.own.borrow_mut();
        self.session.join_into(program, threads);
        self.session.machine().bind_cpu(Some(0));
        for op in &self.finally {
            let step = self.session.step(program, op);
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
        self.own.borrow().outcomes.hash(&mut hash);
        self.session.fingerprint(&mut hash);
        hash.finish()
    }

    fn label(&self, address: usize) -> Option<String> {
        self.session.label(address)
    }
}
