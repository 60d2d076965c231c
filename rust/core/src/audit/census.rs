//! The census: the place of each used frame, and the holders of its references.

use super::ledger::Handle;
use crate::error::{Error, Result};
use crate::hotplug::BlockState;
use crate::lru::LruList;
use crate::machine::Machine;
use crate::map::{AreaKind, Attributes, Entry, Pte, Slot};
use crate::memory::more_room;
use crate::owner::{Owner, OwnerId};
use crate::page::{Flags, MAX_ORDER, PIN, Pfn};
use crate::release::Release;
use arrayvec::ArrayVec;
use std::collections::BTreeMap;
use std::fmt;

/// The place of a frame (lifecycle 2.1). A frame has exactly one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the buddy lists: the head of a free block, or a later frame of the block.
    Buddy,
    /// In a CPU's array of free frames.
    Pcp,
    /// In a CPU's batch, until a drain puts the page on a list.
    Batch,
    /// On an LRU list.
    Lru(LruList),
    /// Held by an isolation token.
    Isolated,
    /// An owner's movable page.
    Movable,
    /// In a memory block that is offline.
    Offline,
    /// In no other place: the frame is allocated, and its owner may use it.
    Allocated,
}

/// A holder of references on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A page-table entry.
    Entry {
        /// Address space.
        space: u32,
        /// Virtual page number.
        vpn: u64,
    },
    /// A slot of one of a CPU's batches.
    Batch {
        /// The CPU.
        cpu: usize,
    },
    /// The owner of a movable page (its driver).
    Driver,
    /// A slot of a file's page cache.
    Cache {
        /// The file's owner slot.
        file: u32,
        /// The slot.
        index: u32,
    },
    /// The private data (buffers) of a file's page.
    Private,
    /// The swap cache.
    SwapCache {
        /// The swap slot.
        slot: u32,
    },
    /// Memory failure, which keeps the frame out of use.
    Poison,
    /// A pool of huge pages.
    HugePool,
    /// An injected fault, until it ends.
    Fault,
    /// A handle of the machine's user.
    Handle {
        /// The kind of the handle.
        handle: Handle,
        /// The number of such handles.
        count: u32,
    },
}

impl Holder {
    /// The kinds of holders, in the order of the documentation.
    pub const KINDS: &'static [&'static str] = &[
        "entry",
        "batch",
        "driver",
        "cache",
        "private",
        "swap",
        "poison",
        "huge_pool",
        "fault",
        "reference",
        "pin",
        "isolation",
        "lock",
        "freeze",
        "writeback",
    ];

    /// The holder's kind in one word, one of [`Holder::KINDS`].
    pub fn kind(&self) -> &'static str {
        let kind = match self {
            Holder::Entry { .. } => "entry",
            Holder::Batch { .. } => "batch",
            Holder::Driver => "driver",
            Holder::Cache { .. } => "cache",
            Holder::Private => "private",
            Holder::SwapCache { .. } => "swap",
            Holder::Poison => "poison",
            Holder::HugePool => "huge_pool",
            Holder::Fault => "fault",
            Holder::Handle { handle, .. } => match handle {
                Handle::Ref => "reference",
                Handle::Pin => "pin",
                Handle::Isolated | Handle::IsolatedMovable => "isolation",
                Handle::Lock => "lock",
                Handle::Frozen => "freeze",
                Handle::Writeback => "writeback",
            },
        };
        debug_assert!(Self::KINDS.contains(&kind), "{kind} is missing in the list of kinds");
        kind
    }

    /// Returns the number of references that the holder accounts for.
    pub fn references(&self) -> u32 {
        match self {
            Holder::Handle { handle: Handle::Pin, count } => count * PIN,
            Holder::Handle { handle: Handle::Frozen | Handle::Writeback, .. } => 0,
            Holder::Handle { count, .. } => *count,
            _ => 1,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Entry { space, vpn } => write!(f, "entry of space {space} at {:#x}", vpn << 12),
            Holder::Batch { cpu } => write!(f, "batch of CPU {cpu}"),
            Holder::Driver => f.write_str("driver"),
            Holder::Cache { file, index } => write!(f, "page cache of file {file:#x} at {index}"),
            Holder::Private => f.write_str("private data"),
            Holder::SwapCache { slot } => write!(f, "swap cache at {slot}"),
            Holder::Poison => f.write_str("poison"),
            Holder::HugePool => f.write_str("pool of huge pages"),
            Holder::Fault => f.write_str("injected fault"),
            Holder::Handle { handle, count } => {
                let name = match handle {
                    Handle::Ref => "reference",
                    Handle::Pin => "pin",
                    Handle::Isolated => "isolation token",
                    Handle::IsolatedMovable => "movable isolation token",
                    Handle::Lock => "page lock",
                    Handle::Frozen => "freeze",
                    Handle::Writeback => "writeback",
                };
                write!(f, "{count} × {name}")
            }
        }
    }
}

