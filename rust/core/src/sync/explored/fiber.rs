//! Coroutines: a stack for each thread of a schedule, reused for all schedules of a runtime.
//!
//! A fiber runs `body(thread)`, reports that it is done, and suspends until it is resumed for the
//! next schedule. So no stack is set up or torn down between schedules.

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// The size of a stack in bytes, enough for the core and for formatting a panic's message. The
/// system backs only the pages that are used.
pub(super) const STACK: usize = 256 << 10;

/// The state that a resumed fiber reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The fiber waits for its next turn.
    Suspended,
    /// The fiber has run its body to the end, or unwound it.
    Done,
    /// The stack of the fiber was abandoned, so the fiber must not be resumed again.
    Abandoned,
}

/// The purpose for which a fiber is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// To run the body, or to go on with it.
    Go,
    /// To return, because the runtime is dropped.
    Quit,
}

/// The handle with which code on a fiber suspends it.
pub(super) type Exit = Yielder<Call, Event>;

/// A coroutine of the pool.
pub(super) struct Fiber(Coroutine<Call, Event, (), DefaultStack>);

impl Fiber {
    /// Makes a fiber that runs `body` when it is resumed for the first time, until it is asked to
    /// quit.
    pub fn new(body: impl FnOnce(&Exit, Call) + 'static) -> std::io::Result<Fiber> {
        Ok(Fiber(Coroutine::with_stack(DefaultStack::new(STACK)?, body)))
    }

    #[inline]
    pub fn resume(&mut self) -> Event {
        match self.0.resume(Call::Go) {
            CoroutineResult::Yield(event) => event,
            CoroutineResult::Return(()) => Event::Abandoned,
        }
    }

    /// Ends an idle fiber.
    pub fn quit(mut self) {
        self.0.resume(Call::Quit);
    }

    /// Abandons a fiber's stack: nothing on it is dropped.
    pub fn leak(self) {
        std::mem::forget(self);
    }
}
