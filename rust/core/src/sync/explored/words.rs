//! Atomics, plain data and statistics of the explored build.
//!
//! The values live in `std` atomics, because the core shares its types between threads. An
//! exploration is confined to one OS thread; there they are accessed with Relaxed, and a
//! read-modify-write is a read and a write. Outside of an exploration the operations act as usual.

use super::context::{Context, context};
use super::journal::{Home, Stamp};
use super::step::Kind;
use std::sync::atomic::Ordering;
use std::sync::atomic::Ordering::Relaxed;

/// A fence: a step that changes the clocks of its thread. A SeqCst fence also empties the thread's store
/// buffer.
#[track_caller]
pub fn fence(order: Ordering) {
    match context() {
        None => std::sync::atomic::fence(order),
        Some(context) => {
            context.step(Kind::Fence, 0);
            if order == Ordering::SeqCst {
                context.drain();
            }
            context.fenced(order);
            context.values(0, 0);
        }
    }
}

macro_rules! atomic {
    ($name:ident, $int:ty, $atomic:ident, $home:ident) => {
        /// An atomic word whose every operation is a step.
        #[derive(Default)]
        pub struct $name {
            value: std::sync::atomic::$atomic,
            stamp: Stamp,
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.value.fmt(f)
            }
        }

        #[allow(missing_docs, reason = "the methods are those of the standard atomic")]
        impl $name {
            pub const fn new(value: $int) -> Self {
                $name { value: std::sync::atomic::$atomic::new(value), stamp: Stamp::new() }
            }

            #[inline]
            fn address(&self) -> usize {
                std::ptr::from_ref(self).addr()
            }

            #[inline]
            fn home(&self, old: $int) -> (Home, u64) {
                (Home::$home(&self.value), old.into())
            }

            /// Performs a read-modify-write within an exploration.
            #[inline]
            #[track_caller]
            fn modify(
                &self,
                context: &Context,
                kind: Kind,
                order: Ordering,
                f: impl FnOnce($int) -> $int,
            ) -> $int {
                context.step(kind, self.address());
                context.drain();
                let old = self.value.load(Relaxed);
                context.modified(&self.stamp, || self.home(old), order);
                let new = f(old);
                self.value.store(new, Relaxed);
                context.values(old.into(), new.into());
                old
            }

            #[inline]
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $int {
                let Some(context) = context() else { return self.value.load(order) };
                context.step(Kind::Load, self.address());
                if let Some(value) = context.forwarded(self.address()) {
                    context.values(value, value);
                    return value as $int;
                }
                let value = self.value.load(Relaxed);
                context.loaded(&self.stamp, order);
                context.values(value.into(), value.into());
                value
            }

            #[inline]
            #[track_caller]
            pub fn store(&self, value: $int, order: Ordering) {
                let Some(context) = context() else { return self.value.store(value, order) };
                context.step(Kind::Store, self.address());
                let old = self.value.load(Relaxed);
                let home = || Home::$home(&self.value);
                if context.delays(&self.stamp, home, self.address(), value.into(), order) {
                    context.values(old.into(), old.into());
                    return;
                }
                context.stored(&self.stamp, || self.home(old), order);
                self.value.store(value, Relaxed);
                context.values(old.into(), value.into());
            }

            #[inline]
            #[track_caller]
            pub fn swap(&self, value: $int, order: Ordering) -> $int {
                let Some(context) = context() else { return self.value.swap(value, order) };
                self.modify(context, Kind::Swap, order, |_| value)
            }

            #[inline]
            #[track_caller]
            pub fn compare_exchange(
                &self,
                old: $int,
                new: $int,
                ok: Ordering,
                err: Ordering,
            ) -> Result<$int, $int> {
                let Some(context) = context() else {
                    return self.value.compare_exchange(old, new, ok, err);
                };
                context.step(Kind::Cas, self.address());
                context.drain();
                let found = self.value.load(Relaxed);
                if found == old {
                    context.modified(&self.stamp, || self.home(found), ok);
                    self.value.store(new, Relaxed);
                    context.values(found.into(), new.into());
                    Ok(found)
                } else {
                    context.loaded(&self.stamp, err);
                    context.values(found.into(), found.into());
                    Err(found)
                }
            }

            #[inline]
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                old: $int,
                new: $int,
                ok: Ordering,
                err: Ordering,
            ) -> Result<$int, $int> {
                match context() {
                    Some(context) if context.fails_spuriously() => Err(self.load(err)),
                    _ => self.compare_exchange(old, new, ok, err),
                }
            }

            #[inline]
            #[track_caller]
            pub fn fetch_add(&self, n: $int, order: Ordering) -> $int {
                let Some(context) = context() else { return self.value.fetch_add(n, order) };
                self.modify(context, Kind::Add, order, |old| old.wrapping_add(n))
            }

            #[inline]
            #[track_caller]
            pub fn fetch_sub(&self, n: $int, order: Ordering) -> $int {
                let Some(context) = context() else { return self.value.fetch_sub(n, order) };
                self.modify(context, Kind::Add, order, |old| old.wrapping_sub(n))
            }

            #[inline]
            #[track_caller]
            pub fn fetch_or(&self, bits: $int, order: Ordering) -> $int {
                let Some(context) = context() else { return self.value.fetch_or(bits, order) };
                self.modify(context, Kind::Bits, order, |old| old | bits)
            }

            #[inline]
            #[track_caller]
            pub fn fetch_and(&self, bits: $int, order: Ordering) -> $int {
                let Some(context) = context() else { return self.value.fetch_and(bits, order) };
                self.modify(context, Kind::Bits, order, |old| old & bits)
            }

            #[inline]
            pub fn get_mut(&mut self) -> &mut $int {
                self.value.get_mut()
            }
        }

        impl Drop for $name {
            #[inline]
            fn drop(&mut self) {
                if let Some(context) = context() {
                    context.dropped(&self.stamp, std::ptr::from_ref(self).addr());
                }
            }
        }
    };
}

