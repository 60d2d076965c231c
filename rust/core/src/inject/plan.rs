//! Plans of faults: the kind of fault, its sites, and a record of its hits.

use crate::page::Pfn;
use crate::sync::{AtomicU32, Lock, LockClass, Ordering, thread_slot};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An allocation fails.
    NoMemory,
    /// A copy meets a machine check.
    CopyFailure,
    /// A reference is taken on a page by its frame number, and kept.
    ExtraPin,
    /// An owner of movable pages refuses, or a device fails.
    DriverError,
    /// A frame is found bad.
    Poison,
    /// A thread has a fatal signal.
    Killed,
    /// The threads that sleep on a page wake up without a reason.
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

    /// Returns the name that Python uses.
    pub fn name(self) -> &'static str {
        Kind::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// A site at which a fault struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hit {
    /// The name of the site.
    pub site: &'static str,
    /// The frame that the site handles, if any.
    pub pfn: Option<Pfn>,
}

/// Number of hits that a plan records; further ones are only counted.
const REMEMBERED: usize = 1024;

/// A plan of faults, with the sites that it has passed.
#[derive(Debug)]
pub struct Plan {
    /// The kind of the plan's faults.
    pub kind: Kind,
    /// The number of the first site at which a fault strikes.
    pub at: u64,
    /// The number of consecutive sites at which a fault strikes.
    pub times: u64,
    seen: Lock<Seen>,
}

#[derive(Clone, Debug, Default, Hash)]
struct Seen {
    passed: u64,
    fired: u64,
    hits: Vec<Hit>,
    left: Left,
    /// Slots of threads to which the plan has given a fatal signal.
    killed: BTreeSet<usize>,
}

/// References and bad frames that a plan has left.
/// [`Machine::settle`](crate::machine::Machine::settle) puts the references and handles the bad
/// frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    /// Heads of pages, one for each reference that the plan holds.
    pub references: Vec<Pfn>,
    /// Frames that the plan has flagged as bad and whose failures were not handled.
    pub bad: Vec<Pfn>,
}

impl Plan {
    pub(super) fn new(kind: Kind, at: u64, times: u64) -> Plan {
        Plan { kind, at, times, seen: Lock::new(LockClass::Leaf, Seen::default()) }
    }

    /// Returns the number of sites passed so far.
    pub fn passed(&self) -> u64 {
        self.seen.lock().passed
    }

    /// Returns the number of sites at which a fault struck. If another thread prevented the fault
    /// at a site, the site counts only as passed.
    pub fn fired(&self) -> u64 {
        self.seen.lock().fired
    }

    /// Returns the sites at which a fault struck, in order: the first 1,024.
    pub fn hits(&self) -> Vec<Hit> {
        self.seen.lock().hits.clone()
    }

    /// Passes a site; returns true if the fault strikes there.
    pub(super) fn passes(&self) -> bool {
        let mut seen = self.seen.lock();
        let number = seen.passed;
        seen.passed += 1;
        number >= self.at && number - self.at < self.times
    }

    /// Records that the fault has struck.
    pub(super) fn hit(&self, hit: Hit) {
        let mut seen = self.seen.lock();
        seen.fired += 1;
        if seen.hits.len() < REMEMBERED {
            seen.hits.push(hit);
        }
    }

    /// Records that the plan has taken a reference.
    pub(super) fn note_reference(&self, head: Pfn) {
        self.seen.lock().left.references.push(head);
    }

    /// Records that the plan has flagged a frame.
    pub(super) fn note_bad(&self, pfn: Pfn) {
        self.seen.lock().left.bad.push(pfn);
    }

    /// Records that the plan has given the calling thread a fatal signal.
    pub(super) fn kill(&self) {
        self.seen.lock().killed.insert(thread_slot());
    }

    pub(super) fn take_left(&self) -> Left {
        std::mem::take(&mut self.seen.lock().left)
    }
}

/// The plans of a machine.
#[derive(Debug)]
pub(crate) struct Plans {
    /// Number of armed plans, so that a site can test for none without the lock.
    armed: AtomicU32,
    list: Lock<Vec<Arc<Plan>>>,
}

impl Plans {
    pub(crate) fn new() -> Plans {
        Plans { armed: AtomicU32::new(0), list: Lock::new(LockClass::Leaf, Vec::new()) }
    }

    pub(super) fn add(&self, plan: Arc<Plan>) {
        self.list.lock().push(plan);
        // Relaxed, here and in `remove` and `any`. A thread that races with this call may miss the
        // plan, which is harmless: it passes its sites as if before the call. A thread that sees
        // the number finds the plan under the lock.
        self.armed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, plan: &Arc<Plan>) -> bool {
        let mut list = self.list.lock();
        let Some(place) = list.iter().position(|other| Arc::ptr_eq(other, plan)) else { return false };
        list.remove(place);
        // Relaxed: as in `add`. A thread that still sees the plan counted finds it missing under the lock.
        self.armed.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Returns true if a plan is armed.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        // Relaxed: as in `add`.
        self.armed.load(Ordering::Relaxed) > 0
    }

    /// Returns a copy of the list, so that plans are asked without its lock.
    pub(super) fn all(&self) -> Vec<Arc<Plan>> {
        if self.any() { self.list.lock().clone() } else { Vec::new() }
    }

    pub(super) fn references(&self) -> Vec<Pfn> {
        self.all().iter().flat_map(|plan| plan.seen.lock().left.references.clone()).collect()
    }

    /// Passes a site of a kind; returns true if a fault strikes.
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

    /// Passes a check for a signal; returns true if the calling thread has one.
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
