//! A machine set up for a program, and the effects of the operations on it.
//!
//! | file | idea |
//! |---|---|
//! | `step` | the result of an operation, as plain data |
//! | `actor` | the state of one thread: names, handles, known content |
//! | `content` | the written versions, and which of them may be read |
//! | `process` | system calls on memory |
//! | `file` | files: mapping, reading and writing through the file, write-back, truncation |
//! | `layout` | the kinds of a node's frames, and all memory of a node in one region |
//! | `compact` | compaction and its settings |
//! | `memory` | memory policy: mlock, madvise, mbind, migrate_pages |
//! | `failure` | memory failure: soft offline, poison, unpoison |
//! | `fault` | faults that a program puts into its operations |
//! | `guest` | the work that the recorded guest does beside a script |
//! | `hotplug` | memory blocks, huge pages, contiguous ranges |
//! | `pages` | single steps on pages |
//! | `lookers` | looks without locks, and the states that they must not see |
//! | `movable` | owners of movable pages |
//! | `balloon` | the balloon, and the count of pages outside the LRU |
//! | `shown` | pages and counters under the names that recordings use |
//! | `observe` | the changes between two operations |
//! | `end` | the visible state after all threads have ended |
//! | `visible` | the state that users see at the end, for the check of serial answers |
//! | `state` | names of words and a fingerprint, for the explorer |
//! | `history`, `snapshot` | the writes and forks of threads, and the contents that a fork may have copied |
//! | `zram` | a zram device with blocks of a chosen size |
//! | `block_content` | the contents that are written to blocks of the zram device |
//! | `check` | the audit with all handles, and the check of contents |
//! | `answers`, `moments`, `subjects` | the check that the answer of an operation was true at some moment of it |
//! | `alone` | the check that an operation that ran alone does not give up |
//! | `refusal` | the check that no call fails because of a batch that it should have drained |
//!
//! The program itself is an [`Actor`], and so is each of its threads. The program's actor performs
//! the set-up and [publishes](Session::publish) the things that it made. Then the threads share
//! `&Session`. After they have ended, their state is [joined](Session::join).
//!
//! No operation can break the core: a request that a thread must not make, given its handles, is
//! refused as a misuse. So every rule that the core finds broken is a fault of the core and not of
//! the program. Each operation looks its page up again, and takes a reference under the lock of the
//! entry, the owner or the table of handles that names the page. Only `try_get`, `look`, the isolation of a
//! movable page and the operations on memory failure use the bare frame number, as the kernel's own walkers
//! do.

mod actor;
#[cfg(feature = "explored")]
mod alone;
#[cfg(feature = "explored")]
mod answers;
mod balloon;
mod block_content;
mod check;
mod compact;
mod content;
#[cfg(feature = "explored")]
mod end;
mod failure;
mod fault;
mod file;
#[cfg(not(feature = "explored"))]
mod guest;
mod history;
#[cfg(feature = "explored")]
mod holders;
mod hotplug;
mod layout;
mod lookers;
mod memory;
#[cfg(feature = "explored")]
mod moments;
mod movable;
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
#[cfg(feature = "explored")]
mod subjects;
#[cfg(feature = "explored")]
mod visible;
mod zram;

pub use actor::Actor;
#[cfg(feature = "explored")]
pub use end::EndState;
#[cfg(not(feature = "explored"))]
pub use observe::{Observed, Observer, Totals};
pub use shown::{PageRun, PageShown};
pub use step::{Access, Extfrag, LayoutShown, Problem, Step, ZramShown, run_lengths};
#[cfg(feature = "explored")]
pub use visible::{BALLOON, POISONED, Visible, VisiblePage};

use super::{Movable, Op, Program, Tracing};
use crate::audit::{Auditor, Finding};
use crate::balloon::Balloon;
use crate::error::Result;
use crate::machine::{Config, Machine};
use crate::map::AddressSpace;
use crate::movable::PoolOwner;
use crate::owner::id::OwnerId;
use crate::page::Pfn;
use crate::release::Release;
#[cfg(feature = "explored")]
use crate::sync::explored::checks_all;
use crate::sync::{Lock, LockClass};
use actor::{Discarded, Handles, Hold, Names};
pub use content::MAX_THREADS;
use content::{AFTER_THREADS, Content};
use std::borrow::BorrowMut;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A machine, and the things that a program has made on it.
pub struct Session<R: Release> {
    machine: Machine<R>,
    space: Arc<AddressSpace>,
    /// The names that the set-up has defined.
    names: Names,
    /// The content of the pages when the threads started.
    content: Content,
    /// The content of the zram device when the threads started.
    blocks: block_content::Known,
    /// True if the set-up has pinned pages for long.
    pinned: bool,
    /// The handles of the set-up. Each goes to the first thread that takes it.
    shared: Lock<Handles>,
    /// The machine's balloon, if the program uses it.
    balloon: Option<Arc<Balloon>>,
    /// The owners that the caller brought along, each for the movable pages of one name.
    brought: BTreeMap<Movable, Arc<dyn PoolOwner>>,
    /// The frames of the last `nonlru`.
    nonlru: Lock<Option<BTreeSet<Pfn>>>,
    /// Pages that the program itself has discarded (MADV_DONTNEED, MADV_FREE), by owner and index.
    /// A pin on such a page need not be on the page that is mapped now.
    discarded: Lock<BTreeMap<(u32, u32), Discarded>>,
    /// The pool of the zram device that was last made the swap space. From then on the blocks have the
    /// content of pages that reclaim chose, and no longer the content that the program wrote.
    lent: Lock<Option<OwnerId>>,
}

