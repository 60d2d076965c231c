//! The counters, under the kernel's names.
//!
//! Node counters that a structure keeps anyway (list lengths, free frames) are read from the
//! structure. Other node counters and events are striped by thread: counting is an ordinary
//! addition on the thread's own cache line, and a read sums the stripes.

use crate::sync::{MAX_THREADS, OnceBox, Stat, thread_slot};
use crossbeam_utils::CachePadded;

macro_rules! names {
    ($(#[$doc:meta])* $enum:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $enum { $($(#[$vdoc])* $variant,)* }

        impl $enum {
            /// All counters, in the order of /proc/vmstat.
            pub const ALL: &'static [$enum] = &[$($enum::$variant,)*];

            /// The counter's name in /proc/vmstat.
            pub const fn name(self) -> &'static str {
                match self { $($enum::$variant => $text,)* }
            }
        }
    };
}

names! {
    /// Counters of a node that no structure keeps for another purpose. They count base pages.
    NodeItem {
        /// Allocations that this node was asked for and served. A large page counts as one.
        NumaHit = "numa_hit",
        /// Allocations that this node served in place of another one.
        NumaMiss = "numa_miss",
        /// Allocations that this node was asked for and another one served.
        NumaForeign = "numa_foreign",
        /// Anonymous pages off the LRU for migration or reclaim.
        IsolatedAnon = "nr_isolated_anon",
        /// File pages off the LRU for migration or reclaim.
        IsolatedFile = "nr_isolated_file",
        /// Anonymous pages read back after their eviction.
        WorkingsetRefaultAnon = "workingset_refault_anon",
        /// File pages read back after their eviction.
        WorkingsetRefaultFile = "workingset_refault_file",
        /// Refaulted anonymous pages that were activated at once.
        WorkingsetActivateAnon = "workingset_activate_anon",
        /// Refaulted file pages that were activated at once.
        WorkingsetActivateFile = "workingset_activate_file",
        /// Refaulted anonymous pages that had been active before their eviction.
        WorkingsetRestoreAnon = "workingset_restore_anon",
        /// Refaulted file pages that had been active before their eviction.
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
        /// Pages of zsmalloc's zspages.
        Zspages = "nr_zspages",
        /// Pages promoted to this node from a slower one, because their users run here.
        PgpromoteSuccess = "pgpromote_success",
        /// Pages that reclaim demoted from this node to a slower one.
        PgdemoteDirect = "pgdemote_direct",
        /// Pages in the balloon, in kernels that count them (`balloon_counted`).
        BalloonPages = "nr_balloon_pages",
    }
}

