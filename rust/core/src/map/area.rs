//! An area: a range of an address space with its page table.
//!
//! Each area has its own table, reserved when it is mapped and committed as it is used: an access
//! finds its entry without a lock, and no table is ever freed under a walker, because whoever
//! walks holds the area.

use super::{Entry, FileMap, Of, Pte};
use crate::error::Result;
use crate::memory::Table;
use crate::owner::OwnerId;
use crate::page::{PAGE_SIZE, Pfn};
use crate::sync::{
    AtomicU32, AtomicU64, LockClass, Ordering, PlainU32, RwLock, Stat, acquired, released, spin_until,
};
use std::ops::Range;
use std::sync::Arc;

/// What an area maps.
#[derive(Clone, Debug)]
pub enum AreaKind {
    /// Private anonymous memory, in which faults make large pages of 2^`order` base pages where one fits.
    Anon {
        /// 0: base pages only.
        order: u8,
    },
    /// A range of a file, shared or private.
    File(FileMap),
}

bitflags::bitflags! {
    /// What holds for one page of an area, mapped or not.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Attributes: u32 {
        /// Cut out of the area: an access gets `EFAULT`.
        const UNMAPPED = 1 << 0;
        /// Locked into memory.
        const LOCKED = 1 << 1;
        /// There have been anonymous pages among those around it with the same properties; see [`Area::note_anon`].
        const HAD_ANON = 1 << 2;
        /// Where faults allocate from, if not where the area prefers: [`Policy`] in eight bits.
        const POLICY = 0xff << 8;
    }
}

/// Where the pages of a range are to be (`mbind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// On this node and no other (`MPOL_BIND`).
    Bind(usize),
    /// On this node if it has frames (`MPOL_PREFERRED`).
    Preferred(usize),
}

impl Policy {
    /// The node.
    pub fn node(self) -> usize {
        match self {
            Policy::Bind(node) | Policy::Preferred(node) => node,
        }
    }

    /// As attributes: 0 for none.
    pub(super) fn attributes(self) -> Attributes {
        let kind = match self {
            Policy::Bind(_) => 0x10,
            Policy::Preferred(_) => 0x20,
        };
        Attributes::from_bits_retain((kind | self.node() as u32) << 8)
    }
}

impl Attributes {
    /// The policy, if one was set.
    pub fn policy(self) -> Option<Policy> {
        let bits = self.bits() >> 8;
        let node = (bits & 0xf) as usize;
        match bits & 0xf0 {
            0x10 => Some(Policy::Bind(node)),
            0x20 => Some(Policy::Preferred(node)),
            _ => None,
        }
    }
}

/// A mapped range. Shared by its address space and by the reverse map of its owner.
///
/// # Who may change an entry
///
/// An entry is filled by a fault, which holds `faults` shared, or by the fork that makes the area.
/// Everybody else turns what is there into something else, under the entry's lock. So who has held
/// `faults` alone after a page was marked [`Attributes::UNMAPPED`] may skip what is empty.
#[derive(Debug)]
pub struct Area {
    /// Number of the address space that the area belongs to, for messages and audits.
    pub space: u32,
    /// Number of its first page in that space.
    pub first: u64,
    /// What it maps.
    pub kind: AreaKind,
    /// The anonymous lineage: this area, its parents and children by fork. Nobody's for a shared mapping
    /// of a file, which has no pages of its own.
    pub anon: OwnerId,
    /// Not 0: there have been anonymous pages while the whole area had the same properties. Only counted up, with
    /// `faults` held shared, and looked at with it held alone: that lock orders the two, and of several who count
    /// at once it is enough that one is heard.
    had_anon: Stat,
    /// The node that faults allocate from first.
    pub(super) preferred: AtomicU32,
    /// Held shared by faults, alone by fork and unmap; one for all areas of a space (the kernel's
    /// per-VMA locks, which it takes for a whole fork).
    pub(super) faults: Arc<RwLock<()>>,
    /// Pages not yet unmapped for good. Whoever takes the last one off takes the area down.
    pub(super) left: AtomicU32,
    /// Its place in the reverse map of its lineage, and in that of its file: see [`Areas`](super::Areas). Under the owner's lock.
    places: [PlainU32; 2],
    /// Some page was locked, or has a policy: only then do faults and migrations look at its attributes.
    /// Set with `faults` held alone, looked at with it held shared, or under the lock of an entry
    /// that whoever set it visits afterwards.
    special: PlainU32,
    attributes: Table<AtomicU32>,
    entries: Table<AtomicU64>,
}

