//! The explored door: every operation is a scheduling step of a coroutine.
//!
//! | file | idea |
//! |---|---|
//! | `step` | what a step is; who decides on the next one |
//! | `context`, `hook` | the running schedule; what every operation calls |
//! | `fiber`, `turns` | a stack for each thread; passing turns from stack to stack |
//! | `verdict`, `panics` | how a schedule ends badly, without a sound |
//! | `runtime`, `record` | running threads to their ends, checking, putting back; what is recorded |
//! | `journal` | old values, so that a world is built once and run thousands of times |
//! | `digest` | what tells end states apart |
//! | `clock`, `happens` | the race detector |
//! | `order` | the lock order |
//! | `pending` | what must be over before something else is |
//! | `words`, `lock`, `park` | the vocabulary itself |
//!
//! Outside of an exploration (no thread of a schedule runs on this OS thread) the operations act
//! directly: a machine is set up and audited as in any other build. An exploration is confined to
//! the OS thread that runs it, and so is everything that its threads reach; words that several
//! explorations share (statics) must not be changed by their threads.

mod clock;
mod context;
mod digest;
mod fiber;
mod happens;
mod hook;
mod journal;
mod lock;
mod order;
mod panics;
mod park;
mod pending;
mod record;
mod runtime;
mod step;
mod turns;
mod verdict;
mod violation;
mod words;

pub use super::tallied::Tallied;
pub use digest::Digest;
pub use lock::{Guard, Lock, ReadGuard, RwLock, WriteGuard};
pub use order::{acquired, expect_held, released};
pub use panics::caught;
pub use park::{park, spin_until, unpark_all, unpark_one};
pub use pending::{Topic, after_first_step, begins, begun, ends, moment, over, since, starts, unfinished};
pub use record::{Options, Place, Record, Recorded, Values};
pub use runtime::{Ending, Runtime};
pub use step::{Access, Choice, Kind, Step, Strategy, Threads, View, threads_in};
pub use violation::{Violation, rule};
pub use words::{AtomicU32, AtomicU64, PlainU32, PlainU64, Stat, fence};

use context::context;

/// Threads of a schedule, at most.
pub const THREADS: usize = 8;

/// A rule of the protocol is broken: the schedule ends here, with this as its result.
#[cold]
#[inline(never)]
pub fn broken(rule: &'static str, detail: std::fmt::Arguments<'_>) -> ! {
    match context() {
        Some(context) => context.fail(rule, detail),
        None => panics::broken_outside(rule, detail),
    }
}

/// The number of the schedule's thread that runs; zero outside of one.
#[inline]
pub fn thread_slot() -> usize {
    context().map_or(0, |context| context.current.get())
}

/// The schedule's threads have their slots; see the native door.
pub fn claim_thread_slot() -> bool {
    true
}

/// A thread's slot, reserved before it begins: here there is nothing to reserve.
#[derive(Debug)]
pub struct ThreadSlot;

impl ThreadSlot {
    /// Always.
    pub fn reserve() -> Option<ThreadSlot> {
        Some(ThreadSlot)
    }

    /// Nothing to do.
    pub fn adopt(self) -> bool {
        true
    }
}

/// Notes which operation of its program the calling thread begins, for traces.
pub fn operation(number: u32) {
    if let Some(context) = context() {
        context.begin_operation(number);
    }
}

/// Runs `f` on the stack of whoever runs the schedule: for callbacks into code that must not run
/// on a coroutine's stack. The operations of `f` are part of the step before; it must not wait.
pub fn on_host<R>(f: impl FnOnce() -> R) -> R {
    match context() {
        Some(context) => context.on_host(f),
        None => f(),
    }
}
