//! What one thread of a program has: its names, its handles, what it knows of pages' content.
//!
//! A thread's own things are nobody else's, so using them is no step that the protocol does not have.
//! What the set-up made is there for all threads: its names never change while they run, its handles
//! lie in one place (under a lock) and belong to whoever takes them first.

use super::content::{Content, FILES, Version};
use super::snapshot::History;
use super::step::Problem;
use crate::audit::Handle;
use crate::map::{AddressSpace, Area, File, PinKind};
use crate::movable::{PagePool, PoolPage};
use crate::owner::OwnerId;
use crate::page::{PIN, Pfn};
use crate::program::{Allocated, Child, Movable, Owner, PinName, Region};
use std::fmt;
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

/// Through what name a handle was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Page(Owner, u32),
    Pin(PinName),
    /// A pipe that the program has closed and children still have open.
    Pipe(u32),
}

/// What is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hold {
    /// The reference of an allocation.
    Allocated,
    /// An allocated page that is on no list and on the way to none: it may be added once.
    OffLists,
    /// A reference.
    Ref,
    /// The token of an LRU page.
    Isolated,
    /// The token of a movable page.
    IsolatedMovable,
    /// The page lock, with a reference.
    Locked,
    /// The page is frozen; so many references are in the ice, all of them held here.
    Frozen(u32),
    /// One of the references or pins of a pin.
    Pin(PinKind),
    /// A write to disk that has begun, of a page of this file.
    Writeback {
        /// The file, which lives as long as the write.
        file: OwnerId,
        /// Its page.
        index: u32,
    },
}

impl Hold {
    /// References that it stands for.
    pub fn references(self) -> u32 {
        match self {
            Hold::OffLists | Hold::Frozen(_) | Hold::Writeback { .. } => 0,
            Hold::Pin(PinKind::Pin) => PIN,
            _ => 1,
        }
    }

    /// What the audit is told.
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

/// One handle: on which frame, through which name.
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

    /// The newest that fits.
    pub fn find(&self, fits: impl Fn(&Held) -> bool) -> Option<Held> {
        self.0.iter().rev().find(|held| fits(held)).copied()
    }

    /// Takes the newest that fits out.
    pub fn take(&mut self, fits: impl Fn(&Held) -> bool) -> Option<Held> {
        let place = self.0.iter().rposition(fits)?;
        Some(self.0.remove(place))
    }

    /// Takes the oldest that fits out.
    pub fn take_oldest(&mut self, fits: impl Fn(&Held) -> bool) -> Option<Held> {
        let place = self.0.iter().position(fits)?;
        Some(self.0.remove(place))
    }

    /// Takes all that fit out.
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

    /// What the audit is to know of.
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

/// A region, as the program's own process has it.
#[derive(Clone, Debug)]
pub(super) struct Mapped {
    /// See [`Place::region`](super::content::Place::region).
    pub number: u32,
    pub area: Arc<Area>,
    /// Its file is there for this region alone and goes with it.
    pub file: Option<Arc<File>>,
}

impl Mapped {
    /// Under which address space what is known of its content is kept: all see the same of a shared
    /// mapping.
    pub fn content_of(&self, space: u32) -> u32 {
        if self.area.is_shared() { FILES } else { space }
    }
}

/// A process: the program's own, or a child.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub space: Arc<AddressSpace>,
    /// Its areas by the names of the regions that they were, or were copied from.
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

/// A few names and what they stand for; fewer than a search tree would pay for.
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

/// What a program's names stand for. A child that has exited is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub regions: Table<Region, Mapped>,
    pub children: Table<Child, Option<Arc<Process>>>,
    pub pools: Table<Movable, Pool>,
    pub allocated: Table<Allocated, Pfn>,
    /// The frames last failed, or named, behind pages: they keep their names after an unmap.
    pub frames: Table<(Region, u32), Pfn>,
}

impl Names {
    fn clear(&mut self) {
        self.regions.clear();
        self.children.clear();
        self.pools.clear();
        self.allocated.clear();
        self.frames.clear();
    }

    /// Are there only names of frames?
    #[cfg(feature = "explored")]
    fn is_plain(&self) -> bool {
        self.regions.is_empty() && self.children.is_empty() && self.pools.is_empty()
    }

