//! Passing turns from stack to stack.
//!
//! A thread that is to be followed by another resumes it directly, without going back to the
//! host; one that was resumed so, and is to be followed by the thread that resumed it, suspends.
//! So the stacks form a *chain* from the host to the running thread, and a turn between two
//! threads costs one switch. A thread that gets control back although it is not its turn hands it
//! on: to a thread outside of the chain by resuming it, to one in the chain, or to the host, by
//! suspending towards them.

use super::THREADS;
use super::context::{Context, Mode};
use super::fiber::{Event, Exit, Fiber};
use super::step::{Threads, threads_in};
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The turn of the host.
const HOST: usize = usize::MAX;

type HostCall = *mut dyn FnMut();

/// Stacks, and whose turn it is.
pub(super) struct Turns {
    fibers: [UnsafeCell<Option<Fiber>>; THREADS],
    exits: [Cell<*const Exit>; THREADS],
    /// What the fibers run.
    body: Cell<Option<*const dyn Fn(usize)>>,
    /// Whose turn it is.
    next: Cell<usize>,
    /// Threads between the host and the running thread, that one included.
    chain: Cell<Threads>,
    /// What a thread wants the host to run.
    call: Cell<Option<HostCall>>,
    calling: Cell<bool>,
}

impl Default for Turns {
    fn default() -> Self {
        Turns {
            fibers: Default::default(),
            exits: [const { Cell::new(std::ptr::null()) }; THREADS],
            body: Cell::new(None),
            next: Cell::new(HOST),
            chain: Cell::new(0),
            call: Cell::new(None),
            calling: Cell::new(false),
        }
    }
}

impl Turns {
    /// Does the host run a thread's callback?
    pub fn on_host(&self) -> bool {
        self.calling.get()
    }

    pub fn set_exit(&self, thread: usize, exit: *const Exit) {
        self.exits[thread].set(exit);
    }

    /// Ends the idle fibers.
    pub fn quit(&mut self) {
        for fiber in &mut self.fibers {
            if let Some(fiber) = fiber.get_mut().take() {
                fiber.quit();
            }
        }
    }
}

impl Context {
    /// What a fiber runs.
    pub(super) fn run_body(&self, thread: usize) {
        if let Some(body) = self.turns.body.get() {
            // SAFETY: `set_body` was given it for as long as fibers that run it are resumed.
            let body = unsafe { &*body };
            body(thread);
        }
    }

    /// From now on fibers run `body`.
    ///
    /// # Safety
    /// The body lives until each fiber that begins to run it is done or given up.
    pub(super) unsafe fn set_body(&self, body: &dyn Fn(usize)) {
        // SAFETY: same layout; how long it lives is promised by the caller.
        let body: *const (dyn Fn(usize) + 'static) = unsafe { std::mem::transmute(std::ptr::from_ref(body)) };
        self.turns.body.set(Some(body));
    }

    /// Makes fibers for threads up to `threads`.
    ///
    /// # Panics
    /// If the system has no memory for a stack.
    pub(super) fn make_fibers(&self, threads: usize) {
        for (number, fiber) in self.turns.fibers[..threads].iter().enumerate() {
            // SAFETY: no fiber runs, so nobody borrows a slot.
            let fiber = unsafe { &mut *fiber.get() };
            if fiber.is_none() {
                *fiber = Some(self.make_fiber(number));
            }
        }
    }

    fn make_fiber(&self, number: usize) -> Fiber {
        // SAFETY: the context is boxed by the runtime, and ends its fibers before it goes.
        match unsafe { Fiber::new(self, number) } {
            Ok(fiber) => fiber,
            Err(error) => panic!("no memory for a coroutine's stack: {error}"),
        }
    }

    /// Lets `thread`, which is not in the chain, run until it suspends or ends.
    #[inline]
    fn resume(&self, thread: usize) -> Event {
        let turns = &self.turns;
        let bit = 1 << thread;
        self.current.set(thread);
        self.started.set(self.started.get() | bit);
        turns.chain.set(turns.chain.get() | bit);
        // SAFETY: a slot is borrowed while its fiber runs or has resumed another, that is, while
        // the thread is in the chain; and this one was not.
        let slot = unsafe { &mut *turns.fibers[thread].get() };
        let event = slot.as_mut().map_or(Event::Done, Fiber::resume);
        turns.chain.set(turns.chain.get() & !bit);
        if event != Event::Suspended {
            self.alive.set(self.alive.get() & !bit);
        }
        if event == Event::GivenUp
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

    /// Back to whoever resumed thread `me`, until its turn comes.
    #[inline]
    pub(super) fn leave_turn(&self, me: usize) {
        self.exit(me).suspend(Event::Suspended);
    }

    /// Thread `me` gives its turn to `next`, and returns when its own comes, or to unwind.
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

    /// The current thread's stack is left as it is.
    pub(super) fn leave_for_ever(&self) -> ! {
        loop {
            self.exit(self.current.get()).suspend(Event::GivenUp);
        }
    }

    /// From the host: each thread runs to its first operation.
    pub(super) fn start(&self, threads: usize) {
        for thread in 0..threads {
            self.resume_from_host(thread);
            if self.mode.get() == Mode::Unwinding {
                return;
            }
        }
        self.mode.set(Mode::Running);
    }

    /// From the host: the threads run until all have ended or the verdict is in, and unwind then.
    pub(super) fn run_to_the_end(&self) {
        while self.mode.get() == Mode::Running && self.alive.get() != 0 {
            let Some(mut next) = self.decide() else { break };
            while self.resume_from_host(next) == Event::Suspended {
                next = self.turns.next.get();
            }
        }
        // Threads that never ran have nothing to unwind.
        for thread in threads_in(self.alive.get() & self.started.get()) {
            if self.alive.get() & 1 << thread != 0 {
                self.resume_from_host(thread);
            }
        }
    }

    /// From the host: `thread` runs, and the host runs what it wants run, until the thread, or
    /// one it has resumed, has another wish.
    pub(super) fn resume_from_host(&self, thread: usize) -> Event {
        let turns = &self.turns;
        let mut thread = thread;
        loop {
            turns.next.set(thread);
            let event = self.resume(thread);
            let Some(call) = turns.call.take() else { return event };
            thread = self.current.get();
            turns.calling.set(true);
            // SAFETY: the closure lives in `on_host` on the stack of `thread`, which waits for it.
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
            // A panic must not leave the host's stack; it goes on on this one.
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
