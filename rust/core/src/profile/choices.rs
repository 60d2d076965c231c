//! The types of a profile's fields: choices whose values have names as text.

use std::fmt;
use std::str::FromStr;

/// The type of a field, whose values have names as text.
pub trait Choice: Sized + fmt::Display + FromStr {
    /// The values that the field accepts, for messages.
    fn accepts() -> String;
}

impl Choice for u8 {
    fn accepts() -> String {
        "a number from 0 to 255".into()
    }
}

impl Choice for bool {
    fn accepts() -> String {
        "true or false".into()
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The value's name.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $name {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok($name::$variant),)* _ => Err(()) }
            }
        }

        impl Choice for $name {
            fn accepts() -> String {
                [$($text,)*].join(", ")
            }
        }
    };
}

choice! {
    /// The release design: the end of a migration and the work of a put (`crate::release`). A machine
    /// that is timed is compiled for its design; every other one reads this field.
    Design {
        /// A migrated page is put back to the LRU even on success; the drain of its batch frees it.
        Putback = "putback",
        /// A page is put if its migration succeeded, and put back to the LRU if it failed.
        Split = "split",
        /// Every put looks for a movable page before it drops the reference, under a lock.
        Hook = "hook",
        /// The last put looks for a movable page, without a lock.
        HookLate = "hook_late",
        /// The count, the lock and the flags change in one atomic step.
        Packed = "packed",
        /// Your own design: `rust/core/src/release/mine.rs`.
        Mine = "mine",
    }
}

choice! {
    /// The atomic operations by which the word of a page changes in a migration.
    Atomics {
        /// One for each step, as in the kernel.
        Kernel = "kernel",
        /// One for several steps: the claim of a page and the isolation's reference; the end of an exclusive
        /// mapping, its dirty bit and its reference; the reference of an exclusive mapping and its mark; the
        /// unlock of a page and its put, unless puts of the design look for movable pages.
        Merged = "merged",
    }
}

choice! {
    /// The order in which a list of pages is migrated.
    MigrationOrder {
        /// Each page passes all steps before the next page begins.
        OneByOne = "one_by_one",
        /// A batch of pages is unmapped, the TLB is flushed once, and the batch is moved.
        Batched = "batched",
    }
}

choice! {
    /// The end of the mark by which a page outside the LRU is known as movable.
    MovableMark {
        /// The owner clears the mark, under the page lock, before its last put
        /// (`__ClearPageMovable`). The core then takes the page for an ordinary one.
        Cleared = "cleared",
        /// The mark stays until the page is freed (`PG_movable_ops`). The owner's own field of the
        /// page's record tells that the owner has released the page.
        Sticky = "sticky",
    }
}

choice! {
    /// The way in which a migration moves a large page.
    LargeMigration {
        /// The page is split first, and each part moves by itself.
        InParts = "in_parts",
        /// The page moves whole. It is split only if no free block has room for the whole.
        Whole = "whole",
    }
}

choice! {
    /// The large anonymous pages that reclaim swaps out as a whole, if the swap space has a run of slots for
    /// them. All others are split first.
    LargeSwap {
        /// None.
        InParts = "in_parts",
        /// Large pages of the size of a huge entry that are mapped by such an entry.
        Huge = "huge",
        /// All but those that wait to be split.
        Whole = "whole",
    }
}

choice! {
    /// The moment at which the bytes are copied, relative to the commit of the new mapping.
    CopyOrder {
        /// The copy comes before the commit: an error during the copy leaves everything as it was.
        BeforeCommit = "before_commit",
        /// The copy comes after the commit.
        AfterCommit = "after_commit",
    }
}

choice! {
    /// The order in which the pages of a memory block that is taken offline move.
    OfflineOrder {
        /// From the lowest frame up.
        Ascending = "ascending",
        /// From the highest frame down.
        Descending = "descending",
    }
}

choice! {
    /// The state of the batches while `move_pages`, `mbind` or `migrate_pages` runs.
    BatchesDuringMigration {
        /// All batches are drained once before the operation (kernels of 2016).
        DrainOnce = "drain_once",
        /// The batches are disabled for the whole operation.
        Disabled = "disabled",
    }
}

choice! {
    /// The status of an address with nothing mapped in a valid area.
    HoleStatus {
        /// `-EFAULT`
        Efault = "efault",
        /// `-ENOENT`
        Enoent = "enoent",
    }
}

choice! {
    /// The order in which a node's pages are reclaimed, and the uses that spare a page
    /// (`crate::lru`).
    LruPolicy {
        /// An active and an inactive list with a second chance: the kernel's classic LRU.
        TwoList = "two_list",
        /// Generations and tiers: the kernel's multi-generational LRU.
        Mglru = "mglru",
        /// The oldest page first, whether it was used or not (a textbook policy).
        Fifo = "fifo",
        /// The least recently used page first: an access puts a page in front (a textbook policy).
        Lru = "lru",
        /// The oldest page first, except that a page that was accessed goes to the front once (a
        /// textbook policy).
        Clock = "clock",
    }
}

