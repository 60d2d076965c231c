//! The counting door: the native types, which also count every read-modify-write, every fence, every
//! acquisition of a lock, every change of a [`Tallied`] structure, and every flush of the TLB. Each
//! thread counts into an [`Ops`] of its own. Loads and stores of atomic words are not counted, nor are
//! sleeping, waking and spinning.
//!
//! The timed build is another crate, so counting costs it nothing.

use super::class::LockClass;
use super::native;
use super::ops::counts::{Kind, Ops};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::Ordering;

pub use native::{
    Guard, PlainU32, PlainU64, ReadGuard, Stat, ThreadSlot, WriteGuard, acquired, broken, claim_thread_slot,
    expect_held, expect_may_sleep, released, thread_slot,
};

thread_local! {
    static OPS: Cell<Ops> = const { Cell::new(Ops {
        rmw: 0, fences: 0, lruvec_locks: 0, batch_locks: 0, other_locks: 0, pagevec_inserts: 0, list_ops: 0,
        tlb_flushes: 0,
    }) };
}

pub(super) fn current() -> Ops {
    OPS.get()
}

#[inline]
fn count(bump: impl FnOnce(&mut Ops)) {
    OPS.with(|cell| {
        let mut ops = cell.get();
        bump(&mut ops);
        cell.set(ops);
    });
}

/// Counts a flush of the TLB.
pub(super) fn tlb_flush() {
    count(|ops| ops.tlb_flushes += 1);
}

#[inline]
fn count_lock(class: LockClass) {
    count(|ops| match class {
        LockClass::Lruvec => ops.lruvec_locks += 1,
        LockClass::Batch => ops.batch_locks += 1,
        _ => ops.other_locks += 1,
    });
}

/// Counts a fence, and executes it as the native build does.
#[inline]
pub fn fence(order: Ordering) {
    count(|ops| ops.fences += 1);
    std::sync::atomic::fence(order);
}

macro_rules! atomic {
    ($name:ident, $int:ty, $atomic:ty) => {
        /// An atomic word whose read-modify-writes are counted.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name($atomic);

        #[allow(missing_docs, reason = "the methods are those of the standard atomic")]
        impl $name {
            pub const fn new(value: $int) -> Self {
                $name(<$atomic>::new(value))
            }
            #[inline]
            pub fn load(&self, order: Ordering) -> $int {
                self.0.load(order)
            }
            #[inline]
            pub fn store(&self, value: $int, order: Ordering) {
                self.0.store(value, order)
            }
            #[inline]
            pub fn swap(&self, value: $int, order: Ordering) -> $int {
                count(|ops| ops.rmw += 1);
                self.0.swap(value, order)
            }
            #[inline]
            pub fn compare_exchange(
                &self,
                old: $int,
                new: $int,
                ok: Ordering,
                err: Ordering,
            ) -> Result<$int, $int> {
                count(|ops| ops.rmw += 1);
                self.0.compare_exchange(old, new, ok, err)
            }
            #[inline]
            pub fn compare_exchange_weak(
                &self,
                old: $int,
                new: $int,
                ok: Ordering,
                err: Ordering,
            ) -> Result<$int, $int> {
                count(|ops| ops.rmw += 1);
                self.0.compare_exchange_weak(old, new, ok, err)
            }
            #[inline]
            pub fn fetch_add(&self, n: $int, order: Ordering) -> $int {
                count(|ops| ops.rmw += 1);
                self.0.fetch_add(n, order)
            }
            #[inline]
            pub fn fetch_sub(&self, n: $int, order: Ordering) -> $int {
                count(|ops| ops.rmw += 1);
                self.0.fetch_sub(n, order)
            }
            #[inline]
            pub fn fetch_or(&self, bits: $int, order: Ordering) -> $int {
                count(|ops| ops.rmw += 1);
                self.0.fetch_or(bits, order)
            }
            #[inline]
            pub fn fetch_and(&self, bits: $int, order: Ordering) -> $int {
                count(|ops| ops.rmw += 1);
                self.0.fetch_and(bits, order)
            }
            #[inline]
            pub fn get_mut(&mut self) -> &mut $int {
                self.0.get_mut()
            }
        }
    };
}

