//! Mutations: real defects, put back at the place where the kernel (or a rejected design) had them.
//!
//! They exist only in the explored crate: everywhere else [`mutated`] is the constant `false` and
//! the defect is not in the machine code. In the explored crate the mutation in force belongs to the OS
//! thread that explores, so that searches of different mutations can run side by side.

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

            /// Where the defect was: a kernel commit, with its number in `docs/kernel-bugs.md`; or a design, or a room.
            pub const fn origin(self) -> &'static str {
                match self { $(Mutation::$variant => $origin,)* }
            }

            /// What is wrong, in one sentence.
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
    /// The put of `hook` looks for a movable page before the drop, without the lock that keeps the look stable.
    HookWithoutLock = "hook-without-lock", "release design `hook`";
    /// A migrated movable page is subtracted from `nr_isolated_*`, to which it was never added.
    MovableInIsolated = "movable-in-nr-isolated", "6afcf8ef0ca0, bug 7";
    /// A demoted page is subtracted from `nr_isolated_*` by the migration and by reclaim.
    DemotionCountedTwice = "demotion-counted-twice", "35e41024c4c2, bug 9";
    /// Putback asks whether a movable page *can be* isolated instead of whether it *was*, and puts it on the LRU.
    MovablePutOnLru = "movable-put-on-lru", "117aad1e9e4d, bug 11";
    /// A look into the page cache trusts its reference without a second look at the slot.
    CacheNotRechecked = "cache-not-rechecked", "lifecycle 3.2, `filemap_get_folio`";
    /// An unmap tells a file's page of its dirty entry before the flush instead of after it.
    DirtyBeforeFlush = "dirty-before-flush", "5df397dec7c4";
    /// The lock bit is cleared by a load and a store, although others change the same word.
    LockClearedPlainly = "lock-cleared-plainly", "a978d6f52106, bug 15";
    /// The page lock is given back without a look for sleepers.
    UnlockWithoutWaking = "unlock-without-waking", "page lock";
    /// A sleeper on the page lock does not look at it again once it is queued.
    SleepWithoutLook = "sleep-without-look", "afe8605ca454 (its idea), bug 55";
    /// The merged unlock-and-put of `packed` does not look for sleepers.
    PackedIgnoresWaiters = "packed-ignores-waiters", "release design `packed`";
    /// A reference is taken in two steps: is the count zero? then one more.
    TryGetInTwoSteps = "try-get-in-two-steps", "page count";
    /// Whether a drop was the last is judged by a second look at the count.
    LastPutByLook = "last-put-by-look", "page count";
    /// A freeze compares first and stores then.
    FreezeInTwoSteps = "freeze-in-two-steps", "page count";
    /// A walker takes its reference without asking whether the page is free.
    WalkerGetsFreePage = "walker-gets-free-page", "pfn walker";
    /// The owner of a movable page takes its put for the last one and frees the page.
    OwnerAssumesLastPut = "owner-assumes-last-put", "25182f05ffed, bug 45";
    /// The owner's lock is let go between the look that nobody uses the page and its replacement.
    LookAndSwitchApart = "look-and-switch-apart", "ebdf4de5642f, bug 35";
    /// A queued page has no reference of its batch.
    BatchWithoutReference = "batch-without-reference", "LRU batches";
    /// A drain drops the batch's references before the pages are on their lists.
    DrainPutsFirst = "drain-puts-first", "LRU batches";
    /// A drain drops the batch's references under the lruvec lock.
    PutUnderLruvecLock = "put-under-lruvec-lock", "LRU batches";
    /// A drain of all CPUs is counted after its last batch instead of before its first: others leave theirs to it.
    DrainCountedLate = "drain-counted-late", "6446a5131e24, bug 17";
    /// A lasting pin takes the flag `LRU` for a sign that no batch holds the page, and does not drain.
    LruDecidesDrain = "lru-decides-drain", "98c6d259319e, bug 19";
    /// Whether a CPU's free frames must be flushed is judged by their number from before its lock was taken.
    PcpCountUnlocked = "pcp-count-unlocked", "66eca1021a42, bug 25";
    /// An isolator does not look whether it was the one that cleared the `LRU` flag.
    ClaimNotChecked = "claim-not-checked", "isolation";
    /// A scan of a list claims a page before it has a reference to it.
    ScanClaimsFirst = "scan-claims-first", "reclaim";
    /// Reclaim drops the isolation's reference before the page is on its list again.
    PutbackDropsFirst = "putback-drops-first", "reclaim";
    /// The isolation of a page takes no reference.
    IsolationWithoutReference = "isolation-without-reference", "isolation";
    /// A page put back is subtracted from `nr_isolated_*` when it may be freed already.
    IsolatedCountedLate = "isolated-counted-late", "isolation";
    /// Of a list that failed to migrate only the first page is put back.
    FirstPutBackOnly = "first-put-back-only", "6e49019db5f7, bug 31";
    /// A new page is on its way to the LRU before its flags say to which list.
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
    /// A write takes a shared page for its own without a look at the count.
    ReuseNotChecked = "reuse-not-checked", "copy on write";
    /// A soft offline whose migration failed for good poisons the page all the same.
    PoisonOnFailure = "poison-on-failure", "d7e69488bd04, bug 1";
    /// A page is poisoned after its last put instead of before it.
    PoisonAfterPut = "poison-after-put", "d4ae9916ea29, bug 3";
    /// The free path does not look at the poison: the frame goes back to the free lists.
    PoisonedPageFreed = "poisoned-page-freed", "79f5f8fab482, bug 49";
    /// The free path takes the poison flag for one that must not be set.
    PoisonCheckedAtFree = "poison-checked-at-free", "f4c18e6f7b5b, bug 5";
    /// Poisoning is not serialised, and who finds a page poisoned takes it for handled.
    PoisonWithoutMutex = "poison-without-mutex", "171936ddaf97, bug 41";
    /// A frame that could not be taken off the free lists is held as if it had been.
    TakeOffNotChecked = "take-off-not-checked", "8cf360b9d6a8, bug 43";
    /// One poisoned frame makes the allocator drop the whole block that it was going to hand out.
    PoisonDropsBlock = "poison-drops-block", "the discussion of c6c919eb90e0, bug 53";
    /// A split hands a tail out before it clears the tail's link to the head.
    TailBeforeLink = "tail-before-link", "605ca5ede764, bug 21";
    /// After a split the reference of memory failure stays on the head, and is not moved to the bad part.
    PinStaysOnHead = "pin-stays-on-head", "a3e0f9e47d5e, bug 47";
    /// A split gives each part one reference, whoever else had one: it does not freeze the page.
    SplitWithoutFreeze = "split-without-freeze", "split";
    /// A split forgets that its parts were mapped, and leaves migration entries behind.
    SplitForgetsMappings = "split-forgets-mappings", "split";
    /// The old page of a copy on write is put before the flush.
    CopyOnWriteWithoutFlush = "copy-on-write-without-flush", "copy on write";
}

/// Is this defect in force? A constant in every build but the explored one.
#[cfg(not(feature = "explored"))]
#[inline(always)]
pub const fn mutated(_mutation: Mutation) -> bool {
    false
}

#[cfg(feature = "explored")]
pub use explored::{enforce, mutated, with_mutation};

#[cfg(feature = "explored")]
mod explored {
    use super::Mutation;
    use std::cell::Cell;

    thread_local! {
        static IN_FORCE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Is this defect in force on the exploring thread?
    #[inline]
    pub fn mutated(mutation: Mutation) -> bool {
        IN_FORCE.get() == Some(mutation)
    }

    /// From here on this OS thread, which is there for one exploration alone, has the defect.
    pub fn enforce(mutation: Option<Mutation>) {
        IN_FORCE.set(mutation);
    }

    /// Runs `work` with the defect in force on this OS thread.
    pub fn with_mutation<T>(mutation: Option<Mutation>, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Mutation>);
        impl Drop for Restore {
            fn drop(&mut self) {
                IN_FORCE.set(self.0);
            }
        }
        let _restore = Restore(IN_FORCE.replace(mutation));
        work()
    }
}