impl Area {
    /// An area of `pages` empty entries; `faults` is its space's.
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

    /// Which of its words is at `address`, for traces: of an entry, the page's number.
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

    /// The file that is mapped, if one is.
    #[inline]
    pub fn file(&self) -> Option<&FileMap> {
        match &self.kind {
            AreaKind::Anon { .. } => None,
            AreaKind::File(map) => Some(map),
        }
    }

    /// Its place in a reverse map.
    #[inline]
    pub(super) fn place(&self, of: Of) -> &PlainU32 {
        &self.places[of as usize]
    }

    /// The order of the pages that faults make where one fits.
    #[inline]
    pub(crate) fn order(&self) -> u8 {
        match self.kind {
            AreaKind::Anon { order } => order,
            AreaKind::File(_) => 0,
        }
    }

    /// Are stores seen by everybody who maps the file?
    #[inline]
    pub fn is_shared(&self) -> bool {
        self.file().is_some_and(|map| !map.private)
    }

    /// Where page `index` of the mapped file is in this area.
    #[inline]
    pub fn of_file(&self, index: u32) -> Option<u32> {
        let at = index.checked_sub(self.file()?.first)?;
        (at < self.pages()).then_some(at)
    }

    /// The address of a page.
    #[inline]
    pub fn address(&self, index: u32) -> u64 {
        (self.first + u64::from(index)) * PAGE_SIZE as u64
    }

    /// The node that faults allocate from first.
    #[inline]
    pub fn preferred(&self) -> usize {
        // Relaxed: a preference, it orders nothing.
        self.preferred.load(Ordering::Relaxed) as usize
    }

    /// What holds for a page; beyond the area's end, that nothing is mapped.
    #[inline]
    pub fn attributes(&self, index: u32) -> Attributes {
        let Some(attributes) = self.attributes.get(index as usize) else { return Attributes::UNMAPPED };
        // Relaxed: marks that must not be missed are set with `faults` held alone, and looked at with it
        // held shared.
        Attributes::from_bits_retain(attributes.load(Ordering::Relaxed))
    }

    /// Pages that lie in the area, in runs with the same properties (the kernel's VMAs), with these.
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

    /// What holds for a page besides being mapped; looked up only where something special does.
    #[inline]
    pub(super) fn special(&self, index: u32) -> Attributes {
        match self.special.peek() {
            0 => Attributes::empty(),
            _ => self.attributes(index),
        }
    }

    /// Is the page locked into memory?
    #[inline]
    pub(super) fn locked(&self, index: u32) -> bool {
        self.special(index).contains(Attributes::LOCKED)
    }

    /// Takes attributes of a page away and returns those before.
    pub(super) fn unmark(&self, index: u32, attributes: Attributes) -> Attributes {
        // Relaxed: as in `attributes`.
        let old = self.attributes[index as usize].fetch_and(!attributes.bits(), Ordering::Relaxed);
        Attributes::from_bits_retain(old)
    }

    /// Sets the policy of pages, and of those of the file behind them, with faults held off.
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

    /// What a child's area by fork has of its parent's: the policies, but nothing is locked.
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

