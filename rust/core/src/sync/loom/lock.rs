//! Locks of the weak-memory build are loom's own. Their orderings belong to `parking_lot`, so the
//! models never weaken them.

use crate::sync::class::LockClass;

pub use ::loom::sync::{MutexGuard as Guard, RwLockReadGuard as ReadGuard, RwLockWriteGuard as WriteGuard};

/// The text of a panic on a poisoned lock, which cannot happen: a failed model ends at once.
const ALIVE: &str = "no thread of a model goes on after another one panicked";

/// A mutual-exclusion lock.
#[derive(Debug)]
pub struct Lock<T>(::loom::sync::Mutex<T>);

impl<T> Lock<T> {
    /// Makes a lock of `class` around `value`.
    pub fn new(_class: LockClass, value: T) -> Self {
        Lock(::loom::sync::Mutex::new(value))
    }

    /// Makes a lock of `class` around plain values. Only the explored build treats them
    /// differently.
    pub fn plain(class: LockClass, value: T) -> Self {
        Lock::new(class, value)
    }

    /// Blocks until the lock is held.
    pub fn lock(&self) -> Guard<'_, T> {
        self.0.lock().expect(ALIVE)
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.0.try_lock().ok()
    }

    /// Gives access without taking the lock: the exclusive borrow proves that no thread holds it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().expect(ALIVE)
    }
}

/// A readers-writer lock.
#[derive(Debug)]
pub struct RwLock<T>(::loom::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// Makes a lock of `class` around `value`.
    pub fn new(_class: LockClass, value: T) -> Self {
        RwLock(::loom::sync::RwLock::new(value))
    }

    /// Blocks until the lock is held for reading.
    pub fn read(&self) -> ReadGuard<'_, T> {
        self.0.read().expect(ALIVE)
    }

    /// Blocks until the lock is held for writing.
    pub fn write(&self) -> WriteGuard<'_, T> {
        self.0.write().expect(ALIVE)
    }

    /// Gives access without taking the lock: the exclusive borrow proves that no thread holds it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().expect(ALIVE)
    }
}
