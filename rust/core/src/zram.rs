//! zram: a block device whose blocks are compressed and kept in a pool of
//! [`zsmalloc`](crate::zsmalloc), on frames of the machine itself.
//!
//! A block is a page. A page whose words are all the same takes nothing but its word. Another page is
//! compressed; if that saves nothing (`Classes::huge_size`), it is stored as it is. The new content
//! is stored before the old one is freed, so a store that fails leaves the block as it was.
//!
//! The lock of a block is a bit of its word. A thread holds the lock while it uses the object of
//! the block, so no other thread frees the object meanwhile. The lock is taken before every lock of
//! the pool.

pub(crate) mod device;
#[cfg(not(any(feature = "explored", loom)))]
mod lz4;
mod store;

pub use device::{BLOCK, BLOCK_WORDS, Compressor, MAX_BLOCKS, MmStat, Zram};
pub use store::Words;
