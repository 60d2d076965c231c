//! The state of one thread of a program: its names, its handles, its knowledge of pages' content.
//!
//! This state is private to the thread, so using it takes no step of a schedule. All threads share
//! the things of the set-up. The names of the set-up never change while threads run. The set-up's handles lie
//! in one table under a lock, and each goes to the first thread that takes it.

use super::block_content::{Known, Written};
use super::content::{Content, FILES, MAX_THREADS, Version};
use super::history::History;
use super::step::Problem;
use crate::audit::Handle;
use crate::map::{AddressSpace, Area, File, PinKind};
use crate::movable::{PagePool, PoolPage};
use crate::owner::OwnerId;
use crate::page::{PIN, Pfn};
use crate::program::{Allocated, Child, FaultKind, Movable, Owner, PinName, Region};
use crate::zram::Zram;
use std::borrow::BorrowMut;
use std::fmt;
use std::num::NonZeroU8;
use std::sync::Arc;

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Name::Page(owner @ Owner::Allocated(_), _) => write!(f, "{owner}: ")?,
            Name::Page(owner, index) => write!(f, "{owner}:{index}: ")?,
            Name::Pin(pin) => write!(f, "{pin}: ")?,
            Name::Pipe(_) => f.write_str("a child's pipe: ")?,
        }
        match self.hold {
            Hold::Allocated => f.write_str("the allocation of")?,
            Hold::OffLists => f.write_str("the right to put on a list")?,
            Hold::Ref => f.write_str("a reference on")?,
            Hold::Isolated | Hold::IsolatedMovable => f.write_str("the isolation of")?,
            Hold::Locked => f.write_str("the lock of")?,
            Hold::Writeback { .. } => f.write_str("the write to disk of")?,
            Hold::Frozen(refs) => write!(f, "the freeze of {refs} references on")?,
            Hold::Pin(PinKind::Get) => f.write_str("a reference on")?,
            Hold::Pin(PinKind::Pin) => f.write_str("a pin on")?,
        }
        write!(f, " page {}", self.pfn)
    }
}

/// The actor that discarded a page while threads ran. A write by the only thread that discarded the
/// page stays; otherwise the order of discards and writes is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Discarded {
    /// Only the set-up discarded the page.
    #[default]
    Before,
    /// Only this thread discarded the page.
    By(u8),
    /// Several threads discarded the page, or advice to discard it failed on the way.
    Somehow,
}

/// The name through which a handle was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Page(Owner, u32),
    Pin(PinName),
    /// A pipe that the program has closed and children still have open.
    Pipe(u32),
}

/// The kind of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hold {
    /// The reference of an allocation.
    Allocated,
    /// The right to add an allocated page to a list, once.
    OffLists,
    /// A reference.
    Ref,
    /// The token of an LRU page.
    Isolated,
    /// The token of a movable page.
    IsolatedMovable,
    /// The page lock, with a reference.
    Locked,
    /// The page is frozen, with this many references, all of them held by this thread.
    Frozen(u32),
    /// One of the references or pins of a pin.
    Pin(PinKind),
    /// A write to disk that has begun, of a page of a file.
    Writeback {
        /// The file, which lives as long as the write.
        file: OwnerId,
        /// The page of the file.
        index: u32,
    },
}

impl Hold {
    /// Returns the number of references that the handle accounts for.
    pub fn references(self) -> u32 {
        match self {
            Hold::OffLists | Hold::Frozen(_) | Hold::Writeback { .. } => 0,
            Hold::Pin(PinKind::Pin) => PIN,
            _ => 1,
        }
    }

    /// Returns the handles under which the audit counts this one.
    fn handles(self) -> &'static [Handle] {
        match self {
            Hold::OffLists => &[],
            Hold::Allocated | Hold::Ref | Hold::Pin(PinKind::Get) => &[Handle::Ref],
            Hold::Isolated => &[Handle::Isolated],
            Hold::IsolatedMovable => &[Handle::IsolatedMovable],
            Hold::Locked => &[Handle::Lock],
            Hold::Frozen(_) => &[Handle::Frozen],
            Hold::Pin(PinKind::Pin) => &[Handle::Pin],
            Hold::Writeback { .. } => &[Handle::Writeback],
        }
    }
}