    /// Page `index` is anonymous: from now on a fork copies the entries around it, as far as the same properties
    /// reach (what is the kernel's VMA gets its `anon_vma`). `faults` is held shared.
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
        // Who is stopped early by marks of another fault at the same time leaves the rest to it: it looked before.
        let same = |&at: &u32| self.attributes(at) == kind;
        let before = (0..index).rev().take_while(same).last().unwrap_or(index);
        let behind = (index..self.pages()).take_while(same).last().unwrap_or(index);
        for at in before..=behind {
            self.mark(at, Attributes::HAD_ANON);
        }
    }

    /// Does a fork copy the entry of a page? If not, the child's faults find again what the parent has: in the file, or
    /// in the zero page (`vma_needs_copy`). `faults` is held alone.
    pub(super) fn forks(&self, index: u32) -> bool {
        self.had_anon.get() != 0 || self.special(index).contains(Attributes::HAD_ANON)
    }

    /// Properties of pages have changed: pages that are alike now are one stretch, and what was said of a part of it holds
    /// for all (`vma_merge`). `faults` is held alone.
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

    /// From now on the attributes of pages are looked at.
    pub(super) fn set_special(&self) {
        if self.special.peek() == 0 {
            self.special.set(1);
        }
    }

    /// Sets attributes of a page and returns those before.
    pub(super) fn mark(&self, index: u32, attributes: Attributes) -> Attributes {
        if attributes.intersects(Attributes::LOCKED | Attributes::POLICY) {
            self.set_special();
        }
        // Relaxed: as in `attributes`.
        let old = self.attributes[index as usize].fetch_or(attributes.bits(), Ordering::Relaxed);
        Attributes::from_bits_retain(old)
    }

    /// Pages in the area.
    #[inline]
    pub fn pages(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The entry as a walker without a lock sees it: what the access path uses inside a TLB section. Beyond the area's
    /// end there is none.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn look(&self, index: u32) -> Pte {
        let Some(entry) = self.entries.get(index as usize) else { return Pte::NONE };
        // Acquire pairs with the Release that published the entry: the page's content and fields are
        // visible through it.
        Pte(entry.load(Ordering::Acquire))
    }

    /// The same, but an entry that is locked counts as filled: whoever has the lock may have cleared it for a moment.
    #[inline]
    pub fn is_empty(&self, index: u32) -> bool {
        self.look(index) == Pte::NONE
    }

    /// What an entry says to a walker who waits for its lock where it is in somebody's hands.
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

    /// What the lock-order checks call the lock of an entry: the address of its word.
    #[inline]
    pub(crate) fn entry_key(&self, index: u32) -> usize {
        std::ptr::from_ref(&self.entries[index as usize]).addr()
    }

    /// Sets accessed and dirty bits in an entry that still is `seen`; false if it changed. What
    /// hardware does while it walks.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn touch(&self, index: u32, seen: Pte, bits: u64) -> bool {
        if seen.has(bits) {
            return true;
        }
        // Relaxed: the bits are advice; whoever unmaps reads them with the swap that ends the entry.
        self.entries[index as usize]
            .compare_exchange(seen.0, seen.0 | bits, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Fills an entry of an area that a fork is making. It is empty, and until now nobody had a reason
    /// to lock it: the reverse map looks for the page before it locks.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(super) fn publish(&self, index: u32, new: Pte) {
        // Release: as in `EntryGuard::replace`.
        self.entries[index as usize].store(new.0, Ordering::Release);
    }

    /// Takes the lock of one entry (`pte_offset_map_lock`).
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn lock(&self, index: u32) -> EntryGuard<'_> {
        let entry = &self.entries[index as usize];
        let mut seen = entry.load(Ordering::Relaxed);
        loop {
            if seen & Pte::LOCK != 0 {
                seen = spin_until(entry, |value| value & Pte::LOCK == 0);
            }
            // Acquire pairs with the Release of `EntryGuard`'s end.
            match entry.compare_exchange_weak(seen, seen | Pte::LOCK, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        acquired(LockClass::PageTable, self.entry_key(index), false);
        EntryGuard { entry, pte: Pte(seen) }
    }

    /// The same without waiting: the only way to a second entry's lock.
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

    /// Where the entry for `page` of the anonymous lineage would be, if it maps `pfn` in any form.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn lock_if_maps(&self, index: u32, wanted: impl Fn(Pte) -> bool) -> Option<EntryGuard<'_>> {
        if index >= self.pages() || !wanted(self.look(index).unlocked()) {
            return None;
        }
        let guard = self.lock(index);
        wanted(guard.pte()).then_some(guard)
    }

    /// Frames mapped by present entries, with their index; for audits at quiet moments.
    pub fn mapped(&self) -> impl Iterator<Item = (u32, Pte)> + '_ {
        (0..self.pages()).map(|index| (index, self.look(index))).filter(|(_, pte)| *pte != Pte::NONE)
    }
}

