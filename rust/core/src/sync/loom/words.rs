//! Atomics, plain data and statistics of the weak-memory build.
//!
//! A failed model unwinds one of its threads, and destructors run on the way. A second failure in
//! them would abort the process, so every operation does nothing while a thread unwinds.

use super::weak;
use ::loom::cell::UnsafeCell;
use std::panic::Location;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::thread::panicking;

macro_rules! atomic {
    ($name:ident, $int:ty) => {
        /// An atomic word under the memory model.
        #[derive(Debug)]
        pub struct $name(::loom::sync::atomic::$name);

        impl Default for $name {
            fn default() -> Self {
                $name::new(0)
            }
        }

        #[allow(missing_docs, reason = "the methods are those of the standard atomic")]
        impl $name {
            pub fn new(value: $int) -> Self {
                $name(::loom::sync::atomic::$name::new(value))
            }

            #[track_caller]
            pub fn load(&self, order: Ordering) -> $int {
                match live(order, "load", Location::caller()) {
                    Some(order) => self.0.load(order),
                    None => 0,
                }
            }

            #[track_caller]
            pub fn store(&self, value: $int, order: Ordering) {
                if let Some(order) = live(order, "store", Location::caller()) {
                    self.0.store(value, order);
                }
            }

            #[track_caller]
            pub fn swap(&self, value: $int, order: Ordering) -> $int {
                match live(order, "swap", Location::caller()) {
                    Some(order) => self.0.swap(value, order),
                    None => 0,
                }
            }

            #[track_caller]
            pub fn compare_exchange(
                &self,
                old: $int,
                new: $int,
                ok: Ordering,
                err: Ordering,
            ) -> Result<$int, $int> {
                match live(ok, "compare_exchange", Location::caller()) {
                    Some(ok) => self.0.compare_exchange(old, new, ok, err),
                    None => Ok(old),
                }
            }

            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                old: $int,
                new: $int,
                ok: Ordering,
                err: Ordering,
            ) -> Result<$int, $int> {
                match live(ok, "compare_exchange_weak", Location::caller()) {
                    Some(ok) => self.0.compare_exchange(old, new, ok, err),
                    None => Ok(old),
                }
            }

            #[track_caller]
            pub fn fetch_add(&self, n: $int, order: Ordering) -> $int {
                match live(order, "fetch_add", Location::caller()) {
                    Some(order) => self.0.fetch_add(n, order),
                    None => 0,
                }
            }

            #[track_caller]
            pub fn fetch_sub(&self, n: $int, order: Ordering) -> $int {
                match live(order, "fetch_sub", Location::caller()) {
                    Some(order) => self.0.fetch_sub(n, order),
                    None => 0,
                }
            }

            #[track_caller]
            pub fn fetch_or(&self, bits: $int, order: Ordering) -> $int {
                match live(order, "fetch_or", Location::caller()) {
                    Some(order) => self.0.fetch_or(bits, order),
                    None => 0,
                }
            }

            #[track_caller]
            pub fn fetch_and(&self, bits: $int, order: Ordering) -> $int {
                match live(order, "fetch_and", Location::caller()) {
                    Some(order) => self.0.fetch_and(bits, order),
                    None => 0,
                }
            }
        }
    };
}

atomic!(AtomicU64, u64);
atomic!(AtomicU32, u32);

/// Returns the ordering to use; `None` while a thread of a failed model unwinds.
#[inline]
fn live(asked: Ordering, operation: &'static str, at: &'static Location<'static>) -> Option<Ordering> {
    if panicking() { None } else { weak::order(asked, operation, at) }
}

/// A fence, which a site may weaken or leave out.
#[track_caller]
pub fn fence(order: Ordering) {
    if let Some(order) = live(order, "fence", Location::caller()) {
        ::loom::sync::atomic::fence(order);
    }
}

/// Waits until `cond(word)` holds, yields to the other threads in between, and returns the value
/// that satisfied it, loaded with Acquire.
#[track_caller]
pub fn spin_until(word: &AtomicU64, cond: impl Fn(u64) -> bool) -> u64 {
    let at = Location::caller();
    while let Some(order) = live(Ordering::Acquire, "spin_until", at) {
        let value = word.0.load(order);
        if cond(value) {
            return value;
        }
        ::loom::thread::yield_now();
    }
    0
}

macro_rules! plain {
    ($(#[$doc:meta])* $name:ident, $int:ty, $atomic:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            /// Makes loom fail the model on two unordered accesses of which one is a write.
            watch: UnsafeCell<()>,
            /// Accessed with Relaxed: the model's threads share one OS thread.
            value: $atomic,
        }

        // SAFETY: the cell holds no data. The cell only drives loom's access checks, whose
        // bookkeeping is confined to the one OS thread that runs all threads of a model.
        unsafe impl Sync for $name {}

        impl Default for $name {
            fn default() -> Self {
                $name::new(0)
            }
        }

        impl $name {
            /// Makes a cell holding `value`.
            pub fn new(value: $int) -> Self {
                $name { watch: UnsafeCell::new(()), value: <$atomic>::new(value) }
            }

            /// Reads under the protocol's protection.
            pub fn get(&self) -> $int {
                if !panicking() {
                    self.watch.with(|_| ());
                }
                // Relaxed: loom watches the cell above, and finds an access that the protocol does not order.
                self.value.load(Ordering::Relaxed)
            }

            /// Writes under the protocol's protection.
            pub fn set(&self, value: $int) {
                if !panicking() {
                    self.watch.with_mut(|_| ());
                }
                // Relaxed: as in `get`.
                self.value.store(value, Ordering::Relaxed)
            }

            /// Reads without protection; the caller must check again.
            pub fn peek(&self) -> $int {
                // Relaxed: a `peek` is not ordered against any write.
                self.value.load(Ordering::Relaxed)
            }
        }
    };
}

plain!(
    /// Four bytes of protocol-protected data: every access is checked against happens-before.
    PlainU32,
    u32,
    std::sync::atomic::AtomicU32
);
plain!(
    /// Eight bytes of protocol-protected data: every access is checked against happens-before.
    PlainU64,
    u64,
    std::sync::atomic::AtomicU64
);

/// A statistic. Its accesses take no part in the model.
#[derive(Debug, Default)]
pub struct Stat(AtomicI64);

impl Stat {
    /// Starts at zero.
    pub const fn new() -> Self {
        Stat(AtomicI64::new(0))
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        // Relaxed: the model's threads share one OS thread.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Returns the value.
    pub fn get(&self) -> i64 {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed)
    }
}
