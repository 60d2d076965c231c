//! Locks of the explored build. Taking and releasing a lock are steps; waiting costs no steps.
//!
//! The contents of a lock are restored after each schedule. A clone is made the first time
//! that a schedule borrows the contents mutably. The clone stays valid for later schedules, because
//! each schedule starts from the same contents. This has two consequences for the core: the
//! contents of a lock are `Clone`, and an `Arc` that a schedule takes out of a lock is not dropped
//! before the schedule ends (the clone still holds it), so no code may rely on that drop.

use super::context::{Context, WRITER, When, context};
use super::digest::Digest;
use super::journal::{Home, Stamp};
use super::record::Place;
use super::step::Kind;
use super::violation::rule;
use crate::sync::class::LockClass;
use std::cell::UnsafeCell;
use std::hash::Hash;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};

/// State, contents and the clone of the contents that schedules start from.
struct Inner<T> {
    class: LockClass,
    /// Zero if the lock is free, [`WRITER`] if a thread holds it exclusively, else the number of
    /// readers.
    state: AtomicU64,
    stamp: Stamp,
    value: UnsafeCell<T>,
    initial: UnsafeCell<Option<T>>,
    value_stamp: Stamp,
    /// Adds the contents to a digest; `None` if they cannot be digested.
    add_to_digest: Option<AddToDigest<T>>,
}

/// Adds a value at a place to a digest.
type AddToDigest<T> = fn(&T, usize, &mut Digest);

fn add_to_digest<T: Hash>(value: &T, place: usize, digest: &mut Digest) {
    digest.add_hash(place, value);
}

// SAFETY: only guards reach `value` and `initial`, and `state` admits one writer or any number of
// readers; `restore` runs when no guard is in use. Outside of an exploration `state` is
// taken by compare-exchange, so this holds between OS threads. Within one, all code that uses the
// lock runs on one OS thread.
unsafe impl<T: Send> Send for Inner<T> {}
// SAFETY: as above; readers share `&T`.
unsafe impl<T: Send + Sync> Sync for Inner<T> {}

/// The number of times that an operation outside of any exploration yields before it reports a
/// deadlock.
const HOST_PATIENCE: u32 = 1 << 22;

impl<T> Inner<T> {
    const fn new(class: LockClass, value: T, add_to_digest: Option<AddToDigest<T>>) -> Self {
        Inner {
            class,
            state: AtomicU64::new(0),
            stamp: Stamp::new(),
            value: UnsafeCell::new(value),
            initial: UnsafeCell::new(None),
            value_stamp: Stamp::new(),
            add_to_digest,
        }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(&self.state).addr()
    }

    /// Changes the state as part of a step, and records the change for the journal, the race
    /// detector and the trace.
    #[inline]
    fn set_state(&self, context: &Context, old: u64, new: u64, order: Ordering, place: Place) {
        context.modified(&self.stamp, || (Home::U64(&self.state), old), order);
        // Relaxed: one OS thread runs all threads of a schedule.
        self.state.store(new, Ordering::Relaxed);
        context.values_at(old, new, place);
    }

    #[inline]
    fn take(&self, exclusive: bool, place: Place) {
        let Some(context) = context() else { return self.take_on_host(exclusive) };
        context.check_order(self.class);
        let (kind, when) = match exclusive {
            true => (Kind::Lock, When::Zero(&self.state)),
            false => (Kind::ReadLock, When::NoWriter(&self.state)),
        };
        context.step_when(kind, self.address(), when);
        context.drain();
        // Relaxed: one OS thread runs all threads of a schedule.
        let old = self.state.load(Ordering::Relaxed);
        self.set_state(context, old, if exclusive { WRITER } else { old + 1 }, Ordering::Acquire, place);
        context.hold(self.class, self.address());
    }

    fn try_take(&self, place: Place) -> bool {
        let Some(context) = context() else {
            // Acquire pairs with the release in `give_back`.
            return self.state.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok();
        };
        context.step(Kind::TryLock, self.address());
        context.drain();
        // Relaxed: one OS thread runs all threads of a schedule.
        let old = self.state.load(Ordering::Relaxed);
        if old == 0 {
            self.set_state(context, 0, WRITER, Ordering::Acquire, place);
            context.hold(self.class, self.address());
        } else {
            context.values_at(old, old, place);
        }
        old == 0
    }

