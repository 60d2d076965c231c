//! Injects faults: makes a rare event happen at one numbered place of the machine's work. An allocation
//! fails, a driver refuses, or a frame turns bad.
//!
//! A *plan* names a [`Kind`] of fault and the number of a *site*. The sites of a kind are the
//! places where a fault of this kind can strike. They are numbered from 0 in the order in which the
//! machine's threads pass them while the plan is armed. A test arms site 0, does its work, checks
//! the state, arms site 1, and goes on until no site is left ([`Plan::fired`] is 0). By then a fault has
//! struck once at every site.
//!
//! | kind | a site is | effect of the fault |
//! |---|---|---|
//! | `no_memory` | an allocation: of frames, of a swap slot, of an owner's slot, of a table | the allocation fails |
//! | `copy_failure` | a copy that survives a machine check | the copy ends with `EHWPOISON` |
//! | `extra_pin` | a step that handles a page with references | the plan takes a reference, and keeps it |
//! | `driver_error` | a request to an owner of movable pages, or to a device | the answer is a refusal, or an I/O error |
//! | `poison` | a step that handles a page whose frame is good; none while a failure is handled | the frame is flagged as bad |
//! | `killed` | any step, and any check for a signal | the thread has a fatal signal from then on |
//! | `spurious_wakeup` | a step that handles a page | the threads that sleep on the page wake up |
//!
//! A *step* is the entry into a recorded call ([`crate::calls`]), or a moment between two of them
//! that `Machine::step` names. A fault at a step does only things that another thread could do at
//! that moment, and never waits.
//!
//! A thread of a program arms a fault in its own next operation instead (`next`).
//!
//! References and bad frames stay until the plan ends. [`Machine::disarm`] returns those that are
//! left, and [`Machine::settle`] puts the references and handles the failures.
//!
//! # Cost
//!
//! The plans are kept in the recorder of calls. The first plan or recording makes the recorder, and the
//! first fault of a thread makes the faults of threads. Until then a site costs one test each of two
//! words that do not change.

pub(crate) mod armed;
mod next;
pub(crate) mod plan;
mod step;

pub use plan::{Hit, Kind, Left, Plan};

use crate::calls::recorder::Recorder;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::design::Designed;
use std::sync::Arc;

impl<R: Designed> Machine<R> {
    /// Arms a plan: faults of a kind strike at `times` sites, from number `at` on. Several plans
    /// may be armed at a time; each counts sites for itself. [`Machine::disarm`] ends the plan.
    pub fn arm(&self, kind: Kind, at: u64, times: u64) -> Arc<Plan> {
        let plan = Arc::new(Plan::new(kind, at, times));
        self.recorder.get_or_init(|| Recorder::new(false)).plans.add(Arc::clone(&plan));
        plan
    }

    /// Ends a plan: its faults strike no more. Returns the references and bad frames that the plan
    /// left, which the caller [settles](Machine::settle). A second call returns none.
    pub fn disarm(&self, plan: &Arc<Plan>) -> Left {
        match self.recorder.get() {
            Some(recorder) if recorder.plans.remove(plan) => plan.take_left(),
            _ => Left::default(),
        }
    }

    /// Returns the pages on which armed plans hold references, one entry for each reference; for
    /// the audit.
    pub(crate) fn injected_references(&self) -> Vec<Pfn> {
        self.recorder.get().map_or_else(Vec::new, |recorder| recorder.plans.references())
    }

    /// Passes a site of a kind whose faults do not strike at steps; returns true if a fault
    /// strikes. Hot paths use this function, because it makes no error value.
    #[inline]
    pub(crate) fn strikes(&self, kind: Kind, site: &'static str, pfn: Option<Pfn>) -> bool {
        // The plans and the thread's own fault both count the site: neither hides it from the other.
        let planned = match self.recorder.get() {
            Some(recorder) => recorder.plans.strike(kind, site, pfn),
            None => false,
        };
        self.next_strikes(kind) || planned
    }

    /// Passes the site of an allocation that is about to be made. `ENOMEM` if the allocation is to
    /// fail.
    #[inline]
    pub(crate) fn may_allocate(&self, site: &'static str) -> Result<()> {
        if self.strikes(Kind::NoMemory, site, None) {
            return Err(no_memory(site));
        }
        Ok(())
    }

    /// Passes the site of a copy by code that survives a machine check. `EHWPOISON` if the copy is
    /// to meet one.
    #[inline]
    pub(crate) fn may_copy(&self, site: &'static str, from: Pfn) -> Result<()> {
        if self.strikes(Kind::CopyFailure, site, Some(from)) {
            let why = "the copy met a machine check: the fault is an injected one";
            return Err(Error::at(Errno::EHWPOISON, from, Why::State(why.into())));
        }
        Ok(())
    }

    /// Passes the site of a request to an owner or a device. `EIO` if the fault strikes: the caller
    /// then does not make the request.
    #[inline]
    pub(crate) fn may_ask(&self, site: &'static str, pfn: Pfn) -> Result<()> {
        if self.strikes(Kind::DriverError, site, Some(pfn)) {
            let why = format!("{site} failed: the fault is an injected one");
            return Err(Error::at(Errno::EIO, pfn, Why::State(why)));
        }
        Ok(())
    }

    /// Passes a place where the kernel checks for a fatal signal of the calling thread. `EINTR` if
    /// the thread has a fatal signal.
    #[inline]
    pub(crate) fn may_go_on(&self, site: &'static str) -> Result<()> {
        let planned = self.recorder.get().is_some_and(|recorder| recorder.plans.is_killed(site));
        if self.next_strikes(Kind::Killed) || planned {
            let why = "the thread was killed: the fault is an injected one";
            return Err(Error::new(Errno::EINTR, why));
        }
        Ok(())
    }
}

/// Returns the error of an allocation that an injected fault makes fail.
#[cold]
pub(crate) fn no_memory(site: &'static str) -> Error {
    Error::new(Errno::ENOMEM, format!("no memory for a {site}: the fault is an injected one"))
}
