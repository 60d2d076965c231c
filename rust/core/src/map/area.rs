//! An area: a range of an address space with its page table.
//!
//! Each area has its own table, which is reserved when the area is mapped and committed as it is
//! used. An access finds its entry without a lock. No table is freed under a walker, because the
//! walker holds a reference on the area.

use super::attributes::{Attributes, Policy};
use super::file::state::FileMap;
use super::pte::{Entry, Pte};
use super::watch;
use crate::error::Result;
use crate::memory::Table;
use crate::owner::id::OwnerId;
use crate::page::PAGE_SIZE;
#[cfg(feature = "explored")]
use crate::sync::explored::{Words, name_words};
use crate::sync::{
    AtomicU32, AtomicU64, LockClass, Ordering, PlainU32, RwLock, Stat, acquired, released, spin_until,
};
use std::ops::Range;
use std::sync::Arc;

/// The memory that an area maps.
#[derive(Clone, Debug)]
pub enum AreaKind {
    /// Private anonymous memory. A fault makes a large page of 2^`order` base pages where one fits.
    Anon {
        /// The order of the large pages; 0 for base pages only.
        order: u8,
    },
    /// A range of a file, shared or private.
    File(FileMap),
}

/// The kind of owner of a reverse map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// An anonymous lineage: an area, its parents and its children by fork.
    Lineage,
    /// A file.
    File,
}

/// A mapped range. Its address space and its owners' reverse maps share it.
///
/// # Rules for changing an entry
///
/// An entry is filled by a fault, which holds `faults` shared, or by the fork that makes the area.
/// Other code (unmap, migration, reclaim) only replaces an entry that is already filled, under the
/// entry's lock. Therefore a thread that has held `faults` alone after a page was marked
/// [`Attributes::UNMAPPED`] may skip the page's entry if it is empty: no thread fills it any more.
#[derive(Debug)]
pub struct Area {
    /// The number of the address space that the area belongs to, for messages and audits.
    pub space: u32,
    /// The number of the area's first page in that space.
    pub first: u64,
    /// The memory that the area maps.
    pub kind: AreaKind,
    /// The anonymous lineage: this area, its parents and its children by fork. A shared mapping of
    /// a file has no pages of its own, and its lineage is [`OwnerId::NOBODY`].
    pub anon: OwnerId,
    /// Counts up, from 0, when an anonymous page is mapped while all pages of the area have the
    /// same attributes. Faults add to it with `faults` held shared, and a fork reads it with
    /// `faults` held alone: the lock orders the two. Faults that add at the same time may lose
    /// counts, which is harmless, because readers only ask whether the counter is 0.
    had_anon: Stat,
    /// The node that faults allocate from first.
    pub(super) preferred: AtomicU32,
    /// The fault lock: faults hold it shared, fork and unmap hold it alone. All areas of a space
    /// share one (the kernel has a lock for each VMA, and takes all of them for a fork).
    pub(super) faults: Arc<RwLock<()>>,
    /// The number of pages not yet unmapped for good. The thread that takes it to zero ends the
    /// area.
    pub(super) left: AtomicU32,
    /// The area's place in the reverse map of its lineage, and in that of its file: see
    /// [`Areas`](super::Areas). Both change under the owner's lock.
    places: [PlainU32; 2],
    /// Not 0 if any page was ever locked or ever had a policy. Only then do faults and migrations
    /// read the pages' attributes. A thread sets this word with `faults` held alone. Readers hold
    /// `faults` shared, or the lock of an entry that the setting thread visits afterwards; so no
    /// reader misses the change.
    special: PlainU32,
    attributes: Table<AtomicU32>,
    entries: Table<AtomicU64>,
}

