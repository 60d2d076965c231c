//! The audit: every invariant of `docs/design.md` that can be judged at a quiet moment, over a whole
//! machine.
//!
//! Quiet means: no operation is in progress on any thread. The audit takes one lock at a time and
//! changes nothing. It adds up, for each frame, everybody who holds a reference (the ledger of
//! lifecycle 2.3), and compares with what the record and the counters say.

mod allocator;
mod census;
mod holders;
mod mlock;
mod rules;

pub use census::{Holder, Place};

use crate::error::Result;
use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::{Lock, LockClass};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, in a few words; the same text for every instance.
    pub rule: &'static str,
    /// The frame concerned, where one is.
    #[serde(serialize_with = "frame_number")]
    pub pfn: Option<Pfn>,
    /// What was found, holders included.
    pub detail: String,
}

fn frame_number<S: Serializer>(pfn: &Option<Pfn>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    pfn.map(|pfn| pfn.0).serialize(serializer)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pfn {
            Some(pfn) => write!(f, "{}: page {pfn}: {}", self.rule, self.detail),
            None => write!(f, "{}: {}", self.rule, self.detail),
        }
    }
}

/// What a caller of the core holds on a page for longer than one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handle {
    /// A counted reference.
    Ref,
    /// A pin of 1024.
    Pin,
    /// An isolation token of an LRU page, counted in `nr_isolated_*`.
    Isolated,
    /// An isolation token of a movable page.
    IsolatedMovable,
    /// The page lock, with a reference.
    Lock,
    /// The page is frozen: its count is zero, whatever the other handles say.
    Frozen,
    /// A write of the page to its backing store, begun and not ended. No reference.
    Writeback,
}

/// The handles that callers hold: what the audit cannot find in the machine itself. Whoever keeps
/// references across calls (an interpreter, a binding) keeps one of these beside the machine.
#[derive(Debug)]
pub struct Ledger(Lock<BTreeMap<(Pfn, Handle), u32>>);

impl Default for Ledger {
    fn default() -> Self {
        Ledger(Lock::plain(LockClass::Leaf, BTreeMap::new()))
    }
}

impl Ledger {
    /// A handle was taken.
    pub fn add(&self, pfn: Pfn, handle: Handle) {
        *self.0.lock().entry((pfn, handle)).or_default() += 1;
    }

    /// A handle was given back. False if the ledger knows of none.
    pub fn remove(&self, pfn: Pfn, handle: Handle) -> bool {
        let mut entries = self.0.lock();
        match entries.get_mut(&(pfn, handle)) {
            Some(1) => entries.remove(&(pfn, handle)).is_some(),
            Some(n) => {
                *n -= 1;
                true
            }
            None => false,
        }
    }

    /// The handles on one frame with their numbers.
    pub fn of(&self, pfn: Pfn) -> Vec<(Handle, u32)> {
        let entries = self.0.lock();
        entries
            .range((pfn, Handle::Ref)..=(pfn, Handle::Writeback))
            .map(|(&(_, handle), &n)| (handle, n))
            .collect()
    }

    /// All handles with their numbers, by frame.
    pub fn handles(&self) -> Vec<(Pfn, Handle, u32)> {
        self.0.lock().iter().map(|(&(pfn, handle), &n)| (pfn, handle, n)).collect()
    }
}

/// Audits again and again, with the memory of the last time.
#[derive(Debug, Default)]
pub struct Auditor(census::Census);

impl Auditor {
    /// Checks every invariant; an empty list is a clean machine. `handles` are what callers keep.
    pub fn audit<R: Release>(
        &mut self,
        machine: &Machine<R>,
        handles: impl IntoIterator<Item = (Pfn, Handle, u32)>,
    ) -> Vec<Finding> {
        self.try_audit(machine, handles).unwrap_or_else(|error| {
            let rule = "an audit has memory for what it counts";
            vec![Finding { rule, pfn: None, detail: error.to_string() }]
        })
    }

    /// The same; `ENOMEM` if the host has no memory for the census.
    pub fn try_audit<R: Release>(
        &mut self,
        machine: &Machine<R>,
        handles: impl IntoIterator<Item = (Pfn, Handle, u32)>,
    ) -> Result<Vec<Finding>> {
        self.0.take(machine, handles)?;
        Ok(rules::check(machine, &self.0))
    }
}

impl<R: Release> Machine<R> {
    /// Checks every invariant; an empty list is a clean machine. `ledger` holds what the caller
    /// keeps.
    pub fn audit(&self, ledger: &Ledger) -> Vec<Finding> {
        Auditor::default().audit(self, ledger.handles())
    }

    /// The same; `ENOMEM` if the host has no memory for it.
    pub fn try_audit(&self, ledger: &Ledger) -> Result<Vec<Finding>> {
        Auditor::default().try_audit(self, ledger.handles())
    }
}
