//! The content of slots, in host memory or on a zram device.

use super::store::{FreesContent, Swap};
use crate::error::Result;
use crate::machine::Machine;
use crate::memory::WORDS;
use crate::page::Pfn;
use crate::page::reckon::{self, Fact};
use crate::release::Release;
use crate::zram::{BLOCK_WORDS, Words, Zram};

/// The node near which a compressed page is stored.
const NODE: usize = 0;

impl<R: Release> FreesContent for Machine<R> {
    /// Frees the block of the device at once (`swap_slot_free_notify`). The device takes only locks
    /// that come after the swap lock, and never sleeps.
    fn free_content(&self, zram: &Zram, slot: u32) {
        if let Err(error) = zram.discard_slot(self, slot) {
            crate::sync::broken("a slot of swap is a block of its device", format_args!("{error}"));
        }
    }
}

impl<R: Release> Machine<R> {
    /// Writes the content of a page to the slots from `slot` on. Returns false if the content is all zeroes.
    /// `ENOMEM` if the device has no room.
    pub(super) fn write_content(&self, swap: &Swap, slot: u32, head: Pfn) -> Result<bool> {
        let mut nonzero = false;
        for (slot, part) in (slot..).zip(self.frames.parts(head)) {
            nonzero |= self.write_part(swap, slot, part)?;
        }
        let written = nonzero || !self.profile.swap_notes_zeroes;
        reckon::happened(Fact::SwappedOut, i64::from(written) * reckon::pages(&self.frames[head]));
        Ok(nonzero)
    }

    fn write_part(&self, swap: &Swap, slot: u32, part: Pfn) -> Result<bool> {
        let Some(zram) = swap.zram() else { return Ok(swap.write(slot, &self.memory, part)) };
        let mut words: Words = [0; BLOCK_WORDS];
        self.memory.load_words(part, 0, &mut words[..WORDS]);
        zram.write_slot(self, slot, &words, NODE)?;
        Ok(words.iter().any(|word| *word != 0))
    }

    /// Frees the empty zspages of the zram device behind the swap space, if there is one. A thread that frees
    /// a slot leaves an empty zspage behind if a page of the zspage is locked. Reclaim frees it here, but
    /// waits for no page lock, because a reclaiming thread may hold other page locks.
    pub(in crate::map) fn free_empty_zspages(&self) {
        if self.may_swap()
            && let Some(swap) = self.swap_space()
            && let Some(zram) = swap.zram()
        {
            zram.pool().try_free_empty(self);
        }
    }

    /// Reads a slot's content into a page. Returns false if the content is all zeroes.
    pub(super) fn read_content(&self, swap: &Swap, slot: u32, pfn: Pfn) -> Result<bool> {
        let nonzero = match swap.zram() {
            None => swap.read(slot, &self.memory, pfn),
            Some(zram) => {
                let mut words: Words = [0; BLOCK_WORDS];
                zram.read(self, slot, &mut words)?;
                self.memory.store_words(pfn, 0, &words[..WORDS]);
                words.iter().any(|word| *word != 0)
            }
        };
        reckon::happened(Fact::SwappedIn, i64::from(nonzero || !self.profile.swap_notes_zeroes));
        Ok(nonzero)
    }

    /// Returns one word of a slot's content, for checks at a quiet moment.
    pub(super) fn content_word(&self, swap: &Swap, slot: u32, word: usize) -> u64 {
        let Some(zram) = swap.zram() else { return swap.peek_word(slot, word) };
        let mut words: Words = [0; BLOCK_WORDS];
        match zram.read(self, slot, &mut words) {
            Ok(()) => words.get(word).copied().unwrap_or(0),
            Err(_) => 0,
        }
    }
}
