//! swapon, and queries of the swap space.

use super::space::MAX_SWAP_SLOTS;
use super::store::{Store, Swap, SwapUse};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::memory::WORDS;
use crate::release::Release;
use crate::zram::Zram;
use std::sync::Arc;

impl<R: Release> Machine<R> {
    /// Makes a swap space of `slots` pages.
    ///
    /// `EBUSY` if there is a swap space already, `EINVAL` for 0 slots or more than
    /// [`MAX_SWAP_SLOTS`], `ENOMEM` if the host's memory runs out.
    pub fn swapon(&self, slots: u32) -> Result<()> {
        if slots == 0 || slots > MAX_SWAP_SLOTS {
            let why = format!("a swap space has 1 to {MAX_SWAP_SLOTS} pages, not {slots}");
            return Err(Error::new(Errno::EINVAL, why));
        }
        self.may_allocate("table of swap slots")?;
        self.use_swap(Swap::new(slots, self.memory.is_backed())?)
    }

    /// Makes a zram device the swap space: each block is a slot. Pages that are swapped out are
    /// compressed into frames of the machine itself.
    ///
    /// `EBUSY` if there is a swap space already; `EINVAL` if the device has more than
    /// [`MAX_SWAP_SLOTS`] blocks, or was reset; `ENOMEM` if the host's memory runs out.
    pub fn swapon_zram(&self, zram: &Arc<Zram>) -> Result<()> {
        let slots = zram.blocks();
        if slots > MAX_SWAP_SLOTS {
            let why = format!("a swap space has 1 to {MAX_SWAP_SLOTS} pages, not {slots}");
            return Err(Error::new(Errno::EINVAL, why));
        }
        self.may_allocate("table of swap slots")?;
        self.use_swap(Swap::with_content(slots, Store::Zram(Arc::clone(zram)))?)
    }

    /// Marks a device as being reset, so that it cannot become the swap space. Returns false if the device
    /// was reset before; `EBUSY` if it is the swap space, or if another thread is resetting it.
    pub(crate) fn begin_zram_reset(&self, zram: &Zram) -> Result<bool> {
        // The lock is held until the mark is set: swapon looks at the mark under it.
        let swap = self.swap.now.read();
        match swap.as_ref().and_then(|swap| swap.zram()).is_some_and(|used| std::ptr::eq(&**used, zram)) {
            true => Err(Error::new(Errno::EBUSY, "the device is the swap space: swapoff first")),
            false => zram.mark_reset(),
        }
    }

    fn use_swap(&self, swap: Swap) -> Result<()> {
        let swap = Arc::new(swap);
        let mut space = self.swap.now.write();
        match *space {
            Some(_) => Err(Error::new(Errno::EBUSY, "there is a swap space already")),
            None => {
                swap.zram().map_or(Ok(()), |zram| zram.lend())?;
                self.swap.ever.set(1);
                *space = Some(swap);
                Ok(())
            }
        }
    }

    /// Returns the swap space, or `None`. While an entry names a slot, the swap space cannot go
    /// away.
    pub(crate) fn swap_space(&self) -> Option<Arc<Swap>> {
        self.swap.now.read().clone()
    }

    /// Returns true if a page could be in the swap cache or an entry could name a slot: there was a
    /// swap space at some time.
    #[inline]
    pub fn may_swap(&self) -> bool {
        self.swap.ever.peek() != 0
    }

    /// Returns the use of the swap space; all zero without one.
    pub fn swap_use(&self) -> SwapUse {
        self.swap_space().map_or_else(SwapUse::default, |swap| swap.in_use())
    }

    /// Returns one word of a swapped page as a fault would find it now, without a swap-in: for
    /// checks at a quiet moment. 0 if there is no such word.
    pub fn swap_word(&self, slot: u32, word: usize) -> u64 {
        let Some(swap) = self.swap_space().filter(|_| word < WORDS) else { return 0 };
        match swap.slot(slot).page() {
            Some(pfn) => self.memory.load(pfn, word),
            None => self.content_word(&swap, slot, word),
        }
    }
}
