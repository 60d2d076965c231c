//! Lock classes and their order.

/// Lock classes in the documented order: a thread that holds a lock of one class
/// may block only on a lock of a *later* class (`docs/design.md`; lifecycle 4.3). The page
/// lock is a bit of the page word, and the page-table lock a bit of the entry; they are listed here
/// so that one order covers all locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LockClass {
    /// Serialises onlining and offlining of memory blocks (`device_hotplug_lock`). Its holder
    /// migrates pages, and takes the lock of memory failure after the migrations.
    Hotplug,
    /// Serialises memory failure, soft offline and unpoison (`mf_mutex`).
    Failure,
    /// The areas of an address space (`mmap_lock`).
    Mmap,
    /// Keeps fork, unmap and other changes, which take the lock for writing, apart from the faults of
    /// the address space, which take it for reading (per-VMA locks).
    Faults,
    /// A file's size and content changes (`invalidate_lock`).
    Invalidate,
    /// The page lock (a bit of the page word). A second page lock may be taken only by trylock.
    Page,
    /// The last attempt of an allocation that is out of memory (`oom_lock`). Its holder takes free
    /// frames, and has the balloon deflated.
    OutOfMemory,
    /// Reverse map of an owner: `i_mmap` and `anon_vma` locks.
    Rmap,
    /// A page-table entry's lock bit.
    PageTable,
    /// Swap slots.
    Swap,
    /// A file's page index (`i_pages`).
    Tree,
    /// Serialises drains of all CPUs' batches (`lru_add_drain_all`). The class comes after the page
    /// lock, because memory failure drains with the page locked. A drain waits for no page lock.
    BatchControl,
    /// A block of a zram device (a bit of its word).
    ZramBlock,
    /// The pin bit of a zsmalloc handle.
    ZsHandle,
    /// A zsmalloc pool's lock for moves (`migrate_lock`).
    ZsPool,
    /// The lock of a zspage, in the kernels that take it before the class lock.
    ZsChain,
    /// The work of a balloon with its host (`balloon_lock`). A migration, which holds page locks,
    /// only tries to take it; an allocation that has found no frame waits for it.
    Balloon,
    /// A movable driver's own lists (balloon `pages_lock`, zsmalloc class lock).
    Driver,
    /// The lock of a zspage, in the kernels that take it after the class lock.
    Zspage,
    /// Striped locks of the `hook` release design.
    Hook,
    /// A CPU's LRU batches.
    Batch,
    /// The LRU lists of one node.
    Lruvec,
    /// A CPU's array of free frames of one node.
    Pcp,
    /// A node's buddy lists.
    Zone,
    /// Locks outside of the page protocol: registries, deferred releases, logs. No other lock is
    /// taken under them.
    Leaf,
}

impl LockClass {
    /// Number of classes.
    pub const COUNT: usize = LockClass::Leaf as usize + 1;

    /// Returns the name of the class in traces.
    pub const fn name(self) -> &'static str {
        match self {
            LockClass::Hotplug => "memory hotplug lock",
            LockClass::Failure => "mf_mutex",
            LockClass::Mmap => "mmap lock",
            LockClass::Faults => "fault lock",
            LockClass::Invalidate => "invalidate lock",
            LockClass::Page => "page lock",
            LockClass::OutOfMemory => "oom_lock",
            LockClass::Rmap => "rmap lock",
            LockClass::PageTable => "page table lock",
            LockClass::Swap => "swap lock",
            LockClass::Tree => "i_pages lock",
            LockClass::BatchControl => "lru_drain lock",
            LockClass::ZramBlock => "zram block lock",
            LockClass::ZsHandle => "zsmalloc handle pin",
            LockClass::ZsPool => "zsmalloc pool lock",
            LockClass::ZsChain => "zspage lock",
            LockClass::Balloon => "balloon lock",
            LockClass::Driver => "driver lock",
            LockClass::Zspage => "zspage lock",
            LockClass::Hook => "hook lock",
            LockClass::Batch => "pagevec lock",
            LockClass::Lruvec => "lruvec lock",
            LockClass::Pcp => "pcp lock",
            LockClass::Zone => "zone lock",
            LockClass::Leaf => "registry lock",
        }
    }

    /// Returns true if a thread that holds this lock may sleep on a page lock or on writeback. Under a
    /// spinning lock of the kernel no thread may sleep. The mutexes and semaphores that come after the page
    /// lock would allow it, but their holders never do, so the explored build forbids it for them too.
    pub const fn may_sleep_under(self) -> bool {
        (self as u8) <= LockClass::Page as u8
    }
}
