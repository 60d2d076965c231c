//! The one door to atomics, locks, cells, parking and threads.
//!
//! Everything above says `use crate::sync::...` and never names a runtime. The same source
//! is compiled several times, and this file decides what the names mean:
//!
//! | crate | hands out | for |
//! |---|---|---|
//! | `mmcore` | `std` atomics, `parking_lot` locks | real threads at native speed |
//! | `mmcore-counted` | the same behind counters ([`ops`]) | "how many atomics does a migrated page cost?" |
//! | `mmcore-explored` | coroutine types whose every operation is a scheduling step | proofs |
//! | `mmcore`, `--cfg loom` | loom's types, each ordering weakened on demand | weak-memory models |
//!
//! # The vocabulary
//!
//! * [`AtomicU64`], [`AtomicU32`], [`fence`], [`Ordering`]: what threads race on. A step each.
//! * [`PlainU64`], [`PlainU32`]: data that a *protocol* protects (list links under a lruvec lock, a
//!   record's fields while the count is frozen). Natively a relaxed load or store, which costs
//!   what a plain one does; under the explorer no step, but watched by a vector-clock race
//!   detector: two unordered accesses, one of them a write, are a finding. `peek` is the
//!   exception for looks that are racy on purpose and re-checked later.
//! * [`Lock`], [`RwLock`]: a [`LockClass`] says where the lock stands in the documented order; the
//!   explored build checks it at every acquisition, the counting build counts per class. What a
//!   lock protects is `Clone`: the explored build puts the old value back after each schedule.
//! * [`park`], [`unpark_one`], [`unpark_all`]: sleeping on a word, hashed by address as the kernel
//!   hashes its wait queues.
//! * [`park_patiently`]: the same for callers that must look up now and then ([`patiently`]).
//! * [`spin_until`]: a bounded-by-protocol wait on one word (a bit lock, a thread's section). The
//!   explorer treats it as blocking, so that waiting costs no steps.
//! * [`acquired`], [`released`]: tell the explorer about locks that are bits of a word (the page
//!   lock, a page-table entry's lock), so that one order covers them too. Nothing elsewhere.
//! * [`expect_held`]: what says "the caller holds the lock" can say it so; the explored build checks it.
//! * [`Stat`]: a statistic. Never a step, never a synchronisation.
//! * [`Tallied`]: wraps a structure whose mutations the counting build counts.
//! * [`mutated`]: known defects, present in the explored build only.
//! * [`thread_slot`]: a small dense number of the calling thread; [`ThreadSlot`]: one for a thread to come.
//! * [`nanoseconds`]: a clock, where there is one.
//! * `stoppable`, `rest`: threads that can be told to stop while they wait. Not in the explored build, where waiting
//!   takes no time.

mod class;
mod mutation;
pub mod ops;
mod patience;

#[cfg(not(feature = "explored"))]
mod stop;
#[cfg(any(feature = "explored", not(feature = "counted")))]
mod tallied;

#[cfg(not(any(feature = "explored", loom)))]
mod slots;

#[cfg(not(any(feature = "explored", loom)))]
#[allow(unsafe_code, reason = "parking by address")]
mod native;
#[cfg(not(any(feature = "explored", feature = "counted", loom)))]
use native as door;

#[cfg(loom)]
#[allow(unsafe_code, reason = "plain data is shared by a model's threads")]
pub mod loom;
#[cfg(loom)]
use self::loom as door;

#[cfg(all(feature = "counted", not(feature = "explored")))]
mod counted;
#[cfg(all(feature = "counted", not(feature = "explored")))]
use counted as door;

#[cfg(feature = "explored")]
#[allow(unsafe_code, reason = "coroutines, the journal and cells confined to one OS thread")]
pub mod explored;
#[cfg(feature = "explored")]
use explored as door;

#[cfg(loom)]
pub use self::loom::broken_rule;
pub use class::LockClass;
pub use door::{
    AtomicU32, AtomicU64, Guard, Lock, PlainU32, PlainU64, ReadGuard, RwLock, Stat, Tallied, ThreadSlot,
    WriteGuard, acquired, broken, claim_thread_slot, expect_held, fence, park, released, spin_until,
    thread_slot, unpark_all, unpark_one,
};
pub use mutation::{Mutation, mutated};
#[cfg(feature = "explored")]
pub use mutation::{enforce, with_mutation};
#[cfg(not(any(feature = "explored", loom)))]
pub use native::broken_rule;
pub use patience::patiently;
pub use std::sync::atomic::Ordering;
#[cfg(not(feature = "explored"))]
pub use stop::{Stop, Stopped, is_stop, stoppable};

/// [`park`] for who may have run out of patience (see [`patiently`]): false if so.
pub fn park_patiently(word: &AtomicU64, validate: impl Fn() -> bool) -> bool {
    #[cfg(not(any(feature = "explored", loom)))]
    if let Some(until) = patience::until() {
        return door::park_until(word, validate, until);
    }
    park(word, validate);
    true
}

/// Threads that may use machines at the same time: the size of the tables indexed by
/// [`thread_slot`]. Few in the explored build and in models, where a pass over such a table costs steps.
pub const MAX_THREADS: usize = if cfg!(loom) {
    4
} else if cfg!(feature = "explored") {
    8
} else {
    256
};

/// A place where the calling thread may be told to stop (`Stop`): in each long loop of who runs programs.
#[inline]
pub fn rest() {
    #[cfg(not(feature = "explored"))]
    stop::look();
}

/// Nanoseconds since the first question. Always 0 in the explored build and in models: nothing there may
/// depend on a clock.
pub fn nanoseconds() -> u64 {
    static BEGIN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    if cfg!(any(feature = "explored", loom)) { 0 } else { BEGIN.elapsed().as_nanos() as u64 }
}
