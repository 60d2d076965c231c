//! The slots of a swap space: the number of entries that name each slot, its cached page, and its
//! content.

use crate::error::Result;
use crate::map::slot::Slot;
use crate::memory::{Memory, Table, WORDS};
use crate::page::Pfn;
use crate::sync::{AtomicU64, Guard, Lock, LockClass, Ordering, PlainU64, broken, spin_until};
use crate::zram::device::Zram;
use std::sync::Arc;

/// The use of the swap space, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwapUse {
    /// All slots.
    pub total: u32,
    /// Slots that neither an entry nor a page of the swap cache keeps.
    pub free: u32,
}

/// A swap space, with its slots.
#[derive(Debug)]
pub(crate) struct Swap {
    slots: u32,
    /// The entry counts of all slots. The lock is held for every change of a slot.
    map: Lock<SwapMap>,
    /// The swap cache, by slot. Changes hold the lock `map`; lookups hold no lock.
    cache: Table<AtomicU64>,
    /// A counter of changes of slots, for threads that wait for a change.
    changes: AtomicU64,
    content: Store,
}

/// The content of a swap space, by slot. Reclaim writes it and a swap-in reads it. Each of the two
/// has the slot cached or marked as being read, under the swap lock, which orders the two accesses.
#[derive(Debug)]
pub(crate) enum Store {
    /// No content, on an unbacked machine.
    Nothing,
    /// Memory of the host: the disk of the machine.
    Words(Table<PlainU64>),
    /// Compressed, in frames of the machine itself.
    Zram(Arc<Zram>),
}

/// Frees the content of a slot that is free. The swap lock is held.
pub(super) trait FreesContent {
    fn free_content(&self, zram: &Zram, slot: u32);
}

/// The entry counts of all slots, and the free slots.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct SwapMap {
    /// The number of entries that name each slot, for every slot that was ever used or passed over.
    entries: Vec<u32>,
    /// The free ones of these slots. The slot that was freed last is used first.
    free: Vec<u32>,
    /// For each of these slots, whether it is in `free`.
    is_free: Vec<bool>,
    /// True during a swapoff: no slot is given out.
    closed: bool,
}

/// The state of a slot after the removal of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Other entries still name the slot, or the slot is free, or its content is being read.
    Settled,
    /// Only this page in the swap cache still keeps the slot.
    Cached(Pfn),
}

/// Proof that the swap lock is held.
pub(super) struct Changing<'a, M: FreesContent> {
    swap: &'a Swap,
    machine: &'a M,
    map: Guard<'a, SwapMap>,
    changed: bool,
}

impl Swap {
    /// Makes a swap space of `slots` free slots on host memory, with content if `backed`.
    pub fn new(slots: u32, backed: bool) -> Result<Swap> {
        let content = match backed {
            true => Store::Words(Table::zeroed(slots as usize * WORDS)?),
            false => Store::Nothing,
        };
        Swap::with_content(slots, content)
    }

    /// Makes a swap space of `slots` free slots whose content is in `content`.
    pub fn with_content(slots: u32, content: Store) -> Result<Swap> {
        Ok(Swap {
            slots,
            map: Lock::plain(LockClass::Swap, SwapMap::default()),
            cache: Table::zeroed(slots as usize)?,
            changes: AtomicU64::new(0),
            content,
        })
    }

    /// Names the word at `address` for traces; `None` if it is not a word of the swap space.
    pub fn field_at(&self, address: usize) -> Option<String> {
        if std::ptr::from_ref(&self.changes).addr() == address {
            return Some("changes of swap slots".into());
        }
        let slot = self.cache.iter().position(|slot| std::ptr::from_ref(slot).addr() == address)?;
        Some(format!("swap cache slot {slot}"))
    }

    /// Returns the number of all slots and of free ones.
    pub fn in_use(&self) -> SwapUse {
        let map = self.map.lock();
        SwapUse { total: self.slots, free: self.slots - map.used() }
    }

    /// Returns true if more than half of the slots are in use. Then pages that were swapped in give
    /// their slots up early (`vm_swap_full`).
    pub fn is_full(&self) -> bool {
        let SwapUse { total, free } = self.in_use();
        u64::from(free) * 2 < u64::from(total)
    }