    fn extend(&mut self, other: &mut Names) {
        fn all<K: PartialEq + Copy, V>(into: &mut Table<K, V>, from: &mut Table<K, V>) {
            from.0.drain(..).for_each(|(key, value)| into.set(key, value));
        }
        all(&mut self.regions, &mut other.regions);
        all(&mut self.children, &mut other.children);
        all(&mut self.pools, &mut other.pools);
        all(&mut self.allocated, &mut other.allocated);
        all(&mut self.frames, &mut other.frames);
    }
}

/// The pipe of a pin, which a fork hands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pipe {
    /// The handles' name: the pin's own, until the program has closed it.
    pub name: Name,
    /// Children that have it open.
    pub children: Vec<Child>,
}

/// Who performs operations: the program itself (number 0), or one of its threads.
#[derive(Debug)]
pub struct Actor {
    pub(super) number: u8,
    pub(super) concurrent: bool,
    pub(super) names: Names,
    pub(super) handles: Handles,
    pub(super) content: Content,
    /// What it did while others may have forked or written.
    pub(super) history: History,
    /// Writes so far.
    pub(super) writes: u32,
    /// Regions and owners made so far.
    pub(super) made: u32,
    /// Pipes of pins: which children have them open too. The last to close one ends the pin.
    pub(super) pipes: Vec<Pipe>,
    /// A page's worth of bytes, so that no access allocates.
    pub(super) buffer: Vec<u8>,
}

impl Actor {
    /// The program itself.
    pub fn program() -> Actor {
        Actor::new(0, false)
    }

    /// Thread `number` of the program, from 0.
    ///
    /// # Panics
    /// If there are more threads than writers that can be told apart.
    pub fn thread(number: usize) -> Actor {
        assert!(number < super::MAX_THREADS, "a program has {} threads at most", super::MAX_THREADS);
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
            writes: 0,
            made: 0,
            pipes: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// As it was at the beginning, with the memory that it has by now.
    pub fn reset(&mut self) {
        self.names.clear();
        self.handles.clear();
        self.content.clear();
        self.history.clear();
        self.writes = 0;
        self.made = 0;
        self.pipes.clear();
    }

    /// Tells what it has, so that two end states can be told apart; false if it has made something
    /// that only it knows of.
    #[cfg(feature = "explored")]
    pub fn tell(&self, digest: &mut crate::sync::explored::Digest) -> bool {
        // No object of the machine has such an address. History counts only for what has forked, and
        // that has made a child.
        let place = usize::from(self.number);
        digest
            .tell_all(place, &(&self.handles, &self.content, &self.names.allocated.0, &self.names.frames.0));
        self.names.is_plain()
    }

    /// The threads have ended: all that they have is the program's.
    pub(super) fn join(&mut self, threads: &mut [Actor], before: &Content) {
        self.content.join(threads.iter().map(|thread| &thread.content), before);
        for thread in threads {
            self.names.extend(&mut thread.names);
            self.handles.append(&mut thread.handles);
            self.history.append(&mut thread.history);
        }
    }

    /// The version that the next write writes.
    pub(super) fn new_version(&mut self) -> Result<Version, Problem> {
        self.writes += 1;
        Version::new(self.number, self.writes)
            .ok_or_else(|| Problem::misuse("too many writes to tell them apart"))
    }

    /// Who gives pages up, if this actor does.
    pub(super) fn gives_up(&self) -> super::GivenUp {
        match self.concurrent {
            true => super::GivenUp::By(self.number),
            false => super::GivenUp::Before,
        }
    }

    /// A number that no other region or owner of the program has.
    pub(super) fn new_number(&mut self) -> u32 {
        self.made += 1;
        u32::from(self.number) << 16 | self.made
    }

    /// Refuses what might wait for a page lock or for a write to disk, while one is held: the thread could
    /// wait for itself, or for somebody who waits for it.
    pub(super) fn no_page_lock(&self) -> Result<(), Problem> {
        for held in self.handles.iter() {
            let first = match held.hold {
                Hold::Locked => "holds a page lock: unlock first",
                Hold::Writeback { .. } => "has begun a write to disk: end it first",
                _ => continue,
            };
            return Err(Problem::misuse(format!("this may wait, and the thread {first}")));
        }
        Ok(())
    }

    /// Refuses to let go of references that a freeze accounts for.
    pub(super) fn not_frozen(&self, pfn: Pfn) -> Result<(), Problem> {
        match self.handles.iter().any(|held| held.pfn == pfn && matches!(held.hold, Hold::Frozen(_))) {
            true => Err(Problem::misuse(format!("page {pfn} is frozen: unfreeze first"))),
            false => Ok(()),
        }
    }
}