    fn take_on_host(&self, exclusive: bool) {
        for _ in 0..HOST_PATIENCE {
            // Relaxed: only the value is needed, and the exchange checks it.
            let old = self.state.load(Ordering::Relaxed);
            let (free, new) = match exclusive {
                true => (old == 0, WRITER),
                false => (old & WRITER == 0, old + 1),
            };
            // Acquire pairs with the release in `give_back`.
            if free && self.state.compare_exchange(old, new, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
        super::panics::broken(
            rule::DEADLOCK,
            format_args!("{:?} lock taken outside of a schedule", self.class),
        )
    }

    fn give_back(&self, exclusive: bool, place: Place) {
        let Some(context) = context() else {
            // Release pairs with the Acquire of the next holder.
            self.state.fetch_sub(if exclusive { WRITER } else { 1 }, Ordering::Release);
            return;
        };
        context.step(if exclusive { Kind::Unlock } else { Kind::ReadUnlock }, self.address());
        context.drain();
        context.let_go(self.class, self.address());
        // Relaxed: one OS thread runs all threads of a schedule.
        let old = self.state.load(Ordering::Relaxed);
        self.set_state(context, old, if exclusive { 0 } else { old - 1 }, Ordering::Release, place);
    }

    /// Keeps the contents before the holder of an exclusive guard changes them.
    #[inline]
    fn before_change(&self)
    where
        T: Clone,
    {
        match context() {
            None => {
                // SAFETY: the caller holds the lock exclusively.
                let initial = unsafe { &mut *self.initial.get() };
                if initial.is_some() {
                    *initial = None;
                }
            }
            Some(context) => {
                if context.journal.find(&self.value_stamp).is_none() {
                    self.keep(context);
                }
            }
        }
    }

    #[inline(never)]
    fn keep(&self, context: &Context)
    where
        T: Clone,
    {
        // SAFETY: the caller holds the lock exclusively and has not borrowed the contents yet.
        let initial = unsafe { &mut *self.initial.get() };
        if initial.is_none() {
            // SAFETY: as above.
            let value = unsafe { &*self.value.get() };
            *initial = Some(context.within(|| value.clone()));
        }
        // An entry without a home shows that the contents have been kept in this epoch.
        context.entry(&self.value_stamp, || (Home::Gone, 0));
        let lock = std::ptr::from_ref(self).cast();
        // SAFETY: both functions are those of this lock's type; `drop` calls `forget_contents`.
        unsafe { context.journal.keep_contents(lock, Self::restore, Self::digest_into) };
    }

    /// Restores the initial contents.
    ///
    /// # Safety
    /// `lock` points to an `Inner<T>` whose contents were cloned and are not borrowed.
    unsafe fn restore(lock: *const ())
    where
        T: Clone,
    {
        // SAFETY: promised by the caller.
        let lock = unsafe { &*lock.cast::<Self>() };
        // SAFETY: neither the value nor the clone is borrowed, as the caller promises.
        let initial = unsafe { &*lock.initial.get() };
        // SAFETY: as above.
        let value = unsafe { &mut *lock.value.get() };
        let Some(initial) = initial else { return };
        // Dropping the changed contents may take locks and change contents again, even these,
        // unless they are plain. Clearing the stamp first lets such a change be recorded anew.
        lock.value_stamp.clear();
        if std::mem::needs_drop::<T>() && lock.add_to_digest.is_none() {
            let changed = std::mem::replace(value, initial.clone());
            drop(changed);
        } else {
            value.clone_from(initial);
        }
    }

    /// Adds the contents to the digest; returns false if they cannot be digested.
    ///
    /// # Safety
    /// `lock` points to an `Inner<T>` whose contents are not borrowed.
    unsafe fn digest_into(lock: *const (), digest: &mut Digest) -> bool {
        // SAFETY: promised by the caller.
        let lock = unsafe { &*lock.cast::<Self>() };
        // SAFETY: promised by the caller; and hashing a plain value takes no lock.
        let value = unsafe { &*lock.value.get() };
        match lock.add_to_digest {
            Some(add) => add(value, lock.address(), digest),
            None => return false,
        }
        true
    }

    fn get_mut(&mut self) -> &mut T {
        *self.initial.get_mut() = None;
        self.value.get_mut()
    }
}

impl<T> Drop for Inner<T> {
    fn drop(&mut self) {
        if let Some(context) = context() {
            context.dropped(&self.stamp, self.address());
            if context.journal.find(&self.value_stamp).is_some() {
                context.journal.forget_contents(std::ptr::from_ref(self).cast());
            }
        }
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Inner<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Relaxed: the text may show an old state.
        write!(f, "{:?} lock, state {:#x}", self.class, self.state.load(Ordering::Relaxed))
    }
}

/// A mutual-exclusion lock.
#[derive(Debug)]
pub struct Lock<T>(Inner<T>);

impl<T> Lock<T> {
    /// Returns true if steps on this lock have `address`.
    pub fn is_at(&self, address: usize) -> bool {
        self.0.address() == address
    }

    /// Makes a lock of `class` around `value`.
    pub const fn new(class: LockClass, value: T) -> Self
    where
        T: Clone,
    {
        Lock(Inner::new(class, value, None))
    }

    /// Makes a lock of `class` around plain values, which lead to no other objects of this module.
    /// So their hash tells two contents apart, and dropping them takes no lock.
    pub const fn plain(class: LockClass, value: T) -> Self
    where
        T: Clone + Hash,
    {
        Lock(Inner::new(class, value, Some(add_to_digest)))
    }

    /// Waits until the lock is held.
    #[track_caller]
    pub fn lock(&self) -> Guard<'_, T> {
        self.0.take(true, Location::caller());
        Guard::new(&self.0, Location::caller())
    }

    /// Takes the lock if it is free.
    #[track_caller]
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        let place = Location::caller();
        self.0.try_take(place).then(|| Guard::new(&self.0, place))
    }

