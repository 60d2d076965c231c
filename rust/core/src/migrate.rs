//! Migration: isolate, unmap, commit, copy, remap, release (lifecycle 6).

/// How much a migration may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Never.
    Async,
    /// On page locks, not on writeback.
    SyncLight,
    /// On everything.
    Sync,
}
