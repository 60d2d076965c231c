//! Runs schedules: threads to their ends, checks, everything put back.

use super::THREADS;
use super::context::{Context, Mode, Options, Record, Recorded, enter, leave};
use super::fiber::{Event, Slot};
use super::panics::quieten;
use super::step::{Access, Kind, Step, Strategy, Threads, threads_in};
use super::violation::Violation;
use std::cell::Cell;

/// Stacks, log and journal for schedules, all on the OS thread that made it. Several may exist,
/// on several OS threads.
pub struct Runtime {
    slots: Vec<Slot>,
    context: Box<Context>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("threads", &self.slots.len()).finish_non_exhaustive()
    }
}

/// Makes the door act directly again, however the schedule is left.
struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        leave();
    }
}

impl Runtime {
    /// A runtime for schedules run with `options`.
    pub fn new(options: Options) -> Runtime {
        quieten();
        let mut context = Box::new(Context::new());
        context.set_options(options);
        Runtime { slots: Vec::new(), context }
    }

    /// Runs `body(0)` to `body(threads - 1)` as `strategy` interleaves them, then, if they all
    /// ended, `check`; then puts everything that went through the door back.
    ///
    /// # Panics
    /// With more than [`THREADS`] threads, within another exploration, or when the system has no
    /// memory for a stack.
    pub fn run(
        &mut self,
        threads: usize,
        body: &dyn Fn(usize),
        strategy: &mut dyn Strategy,
        record: Record,
        check: &mut dyn FnMut() -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        assert!((1..=THREADS).contains(&threads), "a schedule has 1 to {THREADS} threads, not {threads}");
        while self.slots.len() < threads {
            self.slots.push(self.slot(self.slots.len()));
        }
        let context: *const Context = &raw const *self.context;
        enter(context);
        let entered = Entered;
        // SAFETY: same layout; the context drops the pointer before this function returns.
        let strategy: *mut (dyn Strategy + 'static) =
            unsafe { std::mem::transmute(std::ptr::from_mut(strategy)) };
        self.context.begin(threads, strategy, record);
        self.set_body(body);
        self.threads_to_their_ends(threads);
        self.context.after_threads();
        if self.context.verdict.borrow().is_none() {
            let outcome = Cell::new(Ok(()));
            let check = Cell::new(Some(check));
            self.on_fiber(&|_| {
                if let Some(check) = check.take() {
                    outcome.set(check());
                }
            });
            if let Err(violation) = outcome.into_inner() {
                self.context.judge(violation);
            }
        }
        self.put_back();
        drop(entered);
        match self.context.verdict.take() {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }

    fn slot(&self, number: usize) -> Slot {
        let context: *const Context = &raw const *self.context;
        // SAFETY: the context is boxed and dropped after the slots.
        match unsafe { Slot::new(context, number) } {
            Ok(slot) => slot,
            Err(error) => panic!("no memory for a coroutine's stack: {error}"),
        }
    }

    fn set_body(&self, body: &dyn Fn(usize)) {
        // SAFETY: same layout; the fibers that call the body are done or given up before `run`
        // returns.
        let body: *const (dyn Fn(usize) + 'static) = unsafe { std::mem::transmute(std::ptr::from_ref(body)) };
        self.context.body.set(Some(body));
    }

    #[inline]
    fn resume(&mut self, thread: usize) -> Event {
        self.context.set_current(thread);
        let event = self.slots[thread].resume();
        if event == Event::GivenUp {
            let fresh = self.slot(thread);
            std::mem::replace(&mut self.slots[thread], fresh).leak();
        }
        if event != Event::Suspended {
            self.context.ended(thread);
        }
        event
    }

    fn threads_to_their_ends(&mut self, threads: usize) {
        for thread in 0..threads {
            self.resume(thread);
            if self.context.mode.get() == Mode::Unwinding {
                break;
            }
        }
        if self.context.mode.get() == Mode::Starting {
            self.context.mode.set(Mode::Running);
        }
        let mut decide = true;
        while self.context.mode.get() == Mode::Running && self.context.alive() != 0 {
            let next = match decide {
                true => self.context.decide(),
                false => Some(self.context.next.get()),
            };
            let Some(next) = next else { break };
            decide = self.resume(next) != Event::Suspended;
        }
        // The verdict is in: the others unwind. Threads that never ran have nothing to unwind, and
        // their fibers wait for their first body.
        for thread in threads_in(self.context.alive()) {
            if self.context.has_started(thread) {
                self.resume(thread);
            }
        }
    }

    /// Runs `body(0)` on the first fiber, where it can be given up if need be.
    fn on_fiber(&mut self, body: &dyn Fn(usize)) {
        self.set_body(body);
        self.resume(0);
    }

    fn put_back(&mut self) {
        // Checks may have left in the middle of an unwinding.
        self.context.after_threads();
        let context: *const Context = &raw const *self.context;
        if self.context.journal.has_contents() {
            let done = Cell::new(false);
            while !done.get() {
                self.on_fiber(&|_| {
                    // SAFETY: the context outlives the call.
                    let context = unsafe { &*context };
                    while context.journal.undo_contents() {}
                    done.set(true);
                });
                // Drop code that found a violation: the verdict on the schedule is in already, or
                // this is one.
                self.context.after_threads();
            }
        }
        self.context.journal.undo_words();
    }

    /// The steps of the schedule that ran last.
    pub fn steps(&self) -> u32 {
        self.context.steps()
    }

    /// The schedule that ran last: who executed which step.
    pub fn schedule(&self) -> Vec<u8> {
        self.log().map(|step| step.thread).collect()
    }

    /// The steps that ran last.
    pub fn log(&self) -> impl ExactSizeIterator<Item = Step> + '_ {
        self.context.log().iter().map(Cell::get)
    }

    /// Steps and values that ran last, if recorded.
    pub fn recorded(&self) -> Recorded {
        self.context.recorded()
    }

    /// Runnable sets (zero: only one thread was left) and accesses that are no steps, if recorded.
    pub fn analysis<R>(&self, f: impl FnOnce(&[Threads], &[Access]) -> R) -> R {
        self.context.analysis(f)
    }

    /// What the threads had announced when the schedule that ran last was cut short.
    pub fn announced(&self, thread: usize) -> (Kind, usize) {
        let thread = &self.context.threads[thread];
        (thread.kind.get(), thread.address.get())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        for slot in self.slots.drain(..) {
            slot.quit();
        }
    }
}
