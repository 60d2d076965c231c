//! The steps that are recorded, and the record of each.

use crate::migrate::mode::{Mode, Reason};
use crate::page::{Pfn, Word};

/// A step of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The batches are switched off and drained.
    LruCacheDisable,
    /// All CPUs' batches are drained.
    LruAddDrainAll,
    /// A page is taken off its list, for `move_pages` or memory failure.
    IsolateLru,
    /// A page is taken off its list by a walk over a range (`mbind`, `migrate_pages`,
    /// `MADV_PAGEOUT`).
    IsolateLruInWalk,
    /// An isolated page goes back to its list.
    PutbackLru,
    /// The pages that a migration left on its list are given back.
    PutbackMovablePages,
    /// A movable page outside the LRU is taken from its owner.
    IsolateMovable,
    /// A page of the balloon is taken off its list.
    BalloonIsolate,
    /// A page of the balloon is replaced by another one.
    BalloonMigrate,
    /// The host learns of a page that was replaced, in `BalloonMigrate`. Only the return is
    /// recorded.
    VirtballoonMigrate,
    /// A page of the balloon goes back to its list.
    BalloonPutback,
    /// A page of zsmalloc is taken from its zspage.
    ZsIsolate,
    /// A page of zsmalloc is replaced by another one.
    ZsMigrate,
    /// A page of zsmalloc goes back to its zspage.
    ZsPutback,
    /// A list is migrated.
    MigratePages,
    /// A batch is migrated, first without waiting, then page by page.
    MigratePagesSync,
    /// A batch is migrated.
    MigratePagesBatch {
        /// 0 asynchronous, 1 light, 2 synchronous.
        mode: u8,
        /// Attempts at pages that may be retried.
        passes: u8,
    },
    /// A page's mappings become migration entries.
    TryToMigrate,
    /// A page's mappings are taken away.
    TryToUnmap,
    /// The second half of a batched migration, for one page.
    MigrateFolioMove,
    /// Content and identity go to the new page.
    MoveToNew,
    /// The bytes are copied.
    Copy,
    /// The mapping is switched if the count is as expected.
    MigrateMapping {
        /// The expected number of references.
        expected: u32,
        /// Further references that the caller knows of.
        extra: u32,
    },
    /// A page that does not move gets its mappings back.
    MigrateUndoSrc {
        /// The page was mapped.
        was_mapped: bool,
        /// The page's lock is held.
        locked: bool,
    },
    /// The source page of a successful migration is released.
    MigrateDone,
    /// A large page becomes base pages.
    SplitFolio,
    /// After the split of a large page, the entries of one part map the part again.
    RemoveMigrationPtes,
    /// All batches are drained, because a page that memory failure cannot handle may be in one
    /// (`shake_page`).
    ShakePage,
    /// As `ShakePage`, in a step of hard memory failure.
    ShakeFolio,
    /// A reference is taken for memory failure: returns 1 if it was taken, 0 if the page is free,
    /// or an errno. Only the return is recorded, as for `SoftOfflinePage`, `MemoryFailure` and
    /// `UnpoisonMemory`.
    GetHwpoisonPage,
    /// As `GetHwpoisonPage`, for unpoisoning.
    GetUnpoisonPage,
    /// A clean page without users is dropped from the page cache.
    EvictFolio,
    /// A page whose content is safe is poisoned for good.
    PageHandlePoison {
        /// The page is free and is taken off the allocator's lists.
        free: bool,
        /// The caller's reference is put.
        release: bool,
    },
    /// A free frame is taken out of the allocator.
    TakePageOffBuddy,
    /// Every mapping of a poisoned page is taken away.
    UnmapPoisoned,
    /// As `UnmapPoisoned`, with the processes signalled: returns 1 if nothing maps the page any
    /// more.
    HwpoisonUserMappings,
    /// A soft offline has ended.
    SoftOfflinePage,
    /// A hard memory failure has ended.
    MemoryFailure,
    /// An unpoisoning has ended.
    UnpoisonMemory,
    /// The last reference of a page is dropped.
    PutFinal,
    /// References on several pages are put together. The kernel frees the pages whose last
    /// reference was put, and records no `PutFinal` for them.
    ReleasePages,
    /// Tracepoint `mm_page_alloc`.
    MmPageAlloc,
    /// Tracepoint `mm_page_free`.
    MmPageFree,
    /// Tracepoint `mm_lru_insertion`: a page has come out of the add batch onto a list.
    MmLruInsertion,
    /// Tracepoint `mm_lru_activate`.
    MmLruActivate,
    /// Tracepoint `mm_migrate_pages`.
    MmMigratePages {
        /// Pages that moved.
        succeeded: u32,
        /// Pages that did not move.
        failed: u32,
        /// The events for which the migration may wait.
        mode: Mode,
        /// The reason of the migration.
        reason: Reason,
    },
}

/// A page as a call found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The frame.
    pub pfn: Pfn,
    /// The number of references.
    pub count: u32,
    /// The number of mappings.
    pub mapcount: u32,
    /// The page's word, which holds the flags and, again, the number of references.
    pub word: Word,
    /// The page's order.
    pub order: u8,
}

/// A record of the entry into a call, of a return from a call, or of a tracepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The step.
    pub call: Call,
    /// The page that the step handles, on entry.
    pub page: Option<Found>,
    /// The destination page, on entry.
    pub dst: Option<Pfn>,
    /// The return value; `None` on entry.
    pub ret: Option<i32>,
    /// The slot of the calling thread.
    pub thread: usize,
    /// The CPU of the calling thread.
    pub cpu: usize,
    /// The time, by [`nanoseconds`](crate::sync::nanoseconds).
    pub when: u64,
}
