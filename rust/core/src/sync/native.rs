//! The native door: `std` atomics and `parking_lot`, with nothing in between.

use super::class::LockClass;
use super::stop::check_stop;
use std::sync::atomic::{AtomicI64, Ordering};

pub use parking_lot::{MutexGuard as Guard, RwLockReadGuard as ReadGuard, RwLockWriteGuard as WriteGuard};
pub use std::sync::atomic::{AtomicU32, AtomicU64};

pub use super::broken::{broken, broken_rule};
pub use super::slots::{ThreadSlot, claim_thread_slot, thread_slot};
#[cfg(not(feature = "counted"))]
pub use super::tallied::Tallied;
#[cfg(not(feature = "counted"))]
pub use std::sync::atomic::fence;

/// A mutual-exclusion lock. The class is used only by the other builds.
#[derive(Debug, Default)]
pub struct Lock<T>(parking_lot::Mutex<T>);

impl<T> Lock<T> {
    /// Makes a lock of `class` around `value`.
    pub const fn new(_class: LockClass, value: T) -> Self {
        Lock(parking_lot::Mutex::new(value))
    }

    /// Makes a lock of `class` around plain values. Only the explored build treats them
    /// differently.
    pub const fn plain(class: LockClass, value: T) -> Self {
        Lock::new(class, value)
    }

    /// Blocks until the lock is held.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T> {
        self.0.lock()
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.0.try_lock()
    }

    /// Gives access without taking the lock: the exclusive borrow proves that no thread holds it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

/// A readers-writer lock.
#[derive(Debug, Default)]
pub struct RwLock<T>(parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    /// Makes a lock of `class` around `value`.
    pub const fn new(_class: LockClass, value: T) -> Self {
        RwLock(parking_lot::RwLock::new(value))
    }

    /// Blocks until the lock is held for reading.
    #[inline]
    pub fn read(&self) -> ReadGuard<'_, T> {
        self.0.read()
    }

    /// Blocks until the lock is held for writing.
    #[inline]
    pub fn write(&self) -> WriteGuard<'_, T> {
        self.0.write()
    }

    /// Gives access without taking the lock: the exclusive borrow proves that no thread holds it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

