//! The explored door: every operation is a scheduling step of a coroutine.
//!
//! | file | idea |
//! |---|---|
//! | `step` | the kinds of steps, and the strategy that chooses the thread for the next one |
//! | `context`, `hook` | the running schedule; the hook that every operation calls |
//! | `fiber`, `stacks`, `turns` | a stack for each thread; passing turns from stack to stack |
//! | `violation`, `verdict`, `panics` | ending a schedule on a violation or a panic, without output |
//! | `runtime` | running a schedule, checking, undoing |
//! | `record`, `recording` | the recording of a schedule |
//! | `journal` | old values, so that a world is built once and run thousands of times |
//! | `digest` | a 128-bit number for each end state |
//! | `buffers`, `tso` | store buffers: the memory of x86 |
//! | `clock`, `happens` | the race detector |
//! | `held`, `order` | the lock order |
//! | `progress`, `fairness` | schedules that do not end: a fair scheduler tells loops from long schedules |
//! | `pending` | events that must end before another event ends |
//! | `watch`, `watched` | looks at the moments of an operation |
//! | `addresses` | tables by the addresses of words |
//! | `words`, `lock`, `park` | the words, locks and parked threads that the core uses |
//!
//! Outside of an exploration, while no thread of a schedule runs on this OS thread, the operations
//! act directly. So a machine is set up and audited as in any other build. An exploration is
//! confined to the OS thread that runs it, and so is everything that its threads reach; words that
//! several explorations share (statics) must not be changed by their threads.

mod addresses;
mod buffers;
mod clock;
mod context;
mod digest;
mod fairness;
mod fiber;
mod happens;
mod held;
mod hook;
mod journal;
mod lock;
mod order;
mod panics;
mod park;
mod pending;
mod progress;
mod record;
mod recording;
mod runtime;
mod stacks;
mod step;
mod tso;
mod turns;
mod verdict;
mod violation;
mod watch;
mod watched;
mod words;

pub use super::tallied::Tallied;
pub(crate) use addresses::ByAddress;
pub use digest::Digest;
pub use lock::{Guard, Lock, ReadGuard, RwLock, WriteGuard};
pub use order::{acquired, expect_held, expect_may_sleep, released};
pub use panics::{broken, caught};
pub use park::{park, sleeper_on, spin_until, unpark_all, unpark_one};
pub use pending::{
    Topic, after_first_step, begin_pending, end_pending, look_at, mark_pending, next_step, note_end,
    pending_before, pending_since,
};
pub use record::{Between, Checks, Options, Place, Record, Recorded, Values, Words};
pub use recording::name_words;
pub use runtime::{Ending, Runtime};
pub use step::{Access, Choice, FIRST_BUFFER, Kind, Step, Strategy, THREADS, Threads, View, threads_in};
pub use violation::{Violation, rule};
pub use watched::{glance, watched};
pub use words::{AtomicU32, AtomicU64, PlainU32, PlainU64, Stat, fence};

use context::{Context, context};

/// Returns the number of the running thread of the schedule; zero outside of a schedule.
#[inline]
pub fn thread_slot() -> usize {
    context().map_or(0, |context| context.current.get())
}

/// Always true: each thread of a schedule has a slot.
pub fn claim_thread_slot() -> bool {
    true
}

/// A thread's slot. Slots need no reservation here, as each thread of a schedule has one.
#[derive(Debug)]
pub struct ThreadSlot;

impl ThreadSlot {
    /// Always returns a slot.
    pub fn reserve() -> Option<ThreadSlot> {
        Some(ThreadSlot)
    }

    /// Does nothing, and always succeeds.
    pub fn adopt(self) -> bool {
        true
    }
}

/// Returns true if all rules are checked ([`Checks::All`]). Outside of a schedule they always are, because a
/// set-up runs only once for all schedules.
#[inline]
pub fn checks_all() -> bool {
    context().is_none_or(|context| context.options.get().checks == Checks::All)
}

/// Records, for traces, the operation of its program that the calling thread begins.
pub fn operation(number: u32) {
    if let Some(context) = context() {
        context.drain();
        context.begin_operation(number);
        context.mark_operation();
    }
}

/// Returns true if no other thread has taken a step since the calling thread took the first step of its
/// operation, and no other thread is in the middle of an operation. Returns false in a memory with store
/// buffers, where this is not known.
pub fn ran_alone() -> bool {
    context().is_some_and(Context::ran_alone)
}

/// Makes the stores of the calling thread visible to all threads, at the end of an operation of its program.
/// Unwinds the thread if the schedule then has its verdict.
pub fn note_operation_end() {
    if let Some(context) = context() {
        context.drain();
        if !context.ends_operation() {
            context.unwind();
        }
    }
}

/// Runs `f` on the host's stack: for callbacks into code that must not run on a coroutine's stack.
/// The operations of `f` belong to the step before; `f` must not wait, as no other thread can run.
pub fn on_host<R>(f: impl FnOnce() -> R) -> R {
    match context() {
        Some(context) => context.on_host(f),
        None => f(),
    }
}
