//! Runs schedules: runs the threads to their ends, checks the end state, and undoes all changes.

use super::context::{Context, enter, leave};
use super::digest::Digest;
use super::panics::quieten;
use super::record::{Between, Options, Record, Recorded, Values};
use super::step::{Access, FIRST_BUFFER, Step, Strategy, THREADS, Threads};
use super::violation::Violation;
use crate::sync::class::LockClass;
use std::cell::Cell;

/// The stacks, the log and the journal of schedules, confined to the OS thread that made them.
/// Several runtimes may exist, on several OS threads.
pub struct Runtime {
    context: Box<Context>,
}

/// The check of the end state, once all threads of a schedule have ended without a violation.
pub trait Ending {
    /// Adds the state that is kept outside of the door's words and locks to the digest. Returns
    /// false if this state cannot be digested; the end state is then always checked. The
    /// function must execute no operation of the door.
    fn digest_into(&mut self, digest: &mut Digest) -> bool;

    /// Returns true if this state has passed the check before.
    fn is_known(&mut self, digest: Digest) -> bool;

    /// Checks the end state.
    fn check(&mut self) -> Result<(), Violation>;

    /// Records that this state has passed the check.
    fn record_passed(&mut self, digest: Digest);
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

/// Makes operations act directly again when dropped, however the schedule ends.
struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        leave();
    }
}

impl Runtime {
    /// Makes a runtime for schedules run with `options`.
    pub fn new(options: Options) -> Runtime {
        quieten();
        Runtime { context: Box::new(Context::new(options)) }
    }

    /// Delays stores in buffers, as x86 does.
    pub fn buffer_stores(&mut self) {
        self.context.buffers.enabled.set(true);
    }

    /// Returns true if stores are delayed in buffers.
    pub fn buffers_stores(&self) -> bool {
        self.context.buffers.enabled.get()
    }

    /// Runs `body(0)` to `body(threads - 1)` as `strategy` interleaves them. If they all end, runs
    /// the check of `ending`, unless the same state passed it before. Then restores every word and
    /// lock that the schedule changed.
    ///
    /// # Panics
    /// With more than [`THREADS`] threads ([`FIRST_BUFFER`] with store buffers), within another exploration,
    /// or when the system has no memory for a stack.
    pub fn run(
        &mut self,
        threads: usize,
        body: &dyn Fn(usize),
        strategy: &mut dyn Strategy,
        record: Record,
        ending: &mut dyn Ending,
    ) -> Result<(), Violation> {
        let most = if self.buffers_stores() { FIRST_BUFFER } else { THREADS };
        assert!((1..=most).contains(&threads), "a schedule has 1 to {most} threads here, not {threads}");
        self.context.make_fibers(threads);
        let context: *const Context = &raw const *self.context;
        enter(context);
        let entered = Entered;
        // SAFETY: same layout; the context drops the pointer before this function returns.
        let strategy: *mut (dyn Strategy + 'static) =
            unsafe { std::mem::transmute(std::ptr::from_mut(strategy)) };
        self.context.begin(threads, strategy, record);
        // SAFETY: `run_to_the_end` returns when every thread is done or abandoned.
        unsafe { self.context.set_body(body) };
        self.context.start(threads);
        self.context.run_to_the_end();
        self.context.recording.fill(self.context.steps.get());
        self.context.after_threads();
        if self.context.verdict.borrow().is_none() {
            let mut digest = Digest::default();
            let digested = ending.digest_into(&mut digest) && self.context.journal.digest_into(&mut digest);
            if !(digested && ending.is_known(digest)) {
                self.check(ending);
                if digested && self.context.verdict.borrow().is_none() {
                    ending.record_passed(digest);
                }
            }
        }
        self.restore();
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
        // The check may have ended in the middle of an unwinding.
        self.context.after_threads();
    }

    /// Runs `body(0)` on the first fiber, whose stack can be abandoned if the body cannot unwind.
    fn on_fiber(&mut self, body: &dyn Fn(usize)) {
        // SAFETY: after this call the fiber is done or abandoned.
        unsafe { self.context.set_body(body) };
        self.context.resume_from_host(0);
    }

    fn restore(&mut self) {
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
                // Drop code may have found a violation. That violation becomes the verdict if the
                // schedule has none yet.
                self.context.after_threads();
            }
        }
        self.context.journal.undo_words();
    }

    /// Returns the number of steps of the last schedule.
    pub fn steps(&self) -> u32 {
        self.context.steps.get()
    }

    /// Returns the steps of the last schedule.
    pub fn log(&self) -> impl ExactSizeIterator<Item = Step> + '_ {
        self.context.log().iter().map(Cell::get)
    }

    /// Returns the steps of the last schedule, and their values if these were recorded.
    pub fn recorded(&self) -> Recorded {
        self.context.recorded()
    }

    /// Calls `f` with the steps of the last schedule, the values of a prefix of them, the locks, and the
    /// events between the steps, if they were recorded.
    pub fn traced(&self, f: impl FnOnce(&[Cell<Step>], &[Values], &[(usize, LockClass)], &[Between])) {
        let recording = &self.context.recording;
        f(
            self.context.log(),
            &recording.values.borrow(),
            &recording.locks.borrow(),
            &recording.between.borrow(),
        );
    }

    /// Calls `f` with the runnable set of each step and with the accesses that are no steps, if
    /// they were recorded. A set is zero for steps of a prefix, of the only thread left, and within
    /// a turn of the fair scheduler.
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
