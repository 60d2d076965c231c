//! The lock order, checked at every acquisition that may wait.
//!
//! A thread that holds a lock may wait only for a lock of a later class; a second one of the same
//! class would need an order within the class, and the only class that has a rule for that, the
//! page lock, says "by trylock". An attempt that does not wait cannot deadlock and is exempt.

use super::super::LockClass;
use super::context::{Context, Mode, context};
use super::violation::rule;

/// A lock that a thread holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub class: LockClass,
    pub key: usize,
}

impl Context {
    /// The current thread is about to wait for a lock of `class`.
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

    /// The current thread does what only the holder of a lock may do.
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

    /// A lock is let go: by its holder, or, as a page lock may be, by somebody else for it.
    pub(super) fn let_go(&self, class: LockClass, key: usize) {
        self.recording.lock(class, key);
        let lock = Held { class, key };
        let others = self.threads.iter().filter(|thread| !std::ptr::eq(*thread, self.thread()));
        for thread in std::iter::once(self.thread()).chain(others) {
            let mut held = thread.held.borrow_mut();
            if let Some(place) = held.iter().rposition(|h| *h == lock) {
                held.swap_remove(place);
                return;
            }
        }
        // Taken before the schedule began: nobody's.
    }

    /// The current thread is about to sleep.
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

/// The calling thread now holds the bit lock `key` of `class`; `tried` if it would not have
/// waited for it.
#[inline]
pub fn acquired(class: LockClass, key: usize, tried: bool) {
    if let Some(context) = context() {
        if !tried {
            context.check_order(class);
        }
        context.hold(class, key);
    }
}

/// The calling thread holds the bit lock `key` of `class`: not one that was taken before the schedule began.
#[inline]
pub fn expect_held(class: LockClass, key: usize) {
    if let Some(context) = context() {
        context.check_held(Held { class, key });
    }
}

/// The bit lock `key` of `class` is about to be let go.
#[inline]
pub fn released(class: LockClass, key: usize) {
    if let Some(context) = context() {
        context.let_go(class, key);
    }
}
