//! Profiles: records of named choices that tell which kernel a machine behaves like, with presets.
//!
//! Every difference between two kernels or designs is one field with one name, read in one place.
//! The table `profile!` is the only list of the fields: their names, values, presets and sources
//! come from it.

mod choices;

pub use choices::{
    AnonReuse, Atomics, BatchesDuringMigration, CallNames, Choice, CompactTargets, CopyOrder, Design,
    FilePin, FullnessGroups, HintFaults, HoleStatus, LargeMigration, LargeSwap, LruPolicy, MigrationOrder,
    MovableMark, OfflineOrder, PinCounting, PoisonAccounting, PoisonOrder, UnmovedStatus, UnsplitFailure,
    ZsLocking, ZspageFit,
};

use crate::page::size::MAX_ORDER;

/// The largest number of pages in a batch. The field `pagevec` is the number that a machine uses.
pub const PAGEVEC_MAX: usize = 31;

macro_rules! profile {
    ($(
        $(#[doc = $doc:literal])*
        $field:ident: $type:ty =
            [$k45:expr, $k48:expr, $k61:expr, $k612:expr, $k619:expr], $source:literal;
    )*) => {
        /// The choices of one machine. [`Profile::preset`] and [`Profile::set`] build one.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct Profile {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl Profile {
            /// The choices of a kernel; see [`PRESETS`].
            pub fn preset(kernel: &str) -> Result<Profile, ProfileError> {
                let column = PRESETS.iter().position(|&name| name == kernel)
                    .ok_or_else(|| ProfileError::Kernel(kernel.into()))?;
                Ok(Profile { $($field: [$k45, $k48, $k61, $k612, $k619][column],)* })
            }

            /// The names of all fields, in the order of the documentation.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field),)*];

            /// A field's value as text.
            pub fn get(&self, field: &str) -> Result<String, ProfileError> {
                match field {
                    $(stringify!($field) => Ok(self.$field.to_string()),)*
                    _ => Err(ProfileError::Field(field.into())),
                }
            }

            /// Sets a field from text.
            pub fn set(&mut self, field: &str, value: &str) -> Result<(), ProfileError> {
                match field {
                    $(stringify!($field) => {
                        self.$field = value.parse().map_err(|_| ProfileError::Value {
                            field: stringify!($field), value: value.into(), accepts: <$type>::accepts(),
                        })?;
                    })*
                    _ => return Err(ProfileError::Field(field.into())),
                }
                self.check()
            }

            /// The meaning of a field, and the source of its values.
            pub fn describe(field: &str) -> Option<(&'static str, &'static str)> {
                match field {
                    $(stringify!($field) => Some((concat!($($doc,)*), $source)),)*
                    _ => None,
                }
            }

            /// The values that a field accepts.
            pub fn accepts(field: &str) -> Option<String> {
                match field {
                    $(stringify!($field) => Some(<$type>::accepts()),)*
                    _ => None,
                }
            }
        }
    };
}

/// The kernels with a preset, oldest first. The default is `6.12`, the newest kernel of which there
/// are recordings.
pub const PRESETS: &[&str] = &["4.5", "4.8", "6.1", "6.12", "6.19"];

use AnonReuse::{Exclusive, Mapcount};
use Atomics::Kernel;
use BatchesDuringMigration::{Disabled, DrainOnce};
use CallNames::{Folios, Pages};
use CompactTargets::{Blocks, Frames};
use CopyOrder::{AfterCommit, BeforeCommit};
use Design::{Putback, Split};
use FilePin::{Refused, SharedRefused};
use FullnessGroups::{Quarters, Tenths};
use HintFaults::{All, Sole, Unshared};
use HoleStatus::{Efault, Enoent};
use LargeMigration::{InParts, Whole};
use LargeSwap::{Huge as SwapHuge, InParts as SwapParts, Whole as SwapWhole};
use LruPolicy::TwoList;
use MigrationOrder::{Batched, OneByOne};
use MovableMark::{Cleared, Sticky};
use OfflineOrder::{Ascending, Descending};
use PinCounting::{Counted, Plain};
use PoisonAccounting::{NonEagain, Success};
use PoisonOrder::{FlagFirst, PutFirst};
use UnmovedStatus::{Ebusy, Eio};
use UnsplitFailure::{Forgotten, Told, Untold};
use ZsLocking::{Class, Pool};
use ZspageFit::{Share, Waste};