names! {
    /// Events of the machine.
    Event {
        /// Pages allocated, in base pages.
        Pgalloc = "pgalloc",
        /// Pages freed, in base pages.
        Pgfree = "pgfree",
        /// Pages moved from an inactive to an active list.
        Pgactivate = "pgactivate",
        /// Pages moved from an active to an inactive list.
        Pgdeactivate = "pgdeactivate",
        /// Anonymous pages that were marked freeable.
        Pglazyfree = "pglazyfree",
        /// Freeable anonymous pages that reclaim freed.
        Pglazyfreed = "pglazyfreed",
        /// Pages moved to the tail of the inactive list.
        Pgrotated = "pgrotated",
        /// Allocations that reclaimed pages themselves.
        Allocstall = "allocstall",
        /// Page faults.
        Pgfault = "pgfault",
        /// Faults that had to read from a store.
        Pgmajfault = "pgmajfault",
        /// Write faults that kept the page instead of copying it.
        Pgreuse = "pgreuse",
        /// Runs of reclaim in the background.
        Pageoutrun = "pageoutrun",
        /// Allocations that ended with "out of memory", where a kernel kills a process.
        OomKill = "oom_kill",
        /// KiB read from disk.
        Pgpgin = "pgpgin",
        /// KiB written to disk.
        Pgpgout = "pgpgout",
        /// Pages scanned on an active list by reclaim.
        Pgrefill = "pgrefill",
        /// Pages freed or demoted by background reclaim.
        PgstealKswapd = "pgsteal_kswapd",
        /// Pages freed by direct reclaim.
        PgstealDirect = "pgsteal_direct",
        /// Pages scanned on an inactive list by background reclaim.
        PgscanKswapd = "pgscan_kswapd",
        /// Pages scanned on an inactive list by direct reclaim.
        PgscanDirect = "pgscan_direct",
        /// Anonymous pages scanned on an inactive list.
        PgscanAnon = "pgscan_anon",
        /// File pages scanned on an inactive list.
        PgscanFile = "pgscan_file",
        /// Pages freed or demoted from an anonymous list.
        PgstealAnon = "pgsteal_anon",
        /// Pages freed or demoted from a file list.
        PgstealFile = "pgsteal_file",
        /// Pages read from swap.
        Pswpin = "pswpin",
        /// Pages written to swap.
        Pswpout = "pswpout",
        /// NUMA hint faults.
        NumaHintFaults = "numa_hint_faults",
        /// NUMA hint faults on pages that were on the node of their user.
        NumaHintFaultsLocal = "numa_hint_faults_local",
        /// Pages migrated to the node of their user after a hint fault.
        NumaPagesMigrated = "numa_pages_migrated",
        /// Pages migrated.
        PgmigrateSuccess = "pgmigrate_success",
        /// Pages that could not be migrated.
        PgmigrateFail = "pgmigrate_fail",
        /// Frames at which the migrate scanner of compaction looked.
        CompactMigrateScanned = "compact_migrate_scanned",
        /// Frames at which the free scanner of compaction looked.
        CompactFreeScanned = "compact_free_scanned",
        /// Pages and free frames that the scanners of compaction took.
        CompactIsolated = "compact_isolated",
        /// Allocations that compacted a node themselves.
        CompactStall = "compact_stall",
        /// Of these, the ones that found no block afterwards.
        CompactFail = "compact_fail",
        /// Of these, the ones that found a block afterwards.
        CompactSuccess = "compact_success",
        /// Runs of compaction in the background.
        CompactDaemonWake = "compact_daemon_wake",
        /// Frames at which the migrate scanner looked in the background.
        CompactDaemonMigrateScanned = "compact_daemon_migrate_scanned",
        /// Frames at which the free scanner looked in the background.
        CompactDaemonFreeScanned = "compact_daemon_free_scanned",
        /// Huge pages that the pool got from the buddy allocator.
        HtlbBuddyAllocSuccess = "htlb_buddy_alloc_success",
        /// Huge pages that the pool did not get from the buddy allocator.
        HtlbBuddyAllocFail = "htlb_buddy_alloc_fail",
        /// Large pages of order 9 migrated whole.
        ThpMigrationSuccess = "thp_migration_success",
        /// Large pages of order 9 that could not be migrated whole.
        ThpMigrationFail = "thp_migration_fail",
        /// Large pages of order 9 that were split because they could not be migrated whole.
        ThpMigrationSplit = "thp_migration_split",
        /// Large pages of order 9 that a fault has mapped.
        ThpFaultAlloc = "thp_fault_alloc",
        /// Faults for which no large page of order 9 could be allocated.
        ThpFaultFallback = "thp_fault_fallback",
        /// Large pages of order 9 that were split.
        ThpSplitPage = "thp_split_page",
        /// Large pages of order 9 that could not be split.
        ThpSplitPageFailed = "thp_split_page_failed",
        /// Large pages of order 9 that wait to be split because one of their parts was unmapped.
        ThpDeferredSplitPage = "thp_deferred_split_page",
        /// Large pages of order 9 that were written to swap as a whole.
        ThpSwpout = "thp_swpout",
        /// Large pages of order 9 that were split because swap had no run of slots for them.
        ThpSwpoutFallback = "thp_swpout_fallback",
        /// Pages moved to the unevictable list.
        UnevictableCulled = "unevictable_pgs_culled",
        /// Pages moved back from the unevictable list.
        UnevictableRescued = "unevictable_pgs_rescued",
        /// Pages locked by mlock.
        UnevictableMlocked = "unevictable_pgs_mlocked",
        /// Pages unlocked by munlock.
        UnevictableMunlocked = "unevictable_pgs_munlocked",
        /// Pages freed while mlocked.
        UnevictableCleared = "unevictable_pgs_cleared",
        /// Pages unlocked while isolated, which could not be moved back at once.
        UnevictableStranded = "unevictable_pgs_stranded",
        /// Pages that the balloon has taken from the machine.
        BalloonInflate = "balloon_inflate",
        /// Pages that the balloon has given back.
        BalloonDeflate = "balloon_deflate",
        /// Pages of the balloon that were migrated.
        BalloonMigrate = "balloon_migrate",
    }
}

#[derive(Debug)]
struct Stripe {
    events: [Stat; Event::ALL.len()],
    /// Pages moved by migrations, counted at each move; the audit compares them with
    /// `pgmigrate_success`.
    #[cfg(feature = "explored")]
    moved: Stat,
    nodes: Box<[[Stat; NodeItem::ALL.len()]]>,
}