impl Area {
    /// Makes an area of `pages` empty entries; `faults` is the fault lock of its space.
    pub(super) fn new(
        space: u32,
        faults: &Arc<RwLock<()>>,
        first: u64,
        pages: u32,
        kind: AreaKind,
        anon: OwnerId,
    ) -> Result<Area> {
        Ok(Area {
            space,
            first,
            kind,
            anon,
            preferred: AtomicU32::new(0),
            had_anon: Stat::new(),
            faults: Arc::clone(faults),
            left: AtomicU32::new(pages),
            places: std::array::from_fn(|_| PlainU32::new(0)),
            special: PlainU32::new(0),
            attributes: Table::zeroed(pages as usize)?,
            entries: Table::zeroed(pages as usize)?,
        })
    }

    /// Names the word at `address` for traces: a field, or the attributes of a page.
    pub fn field_at(&self, address: usize) -> Option<String> {
        let at = |word: &AtomicU32| std::ptr::from_ref(word).addr() == address;
        if at(&self.preferred) {
            return Some("preferred node".into());
        }
        if at(&self.left) {
            return Some("pages left to unmap".into());
        }
        if std::ptr::from_ref(&self.special).addr() == address {
            return Some("whether a page has attributes".into());
        }
        Some(format!("attributes of page {}", self.attributes.iter().position(at)?))
    }

    /// Names the words of an area that a schedule makes, for its trace: the program has no names for the area
    /// before the fork or the mapping has ended, and none after the area is gone.
    #[inline(always)]
    pub(super) fn name_words(&self) {
        #[cfg(feature = "explored")]
        self.words().into_iter().for_each(name_words);
    }

    #[cfg(feature = "explored")]
    fn words(&self) -> [Words; 5] {
        let words = |what, first: usize, count: usize, size: usize| {
            let name = match count {
                1 => format!("{what} of the area of space {} at page", self.space),
                _ => format!("{what} of space {}'s page", self.space),
            };
            Words { first, count, size, name, from: self.first }
        };
        let (attributes, entries) = (&self.attributes[..], &self.entries[..]);
        [
            words("preferred node", std::ptr::from_ref(&self.preferred).addr(), 1, size_of::<AtomicU32>()),
            words("pages left to unmap", std::ptr::from_ref(&self.left).addr(), 1, size_of::<AtomicU32>()),
            words("special", std::ptr::from_ref(&self.special).addr(), 1, size_of::<PlainU32>()),
            words("attributes", attributes.as_ptr().addr(), attributes.len(), size_of::<AtomicU32>()),
            words("entry", entries.as_ptr().addr(), entries.len(), size_of::<AtomicU64>()),
        ]
    }

    /// Returns the mapped file, or `None` for anonymous memory.
    #[inline]
    pub fn file(&self) -> Option<&FileMap> {
        match &self.kind {
            AreaKind::Anon { .. } => None,
            AreaKind::File(map) => Some(map),
        }
    }

    /// Returns the cell of the area's place in the reverse map of its lineage or file.
    #[inline]
    pub(super) fn place(&self, of: Of) -> &PlainU32 {
        &self.places[of as usize]
    }

    /// Returns the order of the pages that faults make where one fits.
    #[inline]
    pub(crate) fn order(&self) -> u8 {
        match self.kind {
            AreaKind::Anon { order } => order,
            AreaKind::File(_) => 0,
        }
    }

    /// Returns true for a shared mapping of a file: all users of the file see its stores.
    #[inline]
    pub fn is_shared(&self) -> bool {
        self.file().is_some_and(|map| !map.private)
    }

    /// Returns the index in this area of page `index` of the mapped file; `None` outside of the
    /// area.
    #[inline]
    pub fn of_file(&self, index: u32) -> Option<u32> {
        let at = index.checked_sub(self.file()?.first)?;
        (at < self.pages()).then_some(at)
    }

    /// Returns the address of a page.
    #[inline]
    pub fn address(&self, index: u32) -> u64 {
        (self.first + u64::from(index)) * PAGE_SIZE as u64
    }