/// The data that the census gathers about one frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The places that claim the frame, at most two. A frame without a place is `Allocated`; a frame with
    /// two is a finding.
    pub places: ArrayVec<Place, 2>,
    pub references: u32,
    pub mappings: u32,
    /// For a head: the entries that map any part.
    pub folio_mappings: u32,
    /// Pins by handles.
    pub pins: u32,
    /// True if the frame begins a block of the buddy lists.
    pub block: bool,
    /// True if a handle holds the page.
    pub held: bool,
    /// True if a handle holds the page lock.
    pub locked: bool,
    /// True if a handle has frozen the page.
    pub frozen: bool,
    /// True if a write of the page to its backing store has begun and not ended.
    pub under_writeback: bool,
    /// Slots of page caches that hold the page.
    pub slots: u32,
    /// Slots of the swap cache that hold the page.
    pub swap_slots: u32,
    /// True if a dirty entry maps the page, so that the page's own dirty flag may still be clear.
    pub dirty_entry: bool,
    /// True if a token has isolated the page from its driver.
    pub isolated: bool,
    /// For a head: true if an entry that is locked into memory maps a part.
    pub mlocked: bool,
    /// True if the page waits in a CPU's batch.
    pub in_batch: bool,
}

/// A page-table entry of an anonymous area that maps a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    pub pfn: Pfn,
    pub pte: Pte,
    /// The area's owner, and the entry's index in it; the page's record must name both.
    pub owner: OwnerId,
    pub index: u32,
}

/// The census of a machine: the data of all frames that were ever used.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// The data of each frame that was ever used, by node.
    frames: Vec<Vec<Seen>>,
    bases: Vec<Pfn>,
    pub holders: Vec<(Pfn, Holder)>,
    pub mappings: Vec<Mapping>,
    /// Migration entries, each with its page.
    pub migration_entries: Vec<(Pfn, Holder)>,
    /// Isolation tokens of LRU pages, by frame.
    pub tokens: Vec<(Pfn, u32)>,
    /// Cached pages whose record does not name the slot that holds them: page, file, slot.
    pub misfiled: Vec<(Pfn, u32, u32)>,
    /// Entries that name each swap slot.
    pub swap_entries: BTreeMap<u32, u32>,
    /// Pages in the swap cache whose record does not name the slot that holds them: page, slot.
    pub swap_misfiled: Vec<(Pfn, u32)>,
    /// Lists whose counter differs from the number of linked pages: node, list, linked pages.
    pub broken_lists: Vec<(usize, LruList, u32)>,
    /// Entries that map a page where pages were unmapped.
    pub at_unmapped: Vec<(Pfn, Holder)>,
    /// Pages on a list other than the one that their words name: page, list, generation of the
    /// list.
    pub misplaced: Vec<(Pfn, LruList, Option<u8>)>,
    /// True if the host's memory ran out.
    out_of_memory: bool,
}

