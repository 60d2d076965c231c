//! The weak-memory door: loom's types, for models of single primitives under the C11 memory model.
//!
//! The flag `--cfg loom` chooses this door. The models are in `tests/loom/`; `docs/weak-memory.md`
//! says which properties they show, and which loom cannot show.
//!
//! | file | idea |
//! |---|---|
//! | `words` | atomics and protocol-protected data |
//! | `weak` | makes one ordering weaker, to see which model needs it |
//! | `lock` | locks: trusted, never weakened |
//! | `park` | sleeping on a word, by a mutex and a condition variable |
//! | `model` | runs a model through all its executions |
//!
//! All threads of a model run on one OS thread, one at a time, so they share the OS thread's
//! thread-local variables.

mod lock;
mod model;
mod park;
mod weak;
mod words;

pub use super::tallied::Tallied;
pub use ::loom::thread;
pub use lock::{Guard, Lock, ReadGuard, RwLock, WriteGuard};
pub use model::{Model, Outcome, ThreadSlot, claim_thread_slot, thread_slot};
pub use park::{park, unpark_all, unpark_one};
pub use weak::{Half, Site, sites_of, weakened};
pub use words::{AtomicU32, AtomicU64, PlainU32, PlainU64, Stat, fence, spin_until};

use super::class::LockClass;

/// Does nothing: loom sees a bit lock as an atomic word.
#[inline(always)]
pub fn acquired(_class: LockClass, _key: usize, _tried: bool) {}

/// Does nothing, as [`acquired`].
#[inline(always)]
pub fn released(_class: LockClass, _key: usize) {}

/// Does nothing: only the explored build checks the statement.
pub fn expect_held(_class: LockClass, _key: usize) {}

/// Does nothing: only the explored build checks the statement.
pub fn expect_may_sleep() {}

/// Panics because a rule of the protocol is broken. The panic makes the model fail.
#[cold]
#[inline(never)]
pub fn broken(rule: &'static str, detail: std::fmt::Arguments<'_>) -> ! {
    BROKEN.set(Some(rule));
    panic!("{rule}: {detail}")
}

thread_local! {
    static BROKEN: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Takes the rule that the calling thread last broke, as the native door does.
pub fn broken_rule() -> Option<&'static str> {
    BROKEN.take()
}
