//! The slots of a swap space: who names them, which page is cached for them, what they hold.

use super::SwapUse;
use crate::error::Result;
use crate::map::slot::Slot;
use crate::memory::{Memory, Table, WORDS};
use crate::page::Pfn;
use crate::sync::{AtomicU64, Guard, Lock, LockClass, Ordering, PlainU64, broken, spin_until};

/// A swap space.
#[derive(Debug)]
pub(crate) struct Swap {
    slots: u32,
    /// Who names which slot. Held to change anything of a slot.
    map: Lock<SwapMap>,
    /// The swap cache, by slot: changed under `map`, looked at without it.
    cache: Table<AtomicU64>,
    /// Counts changes of slots, for who waits for one.
    changes: AtomicU64,
    /// The content, by slot; nothing on an unbacked machine. Written by who evicts the slot's page and read by
    /// who brings it back: both have the slot cached or marked, and got that under `map`.
    words: Option<Table<PlainU64>>,
}

/// The counts of all slots.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct SwapMap {
    /// Entries that name each slot that was ever used.
    entries: Vec<u32>,
    /// Slots that were used and are free.
    free: Vec<u32>,
    /// Being taken away: no slot is given out.
    closed: bool,
}

/// What is left of a slot when an entry is taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Other entries; or nothing, and the slot is free.
    Settled,
    /// Only a page in the swap cache.
    Cached(Pfn),
}

/// Proof that the swap lock is held.
pub(super) struct Changing<'a> {
    swap: &'a Swap,
    map: Guard<'a, SwapMap>,
    changed: bool,
}

impl Swap {
    /// A space of `slots` free slots; with content if `backed`.
    pub fn new(slots: u32, backed: bool) -> Result<Swap> {
        let words = match backed {
            true => Some(Table::zeroed(slots as usize * WORDS)?),
            false => None,
        };
        Ok(Swap {
            slots,
            map: Lock::plain(LockClass::Swap, SwapMap::default()),
            cache: Table::zeroed(slots as usize)?,
            changes: AtomicU64::new(0),
            words,
        })
    }

    /// Which of its words is at `address`, for traces.
    pub fn field_at(&self, address: usize) -> Option<String> {
        if std::ptr::from_ref(&self.changes).addr() == address {
            return Some("changes of swap slots".into());
        }
        let slot = self.cache.iter().position(|slot| std::ptr::from_ref(slot).addr() == address)?;
        Some(format!("swap cache slot {slot}"))
    }

    /// How many slots there are, and are free.
    pub fn in_use(&self) -> SwapUse {
        let map = self.map.lock();
        SwapUse { total: self.slots, free: self.slots - map.used() }
    }

    /// Is more than half of it in use? Then pages that were swapped in give their slots up early
    /// (`vm_swap_full`).
    pub fn is_full(&self) -> bool {
        let SwapUse { total, free } = self.in_use();
        u64::from(free) * 2 < u64::from(total)
    }

    /// What is cached for a slot, without a lock.
    #[inline]
    pub fn slot(&self, slot: u32) -> Slot {
        let Some(cached) = self.cache.get(slot as usize) else { return Slot::Empty };
        // Acquire pairs with the Release in `Changing::set`.
        Slot::from_word(cached.load(Ordering::Acquire))
    }

    /// Waits until nobody reads the slot's content past the cache. Holding nothing that the reader needs: it
    /// takes the entry's lock.
    pub fn wait_read(&self, slot: u32) {
        spin_until(&self.cache[slot as usize], |word| Slot::from_word(word) != Slot::Reading);
    }

    /// How many changes there were.
    pub fn changes(&self) -> u64 {
        // Acquire pairs with the Release in `Changing`: who sees the number sees what was changed.
        self.changes.load(Ordering::Acquire)
    }

    /// Waits for another change after so many.
    pub fn wait_change(&self, seen: u64) {
        spin_until(&self.changes, |changes| changes != seen);
    }

    /// No slot is given out any more; or, if that is taken back, they are again. False if it was so already.
    pub fn close(&self, closed: bool) -> bool {
        std::mem::replace(&mut self.map.lock().closed, closed) != closed
    }

