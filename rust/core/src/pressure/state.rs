//! The state of memory pressure of a machine: whether it is on, the marks of threads that reclaim, and
//! the words on which the daemons sleep.

use crate::alloc::pageblock::MigrateType;
use crate::error::{Errno, Error, Why};
use crate::sync::{AtomicU32, AtomicU64, Lock, LockClass, MAX_THREADS, Ordering, PlainU32, thread_slot};

/// The contexts of a thread, as bits. They say what the thread's allocations may do.
pub mod context {
    /// The thread reclaims or compacts (`PF_MEMALLOC`): its allocations take the last frames, and
    /// reclaim nothing themselves.
    pub const RECLAIMS: u32 = 1;
    /// The thread writes to a device that swap may be on (`GFP_NOIO`): its allocations write
    /// nothing to swap.
    pub const NO_IO: u32 = 2;
    /// The thread reclaims for an allocation. The allocation's caller may hold locks, so the thread
    /// waits for no lock that a caller may hold.
    pub const ALLOCATES: u32 = 4;
}

/// The request of an allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// The node that is asked first.
    pub node: usize,
    pub order: u8,
    pub kind: MigrateType,
    /// Whether other nodes may serve, too. Only such an allocation can be out of memory.
    pub near: bool,
    /// Whether the allocation makes more than one round (no `__GFP_NORETRY`).
    pub retries: bool,
}

impl Want {
    /// The error of the allocation.
    pub fn failed(self) -> Error {
        let why = Why::NoFrame { node: self.node as u8, order: self.order };
        Error { errno: Errno::ENOMEM, pfn: None, why }
    }
}

/// The state of memory pressure of a machine.
#[derive(Debug)]
pub struct Pressure {
    on: bool,
    /// `min_free_kbytes`: the reserve of the whole machine.
    pub(crate) min_free_kbytes: AtomicU32,
    /// The context of each thread slot.
    contexts: Box<[PlainU32; MAX_THREADS]>,
    /// The lock of the last attempt before an allocation fails (`oom_lock`).
    pub(crate) oom: Lock<()>,
}

impl Pressure {
    /// The state at the start. With `on`, allocations that find no frame reclaim.
    pub fn new(on: bool, min_free_kbytes: u32) -> Pressure {
        Pressure {
            on,
            min_free_kbytes: AtomicU32::new(min_free_kbytes),
            contexts: Box::new(std::array::from_fn(|_| PlainU32::new(0))),
            oom: Lock::plain(LockClass::OutOfMemory, ()),
        }
    }

    /// Whether the machine has watermarks, and allocations that find no frame reclaim.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Whether the calling thread is in one of these contexts.
    #[inline]
    pub(crate) fn is_in(&self, bits: u32) -> bool {
        // The entry is a plain field, because only the thread that holds the slot reads or writes
        // it.
        self.contexts[thread_slot()].get() & bits != 0
    }

    /// Puts the calling thread into these contexts, too, until the guard is dropped.
    pub(crate) fn enter(&self, bits: u32) -> InContext<'_> {
        let entry = &self.contexts[thread_slot()];
        let before = entry.get();
        entry.set(before | bits);
        InContext { entry, before }
    }

    /// The name of the word at `address`, for traces. `None` for any other address.
    pub fn field_at(&self, address: usize) -> Option<String> {
        if std::ptr::from_ref(&self.min_free_kbytes).addr() == address {
            return Some("min_free_kbytes".to_owned());
        }
        let slot = self.contexts.iter().position(|word| std::ptr::from_ref(word).addr() == address)?;
        Some(format!("context of thread {slot}"))
    }
}

/// A guard: while it lives, the calling thread is in some contexts.
pub(crate) struct InContext<'a> {
    entry: &'a PlainU32,
    before: u32,
}

impl Drop for InContext<'_> {
    fn drop(&mut self) {
        self.entry.set(self.before);
    }
}

/// The work that waits for the daemons of a node. Each daemon has a word: 0 while nothing waits, and the
/// daemon sleeps on it; otherwise the largest order that an allocation has asked for, plus 1.
#[derive(Debug)]
pub struct Wanted {
    /// The word of `kswapd` (`kswapd_order`).
    pub(crate) kswapd: AtomicU64,
    /// The word of `kcompactd` (`kcompactd_max_order`).
    pub(crate) kcompactd: AtomicU64,
    /// How many runs of `kswapd` in a row have freed nothing (`kswapd_failures`).
    pub(crate) failures: AtomicU32,
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted { kswapd: AtomicU64::new(0), kcompactd: AtomicU64::new(0), failures: AtomicU32::new(0) }
    }
}

impl Wanted {
    /// Raises a daemon's word to an order. Returns true if the word was 0: the daemon may sleep, and must
    /// be woken.
    pub(crate) fn raise(word: &AtomicU64, order: u8) -> bool {
        let new = u64::from(order) + 1;
        // Relaxed: the word is an order and publishes nothing. The daemon reads the state of the node
        // under the node's locks.
        let mut now = word.load(Ordering::Relaxed);
        while now < new {
            match word.compare_exchange_weak(now, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return now == 0,
                Err(other) => now = other,
            }
        }
        false
    }

    /// Sets a daemon's word to 0 and returns the order that waited, if one did.
    pub(crate) fn take(word: &AtomicU64) -> Option<u8> {
        // Relaxed: as above.
        u8::try_from(word.swap(0, Ordering::Relaxed)).ok()?.checked_sub(1)
    }

    /// The name of the word at `address`, for traces. `None` for any other address.
    pub fn field_at(&self, address: usize) -> Option<&'static str> {
        let words =
            [(&self.kswapd, "order wanted from kswapd"), (&self.kcompactd, "order wanted from kcompactd")];
        let at = |word: &AtomicU64| std::ptr::from_ref(word).addr() == address;
        let word = words.iter().find(|(word, _)| at(word)).map(|(_, name)| *name);
        let failures = std::ptr::from_ref(&self.failures).addr() == address;
        word.or(failures.then_some("runs of kswapd that freed nothing"))
    }
}