/// The text by which an `ENOMEM` error names the memory.
const CENSUS: &str = "a census of the machine";

impl Census {
    /// Takes a new census, in the memory of the last census.
    pub fn take<R: Release>(
        &mut self,
        machine: &Machine<R>,
        handles: impl IntoIterator<Item = (Pfn, Handle, u32)>,
    ) -> Result<()> {
        self.frames.resize_with(machine.nodes.len(), Vec::new);
        for (frames, node) in self.frames.iter_mut().zip(&machine.nodes) {
            frames.clear();
            let used = node.zone.lock().frontier() as usize;
            more_room(frames, CENSUS, used)?;
            frames.resize_with(used, Seen::default);
        }
        self.bases.clear();
        self.bases.extend(machine.nodes.iter().map(|node| node.base));
        self.holders.clear();
        self.mappings.clear();
        self.migration_entries.clear();
        self.tokens.clear();
        self.misfiled.clear();
        self.swap_entries.clear();
        self.swap_misfiled.clear();
        self.broken_lists.clear();
        self.at_unmapped.clear();
        self.misplaced.clear();
        // An interruption is heard between two parts, because a part holds locks.
        let parts: [fn(&mut Census, &Machine<R>); 7] = [
            Census::allocator,
            Census::lists,
            Census::batches,
            Census::mappings,
            Census::caches,
            Census::swap_cache,
            Census::drivers,
        ];
        for part in parts {
            Error::unless_interrupted()?;
            part(self, machine);
        }
        for (pfn, _) in machine.poison_books().held {
            self.hold(pfn, Holder::Poison);
        }
        for page in machine.huge_pages() {
            let parts = if page.order > MAX_ORDER { 1 << page.order } else { 1 };
            (0..parts).for_each(|part| self.hold(page.first.plus(part), Holder::HugePool));
        }
        for pfn in machine.injected_references() {
            self.hold(machine.frames.head(pfn), Holder::Fault);
        }
        for (pfn, handle, count) in handles {
            // The machine is at rest, and the handle's reference keeps a large page from being
            // split.
            let pfn = machine.frames.head(pfn);
            let handle = machine.counted_as(handle);
            self.hold(pfn, Holder::Handle { handle, count });
            self.seen_mut(pfn).held = true;
            match handle {
                Handle::Isolated => {
                    self.at(pfn, Place::Isolated);
                    self.tokens.push((pfn, count));
                }
                Handle::Lock => self.seen_mut(pfn).locked = true,
                Handle::Frozen => self.seen_mut(pfn).frozen = true,
                Handle::Writeback => self.seen_mut(pfn).under_writeback = true,
                Handle::IsolatedMovable => self.seen_mut(pfn).isolated = true,
                Handle::Pin => self.seen_mut(pfn).pins += count,
                Handle::Ref => {}
            }
        }
        match std::mem::take(&mut self.out_of_memory) {
            true => Err(Error::host_memory::<(Pfn, Holder)>(CENSUS, self.holders.len())),
            false => Ok(()),
        }
    }

    /// Returns the holders of `pfn`.
    pub fn holders(&self, pfn: Pfn) -> Vec<Holder> {
        self.holders.iter().filter(|(held, _)| *held == pfn).map(|(_, holder)| *holder).collect()
    }

    /// Returns the census data of `pfn`, which must be below its node's frontier.
    pub fn seen(&self, pfn: Pfn) -> &Seen {
        let node = self.node_of(pfn);
        &self.frames[node][pfn.index() - self.bases[node].index()]
    }

    fn seen_mut(&mut self, pfn: Pfn) -> &mut Seen {
        let node = self.node_of(pfn);
        &mut self.frames[node][pfn.index() - self.bases[node].index()]
    }

    fn node_of(&self, pfn: Pfn) -> usize {
        self.bases.iter().rposition(|&base| base <= pfn).expect("node 0 starts at frame 0")
    }

