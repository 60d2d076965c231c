//! Operations that failed at each attempt. A run without a broken rule has not tested them, so
//! every report lists them.

use super::Op;
use super::session::Step;
use crate::error::Errno;
use serde::Serialize;
use std::collections::BTreeSet;

/// An operation that never had an effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// `setup`, the thread's name, or `finally`.
    pub section: String,
    /// Its number within the section, from 0.
    pub i: usize,
    /// The operation's line.
    pub op: String,
    /// The errnos with which it failed, each once.
    pub errnos: Vec<&'static str>,
    /// The reason of the first failure.
    pub why: String,
}

impl Refused {
    /// An operation that failed with these errnos.
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
    /// Whether the operation had an effect. It may fail on some pages and succeed on others. A
    /// query always has one, whatever its answer.
    pub fn did_anything(&self, op: &Op) -> bool {
        if matches!(op, Op::Query { .. }) {
            return true;
        }
        let of_pages = !self.status.is_empty() || !self.calls_ret.is_empty() || !self.acc.is_empty();
        match of_pages {
            false => self.problem.is_none(),
            true => {
                let page = |status: &Option<i32>| status.is_some_and(|status| status >= 0);
                self.status.iter().any(page)
                    || self.calls_ret.contains(&0)
                    || self.acc.iter().any(|access| !matches!(access, super::session::Access::Failed(_)))
            }
        }
    }

    /// The errnos with which it failed.
    pub(crate) fn errnos(&self) -> impl Iterator<Item = Errno> {
        let statuses = self.status.iter().flatten().filter(|status| **status < 0);
        self.errno.into_iter().chain(statuses.map(|status| Errno(-status)))
    }

    /// The reason of the failure, in words.
    pub(crate) fn why(&self) -> String {
        match (&self.problem, self.errnos().next()) {
            (Some(problem), _) => problem.to_string(),
            (None, Some(errno)) => errno.to_string(),
            (None, None) => "no page was touched".into(),
        }
    }
}