    /// Returns the node that faults allocate from first.
    #[inline]
    pub fn preferred(&self) -> usize {
        // Relaxed: a preference, which orders nothing.
        self.preferred.load(Ordering::Relaxed) as usize
    }

    /// Returns the attributes of a page; beyond the area's end, [`Attributes::UNMAPPED`].
    #[inline]
    pub fn attributes(&self, index: u32) -> Attributes {
        let Some(attributes) = self.attributes.get(index as usize) else { return Attributes::UNMAPPED };
        // Relaxed: the marks that no fault may miss are set with `faults` held alone and read with
        // `faults` held shared. This lock orders the two.
        Attributes::from_bits_retain(attributes.load(Ordering::Relaxed))
    }

    /// Cuts a range of pages that lie in the area into runs of equal attributes (the kernel's
    /// VMAs). Yields each run with its attributes.
    pub(crate) fn stretches(&self, pages: Range<u32>) -> impl Iterator<Item = (Range<u32>, Attributes)> {
        let mut next = pages.start;
        std::iter::from_fn(move || {
            let start = next;
            let kind = (start < pages.end).then(|| self.attributes(start))?;
            next += 1;
            while next < pages.end && self.attributes(next) == kind {
                next += 1;
            }
            Some((start..next, kind))
        })
    }

    /// Returns the attributes of a page. If no page of the area was ever locked or ever had a
    /// policy, the result is empty, even for an [`Attributes::UNMAPPED`] page, and the table is not
    /// read.
    #[inline]
    pub(super) fn special(&self, index: u32) -> Attributes {
        match self.special.peek() {
            0 => Attributes::empty(),
            _ => self.attributes(index),
        }
    }

    /// Returns true if the page is locked into memory.
    #[inline]
    pub(super) fn locked(&self, index: u32) -> bool {
        self.special(index).contains(Attributes::LOCKED)
    }

    /// Clears attributes of a page and returns the attributes before.
    pub(super) fn unmark(&self, index: u32, attributes: Attributes) -> Attributes {
        // Relaxed: as in `attributes`.
        let old = self.attributes[index as usize].fetch_and(!attributes.bits(), Ordering::Relaxed);
        Attributes::from_bits_retain(old)
    }

    /// Sets the policy of pages, and of the mapped pages of a file, with faults held off.
    pub(crate) fn set_policy(&self, pages: Range<u32>, policy: Policy) {
        let _no_faults = self.faults.write();
        if let Some(map) = self.file() {
            map.file.set_policy(map.first + pages.start..map.first + pages.end, policy);
        }
        for index in pages {
            self.unmark(index, Attributes::POLICY);
            self.mark(index, policy.attributes());
        }
        self.merge_stretches();
    }

    /// Returns the pages of the large page of 2^`order` pages around `index`, if it lies in the area and all
    /// its pages have equal attributes, apart from [`Attributes::HAD_ANON`], and are not unmapped.
    pub(super) fn alike(&self, index: u32, order: u8) -> Option<Range<u32>> {
        let pages = 1u32 << order;
        let start = index & !(pages - 1);
        let block = start..start.checked_add(pages).filter(|&end| end <= self.pages())?;
        let of = |index| self.attributes(index) - Attributes::HAD_ANON;
        let kind = of(index);
        let alike = |index| of(index) == kind;
        (!kind.contains(Attributes::UNMAPPED) && block.clone().all(alike)).then_some(block)
    }

    /// Copies to a child's area the attributes that a fork inherits: policies and `HAD_ANON`, no locks.
    pub(super) fn inherit(&self, parent: &Area) {
        self.had_anon.add(parent.had_anon.get());
        if parent.special.peek() != 0 {
            self.special.set(1);
            for index in 0..self.pages() {
                let attributes = parent.attributes(index) & (Attributes::POLICY | Attributes::HAD_ANON);
                if !attributes.is_empty() {
                    self.mark(index, attributes);
                }
            }
        }
    }

