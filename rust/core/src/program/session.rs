//! A machine set up for a program, and the operations done to it.
//!
//! | file | idea |
//! |---|---|
//! | `step` | what an operation did, as plain data |
//! | `actor` | what one thread has: names, handles, knowledge |
//! | `content` | what was written, and what may therefore be read |
//! | `process` | system calls on memory |
//! | `file` | files: mapping, reading and writing through the file, write-back, truncation |
//! | `memory` | how memory is to be kept, and where: mlock, madvise, mbind, migrate_pages |
//! | `failure` | memory failure: soft offline, poison, unpoison |
//! | `pages` | single steps on pages |
//! | `shown` | pages and counters under the names that recordings use |
//! | `observe` | what can be seen between two operations |
//! | `end` | what can be seen when all threads have ended |
//! | `state` | names and a number for the explorer |
//! | `snapshot` | what a fork may have copied |
//! | `check` | the audit, with everybody's handles, and the content |
//!
//! The program itself is an [`Actor`]; so is each of its threads. A session is set up by the first,
//! which then [publishes](Session::publish) what it made; then the threads share `&Session`; when
//! they have ended, what they still have is [joined](Session::join).
//!
//! No operation breaks the core: what a thread must not ask for, given what it holds, is refused as a
//! misuse. So every rule that the core finds broken is the core's fault, not the program's. A
//! page's frame is found again for each operation, safely: by a reference taken under the lock of the
//! entry, the owner or the table of handles that names it; only `try_get` and the isolation of a
//! movable page go by the bare frame number, as the kernel's own walkers do.

mod actor;
mod check;
mod content;
#[cfg(feature = "explored")]
mod end;
mod failure;
mod file;
mod memory;
#[cfg(not(feature = "explored"))]
mod observe;
mod pages;
mod process;
mod refusal;
mod shown;
mod snapshot;
#[cfg(feature = "explored")]
mod state;
mod step;

pub use actor::Actor;
#[cfg(feature = "explored")]
pub use end::EndState;
#[cfg(not(feature = "explored"))]
pub use observe::{Observed, Observer, Totals};
pub use shown::{PageRun, PageShown};
pub use step::{Access, Problem, Step, run_lengths};

use super::Op;
use crate::audit::{Auditor, Finding};
use crate::error::Result;
use crate::machine::{Config, Machine};
use crate::map::AddressSpace;
use crate::release::Release;
use crate::sync::{Lock, LockClass};
use actor::{Handles, Hold, Names};
use content::Content;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Threads that a program can have.
pub const MAX_THREADS: usize = content::WRITERS - 2;

/// Writes of the program after its threads are numbered from here on: beyond any of the set-up.
const AFTER_THREADS: u32 = 1 << 16;

/// A machine, and what a program has made of it.
pub struct Session<R: Release> {
    machine: Machine<R>,
    space: Arc<AddressSpace>,
    /// What the set-up has named.
    names: Names,
    /// What the pages held when the threads started.
    content: Content,
    /// It has pinned pages for long.
    pinned: bool,
    /// What the set-up holds: whoever takes it first has it.
    shared: Lock<Handles>,
    /// Pages that the program itself has given up (MADV_DONTNEED, MADV_FREE), by owner and index: what is pinned
    /// of them need no longer be what is mapped.
    given_up: Lock<BTreeMap<(u32, u32), GivenUp>>,
}

/// Who gave a page up while threads ran. What a thread writes to a page that it alone has given up is there to stay;
/// else nobody knows what came before what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum GivenUp {
    /// The set-up alone.
    #[default]
    Before,
    /// This thread.
    By(u8),
    /// Several, or somebody who does not know which pages are gone.
    Somehow,
}

