//! Threads that start together and stop together. A thread that never ends does not hang the
//! caller.
//!
//! Each thread owns its part of the load and returns it at the end. A thread may never end, because
//! of a lost wake-up or of a lock that a stopped thread still holds. The caller reports such a
//! thread and leaves it behind.

use super::fault::Finding;
use super::host::thread_cpu_time;
use crate::error::{Errno, Error};
use crate::sync::{AtomicU32, AtomicU64, Ordering, ThreadSlot, interrupted, park, unpark_all};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time that threads have to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Interval at which the caller checks whether a thread has failed.
const LOOK: Duration = Duration::from_millis(2);

/// The signals for start and stop of a round.
///
/// Threads sleep until the start. If a thread waited with `sched_yield`, a kernel that charges for
/// each yield (6.18) would let it start the round far behind the threads that did not have to wait.
#[derive(Debug, Default)]
pub(super) struct Signal {
    arrived: AtomicU64,
    open: AtomicU64,
    stop: AtomicU32,
}

impl Signal {
    /// Returns true if the round is over.
    #[inline]
    pub fn stopped(&self) -> bool {
        // Relaxed: a hint to stop. Joining the thread orders the data that it returns.
        self.stop.load(Ordering::Relaxed) != 0
    }

    /// Ends the round.
    pub fn stop(&self) {
        // Relaxed: as above.
        self.stop.store(1, Ordering::Relaxed);
    }

    /// Counts the thread as arrived, and sleeps until the start.
    fn wait_for_start(&self) {
        // Release pairs with the Acquire of `start_all`, and the Release of `start_all` with the
        // Acquire here. Without them a thread could miss data that another one prepared before the
        // round.
        self.arrived.fetch_add(1, Ordering::Release);
        unpark_all(&self.arrived, || {});
        sleep_until(&self.open, |open| open > 0);
    }

    /// Starts all threads once `crew` of them have arrived.
    fn start_all(&self, crew: u32) {
        sleep_until(&self.arrived, |arrived| arrived >= crew.into());
        // Release: see `wait_for_start`.
        self.open.store(1, Ordering::Release);
        unpark_all(&self.open, || {});
    }
}

/// Sleeps until `wanted` holds for a word. The thread that changes the word wakes the sleepers
/// afterwards. A thread that read the word before the change is queued by then and woken, or reads
/// the word again under the queue's lock.
fn sleep_until(word: &AtomicU64, wanted: impl Fn(u64) -> bool) {
    // Acquire: see `wait_for_start`.
    while !wanted(word.load(Ordering::Acquire)) {
        park(word, || !wanted(word.load(Ordering::Acquire)));
    }
}

/// The work of a thread, with the name that reports use.
pub(super) struct Job<T> {
    pub name: String,
    pub work: Work<T>,
}

/// The function that a thread runs.
pub(super) type Work<T> = Box<dyn FnOnce(&Signal) -> Result<T, Finding> + Send>;

/// The result of a thread.
#[derive(Debug)]
pub(super) struct Done<T> {
    pub value: T,
    pub cpu: Duration,
}

type Handle<T> = JoinHandle<Result<Done<T>, Finding>>;

/// The reasons for which a round has no result.
#[derive(Debug)]
pub(super) enum Ended {
    /// The host could not create a thread. The machine is unchanged, but the jobs are lost.
    NoThread(Error),
    /// The finding of a thread that failed, or the names of the threads that did not end.
    Found(Finding),
}

/// Runs the jobs for `time`, each on a thread of its own with one of the reserved slots. Returns
/// the real duration and the results. The duration is shorter if the caller ends the work
/// ([`interruptible`](crate::sync::interruptible)).
pub(super) fn run<T: Send + 'static>(
    jobs: Vec<Job<T>>,
    slots: Vec<ThreadSlot>,
    time: Duration,
) -> Result<(Duration, Vec<Done<T>>), Ended> {
    let signal = Arc::new(Signal::default());
    let crew = jobs.len() as u32;
    let mut handles: Vec<(String, Handle<T>)> = Vec::with_capacity(jobs.len());
    for (job, slot) in jobs.into_iter().zip(slots) {
        let name = job.name.clone();
        let spawned = {
            let signal = Arc::clone(&signal);
            thread::Builder::new().name(format!("mmcore {name}")).spawn(move || {
                slot.adopt();
                perform(job, &signal)
            })
        };
        match spawned {
            Ok(handle) => handles.push((name, handle)),
            Err(error) => {
                // The threads created so far see the stop signal and end.
                signal.stop();
                signal.start_all(0);
                let ended = collect(handles);
                let why = format!("the host has no thread for {name} ({error}): use fewer threads");
                return Err(ended
                    .err()
                    .map_or(Ended::NoThread(Error::new(Errno::EAGAIN, why)), Ended::Found));
            }
        }
    }
    signal.start_all(crew);
    let start = Instant::now();
    wait(&signal, start, time);
    signal.stop();
    let wall = start.elapsed();
    collect(handles).map(|done| (wall, done)).map_err(Ended::Found)
}

