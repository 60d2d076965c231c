//! What an operation did, as plain data.

use crate::audit::Finding;
use crate::error::{Errno, Error};
use crate::program::Owner;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// What one operation returned and what it found: the observables that a recording of a real
/// kernel has too, under the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// What the system call returned: -1 if it failed. 0 for a single step on pages, or -1 if it
    /// failed on one of them; how many pages it freed or moved for one on a node.
    pub ret: i64,
    /// Why it failed; of several pages, the first failure.
    pub errno: Option<Errno>,
    /// What became of each selected page: a node, or 0, or a negative errno; `None` where the kernel
    /// leaves the entry unwritten.
    pub status: Vec<Option<i32>>,
    /// What each of the system calls returned that an operation makes: 0 or a negative errno.
    pub calls_ret: Vec<i32>,
    /// What each access found.
    pub acc: Vec<Access>,
    /// Signals that the process got without having touched a page: BUS_MCEERR_AO.
    pub async_sigbus: u32,
    /// The same, BUS_MCEERR_AR: to who poisons his own memory.
    pub ar_sigbus: u32,
    /// `nr_isolated_anon` and `nr_isolated_file`.
    pub isolated: Option<[i64; 2]>,
    /// Why it was not done, or not on all pages; of several reasons, the first.
    pub problem: Option<Problem>,
    /// Broken rules.
    pub findings: Vec<Finding>,
}

/// The outcome of an access to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// What was written last.
    Ok,
    /// Zeroes.
    Zero,
    /// Something that was written earlier.
    Old,
    /// Nothing that was ever written there.
    Bad,
    /// What was written, or zeroes: the page was free to be taken away (`MADV_FREE`).
    Any,
    /// Zeroes where something was written, and nobody can say that it is wrong: the page was given up by advice that
    /// failed on the way, or by another thread.
    Lost,
    /// The frame is bad: a signal.
    Sigbus,
    /// Nothing is mapped there, or nothing could be had.
    Failed(Errno),
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Access::Ok => f.write_str("ok"),
            Access::Zero | Access::Lost => f.write_str("zero"),
            Access::Old => f.write_str("old"),
            Access::Bad => f.write_str("bad"),
            Access::Any => f.write_str("any"),
            Access::Sigbus => f.write_str("SIGBUS:MCEERR_AR"),
            Access::Failed(Errno::EFAULT) => f.write_str("SIGSEGV:MAPERR"),
            Access::Failed(errno) => write!(f, "-{}", errno.name().unwrap_or("E?")),
        }
    }
}

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It failed as the kernel fails it.
    #[error("{0}")]
    Failed(Error),
    /// The program must not ask for this, given what it holds; nothing was changed.
    #[error("{0}")]
    Misuse(Cow<'static, str>),
    /// The same: it holds none of these. In parts, because explored programs meet it all the time and
    /// nobody reads it.
    #[error("there is {what} on {} to give back", Shown(.owner, .index))]
    Lacks {
        /// None of what.
        what: &'static str,
        /// On which page.
        owner: Owner,
        /// Its number there.
        index: u32,
    },
    /// Nothing is behind a name: `ENOENT`.
    #[error("{}: no page is behind {}", Errno::ENOENT, Shown(.owner, .index))]
    Absent {
        /// The name.
        owner: Owner,
        /// The page's number there.
        index: u32,
    },
    /// This machine cannot do it.
    #[error("{0}")]
    Unsupported(&'static str),
}

impl Problem {
    /// The errno by which the problem shows. A misuse has none of the kernel's own: the kernel would
    /// break. Nor has what cannot be done.
    pub fn errno(&self) -> Errno {
        match self {
            Problem::Failed(error) => error.errno,
            Problem::Misuse(_) | Problem::Lacks { .. } => Errno::EPERM,
            Problem::Absent { .. } => Errno::ENOENT,
            Problem::Unsupported(_) => Errno::ENOSYS,
        }
    }

    /// One word for the kind of problem.
    pub fn kind(&self) -> &'static str {
        match self {
            Problem::Failed(_) | Problem::Absent { .. } => "failed",
            Problem::Misuse(_) | Problem::Lacks { .. } => "misuse",
            Problem::Unsupported(_) => "unsupported",
        }
    }

    pub(super) fn misuse(what: impl Into<Cow<'static, str>>) -> Problem {
        Problem::Misuse(what.into())
    }
}