profile! {
    /// The end of a migration, and the work of a put.
    release: Design = [Putback, Split, Split, Split, Split],
        "lifecycle 6.6, 6.7; 6.1 and 6.12: h01 (folio_put_final inside the migration)";
    /// The atomic operations by which a migration changes the word of a page: those of the kernel, one for
    /// each step, or fewer, where one can take several steps. No kernel merges them.
    atomics: Atomics = [Kernel, Kernel, Kernel, Kernel, Kernel],
        "mmcore (docs/performance.md); 6.1 and 6.12: h01 (refcounts between the steps)";
    /// The number of pages that a per-CPU LRU batch holds before it drains itself.
    pagevec: u8 = [14, 14, 15, 31, 31],
        "lifecycle 5.2; 6.1 and 6.12: h34/2";
    /// log2 of the frames of a pageblock, the unit in which the allocator groups pages by mobility.
    /// Smaller pageblocks let compaction be explored on a small machine.
    pageblock_order: u8 = [9, 9, 9, 9, 9],
        "lifecycle 9; 6.1 and 6.12: c01/4 (types: a letter for each 512 frames)";
    /// The order in which the pages of a memory block that is taken offline move.
    offline_order: OfflineOrder = [Ascending, Ascending, Ascending, Descending, Descending],
        "6.1 and 6.12: o02/10 (moves)";
    /// If true, a memory block that went offline with a poisoned frame cannot come online again. If
    /// false, it does, and the frame is used as if it were good.
    online_refuses_poisoned: bool = [false, false, false, true, true],
        "kernel 5033091de814, 6.2; 6.1 and 6.12: o08/13";
    /// The order in which pages are reclaimed, and the uses that spare a page.
    lru_policy: LruPolicy = [TwoList, TwoList, TwoList, TwoList, TwoList],
        "lifecycle 5.8; 6.1 and 6.12: h13/3 (nr_active_anon, nr_inactive_anon)";
    /// The order of a migration: each page passes all steps by itself, or a batch is unmapped, flushed once
    /// and moved.
    migration: MigrationOrder = [OneByOne, OneByOne, OneByOne, Batched, Batched],
        "lifecycle 6.2, 6.9; 6.1 and 6.12: h01/4";
    /// The treatment of a large page: it is split before it is migrated, or moves whole.
    large_migration: LargeMigration = [InParts, InParts, Whole, Whole, Whole],
        "kernel 9c670ea37947, 4.14; 6.12: l01/3";
    /// If true, a migration splits a large page that waits to be split because one of its entries
    /// was unmapped before the others, even by an earlier migration. If false, such a page moves
    /// whole, and its new page goes on waiting.
    migration_splits_queued: bool = [false, false, false, true, true],
        "kernels 7262f208ca68 (6.11), a2e0c0668a34 (in 6.12 and later stable kernels); 6.1 and 6.12: l01/6, l17/8 (6.12; 6.1 not recorded)";
    /// If true, the split of a large page replaces each part that holds nothing but zeroes by the
    /// zero page.
    split_frees_zeroes: bool = [false, false, false, true, true],
        "kernel b1f202060afe, 6.12; 6.1 and 6.12: l11/3, l12/3 (6.12; 6.1 not recorded)";
    /// If true, the split of a large page replaces the entries of a bad part by poisoned entries, and nobody
    /// is signalled for them afterwards.
    split_poisons: bool = [false, false, true, true, true],
        "kernel a98a2f0c8ce1, 5.14; 6.1 and 6.12: l42-huge-pins/15 (try_to_unmap)";
    /// The number of passes over pages that may be retried; with batches, the number in the first,
    /// asynchronous round.
    passes: u8 = [10, 10, 10, 3, 3],
        "lifecycle 6.2; 6.1 and 6.12: h02/7";
    /// The number of passes for each page that is left over, migrated alone and synchronously; 0
    /// where the list is simply retried.
    sync_passes: u8 = [0, 0, 0, 7, 7],
        "lifecycle 6.2; 6.1 and 6.12: h02/7";
    /// The moment at which the bytes are copied: before or after the mapping is switched to the new page.
    copy: CopyOrder = [AfterCommit, AfterCommit, AfterCommit, BeforeCommit, BeforeCommit],
        "lifecycle 6.3 step 8; 6.1 and 6.12: h01/4 (folio_mc_copy before __folio_migrate_mapping)";
    /// The batches while move_pages, mbind or migrate_pages runs: all are drained once at the beginning, or
    /// they stay disabled until the call ends.
    batches: BatchesDuringMigration = [DrainOnce, DrainOnce, Disabled, Disabled, Disabled],
        "lifecycle 5.3; 6.1 and 6.12: h01/4 (lru_cache_disable)";
    /// If true, munmap, MADV_DONTNEED and exit drain the CPU's batches when they begin, and again
    /// before they free pages.
    unmap_drains: bool = [true, true, true, true, false],
        "kernel 1aa43598c03b, 6.14; 6.1: m0223/7, 6.12: g0011/9";
    /// If true, a migration drains the local batches after each mapped page that it has moved.
    drain_after_move: bool = [false, false, true, false, false],
        "6.1 and 6.12: h14/3 (an mlocked page drains on both)";
    /// The weight of a lasting pin: one reference, or 1024, by which a pinned page is recognised.
    pins: PinCounting = [Plain, Plain, Counted, Counted, Counted],
        "kernel 3faa52c03f44, 5.7; 6.1 and 6.12: h03/4";
    /// If true, a lasting pin first moves the page off a node that is only for movable pages.
    longterm_moves: bool = [false, false, true, true, true],
        "kernel d1e153fea2a8, 5.13; 6.1 and 6.12: o03/8";
    /// If true, mlock begins with a drain of all CPUs' batches.
    mlock_drains_all: bool = [true, true, false, false, false],
        "seen in 4.7, kernel 72b03fcd5d51, 4.15; 6.1 and 6.12: h12/4";
    /// If true, a large page waits in a batch as a base page does. If false, it goes to its list at
    /// once, with all pages that wait in the batch.
    large_batched: bool = [true, false, false, false, false],
        "kernel 8f182270dfec, 4.7; 6.1 and 6.12: l01/2 (6.12; 6.1 not recorded)";
    /// If true, mlock locks a large page of which it covers or finds mapped only some parts, and takes
    /// this for a lock on the page as a whole.
    mlock_parts: bool = [true, true, false, false, false],
        "6.1: l41-huge-move/12 (unevictable_pgs_mlocked); 6.12: l71-large-mlock/3; 4.5 and 4.8: not recorded";
    /// If true, a large page that has moved is locked again for each locked entry that maps it. If false,
    /// reclaim does so when it meets the page.
    migration_mlocks_large: bool = [true, true, true, false, false],
        "kernel 1acbc3f93614, 6.7; 6.1 and 6.12: l71-large-mlock/11 (6.12; 6.1 not recorded)";
    /// If true, mbind looks for a hole behind a stretch before it queues the pages of the stretch.
    mbind_looks_ahead: bool = [false, false, true, true, true],
        "6.1 and 6.12: p11-policies/30 (isolate_lru_page); 4.5 and 4.8: not recorded";
    /// If true, mbind with MPOL_MF_STRICT alone looks for misplaced pages.
    mbind_strict_checks: bool = [false, false, true, true, true],
        "kernels 6f4576e3687b (4.0), a7f40cfe3b7a (5.2); 6.1 and 6.12: h33/6";
    /// If true, migrate_pages(2) also counts the pages that it could not isolate. If false, it returns only
    /// the number of isolated pages that did not move.
    migrate_counts_unqueued: bool = [false, false, false, true, true],
        "kernel 1cb5d11a370f, 6.7; 6.1 and 6.12: not recorded";
    /// The anonymous pages that a store may reuse instead of copying them.
    anon_reuse: AnonReuse = [Mapcount, Mapcount, Exclusive, Exclusive, Exclusive],
        "kernels 09854ba94c6a (5.9), 6c287605fd56 (5.19); 6.1 and 6.12: h01/2 (ANON_EXCLUSIVE)";
    /// If true, anonymous pages begin on the inactive list, get a second chance there, and are
    /// judged by their refault distance. If false, they begin active, and any use or a return from
    /// swap makes them active again.
    anon_workingset: bool = [false, false, true, true, true],
        "kernels b518154e59aa, aae466b0052e, 5.9; 6.1 and 6.12: h01/2 (nr_inactive_anon), h11/5";
    /// If true, a page that leaves an active list is marked `WORKINGSET`, and counts as restored if
    /// it comes back with the mark.
    workingset_mark: bool = [false, false, true, true, true],
        "kernel 1899ad18c607, 4.20; 6.1 and 6.12: not recorded";
    /// If true, MADV_FREE acts like MADV_DONTNEED while swap has no free slot.
    free_needs_swap: bool = [true, true, false, false, false],
        "kernel 93e06c7a6453, 4.12; 6.1 and 6.12: h13/6 (pglazyfree without swap)";
    /// If true, a fault that waits for a migration holds a reference meanwhile, and the migration
    /// can fail because of it.
    migration_waiter_reference: bool = [true, true, false, false, false],
        "kernel ffa65753c431, 5.17; 6.1 and 6.12: not recorded";
    /// If true, a pin marks the page as accessed. A plain reference from outside always does.
    pin_marks_accessed: bool = [false, false, false, true, true],
        "6.1 and 6.12: h03/4";
    /// If true, move_pages takes a reference on a page before it isolates the page. If false, it
    /// isolates under the page-table lock.
    isolation_reference: bool = [true, true, true, false, false],
        "6.1 and 6.12: h01/4 (the count on entry into the isolation)";
    /// If true, an accessed entry marks its page as accessed when it is dropped, even if the
    /// mapping is one for random access (MADV_RANDOM).
    random_marks_accessed: bool = [true, true, true, false, false],
        "6.1 and 6.12: g0011/9";
    /// If true, a migrated page keeps `RECLAIM`, so that it is still the first to be reclaimed when
    /// its write-back has ended. On a page without a write-back the flag means `readahead`.
    reclaim_mark_moves: bool = [false, false, true, true, true],
        "kernel 6aeff241fe6c, 5.7; 6.1 and 6.12: g9161/17";
    /// The pages to which NUMA balancing gives a hint, so that they may move to their users.
    hint_faults: HintFaults = [All, All, Sole, Unshared, Unshared],
        "kernels 859d4adc3415 (4.16), 09a913a7a947 (4.17), 80d47f5de5e3 (5.17), d2136d749d76 (6.10); 6.1 and 6.12: not recorded";
    /// The names under which calls are shown.
    call_names: CallNames = [Pages, Pages, Pages, Folios, Folios],
        "6.1 and 6.12: h01/4";
    /// If true, /proc/kpageflags shows `KSM` for every anonymous page, by a mistake of the
    /// exporter.
    kpageflags_ksm: bool = [false, false, false, true, false],
        "6.1 and 6.12: h01/2";
    /// The outcomes of a soft offline after which the page counts as poisoned.
    poison: PoisonAccounting = [NonEagain, Success, Success, Success, Success],
        "lifecycle 6.7; 6.1 and 6.12: h16/6 (hwc_kb)";
    /// The order in which soft offline flags a page and puts its last reference.
    poison_order: PoisonOrder = [PutFirst, PutFirst, FlagFirst, FlagFirst, FlagFirst],
        "lifecycle 6.7; 6.1 and 6.12: h14/3 (page_handle_poison before folio_put_final)";
    /// The number of times that memory failure drains the batches because of a page that it cannot
    /// handle, and looks at the page again.
    poison_retries: u8 = [1, 1, 3, 3, 3],
        "lifecycle 8.1; 6.1 and 6.12: h20/12";
    /// The result of a soft offline of a page that could not move.
    soft_offline_unmoved: UnmovedStatus = [Eio, Eio, Ebusy, Ebusy, Ebusy],
        "kernel 3f4b815a439a, 5.11; 6.1 and 6.12: h16/6";
    /// If true, unpoison fails with `EBUSY` for a page that cannot be unpoisoned. If false, it
    /// succeeds and does nothing.
    unpoison_refusal_told: bool = [false, false, true, true, true],
        "kernel bf181c582588, 5.17; 6.1 and 6.12: h23/10";
    /// If true, soft offline fails with `EBUSY` for a frame that is poisoned already. If false, it
    /// succeeds and does nothing.
    soft_offline_again_busy: bool = [true, true, false, false, false],
        "kernel 5a2ffca3c233, 5.10; 6.1 and 6.12: h17/5";
    /// If true, a hard failure of a frame that is poisoned already ends with `EHWPOISON`, and a
    /// process that has just touched the frame is signalled. If false, it succeeds and no process
    /// is signalled.
    failure_again_tells: bool = [false, false, true, true, true],
        "kernels 47af12bae17f, a3f5d80ea401, 5.13; 6.1 and 6.12: h17/6";
    /// If true, a hard failure takes a free frame off its free list. If false, the frame stays on
    /// the list until it is refused when it is to be handed out.
    failure_takes_free: bool = [false, false, true, true, true],
        "kernel a8b2c2ce89d4, 5.11; 6.1 and 6.12: h18/7";
    /// If true, a lost page of a memory file stays in its slot, where every access finds it. If
    /// false, it leaves its file, and zeroes are read there.
    memory_file_keeps_poison: bool = [false, false, true, true, true],
        "kernel a76054266661, 5.16; 6.1 and 6.12: h23/6";
    /// If true, a fault that finds a bad page in its file first drops the page from the file,
    /// provided that it has no other user.
    fault_drops_poison: bool = [false, false, true, true, true],
        "kernel e53ac7374e64, 5.18; 6.1 and 6.12: h23/8";
    /// The result of a hard failure of a large page that cannot be split.
    unsplit_failure: UnsplitFailure = [Forgotten, Forgotten, Untold, Told, Told],
        "kernel 1a3798dececa, 6.11; 6.1 and 6.12: not recorded";
    /// If true, a dirty page that is lost is marked `ERROR`.
    page_error_flag: bool = [true, true, true, false, false],
        "6.1 and 6.12: h26/4 (the frame's flags)";
    /// If true, a process that poisons memory with MADV_HWPOISON is signalled as one that has
    /// touched the memory: at once, whatever its early-kill setting is.
    hwpoison_action_required: bool = [false, false, false, true, true],
        "6.1 and 6.12: h21/4, h26/4 (ar_sigbus)";
    /// The error for a lasting pin of a disk's file that is mapped.
    file_pin: FilePin = [Refused, Refused, Refused, SharedRefused, SharedRefused],
        "6.1 and 6.12: m0223/18, g0040/9";
    /// If true, a fault of a lasting pin releases its locks while it reads a disk's file, and
    /// begins again. If false, it keeps them, because the pin looks at the mappings afterwards.
    pin_faults_retry: bool = [false, false, false, true, true],
        "6.1 and 6.12: g83011/23 (folio_put_final)";
    /// If true, pages to and from swap count in pgpgin and pgpgout, too, because the device has no
    /// short way for single pages.
    swap_counts_blocks: bool = [false, false, false, true, true],
        "6.1 and 6.12: h35/6";
    /// If true, a page of zeroes is not written to swap; a note of it is kept instead.
    swap_notes_zeroes: bool = [false, false, false, true, true],
        "6.1 and 6.12: s08-swap-zeroes/5 (pswpout)";
    /// The large pages that reclaim swaps out as a whole instead of splitting them first.
    large_swap: LargeSwap = [SwapParts, SwapParts, SwapHuge, SwapWhole, SwapWhole],
        "kernels bd4c82c22c36 (4.14), 5ed890ce5147 (6.10); 6.1 and 6.12: not recorded";
    /// If true, a fault that finds a large page in the swap cache maps all its parts, if their entries are
    /// swap entries alike. If false, it maps one part.
    swapin_maps_whole: bool = [false, false, false, true, true],
        "kernels 508758960b8d, 4c3f96643687, 6.11; 6.1 and 6.12: not recorded";
    /// If true, a fault on the only entry that names a slot of swap reads the page without the swap
    /// cache.
    swapin_past_cache: bool = [false, false, true, true, true],
        "kernel 0bcac06f27d7, 4.15; 6.1 and 6.12: h11/5";
    /// If true, a load that brings a page back from swap maps it writable if the page belongs to
    /// the process alone.
    swapin_writable: bool = [false, false, false, true, true],
        "6.1 and 6.12: s01-swap-in/8";
    /// If true, a page that is mapped from swap for the first time, into a locked area, is locked
    /// into memory.
    swapin_mlocks: bool = [true, true, true, false, false],
        "6.1 and 6.12: s01-swap-in/9";
    /// The locks that keep an object of zsmalloc where it is while it is used. (The zspages of 4.5 do not
    /// move; that profile has those of 4.8.)
    zs_locking: ZsLocking = [Class, Class, Pool, Pool, Pool],
        "kernel b475d42d2c43, 5.17; 6.1 and 6.12: not recorded";
    /// The largest number of pages in a zspage.
    zspage_pages: u8 = [4, 4, 4, 8, 8],
        "kernel b46402fa894f, 6.3; 6.1 and 6.12: z01-class-1500/2";
    /// The way in which the number of pages of a class's zspages is chosen.
    zspage_fit: ZspageFit = [Share, Share, Share, Waste, Waste],
        "kernel 6260ae358345, 6.3; 6.1 and 6.12: z01-class-1500/2";
    /// The groups into which the zspages of a class are divided by their fullness, and with them the order of
    /// a compaction of the pool.
    zspage_groups: FullnessGroups = [Quarters, Quarters, Quarters, Tenths, Tenths],
        "kernels 4c7ac97285d8, 5a845e9f2d66, 6.4; 6.1 and 6.12: z01-class-1500/6";
    /// If true, a migration of a zspage's page waits until no thread uses an object of the zspage. If false,
    /// it fails with `EINVAL`.
    zspage_writer_waits: bool = [true, true, true, true, false],
        "kernel e27af3f9360e, 6.15; 6.1 and 6.12: not recorded";
    /// If true, an object larger than a page is refused with `ENOSPC`. If false, with `EINVAL`.
    zs_large_enospc: bool = [false, false, false, true, true],
        "kernel 6.8 (zs_malloc); 6.1 and 6.12: not recorded";
    /// The status of an address with nothing mapped in a valid area.
    hole_status: HoleStatus = [Efault, Efault, Efault, Enoent, Enoent],
        "6.1 and 6.12: h05/5";
    /// The form in which compaction keeps the free memory to which pages are to move, and so the
    /// order in which it hands the frames out.
    compact_targets: CompactTargets = [Frames, Frames, Frames, Blocks, Blocks],
        "kernel 733aea0b3a7b, 6.9; 6.1 and 6.12: c01/6 (moves)";
    /// If true, the free scanner looks for as many targets as the whole batch of pages has. If
    /// false, for as many as the batch still lacks.
    compact_refills_batch: bool = [true, true, true, false, false],
        "kernel 733aea0b3a7b, 6.9; 6.1 and 6.12: c03/11 (moves)";
    /// If true, compact_migrate_scanned counts every frame of a free block or of a large page that
    /// the scanner passes over. If false, it counts one.
    compact_counts_frames: bool = [false, false, false, true, true],
        "6.1 and 6.12: c07/6";
    /// If true, compaction moves large pages that are smaller than a pageblock and than the block
    /// that is wanted. If false, it passes over every large page.
    compact_large: bool = [false, false, false, true, true],
        "kernel 733aea0b3a7b, 6.9; 6.1 and 6.12: not recorded";
    /// If true, the work of proactive compaction is counted in compact_daemon_migrate_scanned and
    /// compact_daemon_free_scanned.
    compact_daemon_counts_proactive: bool = [false, false, false, true, true],
        "6.1 and 6.12: c36/6 (vm)";
    /// If true, a run of compaction whose free scanner has reached the end of a pageblock lets the next run
    /// begin in the pageblock below. If false, in the same pageblock.
    compact_free_below: bool = [false, false, false, true, true],
        "kernel 6.6 (update_pageblock_skip); 6.1 and 6.12: not recorded";
    /// If true, a run of compaction that does not wait scans the rest of a pageblock in which a page could
    /// not move, and marks the pageblock as not worth a scan. If false, an asynchronous run for an
    /// allocation leaves out the rest of the block that is wanted.
    compact_finishes_failed: bool = [false, false, false, true, true],
        "kernel cfccd2e63e7e, 6.3; 6.1 and 6.12: not recorded";
    /// If true, compaction passes over a locked page of a cache that is on the unevictable list. If false,
    /// it isolates the page, and a synchronous run waits for the page lock.
    compact_tries_unevictable: bool = [false, false, false, true, true],
        "kernel 0003e2a41468, 6.8; 6.1 and 6.12: not recorded";
    /// Compaction waits while more than one in this number of a node's listed pages is isolated.
    compact_isolated_share: u8 = [2, 2, 2, 16, 16],
        "kernel 6.5 (the limit of reclaim); 6.1 and 6.12: not recorded";
    /// The life of the mark of a movable page outside the LRU: its owner clears the mark when it releases the
    /// page, or the mark stays until the page is freed.
    movable_mark: MovableMark = [Cleared, Cleared, Cleared, Cleared, Sticky],
        "lifecycle 7.6, kernel 6.17; 6.1 and 6.12: not recorded";
    /// If true, a migration notices that the owner of an isolated movable page has freed it before
    /// it allocates a target. If false, it notices only when it moves the page.
    freed_movable_checked: bool = [true, true, true, true, false],
        "lifecycle 6.3 step 2; 6.1 and 6.12: not recorded";
    /// If true, the target of a movable page that its owner released meanwhile goes through an LRU
    /// batch, as a blank page. If false, it is put, which frees it at once.
    unused_target_to_lru: bool = [true, true, false, false, false],
        "lifecycle 7.6, kernel e0a352fabce6, 5.0; 6.1 and 6.12: not recorded";
    /// If true, isolated movable pages count in nr_isolated_file, as if they were pages of files
    /// (bug 7).
    isolated_counts_movable: bool = [true, true, false, false, false],
        "kernel 6afcf8ef0ca0, 4.10; 6.1 and 6.12: not recorded";
    /// If true, soft offline moves a movable page outside the LRU. If false, it takes the page for
    /// one that it cannot handle.
    soft_offline_movable: bool = [false, false, true, true, true],
        "seen in 4.11; 6.1 and 6.12: not recorded";
    /// If true, a node's pages in the balloon count in nr_balloon_pages.
    balloon_counted: bool = [false, false, false, false, true],
        "lifecycle 11, kernel 6.16; 6.1 and 6.12: not recorded";
    /// If true, the pages of a message to the host are collected in a list, of which the page that came last
    /// is the first to go on: into the balloon, or back to the allocator. If false, they go on in their
    /// order.
    balloon_collects: bool = [false, false, true, true, true],
        "kernel c7cdff0e8647, 4.15; 6.1 and 6.12: not recorded";
    /// If true, the balloon gives pages back to an allocation that finds no frame
    /// (VIRTIO_BALLOON_F_DEFLATE_ON_OOM), and its pages stay managed pages of their nodes. The host
    /// decides it, not the kernel.
    deflate_on_oom: bool = [false, false, false, false, false],
        "kernel 5a10b7dbf904, 4.0; 6.1 and 6.12: not recorded";
}

