//! The status of a run of compaction, its moves and its scans.

use crate::page::Pfn;

/// The status with which a run ends (`enum compact_result`), in the kernel's order: of several zones the
/// highest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CompactStatus {
    /// The run was not worth a start: too little memory is free, or, for a large block, the free memory is
    /// little fragmented.
    Skipped,
    /// Recent runs failed, so this one was left out.
    Deferred,
    /// The whole node was scanned.
    Complete,
    /// The scanners met, but they had begun within the node.
    PartialSkipped,
    /// The run stopped early: a signal came, too many pages were isolated, or no target was left.
    Contended,
    /// A block of the wanted size is free, or a proactive run has lowered the fragmentation score.
    Success,
}

impl CompactStatus {
    /// The names that results and traces use.
    pub const NAMES: &'static [(&'static str, CompactStatus)] = &[
        ("skipped", CompactStatus::Skipped),
        ("deferred", CompactStatus::Deferred),
        ("complete", CompactStatus::Complete),
        ("partial_skipped", CompactStatus::PartialSkipped),
        ("contended", CompactStatus::Contended),
        ("success", CompactStatus::Success),
    ];

    /// The status's name.
    pub fn name(self) -> &'static str {
        CompactStatus::NAMES[self as usize].0
    }
}

/// A scan or a migration of a run, as the kernel's tracepoints `mm_compaction_*` tell it. Frames are
/// numbers within the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompactEvent {
    /// The migrate scanner has looked at a range.
    IsolateMigratepages {
        /// The first frame.
        start: u32,
        /// The frame after the last one.
        end: u32,
        /// Frames that count as scanned.
        scanned: u32,
        /// Pages that were isolated.
        taken: u32,
    },
    /// The free scanner has looked at a range.
    IsolateFreepages {
        /// The first frame.
        start: u32,
        /// The frame after the last one.
        end: u32,
        /// Frames that count as scanned.
        scanned: u32,
        /// Free frames that were taken.
        taken: u32,
    },
    /// A batch has been migrated.
    Migratepages {
        /// Pages that moved.
        migrated: u32,
        /// Pages that did not move.
        failed: u32,
    },
}

impl Compacted {
    /// The result of a run that was left out.
    pub(super) fn not_run(status: CompactStatus) -> Compacted {
        Compacted {
            status,
            migrated: 0,
            migrate_scanned: 0,
            free_scanned: 0,
            isolated: 0,
            blocks_gained: 0,
            moves: Vec::new(),
            events: Vec::new(),
        }
    }
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The status with which the run ended.
    pub status: CompactStatus,
    /// Pages that moved.
    pub migrated: u32,
    /// Frames at which the migrate scanner looked (`compact_migrate_scanned`).
    pub migrate_scanned: u64,
    /// Frames at which the free scanner looked (`compact_free_scanned`).
    pub free_scanned: u64,
    /// Pages and free frames that the scanners took (`compact_isolated`).
    pub isolated: u64,
    /// Pageblocks that are wholly free after the run, less those that were before it.
    pub blocks_gained: i64,
    /// Each page that moved, with its source and its target, in order; if asked for.
    pub moves: Vec<(Pfn, Pfn)>,
    /// The scans and batches, in order; if asked for.
    pub events: Vec<CompactEvent>,
}