atomic!(AtomicU64, u64, std::sync::atomic::AtomicU64);
atomic!(AtomicU32, u32, std::sync::atomic::AtomicU32);

/// A mutual-exclusion lock, counted by class.
#[derive(Debug)]
pub struct Lock<T>(LockClass, native::Lock<T>);

impl<T> Lock<T> {
    /// Makes a lock of `class` around `value`.
    pub const fn new(class: LockClass, value: T) -> Self {
        Lock(class, native::Lock::new(class, value))
    }

    /// Makes a lock of `class` around plain values. Only the explored build treats them
    /// differently.
    pub const fn plain(class: LockClass, value: T) -> Self {
        Lock(class, native::Lock::plain(class, value))
    }

    /// Blocks until the lock is held.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T> {
        count_lock(self.0);
        self.1.lock()
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        let guard = self.1.try_lock();
        if guard.is_some() {
            count_lock(self.0);
        }
        guard
    }

    /// Gives access without taking the lock: the exclusive borrow proves that no thread holds it.
    pub fn get_mut(&mut self) -> &mut T {
        self.1.get_mut()
    }
}

/// A readers-writer lock, counted by class.
#[derive(Debug)]
pub struct RwLock<T>(LockClass, native::RwLock<T>);

impl<T> RwLock<T> {
    /// Makes a lock of `class` around `value`.
    pub const fn new(class: LockClass, value: T) -> Self {
        RwLock(class, native::RwLock::new(class, value))
    }

    /// Blocks until the lock is held for reading.
    #[inline]
    pub fn read(&self) -> ReadGuard<'_, T> {
        count_lock(self.0);
        self.1.read()
    }

    /// Blocks until the lock is held for writing.
    #[inline]
    pub fn write(&self) -> WriteGuard<'_, T> {
        count_lock(self.0);
        self.1.write()
    }

    /// Gives access without taking the lock: the exclusive borrow proves that no thread holds it.
    pub fn get_mut(&mut self) -> &mut T {
        self.1.get_mut()
    }
}

/// A structure whose changes raise the counter `K`.
#[derive(Debug)]
#[repr(transparent)]
pub struct Tallied<T, K>(T, PhantomData<K>);

impl<T, K: Kind> Tallied<T, K> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Tallied(value, PhantomData)
    }

    /// Counts one change, and gives access to make it.
    #[inline]
    pub fn op(&mut self) -> &mut T {
        count(K::bump);
        &mut self.0
    }

    /// Takes the structure out and leaves `value` in its place, which is not counted.
    #[inline]
    pub fn replace(&mut self, value: T) -> T {
        std::mem::replace(&mut self.0, value)
    }

    /// Gives access for reading, which is not counted.
    #[inline]
    pub fn look(&self) -> &T {
        &self.0
    }
}

impl<T: std::hash::Hash, K> std::hash::Hash for Tallied<T, K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T: Clone, K> Clone for Tallied<T, K> {
    fn clone(&self) -> Self {
        Tallied(self.0.clone(), PhantomData)
    }
}

/// Sleeps like `native::park`; nothing is counted.
pub fn park(word: &AtomicU64, validate: impl Fn() -> bool) {
    native::park(&word.0, validate);
}

/// Sleeps like `native::park_until`; nothing is counted.
pub fn park_until(word: &AtomicU64, validate: impl Fn() -> bool, until: std::time::Instant) -> bool {
    native::park_until(&word.0, validate, until)
}

/// Wakes a sleeper like `native::unpark_one`; nothing is counted.
pub fn unpark_one(word: &AtomicU64, before_wake: impl FnOnce(bool, bool)) {
    native::unpark_one(&word.0, before_wake);
}

/// Wakes all sleepers like `native::unpark_all`; nothing is counted.
pub fn unpark_all(word: &AtomicU64, before_wake: impl FnOnce()) {
    native::unpark_all(&word.0, before_wake);
}

/// Spins like `native::spin_until`; nothing is counted.
#[inline]
pub fn spin_until(word: &AtomicU64, cond: impl Fn(u64) -> bool) -> u64 {
    native::spin_until(&word.0, cond)
}
