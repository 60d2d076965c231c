//! What strikes, where, and how often it did.

use crate::page::Pfn;
use crate::sync::{AtomicU32, Lock, LockClass, Ordering, thread_slot};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An allocation fails.
    NoMemory,
    /// A copy meets a machine check.
    CopyFailure,
    /// Somebody takes a reference on a page by its frame number, and keeps it.
    ExtraPin,
    /// An owner of movable pages refuses, or a device fails.
    DriverError,
    /// A frame is found bad.
    Poison,
    /// A thread has a fatal signal.
    Killed,
    /// Whoever sleeps on a page wakes up for no reason.
    SpuriousWakeup,
}

impl Kind {
    /// The names that Python uses.
    pub const NAMES: &'static [(&'static str, Kind)] = &[
        ("no_memory", Kind::NoMemory),
        ("copy_failure", Kind::CopyFailure),
        ("extra_pin", Kind::ExtraPin),
        ("driver_error", Kind::DriverError),
        ("poison", Kind::Poison),
        ("killed", Kind::Killed),
        ("spurious_wakeup", Kind::SpuriousWakeup),
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        Kind::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// Where a fault struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hit {
    /// The site, in a few words.
    pub site: &'static str,
    /// The frame concerned, where one is.
    pub pfn: Option<Pfn>,
}

/// Hits that a plan remembers: the first ones.
const REMEMBERED: usize = 1024;

/// A fault that waits for its moment.
#[derive(Debug)]
pub struct Plan {
    /// What strikes.
    pub kind: Kind,
    /// The number of the first site where it strikes.
    pub at: u64,
    /// At how many sites, one after the other.
    pub times: u64,
    seen: Lock<Seen>,
}

#[derive(Clone, Debug, Default, Hash)]
struct Seen {
    passed: u64,
    fired: u64,
    hits: Vec<Hit>,
    left: Left,
    /// Slots of threads that have a fatal signal.
    killed: BTreeSet<usize>,
}

/// What a plan has done to pages, and is still to be ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    /// Heads of pages, one for each reference that somebody holds.
    pub references: Vec<Pfn>,
    /// Frames that are flagged as bad, and whose failures nobody has handled.
    pub bad: Vec<Pfn>,
}

impl Plan {
    pub(super) fn new(kind: Kind, at: u64, times: u64) -> Plan {
        Plan { kind, at, times, seen: Lock::new(LockClass::Leaf, Seen::default()) }
    }

    /// Sites passed so far.
    pub fn passed(&self) -> u64 {
        self.seen.lock().passed
    }

    /// How often it struck. A site at which it could not strike after all, because another thread was faster, counts as
    /// passed only.
    pub fn fired(&self) -> u64 {
        self.seen.lock().fired
    }

    /// Where it struck, in order: the first 1,024 times.
    pub fn hits(&self) -> Vec<Hit> {
        self.seen.lock().hits.clone()
    }

    /// One more site. Is it one where the fault strikes?
    pub(super) fn passes(&self) -> bool {
        let mut seen = self.seen.lock();
        let number = seen.passed;
        seen.passed += 1;
        number >= self.at && number - self.at < self.times
    }

    /// It has struck.
    pub(super) fn hit(&self, hit: Hit) {
        let mut seen = self.seen.lock();
        seen.fired += 1;
        if seen.hits.len() < REMEMBERED {
            seen.hits.push(hit);
        }
    }

    /// It has taken a reference.
    pub(super) fn keep(&self, head: Pfn) {
        self.seen.lock().left.references.push(head);
    }

    /// It has flagged a frame.
    pub(super) fn spoil(&self, pfn: Pfn) {
        self.seen.lock().left.bad.push(pfn);
    }

    /// The calling thread has a fatal signal.
    pub(super) fn kill(&self) {
        self.seen.lock().killed.insert(thread_slot());
    }

    pub(super) fn leave(&self) -> Left {
        std::mem::take(&mut self.seen.lock().left)
    }
}

/// The plans of a machine.
#[derive(Debug)]
pub(crate) struct Plans {
    /// How many there are.
    armed: AtomicU32,
    list: Lock<Vec<Arc<Plan>>>,
}

impl Plans {
    pub(crate) fn new() -> Plans {
        Plans { armed: AtomicU32::new(0), list: Lock::new(LockClass::Leaf, Vec::new()) }
    }

    pub(super) fn add(&self, plan: Arc<Plan>) {
        self.list.lock().push(plan);
        // Relaxed, here and in `remove` and `any`: a thread that is under way may or may not meet the plan; the plan
        // itself is found under the lock.
        self.armed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, plan: &Arc<Plan>) -> bool {
        let mut list = self.list.lock();
        let Some(place) = list.iter().position(|other| Arc::ptr_eq(other, plan)) else { return false };
        list.remove(place);
        self.armed.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Is there one?
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.armed.load(Ordering::Relaxed) > 0
    }

    /// All of them, to be asked without the list's lock.
    pub(super) fn all(&self) -> Vec<Arc<Plan>> {
        if self.any() { self.list.lock().clone() } else { Vec::new() }
    }

    pub(super) fn references(&self) -> Vec<Pfn> {
        self.all().iter().flat_map(|plan| plan.seen.lock().left.references.clone()).collect()
    }

    /// Passes a site of a kind; true if a fault strikes.
    #[cold]
    pub(crate) fn strike(&self, kind: Kind, site: &'static str, pfn: Option<Pfn>) -> bool {
        let mut strikes = false;
        for plan in self.all().iter().filter(|plan| plan.kind == kind) {
            if plan.passes() {
                plan.hit(Hit { site, pfn });
                strikes = true;
            }
        }
        strikes
    }

    /// Passes a look for a signal; true if the calling thread has one.
    #[cold]
    pub(super) fn is_killed(&self, site: &'static str) -> bool {
        let mut killed = false;
        for plan in self.all().iter().filter(|plan| plan.kind == Kind::Killed) {
            if plan.passes() {
                plan.hit(Hit { site, pfn: None });
                plan.kill();
            }
            killed |= plan.seen.lock().killed.contains(&thread_slot());
        }
        killed
    }
}
