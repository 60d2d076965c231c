//! Operations that failed at each attempt. A run without a broken rule has not tested such an
//! operation, so every report lists it.

use super::Op;
use super::session::Step;
use crate::error::Errno;
use serde::Serialize;
use std::collections::BTreeSet;

/// The reason why a `fail` had no effect.
pub(crate) const NO_SITE: &str = "the operation after it never came to such a step";

/// An operation that never had an effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// `setup`, the thread's name, or `finally`.
    pub section: String,
    /// The number of the operation within the section, from 0.
    pub i: usize,
    /// The operation's line.
    pub op: String,
    /// The errnos of the failures, each once.
    pub errnos: Vec<&'static str>,
    /// The reason of the first failure.
    pub why: String,
}

impl Refused {
    /// Makes the entry of an operation that failed with these errnos.
    pub(crate) fn new(
        (section, i, op): (&str, usize, &Op),
        errnos: impl IntoIterator<Item = Errno>,
        why: String,
    ) -> Refused {
        let names: BTreeSet<&'static str> =
            errnos.into_iter().map(|errno| errno.name().unwrap_or("?")).collect();
        let (section, op) = (section.to_owned(), op.to_string());
        Refused { section, i, op, errnos: names.into_iter().collect(), why }
    }
}

impl Step {
    /// Returns true if the operation had an effect. An operation that failed on some pages and
    /// succeeded on others had an effect. A query always has an effect, whatever its answer.
    pub fn did_anything(&self, op: &Op) -> bool {
        if matches!(op, Op::Query { .. }) {
            return true;
        }
        let of_pages = !self.status.is_empty() || !self.calls_ret.is_empty() || !self.acc.is_empty();
        match of_pages {
            false => self.problem.is_none(),
            true => {
                // A write to disk that has begun has the status 1. No write begins for a clean page, which
                // has the status 0.
                let least = i32::from(matches!(op, Op::BeginWriteback { .. }));
                let page = |status: &Option<i32>| status.is_some_and(|status| status >= least);
                self.status.iter().any(page)
                    || self.calls_ret.contains(&0)
                    || self.acc.iter().any(|access| !matches!(access, super::session::Access::Failed(_)))
            }
        }
    }

    /// Returns the errnos of the failures.
    pub(crate) fn errnos(&self) -> impl Iterator<Item = Errno> {
        let statuses = self.status.iter().flatten().filter(|status| **status < 0);
        self.errno.into_iter().chain(statuses.map(|status| Errno(-status)))
    }

    /// Returns the reason of the failure, in words.
    pub(crate) fn why(&self) -> String {
        match (&self.problem, self.errnos().next()) {
            (Some(problem), _) => problem.to_string(),
            (None, Some(errno)) => errno.to_string(),
            (None, None) => "no page was touched".into(),
        }
    }
}
