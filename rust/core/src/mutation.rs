//! The table of mutations: real defects that the explored build can put back at the place where the
//! kernel, or a rejected design, had them. A row holds the defect, its name and its origin.
//! [`mutated`](crate::sync::mutated) tells whether a defect is in force.

macro_rules! mutations {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $origin:literal;)*) => {
        /// One defect.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Mutation { $($(#[doc = $doc])* $variant,)* }

        impl Mutation {
            /// All of them.
            pub const ALL: &'static [Mutation] = &[$(Mutation::$variant,)*];

            /// The name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Mutation::$variant => $name,)* }
            }

            /// The origin of the defect: a kernel commit, with its number in `docs/kernel-bugs.md`; or a
            /// release design; or else the part of the core that has it.
            pub const fn origin(self) -> &'static str {
                match self { $(Mutation::$variant => $origin,)* }
            }

            /// The defect, in one sentence.
            pub const fn defect(self) -> &'static str {
                match self { $(Mutation::$variant => concat!($($doc,)*).trim_ascii(),)* }
            }

            /// The mutation of that name.
            pub fn from_name(name: &str) -> Option<Mutation> {
                Mutation::ALL.iter().copied().find(|mutation| mutation.name() == name)
            }
        }
    };
}

mutations! {
    /// The put of `hook` reads the movable mark before the drop, without the lock that keeps the
    /// mark from changing in between.
    HookWithoutLock = "hook-without-lock", "release design `hook`";
    /// A migrated movable page is subtracted from `nr_isolated_*`, to which it was never added.
    MovableInIsolated = "movable-in-nr-isolated", "6afcf8ef0ca0, bug 7";
    /// A demoted page is subtracted from `nr_isolated_*` by the migration and by reclaim.
    DemotionCountedTwice = "demotion-counted-twice", "35e41024c4c2, bug 9";
    /// Putback asks whether a movable page *can be* isolated instead of whether it *was*, and puts it
    /// on the LRU.
    MovablePutOnLru = "movable-put-on-lru", "117aad1e9e4d, bug 11";
    /// The mark of an isolation is cleared by a load and a store, although others change the same
    /// word.
    IsolatedClearedPlainly = "isolated-cleared-plainly", "356ea3865687";
    /// The free path leaves the mark of a movable page, so that the next page in its frame looks
    /// movable.
    MarkOutlivesPage = "mark-outlives-page", "8b8817630ae8 (its idea), bug 13";
    /// The managed pages are not moved to another node with a page of the balloon.
    BalloonNodeNotMoved = "balloon-node-not-moved", "63341ab03706, bug 51";
    /// Inflating the balloon allocates under the lock that deflating it on out-of-memory takes.
    BalloonAllocatesLocked = "balloon-allocates-locked", "c7cdff0e8647";
    /// The balloon leaves an isolated page on its list, so that deflating takes the page too.
    BalloonKeepsIsolated = "balloon-keeps-isolated", "d6d86c0a7f8d";
    /// A lookup in the page cache takes a reference and does not read the slot again.
    CacheNotRechecked = "cache-not-rechecked", "lifecycle 3.2, `filemap_get_folio`";
    /// An unmap marks a file's page dirty for its dirty entry before the flush instead of after it.
    DirtyBeforeFlush = "dirty-before-flush", "5df397dec7c4";
    /// The lock bit is cleared by a load and a store, although others change the same word.
    LockClearedPlainly = "lock-cleared-plainly", "a978d6f52106, bug 15";
    /// An unlock does not wake the sleepers of the page lock.
    UnlockWithoutWaking = "unlock-without-waking", "page lock";
    /// A sleeper on the page lock does not check the lock again once it is queued.
    SleepWithoutLook = "sleep-without-look", "afe8605ca454 (its idea), bug 55";
    /// The merged unlock-and-put of `packed` does not check for sleepers.
    PackedIgnoresWaiters = "packed-ignores-waiters", "release design `packed`";
    /// A reference is taken in two steps: a load that checks for zero, then an add.
    TryGetInTwoSteps = "try-get-in-two-steps", "page count";
    /// A put loads the count again to find out whether its drop was the last.
    LastPutByLook = "last-put-by-look", "page count";
    /// A freeze compares the count first and stores zero in a second step.
    FreezeInTwoSteps = "freeze-in-two-steps", "page count";
    /// A walker takes its reference without checking whether the page is free.
    WalkerGetsFreePage = "walker-gets-free-page", "pfn walker";
    /// The owner of a movable page takes its put for the last one and frees the page.
    OwnerAssumesLastPut = "owner-assumes-last-put", "25182f05ffed, bug 45";
    /// The owner releases its lock between the check that the page can be replaced and its
    /// replacement.
    LookAndSwitchApart = "look-and-switch-apart", "ebdf4de5642f, bug 35";
    /// A batch takes no reference on the pages that wait in it.
    BatchWithoutReference = "batch-without-reference", "LRU batches";
    /// A drain drops the batch's references before the pages are on their lists.
    DrainPutsFirst = "drain-puts-first", "LRU batches";
    /// A drain drops the batch's references under the lruvec lock.
    PutUnderLruvecLock = "put-under-lruvec-lock", "LRU batches";
    /// A drain of all CPUs is counted after its last batch instead of before its first, so that
    /// another caller skips its own drain although this one has passed the caller's batch already.
    DrainCountedLate = "drain-counted-late", "6446a5131e24, bug 17";
    /// A lasting pin takes the flag `LRU` for a sign that no batch holds the page, and does not drain.
    LruDecidesDrain = "lru-decides-drain", "98c6d259319e, bug 19";
    /// A flush decides whether a CPU has free frames by their number from before it took the lock.
    PcpCountUnlocked = "pcp-count-unlocked", "66eca1021a42, bug 25";
    /// An isolator does not check whether it was the one that cleared the `LRU` flag.
    ClaimNotChecked = "claim-not-checked", "isolation";
    /// A scan of a list claims a page before it has a reference to it.
    ScanClaimsFirst = "scan-claims-first", "reclaim";
    /// Reclaim drops the isolation's reference before the page is on its list again.
    PutbackDropsFirst = "putback-drops-first", "reclaim";
    /// The isolation of a page takes no reference.
    IsolationWithoutReference = "isolation-without-reference", "isolation";
    /// A page that is put back is subtracted from `nr_isolated_*` only after its reference was
    /// dropped, when it may be freed already.
    IsolatedCountedLate = "isolated-counted-late", "isolation";
    /// Of a list that failed to migrate only the first page is put back.
    FirstPutBackOnly = "first-put-back-only", "6e49019db5f7, bug 31";
    /// Compaction compares the count of a large page with the mappings of its first part alone, and takes
    /// the page for a pinned one.
    PinnedByPartMapcount = "pinned-by-part-mapcount", "829ae0f81ce0, bug 29";
    /// A compaction looks for the block in its slot before it takes the slot away, in two steps.
    CaptureReadEarly = "capture-read-early", "b9e20f0da1f5, bug 27";
    /// A new page is queued for the LRU before the flags that choose its list are set.
    FlagsAfterLruAdd = "flags-after-lru-add", "page fault";
    /// The bytes are copied before the flush: users still write to the old page.
    CopyBeforeFlush = "copy-before-flush", "migration";
    /// The new page is mapped before the bytes are copied to it.
    CopyAfterRestore = "copy-after-restore", "migration";
    /// A migration does not compare the page's count with what it expects.
    CountNotCompared = "count-not-compared", "migration";
    /// A migration that gives up leaves its migration entries behind.
    UndoForgetsMappings = "undo-forgets-mappings", "migration";
    /// Unmapped pages are put before the flush.
    UnmapWithoutFlush = "unmap-without-flush", "munmap";
    /// Pages are unmapped while faults go on.
    UnmapWithoutFaultLock = "unmap-without-fault-lock", "munmap";
    /// Fork leaves the parent's entries writable.
    ForkKeepsWritable = "fork-keeps-writable", "fork";
    /// Fork leaves a migration entry writable, in parent and child.
    ForkKeepsMigrationWritable = "fork-keeps-migration-writable", "fork";
    /// Fork does not flush after it has taken the permission to write.
    ForkWithoutFlush = "fork-without-flush", "fork";
    /// Fork shares a pinned page instead of copying it.
    ForkSharesPinned = "fork-shares-pinned", "fork";
    /// Fork copies a swap entry without counting it.
    ForkForgetsSwapCount = "fork-forgets-swap-count", "fork";
    /// A page that comes back from swap alone is read without a mark on its slot.
    SwapinUnmarked = "swapin-unmarked", "13ddaf26be32";
    /// A page is written to swap before the flush: users still write to it.
    SwapoutBeforeFlush = "swapout-before-flush", "reclaim";
    /// A write reuses a shared page instead of copying it, without checking the count.
    ReuseNotChecked = "reuse-not-checked", "copy on write";
    /// A soft offline whose migration failed for good poisons the page all the same.
    PoisonOnFailure = "poison-on-failure", "d7e69488bd04, bug 1";
    /// A page is poisoned after its last put instead of before it.
    PoisonAfterPut = "poison-after-put", "d4ae9916ea29, bug 3";
    /// The free path ignores the poison flag: the frame goes back to the free lists.
    PoisonedPageFreed = "poisoned-page-freed", "79f5f8fab482, bug 49";
    /// The free path takes the poison flag for one that must not be set.
    PoisonCheckedAtFree = "poison-checked-at-free", "f4c18e6f7b5b, bug 5";
    /// Poisoning is not serialised, and a thread that finds a page poisoned assumes that the
    /// failure has been handled.
    PoisonWithoutMutex = "poison-without-mutex", "171936ddaf97, bug 41";
    /// A frame that could not be taken off the free lists is held as if it had been.
    TakeOffNotChecked = "take-off-not-checked", "8cf360b9d6a8, bug 43";
    /// One poisoned frame makes the allocator drop the whole block that it was going to hand out.
    PoisonDropsBlock = "poison-drops-block", "the discussion of c6c919eb90e0, bug 53";
    /// A split hands a tail out before it clears the tail's link to the head.
    TailBeforeLink = "tail-before-link", "605ca5ede764, bug 21";
    /// After a split the reference of memory failure stays on the head, and is not moved to the bad part.
    PinStaysOnHead = "pin-stays-on-head", "a3e0f9e47d5e, bug 47";
    /// A split does not freeze the page: it gives each part one reference, even if another thread
    /// holds one.
    SplitWithoutFreeze = "split-without-freeze", "split";
    /// A split does not restore the mappings of its parts, and leaves migration entries behind.
    SplitForgetsMappings = "split-forgets-mappings", "split";
    /// The undo of a contiguous allocation gives only the first of its pageblocks back.
    UndoForgetsPageblock = "undo-forgets-pageblock", "contiguous ranges";
    /// An offlining does not test whether all frames of its block are free.
    OfflineWithoutTest = "offline-without-test", "offlining";
    /// An offlining that is refused leaves the LRU batches switched off.
    OfflineKeepsBatchesOff = "offline-keeps-batches-off", "offlining";
    /// The old page of a copy on write is put before the flush.
    CopyOnWriteWithoutFlush = "copy-on-write-without-flush", "copy on write";
    /// A migration that empties the last isolated page of a zspage without an object does not have
    /// the zspage freed.
    EmptyZspageForgotten = "empty-zspage-forgotten", "1a87aa03597e, bug 37";
    /// A thread that frees a zspage locks its pages by the links that it has read before it waits.
    ChainLockedByOldLinks = "chain-locked-by-old-links", "2505a981114d, bug 39";
    /// A migration of a zspage's page that finds an object in use keeps the objects pinned that it has
    /// pinned.
    MigrationKeepsPins = "migration-keeps-pins", "zsmalloc";
    /// `nr_zspages` does not move to another node with a page of a zspage.
    ZspageNodeNotMoved = "zspage-node-not-moved", "counters of zsmalloc";
    /// A putback decides whether to wake the thread that closes the pool before it counts down.
    ClosingReadEarly = "closing-read-early", "afe8605ca454, bug 55";
    /// An activation counts a large page as one.
    ActivationCountsOne = "activation-counts-one", "counters of LRU lists";
    /// A fault counts itself again each time it reads its entry anew.
    FaultCountedOnRetry = "fault-counted-on-retry", "counters of page faults";
    /// A page that fails to migrate without waiting is counted as failed, and again when the attempt that
    /// waits fails.
    FailuresCountedTwice = "failures-counted-twice", "counters of migration";
    /// An allocation that another node serves is counted as a miss of the node that it asked.
    MissOnAskedNode = "miss-on-asked-node", "counters of allocation";
    /// A page that is mlocked again counts as moved to the unevictable list, where it is already.
    CulledAgain = "culled-again", "counters of mlock";
    /// A fault that finds its page in the swap cache counts a read from swap.
    CachedSwapinCounted = "cached-swapin-counted", "counters of swap";
    /// A fault that finds its page in the swap cache counts as one that had to wait for the swap space.
    CachedFaultIsMajor = "cached-fault-is-major", "counters of page faults";
    /// A store that gets the permission to write to a page of a shared mapping does not count as a reuse.
    SharedReuseUncounted = "shared-reuse-uncounted", "counters of page faults";
    /// A page of a file that could not be dropped counts as deactivated, although it was inactive.
    InactiveDeactivated = "inactive-deactivated", "counters of LRU lists";
    /// Pages that the daemon has freed count as freed by a thread that needs frames.
    DaemonStealsDirectly = "daemon-steals-directly", "counters of reclaim";
    /// A page that is active already goes to the head of its list when it is activated again.
    ActivatedTwice = "activated-twice", "LRU lists";
    /// A page whose write-back has ended goes to the head of the inactive list instead of to its tail.
    RotatedToHead = "rotated-to-head", "LRU lists";
    /// Reclaim takes the first pages of a list instead of the last ones.
    ScanFromHead = "scan-from-head", "LRU lists";
    /// A drain takes the newest page of a batch first.
    BatchDrainedBackwards = "batch-drained-backwards", "LRU batches";
    /// A drain of another CPU drains the batches of the calling thread's CPU.
    DrainOfOwnCpu = "drain-of-own-cpu", "LRU batches";
    /// An attempt to take the page lock fails if any bit of the page word changes meanwhile.
    TrylockGivesUp = "trylock-gives-up", "page lock";
    /// An attempt to take a reference fails if any bit of the page word changes meanwhile.
    TryGetGivesUp = "try-get-gives-up", "page count";
    /// move_pages gives a page that did not move the status of one that did.
    FailedMoveClaimed = "failed-move-claimed", "move_pages";
    /// move_pages without nodes does not wait for the lock of an entry, and takes one that is being
    /// changed for an empty one.
    QueryIgnoresLock = "query-ignores-lock", "move_pages";
    /// mlock forgets that a page could not be faulted in.
    MlockForgetsFault = "mlock-forgets-fault", "mlock";
    /// A soft offline of a free frame does not notice that the frame was allocated meanwhile.
    OfflineBelievesFree = "offline-believes-free", "memory failure";
    /// sync skips a page whose lock is taken.
    SyncSkipsLocked = "sync-skips-locked", "write-back";
    /// sync skips a page that another thread writes, instead of waiting for the end of the write.
    SyncDoesNotWait = "sync-does-not-wait", "write-back";
    /// The free path leaves the number of accesses of a page in its word.
    AccessesOutlivePage = "accesses-outlive-page", "free path";
    /// A page that leaves its file keeps the file's number.
    OwnerOutlivesFile = "owner-outlives-file", "page cache";
    /// A page of a file can be found in its slot before it names the file.
    CacheSlotFirst = "cache-slot-first", "page cache";
    /// A migration puts the new page into the slot of its cache before the page names its place there.
    ReplacementSlotFirst = "replacement-slot-first", "migration";
    /// A migration of a large page in the swap cache replaces the page in its first slot only.
    FirstSlotReplaced = "first-slot-replaced", "fc346d0a70a1, bug 33";
    /// A split does not give the parts the marks of use that the page has.
    SplitForgetsUse = "split-forgets-use", "split";
    /// The parts of a large page that is split in the swap cache do not name their slots.
    SplitForgetsSlots = "split-forgets-slots", "71e2d666ef85";
    /// A page can be found in the swap cache before it names its slot.
    SwapSlotFirst = "swap-slot-first", "swap cache";
    /// A fault fills the entry before the new page names its owner.
    EntryFirst = "entry-first", "page fault";
    /// Fork fills the entry of the child before it counts the mapping.
    ForkEntryFirst = "fork-entry-first", "fork";
    /// The head of a large page gets its reference before its order.
    ReferenceBeforeOrder = "reference-before-order", "large pages";
    /// A split gives the head its reference back before the head is a base page.
    ThawBeforeSplit = "thaw-before-split", "split";
    /// A migration marks the new page as anonymous before the page names its owner.
    AnonBeforeOwner = "anon-before-owner", "migration";
    /// An access does not order the beginning of its section before its look at the entry.
    EnterWithoutFence = "enter-without-fence", "TLB";
    /// A page that leaves the swap cache keeps the number of its slot.
    SlotOutlivesCache = "slot-outlives-cache", "b653db77350c (its idea)";
    /// An offlining that waited for another one of the same block claims to have done its work.
    OfflineClaimsAnothers = "offline-claims-anothers", "offlining";
    /// The deflation of a balloon counts its pages before it takes them, and claims those that another
    /// thread took in between.
    DeflateCountsEarly = "deflate-counts-early", "balloon";
    /// A lookup of a movable page does not wait for its owner's lock, and takes a page whose owner is busy
    /// for one that is gone.
    LookupGivesUp = "lookup-gives-up", "movable pages";
    /// A truncation reads the length of the file before it waits for another one, and makes the file longer
    /// again.
    TruncationRegrows = "truncation-regrows", "truncation";
    /// A truncation does not unmap a page that a fault has mapped after all pages were unmapped.
    TruncationLeavesMapping = "truncation-leaves-mapping", "22061a1ffabd (its idea)";
    /// A migration makes each entry that it restores writable, also those of pages that several processes
    /// share.
    RestoreWritable = "restore-writable", "migration";
    /// `MADV_FREE` clears the dirty bit of an entry without a flush.
    LazyfreeWithoutFlush = "lazyfree-without-flush", "56236a59556c (its idea)";
    /// Memory failure takes the entries of a page away without a flush.
    PoisonUnmapWithoutFlush = "poison-unmap-without-flush", "memory failure";
    /// A hard failure does not wait until the device has written the page.
    FailureIgnoresWriteback = "failure-ignores-writeback", "memory failure";
    /// Reclaim drops a lazily freed page although its entry shows a new store.
    LazyfreeIgnoresEntry = "lazyfree-ignores-entry", "6c8e2a256915 (its idea)";
    /// A fault maps the page that it has read from swap, although its entry names another slot by then.
    SwapinOfAnotherSlot = "swapin-of-another-slot", "swap";
    /// A fault that waits for a migration has a reference to the page that moves, and the migration fails.
    WaiterKeepsReference = "waiter-keeps-reference", "9a1ea439b16b, bug 57";
    /// A sync lets go of its page before it waits for the page's lock, and gets the lock of the next page in
    /// the frame.
    LockWithoutReference = "lock-without-reference", "page lock";
    /// A fault whose page another thread reads from swap tries again and again instead of waiting.
    SwapinSpins = "swapin-spins", "029c4628b2eb, bug 61";
    /// An offlining tries a page that cannot move for ever.
    OfflineNeverEnds = "offline-never-ends", "offlining";
    /// A soft offline keeps its reference to the page while the page is to move.
    OfflineKeepsReference = "offline-keeps-reference", "memory failure";
    /// A fault that tries again, because another thread has filled the slot of the swap cache meanwhile,
    /// forgets the page that it has allocated.
    RetryLosesPage = "retry-loses-page", "swap";
    /// A page whose write to swap has failed stays clean, so that reclaim drops it.
    FailedSwapoutCleans = "failed-swapout-cleans", "`end_swap_bio_write`";
    /// A write to a disk that fails is told by no sync.
    LostWriteUntold = "lost-write-untold", "b4678df184b3 (its idea)";
    /// A sync takes the note of lost data in two steps, so that two of them tell one loss.
    LossToldTwice = "loss-told-twice", "`file_check_and_advance_wb_err`";
    /// A copy on write that fails does not give its new page back.
    FailedCopyKeepsPage = "failed-copy-keeps-page", "copy on write";
    /// A page that could not be read from its disk stays in the page cache.
    FailedReadStaysCached = "failed-read-stays-cached", "page cache";
    /// A read from swap past the cache that fails leaves its mark on the slot.
    FailedSwapinKeepsMark = "failed-swapin-keeps-mark", "13ddaf26be32 (its idea)";
    /// An object of zsmalloc for which there is no zspage does not give its handle back.
    FailedStoreKeepsHandle = "failed-store-keeps-handle", "zsmalloc";
    /// A fork that fails on its way does not end the child.
    FailedForkKeepsChild = "failed-fork-keeps-child", "fork";
    /// A migration that finds no memory for a page forgets the pages behind it.
    UntriedPagesForgotten = "untried-pages-forgotten", "migration";
    /// A migration whose copy fails for good leaves its page locked and its migration entries behind.
    FailedCopyNotUndone = "failed-copy-not-undone", "migration";
}
