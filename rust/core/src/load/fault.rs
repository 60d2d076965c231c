//! The errors of a load. A failure names the finding, the design, the seed and the command that
//! repeats it.

use super::content::Violation;
use crate::audit::Ledger;
use crate::error::{Errno, Error};
use crate::machine::Machine;
use crate::release::Release;
use crate::sync::interrupted;

/// The reasons for which a load has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    /// A configuration that no load can run.
    #[error("{0}")]
    Config(String),
    /// The host or the machine lacks memory or threads.
    #[error("the load cannot be set up: {0}")]
    SetUp(#[from] Error),
    /// The trace causes too few migrations for a comparison.
    #[error(
        "the trace of {accesses} accesses to {footprint} pages causes only {migrated} migrations, fewer than \
         {needed}: {advice}"
    )]
    TooFewMigrations {
        /// Migrations of the warm-up, which passes over the trace at least once.
        migrated: u64,
        /// Migrations that a comparison needs.
        needed: u64,
        /// Accesses of the trace.
        accesses: usize,
        /// Distinct pages of the trace.
        footprint: u32,
        /// A proposal for the user.
        advice: String,
    },
    /// The caller has ended the work ([`interruptible`](crate::sync::interruptible)). A load that was set up
    /// can be run and finished again.
    #[error("the load was interrupted")]
    Interrupted,
    /// The machine broke a rule.
    #[error(transparent)]
    Failed(#[from] Box<Failed>),
}

impl LoadError {
    /// The error of work that the caller may have ended. The machine refuses the rest of such work, and these
    /// refusals are no findings.
    pub(super) fn or_interrupted(self) -> LoadError {
        if interrupted() { LoadError::Interrupted } else { self }
    }
}

/// A finding with the data that repeats it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{finding}\n  release design {design}, seed {seed}; repeat with: {command}")]
pub struct Failed {
    /// The finding.
    pub finding: Finding,
    /// The release design.
    pub design: &'static str,
    /// The seed of the round.
    pub seed: u64,
    /// The command or call that repeats the failure.
    pub command: String,
}

/// The kinds of failures that a load can find.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Finding {
    /// A word with another content than was written.
    #[error("wrong content: {0}")]
    Content(#[from] Violation),
    /// Findings of the audit.
    #[error("the audit found {count} broken rules, first: {first}", count = .0.len(), first = .0[0])]
    Audit(Vec<String>),
    /// Frames that are not free although every page was given back.
    #[error("{0} page frames are lost: still in use after everything was given back")]
    LostFrames(u32),
    /// An operation that must succeed did not.
    #[error("{operation} failed: {error}")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// The error of the machine.
        error: Error,
    },
    /// A rule of the protocol stopped a thread.
    #[error("{thread} stopped: {message}")]
    Stopped {
        /// The thread.
        thread: String,
        /// The message of its panic.
        message: String,
    },
    /// The policy of the user has failed.
    #[error("the policy failed: {0}")]
    Policy(String),
    /// Threads that did not end in time: their names, and the seconds that they had.
    #[error("{0} did not end within {1} s after the stop signal")]
    Stuck(String, u64),
}

impl Finding {
    /// Returns a function that turns the error of an operation that must succeed into a finding.
    pub(super) fn refused(operation: &'static str) -> impl Fn(Error) -> Finding {
        move |error| Finding::Refused { operation, error }
    }
}

/// Refuses to go on if the caller has ended the work. A loop over all pages of a load asks at each page.
pub(super) fn unless_interrupted() -> Result<(), Finding> {
    Error::unless_interrupted().map_err(Finding::refused("a step"))
}

/// Drains all batches and audits a machine at rest. An audit that the caller ends, or for which the host has
/// no memory, has found no broken rule.
pub(super) fn audited<R: Release>(machine: &Machine<R>, ledger: &Ledger) -> Result<(), Finding> {
    machine.lru_drain_all();
    let findings = machine.try_audit(ledger).map_err(Finding::refused("the audit"))?;
    match findings.is_empty() {
        true => Ok(()),
        false => Err(Finding::Audit(findings.iter().map(ToString::to_string).collect())),
    }
}

/// Turns ENOMEM into `None`. Memory may be short for a moment; the load then skips the operation.
pub(super) fn unless_short<T>(
    operation: &'static str,
    result: Result<T, Error>,
) -> Result<Option<T>, Finding> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.errno == Errno::ENOMEM => Ok(None),
        Err(error) => Err(Finding::refused(operation)(error)),
    }
}

#[cfg(all(test, not(any(feature = "explored", feature = "counted"))))]
mod tests {
    use super::*;
    use crate::machine::Config;
    use crate::release::Split;
    use crate::sync::ended;

    #[test]
    fn an_audit_that_was_interrupted_is_no_broken_rule() {
        let machine = Machine::<Split>::new(&Config::new(1, 64)).unwrap();
        let (audit, came) = ended::at(0, || audited(&machine, &Ledger::default()));
        assert!(came);
        let Err(Finding::Refused { error, .. }) = audit else { panic!("{audit:?}") };
        assert_eq!(error.errno, Errno::EINTR);
        let (findings, _) = ended::at(0, || machine.audit(&Ledger::default()));
        assert_eq!(findings[0].rule, "the audit has come to its end");
    }
}