    /// Records that page `index` is anonymous, as a VMA gets its `anon_vma`. From now on a fork
    /// copies the entries of the page's stretch: of the pages around it with the same attributes.
    /// `faults` is held shared.
    #[inline]
    pub(super) fn note_anon(&self, index: u32) {
        if self.had_anon.get() != 0 {
            return;
        }
        if self.special.peek() == 0 {
            return self.had_anon.add(1);
        }
        let kind = self.attributes(index);
        if kind.contains(Attributes::HAD_ANON) {
            return;
        }
        // The marks of another fault may end this search early. The other fault began its search
        // before it set its marks, so it marks the rest of the stretch.
        let same = |&at: &u32| self.attributes(at) == kind;
        let before = (0..index).rev().take_while(same).last().unwrap_or(index);
        let behind = (index..self.pages()).take_while(same).last().unwrap_or(index);
        for at in before..=behind {
            self.mark(at, Attributes::HAD_ANON);
        }
    }

    /// Returns true if a fork copies the entry of a page. Otherwise the child's faults find the
    /// same content again, in the file or in the zero page (`vma_needs_copy`). `faults` is held
    /// alone.
    pub(super) fn fork_copies(&self, index: u32) -> bool {
        self.had_anon.get() != 0 || self.special(index).contains(Attributes::HAD_ANON)
    }

    /// Merges stretches after attributes have changed (`vma_merge`). Neighbouring pages with equal
    /// attributes now form one stretch, and [`Attributes::HAD_ANON`] of any page of it is set for
    /// all. `faults` is held alone.
    pub(super) fn merge_stretches(&self) {
        if self.had_anon.get() != 0 || self.special.peek() == 0 {
            return;
        }
        let kind = |index: u32| self.attributes(index) - Attributes::HAD_ANON;
        let mut start = 0;
        while start < self.pages() {
            let end = (start..self.pages()).find(|&index| kind(index) != kind(start)).unwrap_or(self.pages());
            if (start..end).any(|index| self.attributes(index).contains(Attributes::HAD_ANON)) {
                (start..end).for_each(|index| {
                    self.mark(index, Attributes::HAD_ANON);
                });
            }
            start = end;
        }
    }

    /// Makes faults and migrations read the pages' attributes from now on.
    pub(super) fn set_special(&self) {
        if self.special.peek() == 0 {
            self.special.set(1);
        }
    }

    /// Sets attributes of a page and returns the attributes before.
    pub(super) fn mark(&self, index: u32, attributes: Attributes) -> Attributes {
        if attributes.intersects(Attributes::LOCKED | Attributes::POLICY) {
            self.set_special();
        }
        // Relaxed: as in `attributes`.
        let old = self.attributes[index as usize].fetch_or(attributes.bits(), Ordering::Relaxed);
        Attributes::from_bits_retain(old)
    }

    /// Returns the number of pages in the area.
    #[inline]
    pub fn pages(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Returns the entry as a walker without a lock sees it: the access path uses this inside a TLB
    /// section. Beyond the area's end the entry is empty.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn look(&self, index: u32) -> Pte {
        let Some(entry) = self.entries.get(index as usize) else { return Pte::NONE };
        // Acquire pairs with the Release that published the entry: the content and fields of the
        // page are visible to a thread that follows the entry.
        Pte(entry.load(Ordering::Acquire))
    }

    /// Returns true if the entry is empty and not locked. A locked entry counts as filled, because
    /// the lock's holder may have cleared it for a moment only.
    #[inline]
    pub fn is_empty(&self, index: u32) -> bool {
        self.look(index) == Pte::NONE
    }

    /// Decodes an entry. If another thread holds the entry's lock, waits for it first: the holder
    /// may have cleared the entry for a moment only.
    #[inline]
    pub fn read(&self, index: u32) -> Entry {
        let seen = self.look(index);
        match seen.has(Pte::LOCK) {
            true => self.lock(index).pte().entry(),
            false => seen.entry(),
        }
    }

