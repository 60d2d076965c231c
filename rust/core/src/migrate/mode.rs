//! Modes and reasons of migrations, which callers, records and owners of movable pages share.

/// The events for which a migration may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The migration never waits.
    Async,
    /// The migration waits for page locks, but not for writeback.
    SyncLight,
    /// The migration waits for page locks and for writeback.
    Sync,
}

impl Mode {
    /// The names that programs and reports use.
    pub const NAMES: &'static [(&'static str, Mode)] =
        &[("async", Mode::Async), ("sync_light", Mode::SyncLight), ("sync", Mode::Sync)];
}

/// The reason of a migration, under the names of the kernel's tracepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Compaction makes large free blocks.
    Compaction,
    /// Soft offline. The migration leaves the source's last reference to the caller.
    MemoryFailure,
    /// A block of memory is taken offline.
    MemoryHotplug,
    /// `move_pages` and `migrate_pages`.
    Syscall,
    /// `mbind`.
    MempolicyMbind,
    /// Promotion of a page to the node of its users.
    NumaMisplaced,
    /// A range of frames is cleared for a contiguous allocation.
    ContigRange,
    /// A page moves to another zone before it is pinned for a long time.
    LongtermPin,
    /// Reclaim moves the page to a slower node.
    Demotion,
}

impl Reason {
    /// The names, in the kernel's order.
    pub const NAMES: &'static [(&'static str, Reason)] = &[
        ("compaction", Reason::Compaction),
        ("memory_failure", Reason::MemoryFailure),
        ("memory_hotplug", Reason::MemoryHotplug),
        ("syscall", Reason::Syscall),
        ("mempolicy_mbind", Reason::MempolicyMbind),
        ("numa_misplaced", Reason::NumaMisplaced),
        ("contig_range", Reason::ContigRange),
        ("longterm_pin", Reason::LongtermPin),
        ("demotion", Reason::Demotion),
    ];
}
