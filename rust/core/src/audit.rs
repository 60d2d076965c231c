//! The audit: checks every invariant of `docs/design.md` that can be judged at rest, over a whole
//! machine.
//!
//! A machine is at rest while no operation is in progress on any thread. The audit takes one lock
//! at a time and changes nothing. For each frame the audit adds up the references of all holders
//! (the ledger of lifecycle 2.3), and compares the sums with the page records and the counters.

mod allocator;
mod census;
mod finding;
mod holders;
mod ledger;
mod mlock;
mod owners;
mod report;
mod rules;

pub use census::{Holder, Place};
pub use finding::Finding;
pub use ledger::{Handle, Ledger};

use crate::error::{Errno, Result};
use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;

/// Audits repeatedly, and reuses the memory of the last audit.
#[derive(Debug, Default)]
pub struct Auditor(census::Census);

impl Auditor {
    /// Checks every invariant; the list is empty if none is broken. If the host has no memory for the audit,
    /// or the audit was interrupted, the only finding is this error. `handles` are the handles that the users
    /// of the machine hold.
    pub fn audit<R: Release>(
        &mut self,
        machine: &Machine<R>,
        handles: impl IntoIterator<Item = (Pfn, Handle, u32)>,
    ) -> Vec<Finding> {
        self.try_audit(machine, handles).unwrap_or_else(|error| {
            let rule = match error.errno {
                Errno::EINTR => "the audit has come to its end",
                _ => "the host has memory for the audit",
            };
            vec![Finding { rule, pfn: None, detail: error.to_string() }]
        })
    }

    /// Like [`Auditor::audit`], but fails with `ENOMEM` if the host has no memory for the census, and with
    /// `EINTR` if it was interrupted.
    pub fn try_audit<R: Release>(
        &mut self,
        machine: &Machine<R>,
        handles: impl IntoIterator<Item = (Pfn, Handle, u32)>,
    ) -> Result<Vec<Finding>> {
        self.0.take(machine, handles)?;
        rules::check(machine, &self.0)
    }
}

impl<R: Release> Machine<R> {
    /// Checks every invariant; the list is empty if none is broken. If the host has no memory for the audit,
    /// or the audit was interrupted, the only finding is this error. `ledger` has the handles that the users
    /// of the machine hold.
    pub fn audit(&self, ledger: &Ledger) -> Vec<Finding> {
        Auditor::default().audit(self, ledger.handles())
    }

    /// Like [`Machine::audit`], but fails with `ENOMEM` if the host has no memory for the census, and with
    /// `EINTR` if it was interrupted.
    pub fn try_audit(&self, ledger: &Ledger) -> Result<Vec<Finding>> {
        Auditor::default().try_audit(self, ledger.handles())
    }
}