impl Profile {
    fn check(&self) -> Result<(), ProfileError> {
        let numbers = [
            ("pagevec", self.pagevec, 1..=PAGEVEC_MAX as u8),
            ("compact_isolated_share", self.compact_isolated_share, 1..=u8::MAX),
            ("pageblock_order", self.pageblock_order, 1..=MAX_ORDER),
            ("zspage_pages", self.zspage_pages, 1..=16),
            ("passes", self.passes, 1..=100),
            ("sync_passes", self.sync_passes, 0..=100),
        ];
        for (field, value, range) in numbers {
            if !range.contains(&value) {
                return Err(ProfileError::Value {
                    field,
                    value: value.to_string(),
                    accepts: format!("a number from {} to {}", range.start(), range.end()),
                });
            }
        }
        Ok(())
    }
}

impl Default for Profile {
    fn default() -> Self {
        Profile::preset("6.12").expect("the default preset exists")
    }
}

/// The field whose name is most similar to a wrong one; all fields if none is similar.
fn near(wrong: &str) -> String {
    let distance = |known: &&str| strsim::damerau_levenshtein(known, wrong);
    match Profile::FIELDS.iter().copied().min_by_key(distance) {
        Some(known) if 2 * distance(&known) < known.len() => format!("did you mean {known:?}?"),
        _ => format!("choose one of {}", Profile::FIELDS.join(", ")),
    }
}

