//! The threads that reclaim and compact in the background. Each node has two: `kswapd` and
//! `kcompactd`.

use super::state::Wanted;
use crate::error::Result;
use crate::machine::{Machine, reserve_threads, too_many_threads};
use crate::release::Release;
use crate::sync::{AtomicU64, Ordering, ThreadSlot, park_patiently, patiently, unpark_all};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// The longest sleep of a daemon. After such a sleep the compacting daemon checks the node's
/// fragmentation score (`HPAGE_FRAG_CHECK_INTERVAL_MSEC`).
const INTERVAL: Duration = Duration::from_millis(500);

/// The number of checks that are left out after a proactive run that did not lower the score: the next
/// check is the 64th (`COMPACT_MAX_DEFER_SHIFT`).
const DEFERRED: u32 = 63;

/// A function that runs one piece of a daemon's work, and does before and after it what the user of the
/// library needs: a binding counts the piece as one of its calls.
pub type Surroundings = Arc<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

/// The daemons of a machine. Dropping them stops the threads and waits for their ends.
pub struct Daemons<R: Release> {
    machine: Arc<Machine<R>>,
    quit: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// The two kinds of daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Daemon {
    Kswapd,
    Kcompactd,
}

impl<R: Release> Daemons<R> {
    /// Starts the daemons of all nodes. `around` runs each piece of their work.
    ///
    /// `EAGAIN` if the process has no free slots for two threads a node, or the host starts no more threads.
    /// Daemons that have started by then are stopped.
    pub fn start(machine: &Arc<Machine<R>>, around: &Surroundings) -> Result<Daemons<R>> {
        let nodes = machine.nodes().len();
        let mut slots = reserve_threads(2 * nodes)?.into_iter();
        let quit = Arc::new(AtomicBool::new(false));
        let mut daemons = Daemons { machine: Arc::clone(machine), quit, threads: Vec::new() };
        for node in 0..nodes {
            for daemon in [Daemon::Kswapd, Daemon::Kcompactd] {
                let slot = slots.next().ok_or_else(|| too_many_threads(1))?;
                // An error drops `daemons`, which stops the threads that have begun.
                daemons.threads.push(daemons.spawn(daemon, node, slot, around)?);
            }
        }
        Ok(daemons)
    }

    fn spawn(
        &self,
        daemon: Daemon,
        node: usize,
        slot: ThreadSlot,
        around: &Surroundings,
    ) -> Result<JoinHandle<()>> {
        let (machine, quit, around) = (Arc::clone(&self.machine), Arc::clone(&self.quit), Arc::clone(around));
        let name = match daemon {
            Daemon::Kswapd => format!("kswapd{node}"),
            Daemon::Kcompactd => format!("kcompactd{node}"),
        };
        let work = move || {
            if slot.adopt() {
                match daemon {
                    Daemon::Kswapd => reclaim(&machine, node, &quit, &around),
                    Daemon::Kcompactd => compact(&machine, node, &quit, &around),
                }
            }
        };
        Builder::new().name(name).spawn(work).map_err(|_| too_many_threads(1))
    }

    /// Stops the threads and waits for their ends.
    pub fn stop(self) {}

    /// Tells the threads to end after their present piece of work.
    pub fn tell_to_end(&self) {
        // Relaxed: the flag publishes nothing.
        self.quit.store(true, Ordering::Relaxed);
        for node in self.machine.nodes() {
            unpark_all(&node.wanted.kswapd, || {});
            unpark_all(&node.wanted.kcompactd, || {});
        }
    }

    /// True if the threads were told to end.
    pub fn are_ending(&self) -> bool {
        // Relaxed: as in `tell_to_end`.
        self.quit.load(Ordering::Relaxed)
    }

    /// True if all threads have ended.
    pub fn have_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Stops the threads and does not wait for their ends. They keep the machine until then.
    pub fn leave(mut self) {
        self.tell_to_end();
        self.threads.clear();
    }
}

impl<R: Release> Drop for Daemons<R> {
    fn drop(&mut self) {
        self.tell_to_end();
        let me = std::thread::current().id();
        // A daemon runs this drop itself if its work releases the last reference to the object that
        // holds the daemons. A daemon that waited for its own end would never return.
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != me) {
            // An error means that the daemon has panicked. The panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl<R: Release> std::fmt::Debug for Daemons<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemons").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

/// Sleeps until the word is not 0, the daemons are to stop, or the time `longest` is over. Returns true
/// if the daemons are to stop.
fn sleep(word: &AtomicU64, quit: &AtomicBool, longest: Duration) -> bool {
    // Relaxed: the flag publishes nothing.
    let must_stop = || quit.load(Ordering::Relaxed);
    patiently(longest, || {
        // Relaxed: the word publishes nothing.
        while !must_stop() && word.load(Ordering::Relaxed) == 0 {
            if !park_patiently(word, || word.load(Ordering::Relaxed) == 0 && !must_stop()) {
                break;
            }
        }
    });
    must_stop()
}

fn reclaim<R: Release>(machine: &Machine<R>, node: usize, quit: &AtomicBool, around: &Surroundings) {
    let word = &machine.nodes()[node].wanted.kswapd;
    while !sleep(word, quit, INTERVAL) {
        if let Some(order) = Wanted::take(word) {
            // The node and the order exist, so the run cannot be refused.
            around(&mut || _ = machine.kswapd(node, order));
        }
    }
}

fn compact<R: Release>(machine: &Machine<R>, node: usize, quit: &AtomicBool, around: &Surroundings) {
    let word = &machine.nodes()[node].wanted.kcompactd;
    let mut deferred = 0u32;
    while !sleep(word, quit, INTERVAL) {
        // A new setting asks for a check at once.
        let asked = Wanted::take_check(word);
        if !asked && let Some(order) = Wanted::take(word) {
            around(&mut || _ = machine.kcompactd(node, order));
            deferred = 0;
            continue;
        }
        if !asked && deferred > 0 {
            deferred -= 1;
            continue;
        }
        deferred = 0;
        around(&mut || {
            let before = machine.fragmentation_score(node).unwrap_or_default();
            let run = machine.compact_proactively(node).ok().flatten();
            let lowered = machine.fragmentation_score(node).unwrap_or_default() < before;
            if run.is_some() && !lowered {
                deferred = DEFERRED;
            }
        });
    }
}