/// Proof that an entry's lock is held; gives it back when dropped.
#[derive(Debug)]
pub struct EntryGuard<'a> {
    entry: &'a AtomicU64,
    pte: Pte,
}

impl EntryGuard<'_> {
    /// The entry as it was when the lock was taken. A present entry may have become young or dirty
    /// since.
    #[inline]
    pub fn pte(&self) -> Pte {
        self.pte
    }

    /// Replaces the entry, keeping the lock, and returns the old one with its final accessed and
    /// dirty bits. After a present entry is replaced a flush is due before its frame may be touched.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn replace(&mut self, new: Pte) -> Pte {
        // AcqRel: Release publishes what the new entry leads to (pairs with `Area::look`); Acquire sees
        // the accessed and dirty bits that accesses set.
        let old = self.entry.swap(new.0 | Pte::LOCK, Ordering::AcqRel);
        self.pte = new;
        Pte(old).unlocked()
    }

    /// Takes the permission to write away, keeping the lock and the accessed and dirty bits, and
    /// returns the old entry (`ptep_set_wrprotect`). Threads may go on writing until a flush.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(super) fn wrprotect(&mut self) -> Pte {
        // Relaxed: publishes nothing; the flush that is due orders the writes that still go through.
        let old = Pte(self.entry.fetch_and(!Pte::WRITE, Ordering::Relaxed)).unlocked();
        self.pte = Pte(old.0 & !Pte::WRITE);
        old
    }

    /// Replaces the entry and gives the lock back in one step; returns the old entry.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn finish(self, new: Pte) -> Pte {
        released(LockClass::PageTable, std::ptr::from_ref(self.entry).addr());
        // AcqRel: as in `replace`; Release also pairs with the next holder's Acquire.
        let old = self.entry.swap(new.0, Ordering::AcqRel);
        std::mem::forget(self);
        Pte(old).unlocked()
    }
}

impl EntryGuard<'_> {
    /// Fills an entry that was cleared under this lock, and gives the lock back: a store is enough, since accesses mark
    /// nothing in an entry that is not present, and whoever tries the lock meanwhile changes nothing.
    #[inline]
    pub fn fill(self, new: Pte) {
        debug_assert!(self.pte == Pte::NONE, "only an entry that was cleared is filled");
        released(LockClass::PageTable, std::ptr::from_ref(self.entry).addr());
        // Release: what happened under the lock is visible to its next holder, and to whoever follows the entry.
        self.entry.store(new.0, Ordering::Release);
        std::mem::forget(self);
    }

    /// Replaces the entry by what `new` makes of its final value, accessed and dirty bits included,
    /// and gives the lock back; returns the old entry.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn finish_with(self, new: impl Fn(Pte) -> Pte) -> Pte {
        released(LockClass::PageTable, std::ptr::from_ref(self.entry).addr());
        let mut seen = self.entry.load(Ordering::Relaxed);
        loop {
            let old = Pte(seen).unlocked();
            // AcqRel: as in `finish`. Fails only if an access set a bit meanwhile.
            match self.entry.compare_exchange_weak(seen, new(old).0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    std::mem::forget(self);
                    return old;
                }
                Err(now) => seen = now,
            }
        }
    }
}

impl Drop for EntryGuard<'_> {
    fn drop(&mut self) {
        released(LockClass::PageTable, std::ptr::from_ref(self.entry).addr());
        // Release pairs with the Acquire in `Area::lock`. Only the lock bit: accesses may have set others.
        self.entry.fetch_and(!Pte::LOCK, Ordering::Release);
    }
}

impl Pte {
    /// Is this a present mapping of `pfn`?
    #[inline]
    pub fn maps(self, wanted: Pfn) -> bool {
        matches!(self.entry(), super::Entry::Present { pfn, zero: false } if pfn == wanted)
    }

    /// Is this a migration entry for `pfn`?
    #[inline]
    pub fn migrates(self, wanted: Pfn) -> bool {
        matches!(self.entry(), super::Entry::Migration { pfn } if pfn == wanted)
    }
}
