//! A zram device: its blocks, and its counters.

use crate::error::{Errno, Error, Result};
use crate::memory::Table;
use crate::page::PAGE_SIZE;
use crate::sync::{AtomicU64, LockClass, Ordering, PlainU64, acquired, released, spin_until};
use crate::zsmalloc::pool::ZsPool;
use std::sync::Arc;

/// Bytes of a block: a page. In the explored build, whose pages have two words, a block has three,
/// so that its object straddles pages.
pub const BLOCK: usize = if cfg!(any(feature = "explored", loom)) { 3 * size_of::<u64>() } else { PAGE_SIZE };

/// Words of a block.
pub const BLOCK_WORDS: usize = BLOCK / size_of::<u64>();

/// The largest number of blocks of a device.
pub const MAX_BLOCKS: u32 = 1 << 28;

/// The compressor of a device. Both write the LZ4 block format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compressor {
    /// The match search of the kernel's `lz4`: each page takes as many bytes as in the kernel.
    #[default]
    Lz4,
    /// The search of the crate `lz4_flex`.
    Lz4Flex,
}

impl Compressor {
    /// All compressors, with their names.
    pub const NAMES: &'static [(&'static str, Compressor)] =
        &[("lz4", Compressor::Lz4), ("lz4_flex", Compressor::Lz4Flex)];

    /// The compressor of that name. `EINVAL`, with the names, if there is none.
    pub fn from_name(name: &str) -> Result<Compressor> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, compressor)| *compressor).ok_or_else(|| {
            let names = Self::NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            Error::new(Errno::EINVAL, format!("there is no compressor {name:?}: choose one of {names}"))
        })
    }
}

/// The content of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The block was never written, or was discarded: a read finds zeroes.
    Nothing,
    /// All words of the block are this one.
    Same(u64),
    /// An object of the pool with `len` bytes. A block that does not compress is stored whole.
    Stored { handle: u64, len: u32 },
}

/// The word of a block.
///
/// | bits | what |
/// |---|---|
/// | 0 | the block's lock |
/// | 1..=2 | 0 nothing, 1 same, 2 stored |
/// | 3..=15 | the bytes of the object |
const LOCK: u64 = 1;
const SAME: u64 = 1 << 1;
const STORED: u64 = 2 << 1;
const KIND: u64 = 3 << 1;
const LEN_SHIFT: u32 = 3;

/// Each block belongs to the thread that holds its lock.
const FREE: u64 = 0;
/// The device is being reset, or was reset.
const RESET: u64 = 1;
/// The device is the swap space, to which all blocks belong.
const LENT: u64 = 2;

/// A compressed block device (`zram`).
#[derive(Debug)]
pub struct Zram {
    pub(super) pool: Arc<ZsPool>,
    pub(super) compressor: Compressor,
    words: Table<AtomicU64>,
    /// The word of a same-filled block, or the handle of a stored one.
    values: Table<PlainU64>,
    /// [`FREE`], [`RESET`] or [`LENT`].
    claim: AtomicU64,
    pub(super) counts: Counts,
}

/// The counters of a device, in bytes, blocks or pages.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub stored: AtomicU64,
    pub same: AtomicU64,
    pub huge: AtomicU64,
    pub compressed: AtomicU64,
    /// The most pages that the pool has had.
    pub most_pages: AtomicU64,
    /// Pages that the pool may have; 0 for any number.
    pub limit: AtomicU64,
}

/// The counters of `mm_stat`, in its order and its units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MmStat {
    /// Bytes of the content.
    pub orig: u64,
    /// Bytes of the compressed content.
    pub compr: u64,
    /// Bytes of the pool's pages.
    pub used: u64,
    /// Bytes that the pool's pages may have; 0 for any number.
    pub limit: u64,
    /// The most bytes that the pool's pages had.
    pub used_max: u64,
    /// Same-filled blocks.
    pub same: u64,
    /// Pages that compactions of the pool have freed.
    pub compacted: u64,
    /// Blocks that did not compress.
    pub huge: u64,
}