    fn at(&mut self, pfn: Pfn, place: Place) {
        // Two places already break the rule, so a third place is not recorded.
        let _ = self.seen_mut(pfn).places.try_push(place);
    }

    fn hold(&mut self, pfn: Pfn, holder: Holder) {
        self.seen_mut(pfn).references += holder.references();
        match self.holders.try_reserve(1) {
            Ok(()) => self.holders.push((pfn, holder)),
            Err(_) => self.out_of_memory = true,
        }
    }

    fn allocator<R: Release>(&mut self, machine: &Machine<R>) {
        for (number, node) in machine.nodes.iter().enumerate() {
            let zone = node.zone.lock();
            for (block, order, _) in zone.blocks(&machine.frames) {
                self.seen_mut(block).block = true;
                for offset in 0..1 << order {
                    self.at(block.plus(offset), Place::Buddy);
                }
            }
            drop(zone);
            for cpu in &machine.cpus {
                for &pfn in cpu.pcp[number].lock().frames() {
                    self.at(pfn, Place::Pcp);
                }
            }
            for (block, state) in (0..).zip(node.blocks.states()) {
                let offline = (state == BlockState::Offline).then(|| node.blocks.range(block)).flatten();
                for pfn in offline.into_iter().flatten().map(|frame| node.base.plus(frame)) {
                    // A poisoned frame can still have holders when its block goes offline.
                    let word = machine.frames[pfn].word();
                    if !word.has(Flags::HWPOISON) || word.count() == 0 {
                        self.at(pfn, Place::Offline);
                    }
                }
            }
        }
    }

    fn lists<R: Release>(&mut self, machine: &Machine<R>) {
        for (number, node) in machine.nodes.iter().enumerate() {
            let used = node.zone.lock().frontier();
            let lruvec = node.lruvec.lock();
            let mut pages = 0;
            // The unevictable list has no links: it is only counted, and its pages' words name it.
            for pfn in (0..used).map(|offset| node.base.plus(offset)) {
                if machine.frames[pfn].word().has(Flags::LRU | Flags::UNEVICTABLE) {
                    self.at(pfn, Place::Lru(LruList::Unevictable));
                    pages += 1u32 << machine.frames[pfn].order();
                }
            }
            if pages != lruvec.pages(LruList::Unevictable) {
                self.broken_lists.push((number, LruList::Unevictable, pages));
            }
            for (kind, generation, list, counted) in lruvec.all() {
                let mut pages = 0;
                for pfn in list.iter(&machine.frames) {
                    self.at(pfn, Place::Lru(kind));
                    pages += 1u32 << machine.frames[pfn].order();
                    let word = machine.frames[pfn].word();
                    // A generation is active or inactive by its age, so its pages must not have the
                    // flag `ACTIVE`.
                    let expected = match generation {
                        Some(_) => LruList::of(word).is_anon() == kind.is_anon() && !word.has(Flags::ACTIVE),
                        None => LruList::of(word) == kind,
                    };
                    if !expected || word.generation() != generation {
                        self.misplaced.push((pfn, kind, generation));
                    }
                }
                if pages != counted {
                    self.broken_lists.push((number, kind, pages));
                }
            }
        }
    }

    fn batches<R: Release>(&mut self, machine: &Machine<R>) {
        for (number, cpu) in machine.cpus.iter().enumerate() {
            let batches = cpu.batches.lock();
            for pfn in batches.added().iter().copied().chain(batches.locked_new()) {
                self.at(pfn, Place::Batch);
            }
            for pfn in batches.added().iter().copied().chain(batches.moving()) {
                self.hold(pfn, Holder::Batch { cpu: number });
                self.seen_mut(pfn).in_batch = true;
            }
        }
    }

