//! Files: a page cache, and for files of a disk the store behind it.
//!
//! # A slot of the cache, and who changes it
//!
//! ```text
//!            insert: page locked, +1 (slot)             migration: freeze, replace, unfreeze
//!   empty  --------------------------------> page A  ----------------------------------------> page B
//!     ^                                        |                                                 |
//!     +---- eviction: freeze, clean and unmapped only                                            |
//!     +---- truncation: page locked, written back, unmapped -------------------------------------+
//! ```
//!
//! Every change happens under the file's tree lock (`i_pages`), with the page concerned locked. A look
//! takes no lock: read the slot, try to get the page, read the slot once more. A page found frozen is
//! about to change its slot or to be thawed; then the look is repeated under the tree lock, where
//! nobody is frozen.
//!
//! | file | idea |
//! |---|---|
//! | `cache` | look up, insert, remove, replace |
//! | `fault` | faults of file mappings |
//! | `fill` | a page of a file, locked and read in |
//! | `io` | read and write through the file |
//! | `writeback` | dirty pages to the store |
//! | `shrink` | truncation and eviction |
//! | `failure` | pages whose frame is bad |
//! | `life` | from its making to its last user |
//!
//! # What can go wrong
//!
//! * A look finds a page, the page is replaced or freed, the look's reference lands on another life of
//!   the frame: hence the second look at the slot (lifecycle 3.2).
//! * A fault maps a page that a truncation has just taken out: the fault holds the page lock from the
//!   check that the page is still the file's until the entry is there; the truncation takes the page lock
//!   and unmaps once more under it.
//! * A store through a mapping is lost because the write-back cleaned the page after the store and
//!   copied it before: the page is write-protected and flushed first, cleaned then, copied last.
//! * An unmap tells the page of its dirty entry before the flush, a write-back cleans the page in
//!   between, and a thread that is still inside an access stores into a clean page: the page is told
//!   after the flush, while the mapping's reference still keeps it from being dropped (kernel
//!   5df397dec7c4).
//! * The dirty mark is moved to a migration's destination after the source is thawed: a third party sees
//!   a clean page with content that was never written (lifecycle 6.4).

mod cache;
mod failure;
mod fault;
mod fill;
mod io;
mod life;
mod shrink;
mod writeback;

// A page of the explored build has two words; these tests write bytes.
#[cfg(all(test, not(feature = "explored")))]
mod tests;

pub use shrink::Evicted;
pub use writeback::Writeback;

use super::slot::Slot;
use super::{Attributes, Policy};
use crate::memory::{Table, WORDS};
use crate::owner::OwnerId;
use crate::page::{Flags, Pfn};
use crate::sync::{AtomicU32, AtomicU64, Lock, Ordering, PlainU64, RwLock};
use std::collections::BTreeSet;
use std::ops::Range;

/// What backs a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A file of a disk: pages are read in and written back.
    Disk,
    /// A file of a memory file system (`tmpfs`): its pages are all there is.
    Tmpfs,
    /// Shared anonymous memory: as `Tmpfs`, without a name.
    Shm,
}

impl FileKind {
    /// The names that programs and Python use.
    pub const NAMES: &'static [(&'static str, FileKind)] =
        &[("disk", FileKind::Disk), ("tmpfs", FileKind::Tmpfs), ("shm", FileKind::Shm)];

    /// Flags of every page of such a file.
    fn flags(self) -> Flags {
        match self {
            FileKind::Disk => Flags::FILE,
            FileKind::Tmpfs | FileKind::Shm => Flags::FILE.union(Flags::SWAPBACKED),
        }
    }
}

/// Pages that a file can have: 64 GiB.
pub const MAX_FILE_PAGES: u32 = 1 << 24;

/// A file. Lives until it is removed and nobody maps it any more.
#[derive(Debug)]
pub struct File {
    /// What backs it.
    pub kind: FileKind,
    /// Its owner slot: what its pages name.
    pub owner: OwnerId,
    /// Pages it has now. Lowered by truncation, with `invalidate` held alone.
    size: AtomicU32,
    /// Its name (until it is removed), each area that maps it, and each call that is inside of it. Whoever
    /// takes the last one off ends the file; from zero nobody comes back.
    links: AtomicU32,
    /// Did it lose its name?
    removed: AtomicU32,
    /// Slots from here on were never filled: who looks at all pages stops here. Raised under the tree lock.
    top: AtomicU32,
    /// Held shared while a page is made, alone by truncation (`invalidate_lock`).
    invalidate: RwLock<()>,
    /// Held to change slots (`i_pages`).
    tree: Lock<()>,
    /// The page that was read last through the file, plus one: reading it on marks nothing.
    last_read: AtomicU32,
    /// Dirty data was lost since the last time that somebody asked (`wb_err`).
    lost: AtomicU32,
    /// The pages of which it was ever lost.
    lost_pages: Lock<BTreeSet<u32>>,
    /// Where pages come from, by [`Policy`] in bits; nothing for a file of a disk, whose pages come from where the
    /// task wants its memory. An area's policies are those of the file that it maps (`shmem_set_policy`).
    policies: Table<AtomicU32>,
    slots: Table<AtomicU64>,
    /// The words on disk; nothing for other kinds, or on an unbacked machine. Written by the end of a
    /// write-back, read while a page is filled; what orders the two is that a page under writeback
    /// stays in its slot.
    disk: Option<Table<PlainU64>>,
}

