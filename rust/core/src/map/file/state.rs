//! The fields of a file: its size, its links, the slots of its page cache, its store.

use crate::map::attributes::{Attributes, Policy};
use crate::map::slot::Slot;
use crate::memory::{Table, WORDS};
use crate::owner::id::OwnerId;
use crate::page::{Flags, Pfn};
use crate::sync::{AtomicU32, AtomicU64, Lock, Ordering, PlainU64, RwLock, Stat};
use std::collections::BTreeSet;
use std::ops::Range;

/// The kind of a file, which decides where the content of pages that leave the memory is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A file of a disk: pages are read in and written back.
    Disk,
    /// A file of a memory file system (`tmpfs`): its content is only in its pages, and in swap.
    Tmpfs,
    /// Shared anonymous memory: like `Tmpfs`, without a name.
    Shm,
}

impl FileKind {
    /// The names of the kinds in programs and in Python.
    pub const NAMES: &'static [(&'static str, FileKind)] =
        &[("disk", FileKind::Disk), ("tmpfs", FileKind::Tmpfs), ("shm", FileKind::Shm)];

    /// Returns the flags that every page of such a file has.
    pub(super) fn flags(self) -> Flags {
        match self {
            FileKind::Disk => Flags::FILE,
            FileKind::Tmpfs | FileKind::Shm => Flags::FILE.union(Flags::SWAPBACKED),
        }
    }
}

/// The largest number of pages of a file: 64 GiB.
pub const MAX_FILE_PAGES: u32 = 1 << 24;

/// A file, which lives until it is removed and no area maps it any more.
#[derive(Debug)]
pub struct File {
    /// The kind of the file.
    pub kind: FileKind,
    /// The file's owner slot, which its pages name.
    pub owner: OwnerId,
    /// The number of pages that the file has now. Truncation lowers it, with `invalidate` held
    /// alone.
    pub(super) size: AtomicU32,
    /// The number of links: one for the name until the file is removed, one for each area that maps
    /// the file, and one for each call that uses the file. The thread that drops the last link ends
    /// the file, and no link is taken once the number is 0.
    pub(super) links: AtomicU32,
    /// Not 0 once the file has lost its name.
    pub(super) removed: AtomicU32,
    /// The first slot beyond all that were ever filled, at which scans of all pages stop.
    /// Insertions raise the number under the tree lock.
    pub(super) top: AtomicU32,
    /// The truncation lock (`invalidate_lock`): held shared while a page is made, alone by
    /// truncation.
    pub(super) invalidate: RwLock<()>,
    /// The tree lock (`i_pages`): held for every change of a slot.
    pub(super) tree: Lock<()>,
    /// The page that was read last through the file, plus one. For a file of a disk, a read that goes
    /// on in this page does not mark it again.
    pub(super) last_read: AtomicU32,
    /// Not 0 if dirty data was lost since the last sync that reported a loss (`wb_err`).
    pub(super) lost: AtomicU32,
    /// The pages whose dirty content was ever lost.
    pub(super) lost_pages: Lock<BTreeSet<u32>>,
    /// The number of losses of data that were noted, of losses that a sync has told, and of failed writes.
    pub(super) losses: [Stat; 3],
    /// The allocation policy (`mbind`) of each page, as bits of [`Attributes`]. Empty for a file of a
    /// disk, whose pages come from the node of the task that needs them. A policy that is set on an
    /// area of a memory file is stored here, in the file (`shmem_set_policy`).
    pub(super) policies: Table<AtomicU32>,
    pub(super) slots: Table<AtomicU64>,
    /// The words on disk; `None` for other kinds of files, and on an unbacked machine. The end of a
    /// write-back writes them, and the fill of a page reads them. The two never race, because a
    /// page under writeback stays in its slot and is not filled again.
    pub(super) disk: Option<Table<PlainU64>>,
}

