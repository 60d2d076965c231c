//! The result of an operation, as plain data.

use crate::audit::Finding;
use crate::error::{Errno, Error};
use crate::layout::{Layout, runs};
use crate::page::Pfn;
use crate::program::Owner;
use crate::zram::MmStat;
use crate::zsmalloc::ZspageCount;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The result of one operation: the observables that a recording of a real kernel also has, under
/// the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The return value of a system call; -1 if it failed. A single step on pages has 0, or -1 if
    /// it failed on a page. A single step on a node has the number of pages that it freed or moved.
    pub ret: i64,
    /// The errno of the failure; of the first failure if several pages failed.
    pub errno: Option<Errno>,
    /// The status of each selected page: a node, 0 (1 for a write to disk that has begun), or a negative
    /// errno; `None` where the kernel leaves the page's status unwritten.
    pub status: Vec<Option<i32>>,
    /// The return value of each system call of an operation that makes several: 0 or a negative
    /// errno.
    pub calls_ret: Vec<i32>,
    /// The outcome of each access.
    pub acc: Vec<Access>,
    /// The number of signals for pages that the process did not touch: BUS_MCEERR_AO.
    pub async_sigbus: u32,
    /// The number of signals BUS_MCEERR_AR, which a process gets when it poisons its own memory.
    pub ar_sigbus: u32,
    /// `nr_isolated_anon` and `nr_isolated_file`.
    pub isolated: Option<[i64; 2]>,
    /// The use of the zram device, after an operation on it.
    pub zram: Option<Box<ZramShown>>,
    /// The pages of the balloon and of zsmalloc on each node, and the number of frames that such pages have
    /// left.
    pub nonlru: Option<BTreeMap<String, i64>>,
    /// The pages that a compaction moved, each with its old and its new frame, in order.
    pub moves: Vec<(Pfn, Pfn)>,
    /// The kinds of a node's frames.
    pub layout: Option<Box<LayoutShown>>,
    /// The fragmentation of a node's free memory.
    pub extfrag: Option<Box<Extfrag>>,
    /// The number of huge pages in a pool.
    pub got: Option<u32>,
    /// The state of a memory block, and the zones that it may have.
    pub block: Option<(&'static str, String)>,
    /// The reason why the operation was not done, or not on all pages; the first reason if there
    /// are several.
    pub problem: Option<Problem>,
    /// The number of times that a fault has struck which `fail` armed for this operation; `None` if no fault
    /// was armed.
    pub fault: Option<u8>,
    /// Broken rules.
    pub findings: Vec<Finding>,
}

/// The fragmentation of a node's free memory, in thousandths: an entry for each order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extfrag {
    /// `extfrag_index`: why a request would fail.
    pub index: Vec<i32>,
    /// `unusable_index`: the share of the free memory that a request cannot use.
    pub unusable: Vec<u32>,
}

/// The counters of a zram device after an operation, as a recording shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZramShown {
    /// The counters of `mm_stat`; `None` after a check.
    pub mm_stat: Option<MmStat>,
    /// The pages of all zspages of the machine.
    pub nr_zspages: i64,
    /// Zspages by class, if the operation asks for them.
    pub zspages: Option<Vec<ZspageCount>>,
    /// The pool's pages after each store.
    pub used_after: Vec<u64>,
    /// The number of blocks that were compared.
    pub checked: Option<u32>,
}

/// The layout of a node as an operation shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutShown {
    pub(super) layout: Layout,
    /// The number of the node's first frame.
    pub(super) base: u32,
    /// True if only the totals are shown.
    pub(super) sum: bool,
}

/// The outcome of an access to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// The content that was written last.
    Ok,
    /// Zeroes where other content was expected.
    Zero,
    /// Content that was written earlier.
    Old,
    /// Content that was never written there.
    Bad,
    /// The written content or zeroes: the page could be discarded at any time (`MADV_FREE`).
    Any,
    /// Zeroes where content was written, which may be right: advice that failed on the way, or
    /// another thread, discarded the page.
    Lost,
    /// The frame is poisoned: a signal.
    Sigbus,
    /// Nothing is mapped there, or the fault failed.
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

