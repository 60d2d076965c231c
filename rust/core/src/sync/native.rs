//! The native door: `std` atomics and `parking_lot`, with nothing in between.

use super::{LockClass, Ordering, stop::look};
use std::sync::atomic::AtomicI64;

pub use parking_lot::{MutexGuard as Guard, RwLockReadGuard as ReadGuard, RwLockWriteGuard as WriteGuard};
pub use std::sync::atomic::{AtomicU32, AtomicU64};

pub use super::slots::{ThreadSlot, claim_thread_slot, thread_slot};
#[cfg(not(feature = "counted"))]
pub use super::tallied::Tallied;
#[cfg(not(feature = "counted"))]
pub use std::sync::atomic::fence;

/// A mutual-exclusion lock. The class costs nothing here.
#[derive(Debug, Default)]
pub struct Lock<T>(parking_lot::Mutex<T>);

impl<T> Lock<T> {
    /// A lock of `class` around `value`.
    pub const fn new(_class: LockClass, value: T) -> Self {
        Lock(parking_lot::Mutex::new(value))
    }

    /// A lock of `class` around plain values; only the explored build makes a difference.
    pub const fn plain(class: LockClass, value: T) -> Self {
        Lock::new(class, value)
    }

    /// Blocks until the lock is held.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T> {
        self.0.lock()
    }

    /// Takes the lock if nobody holds it.
    #[inline]
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.0.try_lock()
    }

    /// Access without locking, proved by the exclusive borrow.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

/// A readers-writer lock.
#[derive(Debug, Default)]
pub struct RwLock<T>(parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    /// A lock of `class` around `value`.
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

    /// Access without locking, proved by the exclusive borrow.
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

        // Relaxed everywhere: the value is protected by a protocol whose own atomics order the
        // accesses; a relaxed access compiles to the plain instruction and keeps a look that
        // loses the race (`peek`) from being undefined behaviour.
        impl $name {
            /// A cell holding `value`.
            pub const fn new(value: $int) -> Self {
                $name(<$atomic>::new(value))
            }

            /// Reads under the protocol's protection.
            #[inline]
            pub fn get(&self) -> $int {
                self.0.load(Ordering::Relaxed)
            }

            /// Writes under the protocol's protection.
            #[inline]
            pub fn set(&self, value: $int) {
                self.0.store(value, Ordering::Relaxed)
            }

            /// Reads without protection; the caller re-checks.
            #[inline]
            pub fn peek(&self) -> $int {
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

/// A statistic with one writer at a time (a thread's stripe): orders nothing, costs an ordinary
/// addition.
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
        // Relaxed, and no read-modify-write: nobody else writes this stripe; exact sums are read at
        // quiet moments only.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The value; exact when nobody is adding.
    #[inline]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sleeps on `word` until unparked, if `validate` still holds once queued. May wake for no
/// reason; the caller re-checks. `validate` only looks: the explorer asks it again to tell a
/// sleeper with a reason from a lost wake-up.
pub fn park(word: &AtomicU64, validate: impl Fn() -> bool) {
    let key = std::ptr::from_ref(word).addr();
    // A thread that may be told to stop wakes up now and then, and hears it at the next call.
    let until = look().map(|next| std::time::Instant::now() + next);
    // SAFETY: the key is the address of a word that the caller borrows for the whole call, so no
    // other crate parks on it; the three closures neither panic nor call into parking_lot.
    unsafe {
        parking_lot_core::park(key, validate, || {}, |_, _| {}, parking_lot_core::DEFAULT_PARK_TOKEN, until);
    }
}

/// The same, but not longer than `until`: false if that is past.
pub fn park_until(word: &AtomicU64, validate: impl Fn() -> bool, until: std::time::Instant) -> bool {
    let key = std::ptr::from_ref(word).addr();
    let token = parking_lot_core::DEFAULT_PARK_TOKEN;
    // SAFETY: as in `park`; a sleeper that runs out of time leaves nothing behind that the closures would have to undo.
    let parked = unsafe { parking_lot_core::park(key, validate, || {}, |_, _| {}, token, Some(until)) };
    parked != parking_lot_core::ParkResult::TimedOut
}

/// Wakes the longest sleeper on `word`. `before_wake(unparked, more)` runs under the queue's
/// lock: the moment at which a `waiters` bit may be changed without losing a sleeper.
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

/// Wakes every sleeper on `word`: those of this moment, however soon they sleep again. `before_wake` runs under the
/// queue's lock, as in [`unpark_one`].
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

/// Spins until `cond(word)` holds and returns the value that satisfied it (loaded with
/// Acquire). For waits that another running thread ends within nanoseconds; after a while the
/// processor is yielded, because that thread may have been preempted.
#[inline]
pub fn spin_until(word: &AtomicU64, cond: impl Fn(u64) -> bool) -> u64 {
    let backoff = crossbeam_utils::Backoff::new();
    loop {
        // Acquire pairs with whatever release store made the condition true.
        let value = word.load(Ordering::Acquire);
        if cond(value) {
            return value;
        }
        if backoff.is_completed() {
            look();
        }
        backoff.snooze();
    }
}

/// The calling thread now holds the bit lock `key` (the address of its word, or the frame number)
/// of `class`; `tried` if it would not have waited for it. Only the explored build listens.
#[inline(always)]
pub fn acquired(_class: LockClass, _key: usize, _tried: bool) {}

/// The bit lock `key` of `class` is about to be let go. Only the explored build listens.
#[inline(always)]
pub fn released(_class: LockClass, _key: usize) {}

/// The calling thread holds the bit lock `key` of `class`. Only the explored build asks.
#[inline(always)]
pub fn expect_held(_class: LockClass, _key: usize) {}

/// A rule of the protocol is broken: stop here, before the damage spreads.
#[cold]
#[inline(never)]
pub fn broken(rule: &'static str, detail: std::fmt::Arguments<'_>) -> ! {
    BROKEN.set(Some(rule));
    panic!("{rule}: {detail}")
}

thread_local! {
    static BROKEN: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// The rule that the calling thread last broke, once: for whoever catches its panic.
pub fn broken_rule() -> Option<&'static str> {
    BROKEN.take()
}