impl Zram {
    pub(super) fn with_pool(pool: Arc<ZsPool>, blocks: u32, compressor: Compressor) -> Result<Zram> {
        if blocks == 0 || blocks > MAX_BLOCKS {
            let why = format!("a zram device has 1 to {MAX_BLOCKS} pages, not {blocks}");
            return Err(Error::new(Errno::EINVAL, why));
        }
        Ok(Zram {
            pool,
            compressor,
            words: Table::zeroed(blocks as usize)?,
            values: Table::zeroed(blocks as usize)?,
            claim: AtomicU64::new(FREE),
            counts: Counts::default(),
        })
    }

    /// The number of blocks.
    pub fn blocks(&self) -> u32 {
        self.words.len() as u32
    }

    /// The pool behind the device.
    pub fn pool(&self) -> &Arc<ZsPool> {
        &self.pool
    }

    /// Limits the pool to that many bytes, in whole pages (`mem_limit`); 0 for no limit.
    pub fn set_limit(&self, bytes: u64) {
        // Relaxed: a store that runs meanwhile may use the old limit.
        self.counts.limit.store(bytes.div_ceil(PAGE_SIZE as u64), Ordering::Relaxed);
    }

    /// The counters of `mm_stat`.
    pub fn mm_stat(&self) -> MmStat {
        // Relaxed: counts, which order nothing.
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let bytes = PAGE_SIZE as u64;
        let stats = self.pool.stats();
        MmStat {
            orig: read(&self.counts.stored) * bytes,
            compr: read(&self.counts.compressed),
            used: stats.pages * bytes,
            limit: read(&self.counts.limit) * bytes,
            used_max: read(&self.counts.most_pages) * bytes,
            same: read(&self.counts.same),
            compacted: stats.compacted,
            huge: read(&self.counts.huge),
        }
    }

    /// Fails for a block that the device does not have.
    pub(super) fn check(&self, block: u32) -> Result<()> {
        match block < self.blocks() {
            true => Ok(()),
            false => {
                let why = format!("the device has {} blocks, and no block {block}", self.blocks());
                Err(Error::new(Errno::EINVAL, why))
            }
        }
    }

    /// Fails with `EINVAL` for a device that was reset, or is being reset. The caller holds the lock of the
    /// block that it changes.
    pub(super) fn expect_in_use(&self) -> Result<()> {
        // Relaxed: a reset sets the claim before it takes the block's lock, which is held here.
        match self.claim.load(Ordering::Relaxed) {
            RESET => Err(was_reset()),
            _ => Ok(()),
        }
    }

    /// Fails with `busy` if the device is the swap space. The caller holds the lock of the block that it
    /// changes.
    pub(super) fn expect_not_lent(&self, busy: Errno) -> Result<()> {
        // Relaxed: swapon sets the claim before a page is written to the block under its lock, which is held
        // here.
        match self.claim.load(Ordering::Relaxed) {
            LENT => Err(Error::new(busy, "the device is the swap space: swapoff first")),
            _ => Ok(()),
        }
    }

    /// Makes the device the swap space. `EINVAL` for a device that was reset, or is being reset. The caller
    /// holds the lock of the swap space.
    pub(crate) fn lend(&self) -> Result<()> {
        // Relaxed: a write reads the claim under its block's lock, which the swap space takes afterwards, and
        // a reset reads it under the lock of the swap space, which is held here.
        let lent = self.claim.compare_exchange(FREE, LENT, Ordering::Relaxed, Ordering::Relaxed);
        lent.map(drop).map_err(|_| was_reset())
    }

    /// Ends the use as swap space. The caller holds the lock of the swap space.
    pub(crate) fn take_back(&self) {
        // Relaxed: as in `lend`.
        self.claim.store(FREE, Ordering::Relaxed);
    }

    /// Marks the device as being reset. Returns false if it was reset before; `EBUSY` if another
    /// thread is resetting it. The caller holds the lock of the swap space, which is not the device.
    pub(crate) fn mark_reset(&self) -> Result<bool> {
        // Relaxed: as in `lend`.
        match self.claim.swap(RESET, Ordering::Relaxed) {
            FREE => Ok(true),
            _ if self.pool.is_closed() => Ok(false),
            _ => Err(Error::new(Errno::EBUSY, "another thread is resetting the device")),
        }
    }

