//! The real threads of a program, and one pass of it over a fresh machine.
//!
//! The threads are started once and perform round after round. They begin a round together: each waits,
//! spinning, for the last one. One that the core has stopped, or that waits for ever, is left behind with
//! what it holds; the crew is then of no use any more.

use super::Program;
use super::caught::guarded;
use super::run::{NO_PROGRESS, Row, RunOptions, RunReport};
use super::session::{Actor, Session, Step};
use super::setup::SetupError;
use crate::audit::{Auditor, Finding};
use crate::program::Op;
use crate::release::Release;
use std::sync::Arc;
// Threads of the host, and what they meet at: the core has none of its own.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// One round as its threads see it.
struct Round<R: Release> {
    session: Arc<Session<R>>,
    /// Threads that are not at the start yet.
    missing: Arc<AtomicUsize>,
    /// How long the thread hangs about at the start, so that rounds differ.
    delay: u32,
}

/// What a thread tells.
enum News {
    /// An operation has ended.
    Step(Step),
    /// The thread has done all its operations.
    Ended(Box<Actor>),
    /// The core stopped it.
    Stopped(Finding),
}

/// The threads of a program.
pub(super) struct Crew<R: Release> {
    program: Arc<Program>,
    /// Each thread's next round.
    starts: Vec<Sender<Round<R>>>,
    news: Receiver<(usize, News)>,
    auditor: Auditor,
}

impl<R: Release> Crew<R> {
    /// Starts the threads, on these CPUs.
    pub fn new(program: &Program, cpus: &[usize]) -> Result<Crew<R>, SetupError> {
        let program = Arc::new(program.clone());
        let (sender, news) = channel();
        let starts = cpus.iter().enumerate().map(|(number, &cpu)| {
            let (start, rounds) = channel::<Round<R>>();
            let (program, sender) = (Arc::clone(&program), sender.clone());
            let body = move || {
                for round in rounds {
                    round.session.machine().bind_cpu(Some(cpu));
                    round.wait();
                    if !perform(&round.session, number, &program.threads[number].ops, &sender) {
                        return;
                    }
                }
            };
            let spawned = std::thread::Builder::new().spawn(body);
            spawned.map_err(|error| SetupError(format!("the host has no more threads: {error}")))?;
            Ok(start)
        });
        let starts = starts.collect::<Result<_, SetupError>>()?;
        Ok(Crew { program, starts, news, auditor: Auditor::default() })
    }

    /// One pass: set-up, threads, what comes after them, audit. `number` makes rounds differ.
    pub fn round(&mut self, mut session: Session<R>, number: u64, options: &RunOptions) -> RunReport {
        let mut report = RunReport::default();
        let mut program = Actor::program();
        let ops = Arc::clone(&self.program);
        session.machine().bind_cpu(Some(0));
        if !report.section(&session, &mut program, "setup", &ops.setup) {
            return report;
        }
        session.publish(program);
        let session = Arc::new(session);
        let missing = Arc::new(AtomicUsize::new(self.starts.len()));
        for (thread, start) in self.starts.iter().enumerate() {
            let delay = mix(number, thread as u64) as u32 % MOST_DELAY;
            let round = Round { session: Arc::clone(&session), missing: Arc::clone(&missing), delay };
            // A thread that has gone shows by its silence.
            let _ = start.send(round);
        }
        let Some(mut threads) = self.collect(options, &mut report) else { return report };
        let mut program = session.join(&mut threads);
        if !report.section(&session, &mut program, "finally", &ops.finally) {
            return report;
        }
        match guarded(|| session.check(&program, &mut self.auditor)) {
            Ok(findings) => report.findings.extend(findings),
            Err(stopped) => report.findings.push(stopped),
        }
        report.held = session.held(&program);
        report
    }

