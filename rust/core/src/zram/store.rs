//! Writes, reads and discards blocks.

use super::device::{BLOCK, BLOCK_WORDS, Compressor, Content, Zram};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::release::Release;
use crate::sync::Ordering;
use crate::zsmalloc::handle::Handle;
use crate::zsmalloc::pool::ZsPool;
use std::sync::Arc;

/// A block's words.
pub type Words = [u64; BLOCK_WORDS];

/// The words of a compressed block, with room for the worst case.
type Packed = [u64; BLOCK_WORDS + 8];

impl Zram {
    /// Makes a device of `blocks` pages, without content, on frames of the machine.
    ///
    /// `EINVAL` for no blocks or too many, or a machine whose frames have no bytes; `ENOMEM` if all
    /// owner slots are in use, or the host has no memory.
    pub fn new<R: Release>(machine: &Machine<R>, blocks: u32, compressor: Compressor) -> Result<Arc<Zram>> {
        if !machine.memory.is_backed() {
            let why = "a zram device needs the bytes of frames, and this machine has none";
            return Err(Error::new(Errno::EINVAL, why));
        }
        let pool = ZsPool::new(machine)?;
        let table = machine.may_allocate("table of a device's blocks");
        let made = table.and_then(|()| Zram::with_pool(Arc::clone(&pool), blocks, compressor)).map(Arc::new);
        if made.is_err() {
            // A fresh pool has no object and can be closed.
            let _ = pool.close(machine);
        }
        made
    }

    /// Writes a block (`zram_write_page`). The pool takes new frames from `node`, or from the nearest node
    /// that has some.
    ///
    /// `EINVAL` for a block that the device does not have, or a device that was reset or is being reset;
    /// `EBUSY` if the reset is just closing the pool; `ENOMEM` if no frame is free, or the pool would exceed
    /// its limit; `ETXTBSY` if the device is the swap space, whose pages the write would lose (`IS_SWAPFILE`
    /// in `blkdev_write_iter`; kernels before 5.3 lose them). After an error the block keeps its old content,
    /// unless a reset discards it.
    pub fn write<R: Release>(
        &self,
        machine: &Machine<R>,
        block: u32,
        words: &Words,
        node: usize,
    ) -> Result<()> {
        let own = || if machine.may_swap() { self.expect_not_lent(Errno::ETXTBSY) } else { Ok(()) };
        self.write_if(machine, block, words, node, own)
    }

    /// Writes a page of the swap space, as [`Zram::write`] does.
    pub(crate) fn write_slot<R: Release>(
        &self,
        machine: &Machine<R>,
        slot: u32,
        words: &Words,
        node: usize,
    ) -> Result<()> {
        self.write_if(machine, slot, words, node, || Ok(()))
    }

    /// Writes a block if `own` succeeds under the block's lock.
    fn write_if<R: Release>(
        &self,
        machine: &Machine<R>,
        block: u32,
        words: &Words,
        node: usize,
        own: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.check(block)?;
        let content = match words.iter().all(|word| *word == words[0]) {
            true => Content::Same(words[0]),
            false => self.store(machine, words, node)?,
        };
        // A reset sets its mark and then discards each block under the block's lock. So either the reset
        // discards this content, too, or this thread finds the mark.
        let (written, old) = {
            let mut guard = self.lock(block);
            match self.expect_in_use().and_then(|()| own()) {
                Ok(()) => (Ok(()), guard.replace(content)),
                Err(error) => (Err(error), content),
            }
        };
        self.free_content(machine, old);
        written
    }