impl File {
    /// Which of its words is at `address`, for traces.
    pub fn field_at(&self, address: usize) -> Option<String> {
        let fields = [
            (&self.size, "size"),
            (&self.links, "links"),
            (&self.removed, "removed"),
            (&self.top, "highest page"),
            (&self.last_read, "page read last"),
            (&self.lost, "lost data"),
        ];
        let at = |word: &AtomicU32| std::ptr::from_ref(word).addr() == address;
        let field = fields.iter().find(|(word, _)| at(word)).map(|(_, name)| (*name).to_owned());
        let policy = || Some(format!("policy of page {}", self.policies.iter().position(at)?));
        let slot = || {
            let mut slots = self.slots.iter();
            let slot = slots.position(|slot| std::ptr::from_ref(slot).addr() == address)?;
            Some(format!("page cache slot {slot}"))
        };
        field.or_else(policy).or_else(slot)
    }

    /// Pages that it has.
    #[inline]
    pub fn pages(&self) -> u32 {
        // Acquire pairs with the Release of truncation: who sees the new size comes after it was decided.
        self.size.load(Ordering::Acquire)
    }

    /// Pages that it had when it was made: the slots there are.
    pub fn capacity(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Slots that may hold pages are below this one.
    pub(crate) fn used(&self) -> u32 {
        // Acquire pairs with the Release in `cache_insert`; a page inserted later may be missed, as by any look.
        self.top.load(Ordering::Acquire)
    }

    /// Is it gone for those who have no mapping of it?
    pub fn is_removed(&self) -> bool {
        // Acquire pairs with the Release in `remove_file`.
        self.removed.load(Ordering::Acquire) != 0
    }

    /// Does it have a store that its dirty pages are written to?
    #[inline]
    pub fn is_written_back(&self) -> bool {
        self.kind == FileKind::Disk
    }

    /// Where page `index` is to come from, if somebody said so.
    #[inline]
    pub(in crate::map) fn policy(&self, index: u32) -> Option<Policy> {
        // Relaxed: a policy leads to nothing else, and a page may be made just before one is set.
        let bits = self.policies.get(index as usize)?.load(Ordering::Relaxed);
        Attributes::from_bits_retain(bits).policy()
    }

    /// Says where pages are to come from; nothing for a file of a disk.
    pub(in crate::map) fn set_policy(&self, pages: Range<u32>, policy: Policy) {
        for page in pages {
            if let Some(bits) = self.policies.get(page as usize) {
                // Relaxed: as in `policy`.
                bits.store(policy.attributes().bits(), Ordering::Relaxed);
            }
        }
    }

    /// A word of the store behind the file; `None` without one.
    pub(crate) fn stored(&self, index: u32, word: usize) -> Option<u64> {
        self.disk.as_ref()?.get(index as usize * WORDS + word).map(PlainU64::peek)
    }

    /// Pages in the cache now.
    pub fn cached(&self) -> u32 {
        (0..self.used()).filter(|&index| self.slot(index).page().is_some()).count() as u32
    }

    /// The frame of a cached page now, without a reference: a name, good for looking.
    pub fn cached_page(&self, index: u32) -> Option<Pfn> {
        self.slot(index).page()
    }

    /// What a slot holds, without a lock; nothing where the file never was.
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> Slot {
        let Some(slot) = self.slots.get(index as usize) else { return Slot::Empty };
        // Acquire pairs with the Release in `set_slot`.
        Slot::from_word(slot.load(Ordering::Acquire))
    }

    /// Changes a slot; the tree lock is held.
    fn set_slot(&self, index: u32, slot: Slot) {
        // Release: what was done to the page before is visible to a look that finds it.
        self.slots[index as usize].store(slot.word(), Ordering::Release);
    }
}

/// How an area maps a file.
#[derive(Clone, Debug)]
pub struct FileMap {
    /// The file.
    pub file: std::sync::Arc<File>,
    /// The file's page at the beginning of the area.
    pub first: u32,
    /// Stores go to copies of one's own.
    pub private: bool,
    /// Accesses follow no order (`MADV_RANDOM`), so that they say nothing of a page's use.
    pub random: bool,
}