    /// Listens until all threads have ended, or nothing happens any more. What they have, if they ended
    /// and broke nothing.
    fn collect(&self, options: &RunOptions, report: &mut RunReport) -> Option<Vec<Actor>> {
        let count = self.starts.len();
        let mut steps: Vec<Vec<Step>> = vec![Vec::new(); count];
        let mut actors: Vec<Option<Actor>> = (0..count).map(|_| None).collect();
        let mut stopped = vec![false; count];
        let mut quiet = false;
        while !quiet && (0..count).any(|n| actors[n].is_none() && !stopped[n]) {
            // Whoever waits for a thread that the core has stopped waits in vain.
            let patience = match stopped.contains(&true) {
                true => options.patience.min(AFTER_A_STOP),
                false => options.patience,
            };
            match self.news.recv_timeout(patience) {
                Ok((n, News::Step(step))) => steps[n].push(step),
                Ok((n, News::Ended(actor))) => actors[n] = Some(*actor),
                Ok((n, News::Stopped(finding))) => {
                    stopped[n] = true;
                    report.findings.push(finding);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => quiet = true,
            }
        }
        for (n, (thread, steps)) in self.program.threads.iter().zip(steps).enumerate() {
            if actors[n].is_none() && !stopped[n] {
                let op = thread.ops.get(steps.len()).map_or_else(String::new, |op| format!(" in `{op}`"));
                let detail = format!("thread {}{op} got nowhere", thread.name);
                report.findings.push(Finding { rule: NO_PROGRESS, pfn: None, detail });
            }
            for (i, (op, step)) in thread.ops.iter().zip(steps).enumerate() {
                report.add(thread.name.as_str(), i, op, step);
            }
        }
        if report.is_clean() { actors.into_iter().collect() } else { None }
    }
}

impl<R: Release> Round<R> {
    /// Waits for the others at the start.
    fn wait(&self) {
        // Relaxed: a start signal; the session was handed over by the channel.
        self.missing.fetch_sub(1, Ordering::Relaxed);
        let backoff = crossbeam_utils::Backoff::new();
        while self.missing.load(Ordering::Relaxed) > 0 {
            backoff.snooze();
        }
        for _ in 0..self.delay {
            std::hint::spin_loop();
        }
    }
}

/// Most turns that a thread hangs about at the start: a few microseconds.
const MOST_DELAY: u32 = 256;

/// How long the others may go on in silence when the core has stopped a thread.
const AFTER_A_STOP: Duration = Duration::from_millis(500);

/// A number that depends on both.
fn mix(a: u64, b: u64) -> u64 {
    // The finaliser of SplitMix64.
    let z = (a << 8 ^ b).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ z >> 31
}

/// What a thread does in a round; false if it is of no use any more.
fn perform<R: Release>(
    session: &Session<R>,
    number: usize,
    ops: &[Op],
    sender: &Sender<(usize, News)>,
) -> bool {
    let mut actor = Box::new(Actor::thread(number));
    for op in ops {
        let news = match guarded(|| session.step(&mut actor, op)) {
            Ok(step) => News::Step(step),
            Err(stopped) => News::Stopped(stopped),
        };
        let stopped = matches!(news, News::Stopped(_));
        if sender.send((number, news)).is_err() || stopped {
            return false;
        }
    }
    match guarded(|| session.leave(&mut actor)) {
        Ok(()) => sender.send((number, News::Ended(actor))).is_ok(),
        Err(stopped) => {
            // Relaying it is all that is left to do.
            let _ = sender.send((number, News::Stopped(stopped)));
            false
        }
    }
}

impl RunReport {
    /// Performs the operations of a section that has the machine for itself; false if the core stopped.
    fn section<R: Release>(
        &mut self,
        session: &Session<R>,
        actor: &mut Actor,
        name: &str,
        ops: &[Op],
    ) -> bool {
        for (i, op) in ops.iter().enumerate() {
            match guarded(|| session.step(actor, op)) {
                Ok(step) => self.add(name, i, op, step),
                Err(stopped) => {
                    self.findings.push(stopped);
                    return false;
                }
            }
        }
        true
    }

    fn add(&mut self, section: &str, i: usize, op: &Op, step: Step) {
        self.findings.extend(step.findings.iter().cloned());
        self.steps.push(Row { section: section.to_owned(), i, op: op.to_string(), step });
    }
}