/// Why this machine cannot do an operation, if so: the one list of what is still to be built.
pub fn unsupported(op: &Op) -> Option<&'static str> {
    match op {
        Op::Compact { .. } => Some("this machine does not compact"),
        Op::Set { .. } => Some("this machine has no sysctls"),
        Op::ZramFill { .. } | Op::ZramPunch { .. } | Op::ZramCheck { .. } | Op::ZramFree {} => {
            Some("this machine has no zsmalloc")
        }
        Op::Balloon { .. } => Some("this machine has no balloon"),
        Op::Nonlru {} => Some("this machine has no balloon and no zsmalloc to count pages of"),
        Op::Map { .. }
        | Op::Mlock { .. }
        | Op::Munlock { .. }
        | Op::Mbind { .. }
        | Op::MigratePages { .. }
        | Op::Madv { .. }
        | Op::Frame { .. }
        | Op::Phys { .. }
        | Op::Unpoison { .. }
        | Op::Earlykill { .. }
        | Op::Punch { .. }
        | Op::Fillnode { .. }
        | Op::Unfill {}
        | Op::Swapon { .. }
        | Op::Swapoff {}
        | Op::MarkAccessed { .. }
        | Op::Fread { .. }
        | Op::Fwrite { .. }
        | Op::Msync { .. }
        | Op::Drop { .. }
        | Op::Sync {}
        | Op::Truncate { .. }
        | Op::BeginWriteback { .. }
        | Op::EndWriteback { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::Cwrite { .. }
        | Op::Cread { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Pin { .. }
        | Op::Unpin { .. }
        | Op::Unmap { .. }
        | Op::Move { .. }
        | Op::Query { .. }
        | Op::DrainCpu { .. }
        | Op::Drain {}
        | Op::Sleep { .. }
        | Op::Isolated {}
        | Op::Trace { .. }
        | Op::Allocate { .. }
        | Op::Free { .. }
        | Op::Movable { .. }
        | Op::Release { .. }
        | Op::Get { .. }
        | Op::TryGet { .. }
        | Op::Put { .. }
        | Op::LruAdd { .. }
        | Op::Reclaim { .. }
        | Op::Age { .. }
        | Op::Isolate { .. }
        | Op::Putback { .. }
        | Op::Migrate { .. }
        | Op::NumaFault { .. }
        | Op::Demote { .. }
        | Op::Split { .. }
        | Op::Lock { .. }
        | Op::Trylock { .. }
        | Op::Unlock { .. }
        | Op::Freeze { .. }
        | Op::Unfreeze { .. }
        | Op::Audit {} => None,
    }
}

impl<R: Release> Session<R> {
    /// A machine with one process that has nothing mapped.
    pub fn new(config: &Config) -> Result<Session<R>> {
        let machine = Machine::new(config)?;
        let space = machine.address_space()?;
        Ok(Session {
            machine,
            space,
            names: Names::default(),
            content: Content::default(),
            pinned: false,
            shared: Lock::plain(LockClass::Leaf, Handles::default()),
            given_up: Lock::plain(LockClass::Leaf, BTreeMap::new()),
        })
    }

    /// The machine.
    pub fn machine(&self) -> &Machine<R> {
        &self.machine
    }

    /// The set-up is done: what it made and holds is there for the threads.
    pub fn publish(&mut self, program: Actor) {
        self.names = program.names;
        self.content = program.content;
        self.pinned = program.history.pinned();
        *self.shared.lock() = program.handles;
    }

    /// The threads have ended: what they have is now the program's.
    pub fn join(&self, threads: &mut [Actor]) -> Actor {
        let mut program = Actor::program();
        self.join_into(&mut program, threads);
        program
    }

    /// The same, with the memory of an actor that was used before.
    pub fn join_into(&self, program: &mut Actor, threads: &mut [Actor]) {
        program.reset();
        program.writes = AFTER_THREADS;
        program.made = 1 << 12;
        if self.pinned {
            program.history.pins();
        }
        program.join(threads, &self.content);
    }

    /// What is still held: by the program, or by nobody since the set-up.
    pub fn held(&self, program: &Actor) -> Vec<String> {
        let shared = self.shared.lock();
        let all = program.handles.iter().chain(shared.iter());
        all.filter(|held| held.hold != Hold::OffLists).map(ToString::to_string).collect()
    }

    /// Ends everything: children, pins, the program's own process. What the audit then finds.
    pub fn end(&self, actor: &mut Actor) -> Vec<Finding> {
        for process in [&self.names, &actor.names].into_iter().flat_map(|names| names.children.iter()) {
            if let (_, Some(process)) = process {
                self.machine.exit(&process.space);
            }
        }
        while let Some(held) = self.take(actor, |held| matches!(held.hold, Hold::Pin(_))) {
            if let Hold::Pin(kind) = held.hold {
                self.machine.unpin(held.pfn, kind);
            }
        }
        self.machine.exit(&self.space);
        self.machine.lru_drain_all();
        let handles: Vec<_> = actor.handles.for_audit().collect();
        Auditor::default().audit(&self.machine, handles)
    }

    /// Performs one operation.
    pub fn step(&self, actor: &mut Actor, op: &Op) -> Step {
        if let Some(why) = unsupported(op) {
            return Step::refused(Problem::Unsupported(why));
        }
        match op {
            Op::Map { region, backing, pages, node, order } => {
                self.map(actor, *region, *backing, *pages, (*node, *order))
            }
            Op::Write { pages } => self.access(actor, None, pages, true),
            Op::Read { pages } => self.access(actor, None, pages, false),
            Op::Cwrite { child, pages } => self.access(actor, Some(*child), pages, true),
            Op::Cread { child, pages } => self.access(actor, Some(*child), pages, false),
            Op::Fork { child } => self.fork(actor, *child).into(),
            Op::Exit { child } => self.exit(actor, *child).into(),
            Op::Pin { pin, pages, kind } => self.pin(actor, *pin, pages, *kind),
            Op::Unpin { pin } => self.unpin(actor, *pin),
            Op::Mlock { pages } => self.mlock(actor, pages),
            Op::Munlock { pages } => self.munlock(actor, pages),
            Op::Mbind { pages, node, options } => self.mbind(actor, pages, *node, options),
            Op::MigratePages { from, to, pid } => self.migrate_pages(actor, *from, *to, *pid),
            Op::Madv { pages, advice, options } => self.madvise(actor, pages, *advice, options),
            Op::Frame { pages } => self.frame_op(actor, pages),
            Op::Phys { action, pages } => self.phys(actor, *action, pages),
            Op::Unpoison { pages } => self.unpoison(actor, pages),
            Op::Earlykill { switch } => self.early_kill(*switch),
            Op::Punch { region, keep, of } => self.punch(actor, *region, *keep, *of),
            Op::Fillnode { node } => self.fill_node(actor, *node).into(),
            Op::Unfill {} => self.unfill(actor).into(),
            Op::Swapon { mb } => self.swapon(*mb).into(),
            Op::Swapoff {} => self.swapoff(actor).into(),
            Op::MarkAccessed { pages } => self.each(actor, pages, Self::mark_accessed),
            Op::Unmap { pages } => self.unmap(actor, pages),
            Op::Fread { pages } => self.file_access(actor, pages, false),
            Op::Fwrite { pages } => self.file_access(actor, pages, true),
            Op::Msync { pages } => self.msync(actor, pages),
            Op::Sync {} => self.sync(actor).into(),
            Op::Drop { what } => self.drop_caches(actor, *what).into(),
            Op::Truncate { region, pages } => self.truncate(actor, *region, *pages).into(),
            Op::BeginWriteback { pages } => self.begin_writeback(actor, pages),
            Op::EndWriteback { pages } => self.end_writeback(actor, pages),
            Op::Move { pages, node, options } => self.move_pages(actor, pages, *node, options),
            Op::Query { pages } => self.query(actor, pages),
            Op::DrainCpu { cpu } => self.drain(Some(*cpu)).into(),
            Op::Drain {} => self.drain(None).into(),
            // Nothing in this machine happens by the passing of time; and an observer reads the calls.
            Op::Sleep { .. } | Op::Trace { .. } => Step::default(),
            Op::Isolated {} => self.isolated(),
            Op::Allocate { page, order, node } => self.allocate(actor, *page, *order, *node).into(),
            Op::Free { page } => self.free(actor, *page).into(),
            Op::Movable { owner, pages, node } => self.movable(actor, *owner, *pages, *node).into(),
            Op::Release { pages } => self.release(actor, pages),
            Op::Get { pages } => self.each(actor, pages, Self::get),
            Op::TryGet { pages } => self.each(actor, pages, Self::try_get),
            Op::Put { pages } => self.each(actor, pages, Self::put),
            Op::LruAdd { pages } => self.each(actor, pages, Self::lru_add),
            Op::Reclaim { pages, node } => self.reclaim(actor, *pages, *node),
            Op::Age { node } => self.age(actor, *node),
            Op::Isolate { pages } => self.each(actor, pages, Self::isolate),
            Op::Putback { pages } => self.each(actor, pages, Self::putback),
            Op::Migrate { pages, node, mode, reason } => self.migrate(actor, pages, *node, *mode, *reason),
            Op::NumaFault { pages, node } => self.numa_fault(actor, pages, *node),
            Op::Demote { pages, node } => self.demote(actor, pages, *node),
            Op::Split { pages } => self.each(actor, pages, Self::split),
            Op::Lock { pages } => self.each(actor, pages, Self::lock),
            Op::Trylock { pages } => self.each(actor, pages, Self::trylock),
            Op::Unlock { pages } => self.each(actor, pages, Self::unlock),
            Op::Freeze { pages, refs } => self.each(actor, pages, |s, a, o, i| s.freeze(a, o, i, *refs)),
            Op::Unfreeze { pages, refs } => self.each(actor, pages, |s, a, o, i| s.unfreeze(a, o, i, *refs)),
            Op::Audit {} => self.audit_step(actor),
            // `unsupported` has answered for these.
            _ => Step::refused(Problem::Unsupported("this machine cannot do that")),
        }
    }
}
