//! Runs a model through all its executions.

use super::park;
use crate::sync::limits::MAX_THREADS;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most branches of one execution. A model that makes progress has fewer.
const BRANCHES: usize = 5_000;

/// A small concurrent program, to be run in every way that the memory model allows.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The property that the model shows.
    pub name: &'static str,
    /// The most preemptions of one execution; `None` for no limit.
    pub preemptions: Option<usize>,
    /// The program. The program starts threads of [`thread`](super::thread), and panics if the
    /// property does not hold.
    pub program: fn(),
}

/// The result of running a model.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Executions run.
    pub executions: u64,
    /// The text of the panic that ended the last execution; `None` if all executions passed.
    pub failure: Option<String>,
}

thread_local! {
    /// The number of threads of the execution that have a slot.
    static SLOTS: Cell<usize> = const { Cell::new(0) };
}

::loom::thread_local! {
    static SLOT: usize = SLOTS.replace(SLOTS.get() + 1);
}

/// Returns the number of the model's calling thread, in the order of first use.
pub fn thread_slot() -> usize {
    let slot = SLOT.with(|slot| *slot);
    assert!(slot < MAX_THREADS, "a model has at most {MAX_THREADS} threads");
    slot
}

/// Always returns true: `thread_slot` gives each thread of a model a slot, or panics if there are
/// too many threads.
pub fn claim_thread_slot() -> bool {
    thread_slot() < MAX_THREADS
}

/// A thread's slot. Slots need no reservation in a model.
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

impl Model {
    /// Runs the program in every order that the memory model allows, up to the first failure.
    pub fn run(&self) -> Outcome {
        let mut builder = ::loom::model::Builder::new();
        builder.max_branches = BRANCHES;
        builder.preemption_bound = self.preemptions;
        let executions = Arc::new(AtomicU64::new(0));
        let program = self.program;
        let counted = Arc::clone(&executions);
        let result = catch_unwind(AssertUnwindSafe(|| {
            builder.check(move || {
                // Relaxed: one OS thread runs all executions.
                counted.fetch_add(1, Ordering::Relaxed);
                SLOTS.set(0);
                park::reset();
                program();
            });
        }));
        Outcome {
            // Relaxed: as above.
            executions: executions.load(Ordering::Relaxed),
            failure: result.err().map(|panic| match panic.downcast::<String>() {
                Ok(text) => *text,
                Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("a panic").to_owned(),
            }),
        }
    }
}