impl<R: Release> Session<R> {
    /// Makes a machine with one process that has no mappings.
    pub fn new(config: &Config) -> Result<Session<R>> {
        let machine = Machine::new(config)?;
        let space = machine.address_space()?;
        Ok(Session {
            machine,
            space,
            names: Names::default(),
            content: Content::default(),
            blocks: block_content::Known::new(),
            pinned: false,
            balloon: None,
            brought: BTreeMap::new(),
            nonlru: Lock::plain(LockClass::Leaf, None),
            shared: Lock::plain(LockClass::Leaf, Handles::default()),
            discarded: Lock::plain(LockClass::Leaf, BTreeMap::new()),
            lent: Lock::plain(LockClass::Leaf, None),
        })
    }

    /// Makes a session for a program: its machine has a balloon if the program uses one.
    pub fn for_program(config: &Config, program: &Program) -> Result<Session<R>> {
        let mut session = Session::new(config)?;
        if program.ops().any(Op::uses_balloon) {
            session.balloon = Some(Balloon::new(&session.machine)?);
        }
        Ok(session)
    }

    /// Sets the owner of the movable pages of a name. The owner is asked before the pages move.
    pub fn bring_owner(&mut self, name: Movable, owner: Arc<dyn PoolOwner>) {
        self.brought.insert(name, owner);
    }

    /// Returns the machine.
    pub fn machine(&self) -> &Machine<R> {
        &self.machine
    }

    /// Makes the names and handles of the set-up available to the threads.
    pub fn publish(&mut self, mut program: Actor) {
        self.note_copies(&mut program);
        self.names = program.names;
        self.content = program.content;
        self.blocks = program.blocks;
        self.pinned = program.history.pinned();
        *self.shared.lock() = program.handles;
    }

    /// Joins the threads' state into the program's, after they have ended.
    pub fn join(&self, threads: &mut [Actor]) -> Actor {
        let mut program = Actor::program();
        self.join_into(&mut program, threads);
        program
    }

    /// Like [`Session::join`], but reuses the memory of an actor.
    pub fn join_into(&self, program: &mut Actor, threads: &mut [impl BorrowMut<Actor>]) {
        program.reset();
        program.writes = AFTER_THREADS;
        program.made = 1 << 12;
        if self.pinned {
            program.history.pins();
        }
        program.join(threads, &self.content);
    }

    /// Describes the handles that the program still holds, and those left over from the set-up.
    pub fn held(&self, program: &Actor) -> Vec<String> {
        let shared = self.shared.lock();
        let all = program.handles.iter().chain(shared.iter());
        all.filter(|held| held.hold != Hold::OffLists).map(ToString::to_string).collect()
    }