macro_rules! plain {
    ($(#[$doc:meta])* $name:ident, $int:ty, $atomic:ty) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name($atomic);

        // Relaxed everywhere: a protocol protects the value, and that protocol's own atomics order
        // the accesses. A relaxed access compiles to the plain instruction, and it keeps a `peek`
        // that races with a writer from being undefined behaviour.
        impl $name {
            /// Makes a cell holding `value`.
            pub const fn new(value: $int) -> Self {
                $name(<$atomic>::new(value))
            }

            /// Reads under the protocol's protection.
            #[inline]
            pub fn get(&self) -> $int {
                // Relaxed: the comment above this `impl` gives the reason.
                self.0.load(Ordering::Relaxed)
            }

            /// Writes under the protocol's protection.
            #[inline]
            pub fn set(&self, value: $int) {
                // Relaxed: as in `get`.
                self.0.store(value, Ordering::Relaxed)
            }

            /// Reads without protection; the caller must check again.
            #[inline]
            pub fn peek(&self) -> $int {
                // Relaxed: the value may be of any moment, which the caller checks.
                self.0.load(Ordering::Relaxed)
            }
        }
    };
}

plain!(
    /// Four bytes of protocol-protected data.
    PlainU32,
    u32,
    AtomicU32
);
plain!(
    /// Eight bytes of protocol-protected data.
    PlainU64,
    u64,
    AtomicU64
);

/// A statistic with one writer at a time (a thread's stripe). An addition orders nothing, and costs
/// as much as a plain addition.
#[derive(Debug, Default)]
pub struct Stat(AtomicI64);

impl Stat {
    /// Starts at zero.
    pub const fn new() -> Self {
        Stat(AtomicI64::new(0))
    }

    /// Adds `n`, which may be negative.
    #[inline]
    pub fn add(&self, n: i64) {
        // Relaxed (both): only the stripe's own thread writes to it.
        // Exact sums are read only while no other thread uses the machine.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Returns the value; exact while no thread adds.
    #[inline]
    pub fn get(&self) -> i64 {
        // Relaxed: the value is exact only while no thread adds, and then nothing races.
        self.0.load(Ordering::Relaxed)
    }
}

/// Sleeps on `word` until unparked, provided that `validate` still holds once the thread is queued.
/// The thread may wake up without an unpark, so the caller must check again. `validate` must have
/// no side effects: the explorer calls it again to tell a justified sleep from a lost wake-up.
pub fn park(word: &AtomicU64, validate: impl Fn() -> bool) {
    let key = std::ptr::from_ref(word).addr();
    // A stoppable thread wakes up regularly; the caller parks again, and the check here sees the
    // stop.
    let until = check_stop().map(|interval| std::time::Instant::now() + interval);
    // SAFETY: the key is the address of a word that the caller borrows for the whole call, so no
    // other crate parks on it; the three closures neither panic nor call into parking_lot.
    unsafe {
        parking_lot_core::park(key, validate, || {}, |_, _| {}, parking_lot_core::DEFAULT_PARK_TOKEN, until);
    }
}

/// Like [`park`], but wakes at `until` at the latest. Returns false if that time has passed.
pub fn park_until(word: &AtomicU64, validate: impl Fn() -> bool, until: std::time::Instant) -> bool {
    let key = std::ptr::from_ref(word).addr();
    let token = parking_lot_core::DEFAULT_PARK_TOKEN;
    // A stoppable thread wakes up earlier if need be, and looks for the stop, as in `park`.
    let next = check_stop().map_or(until, |interval| until.min(std::time::Instant::now() + interval));
    // SAFETY: as in `park`; the timeout closure is empty, as a sleeper that times out leaves
    // nothing to undo.
    let parked = unsafe { parking_lot_core::park(key, validate, || {}, |_, _| {}, token, Some(next)) };
    parked != parking_lot_core::ParkResult::TimedOut || next < until
}

/// Wakes the thread that sleeps longest on `word`. `before_wake(unparked, more)` runs under the
/// queue's lock, so it may clear a `waiters` bit without losing a thread that is about to sleep.
pub fn unpark_one(word: &AtomicU64, before_wake: impl FnOnce(bool, bool)) {
    let key = std::ptr::from_ref(word).addr();
    // SAFETY: as in `park`; the callback only writes to the borrowed word and does not panic.
    unsafe {
        parking_lot_core::unpark_one(key, |result| {
            before_wake(result.unparked_threads > 0, result.have_more_threads);
            parking_lot_core::DEFAULT_UNPARK_TOKEN
        });
    }
}

/// Wakes all threads that sleep on `word` at this moment. A thread that sleeps again at once is not
/// woken twice. `before_wake` runs under the queue's lock, as in [`unpark_one`].
pub fn unpark_all(word: &AtomicU64, before_wake: impl FnOnce()) {
    let key = std::ptr::from_ref(word).addr();
    let all = |_| parking_lot_core::FilterOp::Unpark;
    // SAFETY: as in `unpark_one`; the filter does nothing.
    unsafe {
        parking_lot_core::unpark_filter(key, all, |_| {
            before_wake();
            parking_lot_core::DEFAULT_UNPARK_TOKEN
        });
    }
}

/// Spins until `cond(word)` holds and returns the value that satisfied it (loaded with Acquire).
/// Meant for waits that another running thread ends within nanoseconds. After some rounds the
/// thread yields the processor, because the other thread may have been preempted.
#[inline]
pub fn spin_until(word: &AtomicU64, cond: impl Fn(u64) -> bool) -> u64 {
    let backoff = crossbeam_utils::Backoff::new();
    loop {
        // Acquire pairs with the release store that made the condition true.
        let value = word.load(Ordering::Acquire);
        if cond(value) {
            return value;
        }
        if backoff.is_completed() {
            check_stop();
        }
        backoff.snooze();
    }
}

/// Reports that the calling thread has acquired the bit lock `key` (the address of its word, or the
/// frame number) of `class`; `tried` is true for a trylock. A no-op except in the explored build.
#[inline(always)]
pub fn acquired(_class: LockClass, _key: usize, _tried: bool) {}

/// Reports that the bit lock `key` of `class` is about to be released. A no-op except in the
/// explored build.
#[inline(always)]
pub fn released(_class: LockClass, _key: usize) {}

/// States that the calling thread holds the bit lock `key` of `class`. Only the explored build
/// checks the statement.
#[inline(always)]
pub fn expect_held(_class: LockClass, _key: usize) {}

/// States that the calling thread holds no lock under which it must not sleep. Only the explored
/// build checks the statement.
#[inline(always)]
pub fn expect_may_sleep() {}