/// A handle: its name, frame and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Held {
    pub name: Name,
    pub pfn: Pfn,
    pub hold: Hold,
}

/// Handles, oldest first.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Handles(Vec<Held>);

impl Handles {
    pub fn push(&mut self, name: Name, pfn: Pfn, hold: Hold) {
        self.0.push(Held { name, pfn, hold });
    }

    /// Returns the handles that were taken after there were `before`.
    #[cfg(feature = "explored")]
    pub fn taken_after(&self, before: usize) -> &[Held] {
        self.0.get(before..).unwrap_or_default()
    }

    /// Returns the number of handles.
    #[cfg(feature = "explored")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the newest handle that fits.
    pub fn find(&self, fits: impl Fn(&Held) -> bool) -> Option<Held> {
        self.0.iter().rev().find(|held| fits(held)).copied()
    }

    /// Removes and returns the newest handle that fits.
    pub fn take(&mut self, fits: impl Fn(&Held) -> bool) -> Option<Held> {
        let place = self.0.iter().rposition(fits)?;
        Some(self.0.remove(place))
    }

    /// Removes and returns the oldest handle that fits.
    pub fn take_oldest(&mut self, fits: impl Fn(&Held) -> bool) -> Option<Held> {
        let place = self.0.iter().position(fits)?;
        Some(self.0.remove(place))
    }

    /// Moves all handles that fit to another table.
    pub fn take_all(&mut self, fits: impl Fn(&Held) -> bool, into: &mut Handles) {
        self.0.retain(|held| {
            let taken = fits(held);
            if taken {
                into.0.push(*held);
            }
            !taken
        });
    }

    pub fn iter(&self) -> impl Iterator<Item = &Held> {
        self.0.iter()
    }

    /// Returns the handles as the audit takes them.
    pub fn for_audit(&self) -> impl Iterator<Item = (Pfn, Handle, u32)> + '_ {
        self.0.iter().flat_map(|held| held.hold.handles().iter().map(|&handle| (held.pfn, handle, 1)))
    }

    fn append(&mut self, other: &mut Handles) {
        self.0.append(&mut other.0);
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// A region of a process.
#[derive(Clone, Debug)]
pub(super) struct Mapped {
    /// See [`Place::region`](super::content::Place::region).
    pub number: u32,
    pub area: Arc<Area>,
    /// The region's file, which belongs to this region alone and is removed with it.
    pub file: Option<Arc<File>>,
}

impl Mapped {
    /// Returns the address space under which the content of the region is known. All spaces see the
    /// same content of a shared mapping.
    pub fn content_of(&self, space: u32) -> u32 {
        if self.area.is_shared() { FILES } else { space }
    }

    /// Returns true for a private mapping of a file. Its pages are the file's until they are copied.
    pub fn is_private_file(&self) -> bool {
        self.file.is_some() && !self.area.is_shared()
    }
}

/// A process: the program's own, or a child.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub space: Arc<AddressSpace>,
    /// The areas of the process, by the names of the program's regions. A child's areas are copies.
    pub regions: Table<Region, Mapped>,
}

/// An owner of movable pages.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// See [`Place::region`](super::content::Place::region).
    pub number: u32,
    pub pool: Arc<PagePool>,
    pub pages: Arc<[PoolPage]>,
}

/// A few names and their values. A list suffices, because there are so few.
#[derive(Clone, Debug)]
pub(super) struct Table<K, V>(Vec<(K, V)>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table(Vec::new())
    }
}

impl<K: PartialEq + Copy, V> Table<K, V> {
    pub fn get(&self, key: K) -> Option<&V> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    pub fn set(&mut self, key: K, value: V) {
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.0.retain(|(key, _)| keep(key));
    }