/// Runs one job on the calling thread, from the start signal to its end.
fn perform<T>(job: Job<T>, signal: &Signal) -> Result<Done<T>, Finding> {
    signal.wait_for_start();
    let start = thread_cpu_time();
    let result = guarded(&job.name, || (job.work)(signal));
    let cpu = thread_cpu_time() - start;
    if result.is_err() {
        signal.stop();
    }
    result.map(|value| Done { value, cpu })
}

/// Runs `work` and turns the panic of a broken rule into a finding.
pub(super) fn guarded<T>(who: &str, work: impl FnOnce() -> Result<T, Finding>) -> Result<T, Finding> {
    // A panic loses the values that the work owned. The loss is harmless, because the machine is
    // not used after a finding.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
            .unwrap_or_else(|| "no message".into());
        Err(Finding::Stopped { thread: who.to_owned(), message })
    })
}

/// Waits until the time is up, a thread has failed, or the caller has ended the work.
fn wait(signal: &Signal, start: Instant, time: Duration) {
    while !signal.stopped() && !interrupted() {
        match time.checked_sub(start.elapsed()) {
            Some(left) if !left.is_zero() => thread::sleep(left.min(LOOK)),
            _ => return,
        }
    }
}

fn collect<T>(handles: Vec<(String, Handle<T>)>) -> Result<Vec<Done<T>>, Finding> {
    let deadline = Instant::now() + PATIENCE;
    while handles.iter().any(|(_, handle)| !handle.is_finished()) && Instant::now() < deadline {
        thread::sleep(Duration::from_micros(50));
    }
    let mut done = Vec::with_capacity(handles.len());
    let mut failed = None;
    let mut stuck = Vec::new();
    for (name, handle) in handles {
        if !handle.is_finished() {
            stuck.push(name);
            continue;
        }
        match handle.join() {
            Ok(Ok(value)) => done.push(value),
            // One finding is enough: the failure of one thread often makes others fail or wait.
            Ok(Err(finding)) => failed = failed.or(Some(finding)),
            Err(_) => stuck.push(name),
        }
    }
    match (failed, stuck.is_empty()) {
        (Some(finding), _) => Err(finding),
        (None, false) => Err(Finding::Stuck(stuck.join(", "), PATIENCE.as_secs())),
        (None, true) => Ok(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::reserve_threads;
    use crate::sync::interruptible;

    /// A time that no test waits for.
    const LONG: Duration = Duration::from_secs(60);

    fn job<T>(work: impl FnOnce(&Signal) -> Result<T, Finding> + Send + 'static) -> Job<T> {
        Job { name: "worker 3".into(), work: Box::new(work) }
    }

    #[test]
    fn threads_run_for_the_time_asked_and_give_back_in_order() {
        let jobs = (0..3).map(|n| {
            job(move |signal: &Signal| {
                while !signal.stopped() {
                    thread::sleep(Duration::from_micros(50));
                }
                Ok(n)
            })
        });
        let (wall, done) =
            run(jobs.collect(), reserve_threads(3).unwrap(), Duration::from_millis(40)).unwrap();
        assert!(wall >= Duration::from_millis(40) && wall < Duration::from_millis(400), "{wall:?}");
        assert_eq!(done.iter().map(|done| done.value).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_round_that_its_caller_ends_gives_the_work_of_its_threads_back() {
        let waits = job(|signal: &Signal| {
            while !signal.stopped() {
                thread::yield_now();
            }
            Ok(7)
        });
        let slots = reserve_threads(1).unwrap();
        let (wall, done) = interruptible(|| true, || run(vec![waits], slots, LONG)).unwrap();
        assert!(wall < LONG);
        assert_eq!(done[0].value, 7);
    }

    #[test]
    fn a_panic_ends_the_round_at_once_and_is_reported() {
        let waits = job(|signal: &Signal| {
            while !signal.stopped() {
                thread::yield_now();
            }
            Ok(())
        });
        let panics = job(|_: &Signal| -> Result<(), Finding> { panic!("rule {}", 7) });
        let start = Instant::now();
        let ended = run(vec![waits, panics], reserve_threads(2).unwrap(), LONG).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(20));
        let Ended::Found(finding) = ended else { panic!("{ended:?}") };
        assert_eq!(finding.to_string(), "worker 3 stopped: rule 7");
    }
}
