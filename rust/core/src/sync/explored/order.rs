//! The lock order, checked at every acquisition that may wait.
//!
//! A thread that holds a lock may wait only for a lock of a later class. A second lock of the same
//! class would need an order within the class. Only the page lock has such a rule: a second page
//! lock is taken by trylock. An attempt that does not wait cannot deadlock and is exempt.

use super::context::{Context, Mode, Thread, context};
use super::held::Held;
use super::violation::rule;
use crate::sync::class::LockClass;

impl Context {
    /// Checks the order before the current thread waits for a lock of `class`.
    pub(super) fn check_order(&self, class: LockClass) {
        if !self.is_concurrent() {
            return;
        }
        let worst = self.thread().held.borrow().iter().map(|held| held.class).max();
        match worst {
            Some(held) if held == class => {
                self.fail(rule::LOCK_ORDER, format_args!("waits for a second {class:?} lock"))
            }
            Some(held) if held > class => {
                self.fail(rule::LOCK_ORDER, format_args!("waits for {class:?} while holding {held:?}"))
            }
            _ => {}
        }
    }

    /// Checks that the current thread holds the lock that its action needs.
    fn check_held(&self, lock: Held) {
        if self.is_concurrent() && !self.thread().held.borrow().contains(&lock) {
            self.fail(rule::NOT_HELD, format_args!("no {:?} lock is held where one must be", lock.class));
        }
    }

    pub(super) fn hold(&self, class: LockClass, key: usize) {
        self.recording.lock(class, key);
        if self.mode.get() != Mode::Check {
            self.thread().held.borrow_mut().push(Held { class, key });
        }
    }

    /// Records a release: by the lock's holder or, as is allowed for a page lock, by another
    /// thread.
    pub(super) fn let_go(&self, class: LockClass, key: usize) {
        self.recording.lock(class, key);
        let lock = Held { class, key };
        let from = |thread: &Thread| {
            let mut held = thread.held.borrow_mut();
            let place = held.iter().rposition(|h| *h == lock);
            place.map(|place| held.swap_remove(place)).is_some()
        };
        // If no thread of the schedule took the lock, it was taken before the schedule began.
        let _ = from(self.thread()) || self.threads.iter().any(from);
    }

    /// Checks that the current thread may sleep.
    pub(super) fn check_sleep(&self) {
        if !self.is_concurrent() {
            return;
        }
        let spinning =
            self.thread().held.borrow().iter().map(|held| held.class).find(|class| !class.may_sleep_under());
        if let Some(class) = spinning {
            self.fail(rule::SLEEP, format_args!("sleeps while holding {class:?}"));
        }
    }
}

/// Reports that the calling thread has acquired the bit lock `key` of `class`; `tried` is
/// true for a trylock, which needs no check of the order.
#[inline]
pub fn acquired(class: LockClass, key: usize, tried: bool) {
    if let Some(context) = context() {
        if !tried {
            context.check_order(class);
        }
        context.hold(class, key);
    }
}

/// Checks that the calling thread holds the bit lock `key` of `class`. A lock taken before the
/// schedule began does not count.
#[inline]
pub fn expect_held(class: LockClass, key: usize) {
    if let Some(context) = context() {
        context.check_held(Held { class, key });
    }
}

/// Checks that the calling thread holds no lock under which it must not sleep.
pub fn expect_may_sleep() {
    if let Some(context) = context() {
        context.check_sleep();
    }
}

/// Reports that the bit lock `key` of `class` is about to be released.
#[inline]
pub fn released(class: LockClass, key: usize) {
    if let Some(context) = context() {
        context.let_go(class, key);
    }
}
