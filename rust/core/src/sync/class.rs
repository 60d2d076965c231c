//! Lock classes and their order.

/// What a lock protects, in the documented order: a thread that holds a lock of one class
/// may only block on a lock of a *later* class (`docs/design.md`; lifecycle 4.3). The page
/// lock is a bit of the page word, the page-table lock a bit of the entry; they appear here so
/// that one order covers all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LockClass {
    /// Serialises memory failure, soft offline and unpoison (`mf_mutex`).
    Failure,
    /// The areas of an address space (`mmap_lock`).
    Mmap,
    /// Faults of an address space (shared) against fork and unmap (per-VMA locks).
    Faults,
    /// A file's size and content changes (`invalidate_lock`).
    Invalidate,
    /// The page lock (a bit of the page word). A second one only by trylock.
    Page,
    /// Reverse map of an owner: `i_mmap` and `anon_vma` locks.
    Rmap,
    /// A page-table entry's lock bit.
    PageTable,
    /// Swap slots.
    Swap,
    /// A file's page index (`i_pages`).
    Tree,
    /// Serialises drains of all CPUs' batches (`lru_add_drain_all`). Inside the page lock: memory failure drains with the
    /// page locked, and a drain waits for no page.
    BatchControl,
    /// A movable driver's own lists (balloon `pages_lock`, zsmalloc class lock).
    Driver,
    /// Striped locks of the `hook` release design.
    Hook,
    /// A CPU's LRU batches.
    Batch,
    /// The LRU lists of one node.
    Lruvec,
    /// A CPU's free lists.
    Pcp,
    /// A node's buddy lists.
    Zone,
    /// Leaves outside of the protocol: registries, deferred releases, logs.
    Leaf,
}

impl LockClass {
    /// Number of classes.
    pub const COUNT: usize = LockClass::Leaf as usize + 1;

    /// What a lock of this class is called in traces.
    pub const fn name(self) -> &'static str {
        match self {
            LockClass::Failure => "mf_mutex lock",
            LockClass::Mmap => "mmap lock",
            LockClass::Faults => "fault lock",
            LockClass::Invalidate => "invalidate lock",
            LockClass::Page => "page lock",
            LockClass::Rmap => "rmap lock",
            LockClass::PageTable => "page table lock",
            LockClass::Swap => "swap lock",
            LockClass::Tree => "i_pages lock",
            LockClass::BatchControl => "lru_drain lock",
            LockClass::Driver => "driver lock",
            LockClass::Hook => "hook lock",
            LockClass::Batch => "pagevec lock",
            LockClass::Lruvec => "lruvec lock",
            LockClass::Pcp => "pcp lock",
            LockClass::Zone => "zone lock",
            LockClass::Leaf => "registry lock",
        }
    }

    /// May a thread that holds this lock sleep (on a page lock, on writeback)? Spinning
    /// classes of the kernel forbid it.
    pub const fn may_sleep_under(self) -> bool {
        (self as u8) <= LockClass::Page as u8
    }
}
