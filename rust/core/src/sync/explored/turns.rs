//! Passing turns from stack to stack.
//!
//! A thread whose turn ends resumes the next thread directly, without going back to the host. If
//! the next thread is the thread that resumed it, the thread suspends instead. So the stacks form a
//! *chain* from the host to the running thread, and a turn between two threads costs one switch. A
//! thread that gets control back although it is not its turn passes the turn on: it resumes a
//! thread outside of the chain, or suspends towards a thread in the chain or towards the host.

use super::context::{Context, Mode};
use super::fiber::{Call, Event, Exit, Fiber};
use super::stacks::{HOST, HostCall};
use super::step::threads_in;
use super::verdict::Stop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

impl Context {
    /// Runs the fibers' body as thread `thread`.
    pub(super) fn run_body(&self, thread: usize) {
        if let Some(body) = self.turns.body.get() {
            // SAFETY: the caller of `set_body` keeps the body alive while fibers that run it are
            // resumed.
            let body = unsafe { &*body };
            body(thread);
        }
    }

    /// Sets the closure that fibers run.
    ///
    /// # Safety
    /// The body lives until each fiber that begins to run it is done or abandoned.
    pub(super) unsafe fn set_body(&self, body: &dyn Fn(usize)) {
        // SAFETY: same layout; the caller promises that the body lives long enough.
        let body: *const (dyn Fn(usize) + 'static) = unsafe { std::mem::transmute(std::ptr::from_ref(body)) };
        self.turns.body.set(Some(body));
    }

    /// Makes a fiber for each of the first `threads` threads that has no fiber yet.
    ///
    /// # Panics
    /// If the system has no memory for a stack.
    pub(super) fn make_fibers(&self, threads: usize) {
        for (number, fiber) in self.turns.fibers[..threads].iter().enumerate() {
            // SAFETY: no fiber runs, so no slot is borrowed.
            let fiber = unsafe { &mut *fiber.get() };
            if fiber.is_none() {
                *fiber = Some(self.make_fiber(number));
            }
        }
    }

    fn make_fiber(&self, number: usize) -> Fiber {
        let context: *const Context = self;
        let fiber = Fiber::new(move |exit: &Exit, mut call| {
            // SAFETY: the runtime boxes the context, and ends its fibers before it drops the context.
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
        });
        fiber.unwrap_or_else(|error| panic!("no memory for a coroutine's stack: {error}"))
    }

    /// Lets `thread`, which is not in the chain, run until it suspends or ends.
    #[inline]
    fn resume(&self, thread: usize) -> Event {
        let turns = &self.turns;
        let bit = 1 << thread;
        self.current.set(thread);
        self.started.set(self.started.get() | bit);
        turns.chain.set(turns.chain.get() | bit);
        // SAFETY: a slot is borrowed while its fiber runs or has resumed another fiber. During that
        // time the slot's thread is in the chain, and this thread was not in the chain.
        let slot = unsafe { &mut *turns.fibers[thread].get() };
        let event = slot.as_mut().map_or(Event::Done, Fiber::resume);
        turns.chain.set(turns.chain.get() & !bit);
        if event != Event::Suspended {
            self.alive.set(self.alive.get() & !bit);
        }
        if event == Event::Done && self.mode.get() == Mode::Running {
            self.ends_operation();
        }
        if event == Event::Abandoned
            && let Some(fiber) = slot.replace(self.make_fiber(thread))
        {
            fiber.leak();
        }
        event
    }

    fn exit(&self, thread: usize) -> &Exit {
        // SAFETY: each fiber stores its yielder before it runs its body, and the yielder lives as
        // long as the fiber's stack, on which this code runs.
        unsafe { &*self.turns.exits[thread].get() }
    }

    /// Suspends thread `me` towards the thread or host that resumed it, until its turn comes.
    #[inline]
    pub(super) fn leave_turn(&self, me: usize) {
        self.exit(me).suspend(Event::Suspended);
    }

    /// Passes the turn from thread `me` to `next`; returns when `me` gets the turn back, or must
    /// unwind.
    #[inline]
    pub(super) fn pass_turn(&self, me: usize, next: usize) {
        let turns = &self.turns;
        turns.next.set(next);
        while turns.next.get() != me {
            let next = turns.next.get();
            if next == HOST || turns.chain.get() & 1 << next != 0 {
                self.leave_turn(me);
            } else if self.resume(next) != Event::Suspended
                && self.mode.get() == Mode::Running
                && let Some(next) = self.decide()
            {
                turns.next.set(next);
            }
            if self.mode.get() == Mode::Unwinding {
                break;
            }
        }
        self.current.set(me);
    }

    /// Abandons the current thread's stack.
    pub(super) fn leave_for_ever(&self) -> ! {
        loop {
            self.exit(self.current.get()).suspend(Event::Abandoned);
        }
    }

    /// Lets each thread run to its first operation. Only the host calls this function.
    pub(super) fn start(&self, threads: usize) {
        for thread in 0..threads {
            self.resume_from_host(thread);
            if self.mode.get() == Mode::Unwinding {
                return;
            }
        }
        self.mode.set(Mode::Running);
    }

    /// Runs the threads until all have ended and no store is left in a buffer, or until a verdict
    /// is in. Then unwinds the remaining threads. Only the host calls this function.
    pub(super) fn run_to_the_end(&self) {
        while self.mode.get() == Mode::Running && (self.alive.get() != 0 || self.buffers.any_filled()) {
            let Some(mut next) = self.decide() else { break };
            while self.resume_from_host(next) == Event::Suspended {
                next = self.turns.next.get();
            }
        }
        // A thread that never ran has nothing to unwind.
        for thread in threads_in(self.alive.get() & self.started.get()) {
            if self.alive.get() & 1 << thread != 0 {
                self.resume_from_host(thread);
            }
        }
    }

    /// Resumes `thread`, and runs each closure that a thread passes to the host, until the resumed
    /// thread suspends or ends without a closure. Only the host calls this function.
    pub(super) fn resume_from_host(&self, thread: usize) -> Event {
        let turns = &self.turns;
        let mut thread = thread;
        loop {
            turns.next.set(thread);
            let event = self.resume(thread);
            let Some(call) = turns.call.take() else { return event };
            thread = self.current.get();
            turns.calling.set(true);
            // SAFETY: the closure lives in `on_host` on the stack of `thread`, which waits for its
            // end.
            let call = unsafe { &mut *call };
            call();
            turns.calling.set(false);
            self.current.set(thread);
        }
    }

    /// Runs `f` on the host's stack, as part of the step before.
    pub(super) fn on_host<R>(&self, f: impl FnOnce() -> R) -> R {
        if self.turns.chain.get() == 0 || self.turns.calling.get() {
            return f();
        }
        let me = self.current.get();
        let mode = self.mode.get();
        let interrupted = matches!(mode, Mode::Starting | Mode::Running | Mode::Within);
        let stop = self.stop.get();
        if interrupted {
            self.direct(Mode::Host);
        }
        let mut f = Some(f);
        let mut result = None;
        let mut call = || {
            // A panic must not unwind the host's stack; it is resumed on the stack of thread `me`.
            result = f.take().map(|f| catch_unwind(AssertUnwindSafe(f)));
        };
        let call: *mut (dyn FnMut() + '_) = &raw mut call;
        // SAFETY: same layout; the host calls it before this thread goes on.
        let call: HostCall = unsafe { std::mem::transmute(call) };
        self.turns.call.set(Some(call));
        self.turns.next.set(HOST);
        while result.is_none() {
            self.leave_turn(me);
        }
        if interrupted {
            match self.verdict.borrow().is_some() {
                true => self.direct(Mode::Unwinding),
                false => {
                    self.mode.set(mode);
                    self.stop.set(if self.panicking.get() { self.steps.get() } else { stop });
                }
            }
        }
        match result {
            Some(Ok(result)) => result,
            Some(Err(payload)) => resume_unwind(payload),
            None => self.leave_for_ever(),
        }
    }
}
