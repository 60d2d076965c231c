//! Promises of operations. An answer *done* must have been true at some step of the operation; so must
//! *busy*, *not there* and *poisoned*. Only the explored build checks the promises.
//!
//! Without these rules an operation could answer *done* although it failed, or refuse a page that no thread
//! used: the audit finds nothing, because the machine is in a sound state.
//!
//! The table of the promises is in `docs/explorer.md`, "What an answer promises"; [`Session::promise_of`] and
//! the functions below it follow the table. An answer that depends on more than its pages (on free memory,
//! on the answers of an owner, on the moment at which a page is scanned) promises nothing here.

use super::Session;
use super::actor::{Actor, Held, Hold};
use super::moments::{Moments, State, state_of};
use super::step::{Access, Step};
use crate::audit::Finding;
use crate::error::Errno;
use crate::inject::Kind;
use crate::map::watch::{note_operation_start, unflushed};
use crate::map::{Attributes, Entry, PinKind, Policy, Pte};
use crate::page::{Flags, PIN, Pfn};
use crate::program::{Advice, MbindOption, Op, PhysAction};
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::explored::{glance, watched};

/// The rule.
const ANSWER: &str = "an answer is true at some moment of its operation";

/// The rule on the end of an operation that takes entries away (`map/watch.rs`).
const FLUSH: &str = "an entry that was taken away is flushed";

