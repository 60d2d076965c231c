//! The real threads of a program, and one pass of it over a fresh machine.
//!
//! The threads are started once and perform round after round. They begin a round together: each waits,
//! spinning, for the last one. When the core has stopped one of them, or they were told to stop, the crew is of no use
//! any more; its threads end all the same.

use super::Program;
use super::caught::guarded;
use super::run::{NO_PROGRESS, Row, RunOptions, RunReport};
use super::session::{Actor, Session, Step};
use super::setup::SetupError;
use super::watch::{GRACE, LOOK, Watch, no_slot, spawn};
use crate::audit::{Auditor, Finding};
use crate::program::Op;
use crate::release::Release;
use crate::sync::{claim_thread_slot, rest, stoppable};
use std::sync::Arc;
// Threads of the host, and what they meet at: the core has none of its own.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
    /// It has started, and may use machines if this is true.
    Started(bool),
    /// An operation has ended.
    Step(Step),
    /// The thread has done all its operations.
    Ended(Box<Actor>),
    /// The core stopped it.
    Broken(Finding),
    /// It was told to stop.
    GivenUp,
}

/// The threads of a program.
pub(super) struct Crew<R: Release> {
    program: Arc<Program>,
    watch: Arc<Watch>,
    /// Each thread's next round.
    starts: Vec<Sender<Round<R>>>,
    threads: Vec<JoinHandle<()>>,
    news: Receiver<(usize, News)>,
    auditor: Auditor,
}

impl<R: Release> Crew<R> {
    /// Starts the threads, on these CPUs.
    pub fn new(program: &Arc<Program>, cpus: &[usize], watch: &Arc<Watch>) -> Result<Crew<R>, SetupError> {
        let (sender, news) = channel();
        let (program, watch) = (Arc::clone(program), Arc::clone(watch));
        let mut crew = Crew {
            program,
            watch,
            starts: Vec::new(),
            threads: Vec::new(),
            news,
            auditor: Auditor::default(),
        };
        for (number, &cpu) in cpus.iter().enumerate() {
            let (start, rounds) = channel::<Round<R>>();
            let (program, sender) = (Arc::clone(&crew.program), sender.clone());
            let watch = Arc::clone(&crew.watch);
            let body = move || {
                let started = claim_thread_slot();
                if sender.send((number, News::Started(started))).is_err() || !started {
                    return;
                }
                for round in rounds {
                    round.session.machine().bind_cpu(Some(cpu));
                    let performed = stoppable(&watch.stop, || {
                        round.wait();
                        perform(&round.session, number, &program.threads[number].ops, &sender)
                    });
                    // It must not be this thread that drops the machine, after who waits for it has gone on.
                    drop(round);
                    match performed {
                        Ok(Some(last)) => {
                            let goes_on = matches!(last, News::Ended(_));
                            if sender.send((number, last)).is_err() || !goes_on {
                                return;
                            }
                        }
                        Ok(None) => return,
                        Err(_) => {
                            let _ = sender.send((number, News::GivenUp));
                            return;
                        }
                    }
                }
            };
            crew.threads.push(spawn(body)?);
            crew.starts.push(start);
        }
        drop(sender);
        let started = crew.news.iter().take(cpus.len()).all(|(_, news)| matches!(news, News::Started(true)));
        if started { Ok(crew) } else { Err(no_slot(cpus.len())) }
    }