    /// Returns the value of a slot of the swap cache, without a lock.
    #[inline]
    pub fn slot(&self, slot: u32) -> Slot {
        let Some(cached) = self.cache.get(slot as usize) else { return Slot::Empty };
        // Acquire pairs with the Release in `Changing::set`: a lookup that finds a page sees its
        // content.
        Slot::from_word(cached.load(Ordering::Acquire))
    }

    /// Waits until no thread reads the slot's content past the cache. The caller must hold no lock
    /// that the reader needs, in particular not the entry's.
    pub fn wait_read(&self, slot: u32) {
        spin_until(&self.cache[slot as usize], |word| Slot::from_word(word) != Slot::Reading);
    }

    /// Returns the number of changes so far.
    pub fn changes(&self) -> u64 {
        // Acquire pairs with the Release in `Changing`: a thread that sees the number sees the
        // change itself.
        self.changes.load(Ordering::Acquire)
    }

    /// Waits until the number of changes differs from `seen`.
    pub fn wait_change(&self, seen: u64) {
        spin_until(&self.changes, |changes| changes != seen);
    }

    /// Stops giving slots out, or, with `closed` false, starts again. Returns false if this was the
    /// state already.
    pub fn close(&self, closed: bool) -> bool {
        std::mem::replace(&mut self.map.lock().closed, closed) != closed
    }

    /// Takes the swap lock, for a change of slots.
    pub(super) fn change<'a, M: FreesContent>(&'a self, machine: &'a M) -> Changing<'a, M> {
        Changing { swap: self, machine, map: self.map.lock(), changed: false }
    }

    /// Returns the zram device that has the content; `None` for content in host memory.
    pub fn zram(&self) -> Option<&Arc<Zram>> {
        match &self.content {
            Store::Zram(zram) => Some(zram),
            Store::Nothing | Store::Words(_) => None,
        }
    }

    /// Returns the number of entries of every slot that was ever used, for audits.
    pub fn entries(&self) -> Vec<u32> {
        self.map.lock().entries.clone()
    }

    /// Writes a page's content to a slot in host memory. Returns false if the content is all zeroes.
    pub fn write(&self, slot: u32, memory: &Memory, pfn: Pfn) -> bool {
        let Store::Words(words) = &self.content else { return true };
        let start = slot as usize * WORDS;
        words[start..start + WORDS].iter().enumerate().fold(false, |nonzero, (word, cell)| {
            let value = memory.load(pfn, word);
            cell.set(value);
            nonzero | (value != 0)
        })
    }

    /// Reads a slot's content from host memory into a page. Returns false if the content is all zeroes.
    pub fn read(&self, slot: u32, memory: &Memory, pfn: Pfn) -> bool {
        let Store::Words(words) = &self.content else { return true };
        let start = slot as usize * WORDS;
        words[start..start + WORDS].iter().enumerate().fold(false, |nonzero, (word, cell)| {
            let value = cell.get();
            memory.store(pfn, word, value);
            nonzero | (value != 0)
        })
    }

    /// Returns one word of a slot, for checks at a quiet moment; 0 if there is no such word.
    pub fn peek_word(&self, slot: u32, word: usize) -> u64 {
        match &self.content {
            Store::Words(words) => words.get(slot as usize * WORDS + word).map_or(0, PlainU64::peek),
            Store::Nothing | Store::Zram(_) => 0,
        }
    }
}

impl SwapMap {
    fn used(&self) -> u32 {
        (self.entries.len() - self.free.len()) as u32
    }

    /// Returns the first slot of a run of `run` neighbouring free slots of a space of `slots`. The first
    /// slot is a multiple of `run`. Slots that were never used are preferred, as the kernel prefers free
    /// clusters.
    fn free_run(&self, run: u32, slots: u32) -> Option<u32> {
        if slots - self.used() < run {
            return None;
        }
        let behind = (self.entries.len() as u32).next_multiple_of(run);
        if behind + run <= slots {
            return Some(behind);
        }
        let is_free = |slot: u32| self.is_free.get(slot as usize).copied().unwrap_or(true);
        let mut runs = (0..slots / run).map(|number| number * run);
        runs.find(|&first| (first..first + run).all(is_free))
    }
}

