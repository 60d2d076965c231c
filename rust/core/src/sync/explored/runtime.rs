//! Runs schedules: threads to their ends, checks, everything put back.

use super::THREADS;
use super::context::{Context, enter, leave};
use super::digest::Digest;
use super::panics::quieten;
use super::record::{Options, Record, Recorded};
use super::step::{Access, Step, Strategy, Threads};
use super::violation::Violation;
use std::cell::Cell;

/// Stacks, log and journal for schedules, all on the OS thread that made it. Several may exist,
/// on several OS threads.
pub struct Runtime {
    context: Box<Context>,
}

/// What is done when all threads of a schedule have ended well.
pub trait Ending {
    /// Tells what the state is beyond what went through the door; false if that cannot be told, and
    /// the state is to be checked. No operation of the door.
    fn tell(&mut self, digest: &mut Digest) -> bool;

    /// Has this state passed the check before?
    fn is_known(&mut self, digest: Digest) -> bool;

    /// Is everything as it should be?
    fn check(&mut self) -> Result<(), Violation>;

    /// The check has passed.
    fn passed(&mut self, digest: Digest);
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
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
        Runtime { context: Box::new(Context::new(options)) }
    }

    /// Runs `body(0)` to `body(threads - 1)` as `strategy` interleaves them, then, if they all
    /// ended, the check of `ending`, unless the same state passed before; then puts everything that
    /// went through the door back.
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
        ending: &mut dyn Ending,
    ) -> Result<(), Violation> {
        assert!((1..=THREADS).contains(&threads), "a schedule has 1 to {THREADS} threads, not {threads}");
        self.context.make_fibers(threads);
        let context: *const Context = &raw const *self.context;
        enter(context);
        let entered = Entered;
        // SAFETY: same layout; the context drops the pointer before this function returns.
        let strategy: *mut (dyn Strategy + 'static) =
            unsafe { std::mem::transmute(std::ptr::from_mut(strategy)) };
        self.context.begin(threads, strategy, record);
        // SAFETY: `run_to_the_end` returns when every thread is done or given up.
        unsafe { self.context.set_body(body) };
        self.context.start(threads);
        self.context.run_to_the_end();
        self.context.after_threads();
        if self.context.verdict.borrow().is_none() {
            let mut digest = Digest::default();
            let told = ending.tell(&mut digest) && self.context.journal.tell(&mut digest);
            if !(told && ending.is_known(digest)) {
                self.check(ending);
                if told && self.context.verdict.borrow().is_none() {
                    ending.passed(digest);
                }
            }
        }
        self.put_back();
        drop(entered);
        match self.context.verdict.take() {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }

    fn check(&mut self, ending: &mut dyn Ending) {
        let outcome = Cell::new(Ok(()));
        let ending = Cell::new(Some(ending));
        self.on_fiber(&|_| {
            if let Some(ending) = ending.take() {
                outcome.set(ending.check());
            }
        });
        if let Err(violation) = outcome.into_inner() {
            self.context.judge(violation);
        }
    }

    /// Runs `body(0)` on the first fiber, where it can be given up if need be.
    fn on_fiber(&mut self, body: &dyn Fn(usize)) {
        // SAFETY: the fiber is done or given up when it is resumed no more.
        unsafe { self.context.set_body(body) };
        self.context.resume_from_host(0);
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
        self.context.steps.get()
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
        let recording = &self.context.recording;
        f(&recording.runnable.borrow(), &recording.accesses.borrow())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.context.turns.quit();
    }
}