impl File {
    /// Names the word at `address` for the steps of a race; `None` if it is not a word of the file.
    pub fn field_at(&self, address: usize) -> Option<String> {
        let fields = [
            (&self.size, "size"),
            (&self.links, "links"),
            (&self.removed, "removed"),
            (&self.top, "first slot beyond all filled ones"),
            (&self.last_read, "page read last, plus one"),
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

    /// Returns the number of pages that the file has now.
    #[inline]
    pub fn pages(&self) -> u32 {
        // Acquire pairs with the Release of truncation: a thread that reads the new size also sees
        // everything that the truncating thread did before it set the size.
        self.size.load(Ordering::Acquire)
    }

    /// Returns the number of pages that the file had when it was made, and so the number of its
    /// slots.
    pub fn capacity(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Returns the first slot beyond all that may hold pages.
    pub(crate) fn used(&self) -> u32 {
        // Acquire pairs with the Release in `cache_insert`. A page that is inserted later may be
        // missed, as by any lookup.
        self.top.load(Ordering::Acquire)
    }

    /// Returns true if the file was removed: only its mappings can use it still.
    pub fn is_removed(&self) -> bool {
        // Acquire pairs with the Release in `remove_file`: a thread that sees the mark comes after
        // the removal.
        self.removed.load(Ordering::Acquire) != 0
    }

    /// Returns true if the file has a disk, to which dirty pages are written.
    #[inline]
    pub fn is_written_back(&self) -> bool {
        self.kind == FileKind::Disk
    }

    /// Returns the policy of a page, if one was set.
    #[inline]
    pub(in crate::map) fn policy(&self, index: u32) -> Option<Policy> {
        // Relaxed: a policy publishes no other data. A thread that misses a new policy behaves as if
        // it had made the page just before the policy was set, which is allowed.
        let bits = self.policies.get(index as usize)?.load(Ordering::Relaxed);
        Attributes::from_bits_retain(bits).policy()
    }

    /// Sets the policy of pages. A file of a disk has none, and ignores it.
    pub(in crate::map) fn set_policy(&self, pages: Range<u32>, policy: Policy) {
        for page in pages {
            if let Some(bits) = self.policies.get(page as usize) {
                // Relaxed: as in `policy`.
                bits.store(policy.attributes().bits(), Ordering::Relaxed);
            }
        }
    }

    /// Returns a word of the file's disk; `None` without a disk.
    pub(crate) fn stored(&self, index: u32, word: usize) -> Option<u64> {
        self.disk.as_ref()?.get(index as usize * WORDS + word).map(PlainU64::peek)
    }

    /// Returns the number of pages in the cache now.
    pub fn cached(&self) -> u32 {
        (0..self.used()).filter(|&index| self.slot(index).page().is_some()).count() as u32
    }

    /// Returns the frame of a cached page now, without a reference. The frame number is good for
    /// inspection only.
    pub fn cached_page(&self, index: u32) -> Option<Pfn> {
        self.slot(index).page()
    }

    /// Returns the value of a slot, without a lock; empty beyond the file's capacity.
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> Slot {
        let Some(slot) = self.slots.get(index as usize) else { return Slot::Empty };
        // Acquire pairs with the Release in `set_slot`: a lookup that finds a page sees its flags
        // and content.
        Slot::from_word(slot.load(Ordering::Acquire))
    }

    /// Sets the value of a slot. The tree lock is held.
    pub(super) fn set_slot(&self, index: u32, slot: Slot) {
        // Release: all earlier stores to the page are visible to a lookup that finds it.
        self.slots[index as usize].store(slot.word(), Ordering::Release);
    }
}

/// The mapping of a file by an area.
#[derive(Clone, Debug)]
pub struct FileMap {
    /// The mapped file.
    pub file: std::sync::Arc<File>,
    /// The page of the file at the beginning of the area.
    pub first: u32,
    /// True for a private mapping: stores go to copies of the file's pages.
    pub private: bool,
    /// True if accesses follow no order (`MADV_RANDOM`), so that they say nothing about a page's
    /// use.
    pub random: bool,
}