    pub fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.0.iter()
    }

    #[cfg(feature = "explored")]
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// The values of a program's names. A child that has exited is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub regions: Table<Region, Mapped>,
    pub children: Table<Child, Option<Arc<Process>>>,
    /// Children whose names other threads have given to children of their own. They live until the end.
    pub nameless: Vec<Arc<Process>>,
    pub pools: Table<Movable, Pool>,
    pub allocated: Table<Allocated, Pfn>,
    /// The frame behind each page at the last `frame` or the last failure of the page. It stays known after
    /// an unmap.
    pub frames: Table<(Region, u32), Pfn>,
    /// The zram device.
    pub device: Option<Arc<Zram>>,
}

impl Names {
    /// Returns the children that have not exited.
    pub fn living(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.children.iter().filter_map(|(_, process)| process.as_ref()).chain(&self.nameless)
    }

    fn clear(&mut self) {
        self.regions.clear();
        self.children.clear();
        self.nameless.clear();
        self.pools.clear();
        self.allocated.clear();
        self.frames.clear();
        self.device = None;
    }

    /// Returns true if there are only names of pages and frames.
    #[cfg(feature = "explored")]
    fn is_plain(&self) -> bool {
        self.regions.is_empty() && self.children.is_empty() && self.pools.is_empty() && self.device.is_none()
    }

    fn extend(&mut self, other: &mut Names) {
        fn all<K: PartialEq + Copy, V>(into: &mut Table<K, V>, from: &mut Table<K, V>) {
            from.0.drain(..).for_each(|(key, value)| into.set(key, value));
        }
        // A child whose name another child takes is kept without a name; otherwise it would never exit.
        let displaced = other.children.iter().filter_map(|(name, _)| self.children.get(*name)?.clone());
        self.nameless.extend(displaced);
        self.nameless.append(&mut other.nameless);
        all(&mut self.regions, &mut other.regions);
        all(&mut self.children, &mut other.children);
        all(&mut self.pools, &mut other.pools);
        all(&mut self.allocated, &mut other.allocated);
        all(&mut self.frames, &mut other.frames);
        self.device = other.device.take().or(self.device.take());
    }
}

/// A fault that is to strike in the next operation of an actor, as the line `fail` has it.
pub type NextFault = (FaultKind, Option<NonZeroU8>, Option<NonZeroU8>);

/// The pipe of a pin, which a forked child inherits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pipe {
    /// The name of the pipe's handles: the name of the pin, until the program has closed the pipe.
    pub name: Name,
    /// The children that have the pipe open.
    pub children: Vec<Child>,
}

/// The performer of operations: the program itself (number 0), or one of its threads.
#[derive(Debug)]
pub struct Actor {
    pub(super) number: u8,
    pub(super) concurrent: bool,
    pub(super) names: Names,
    pub(super) handles: Handles,
    pub(super) content: Content,
    /// The actor's writes and forks while other threads ran.
    pub(super) history: History,
    /// The actor's last writes to blocks of the zram device.
    pub(super) blocks: Known,
    /// The last writes to blocks by the threads that this actor has joined.
    pub(super) others: Vec<(u32, Written)>,
    /// The number of the actor's writes.
    pub(super) writes: u32,
    /// The number of regions and owners that the actor made.
    pub(super) made: u32,
    /// The pipes of pins. The pin ends when the program and all children have closed its pipe.
    pub(super) pipes: Vec<Pipe>,
    /// The fault for the actor's next operation.
    pub(super) fault: Option<NextFault>,
    /// A page's worth of bytes, so that no access allocates.
    pub(super) buffer: Vec<u8>,
}

impl Actor {
    /// Makes the actor of the program itself.
    pub fn program() -> Actor {
        Actor::new(0, false)
    }