    /// Ends everything: children, pins, the program's own process. Returns the findings of a final
    /// audit.
    pub fn end(&self, actor: &mut Actor) -> Vec<Finding> {
        for names in [&self.names, &actor.names] {
            names.living().for_each(|process| self.machine.exit(&process.space));
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

    /// Performs one operation. A fault that an earlier `fail` has asked for is armed when the operation
    /// begins, and ends with the operation.
    pub fn step(&self, actor: &mut Actor, op: &Op) -> Step {
        if let Op::Fail { fault, nth, times } = op {
            actor.fault = Some((*fault, *nth, *times));
            return Step::default();
        }
        if let Some(fault) = actor.fault.take() {
            self.arm(fault);
        }
        let mut step = self.selected(actor, op);
        step.fault = self.machine.end_next_fault();
        step
    }

    fn selected(&self, actor: &mut Actor, op: &Op) -> Step {
        if op.selects_frames() {
            let mut none = false;
            let op = op.with_pages(|sel| {
                let pages = self.pages_in_frames(actor, sel);
                none = pages.is_empty();
                pages
            });
            let mut step = self.selected(actor, &op);
            if none && step.problem.is_none() {
                step.problem = Some(Problem::misuse("no page of the region is in these frames"));
            }
            return step;
        }
        #[cfg(feature = "explored")]
        if checks_all() {
            return self.answered(actor, op, |actor| self.perform(actor, op));
        }
        self.perform(actor, op)
    }

    fn perform(&self, actor: &mut Actor, op: &Op) -> Step {
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
            Op::Swapon { mb, options } => self.swapon(actor, *mb, options).into(),
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
            Op::Trace { switch: Some(Tracing::Moves), .. } => {
                // The guest's own work at this operation drains the batches.
                self.machine.lru_drain_all();
                Step::default()
            }
            // No operation here depends on time. The observer reads the calls.
            Op::Sleep { .. } | Op::Trace { .. } => Step::default(),
            Op::Memblk { block, action, node } => self.memblk(*block, *action, *node),
            Op::Huge { node, n, size } => self.huge(*node, *n, *size),
            Op::AllocRange { page, first, count, node } => {
                self.alloc_range(actor, *page, (*first, *count), *node).into()
            }
            Op::Isolated {} => self.isolated(),
            Op::Compact { node } => match self.compact(actor, *node) {
                Ok(moves) => Step { moves, ..Step::default() },
                Err(problem) => Step::refused(problem),
            },
            Op::CompactFor { order, node, priority } => self.compact_for(actor, *order, *node, *priority),
            Op::Kcompactd { order, node } => self.kcompactd(actor, *order, *node),
            Op::Set { name, value } => self.set_sysctl(actor, name.as_str(), value.as_str()).into(),
            Op::Allocate { page, order, node } => self.allocate(actor, *page, *order, *node).into(),
            Op::Free { page } => self.free(actor, *page).into(),
            Op::Movable { owner, pages, node } => self.movable(actor, *owner, *pages, *node).into(),
            Op::Release { pages } => self.release(actor, pages),
            Op::Balloon { mb } => self.resize_balloon(*mb),
            Op::Inflate { pages, node } => self.inflate(*pages, *node),
            Op::Deflate { pages } => self.deflate(*pages),
            Op::Nonlru {} => self.nonlru(),
            Op::SoftOffline { pages } => self.each(actor, pages, Self::soft_offline),
            Op::MemoryFailure { pages } => self.each(actor, pages, Self::memory_failure),
            Op::Get { pages } => self.each(actor, pages, Self::get),
            Op::TryGet { pages } => self.each(actor, pages, Self::try_get),
            Op::Look { at, pages } => self.look_at(actor, *at, pages),
            Op::Put { pages } => self.each(actor, pages, Self::put),
            Op::LruAdd { pages } => self.each(actor, pages, Self::lru_add),
            Op::Reclaim { pages, node } => self.reclaim(actor, *pages, *node),
            Op::Kswapd { node, order } => {
                let order = order.map_or(0, |order| u8::try_from(order).unwrap_or(u8::MAX));
                self.kswapd(actor, *node, order)
            }
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
            Op::ZsOpen { pages, algo, limit } => self.zs_open(actor, *pages, algo.as_ref(), *limit).into(),
            Op::ZsPut { blocks, size, node, options } => self.zs_put(actor, blocks, size, *node, options),
            Op::ZsDel { blocks } => self.zs_del(actor, blocks),
            Op::ZsCheck { blocks } => self.zs_check(actor, blocks),
            Op::ZsStat {} => self.zs_stat(actor),
            Op::ZsCompact {} => self.zs_compact(actor),
            Op::ZsClose {} => self.zs_close(actor).into(),
            Op::ZramFill { pages, node } => self.zram_fill(actor, *pages, *node),
            Op::ZramPunch { keep, of } => self.zram_punch(actor, (*keep, *of)),
            Op::ZramCheck { keep, of } => self.zram_check(actor, (*keep, *of)),
            Op::ZramFree {} => self.zs_close(actor).into(),
            Op::ZsFreeEmpty {} => self.zs_free_empty(actor).into(),
            Op::Layout { node, from, options } => self.layout(*node, *from, options),
            Op::Extfrag { node } => self.extfrag(*node),
            Op::Take { region } => self.take_node(actor, *region),
            Op::Wmark { level } => self.watermarks(*level).into(),
            Op::Kpages { pin, pages, node } => self.kernel_pages(actor, *pin, *pages, *node),
            Op::Audit {} => self.audit_step(actor),
            Op::Fail { .. } => Step::default(),
        }
    }
}