atomic!(AtomicU64, u64, AtomicU64, U64);
atomic!(AtomicU32, u32, AtomicU32, U32);

impl AtomicU64 {
    /// Changes the value without a step and without ordering anything. The change is undone after a schedule.
    pub(crate) fn overwrite(&self, value: u64) {
        if let Some(context) = context() {
            context.entry(&self.stamp, || self.home(self.value.load(Relaxed)));
        }
        self.value.store(value, Relaxed);
    }

    /// Returns the word, for conditions that the scheduler evaluates.
    #[inline]
    pub(super) fn word(&self) -> &std::sync::atomic::AtomicU64 {
        &self.value
    }

    #[inline]
    pub(super) fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

macro_rules! plain {
    ($(#[$doc:meta])* $name:ident, $int:ty, $atomic:ident, $home:ident) => {
        $(#[$doc])*
        #[derive(Default)]
        pub struct $name {
            value: std::sync::atomic::$atomic,
            stamp: Stamp,
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.value.fmt(f)
            }
        }

        impl $name {
            /// Makes a cell holding `value`.
            pub const fn new(value: $int) -> Self {
                $name { value: std::sync::atomic::$atomic::new(value), stamp: Stamp::new() }
            }

            #[inline]
            fn home(&self) -> (Home, u64) {
                (Home::$home(&self.value), self.value.load(Relaxed).into())
            }

            /// Reads under the protocol's protection: no step, but a race with a write is a
            /// violation.
            #[inline]
            pub fn get(&self) -> $int {
                if let Some(context) = context() {
                    context.plain_read(&self.stamp, || self.home());
                }
                self.value.load(Relaxed)
            }

            /// Writes under the protocol's protection: no step, but a race is a violation.
            #[inline]
            #[track_caller]
            pub fn set(&self, value: $int) {
                if let Some(context) = context() {
                    context.plain_write(&self.stamp, || self.home());
                    context.attach(Kind::PlainWrite, std::ptr::from_ref(self).addr());
                    context.wrote(std::ptr::from_ref(self).addr());
                }
                self.value.store(value, Relaxed)
            }

            /// Reads without protection. The read is a step, because the value depends on the
            /// schedule, and never a violation.
            #[inline]
            #[track_caller]
            pub fn peek(&self) -> $int {
                let Some(context) = context() else { return self.value.load(Relaxed) };
                context.step(Kind::Peek, std::ptr::from_ref(self).addr());
                let value = self.value.load(Relaxed);
                context.values(value.into(), value.into());
                value
            }
        }

        impl Drop for $name {
            #[inline]
            fn drop(&mut self) {
                if let Some(context) = context() {
                    context.dropped(&self.stamp, std::ptr::from_ref(self).addr());
                }
            }
        }
    };
}

plain!(
    /// Four bytes of protocol-protected data.
    PlainU32,
    u32,
    AtomicU32,
    U32
);
plain!(
    /// Eight bytes of protocol-protected data.
    PlainU64,
    u64,
    AtomicU64,
    U64
);

/// A statistic. An access is no step and orders nothing; a change is undone after the schedule like
/// all other changes.
#[derive(Default)]
pub struct Stat {
    value: std::sync::atomic::AtomicI64,
    stamp: Stamp,
}

impl std::fmt::Debug for Stat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

impl Stat {
    /// Starts at zero.
    pub const fn new() -> Self {
        Stat { value: std::sync::atomic::AtomicI64::new(0), stamp: Stamp::new() }
    }

    /// Adds `n`, which may be negative.
    #[inline]
    pub fn add(&self, n: i64) {
        if let Some(context) = context() {
            let old = self.value.load(Relaxed);
            context.entry(&self.stamp, || (Home::I64(&self.value), old as u64));
        }
        // Relaxed: a statistic orders nothing.
        self.value.fetch_add(n, Relaxed);
    }

    /// Returns the value; exact while no thread adds.
    #[inline]
    pub fn get(&self) -> i64 {
        self.value.load(Relaxed)
    }
}

impl Drop for Stat {
    #[inline]
    fn drop(&mut self) {
        if let Some(context) = context() {
            context.journal.forget(&self.stamp);
        }
    }
}