impl<M: FreesContent> Changing<'_, M> {
    /// Returns the value of a slot of the swap cache.
    pub fn slot(&self, slot: u32) -> Slot {
        self.swap.slot(slot)
    }

    /// Sets the value of a slot of the swap cache. The slot stays in use.
    pub fn set(&mut self, slot: u32, to: Slot) {
        self.changed = true;
        // Release: all earlier stores to the page are visible to a lookup that finds it.
        self.swap.cache[slot as usize].store(to.word(), Ordering::Release);
    }

    /// Returns the number of entries that name the slot.
    pub fn entries(&self, slot: u32) -> u32 {
        self.map.entries.get(slot as usize).copied().unwrap_or(0)
    }

    /// Takes as many neighbouring free slots as a page of 2^`order` frames needs, and returns the first. The
    /// first slot of a large page is a multiple of their number. No entry names the slots yet; the caller
    /// puts the page into them. `None` if there are no such slots, or during a swapoff.
    pub fn allocate(&mut self, order: u8) -> Option<u32> {
        if self.map.closed {
            return None;
        }
        let (map, run) = (&mut *self.map, 1u32 << order);
        let first = match map.free.last() {
            Some(&slot) if order == 0 => slot,
            _ => map.free_run(run, self.swap.slots)?,
        };
        let (used, end) = (map.entries.len(), (first + run) as usize);
        if end > used {
            // The first use of a slot needs host memory for its count, and for its later place in the
            // list of free slots. If the host has none, no slot is given out.
            map.entries.try_reserve(end - used).ok()?;
            map.is_free.try_reserve(end - used).ok()?;
            map.free.try_reserve(end - map.free.len()).ok()?;
            // Slots before the run are passed over.
            map.free.extend((used as u32..first).rev());
            map.entries.resize(end, 0);
            map.is_free.resize(end, true);
        }
        match order {
            0 if end <= used => _ = map.free.pop(),
            _ if (first as usize) < used => map.free.retain(|slot| !(first..first + run).contains(slot)),
            _ => {}
        }
        map.is_free[first as usize..end].fill(false);
        Some(first)
    }

    /// Counts one more entry of the slot (`swap_duplicate`).
    pub fn add_entry(&mut self, slot: u32) {
        self.changed = true;
        self.map.entries[slot as usize] += 1;
    }

    /// Counts one entry less of the slot (`swap_free`).
    pub fn remove_entry(&mut self, slot: u32) -> Left {
        let Some(entries) = self.map.entries.get_mut(slot as usize).filter(|entries| **entries > 0) else {
            broken("a swap entry is counted", format_args!("slot {slot} counts no entry"))
        };
        *entries -= 1;
        self.changed = true;
        if *entries > 0 {
            return Left::Settled;
        }
        match self.slot(slot) {
            Slot::Page(pfn) => Left::Cached(pfn),
            Slot::Reading => Left::Settled,
            _ => {
                self.give_up(slot);
                Left::Settled
            }
        }
    }

    /// Removes the slot's page from the cache, or ends the read of its content past the cache
    /// (`put_swap_folio`). The slot is freed if no entry names it; otherwise `to`, which may be a shadow,
    /// becomes its value.
    pub fn uncache(&mut self, slot: u32, to: Slot) {
        if self.entries(slot) > 0 {
            self.set(slot, to);
        } else {
            self.give_up(slot);
        }
    }

    fn give_up(&mut self, slot: u32) {
        self.set(slot, Slot::Empty);
        if let Store::Zram(zram) = &self.swap.content {
            self.machine.free_content(zram, slot);
        }
        #[cfg(feature = "explored")]
        if let Store::Words(words) = &self.swap.content {
            // A read of a freed slot is a mistake. Such a read finds a value that no user has written.
            let start = slot as usize * WORDS;
            words[start..start + WORDS].iter().for_each(|cell| cell.set(u64::MAX));
        }
        self.map.free.push(slot);
        self.map.is_free[slot as usize] = true;
    }
}

impl<M: FreesContent> Drop for Changing<'_, M> {
    fn drop(&mut self) {
        if self.changed {
            // Release pairs with the Acquire in `Swap::changes`: a waiter that sees the new number
            // sees the change.
            self.swap.changes.fetch_add(1, Ordering::Release);
        }
    }
}
