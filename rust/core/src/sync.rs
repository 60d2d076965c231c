//! The one door to atomics, locks, cells, parking and threads.
//!
//! Code in other rooms says `use crate::sync::...` and never names a runtime. The same source is
//! compiled several times, and this file chooses the door that provides the names in each build:
//!
//! | crate | hands out | for |
//! |---|---|---|
//! | `mmcore` | `std` atomics, `parking_lot` locks | real threads at native speed |
//! | `mmcore-counted` | the same with counters ([`ops`]) | counting the atomics of a migrated page |
//! | `mmcore-explored` | coroutine types whose every operation is a scheduling step | proofs |
//! | `mmcore`, `--cfg loom` | loom's types, each ordering weakened on demand | weak-memory models |
//!
//! # The vocabulary
//!
//! * [`AtomicU64`], [`AtomicU32`], [`fence`], [`Ordering`]: words on which threads race. Each access is a
//!   step.
//! * [`PlainU64`], [`PlainU32`]: data that a *protocol* protects (list links under a lruvec lock, a record's
//!   fields while the count is frozen). In the native build an access is a relaxed load or store, which costs
//!   as much as a plain one. In the explored build it is no step, but a vector-clock race detector watches it
//!   and reports two unordered accesses of which one is a write. `peek` alone reads without protection, and
//!   the caller checks the value again.
//! * [`Lock`], [`RwLock`]: each has a [`LockClass`], its place in the documented order. The explored build
//!   checks the order at every acquisition that may wait. The counting build counts the acquisitions of
//!   lruvec locks, of batch locks, and of all other locks. The contents of a lock are `Clone`, because the
//!   explored build restores them after each schedule.
//! * [`park`], [`unpark_one`], [`unpark_all`]: sleeping on a word, hashed by address as the kernel hashes its
//!   wait queues.
//! * [`park_patiently`]: a sleep with a deadline, for callers that must return regularly ([`patiently`]).
//! * [`spin_until`]: a wait on one word (a bit lock, a thread's section); the protocol bounds the wait. The
//!   explorer treats the wait as blocking, so that it costs no steps.
//! * [`acquired`], [`released`]: report locks that are bits of a word (the page lock, a page-table entry's
//!   lock) to the explorer, so that one lock order covers them too. In other builds they do nothing.
//! * [`expect_held`]: states that the caller holds a bit lock; the explored build checks it.
//! * [`expect_may_sleep`]: states that the caller holds no lock under which a thread must not sleep; the
//!   explored build checks it.
//! * [`Stat`]: a statistic. Its accesses are no steps and synchronise nothing.
//! * [`OnceBox`]: a value that the first user makes and that stays. Its accesses are no steps.
//!   `std::sync::OnceLock` would not do: its release is in the standard library, where ThreadSanitizer does
//!   not see it.
//! * [`Tallied`]: wraps a structure whose changes the counting build counts.
//! * [`mutated`], `in_order`: known defects of the table in `mutation.rs`, present in the explored build
//!   only.
//! * [`thread_slot`]: a small dense number of the calling thread; [`ThreadSlot`]: such a number, reserved for
//!   a thread that has not started yet.
//! * [`nanoseconds`]: a clock; always 0 in the explored build and in models.
//! * [`interruptible`], [`interrupted`]: long operations that can be ended between two pages.
//! * `stoppable`, `stop_point`: threads that can be told to stop while they wait. The explored build has
//!   no `stoppable`, and its `stop_point` does nothing, because waiting takes no time there.

pub(crate) mod class;
mod interrupt;
mod limits;
mod mutation;
pub mod ops;
mod patience;

#[cfg(not(feature = "explored"))]
mod stop;
#[cfg(any(feature = "explored", not(feature = "counted")))]
mod tallied;

#[cfg(not(any(feature = "explored", loom)))]
mod broken;
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
pub use crate::mutation::Mutation;
pub use class::LockClass;
pub use door::{
    AtomicU32, AtomicU64, Guard, Lock, PlainU32, PlainU64, ReadGuard, RwLock, Stat, Tallied, ThreadSlot,
    WriteGuard, acquired, broken, claim_thread_slot, expect_held, expect_may_sleep, fence, park, released,
    spin_until, thread_slot, unpark_all, unpark_one,
};
#[cfg(all(test, not(any(feature = "explored", feature = "counted", loom))))]
pub(crate) use interrupt::ended;
pub use interrupt::{interrupted, interruptible, uninterrupted};
pub use limits::MAX_THREADS;
pub(crate) use mutation::in_order;
pub use mutation::mutated;
#[cfg(feature = "explored")]
pub use mutation::{enforce, with_mutation};
#[cfg(not(any(feature = "explored", loom)))]
pub use native::broken_rule;
pub use once_cell::race::OnceBox;
pub use patience::patiently;
pub use std::sync::atomic::Ordering;
#[cfg(not(feature = "explored"))]
pub use stop::{Stop, Stopped, is_stop, stoppable};

/// Sleeps like [`park`], but not beyond the deadline that [`patiently`] has set; returns false once
/// the deadline has passed.
pub fn park_patiently(word: &AtomicU64, validate: impl Fn() -> bool) -> bool {
    #[cfg(not(any(feature = "explored", loom)))]
    if let Some(until) = patience::until() {
        return door::park_until(word, validate, until);
    }
    park(word, validate);
    true
}

/// Unwinds the calling thread if its `Stop` was requested. Each long loop of a program's operations
/// calls it, because a thread that never waits would not notice the request otherwise.
#[inline]
pub fn stop_point() {
    #[cfg(not(feature = "explored"))]
    stop::check_stop();
}

/// Waits up to 20 ms until the condition holds (`reclaim_throttle`); returns true if the time is over and the
/// condition never held. In the explored build and in models the time is over at once: the function returns
/// true without a look at the condition.
pub fn wait_briefly(condition: &dyn Fn() -> bool) -> bool {
    #[cfg(not(any(feature = "explored", loom)))]
    for _ in 0..20 {
        stop_point();
        std::thread::sleep(std::time::Duration::from_millis(1));
        if condition() {
            return false;
        }
    }
    let _ = condition;
    true
}

/// Returns the nanoseconds since the first call; always 0 in the explored build and in models,
/// where no result may depend on a clock.
pub fn nanoseconds() -> u64 {
    static BEGIN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    if cfg!(any(feature = "explored", loom)) { 0 } else { BEGIN.elapsed().as_nanos() as u64 }
}