/// A promise that was not kept: the number of the page, and the text of the promise.
type Broken = Option<(usize, &'static str)>;

/// A promise about one page, given its number.
type Promise<'a> = &'a dyn Fn(usize) -> bool;

impl<R: Release> Session<R> {
    /// Performs an operation, and checks its answer.
    pub(super) fn answered(
        &self,
        actor: &mut Actor,
        op: &Op,
        perform: impl FnOnce(&mut Actor) -> Step,
    ) -> Step {
        let moments = Moments::of(|pages| self.subjects(actor, op, pages));
        let before = actor.handles.len();
        note_operation_start();
        let mut step = match moments.is_empty() {
            true => perform(actor),
            false => watched(&|fresh| moments.look(&self.machine, fresh), || perform(actor)),
        };
        if let Some(pfn) = unflushed() {
            let detail = format!("`{op}` has ended, and did not flush after it took the last entry away");
            step.findings.push(Finding { rule: FLUSH, pfn: Some(pfn), detail });
        }
        if step.findings.is_empty()
            && let Some(finding) = self.broken_promise(actor, op, &step, &moments, before)
        {
            step.findings.push(finding);
        }
        step
    }

    fn broken_promise(
        &self,
        actor: &Actor,
        op: &Op,
        step: &Step,
        moments: &Moments,
        before: usize,
    ) -> Option<Finding> {
        let taken = actor.handles.taken_after(before);
        if let Some((pfn, promise)) = glance(|| self.wrong_handle(op, step, taken)) {
            let shown = glance(|| state_of(&self.machine, Some(pfn)).to_string());
            return Some(Finding { rule: ANSWER, pfn: Some(pfn), detail: format!("{promise}: {shown}") });
        }
        if let Op::Truncate { region, pages } = op
            && step.problem.is_none()
            && let Ok(mapped) = self.region(actor, *region)
            && let Some(file) = &mapped.file
        {
            let longer = glance(|| file.pages() > *pages);
            let cached = glance(|| (*pages..file.capacity()).any(|page| file.cached_page(page).is_some()));
            let detail = || format!("done, but the file of {region} still has pages from {pages} on");
            return (longer || cached).then(|| Finding { rule: ANSWER, pfn: None, detail: detail() });
        }
        if moments.is_empty() {
            return None;
        }
        if let Some(finding) = self.gave_up(op, step, moments) {
            return Some(finding);
        }
        let (page, promise) = self.promise_of(actor, op, step, moments, taken)?;
        let detail = format!("its page {page}: {promise}; it was: {}", moments.shown(page));
        Some(Finding { rule: ANSWER, pfn: None, detail })
    }

    /// The promises about the handles that an operation has taken. They are checked when the operation
    /// returns, because no other thread can end a handle.
    fn wrong_handle(&self, op: &Op, step: &Step, taken: &[Held]) -> Option<(Pfn, &'static str)> {
        let wrong = |held: &Held, promise: &'static str, right: &dyn Fn(&State) -> bool| {
            (!right(&state_of(&self.machine, Some(held.pfn)))).then_some((held.pfn, promise))
        };
        let alive = "done, but the page has no reference";
        taken.iter().find_map(|held| match (held.hold, op) {
            // A freeze also takes the set-up's handles of the page, whose references it accounts for.
            (hold, Op::Freeze { .. }) if !matches!(hold, Hold::Frozen(_)) => None,
            (Hold::Isolated, _) => wrong(held, "isolated, but the page is on a list", &|state| {
                !state.word.has(Flags::LRU) && state.word.count() > 0
            })
            .or_else(|| {
                let node = self.machine.node_of(held.pfn);
                let counted = [NodeItem::IsolatedAnon, NodeItem::IsolatedFile];
                let counted: i64 = counted.iter().map(|item| self.machine.stats().on_node(node, *item)).sum();
                (counted <= 0).then_some((held.pfn, "isolated, but not counted in nr_isolated"))
            }),
            (Hold::IsolatedMovable, _) => wrong(held, "isolated, but the page has no mark of it", &|state| {
                state.word.has(Flags::ISOLATED)
            }),
            (Hold::Locked, _) => {
                wrong(held, "locked, but the page lock is free", &|state| state.word.has(Flags::LOCKED))
            }
            (Hold::Frozen(_), _) => {
                wrong(held, "frozen, but the page has references", &|state| state.word.count() == 0)
            }
            (Hold::Writeback { .. }, _) => {
                wrong(held, "begun, but the page is not under write-back", &|state| {
                    state.word.has(Flags::WRITEBACK)
                })
            }
            (Hold::Pin(PinKind::Pin), _) => wrong(held, "pinned, but the page has no pin", &|state| {
                let large = state.word.has(Flags::HEAD);
                state.word.count() >= if large { 1 } else { PIN }
            }),
            // A step that takes a frame by its number may hold a part of a large page.
            (Hold::Pin(PinKind::Get) | Hold::Ref, _) => {
                wrong(held, alive, &|state| state.word.count() > 0 || state.part.has(Flags::TAIL))
            }
            (Hold::Allocated, Op::Allocate { node, order, .. }) => {
                let elsewhere = node.is_some_and(|node| self.machine.node_of(held.pfn) != node as usize);
                if elsewhere && step.problem.is_none() {
                    return Some((held.pfn, "allocated, but on another node"));
                }
                wrong(held, "allocated, but the page has no reference, or another size", &|state| {
                    let large = order.is_some_and(|order| order > 0);
                    state.word.count() > 0 && state.word.has(Flags::HEAD) == large
                })
            }
            (Hold::Allocated, _) => wrong(held, alive, &|state| state.word.count() > 0),
            (Hold::OffLists, _) => None,
        })
    }

    /// The first promise that was not kept.
    fn promise_of(&self, actor: &Actor, op: &Op, step: &Step, moments: &Moments, taken: &[Held]) -> Broken {
        let all_done = step.problem.is_none();
        let every =
            |promise: Promise<'_>, text| (0..moments.len()).find(|page| !promise(*page)).map(|p| (p, text));
        match op {
            Op::Read { .. } | Op::Write { .. } => self.accesses(step, moments),
            Op::Move { .. } | Op::Query { .. } | Op::NumaFault { .. } => self.nodes(op, step, moments),
            Op::Pin { pages, .. } => {
                // A pin of several pages takes a handle for each in order, but none for a zero page: only the
                // handle of a single page is known to be that of its page.
                let one = moments.len() == 1 && pages.frames.is_none();
                let pinned = taken.first().filter(|_| all_done && one)?;
                let its = |state: &State| [state.pfn, state.head].contains(&Some(pinned.pfn));
                let mapped = moments.ever(0, |state| state.is_present() && its(state));
                (!mapped).then_some((0, "pinned, but another page was mapped all the time"))
            }
            Op::Mlock { .. } if all_done => every(
                &|page| {
                    moments.ever(page, |state| state.attributes.contains(Attributes::LOCKED))
                        && moments.ever(page, |state| matches!(state.pte.entry(), Entry::Present { .. }))
                },
                "locked, but the page was never locked, or never in memory",
            ),
            Op::Munlock { .. } if all_done => every(
                &|page| moments.ever(page, |state| !state.attributes.contains(Attributes::LOCKED)),
                "unlocked, but the page was locked all the time",
            ),
            Op::Unmap { .. } if all_done => every(
                &|page| {
                    moments.ever(page, |state| {
                        state.attributes.contains(Attributes::UNMAPPED) && state.pte == Pte::NONE
                    })
                },
                "unmapped, but its entry was never empty",
            ),
            Op::Madv { advice: Advice::Dontneed, .. } if all_done => {
                every(&|page| moments.ever(page, is_zapped), "dropped, but its entry was never empty")
            }
            Op::Punch { keep, of, .. } if all_done => every(
                &|page| {
                    let dropped = (*keep..*of).contains(&(page as u32 % (*of).max(1)));
                    !dropped || moments.ever(page, is_zapped)
                },
                "dropped, but its entry was never empty",
            ),
            Op::Madv { advice: Advice::SoftOffline, .. } if all_done => every(
                &|page| {
                    // Where the entry mapped the zero page, the zero page was taken offline, which no frame
                    // shows.
                    moments.ever_behind(page, State::is_poisoned)
                        || moments.ever(page, |state| !state.is_present())
                },
                "offline, but none of its frames was ever poisoned",
            ),
            Op::Mbind { node, options, .. } if all_done => {
                let has = |option| options.contains(&option);
                let policy = match has(MbindOption::Preferred) {
                    true => Policy::Preferred(*node as usize),
                    false => Policy::Bind(*node as usize),
                };
                let moves = has(MbindOption::Move) || has(MbindOption::MoveAll);
                // A page that other processes map too stays, unless all such pages are to move. The processes
                // that map a large page are not told from its mappings, so it may stay in any case.
                let shared = !has(MbindOption::MoveAll);
                let there = |page| {
                    self.was_on(moments, page, *node as usize)
                        || moments.ever_large(page)
                        || (shared && moments.ever_behind(page, |state| state.mapcount > 1))
                };
                every(
                    &|page| moments.ever(page, |state| state.attributes.policy() == Some(policy)),
                    "bound, but it never had the policy",
                )
                .or_else(|| {
                    let strict = has(MbindOption::Strict) && moves;
                    strict
                        .then(|| every(&there, "bound strictly, but it was on another node all the time"))?
                })
            }
            // The last user of a removed file drops its pages, and meanwhile nobody else can use the file.
            Op::Sync {} if all_done => {
                every(&|page| was_written(moments, page) || moments.is_of_removed(page), NOT_WRITTEN)
            }
            Op::Msync { pages } if all_done => {
                let mapped = self.region(actor, pages.of).ok()?;
                let disk = mapped.file.as_ref().is_some_and(|file| file.is_written_back());
                (disk && mapped.area.is_shared())
                    .then(|| every(&|page| was_written(moments, page), NOT_WRITTEN))?
            }
            _ if step.status.len() == moments.len() => (0..moments.len()).find_map(|page| {
                let promise = self.status(op, step.status[page]?, page, moments, taken)?;
                Some((page, promise))
            }),
            _ => None,
        }
    }

    /// The promises of operations that answer for each page. Returns the promise that was not kept.
    fn status(
        &self,
        op: &Op,
        status: i32,
        page: usize,
        moments: &Moments,
        taken: &[Held],
    ) -> Option<&'static str> {
        let done = status >= 0;
        let refused = |errno: Errno| status == errno.status();
        let known = moments.knows(page);
        let (kept, promise) = match op {
            _ if !known => return None,
            // These steps wait for the lock of the entry that names their page.
            Op::Get { .. }
            | Op::MarkAccessed { .. }
            | Op::Isolate { .. }
            | Op::Lock { .. }
            | Op::Trylock { .. }
            | Op::Split { .. }
                if refused(Errno::ENOENT) =>
            {
                (
                    moments.ever(page, State::is_absent),
                    "not there, but its entry was never empty, or was locked all the time",
                )
            }
            Op::Get { .. } | Op::Lock { .. } if done => {
                let one = taken.first().filter(|_| taken.len() == 1)?;
                let same = |state: &State| state.head == Some(one.pfn) && is_named(state);
                (moments.ever(page, same), "done, but for another page than the name meant")
            }
            Op::TryGet { .. } if refused(Errno::EAGAIN) => (
                // A tail has no count of its own, and a step may have read it before a split.
                moments.ever_behind(page, |state| {
                    state.word.count() == 0 || state.part.any(Flags::HEAD | Flags::TAIL)
                }),
                "no reference, but the page had references all the time",
            ),
            Op::Trylock { .. } if refused(Errno::EAGAIN) => (
                moments.ever_behind(page, |state| state.word.has(Flags::LOCKED)),
                "the lock is taken, but it was free all the time",
            ),
            Op::Isolate { .. } if refused(Errno::EBUSY) => (
                moments.ever_behind(page, |state| !state.word.has(Flags::LRU)),
                "not on a list, but the page was on one all the time",
            ),
            Op::Unlock { .. } if done => (
                moments.ever(page, |state| !state.word.has(Flags::LOCKED)),
                "unlocked, but the lock was taken all the time",
            ),
            Op::Freeze { refs, .. } if refused(Errno::EAGAIN) => (
                moments.ever(page, |state| state.word.count() != *refs),
                "another count, but the page had this count all the time",
            ),
            Op::Unfreeze { refs, .. } if done => (
                moments.ever(page, |state| state.word.count() >= *refs),
                "unfrozen, but the page never had its references again",
            ),
            // Some designs leave the old frame on a list, with its owner, until its batch drains.
            Op::Migrate { .. } if done => (
                moments.ever(page, |state| state.mapcount == 0) || moments.ever_another(page),
                "moved, but the old frame was mapped all the time",
            ),
            // The second mark of a page, or of another part of a large page, takes the first one away: the
            // page then waits for its activation, and no mark shows that (`mark_page_accessed`).
            Op::MarkAccessed { .. } if done && !moments.is_twice(page) && !moments.ever_large(page) => (
                moments.ever_behind(page, |state| {
                    let marks = Flags::REFERENCED | Flags::ACTIVE | Flags::UNEVICTABLE;
                    state.word.any(marks) || state.word.generation().is_some() || state.word.count() == 0
                }),
                "accessed, but the page never showed it",
            ),
            Op::Split { .. } if done => (
                moments.ever_behind(page, |state| !state.part.any(Flags::HEAD | Flags::TAIL)),
                "split, but the page was a part of a large one all the time",
            ),
            Op::SoftOffline { .. } | Op::Phys { action: PhysAction::Soft, .. } if done => {
                (was_poisoned(moments, page), "offline, but none of its frames was ever poisoned")
            }
            Op::MemoryFailure { .. } | Op::Phys { action: PhysAction::Hard | PhysAction::Corrupt, .. }
                if done || refused(Errno::EHWPOISON) =>
            {
                (was_poisoned(moments, page), "handled, but none of its frames was ever poisoned")
            }
            Op::Unpoison { .. } if done && self.machine.profile().unpoison_refusal_told => (
                moments.ever_behind(page, |state| !state.part.has(Flags::HWPOISON)),
                "unpoisoned, but the frame was poisoned all the time",
            ),
            Op::BeginWriteback { .. } if status == 0 => (
                moments.ever(page, |state| state.pfn.is_none() || !state.word.has(Flags::DIRTY)),
                "nothing to write, but the page was dirty all the time",
            ),
            Op::EndWriteback { .. } if done => (
                moments.ever(page, |state| !state.word.has(Flags::WRITEBACK)),
                "written, but the page was under write-back all the time",
            ),
            _ => return None,
        };
        (!kept).then_some(promise)
    }

    /// The promises of accesses: a process gets SIGBUS for a page that was poisoned, and SIGSEGV where
    /// nothing was mapped.
    fn accesses(&self, step: &Step, moments: &Moments) -> Broken {
        if step.acc.len() != moments.len() {
            return None;
        }
        step.acc.iter().enumerate().find_map(|(page, access)| {
            // A page of a file, or of the swap cache, may be poisoned while no entry leads to it. No frame
            // shows the poison of the zero page.
            let apart = |state: &State| {
                matches!(state.pte.entry(), Entry::Swap { .. } | Entry::Present { zero: true, .. })
            };
            let hidden = moments.is_of_file(page) || moments.ever(page, apart);
            match access {
                _ if hidden || !moments.knows(page) => None,
                // A copy that fails has met a machine check. The process is told at once, the frame of the
                // source is flagged afterwards.
                Access::Sigbus if self.machine.has_struck(Kind::CopyFailure) => None,
                Access::Sigbus if !moments.ever_behind(page, State::is_poisoned) => {
                    Some((page, "poisoned, but none of its frames ever was"))
                }
                Access::Failed(Errno::EFAULT)
                    if !moments.ever(page, |state| state.attributes.contains(Attributes::UNMAPPED)) =>
                {
                    Some((page, "not mapped, but the page was never unmapped"))
                }
                _ => None,
            }
        })
    }

    /// The promises of operations that answer with nodes.
    fn nodes(&self, op: &Op, step: &Step, moments: &Moments) -> Broken {
        if step.status.len() != moments.len() {
            return None;
        }
        let looks_only = matches!(op, Op::Query { .. });
        step.status.iter().enumerate().find_map(|(page, status)| {
            let status = (*status).filter(|_| moments.knows(page))?;
            let (kept, promise) = match status {
                0.. if looks_only => {
                    let on = |state: &State| self.shows_node(state, status as usize);
                    (moments.ever(page, on), "on that node, but the page never was")
                }
                0.. => {
                    // The call moves a large page once for each of its parts, and the last one decides.
                    let moved_on = || {
                        let others = step.status.iter().enumerate().filter(|(other, _)| *other != page);
                        let mut further =
                            others.filter(|(_, to)| to.is_some_and(|to| to >= 0 && to != status));
                        further.any(|(other, _)| moments.share(page, other))
                    };
                    let on = self.was_on(moments, page, status as usize) || moved_on();
                    (on, "moved to that node, but the page was on another one all the time")
                }
                _ if matches!(op, Op::NumaFault { .. }) => return None,
                absent if absent == Errno::ENOENT.status() || absent == Errno::EFAULT.status() => {
                    let gone =
                        |state: &State| state.is_absent() || state.attributes.contains(Attributes::UNMAPPED);
                    (
                        moments.ever(page, gone),
                        "not there, but its entry was never empty, or was locked all the time",
                    )
                }
                // A page that the call itself has isolated before is busy for its second address.
                busy if busy == Errno::EBUSY.status()
                    && !moments.ever_large(page)
                    && !moments.is_twice(page) =>
                {
                    let off = |state: &State| !state.word.has(Flags::LRU);
                    (moments.ever_behind(page, off), "busy, but the page was on its list all the time")
                }
                shared if shared == Errno::EACCES.status() => {
                    let shared = |state: &State| state.mapcount > 1;
                    (moments.ever_behind(page, shared), "shared, but the page never was")
                }
                _ => return None,
            };
            (!kept).then_some((page, promise))
        })
    }

    fn shows_node(&self, state: &State, node: usize) -> bool {
        state.is_present() && state.pfn.is_some_and(|pfn| self.machine.node_of(pfn) == node)
    }

    /// True unless one frame of another node was mapped all the time. A page that was replaced or unmapped
    /// meanwhile may have moved without the entry showing it.
    fn was_on(&self, moments: &Moments, page: usize, node: usize) -> bool {
        let gone = |state: &State| !state.is_present() && !is_migrating(state);
        let shown = |state: &State| self.shows_node(state, node) || gone(state);
        moments.ever(page, shown) || moments.frames_behind(page) != 1
    }
}

const NOT_WRITTEN: &str = "written, but the page was dirty, or being written, all the time";

/// True if the page was clean at some moment, and at that moment or later no write of it was under way.
fn was_written(moments: &Moments, page: usize) -> bool {
    let clean = |state: &State| state.pfn.is_none() || !state.word.has(Flags::DIRTY);
    moments.ever_then(page, clean, |state| state.pfn.is_none() || !state.word.has(Flags::WRITEBACK))
}

/// True if a frame that was seen behind the page was poisoned, or if no frame was seen there.
fn was_poisoned(moments: &Moments, page: usize) -> bool {
    moments.ever_behind(page, State::is_poisoned) || moments.shows_nothing(page)
}

fn is_zapped(state: &State) -> bool {
    state.pte == Pte::NONE || matches!(state.pte.entry(), Entry::Hwpoison { .. })
}

fn is_migrating(state: &State) -> bool {
    matches!(state.pte.entry(), Entry::Migration { .. })
}

/// True if the name leads to the frame: an entry maps the frame, or the name is the frame's own.
fn is_named(state: &State) -> bool {
    state.is_present() || state.pte == Pte::NONE
}
