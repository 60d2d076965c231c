//! Coroutines: a stack for each thread of a schedule, reused for all schedules of a runtime.
//!
//! A fiber runs `body(thread)`, says that it is done, and waits to be asked again: no stack is
//! set up or torn down between schedules.

use super::context::Context;
use super::verdict::Stop;
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::panic::{AssertUnwindSafe, catch_unwind};

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

/// How the code on a fiber gets off its stack.
pub(super) type Exit = Yielder<Call, Event>;

/// A coroutine of the pool.
pub(super) struct Fiber(Coroutine<Call, Event, (), DefaultStack>);

impl Fiber {
    /// A fiber that runs the context's body as thread `number` whenever it is asked to.
    ///
    /// # Safety
    /// The context lives at `context` for as long as the fiber is resumed.
    pub unsafe fn new(context: *const Context, number: usize) -> std::io::Result<Fiber> {
        let stack = DefaultStack::new(STACK)?;
        Ok(Fiber(Coroutine::with_stack(stack, move |exit: &Exit, mut call| {
            // SAFETY: promised by the caller.
            let context = unsafe { &*context };
            while call == Call::Go {
                context.turns.set_exit(number, exit);
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| context.run_body(number)))
                    && !payload.is::<Stop>()
                {
                    context.judge_panic();
                }
                call = exit.suspend(Event::Done);
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