/// A page as programs name it.
pub(super) struct Shown<'a>(pub &'a Owner, pub &'a u32);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Owner::Allocated(page) => page.fmt(f),
            listed => write!(f, "{listed}:{}", self.1),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        Problem::Failed(error)
    }
}

impl Step {
    /// Nothing was done.
    pub(super) fn refused(problem: Problem) -> Step {
        let mut step = Step::default();
        step.fails(problem);
        step
    }

    /// Notes a failure; the first one counts.
    pub(super) fn fails(&mut self, problem: Problem) {
        if self.problem.is_none() {
            self.ret = -1;
            self.errno = Some(problem.errno());
            self.problem = Some(problem);
        }
    }

    /// Notes what became of one page.
    pub(super) fn page(&mut self, outcome: Result<i32, Problem>) {
        match outcome {
            Ok(status) => self.status.push(Some(status)),
            Err(problem) => {
                self.status.push(Some(problem.errno().status()));
                self.fails(problem);
            }
        }
    }

    /// Is there nothing to complain about? A failure is a possible outcome, a broken rule is not.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Was it not even tried, because this machine cannot do it?
    pub fn is_unsupported(&self) -> bool {
        matches!(self.problem, Some(Problem::Unsupported(_)))
    }

    /// Was it refused because the program must not ask for it?
    pub fn is_misuse(&self) -> bool {
        matches!(self.problem, Some(Problem::Misuse(_) | Problem::Lacks { .. }))
    }
}

impl From<Result<(), Problem>> for Step {
    fn from(result: Result<(), Problem>) -> Step {
        match result {
            Ok(()) => Step::default(),
            Err(problem) => Step::refused(problem),
        }
    }
}

/// The runs of equal neighbours, as recordings write them.
pub fn run_lengths<T: PartialEq + Copy>(values: &[T]) -> Vec<(usize, T)> {
    values.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0])).collect()
}

/// A status as recordings write it: a number, a negative errno by name, or `unset`.
struct Status(Option<i32>);

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(status) = self.0 else { return serializer.serialize_str("unset") };
        match Errno(status.wrapping_neg()).name() {
            Some(name) if status < 0 => serializer.collect_str(&format_args!("-{name}")),
            _ => serializer.serialize_i32(status),
        }
    }
}

/// Fields appear only when there is something to say; `status` and `acc` are run-length coded.
impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ret", &self.ret)?;
        if let Some(errno) = self.errno {
            map.serialize_entry("errno", errno.name().unwrap_or("?"))?;
        }
        if !self.status.is_empty() {
            let runs: Vec<_> = run_lengths(&self.status).into_iter().map(|(n, s)| (n, Status(s))).collect();
            map.serialize_entry("status", &runs)?;
        }
        if !self.calls_ret.is_empty() {
            let runs = run_lengths(&self.calls_ret).into_iter().map(|(n, ret)| (n, Status(Some(ret))));
            map.serialize_entry("calls_ret", &runs.collect::<Vec<_>>())?;
        }
        if !self.acc.is_empty() {
            let runs: Vec<_> = run_lengths(&self.acc).into_iter().map(|(n, a)| (n, a.to_string())).collect();
            map.serialize_entry("acc", &runs)?;
        }
        for (name, signals) in [("async_sigbus", self.async_sigbus), ("ar_sigbus", self.ar_sigbus)] {
            if signals > 0 {
                map.serialize_entry(name, &signals)?;
            }
        }
        if let Some(isolated) = &self.isolated {
            map.serialize_entry("isolated", isolated)?;
        }
        if let Some(problem) = &self.problem {
            map.serialize_entry("problem", problem.kind())?;
            map.serialize_entry("why", &problem.to_string())?;
        }
        if !self.findings.is_empty() {
            map.serialize_entry("findings", &self.findings)?;
        }
        map.end()
    }
}
