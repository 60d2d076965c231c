//! Coroutines: a stack for each thread of a schedule, reused for all schedules of a runtime.
//!
//! A fiber runs `body(thread)`, says that it is done, and waits to be asked again: no stack is
//! set up or torn down between schedules. A thread that must not go on unwinds (its destructors
//! run); one that can neither go on nor unwind, because a destructor found the next violation or
//! waits for a lock that nobody will let go, is left as it is and its fiber replaced: what its
//! stack owns leaks, as with `mem::forget`, and nothing on it is ever touched again.

use super::context::{Context, Stop};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Result;

/// Enough for the core and for formatting a panic's message; only what is touched is backed.
const STACK: usize = 256 << 10;

/// What a resumed fiber reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It waits for its next turn.
    Suspended,
    /// It has run its body to the end, or unwound it.
    Done,
    /// It must not be resumed again.
    GivenUp,
}

/// What a fiber is resumed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Run the body; go on.
    Go,
    /// The runtime is dropped.
    Quit,
}

/// The inside of a fiber: how its code gets off its stack.
#[derive(Debug)]
pub(super) struct Fiber {
    yielder: *const Yielder<Call, Event>,
}

impl Fiber {
    fn yielder(&self) -> &Yielder<Call, Event> {
        // SAFETY: the yielder lives as long as the fiber's stack, on which this code runs.
        unsafe { &*self.yielder }
    }

    pub fn suspend(&self) {
        self.yielder().suspend(Event::Suspended);
    }

    /// Does not return, unless by mistake of the pool.
    pub fn give_up(&self) {
        self.yielder().suspend(Event::GivenUp);
    }

    /// Runs `f` on the stack that resumed this fiber.
    pub fn on_host<R>(&self, f: impl FnOnce() -> R) -> Result<R> {
        struct SameThread<F>(F);
        // SAFETY: the parent's stack is one of the same OS thread; `Send` is asked for only to
        // keep the yielder out of `f`, and the mode `Host` sees to it that nobody uses it.
        unsafe impl<F> Send for SameThread<F> {}
        impl<F: FnOnce() -> R, R> SameThread<F> {
            fn call(self) -> R {
                (self.0)()
            }
        }
        let f = SameThread(f);
        self.yielder().on_parent_stack(move || catch_unwind(AssertUnwindSafe(|| f.call())))
    }
}

/// A coroutine of the pool.
pub(super) struct Slot(Coroutine<Call, Event, (), DefaultStack>);

impl Slot {
    /// A fiber that runs `context.body` as thread `number` whenever it is asked to.
    ///
    /// # Safety
    /// The context lives at `context` for as long as the slot is resumed.
    pub unsafe fn new(context: *const Context, number: usize) -> std::io::Result<Slot> {
        let stack = DefaultStack::new(STACK)?;
        Ok(Slot(Coroutine::with_stack(stack, move |yielder, mut call| {
            // SAFETY: promised by the caller.
            let context = unsafe { &*context };
            let fiber = Fiber { yielder };
            while call == Call::Go {
                context.fibers[number].set(&raw const fiber);
                if let Some(body) = context.body.get() {
                    // SAFETY: `Runtime` keeps the body alive until every fiber that runs it is
                    // done or given up.
                    let body = unsafe { &*body };
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| body(number))) {
                        if !payload.is::<Stop>() {
                            context.judge_panic();
                        }
                    }
                }
                call = yielder.suspend(Event::Done);
            }
        })))
    }

    #[inline]
    pub fn resume(&mut self) -> Event {
        match self.0.resume(Call::Go) {
            CoroutineResult::Yield(event) => event,
            CoroutineResult::Return(()) => Event::GivenUp,
        }
    }

    /// Ends an idle fiber.
    pub fn quit(mut self) {
        self.0.resume(Call::Quit);
    }

    /// Leaves a fiber's stack as it is.
    pub fn leak(self) {
        std::mem::forget(self);
    }
}