    /// Starts loading an entry into the cache.
    #[inline]
    pub fn prefetch(&self, index: u32) {
        self.entries.prefetch(index as usize);
    }

    /// Returns the name of an entry's lock for the lock-order checks: the address of the entry's
    /// word.
    #[inline]
    pub(crate) fn entry_key(&self, index: u32) -> usize {
        std::ptr::from_ref(&self.entries[index as usize]).addr()
    }

    /// Sets accessed and dirty bits in an entry that is still equal to `seen`, as hardware does in
    /// its walk. Returns false if the entry has changed.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn touch(&self, index: u32, seen: Pte, bits: u64) -> bool {
        if seen.has(bits) {
            return true;
        }
        // Relaxed: the bits publish nothing, and an unmap reads them with the swap that ends the
        // entry.
        self.entries[index as usize]
            .compare_exchange(seen.0, seen.0 | bits, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Fills an entry of an area that a fork is making. The entry is empty, and no thread can hold
    /// its lock: the reverse map locks an entry only after it has seen the page in it.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(super) fn publish(&self, index: u32, new: Pte) {
        // Release: as in `EntryGuard::replace`, so that a thread that follows the entry sees the
        // page.
        self.entries[index as usize].store(new.0, Ordering::Release);
    }

    /// Takes the lock of one entry (`pte_offset_map_lock`).
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn lock(&self, index: u32) -> EntryGuard<'_> {
        Self::lock_entry(&self.entries[index as usize])
    }

    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    fn lock_entry(entry: &AtomicU64) -> EntryGuard<'_> {
        // Relaxed: only the value is needed, and the exchange checks it.
        let mut seen = entry.load(Ordering::Relaxed);
        loop {
            if seen & Pte::LOCK != 0 {
                seen = spin_until(entry, |value| value & Pte::LOCK == 0);
            }
            // Acquire pairs with the Release at the end of an `EntryGuard`: the stores of the
            // previous holder are visible to this one.
            match entry.compare_exchange_weak(seen, seen | Pte::LOCK, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        acquired(LockClass::PageTable, std::ptr::from_ref(entry).addr(), false);
        EntryGuard { entry, pte: Pte(seen) }
    }

    /// Takes the lock of one entry if it is free. A thread that holds an entry's lock may take a
    /// second one only in this way, because it must not wait.
    #[cfg_attr(feature = "explored", track_caller)]
    pub(super) fn trylock(&self, index: u32) -> Option<EntryGuard<'_>> {
        let entry = &self.entries[index as usize];
        // Acquire: as in `lock`.
        let seen = entry.fetch_or(Pte::LOCK, Ordering::Acquire);
        (seen & Pte::LOCK == 0).then(|| {
            acquired(LockClass::PageTable, self.entry_key(index), true);
            EntryGuard { entry, pte: Pte(seen) }
        })
    }

    /// Locks the entry if its value is `wanted`: the value is checked before the lock and again
    /// under it. `None` if the entry has another value, or lies beyond the area's end.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn lock_if_maps(&self, index: u32, wanted: impl Fn(Pte) -> bool) -> Option<EntryGuard<'_>> {
        let entry = self.entries.get(index as usize)?;
        if !wanted(self.look(index).unlocked()) {
            return None;
        }
        let guard = Self::lock_entry(entry);
        wanted(guard.pte()).then_some(guard)
    }

    /// Iterates over the entries that are not empty, with their indices; for audits at quiet
    /// moments.
    pub fn mapped(&self) -> impl Iterator<Item = (u32, Pte)> + '_ {
        (0..self.pages()).map(|index| (index, self.look(index))).filter(|(_, pte)| *pte != Pte::NONE)
    }
}

/// Proof that an entry's lock is held. Dropping it releases the lock.
#[derive(Debug)]
pub struct EntryGuard<'a> {
    entry: &'a AtomicU64,
    pte: Pte,
}