    fn mappings<R: Release>(&mut self, machine: &Machine<R>) {
        machine.owners.for_each(|owner_id, owner| {
            // A private mapping of a file also belongs to an anonymous owner, and is counted there.
            let areas = match owner {
                Owner::Anon(areas) | Owner::File { areas, .. } => areas,
                Owner::Free | Owner::Movable(_) => return,
            };
            let file = matches!(owner, Owner::File { .. });
            for area in areas.iter().filter(|area| !file || area.is_shared()) {
                for (index, pte) in area.mapped() {
                    let holder = Holder::Entry { space: area.space, vpn: area.first + u64::from(index) };
                    match Pte::entry(pte) {
                        Entry::Present { pfn, zero: false } => {
                            let folio = machine.frames.folio(pfn);
                            self.hold(folio.head, holder);
                            self.seen_mut(pfn).mappings += 1;
                            self.seen_mut(folio.head).folio_mappings += 1;
                            self.seen_mut(pfn).dirty_entry |= pte.has(Pte::DIRTY);
                            let attributes = area.attributes(index);
                            self.seen_mut(folio.head).mlocked |= attributes.contains(Attributes::LOCKED);
                            if attributes.contains(Attributes::UNMAPPED) {
                                self.at_unmapped.push((pfn, holder));
                            }
                            if matches!(area.kind, AreaKind::Anon { .. }) {
                                match self.mappings.try_reserve(1) {
                                    Ok(()) => {
                                        self.mappings.push(Mapping { pfn, pte, owner: owner_id, index })
                                    }
                                    Err(_) => self.out_of_memory = true,
                                }
                            }
                        }
                        Entry::Migration { pfn } => self.migration_entries.push((pfn, holder)),
                        Entry::Swap { slot } => *self.swap_entries.entry(slot).or_default() += 1,
                        _ => {}
                    }
                }
            }
        });
    }

    fn caches<R: Release>(&mut self, machine: &Machine<R>) {
        machine.owners.for_each(|id, owner| {
            let Owner::File { file, .. } = owner else { return };
            for index in 0..file.used() {
                if let Slot::Swap(slot) = file.slot(index) {
                    *self.swap_entries.entry(slot).or_default() += 1;
                }
                let Some(pfn) = file.slot(index).page() else { continue };
                self.hold(pfn, Holder::Cache { file: id.0, index });
                self.seen_mut(pfn).slots += 1;
                let page = &machine.frames[pfn];
                if page.owner() != id.0 || page.index() != index {
                    self.misfiled.push((pfn, id.0, index));
                }
                if page.word().has(Flags::PRIVATE) {
                    self.hold(pfn, Holder::Private);
                }
            }
        });
    }

    fn swap_cache<R: Release>(&mut self, machine: &Machine<R>) {
        let Some(swap) = machine.swap_space() else { return };
        for slot in 0..swap.entries().len() as u32 {
            let Some(pfn) = swap.slot(slot).page() else { continue };
            // A slot holds the frame of a part, and a reference on the page's head.
            let head = machine.frames.head(pfn);
            self.hold(head, Holder::SwapCache { slot });
            self.seen_mut(pfn).swap_slots += 1;
            if machine.frames[head].private() + (pfn.0 - head.0) != slot {
                self.swap_misfiled.push((pfn, slot));
            }
        }
    }

    fn drivers<R: Release>(&mut self, machine: &Machine<R>) {
        machine.owners.for_each(|_, owner| {
            let Owner::Movable(ops) = owner else { return };
            for pfn in ops.held() {
                self.at(pfn, Place::Movable);
                self.hold(pfn, Holder::Driver);
            }
        });
    }

    /// Returns the place of the frame: `Allocated` if no place claims it.
    pub fn place<R: Release>(&self, machine: &Machine<R>, pfn: Pfn) -> Place {
        let places = &self.seen(pfn).places;
        match places.first() {
            Some(&place) => place,
            // A tail is in the place of its head.
            None if machine.frames[pfn].word().has(Flags::TAIL) => {
                let head = machine.frames.head(pfn);
                if head == pfn { Place::Allocated } else { self.place(machine, head) }
            }
            None => Place::Allocated,
        }
    }
}
