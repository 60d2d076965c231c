//! The counters, under the kernel's names.
//!
//! Three kinds: node counters that a structure keeps anyway (list lengths, free frames) are read
//! from there; other node counters and events are striped by thread, so that counting is an ordinary
//! addition on a line of one's own, and summed when read.

use crate::sync::{MAX_THREADS, Stat, thread_slot};
use crossbeam_utils::CachePadded;
use std::sync::OnceLock;

macro_rules! names {
    ($(#[$doc:meta])* $enum:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $enum { $($(#[$vdoc])* $variant,)* }

        impl $enum {
            /// All of them, in the order of /proc/vmstat.
            pub const ALL: &'static [$enum] = &[$($enum::$variant,)*];

            /// The name in /proc/vmstat.
            pub const fn name(self) -> &'static str {
                match self { $($enum::$variant => $text,)* }
            }
        }
    };
}

names! {
    /// Counters of a node that no structure keeps by itself. In base pages.
    NodeItem {
        /// Anonymous pages off the LRU for migration or reclaim.
        IsolatedAnon = "nr_isolated_anon",
        /// File pages off the LRU for migration or reclaim.
        IsolatedFile = "nr_isolated_file",
        /// Anonymous pages that came back after their eviction.
        WorkingsetRefaultAnon = "workingset_refault_anon",
        /// File pages that came back after their eviction.
        WorkingsetRefaultFile = "workingset_refault_file",
        /// Of those anonymous ones: active at once.
        WorkingsetActivateAnon = "workingset_activate_anon",
        /// Of those file pages: active at once.
        WorkingsetActivateFile = "workingset_activate_file",
        /// Of those anonymous ones: had been active before their eviction.
        WorkingsetRestoreAnon = "workingset_restore_anon",
        /// Of those file pages: had been active before their eviction.
        WorkingsetRestoreFile = "workingset_restore_file",
        /// Mapped anonymous pages.
        AnonPages = "nr_anon_pages",
        /// Mapped file pages.
        FileMapped = "nr_mapped",
        /// Pages in the page cache.
        FilePages = "nr_file_pages",
        /// Dirty page-cache pages.
        FileDirty = "nr_dirty",
        /// Page-cache pages being written to their backing store.
        Writeback = "nr_writeback",
        /// Shared memory and tmpfs pages.
        Shmem = "nr_shmem",
        /// Pages with `MLOCKED`.
        Mlock = "nr_mlock",
        /// Pages in the swap cache.
        Swapcached = "nr_swapcached",
        /// Pages that came here from a slower node because their users run here.
        PgpromoteSuccess = "pgpromote_success",
        /// Pages that reclaim sent from here to a slower node.
        PgdemoteDirect = "pgdemote_direct",
    }
}