    /// Reads the contents for a check. The read is no step and orders nothing. `None` while the
    /// lock is held, or outside of a schedule.
    pub fn glance<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        context()?;
        // Relaxed: one OS thread runs all threads of a schedule.
        if self.0.state.load(Ordering::Relaxed) != 0 {
            return None;
        }
        // SAFETY: the lock is free, and no thread can take it before `look` returns: within a
        // schedule all threads that use the lock are coroutines of this OS thread, and a look is no
        // step.
        Some(look(unsafe { &*self.0.value.get() }))
    }

    /// Gives access without taking the lock: the exclusive borrow proves that no thread holds it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

/// A readers-writer lock.
#[derive(Debug)]
pub struct RwLock<T>(Inner<T>);

impl<T> RwLock<T> {
    /// Returns true if steps on this lock have `address`.
    pub fn is_at(&self, address: usize) -> bool {
        self.0.address() == address
    }

    /// Makes a lock of `class` around `value`.
    pub const fn new(class: LockClass, value: T) -> Self
    where
        T: Clone,
    {
        RwLock(Inner::new(class, value, None))
    }

    /// Waits until the lock is held for reading.
    #[track_caller]
    pub fn read(&self) -> ReadGuard<'_, T> {
        self.0.take(false, Location::caller());
        ReadGuard { lock: &self.0, place: Location::caller(), not_send: PhantomData }
    }

    /// Waits until the lock is held for writing.
    #[track_caller]
    pub fn write(&self) -> WriteGuard<'_, T> {
        self.0.take(true, Location::caller());
        Guard::new(&self.0, Location::caller())
    }

    /// Gives access without taking the lock: the exclusive borrow proves that no thread holds it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

/// Proof of holding a lock exclusively.
#[must_use]
pub struct Guard<'a, T> {
    lock: &'a Inner<T>,
    /// The source line that took the lock.
    place: Place,
    not_send: PhantomData<*const ()>,
}

/// Proof of holding a [`RwLock`] for writing.
pub type WriteGuard<'a, T> = Guard<'a, T>;

impl<'a, T> Guard<'a, T> {
    fn new(lock: &'a Inner<T>, place: Place) -> Guard<'a, T> {
        Guard { lock, place, not_send: PhantomData }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard proves that the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: Clone> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.lock.before_change();
        // SAFETY: the guard proves that the lock is held exclusively, and is borrowed so.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.give_back(true, self.place);
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Guard<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

/// Proof of holding a [`RwLock`] for reading.
#[must_use]
pub struct ReadGuard<'a, T> {
    lock: &'a Inner<T>,
    /// The source line that took the lock.
    place: Place,
    not_send: PhantomData<*const ()>,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard proves that the lock is held, and no writer can be.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.give_back(false, self.place);
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for ReadGuard<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}