    /// Makes the actor of thread `number` of the program, from 0.
    ///
    /// # Panics
    /// If there are more threads than writers that can be distinguished.
    pub fn thread(number: usize) -> Actor {
        assert!(number < MAX_THREADS, "a program has {} threads at most", MAX_THREADS);
        Actor::new(number as u8 + 1, true)
    }

    fn new(number: u8, concurrent: bool) -> Actor {
        Actor {
            number,
            concurrent,
            names: Names::default(),
            handles: Handles::default(),
            content: Content::default(),
            history: History::default(),
            blocks: Known::new(),
            others: Vec::new(),
            writes: 0,
            made: 0,
            pipes: Vec::new(),
            fault: None,
            buffer: Vec::new(),
        }
    }

    /// Resets the actor to its beginning, but keeps its memory for reuse.
    pub fn reset(&mut self) {
        self.names.clear();
        self.handles.clear();
        self.content.clear();
        self.history.clear();
        self.blocks.clear();
        self.others.clear();
        self.writes = 0;
        self.made = 0;
        self.pipes.clear();
        self.fault = None;
    }

    /// Adds the actor's state to the digest. Returns false if the actor has made objects that only
    /// it knows, which cannot be digested.
    #[cfg(feature = "explored")]
    pub fn digest_into(&self, digest: &mut crate::sync::explored::Digest) -> bool {
        // No object of the machine has such an address. The history is left out, because it matters
        // only to an actor that has forked. Such an actor has made a child, and its state is not
        // digested at all.
        let place = usize::from(self.number);
        digest
            .add_hash(place, &(&self.handles, &self.content, &self.names.allocated.0, &self.names.frames.0));
        digest.add_hash(place, &(&self.blocks, &self.fault));
        self.names.is_plain()
    }

    /// Takes over the state of the threads, after they have ended.
    pub(super) fn join(&mut self, threads: &mut [impl BorrowMut<Actor>], before: &Content) {
        self.content.join(threads.iter().map(|thread| &thread.borrow().content), before);
        for thread in threads.iter_mut().map(BorrowMut::borrow_mut) {
            self.names.extend(&mut thread.names);
            self.handles.append(&mut thread.handles);
            self.history.append(&mut thread.history);
            self.others.extend(std::mem::take(&mut thread.blocks));
        }
    }

    /// Returns the version of the actor's next write.
    pub(super) fn new_version(&mut self) -> Result<Version, Problem> {
        self.writes += 1;
        Version::new(self.number, self.writes).ok_or_else(|| {
            Problem::misuse("the thread has made more writes than the check of contents can count")
        })
    }

    /// Returns the value under which this actor's discards are recorded.
    pub(super) fn discarder(&self) -> Discarded {
        match self.concurrent {
            true => Discarded::By(self.number),
            false => Discarded::Before,
        }
    }

    /// Returns a number that no other region or owner of the program has.
    pub(super) fn new_number(&mut self) -> u32 {
        self.made += 1;
        u32::from(self.number) << 16 | self.made
    }

    /// Refuses an operation that may wait for a page lock or for a write to disk while the thread
    /// holds a page lock or a write. Otherwise the thread could wait for itself, or two threads for
    /// each other.
    pub(super) fn no_page_lock(&self) -> Result<(), Problem> {
        for held in self.handles.iter() {
            let first = match held.hold {
                Hold::Locked => "holds a page lock: unlock first",
                Hold::Writeback { .. } => "has begun a write to disk: end it first",
                _ => continue,
            };
            return Err(Problem::misuse(format!("the operation may wait, but the thread {first}")));
        }
        Ok(())
    }

    /// Refuses to put references that a freeze accounts for.
    pub(super) fn not_frozen(&self, pfn: Pfn) -> Result<(), Problem> {
        match self.handles.iter().any(|held| held.pfn == pfn && matches!(held.hold, Hold::Frozen(_))) {
            true => Err(Problem::misuse(format!("page {pfn} is frozen: unfreeze first"))),
            false => Ok(()),
        }
    }
}
