//! The sizes of pages and blocks.

/// Bytes of a base page.
pub const PAGE_SIZE: usize = 4096;

/// The order of a transparent huge page (THP), as the kernel's counters count them.
pub const HUGE_ORDER: u8 = 9;

/// The largest order of the buddy allocator: blocks of 2^10 pages.
pub const MAX_ORDER: u8 = 10;

/// The number of eight-byte words in a frame: 512 in machines of native threads, two under the
/// explorer and loom. Two are enough to show a torn copy.
pub const WORDS: usize = if cfg!(any(feature = "explored", loom)) { 2 } else { PAGE_SIZE / 8 };