names! {
    /// Events of the machine.
    Event {
        /// Pages allocated, in base pages.
        Pgalloc = "pgalloc",
        /// Pages freed, in base pages.
        Pgfree = "pgfree",
        /// Inactive to active.
        Pgactivate = "pgactivate",
        /// Active to inactive.
        Pgdeactivate = "pgdeactivate",
        /// Anonymous pages marked freeable.
        Pglazyfree = "pglazyfree",
        /// Freeable anonymous pages that reclaim freed.
        Pglazyfreed = "pglazyfreed",
        /// Moved to the tail of the inactive list.
        Pgrotated = "pgrotated",
        /// Page faults.
        Pgfault = "pgfault",
        /// Faults that had to read.
        Pgmajfault = "pgmajfault",
        /// Write faults that could keep the page.
        Pgreuse = "pgreuse",
        /// KiB read from disk.
        Pgpgin = "pgpgin",
        /// KiB written to disk.
        Pgpgout = "pgpgout",
        /// Looked at on an active list by reclaim.
        Pgrefill = "pgrefill",
        /// Freed, or demoted, by who keeps frames free.
        PgstealKswapd = "pgsteal_kswapd",
        /// Freed by who asked for it.
        PgstealDirect = "pgsteal_direct",
        /// Looked at on an inactive list by who keeps frames free.
        PgscanKswapd = "pgscan_kswapd",
        /// Looked at on an inactive list by who asked for it.
        PgscanDirect = "pgscan_direct",
        /// Of those: anonymous pages.
        PgscanAnon = "pgscan_anon",
        /// Of those: file pages.
        PgscanFile = "pgscan_file",
        /// Freed or demoted from the anonymous list.
        PgstealAnon = "pgsteal_anon",
        /// Freed or demoted from the file list.
        PgstealFile = "pgsteal_file",
        /// Pages read from swap.
        Pswpin = "pswpin",
        /// Pages written to swap.
        Pswpout = "pswpout",
        /// NUMA hint faults.
        NumaHintFaults = "numa_hint_faults",
        /// Of those, on pages that were where their user runs.
        NumaHintFaultsLocal = "numa_hint_faults_local",
        /// Pages that followed their users to another node.
        NumaPagesMigrated = "numa_pages_migrated",
        /// Pages migrated.
        PgmigrateSuccess = "pgmigrate_success",
        /// Pages that could not be migrated.
        PgmigrateFail = "pgmigrate_fail",
        /// Large pages of order 9 migrated whole.
        ThpMigrationSuccess = "thp_migration_success",
        /// Large pages of order 9 that could not be migrated whole.
        ThpMigrationFail = "thp_migration_fail",
        /// Of these, those that were split.
        ThpMigrationSplit = "thp_migration_split",
        /// Large pages of order 9 that were split.
        ThpSplitPage = "thp_split_page",
        /// Those that could not be.
        ThpSplitPageFailed = "thp_split_page_failed",
        /// Moved to the unevictable list.
        UnevictableCulled = "unevictable_pgs_culled",
        /// Moved back from the unevictable list.
        UnevictableRescued = "unevictable_pgs_rescued",
        /// Pages locked by mlock.
        UnevictableMlocked = "unevictable_pgs_mlocked",
        /// Pages unlocked by munlock.
        UnevictableMunlocked = "unevictable_pgs_munlocked",
        /// Freed while mlocked.
        UnevictableCleared = "unevictable_pgs_cleared",
        /// Unlocked while isolated: could not be moved back at once.
        UnevictableStranded = "unevictable_pgs_stranded",
    }
}

#[derive(Debug)]
struct Stripe {
    events: [Stat; Event::ALL.len()],
    /// Pages that migrations have moved, told where each is done; to hold their own sums against.
    #[cfg(feature = "explored")]
    moved: Stat,
    nodes: Box<[[Stat; NodeItem::ALL.len()]]>,
}

/// All striped counters of a machine.
#[derive(Debug)]
pub struct Stats {
    nodes: usize,
    /// By thread slot, made when a thread first counts.
    stripes: Box<[OnceLock<CachePadded<Stripe>>; MAX_THREADS]>,
}

impl Stats {
    /// Zeroed counters for `nodes` nodes.
    pub fn new(nodes: usize) -> Stats {
        Stats { nodes, stripes: Box::new([const { OnceLock::new() }; MAX_THREADS]) }
    }

    #[inline]
    fn mine(&self) -> &Stripe {
        self.stripes[thread_slot()].get_or_init(|| {
            CachePadded::new(Stripe {
                events: [const { Stat::new() }; Event::ALL.len()],
                #[cfg(feature = "explored")]
                moved: Stat::new(),
                nodes: (0..self.nodes).map(|_| [const { Stat::new() }; NodeItem::ALL.len()]).collect(),
            })
        })
    }

    fn all(&self) -> impl Iterator<Item = &Stripe> {
        self.stripes.iter().filter_map(|stripe| stripe.get().map(|padded| &**padded))
    }

    /// Counts `n` events.
    #[inline]
    pub fn event(&self, event: Event, n: i64) {
        self.mine().events[event as usize].add(n);
    }

    /// A migration is done with pages that have moved. Remembered while exploring only.
    #[inline]
    pub(crate) fn has_moved(&self, _pages: i64) {
        #[cfg(feature = "explored")]
        self.mine().moved.add(_pages);
    }

    /// Pages that have moved, where that is remembered.
    pub(crate) fn moved(&self) -> Option<i64> {
        #[cfg(feature = "explored")]
        return Some(self.all().map(|stripe| stripe.moved.get()).sum());
        #[cfg(not(feature = "explored"))]
        None
    }

    /// Adds to a node's counter.
    #[inline]
    pub fn node(&self, node: usize, item: NodeItem, n: i64) {
        self.mine().nodes[node][item as usize].add(n);
    }

    /// Total of an event.
    pub fn events(&self, event: Event) -> i64 {
        self.all().map(|stripe| stripe.events[event as usize].get()).sum()
    }

    /// A node's counter; 0 of a node that is not there.
    pub fn on_node(&self, node: usize, item: NodeItem) -> i64 {
        self.all().filter_map(|stripe| stripe.nodes.get(node)).map(|items| items[item as usize].get()).sum()
    }
}