    /// Compresses a block and stores it in the pool.
    fn store<R: Release>(&self, machine: &Machine<R>, words: &Words, node: usize) -> Result<Content> {
        let mut packed: Packed = [0; BLOCK_WORDS + 8];
        let mut len = self.compress(words, &mut packed);
        if len >= self.pool.classes().huge_size() {
            // Compression saves nothing here: the block is stored as it is.
            packed[..BLOCK_WORDS].copy_from_slice(words);
            len = BLOCK;
        }
        let handle = self.pool.alloc(machine, len, node)?;
        let pages = self.pool.pages();
        // Relaxed: counts, which order nothing.
        let most = &self.counts.most_pages;
        let mut seen = most.load(Ordering::Relaxed);
        while seen < pages {
            match most.compare_exchange(seen, pages, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        // Relaxed: a store that races with a new limit may still go by the old one.
        let limit = self.counts.limit.load(Ordering::Relaxed);
        if limit > 0 && pages > limit {
            self.pool.free(machine, handle)?;
            let why = format!("the pool would have {pages} pages and is limited to {limit}");
            return Err(Error::new(Errno::ENOMEM, why));
        }
        self.pool.map(machine, handle)?.store(&machine.memory, &packed[..len.div_ceil(size_of::<u64>())]);
        Ok(Content::Stored { handle: handle.0, len: len as u32 })
    }

    /// Reads a block (`zram_read_page`): zeroes if it has no content.
    ///
    /// `EINVAL` for a block that the device does not have; `EIO` if the compressed bytes are damaged.
    pub fn read<R: Release>(&self, machine: &Machine<R>, block: u32, into: &mut Words) -> Result<()> {
        self.check(block)?;
        // The block is locked until its bytes are read, so that no other thread frees the object.
        let guard = self.lock(block);
        match guard.content {
            Content::Nothing => into.fill(0),
            Content::Same(word) => into.fill(word),
            Content::Stored { handle, len } => {
                let words = (len as usize).div_ceil(size_of::<u64>());
                let mut packed: Packed = [0; BLOCK_WORDS + 8];
                let target = if len as usize == BLOCK { &mut into[..] } else { &mut packed[..words] };
                self.pool.map(machine, Handle(handle))?.load(&machine.memory, target);
                if (len as usize) < BLOCK {
                    decompress(&packed, len as usize, into)?;
                }
            }
        }
        Ok(())
    }

    /// Discards a block's content (`zram_free_page`). `EINVAL` for a block that the device does not
    /// have; `EBUSY` if the device is the swap space, whose pages the discard would lose
    /// (`bd_prepare_to_claim` in `truncate_bdev_range`; kernels before 5.11 lose them).
    pub fn discard<R: Release>(&self, machine: &Machine<R>, block: u32) -> Result<()> {
        self.check(block)?;
        let old = {
            let mut guard = self.lock(block);
            if machine.may_swap() {
                self.expect_not_lent(Errno::EBUSY)?;
            }
            guard.replace(Content::Nothing)
        };
        self.free_content(machine, old);
        Ok(())
    }

    /// Discards a page of the swap space, or a block of a device that is being reset.
    pub(crate) fn discard_slot<R: Release>(&self, machine: &Machine<R>, slot: u32) -> Result<()> {
        self.check(slot)?;
        let old = self.lock(slot).replace(Content::Nothing);
        self.free_content(machine, old);
        Ok(())
    }

    fn free_content<R: Release>(&self, machine: &Machine<R>, old: Content) {
        if let Content::Stored { handle, .. } = old
            && let Err(error) = self.pool.free(machine, Handle(handle))
        {
            crate::sync::broken("a stored block has an object", format_args!("{error}"));
        }
    }

    /// Discards all blocks and closes the pool (`reset`). The device takes no content afterwards, and has no
    /// limit. For a device that was reset the call does nothing. The call waits as [`ZsPool::close`] does.
    ///
    /// `EBUSY` if the device is the swap space, whose content the reset would lose, or another thread resets
    /// it; the call has then changed nothing. `EBUSY` also if another thread uses the device, and `EINTR` if
    /// the deadline of the calling thread ([`patiently`](crate::sync::patiently)) has passed, or if the call
    /// was interrupted: the device can then be used again, but some or all of its blocks are discarded.
    pub fn reset<R: Release>(&self, machine: &Machine<R>) -> Result<()> {
        match machine.begin_zram_reset(self)? {
            true => self.finish_reset(machine),
            false => Ok(()),
        }
    }

    /// Discards all blocks of a device that is marked as being reset, and closes its pool. After an
    /// error the device is in use again.
    pub(crate) fn finish_reset<R: Release>(&self, machine: &Machine<R>) -> Result<()> {
        let discarded = (0..self.blocks()).try_for_each(|block| {
            Error::unless_interrupted()?;
            self.discard_slot(machine, block)
        });
        let reset = discarded.and_then(|()| self.pool.close(machine));
        match reset.is_ok() {
            // Relaxed: counts, which order nothing.
            true => {
                self.counts.limit.store(0, Ordering::Relaxed);
                self.counts.most_pages.store(0, Ordering::Relaxed);
            }
            false => self.end_reset(),
        }
        reset
    }

    /// Compresses a block into `packed` and returns the bytes that it takes.
    #[cfg(not(any(feature = "explored", loom)))]
    fn compress(&self, words: &Words, packed: &mut Packed) -> usize {
        let mut bytes = [0; BLOCK];
        bytes.chunks_exact_mut(8).zip(words).for_each(|(to, from)| to.copy_from_slice(&from.to_le_bytes()));
        // Both compressors ask for more room than a block of any content takes.
        let mut output = [0; 2 * BLOCK];
        let len = match self.compressor {
            Compressor::Lz4 => super::lz4::compress(&bytes, &mut output),
            Compressor::Lz4Flex => lz4_flex::block::compress_into(&bytes, &mut output).unwrap_or(BLOCK),
        };
        if len < BLOCK {
            let words = packed.iter_mut().zip(output[..len].chunks(8));
            words.for_each(|(to, from)| *to = crate::zsmalloc::word_of(from));
        }
        len
    }

    /// Compresses a block of the explored build: leaves out the zeroes at its end.
    #[cfg(any(feature = "explored", loom))]
    fn compress(&self, words: &Words, packed: &mut Packed) -> usize {
        packed[..BLOCK_WORDS].copy_from_slice(words);
        let _ = self.compressor;
        size_of::<u64>() * words.iter().rposition(|word| *word != 0).map_or(1, |last| last + 1)
    }
}

/// The error for bytes that no compressor has written.
fn corrupt() -> Error {
    Error::new(Errno::EIO, "the block's compressed bytes are damaged")
}

#[cfg(not(any(feature = "explored", loom)))]
fn decompress(packed: &Packed, len: usize, into: &mut Words) -> Result<()> {
    let mut input = [0; size_of::<Packed>()];
    input.chunks_exact_mut(8).zip(packed).for_each(|(to, from)| to.copy_from_slice(&from.to_le_bytes()));
    let mut bytes = [0; BLOCK];
    let done = lz4_flex::block::decompress_into(&input[..len], &mut bytes);
    if done.ok() != Some(BLOCK) {
        return Err(corrupt());
    }
    into.iter_mut().zip(bytes.chunks_exact(8)).for_each(|(to, from)| *to = crate::zsmalloc::word_of(from));
    Ok(())
}

#[cfg(any(feature = "explored", loom))]
fn decompress(packed: &Packed, len: usize, into: &mut Words) -> Result<()> {
    let words = len / size_of::<u64>();
    if words > BLOCK_WORDS {
        return Err(corrupt());
    }
    into.fill(0);
    into[..words].copy_from_slice(&packed[..words]);
    Ok(())
}