    /// Takes the swap lock.
    pub(super) fn change(&self) -> Changing<'_> {
        Changing { swap: self, map: self.map.lock(), changed: false }
    }

    /// Entries of every slot that was ever used, for audits.
    pub fn entries(&self) -> Vec<u32> {
        self.map.lock().entries.clone()
    }

    /// Writes a page's content to a slot. False if that is all zeroes.
    pub fn write(&self, slot: u32, memory: &Memory, pfn: Pfn) -> bool {
        let Some(words) = &self.words else { return true };
        let start = slot as usize * WORDS;
        words[start..start + WORDS].iter().enumerate().fold(false, |any, (word, cell)| {
            let value = memory.load(pfn, word);
            cell.set(value);
            any | (value != 0)
        })
    }

    /// Reads a slot's content into a page. False if that is all zeroes.
    pub fn read(&self, slot: u32, memory: &Memory, pfn: Pfn) -> bool {
        let Some(words) = &self.words else { return true };
        let start = slot as usize * WORDS;
        words[start..start + WORDS].iter().enumerate().fold(false, |any, (word, cell)| {
            let value = cell.get();
            memory.store(pfn, word, value);
            any | (value != 0)
        })
    }

    /// One word of a slot, for checks at a quiet moment; 0 where there is none.
    pub fn peek_word(&self, slot: u32, word: usize) -> u64 {
        let words = self.words.as_ref();
        words.and_then(|words| words.get(slot as usize * WORDS + word)).map_or(0, PlainU64::peek)
    }
}

impl SwapMap {
    fn used(&self) -> u32 {
        (self.entries.len() - self.free.len()) as u32
    }
}

impl Changing<'_> {
    /// What is cached for a slot.
    pub fn slot(&self, slot: u32) -> Slot {
        self.swap.slot(slot)
    }

    /// Changes what is cached for a slot, without giving the slot up.
    pub fn set(&mut self, slot: u32, to: Slot) {
        self.changed = true;
        // Release: what was done to the page before is visible to a look that finds it.
        self.swap.cache[slot as usize].store(to.word(), Ordering::Release);
    }

    /// Entries that name the slot.
    pub fn entries(&self, slot: u32) -> u32 {
        self.map.entries.get(slot as usize).copied().unwrap_or(0)
    }

    /// A free slot, cached for a page from now on, without an entry. `None` if there is none, or the space
    /// is being taken away.
    pub fn allocate(&mut self, pfn: Pfn) -> Option<u32> {
        if self.map.closed {
            return None;
        }
        let slot = match self.map.free.pop() {
            Some(slot) => slot,
            None if (self.map.entries.len() as u32) < self.swap.slots => {
                // Without memory of the host for its count there is no slot; with it, for when it is free again.
                let used = self.map.entries.len() + 1;
                self.map.entries.try_reserve(1).ok()?;
                self.map.free.try_reserve(used).ok()?;
                self.map.entries.push(0);
                self.map.entries.len() as u32 - 1
            }
            None => return None,
        };
        self.set(slot, Slot::Page(pfn));
        Some(slot)
    }

    /// One entry more (`swap_duplicate`).
    pub fn add_entry(&mut self, slot: u32) {
        self.changed = true;
        self.map.entries[slot as usize] += 1;
    }

    /// One entry less (`swap_free`).
    pub fn remove_entry(&mut self, slot: u32) -> Left {
        let Some(entries) = self.map.entries.get_mut(slot as usize).filter(|entries| **entries > 0) else {
            broken("a swap entry is counted", format_args!("slot {slot} has no entry to take off"))
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

    /// The page, or whoever read past the cache, lets go of the slot (`put_swap_folio`): it is free if nothing
    /// names it. `to` is what an eviction leaves.
    pub fn uncache(&mut self, slot: u32, to: Slot) {
        if self.entries(slot) > 0 {
            self.set(slot, to);
        } else {
            self.give_up(slot);
        }
    }

    fn give_up(&mut self, slot: u32) {
        self.set(slot, Slot::Empty);
        #[cfg(feature = "explored")]
        if let Some(words) = &self.swap.words {
            // Who reads the slot from now on finds what nobody wrote.
            let start = slot as usize * WORDS;
            words[start..start + WORDS].iter().for_each(|cell| cell.set(u64::MAX));
        }
        self.map.free.push(slot);
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        if self.changed {
            // Release pairs with the Acquire in `Swap::changes`.
            self.swap.changes.fetch_add(1, Ordering::Release);
        }
    }
}
