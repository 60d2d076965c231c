//! Faults on purpose: at one step of the machine's work, counted, something fails that seldom does.
//!
//! A *plan* names a [`Kind`] of fault and the number of a *site*. Each kind has its own sites: the places where it can
//! strike. They are numbered from 0 in the order in which the machine's threads pass them while the plan is armed. So a
//! test arms site 0, does its work, looks at the state, arms site 1, and goes on until no site is left
//! ([`Plan::fired`] is 0): every failure of the work has been seen then.
//!
//! | kind | a site is | what happens there |
//! |---|---|---|
//! | `no_memory` | an allocation: of frames, of a swap slot, of an owner's slot, of a table | it fails |
//! | `copy_failure` | a copy that survives a machine check | it ends with `EHWPOISON` |
//! | `extra_pin` | a step about a page that somebody holds | somebody takes a reference, and keeps it |
//! | `driver_error` | an answer of an owner of movable pages, or of a device | it is a refusal, or an I/O error |
//! | `poison` | a step about a page whose frame is good; none while a failure is handled | the frame is flagged |
//! | `killed` | any step, and any look for a signal | the thread has a fatal signal from then on |
//! | `spurious_wakeup` | a step about a page | whoever sleeps on the page wakes up |
//!
//! A *step* is the entry into a recorded call ([`crate::calls`]), or a moment between two of them that
//! [`Machine::step`] names. What strikes at a step does what another thread could do there, and nothing else: it waits
//! for nobody.
//!
//! References and bad frames stay until the plan ends: [`Machine::disarm`] says what is left, and
//! [`Machine::settle`] puts the references and has the failures handled.
//!
//! # Cost
//!
//! The plans hang on the recorder of calls. A machine on which nobody ever armed a plan or recorded calls has none, so
//! a site costs one test of a word that never changes.

mod plan;
mod step;

pub(crate) use plan::Plans;
pub use plan::{Hit, Kind, Left, Plan};

use crate::calls::Recorder;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;
use std::sync::Arc;

impl<R: Release> Machine<R> {
    /// Arms a plan: faults of a kind strike at `times` sites, from number `at` on. Several plans may be armed at a
    /// time; each counts for itself. [`Machine::disarm`] ends it.
    pub fn arm(&self, kind: Kind, at: u64, times: u64) -> Arc<Plan> {
        let plan = Arc::new(Plan::new(kind, at, times));
        self.recorder.get_or_init(|| Recorder::new(false)).plans.add(Arc::clone(&plan));
        plan
    }

    /// Ends a plan: it does not strike any more. What it leaves is the caller's to [settle](Machine::settle); nothing
    /// the second time.
    pub fn disarm(&self, plan: &Arc<Plan>) -> Left {
        match self.recorder.get() {
            Some(recorder) if recorder.plans.remove(plan) => plan.leave(),
            _ => Left::default(),
        }
    }

    /// References that armed plans hold, one entry each: for the audit.
    pub(crate) fn injected_references(&self) -> Vec<Pfn> {
        self.recorder.get().map_or_else(Vec::new, |recorder| recorder.plans.references())
    }

    /// Does a fault of this kind strike at this site? Not for faults that strike at steps. Hot paths ask so; an error
    /// is made only where one is needed.
    #[inline]
    pub(crate) fn strikes(&self, kind: Kind, site: &'static str, pfn: Option<Pfn>) -> bool {
        match self.recorder.get() {
            Some(recorder) => recorder.plans.strike(kind, site, pfn),
            None => false,
        }
    }

    /// An allocation of what the site names is about to be made. `ENOMEM` if it is to fail.
    #[inline]
    pub(crate) fn may_allocate(&self, site: &'static str) -> Result<()> {
        if self.strikes(Kind::NoMemory, site, None) {
            return Err(no_memory(site));
        }
        Ok(())
    }

    /// The content of a frame is about to be copied by code that survives a machine check. `EHWPOISON` if there is one.
    #[inline]
    pub(crate) fn may_copy(&self, site: &'static str, from: Pfn) -> Result<()> {
        if self.strikes(Kind::CopyFailure, site, Some(from)) {
            let why = "the copy met a machine check: the fault is an injected one";
            return Err(Error::at(Errno::EHWPOISON, from, Why::State(why.into())));
        }
        Ok(())
    }

    /// Somebody outside of the core is about to be asked about a page: an owner, a device. `EIO` if the answer is to be
    /// an error; then nobody is asked.
    #[inline]
    pub(crate) fn may_ask(&self, site: &'static str, pfn: Pfn) -> Result<()> {
        if self.strikes(Kind::DriverError, site, Some(pfn)) {
            let why = format!("{site} failed: the fault is an injected one");
            return Err(Error::at(Errno::EIO, pfn, Why::State(why)));
        }
        Ok(())
    }

    /// The kernel looks here for a fatal signal of the calling thread. `EINTR` if there is one.
    #[inline]
    pub(crate) fn may_go_on(&self, site: &'static str) -> Result<()> {
        if self.recorder.get().is_some_and(|recorder| recorder.plans.is_killed(site)) {
            let why = "the thread was killed: the fault is an injected one";
            return Err(Error::new(Errno::EINTR, why));
        }
        Ok(())
    }
}

/// An allocation of what the site names was made to fail.
#[cold]
pub(crate) fn no_memory(site: &'static str) -> Error {
    Error::new(Errno::ENOMEM, format!("no memory for a {site}: the fault is an injected one"))
}