/// All striped counters of a machine.
#[derive(Debug)]
pub struct Stats {
    nodes: usize,
    /// The stripes by thread slot. A stripe is made when its thread first counts.
    stripes: Box<[OnceBox<CachePadded<Stripe>>; MAX_THREADS]>,
}

impl Stats {
    /// Zeroed counters for `nodes` nodes.
    pub fn new(nodes: usize) -> Stats {
        Stats { nodes, stripes: Box::new([const { OnceBox::new() }; MAX_THREADS]) }
    }

    #[inline]
    fn mine(&self) -> &Stripe {
        self.stripes[thread_slot()].get_or_init(|| {
            Box::new(CachePadded::new(Stripe {
                events: [const { Stat::new() }; Event::ALL.len()],
                #[cfg(feature = "explored")]
                moved: Stat::new(),
                nodes: (0..self.nodes).map(|_| [const { Stat::new() }; NodeItem::ALL.len()]).collect(),
            }))
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

    /// Counts pages that a migration has moved. Only the explored build counts them.
    #[inline]
    pub(crate) fn has_moved(&self, _pages: i64) {
        #[cfg(feature = "explored")]
        self.mine().moved.add(_pages);
    }

    /// The number of pages that migrations have moved; `None` in builds that do not count it.
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

    /// Counts an allocation of `pages` base pages from a node. The allocation of one base page
    /// costs one addition, because the total of `pgalloc` takes the first page of each allocation
    /// from its node's `numa_hit`.
    #[inline]
    pub fn allocated(&self, node: usize, pages: i64) {
        self.node(node, NodeItem::NumaHit, 1);
        if pages > 1 {
            self.event(Event::Pgalloc, pages - 1);
        }
    }

    /// Counts `n` allocations of one base page each from a node.
    #[inline]
    pub fn allocated_singly(&self, node: usize, n: i64) {
        self.node(node, NodeItem::NumaHit, n);
    }

    /// The total of an event.
    pub fn events(&self, event: Event) -> i64 {
        let counted = self.all().map(|stripe| stripe.events[event as usize].get()).sum::<i64>();
        match event {
            // The first page of each allocation is counted in its node's `NumaHit`, see
            // `allocated`.
            Event::Pgalloc => {
                counted + (0..self.nodes).map(|node| self.sum(node, NodeItem::NumaHit)).sum::<i64>()
            }
            _ => counted,
        }
    }

    /// Returns the number of events that the calling thread, and earlier threads in its slot, have counted.
    /// The difference of two reads is the number that the calling thread has counted in between. For
    /// [`Event::Pgalloc`] use [`Stats::events`].
    pub fn own_events(&self, event: Event) -> i64 {
        self.mine().events[event as usize].get()
    }

    /// A node's counter; 0 for a node that does not exist.
    pub fn on_node(&self, node: usize, item: NodeItem) -> i64 {
        match item {
            // The stripes count each allocation that a node served as a hit. Those that another
            // node was asked for are subtracted here.
            NodeItem::NumaHit => self.sum(node, item) - self.sum(node, NodeItem::NumaMiss),
            _ => self.sum(node, item),
        }
    }

    fn sum(&self, node: usize, item: NodeItem) -> i64 {
        self.all().filter_map(|stripe| stripe.nodes.get(node)).map(|items| items[item as usize].get()).sum()
    }
}

/// A sum that is collected for one counter of one node, and then added to the counter in one step. This
/// happens when a number for another counter or node comes, and when the value is dropped.
#[derive(Debug)]
pub(crate) struct NodeSum<'a> {
    stats: &'a Stats,
    node: usize,
    item: NodeItem,
    sum: i64,
}

impl<'a> NodeSum<'a> {
    #[inline]
    pub(crate) fn new(stats: &'a Stats) -> Self {
        NodeSum { stats, node: 0, item: NodeItem::AnonPages, sum: 0 }
    }

    /// Adds `n` to a counter of a node.
    #[inline]
    pub(crate) fn add(&mut self, node: usize, item: NodeItem, n: i64) {
        if (node, item) != (self.node, self.item) {
            self.stats.node(self.node, self.item, self.sum);
            (self.node, self.item, self.sum) = (node, item, 0);
        }
        self.sum += n;
    }
}

impl Drop for NodeSum<'_> {
    #[inline]
    fn drop(&mut self) {
        self.stats.node(self.node, self.item, self.sum);
    }
}