/// The reason why a profile is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The preset does not exist.
    #[error("no profile {0:?}: choose one of {list}", list = PRESETS.join(", "))]
    Kernel(String),
    /// The field does not exist.
    #[error("no profile field {0:?}; {advice}", advice = near(.0))]
    Field(String),
    /// The field does not accept the value.
    #[error("{field} cannot be {value:?}: it accepts {accepts}")]
    Value {
        /// The field.
        field: &'static str,
        /// The refused value.
        value: String,
        /// The values that the field accepts.
        accepts: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_every_preset_reads_back_as_it_prints() {
        for kernel in PRESETS {
            let profile = Profile::preset(kernel).unwrap();
            let mut copy = Profile::default();
            for field in Profile::FIELDS {
                copy.set(field, &profile.get(field).unwrap()).unwrap();
                let (meaning, source) = Profile::describe(field).unwrap();
                assert!(!meaning.trim().is_empty() && !source.is_empty());
            }
            assert_eq!(copy, profile);
        }
    }

    #[test]
    fn the_error_for_a_wrong_name_or_value_lists_the_right_ones() {
        let mut profile = Profile::default();
        assert!(Profile::preset("5.0").unwrap_err().to_string().contains("6.12"));
        assert!(profile.set("pagevecs", "3").unwrap_err().to_string().contains("pagevec"));
        assert!(profile.set("pagevec", "0").unwrap_err().to_string().contains("1 to 31"));
        assert!(profile.set("release", "slow").unwrap_err().to_string().contains("hook_late"));
    }
}
