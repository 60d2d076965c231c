//! How a load fails: loudly, naming the state, the seed and the command to repeat.

use super::content::Violation;
use crate::error::Error;

/// Why a load gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Config(String),
    /// The host or the machine has not enough of something.
    #[error("the load cannot be set up: {0}")]
    SetUp(#[from] Error),
    /// A trace that says nothing about migration.
    #[error(
        "the trace causes only {migrated} migrations in {accesses} accesses to {footprint} pages, fewer than \
         {needed}: {advice}"
    )]
    TooFewMigrations {
        /// Migrations seen in one pass over the trace.
        migrated: u64,
        /// What a comparison needs.
        needed: u64,
        /// Accesses of the trace.
        accesses: usize,
        /// Distinct pages of the trace.
        footprint: u32,
        /// What to change.
        advice: String,
    },
    /// Something is wrong with the machine.
    #[error(transparent)]
    Failed(#[from] Box<Failed>),
}

/// A finding and how to see it again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{finding}\n  release design {design}, seed {seed}; repeat with: {command}")]
pub struct Failed {
    /// What was found.
    pub finding: Finding,
    /// The release design.
    pub design: &'static str,
    /// The seed of the round.
    pub seed: u64,
    /// What to type or do.
    pub command: String,
}

/// What a load finds.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Finding {
    /// A word that says something else than what was written.
    #[error("wrong content: {0}")]
    Content(#[from] Violation),
    /// Broken invariants.
    #[error("the audit found {count} broken rules, first: {first}", count = .0.len(), first = .0[0])]
    Audit(Vec<String>),
    /// Frames that nobody gave back.
    #[error("{0} page frames are lost: still in use after everything was given back")]
    LostFrames(u32),
    /// An operation that must succeed did not.
    #[error("{operation} failed: {error}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// What the machine said.
        error: Error,
    },
    /// A rule of the protocol stopped a thread.
    #[error("{thread} stopped: {message}")]
    Stopped {
        /// The thread.
        thread: String,
        /// Its last words.
        message: String,
    },
    /// The user's policy.
    #[error("the policy failed: {0}")]
    Policy(String),
    /// Threads that do not come to an end.
    #[error("{0} did not end within {1} s after it was asked to")]
    Stuck(String, u64),
}

impl Finding {
    /// An operation that must succeed did not.
    pub(super) fn refused(operation: &'static str) -> impl Fn(Error) -> Finding {
        move |error| Finding::Refused { operation, error }
    }
}