    /// Ends a reset that failed.
    pub(super) fn end_reset(&self) {
        // Relaxed: a write that still finds the claim fails, as if the reset had taken longer.
        self.claim.store(FREE, Ordering::Relaxed);
    }

    /// Locks a block (`zram_slot_lock`).
    pub(super) fn lock(&self, block: u32) -> BlockGuard<'_> {
        let word = &self.words[block as usize];
        loop {
            let seen = spin_until(word, |word| word & LOCK == 0);
            // Acquire pairs with the Release in `drop`.
            if word.compare_exchange(seen, seen | LOCK, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                acquired(LockClass::ZramBlock, std::ptr::from_ref(word).addr(), false);
                let value = self.values[block as usize].get();
                let content = match seen & KIND {
                    SAME => Content::Same(value),
                    STORED => Content::Stored { handle: value, len: (seen >> LEN_SHIFT) as u32 },
                    _ => Content::Nothing,
                };
                return BlockGuard { zram: self, block, content };
            }
        }
    }

    /// Names the device's own word at `address` for traces.
    pub fn field_at(&self, address: usize) -> Option<String> {
        let block = self.words.iter().position(|word| std::ptr::from_ref(word).addr() == address);
        let Counts { stored, same, huge, compressed, most_pages, limit } = &self.counts;
        let counts = [
            (stored, "stored blocks"),
            (same, "same-filled blocks"),
            (huge, "blocks that did not compress"),
            (compressed, "compressed bytes"),
            (most_pages, "most pages of the pool"),
            (limit, "limit of the pool's pages"),
        ];
        let count = counts.iter().find(|(word, _)| std::ptr::from_ref(*word).addr() == address);
        let block = block.map(|block| format!("block {block}"));
        if std::ptr::from_ref(&self.claim).addr() == address {
            return Some("whether the device was reset".into());
        }
        block.or_else(|| count.map(|(_, name)| (*name).to_owned())).or_else(|| self.pool.field_at(address))
    }
}

/// A locked block; dropping it releases the lock.
pub(super) struct BlockGuard<'a> {
    zram: &'a Zram,
    block: u32,
    pub content: Content,
}

impl BlockGuard<'_> {
    /// Replaces the content and returns the old one, for the caller to free.
    pub fn replace(&mut self, content: Content) -> Content {
        let old = std::mem::replace(&mut self.content, content);
        self.zram.count(old, -1);
        self.zram.count(content, 1);
        let value = match content {
            Content::Nothing => 0,
            Content::Same(value) | Content::Stored { handle: value, .. } => value,
        };
        self.zram.values[self.block as usize].set(value);
        old
    }
}

impl Drop for BlockGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let word = &self.zram.words[self.block as usize];
        released(LockClass::ZramBlock, std::ptr::from_ref(word).addr());
        let content = match self.content {
            Content::Nothing => 0,
            Content::Same(_) => SAME,
            Content::Stored { len, .. } => STORED | u64::from(len) << LEN_SHIFT,
        };
        // Release pairs with the Acquire in `lock`.
        word.store(content, Ordering::Release);
    }
}

fn was_reset() -> Error {
    Error::new(Errno::EINVAL, "the device was reset, or is being reset: make another one")
}

impl Zram {
    fn count(&self, content: Content, sign: i64) {
        // Relaxed: counts, which order nothing.
        let add = |count: &AtomicU64, n: u64| {
            count.fetch_add(n.wrapping_mul(sign as u64), Ordering::Relaxed);
        };
        match content {
            Content::Nothing => return,
            Content::Same(_) => add(&self.counts.same, 1),
            Content::Stored { len, .. } => {
                add(&self.counts.compressed, u64::from(len));
                if len as usize == BLOCK {
                    add(&self.counts.huge, 1);
                }
            }
        }
        add(&self.counts.stored, 1);
    }
}
