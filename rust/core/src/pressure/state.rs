//! The state of memory pressure of a machine: whether it is on, the marks of threads that reclaim, and
//! the words on which the daemons sleep.

use crate::alloc::pageblock::MigrateType;
use crate::error::{Errno, Error, Why};
use crate::sync::{AtomicU32, AtomicU64, Lock, LockClass, MAX_THREADS, Ordering, PlainU32, thread_slot};

/// The contexts of a thread, as bits. They limit the means of the thread's allocations.
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
    /// The thread pins pages for a long time (`PF_MEMALLOC_PIN`): the pages that its faults allocate do not
    /// move.
    pub const PINS: u32 = 8;
}

/// The nodes that may serve an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The node that is asked, and no other (`__GFP_THISNODE`).
    Node,
    /// The node that is asked, then all others in the order of their numbers.
    Near,
    /// The nodes whose bits are set (`nodemask_t`): the node that is asked first if it is one of
    /// them, then the others in the order of their numbers.
    Among(u32),
}

impl Reach {
    /// The mask of some nodes.
    pub fn among(nodes: impl Iterator<Item = usize>) -> Reach {
        Reach::Among(nodes.fold(0, |mask, node| mask | 1 << node))
    }

    fn allows(self, asked: usize, node: usize) -> bool {
        match self {
            Reach::Node => node == asked,
            Reach::Near => true,
            Reach::Among(mask) => mask & 1 << node != 0,
        }
    }
}

/// The work that an allocation does before it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// None: the daemons are woken, and the reserve stays untouched (`GFP_NOWAIT`).
    NoWait,
    /// One round of reclaim (`__GFP_NORETRY`).
    Once,
    /// All rounds that may help, for a block of up to 8 frames; if they do not help, the machine is out of
    /// memory. A larger block gets one round, and then the allocation fails.
    Usual,
    /// All rounds that may help, for blocks of any size. If they do not help, the allocation fails, and
    /// nobody is asked to give memory up for it (`__GFP_RETRY_MAYFAIL`).
    MayFail,
}

/// The request of an allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// The node that is asked first.
    pub node: usize,
    pub order: u8,
    pub kind: MigrateType,
    pub reach: Reach,
    pub effort: Effort,
}

impl Want {
    /// The nodes that may serve the allocation on a machine of `count` nodes, in their order.
    pub fn nodes(self, count: usize) -> impl Iterator<Item = usize> {
        let Want { node: asked, reach, .. } = self;
        let others = (0..count).filter(move |&node| node != asked);
        std::iter::once(asked).chain(others).filter(move |&node| reach.allows(asked, node))
    }

    /// The error of the allocation.
    pub fn failed(self) -> Error {
        let why = Why::NoFrame { node: self.node as u8, order: self.order };
        Error { errno: Errno::ENOMEM, pfn: None, why }
    }
}

/// The state of memory pressure of a machine.
#[derive(Debug)]
pub struct Pressure {
    enabled: bool,
    /// `min_free_kbytes`: the reserve of the whole machine.
    pub(crate) min_free_kbytes: AtomicU32,
    /// The reserve that was set; 0 if none was (`user_min_free_kbytes`).
    pub(crate) user_min_free_kbytes: AtomicU32,
    /// The number of changes of the reserve and of the memory that is online.
    pub(crate) changes: AtomicU32,
    /// The context of each thread slot.
    contexts: Box<[PlainU32; MAX_THREADS]>,
    /// The lock of the last attempt before an allocation fails (`oom_lock`).
    pub(crate) oom: Lock<()>,
}

impl Pressure {
    /// The state at the start. With `enabled`, allocations that find no frame reclaim.
    pub fn new(enabled: bool) -> Pressure {
        Pressure {
            enabled,
            min_free_kbytes: AtomicU32::new(0),
            user_min_free_kbytes: AtomicU32::new(0),
            changes: AtomicU32::new(0),
            contexts: Box::new(std::array::from_fn(|_| PlainU32::new(0))),
            oom: Lock::plain(LockClass::OutOfMemory, ()),
        }
    }

    /// True if the machine has watermarks, and allocations that find no frame reclaim.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.enabled
    }

    /// True if the calling thread is in one of these contexts.
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
        let words = [
            (&self.min_free_kbytes, "min_free_kbytes"),
            (&self.user_min_free_kbytes, "min_free_kbytes that was set"),
            (&self.changes, "changes of the watermarks"),
        ];
        if let Some((_, name)) = words.iter().find(|(word, _)| std::ptr::from_ref(*word).addr() == address) {
            return Some((*name).to_owned());
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

/// The work that waits for the daemons of a node. Each daemon has a word, on which it sleeps. The word is 0
/// while nothing waits; otherwise it is the largest order that an allocation has asked for, plus 1. The word
/// of `kcompactd` also has the bit [`Wanted::CHECK`].
#[derive(Debug)]
pub struct Wanted {
    /// The word of `kswapd` (`kswapd_order`).
    pub(crate) kswapd: AtomicU64,
    /// The word of `kcompactd` (`kcompactd_max_order`).
    pub(crate) kcompactd: AtomicU64,
    /// The number of runs of `kswapd` in a row that have freed nothing (`kswapd_failures`).
    pub(crate) failures: AtomicU32,
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted { kswapd: AtomicU64::new(0), kcompactd: AtomicU64::new(0), failures: AtomicU32::new(0) }
    }
}

impl Wanted {
    /// The node's fragmentation is to be checked now (`proactive_compact_trigger`).
    const CHECK: u64 = 1 << 8;

    /// Asks for a check of the node's fragmentation.
    pub(crate) fn ask_for_check(word: &AtomicU64) {
        // Relaxed: as in `raise`.
        word.fetch_or(Self::CHECK, Ordering::Relaxed);
    }

    /// Returns whether a check was asked for, and forgets it.
    #[cfg(not(any(loom, feature = "explored")))]
    pub(crate) fn take_check(word: &AtomicU64) -> bool {
        // Relaxed: as in `raise`.
        word.fetch_and(!Self::CHECK, Ordering::Relaxed) & Self::CHECK != 0
    }

    /// Raises a daemon's word to an order. Returns true if no order waited in the word: the daemon may sleep,
    /// and must be woken.
    pub(crate) fn raise(word: &AtomicU64, order: u8) -> bool {
        let new = u64::from(order) + 1;
        // Relaxed: the word is an order and publishes nothing. The daemon reads the state of the node
        // under the node's locks.
        let mut now = word.load(Ordering::Relaxed);
        while now & !Self::CHECK < new {
            let next = now & Self::CHECK | new;
            match word.compare_exchange_weak(now, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return now & !Self::CHECK == 0,
                Err(other) => now = other,
            }
        }
        false
    }

    /// Returns the order that waits in a daemon's word, if one does, and forgets it.
    pub(crate) fn take(word: &AtomicU64) -> Option<u8> {
        // Relaxed: as above.
        let before = word.fetch_and(Self::CHECK, Ordering::Relaxed) & !Self::CHECK;
        u8::try_from(before).ok()?.checked_sub(1)
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