    /// One pass: set-up, threads, what comes after them, audit. `number` makes rounds differ.
    pub fn round(&mut self, mut session: Session<R>, number: u64, options: &RunOptions) -> RunReport {
        let mut report = RunReport::default();
        let mut program = Actor::program();
        let ops = Arc::clone(&self.program);
        session.machine().bind_cpu(Some(0));
        if !self.section(&mut report, &session, &mut program, ("setup", &ops.setup), options) {
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
        if !self.section(&mut report, &session, &mut program, ("finally", &ops.finally), options) {
            return report;
        }
        match guarded(|| session.check(&program, &mut self.auditor)) {
            Ok(findings) => report.findings.extend(findings),
            Err(stopped) => report.findings.push(stopped),
        }
        report.held = session.held(&program);
        report
    }

    /// Listens until all threads have ended, or were made to. What they have, if they ended by themselves and broke
    /// nothing.
    fn collect(&self, options: &RunOptions, report: &mut RunReport) -> Option<Vec<Actor>> {
        let count = self.starts.len();
        let mut steps: Vec<Vec<Step>> = vec![Vec::new(); count];
        let mut actors: Vec<Option<Actor>> = (0..count).map(|_| None).collect();
        let mut over = vec![false; count];
        let mut broken = vec![false; count];
        let mut told: Option<Instant> = None;
        self.watch.begins(options.patience);
        while !over.iter().all(|&over| over) {
            let news = self.news.recv_timeout(LOOK);
            // What is seen from here on may follow from what the threads left half done.
            let stopping = self.watch.stop.is_requested();
            match news {
                Ok((n, News::Step(step))) => {
                    self.watch.progress();
                    if !stopping {
                        steps[n].push(step);
                    }
                }
                Ok((n, News::Ended(actor))) => (actors[n], over[n]) = (Some(*actor), true),
                Ok((n, News::Broken(finding))) => {
                    over[n] = true;
                    if !stopping {
                        broken[n] = true;
                        report.findings.push(finding);
                        // Whoever waits for a thread that the core has stopped waits in vain.
                        self.watch.begins(options.patience.min(AFTER_A_STOP));
                    }
                }
                Ok((n, News::GivenUp)) => over[n] = true,
                Ok((_, News::Started(_))) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if stopping && told.get_or_insert_with(Instant::now).elapsed() > GRACE {
                        break;
                    }
                }
            }
        }
        self.watch.pauses();
        for (n, (thread, steps)) in self.program.threads.iter().zip(steps).enumerate() {
            if actors[n].is_none() && !broken[n] && !self.watch.is_interrupted() {
                let op = thread.ops.get(steps.len()).map_or_else(String::new, |op| format!(" in `{op}`"));
                let how = if over[n] { "" } else { ", and does not stop: it is left behind" };
                let detail = format!("thread {}{op} got nowhere{how}", thread.name);
                report.findings.push(Finding { rule: NO_PROGRESS, pfn: None, detail });
            }
            for (i, (op, step)) in thread.ops.iter().zip(steps).enumerate() {
                report.add(thread.name.as_str(), i, op, step);
            }
        }
        report.interrupted |= self.watch.is_interrupted();
        let ended = report.is_clean() && !report.interrupted;
        if ended { actors.into_iter().collect() } else { None }
    }

    /// Performs the operations of a section that has the machine for itself; false if it was not done to its end.
    fn section(
        &self,
        report: &mut RunReport,
        session: &Session<R>,
        actor: &mut Actor,
        (name, ops): (&str, &[Op]),
        options: &RunOptions,
    ) -> bool {
        self.watch.begins(options.patience);
        let mut done = true;
        for (i, op) in ops.iter().enumerate() {
            match stoppable(&self.watch.stop, || guarded(|| session.step(actor, op))) {
                Ok(Ok(step)) => report.add(name, i, op, step),
                Ok(Err(broken)) => {
                    report.findings.push(broken);
                    done = false;
                }
                Err(_) if self.watch.is_interrupted() => done = false,
                Err(_) => {
                    let detail = format!("{name} in `{op}` got nowhere");
                    report.findings.push(Finding { rule: NO_PROGRESS, pfn: None, detail });
                    done = false;
                }
            }
            self.watch.progress();
            if !done || self.watch.stop.is_requested() {
                break;
            }
        }
        self.watch.pauses();
        report.interrupted |= self.watch.is_interrupted();
        done && !self.watch.stop.is_requested()
    }
}

/// The threads end, and are joined: but those that do not stop, which nobody waits for.
impl<R: Release> Drop for Crew<R> {
    fn drop(&mut self) {
        self.starts.clear();
        let begin = Instant::now();
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && begin.elapsed() < GRACE {
                std::thread::sleep(Duration::from_micros(100));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

impl<R: Release> Round<R> {
    /// Waits for the others at the start.
    fn wait(&self) {
        // Relaxed: a start signal; the session was handed over by the channel.
        self.missing.fetch_sub(1, Ordering::Relaxed);
        let backoff = crossbeam_utils::Backoff::new();
        while self.missing.load(Ordering::Relaxed) > 0 {
            rest();
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

/// What a thread does in a round; the last thing that it has to tell, or `None` if nobody listens.
fn perform<R: Release>(
    session: &Session<R>,
    number: usize,
    ops: &[Op],
    sender: &Sender<(usize, News)>,
) -> Option<News> {
    let mut actor = Box::new(Actor::thread(number));
    for op in ops {
        rest();
        match guarded(|| session.step(&mut actor, op)) {
            Ok(step) => sender.send((number, News::Step(step))).ok()?,
            Err(broken) => return Some(News::Broken(broken)),
        }
    }
    Some(match guarded(|| session.leave(&mut actor)) {
        Ok(()) => News::Ended(actor),
        Err(broken) => News::Broken(broken),
    })
}

impl RunReport {
    fn add(&mut self, section: &str, i: usize, op: &Op, step: Step) {
        self.findings.extend(step.findings.iter().cloned());
        self.steps.push(Row { section: section.to_owned(), i, op: op.to_string(), step });
    }
}