/// The reason why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The operation failed as in the kernel.
    #[error("{0}")]
    Failed(Error),
    /// The program must not ask for this operation with the handles that it holds. Nothing was
    /// changed.
    #[error("{0}")]
    Misuse(Cow<'static, str>),
    /// A misuse: the program has no such handle. The message is kept in parts, because explored
    /// programs meet this misuse all the time and seldom print it.
    #[error("there is {what} on {} to give back", Shown(.owner, .index))]
    Lacks {
        /// The missing handle.
        what: &'static str,
        /// The page's name.
        owner: Owner,
        /// The page's number there.
        index: u32,
    },
    /// No page is behind a name: `ENOENT`.
    #[error("{}: no page is behind {}", Errno::ENOENT, Shown(.owner, .index))]
    Absent {
        /// The name.
        owner: Owner,
        /// The page's number there.
        index: u32,
    },
    /// This machine does not support the operation.
    #[error("{0}")]
    Unsupported(&'static str),
}

impl Problem {
    /// Returns the errno of the problem. A misuse and an unsupported operation have none in the
    /// kernel, so they get EPERM and ENOSYS.
    pub fn errno(&self) -> Errno {
        match self {
            Problem::Failed(error) => error.errno,
            Problem::Misuse(_) | Problem::Lacks { .. } => Errno::EPERM,
            Problem::Absent { .. } => Errno::ENOENT,
            Problem::Unsupported(_) => Errno::ENOSYS,
        }
    }

    /// Returns one word for the kind of problem.
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
    /// Makes the step of an operation that was not done.
    pub(super) fn refused(problem: Problem) -> Step {
        let mut step = Step::default();
        step.fails(problem);
        step
    }

    /// Records a failure; only the first one counts.
    pub(super) fn fails(&mut self, problem: Problem) {
        if self.problem.is_none() {
            self.ret = -1;
            self.errno = Some(problem.errno());
            self.problem = Some(problem);
        }
    }

    /// Records the status of one page.
    pub(super) fn page(&mut self, outcome: Result<i32, Problem>) {
        match outcome {
            Ok(status) => self.status.push(Some(status)),
            Err(problem) => {
                self.status.push(Some(problem.errno().status()));
                self.fails(problem);
            }
        }
    }

    /// Returns true if no rule is broken. A failure is an allowed outcome.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Returns true if the operation was not tried, because this machine does not support it.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.problem, Some(Problem::Unsupported(_)))
    }

    /// Returns true if the operation was refused as a misuse.
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

/// Returns the runs of equal neighbours, as recordings write them.
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

impl ZramShown {
    /// Adds the fields to a step, under the names and in the units of recordings.
    fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        if let Some(stat) = &self.mm_stat {
            let MmStat { orig, compr, used, used_max, same, compacted, huge, .. } = *stat;
            let shown: BTreeMap<&str, u64> = [
                ("orig", orig),
                ("compr", compr),
                ("used", used),
                ("used_max", used_max),
                ("same", same),
                ("compacted", compacted),
                ("huge", huge),
            ]
            .into();
            map.serialize_entry("mm_stat", &shown)?;
            map.serialize_entry("nr_zspages", &self.nr_zspages)?;
        }
        if let Some(zspages) = &self.zspages {
            let all = zspages.iter();
            let shown: Vec<_> = all.map(|z| (z.class, z.objects, z.pages, z.count)).collect();
            map.serialize_entry("zspages", &shown)?;
        }
        if !self.used_after.is_empty() {
            map.serialize_entry("used_after", &run_lengths(&self.used_after))?;
        }
        if let Some(checked) = self.checked {
            map.serialize_entry("checked", &checked)?;
        }
        Ok(())
    }
}

impl LayoutShown {
    /// Writes the fields of a recording: `layout` and, if there are any, the `owners` of movable pages,
    /// unless only the totals are shown; then `kinds`, `types`, `pageblock`, `base` and `buddy`.
    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Layout { letters, owners, free_blocks, types, pageblock_order } = &self.layout;
        if !self.sum {
            let shown = runs(letters).map(|(times, pattern)| (times, String::from_utf8_lossy(pattern)));
            map.serialize_entry("layout", &shown.collect::<Vec<_>>())?;
            if owners.iter().any(|&owner| owner != 0) {
                map.serialize_entry("owners", &run_lengths(owners))?;
            }
        }
        let mut kinds = BTreeMap::<char, u32>::new();
        letters.iter().for_each(|&letter| *kinds.entry(char::from(letter)).or_default() += 1);
        map.serialize_entry("kinds", &kinds)?;
        let shown = runs(types).map(|(times, pattern)| (times, String::from_utf8_lossy(pattern)));
        map.serialize_entry("types", &shown.collect::<Vec<_>>())?;
        map.serialize_entry("pageblock", &(1u32 << pageblock_order))?;
        map.serialize_entry("base", &self.base)?;
        map.serialize_entry("buddy", free_blocks)
    }
}

/// Serialises the fields that have content; `status` and `acc` are run-length coded.
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
        if let Some(zram) = &self.zram {
            zram.serialize_into(&mut map)?;
        }
        if let Some(nonlru) = &self.nonlru {
            map.serialize_entry("nonlru", nonlru)?;
        }
        if !self.moves.is_empty() {
            let moves = self.moves.iter().map(|(source, target)| (source.0, target.0));
            map.serialize_entry("moves", &moves.collect::<Vec<_>>())?;
        }
        if let Some(layout) = &self.layout {
            layout.entries(&mut map)?;
        }
        if let Some(Extfrag { index, unusable }) = self.extfrag.as_deref() {
            map.serialize_entry("extfrag_index", index)?;
            map.serialize_entry("unusable_index", unusable)?;
        }
        if let Some(got) = &self.got {
            map.serialize_entry("got", got)?;
        }
        if let Some((state, zones)) = &self.block {
            map.serialize_entry("state", state)?;
            map.serialize_entry("valid_zones", zones)?;
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