impl EntryGuard<'_> {
    /// Returns the entry as it was when the lock was taken, or as last replaced under the lock. An
    /// access may have made a present entry young or dirty since.
    #[inline]
    pub fn pte(&self) -> Pte {
        self.pte
    }

    /// Replaces the entry, keeps the lock, and returns the old entry with its final accessed and
    /// dirty bits. After the replacement of a present entry a flush is due before its frame may be
    /// copied or freed.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn replace(&mut self, new: Pte) -> Pte {
        // AcqRel: Release publishes the page that the new entry maps (pairs with `Area::look`).
        // Acquire sees the accessed and dirty bits that accesses have set.
        let old = self.entry.swap(new.0 | Pte::LOCK, Ordering::AcqRel);
        self.pte = new;
        watch::replaced(Pte(old).unlocked(), new);
        Pte(old).unlocked()
    }

    /// Clears the permission to write, keeps the lock and the accessed and dirty bits, and returns
    /// the old entry (`ptep_set_wrprotect`). Threads inside an access may go on writing until a
    /// flush.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(super) fn wrprotect(&mut self) -> Pte {
        // Relaxed: this store publishes nothing, and the flush that follows orders the last writes
        // through the old entry.
        let old = Pte(self.entry.fetch_and(!Pte::WRITE, Ordering::Relaxed)).unlocked();
        self.pte = Pte(old.0 & !Pte::WRITE);
        watch::replaced(old, self.pte);
        old
    }

    /// Replaces the entry and releases the lock in one step. Returns the old entry.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn finish(self, new: Pte) -> Pte {
        released(LockClass::PageTable, std::ptr::from_ref(self.entry).addr());
        // AcqRel: as in `replace`; Release also pairs with the next holder's Acquire.
        let old = self.entry.swap(new.0, Ordering::AcqRel);
        std::mem::forget(self);
        watch::replaced(Pte(old).unlocked(), new);
        Pte(old).unlocked()
    }
}

impl EntryGuard<'_> {
    /// Fills an entry that was cleared under this lock, and releases the lock. A plain store is
    /// enough: accesses set no bits in an entry that is not present, and a thread that tries the
    /// lock meanwhile sets only the lock bit, which is set already.
    #[inline]
    pub fn fill(self, new: Pte) {
        debug_assert!(self.pte == Pte::NONE, "only an entry that was cleared is filled");
        released(LockClass::PageTable, std::ptr::from_ref(self.entry).addr());
        // Release: all stores under the lock are visible to its next holder, and to a thread that
        // follows the entry.
        self.entry.store(new.0, Ordering::Release);
        std::mem::forget(self);
    }

    /// Replaces the entry by the value that `new` computes from its final value, accessed and dirty
    /// bits included, and releases the lock. Returns the old entry.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn finish_with(self, new: impl Fn(Pte) -> Pte) -> Pte {
        released(LockClass::PageTable, std::ptr::from_ref(self.entry).addr());
        // Relaxed: only the value is needed, and the exchange checks it.
        let mut seen = self.entry.load(Ordering::Relaxed);
        loop {
            let old = Pte(seen).unlocked();
            // AcqRel: as in `finish`. The exchange fails only if an access has set a bit meanwhile,
            // or spuriously.
            match self.entry.compare_exchange_weak(seen, new(old).0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    std::mem::forget(self);
                    watch::replaced(old, new(old));
                    return old;
                }
                Err(now) => seen = now,
            }
        }
    }
}

impl Drop for EntryGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        released(LockClass::PageTable, std::ptr::from_ref(self.entry).addr());
        // Release pairs with the Acquire in `Area::lock`. Only the lock bit is cleared: a plain
        // store would lose the bits that accesses have set since.
        self.entry.fetch_and(!Pte::LOCK, Ordering::Release);
    }
}
