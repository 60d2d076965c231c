//! Swap: anonymous memory and pages of memory file systems whose frames were needed for something else.
//!
//! # A swap slot, and who changes it
//!
//! ```text
//!          add to swap: page locked,        unmap: an entry more for
//!          +1 (swap cache)                  each mapping; written, evicted
//!   free ---------------------> cached ------------------------------> swapped out: entries only
//!    ^                           |   ^                                     |         |
//!    |  no entry left: page      |   | fault, shared: read into the cache  |         | fault, alone:
//!    +------ locked, -1 ---------+   +-------------------------------------+         | read past
//!    |                                                                               v the cache
//!    +------------------------------ the only entry becomes present ------------- reading
//! ```
//!
//! An *entry* is whatever names the slot: a page-table entry, or a slot of a memory file's page cache. The
//! slot counts them. A page in the swap cache is found by its slot and names it (`private`).
//!
//! Every change of a slot happens under the swap lock, with the page concerned locked; looks take no
//! lock, as those into a page cache. An entry is counted before it is published, and is taken off under its own
//! lock: so a slot that an entry names is never free.
//!
//! | file | idea |
//! |---|---|
//! | `store` | the slots: their counts, their cache, their content |
//! | `cache` | into the swap cache and out of it |
//! | `out` | mappings become swap entries; the content is written |
//! | `fault` | faults on swap entries |
//! | `file` | pages of memory file systems |
//! | `off` | everything back into memory |
//!
//! # What can go wrong
//!
//! * Two threads fault on one entry and read past the cache. The first maps its page, writes, and the page
//!   is swapped out to the same slot again: the second finds the entry as it was, and maps what it had read
//!   before. So whoever reads past the cache marks the slot, and others wait (kernel 13ddaf26be32).
//! * A page is written before the flush: a thread that is still inside a store makes it newer than what
//!   will be read back. Unmap, flush, clean, write; then evict, if nobody has dirtied or taken it since.
//! * A page is evicted while somebody who found it in the cache is about to map it: eviction freezes the
//!   count, as for a file's page.
//! * A page that came back alone is clean and has no slot any more: what is in it exists nowhere else,
//!   whatever its flags say. Whoever adds it to swap again marks it dirty.

mod cache;
mod fault;
mod file;
mod off;
mod out;
mod store;

// A page of the explored build has two words; these tests write bytes.
#[cfg(all(test, not(feature = "explored")))]
mod tests;

pub(crate) use cache::SWAP_CACHE_REFERENCES;
pub(in crate::map) use fault::Swapped;
pub(crate) use store::Swap;

use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::memory::WORDS;
use crate::release::Release;
use crate::sync::{LockClass, PlainU32, RwLock};
use std::sync::Arc;

/// Slots that a swap space can have: what `private` of a page can name.
pub const MAX_SWAP_SLOTS: u32 = (1 << 28) - 1;

/// Where a machine keeps its swap space, if it has one.
#[derive(Debug)]
pub(crate) struct SwapSpace {
    now: RwLock<Option<Arc<Swap>>>,
    /// There was one at some time: only then is a page looked at for what swap may have made of it. Set before
    /// any page can be in it.
    ever: PlainU32,
}

impl SwapSpace {
    pub(crate) fn new() -> SwapSpace {
        SwapSpace { now: RwLock::new(LockClass::Leaf, None), ever: PlainU32::new(0) }
    }

    /// Which of its words is at `address`, for traces.
    pub(crate) fn field_at(&self, address: usize) -> Option<String> {
        if std::ptr::from_ref(&self.ever).addr() == address {
            return Some("whether there was ever swap space".into());
        }
        self.now.read().as_ref()?.field_at(address)
    }
}

/// How much of the swap space is in use, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwapUse {
    /// Slots there are.
    pub total: u32,
    /// Slots that no entry and no page of the swap cache keeps.
    pub free: u32,
}

impl<R: Release> Machine<R> {
    /// Makes a swap space of `slots` pages.
    ///
    /// `EBUSY` if there is one, `EINVAL` for none or more than [`MAX_SWAP_SLOTS`], `ENOMEM` if the host's memory runs
    /// out.
    pub fn swapon(&self, slots: u32) -> Result<()> {
        if slots == 0 || slots > MAX_SWAP_SLOTS {
            let why = format!("a swap space has 1 to {MAX_SWAP_SLOTS} pages, not {slots}");
            return Err(Error::new(Errno::EINVAL, why));
        }
        self.may_allocate("table of swap slots")?;
        let swap = Arc::new(Swap::new(slots, self.memory.is_backed())?);
        let mut space = self.swap.now.write();
        match *space {
            Some(_) => Err(Error::new(Errno::EBUSY, "there is a swap space already")),
            None => {
                self.swap.ever.set(1);
                *space = Some(swap);
                Ok(())
            }
        }
    }

    /// The swap space. Whoever has an entry that names a slot has it as long as the entry is there.
    pub(crate) fn swap_space(&self) -> Option<Arc<Swap>> {
        self.swap.now.read().clone()
    }

    /// Could a page be in the swap cache, or an entry name a slot? Not before there was a swap space.
    #[inline]
    pub fn may_swap(&self) -> bool {
        self.swap.ever.peek() != 0
    }

    /// How much of the swap space is in use; all zero without one.
    pub fn swap_use(&self) -> SwapUse {
        self.swap_space().map_or_else(SwapUse::default, |swap| swap.in_use())
    }

    /// Slots that are free.
    pub(crate) fn free_swap_slots(&self) -> u32 {
        self.swap_use().free
    }

    /// One word of a swapped page as a fault would find it now, without reading anything in: for checks at
    /// a quiet moment. 0 where there is none.
    pub fn swap_word(&self, slot: u32, word: usize) -> u64 {
        let Some(swap) = self.swap_space().filter(|_| word < WORDS) else { return 0 };
        match swap.slot(slot).page() {
            Some(pfn) => self.memory.load(pfn, word),
            None => swap.peek_word(slot, word),
        }
    }
}
