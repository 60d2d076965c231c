//! The owners of pages outside the allocator: an anonymous mapping with its reverse map, a file, or
//! the driver of movable pages. A page's record names its owner by a slot with a generation. The
//! slots outlive the pages.
//!
//! The slot's lock *is* the owner's reverse-map lock (`anon_vma`, `i_mmap`), so that one
//! acquisition serves to find an owner and to walk its mappings.
//!
//! # What can go wrong
//!
//! * A page outlives its anonymous mapping, because it is isolated while the process exits. Its record then
//!   holds a stale owner id. A lookup by this id finds no owner, because the generation in the id no longer
//!   matches the slot's.
//! * A slot is reused 256 times, and its generation is again the one in a stale id. The id then names an
//!   owner that does not map the page. Each walk of a reverse map therefore checks that an entry leads to the
//!   page before it uses the entry.
//! * An owner with a `released` callback is removed while it still owns pages, and the callback cannot be
//!   called for them any more. Such an owner is therefore never removed before its pages.

pub(crate) mod id;

pub use id::OwnerId;

use crate::error::{Errno, Error, Result};
use crate::map::areas::Areas;
use crate::map::file::state::File;
use crate::memory::room;
use crate::sync::{Lock, LockClass, OnceBox, RwLock};
use std::sync::Arc;

/// The content of a slot. `D` is the type by which the machine calls an owner of movable pages.
pub enum Owner<D: ?Sized> {
    /// No owner.
    Free,
    /// The areas that map an anonymous lineage: the first mapping and every fork of it
    /// (`anon_vma`).
    Anon(Areas),
    /// A file with a page cache, and the areas that map it (`i_mmap`).
    File {
        /// The file.
        file: Arc<File>,
        /// The areas in the order in which they were mapped: a child of a fork after its parent.
        areas: Areas,
    },
    /// The driver of movable pages.
    Movable(Arc<D>),
}

impl<D: ?Sized> Clone for Owner<D> {
    fn clone(&self) -> Self {
        match self {
            Owner::Free => Owner::Free,
            Owner::Anon(areas) => Owner::Anon(areas.clone()),
            Owner::File { file, areas } => Owner::File { file: Arc::clone(file), areas: areas.clone() },
            Owner::Movable(ops) => Owner::Movable(Arc::clone(ops)),
        }
    }
}

struct Slot<D: ?Sized> {
    generation: u8,
    owner: Owner<D>,
}

impl<D: ?Sized> Clone for Slot<D> {
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

/// Slots that are allocated together.
type Chunk<D> = Box<[RwLock<Slot<D>>]>;

/// All owners of a machine.
pub struct Owners<D: ?Sized> {
    chunks: [OnceBox<Chunk<D>>; CHUNKS],
    free: Lock<FreeSlots>,
    most: usize,
}

impl<D: ?Sized> Owners<D> {
    /// Makes a table for at most `most` owners at a time; the slots are allocated when they are
    /// needed. `EINVAL` if a machine cannot have so many.
    #[inline]
    pub fn new(most: usize) -> Result<Owners<D>> {
        if most > FIRST << (CHUNKS - 1) {
            return Err(Error::new(Errno::EINVAL, format!("{most} owners are more than a machine can have")));
        }
        Ok(Owners {
            chunks: [const { OnceBox::new() }; CHUNKS],
            free: Lock::plain(LockClass::Leaf, FreeSlots::default()),
            most,
        })
    }

    /// Finds a slot, if its chunk is allocated. Chunk 0 holds slots 0..64, chunk k holds
    /// 64·2^(k-1)..64·2^k.
    #[inline]
    fn slot(&self, slot: usize) -> Option<&RwLock<Slot<D>>> {
        let chunk = (slot / FIRST + 1).next_power_of_two().ilog2() as usize;
        let start = if chunk == 0 { 0 } else { FIRST << (chunk - 1) };
        self.chunks.get(chunk)?.get()?.get(slot - start)
    }

    fn slot_or_make(&self, slot: usize) -> Result<&RwLock<Slot<D>>> {
        let chunk = (slot / FIRST + 1).next_power_of_two().ilog2() as usize;
        let start = if chunk == 0 { 0 } else { FIRST << (chunk - 1) };
        if self.chunks[chunk].get().is_none() {
            let len = if chunk == 0 { FIRST } else { start };
            let mut slots = room("the slots of owners", len)?;
            slots.resize_with(len, || {
                RwLock::new(LockClass::Rmap, Slot { generation: 0, owner: Owner::Free })
            });
            // If another thread has set the chunk first, `set` fails, and that thread's slots are
            // used.
            let _ = self.chunks[chunk].set(Box::new(slots.into_boxed_slice()));
        }
        let slots = self.chunks[chunk].get().expect("set just now, by us or somebody else");
        Ok(&slots[slot - start])
    }

    /// Registers an owner. `ENOMEM` if all slots are in use, or the host has no memory for more.
    pub fn insert(&self, owner: Owner<D>) -> Result<OwnerId> {
        self.insert_with(|id| Ok((owner, id)))
    }

    /// Registers an owner that knows its own id; `make` runs under the new slot's lock.
    pub fn insert_with<T>(&self, make: impl FnOnce(OwnerId) -> Result<(Owner<D>, T)>) -> Result<T> {
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

    /// Removes an owner. The ids that name it become stale: a lookup by one finds no owner.
    pub fn remove(&self, id: OwnerId) {
        let Some(slot) = id.slot() else { return };
        let Some(lock) = self.slot(slot) else { return };
        let _gone = {
            let mut entry = lock.write();
            if entry.generation != id.generation() {
                return;
            }
            entry.generation = entry.generation.wrapping_add(1);
            // The owner is dropped after the lock is released. The drop may free many areas, or run
            // code of a driver, which may take locks.
            std::mem::replace(&mut entry.owner, Owner::Free)
        };
        self.free.lock().free.push(slot as u32);
    }

    /// Runs `look` on an owner under its reverse-map lock. `None` if the id is stale.
    #[inline]
    pub fn with<T>(&self, id: OwnerId, look: impl FnOnce(&Owner<D>) -> T) -> Option<T> {
        let entry = self.slot(id.slot()?)?.read();
        (entry.generation == id.generation() && !matches!(entry.owner, Owner::Free))
            .then(|| look(&entry.owner))
    }

    /// Runs `change` on an owner under its reverse-map lock. `None` if the id is stale.
    pub fn update<T>(&self, id: OwnerId, change: impl FnOnce(&mut Owner<D>) -> T) -> Option<T> {
        let mut entry = self.slot(id.slot()?)?.write();
        if entry.generation != id.generation() || matches!(entry.owner, Owner::Free) {
            return None;
        }
        Some(change(&mut entry.owner))
    }

    /// Returns the driver that an id names.
    pub fn movable(&self, id: OwnerId) -> Option<Arc<D>> {
        self.with(id, |owner| match owner {
            Owner::Movable(ops) => Some(Arc::clone(ops)),
            _ => None,
        })
        .flatten()
    }

    /// Returns the file that an id names.
    pub fn file(&self, id: OwnerId) -> Option<Arc<File>> {
        self.with(id, |owner| match owner {
            Owner::File { file, .. } => Some(Arc::clone(file)),
            _ => None,
        })
        .flatten()
    }

    /// Runs `visit` on every owner, under its reverse-map lock.
    pub fn for_each(&self, mut visit: impl FnMut(OwnerId, &Owner<D>)) {
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
