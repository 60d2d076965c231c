//! Who owns a page outside the allocator: a reverse map of an anonymous mapping, a file, a movable
//! driver. A record names its owner by a slot with a generation; slots outlive the pages.
//!
//! The slot's lock *is* the owner's reverse-map lock (`anon_vma`, `i_mmap`), so that finding an owner
//! and walking its mappings is one acquisition.
//!
//! # What can go wrong
//!
//! A page can outlive its anonymous mapping (isolated while the process exits). Its owner id is
//! stale then, and every lookup says "nobody": the generation in the id no longer matches. After 256 lives of
//! the slot it names somebody again, who does not map the page: every walk looks whether an entry leads to the
//! page before it believes it. An owner with a `released` callback is never removed while it owns pages.

use crate::error::{Errno, Error, Result};
use crate::map::{Areas, File};
use crate::memory::room;
use crate::movable::MovableOps;
use crate::release::Release;
use crate::sync::{Lock, LockClass, RwLock};
use std::sync::{Arc, OnceLock};

/// An owner id as the record stores it: slot + 1 in the low 24 bits, generation above; 0 is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerId(pub u32);

impl OwnerId {
    const SLOT_BITS: u32 = 24;

    /// Nobody.
    pub const NOBODY: OwnerId = OwnerId(0);

    #[inline]
    fn new(slot: usize, generation: u8) -> OwnerId {
        OwnerId((slot as u32 + 1) | (u32::from(generation) << Self::SLOT_BITS))
    }

    #[inline]
    fn slot(self) -> Option<usize> {
        ((self.0 & ((1 << Self::SLOT_BITS) - 1)) as usize).checked_sub(1)
    }

    #[inline]
    fn generation(self) -> u8 {
        (self.0 >> Self::SLOT_BITS) as u8
    }
}

/// What a slot holds.
pub enum Owner<R: Release> {
    /// Nobody.
    Free,
    /// The areas that map an anonymous lineage: the first mapping and every fork of it (`anon_vma`).
    Anon(Areas),
    /// A file with a page cache, and the areas that map it (`i_mmap`).
    File {
        /// The file.
        file: Arc<File>,
        /// In the order in which they were mapped: a child of a fork after its parent.
        areas: Areas,
    },
    /// The driver of movable pages.
    Movable(Arc<dyn MovableOps<R>>),
}

impl<R: Release> Clone for Owner<R> {
    fn clone(&self) -> Self {
        match self {
            Owner::Free => Owner::Free,
            Owner::Anon(areas) => Owner::Anon(areas.clone()),
            Owner::File { file, areas } => Owner::File { file: Arc::clone(file), areas: areas.clone() },
            Owner::Movable(ops) => Owner::Movable(Arc::clone(ops)),
        }
    }
}

struct Slot<R: Release> {
    generation: u8,
    owner: Owner<R>,
}

impl<R: Release> Clone for Slot<R> {
    fn clone(&self) -> Self {
        Slot { generation: self.generation, owner: self.owner.clone() }
    }
}

/// Slots in the first chunk; each further chunk doubles the total.
const FIRST: usize = if cfg!(loom) { 4 } else { 64 };
const CHUNKS: usize = 18;

#[derive(Clone, Default, Hash)]
struct FreeSlots {
    free: Vec<u32>,
    next: u32,
}

/// Some slots, made together.
type Chunk<R> = Box<[RwLock<Slot<R>>]>;

/// All owners of a machine.
pub struct Owners<R: Release> {
    chunks: [OnceLock<Chunk<R>>; CHUNKS],
    free: Lock<FreeSlots>,
    most: usize,
}

impl<R: Release> Owners<R> {
    /// Room for `most` owners at a time; the slots are made as they are needed.
    #[inline]
    pub fn new(most: usize) -> Result<Owners<R>> {
        if most > FIRST << (CHUNKS - 1) {
            return Err(Error::new(Errno::EINVAL, format!("{most} owners are more than a machine can have")));
        }
        Ok(Owners {
            chunks: [const { OnceLock::new() }; CHUNKS],
            free: Lock::plain(LockClass::Leaf, FreeSlots::default()),
            most,
        })
    }

    /// Chunk 0 holds slots 0..64, chunk k holds 64·2^(k-1)..64·2^k.
    #[inline]
    fn slot(&self, slot: usize) -> Option<&RwLock<Slot<R>>> {
        let chunk = (slot / FIRST + 1).next_power_of_two().ilog2() as usize;
        let start = if chunk == 0 { 0 } else { FIRST << (chunk - 1) };
        self.chunks.get(chunk)?.get()?.get(slot - start)
    }