choice! {
    /// The names under which a kernel's probes show the protocol's calls (`crate::calls`).
    CallNames {
        /// `isolate_lru_page`, `putback_lru_page`, `folio_migrate_mapping`.
        Pages = "pages",
        /// `folio_isolate_lru`, `folio_putback_lru`, `__folio_migrate_mapping`, and the functions
        /// of a batch.
        Folios = "folios",
    }
}

choice! {
    /// The pages that get NUMA hints (`change_pte_range`). Pages of an area with a policy of its
    /// own, and pages of memory files, get none in any kernel.
    HintFaults {
        /// All other pages that one entry maps whole: base pages, and pages of the size of a huge
        /// entry.
        All = "all",
        /// As `all`, with two exceptions for base pages. In a private mapping a base page gets a hint only if
        /// it has a single reference, that of the mapping. Dirty base pages of files get none.
        Sole = "sole",
        /// Large pages, too, with two exceptions, neither of which holds for pages of the size of a huge
        /// entry. In private mappings only pages that one process maps and that cannot be pinned get hints.
        /// Dirty pages of files get none.
        Unshared = "unshared",
    }
}

choice! {
    /// The error for a lasting pin of a disk's file that is mapped. The kernel may have to write the file's
    /// pages at any time, while the pin's holder changes them.
    FilePin {
        /// `EOPNOTSUPP`, for shared and private mappings, after the pages were faulted in.
        Refused = "refused",
        /// `EFAULT` for a shared mapping that is pinned for writing, before any fault. Private
        /// copies can be pinned.
        SharedRefused = "shared_refused",
    }
}

choice! {
    /// The outcomes of a soft offline after which the page counts as poisoned.
    PoisonAccounting {
        /// Every outcome but "try again": even a page that could not move, and is still in use,
        /// counts.
        NonEagain = "non_eagain",
        /// Success only.
        Success = "success",
        /// Success only; a page that was moved counts twice, once in the migration and once in its
        /// caller.
        Double = "double",
    }
}

choice! {
    /// The result of a hard failure of a large page that cannot be split, because it has other
    /// references.
    UnsplitFailure {
        /// The poison is cleared again, and the result is `EBUSY`.
        Forgotten = "forgotten",
        /// The page is poisoned and counted, no process is signalled, and the result is `EBUSY`.
        Untold = "untold",
        /// The page is poisoned and counted, and the result is `EHWPOISON`. The process that has just touched
        /// the page is signalled, and the processes that want to know early.
        Told = "told",
    }
}

choice! {
    /// The order in which soft offline flags a page in use and drops its last reference.
    PoisonOrder {
        /// The reference is dropped first, so the flag goes to a frame that may have another user
        /// by then. The frame stays on its free list, and is refused when it is to be handed out.
        PutFirst = "put_first",
        /// The flag is set first, so the last put finds it and refuses the frame. Poison keeps a
        /// reference on the frame.
        FlagFirst = "flag_first",
    }
}

choice! {
    /// The number of references that a lasting pin takes.
    PinCounting {
        /// One reference, like any other: a pinned page cannot be recognised, and fork shares it.
        Plain = "plain",
        /// 1024 references, by which a page that may be pinned is recognised.
        Counted = "counted",
    }
}

choice! {
    /// The anonymous pages that a store may reuse instead of copying them, when the process's entry
    /// allows only reads.
    AnonReuse {
        /// The pages to which a single entry leads, a page-table entry or a swap entry, whatever other
        /// references they have. No page is marked.
        Mapcount = "mapcount",
        /// The pages marked `ANON_EXCLUSIVE`, and the pages on which there is no other reference.
        Exclusive = "exclusive",
    }
}

choice! {
    /// The result of a soft offline of a page that could not move.
    UnmovedStatus {
        /// `-EIO`
        Eio = "eio",
        /// `-EBUSY`
        Ebusy = "ebusy",
    }
}

choice! {
    /// The form in which compaction keeps the free memory to which pages are to move.
    CompactTargets {
        /// As single frames, of which the one that was taken last is handed out first.
        Frames = "frames",
        /// As blocks, the smallest first and each from its first frame up.
        Blocks = "blocks",
    }
}

choice! {
    /// The locks that keep an object of zsmalloc where it is.
    ZsLocking {
        /// The pin bit of the object's handle, and the lock of its zspage, which is taken before the
        /// class lock.
        Class = "class",
        /// The lock of the zspage. The zspage is found under the pool's lock.
        Pool = "pool",
    }
}

choice! {
    /// The measure that chooses how many pages the zspages of a size class have.
    ZspageFit {
        /// The largest share of the zspage is used, in whole percent.
        Share = "share",
        /// The fewest bytes of the zspage are unused.
        Waste = "waste",
    }
}

choice! {
    /// The fullness groups of a class's zspages.
    FullnessGroups {
        /// Empty, up to three quarters full, more, and full. A compaction empties one zspage after
        /// the other.
        Quarters = "quarters",
        /// One group for each tenth. A compaction fills one zspage after the other.
        Tenths = "tenths",
    }
}
