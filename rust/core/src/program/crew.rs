//! The real threads of a program, and one round of it on a fresh machine.
//!
//! The threads are started once and perform round after round. All threads begin a round together:
//! each thread spins until all are ready. After the core has panicked on a thread, or after a stop
//! request, the crew cannot be used any more; its threads still end.

use super::Program;
use super::caught::guarded;
use super::report::{NO_PROGRESS, Row, RunOptions, RunReport};
use super::session::{Actor, Session, Step};
use super::setup::SetupError;
use super::watch::{CHECK_INTERVAL, GRACE, Watch, no_slot, spawn};
use crate::audit::{Auditor, Finding};
use crate::program::Op;
use crate::release::Release;
use crate::sync::{claim_thread_slot, stop_point, stoppable};
use std::sync::Arc;
// The threads of a run wait for each other by means of the host. The explorer has a runner of its own.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A round, as each thread receives it.
struct Round<R: Release> {
    session: Arc<Session<R>>,
    /// The number of threads that are not ready yet.
    missing: Arc<AtomicUsize>,
    /// The number of turns that the thread spins at the start, so that rounds differ.
    delay: u32,
}

/// A message of a thread.
enum News {
    /// The thread has started. False: there was no thread slot, so the thread cannot use machines.
    Started(bool),
    /// An operation has ended.
    Step(Box<Step>),
    /// All operations of the thread have ended.
    Ended(Box<Actor>),
    /// The core panicked on the thread.
    Broken(Finding),
    /// The thread stopped on request.
    Stopped,
}

/// The threads of a program.
pub(super) struct Crew<R: Release> {
    program: Arc<Program>,
    watch: Arc<Watch>,
    /// The channel on which each thread receives its next round.
    round_senders: Vec<Sender<Round<R>>>,
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
            round_senders: Vec::new(),
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
                    // A large machine takes long to drop. The thread that waits for the result must
                    // drop it: a drop on this thread could still be running when the waiting thread
                    // goes on.
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
                            let _ = sender.send((number, News::Stopped));
                            return;
                        }
                    }
                }
            };
            crew.threads.push(spawn(body)?);
            crew.round_senders.push(start);
        }
        drop(sender);
        let started = crew.news.iter().take(cpus.len()).all(|(_, news)| matches!(news, News::Started(true)));
        if started { Ok(crew) } else { Err(no_slot(cpus.len())) }
    }

    /// Performs one round: set-up, threads, `finally`, audit. `number` makes rounds differ.
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
        let missing = Arc::new(AtomicUsize::new(self.round_senders.len()));
        for (thread, start) in self.round_senders.iter().enumerate() {
            let delay = mix(number, thread as u64) as u32 % MAX_DELAY;
            let round = Round { session: Arc::clone(&session), missing: Arc::clone(&missing), delay };
            // A thread that has ended receives no round; `collect` notices that the thread makes no
            // progress.
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

    /// Receives messages until all threads have ended or stopped. Returns the state of the threads if all of
    /// them ended, no rule was broken, and the caller did not interrupt the run.
    fn collect(&self, options: &RunOptions, report: &mut RunReport) -> Option<Vec<Actor>> {
        let count = self.round_senders.len();
        let mut steps: Vec<Vec<Step>> = vec![Vec::new(); count];
        let mut actors: Vec<Option<Actor>> = (0..count).map(|_| None).collect();
        let mut finished = vec![false; count];
        let mut broken = vec![false; count];
        let mut stop_requested_at: Option<Instant> = None;
        self.watch.start_timing(options.patience);
        while !finished.iter().all(|&finished| finished) {
            let news = self.news.recv_timeout(CHECK_INTERVAL);
            // After a stop request, findings may come from operations that were left half done.
            let stopping = self.watch.stop.is_requested();
            match news {
                Ok((n, News::Step(step))) => {
                    self.watch.progress();
                    if !stopping {
                        steps[n].push(*step);
                    }
                }
                Ok((n, News::Ended(actor))) => (actors[n], finished[n]) = (Some(*actor), true),
                Ok((n, News::Broken(finding))) => {
                    finished[n] = true;
                    if !stopping {
                        broken[n] = true;
                        report.findings.push(finding);
                        // A thread that waits for the panicked thread will never go on.
                        self.watch.start_timing(options.patience.min(PATIENCE_AFTER_PANIC));
                    }
                }
                Ok((n, News::Stopped)) => finished[n] = true,
                Ok((_, News::Started(_))) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if stopping && stop_requested_at.get_or_insert_with(Instant::now).elapsed() > GRACE {
                        break;
                    }
                }
            }
        }
        self.watch.pause_timing();
        for (n, (thread, steps)) in self.program.threads.iter().zip(steps).enumerate() {
            if actors[n].is_none() && !broken[n] && !self.watch.is_interrupted() {
                let op = thread.ops.get(steps.len()).map_or_else(String::new, |op| format!(" in `{op}`"));
                let how = if finished[n] { "" } else { ", and did not stop: it still runs" };
                let detail = format!("thread {}{op} made no progress{how}", thread.name);
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

    /// Performs the operations of a section that runs alone. Returns false if the section did not
    /// reach its end.
    fn section(
        &self,
        report: &mut RunReport,
        session: &Session<R>,
        actor: &mut Actor,
        (name, ops): (&str, &[Op]),
        options: &RunOptions,
    ) -> bool {
        self.watch.start_timing(options.patience);
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
                    let detail = format!("{name} in `{op}` made no progress");
                    report.findings.push(Finding { rule: NO_PROGRESS, pfn: None, detail });
                    done = false;
                }
            }
            self.watch.progress();
            if !done || self.watch.stop.is_requested() {
                break;
            }
        }
        self.watch.pause_timing();
        report.interrupted |= self.watch.is_interrupted();
        done && !self.watch.stop.is_requested()
    }
}

/// Ends the threads and joins them, except for those that do not stop in time.
impl<R: Release> Drop for Crew<R> {
    fn drop(&mut self) {
        self.round_senders.clear();
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
    /// Waits until all threads are ready.
    fn wait(&self) {
        // Relaxed: only a start signal; the channel has published the session.
        self.missing.fetch_sub(1, Ordering::Relaxed);
        let backoff = crossbeam_utils::Backoff::new();
        while self.missing.load(Ordering::Relaxed) > 0 {
            stop_point();
            backoff.snooze();
        }
        for _ in 0..self.delay {
            std::hint::spin_loop();
        }
    }
}

/// The most turns that a thread spins at the start: a few microseconds.
const MAX_DELAY: u32 = 256;

/// The time without progress after which the other threads are stopped, once the core has panicked
/// on one of them.
const PATIENCE_AFTER_PANIC: Duration = Duration::from_millis(500);

/// Returns a number that depends on both arguments.
fn mix(a: u64, b: u64) -> u64 {
    // The finaliser of SplitMix64.
    let z = (a << 8 ^ b).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ z >> 31
}

/// Performs a thread's operations in a round. Returns its last message, or `None` if the channel is
/// closed.
fn perform<R: Release>(
    session: &Session<R>,
    number: usize,
    ops: &[Op],
    sender: &Sender<(usize, News)>,
) -> Option<News> {
    let mut actor = Box::new(Actor::thread(number));
    for op in ops {
        stop_point();
        match guarded(|| session.step(&mut actor, op)) {
            Ok(step) => sender.send((number, News::Step(Box::new(step)))).ok()?,
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