    fn slot_or_make(&self, slot: usize) -> Result<&RwLock<Slot<R>>> {
        let chunk = (slot / FIRST + 1).next_power_of_two().ilog2() as usize;
        let start = if chunk == 0 { 0 } else { FIRST << (chunk - 1) };
        if self.chunks[chunk].get().is_none() {
            let len = if chunk == 0 { FIRST } else { start };
            let mut slots = room("the slots of owners", len)?;
            slots.resize_with(len, || {
                RwLock::new(LockClass::Rmap, Slot { generation: 0, owner: Owner::Free })
            });
            // Somebody may have been faster: then theirs are used.
            let _ = self.chunks[chunk].set(slots.into_boxed_slice());
        }
        let slots = self.chunks[chunk].get().expect("set just now, by us or somebody else");
        Ok(&slots[slot - start])
    }

    /// Registers an owner.
    pub fn insert(&self, owner: Owner<R>) -> Result<OwnerId> {
        self.insert_with(|id| Ok((owner, id)))
    }

    /// Registers an owner that knows its own id; `make` runs under the new slot's lock.
    pub fn insert_with<T>(&self, make: impl FnOnce(OwnerId) -> Result<(Owner<R>, T)>) -> Result<T> {
        let slot = {
            let mut free = self.free.lock();
            match free.free.pop() {
                Some(slot) => slot,
                None if (free.next as usize) < self.most => {
                    free.next += 1;
                    free.next - 1
                }
                None => {
                    return Err(Error::new(
                        Errno::ENOMEM,
                        format!("all {} owner slots are in use", self.most),
                    ));
                }
            }
        };
        let mut entry = match self.slot_or_make(slot as usize) {
            Ok(entry) => entry.write(),
            Err(error) => {
                self.free.lock().free.push(slot);
                return Err(error);
            }
        };
        let made = make(OwnerId::new(slot as usize, entry.generation));
        match made {
            Ok((owner, with)) => {
                entry.owner = owner;
                Ok(with)
            }
            Err(error) => {
                drop(entry);
                self.free.lock().free.push(slot);
                Err(error)
            }
        }
    }

    /// Ends an owner's life: ids given out before name nobody from now on.
    pub fn remove(&self, id: OwnerId) {
        let Some(slot) = id.slot() else { return };
        let Some(lock) = self.slot(slot) else { return };
        {
            let mut entry = lock.write();
            if entry.generation != id.generation() {
                return;
            }
            entry.generation = entry.generation.wrapping_add(1);
            entry.owner = Owner::Free;
        }
        self.free.lock().free.push(slot as u32);
    }

    /// Looks at an owner under its reverse-map lock; `None` if `id` names nobody any more.
    #[inline]
    pub fn with<T>(&self, id: OwnerId, look: impl FnOnce(&Owner<R>) -> T) -> Option<T> {
        let entry = self.slot(id.slot()?)?.read();
        (entry.generation == id.generation() && !matches!(entry.owner, Owner::Free))
            .then(|| look(&entry.owner))
    }

    /// Changes an owner under its reverse-map lock.
    pub fn update<T>(&self, id: OwnerId, change: impl FnOnce(&mut Owner<R>) -> T) -> Option<T> {
        let mut entry = self.slot(id.slot()?)?.write();
        if entry.generation != id.generation() || matches!(entry.owner, Owner::Free) {
            return None;
        }
        Some(change(&mut entry.owner))
    }

    /// The driver behind an id.
    pub fn movable(&self, id: OwnerId) -> Option<Arc<dyn MovableOps<R>>> {
        self.with(id, |owner| match owner {
            Owner::Movable(ops) => Some(Arc::clone(ops)),
            _ => None,
        })
        .flatten()
    }

    /// The file behind an id.
    pub fn file(&self, id: OwnerId) -> Option<Arc<File>> {
        self.with(id, |owner| match owner {
            Owner::File { file, .. } => Some(Arc::clone(file)),
            _ => None,
        })
        .flatten()
    }

    /// Every living owner, under its reverse-map lock; for audits.
    pub fn for_each(&self, mut visit: impl FnMut(OwnerId, &Owner<R>)) {
        let slots = self.free.lock().next;
        for slot in 0..slots as usize {
            let Some(lock) = self.slot(slot) else { continue };
            let entry = lock.read();
            if !matches!(entry.owner, Owner::Free) {
                visit(OwnerId::new(slot, entry.generation), &entry.owner);
            }
        }
    }
}
