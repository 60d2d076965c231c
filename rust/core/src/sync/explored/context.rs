//! The running schedule: whose turn it is, and the hook that every operation of the door calls.
//!
//! A thread of a schedule is always suspended *before* an operation it has announced. Choosing it
//! means: it executes that operation and everything up to its next one. So a schedule is one
//! thread number for each operation, and nothing else is left to chance.
//!
//! The hook is a comparison and a 16-byte store as long as the strategy's last choice holds
//! (`steps != stop`); everything rare hides behind `steps == stop`: decisions, set-up, callbacks
//! that must not be interrupted, unwinding.

use super::clock::Clock;
use super::journal::Journal;
use super::order::Held;
use super::step::{Access, Kind, Step, Strategy, Threads, View, threads_in};
use super::violation::{Violation, rule};
use super::{Fiber, THREADS};
use std::cell::{Cell, RefCell};

/// What the code that calls the hook is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Threads run to their first operation.
    Starting,
    /// The schedule runs.
    Running,
    /// A closure runs as part of a step: nobody else may come between.
    Within,
    /// A thread's callback runs on the host's stack, from which nobody can be switched to.
    Host,
    /// The threads have ended; the world is checked or put back.
    Check,
    /// The verdict is in; threads unwind.
    Unwinding,
}

/// When an announced operation can be executed.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Always,
    /// The word is zero: a lock is free.
    Zero(*const std::sync::atomic::AtomicU64),
    /// No writer holds the lock.
    NoWriter(*const std::sync::atomic::AtomicU64),
    /// The condition holds for the word.
    Holds(*const std::sync::atomic::AtomicU64, *const dyn Fn(u64) -> bool),
    /// Somebody has woken this thread.
    Woken(usize),
}

/// Value of a lock word that a writer holds.
pub(super) const WRITER: u64 = 1 << 63;

/// A thread of the schedule.
#[derive(Debug)]
pub(super) struct Thread {
    /// What it has announced.
    pub kind: Cell<Kind>,
    pub address: Cell<usize>,
    pub when: Cell<When>,
    pub woken: Cell<bool>,
    /// The condition under which a sleeper had a reason to sleep.
    pub reason: Cell<Option<*const dyn Fn() -> bool>>,
    /// What it knows.
    pub clock: Cell<Clock>,
    /// What its relaxed loads saw published, for a later acquire fence.
    pub seen: Cell<Clock>,
    /// What it knew at its last release fence.
    pub fenced: Cell<Clock>,
    pub held: RefCell<Vec<Held>>,
    /// Which operation of its program it executes.
    pub operation: Cell<u32>,
}

impl Thread {
    fn new() -> Self {
        Thread {
            kind: Cell::new(Kind::Fence),
            address: Cell::new(0),
            when: Cell::new(When::Always),
            woken: Cell::new(false),
            reason: Cell::new(None),
            clock: Cell::default(),
            seen: Cell::default(),
            fenced: Cell::default(),
            held: RefCell::new(Vec::with_capacity(8)),
            operation: Cell::new(0),
        }
    }

    fn reset(&self, number: usize) {
        self.when.set(When::Always);
        self.woken.set(false);
        self.reason.set(None);
        self.clock.set(Clock::ZERO.with(number, 1));
        self.seen.set(Clock::ZERO);
        self.fenced.set(Clock::ZERO);
        self.held.borrow_mut().clear();
        self.operation.set(0);
    }
}

/// How a schedule is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A schedule that needs more steps violates [`rule::STEP_BOUND`].
    pub max_steps: u32,
    /// The how-manyth weak compare-exchange of a schedule fails for no reason; 0: none does.
    pub spurious_failure: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options { max_steps: 20_000, spurious_failure: 0 }
    }
}

/// Operations that a thread may still execute while it unwinds, before it is given up.
const UNWIND_BUDGET: u32 = 100_000;

/// Payload that unwinds a thread once the verdict is in.
pub(super) struct Stop;

pub(super) struct Context {
    steps: Cell<u32>,
    stop: Cell<u32>,
    log: Box<[Cell<Step>]>,
    current: Cell<usize>,
    pub(super) mode: Cell<Mode>,
    /// Values before and after are recorded.
    tracing: Cell<bool>,
    /// Runnable sets and attached accesses are recorded.
    analysing: Cell<bool>,
    pub(super) journal: Journal,
    pub(super) threads: [Thread; THREADS],
    alive: Cell<Threads>,
    started: Cell<Threads>,
    /// Threads whose announced operation may have to wait.
    waiting: Cell<Threads>,
    /// Sleepers in order of arrival.
    pub(super) sleepers: RefCell<Vec<(usize, usize)>>,
    strategy: Cell<Option<*mut dyn Strategy>>,
    /// From this step on every step asks, so that runnable sets are complete.
    analyse_from: Cell<u32>,
    pub(super) next: Cell<usize>,
    limit: Cell<u32>,
    options: Cell<Options>,
    weak: Cell<u32>,
    pub(super) verdict: RefCell<Option<Violation>>,
    /// A panic is on its way up; its text.
    pub(super) panic: RefCell<Option<String>>,
    panicking: Cell<bool>,
    /// An unwinding thread was given up, so `std::thread::panicking` says true for ever.
    pub(super) tainted: Cell<bool>,
    unwind_budget: Cell<u32>,
    runnable_log: RefCell<Vec<Threads>>,
    accesses: RefCell<Vec<Access>>,
    values: RefCell<Vec<Values>>,
    pub(super) fibers: [Cell<*const Fiber>; THREADS],
    /// What the fibers run.
    pub(super) body: Cell<Option<*const dyn Fn(usize)>>,
}

/// A step's operation number and its word before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Operation of the thread's program.
    pub operation: u32,
    /// The word before the step.
    pub before: u64,
    /// The word after it.
    pub after: u64,
}

thread_local! {
    static CURRENT: Cell<*const Context> = const { Cell::new(std::ptr::null()) };
}

/// Makes `context` the one that the door's operations of this OS thread find.
pub(super) fn enter(context: *const Context) {
    assert!(CURRENT.get().is_null(), "an exploration within an exploration");
    CURRENT.set(context);
}

/// The door's operations act directly again.
pub(super) fn leave() {
    CURRENT.set(std::ptr::null());
}

/// The exploration on whose behalf this OS thread runs, if any.
#[inline(always)]
pub(super) fn context<'a>() -> Option<&'a Context> {
    // SAFETY: `Runtime::run` sets the pointer for as long as it borrows the context, and the
    // borrows made here are used within one operation of the door, which ends before `run` does
    // (an operation on a given-up stack is never resumed).
    unsafe { CURRENT.get().as_ref() }
}

impl Context {
    pub fn new() -> Self {
        Context {
            steps: Cell::new(0),
            stop: Cell::new(0),
            log: Box::default(),
            current: Cell::new(0),
            mode: Cell::new(Mode::Check),
            tracing: Cell::new(false),
            analysing: Cell::new(false),
            journal: Journal::new(),
            threads: std::array::from_fn(|_| Thread::new()),
            alive: Cell::new(0),
            started: Cell::new(0),
            waiting: Cell::new(0),
            sleepers: RefCell::default(),
            strategy: Cell::new(None),
            analyse_from: Cell::new(0),
            next: Cell::new(0),
            limit: Cell::new(0),
            options: Cell::default(),
            weak: Cell::new(0),
            verdict: RefCell::new(None),
            panic: RefCell::new(None),
            panicking: Cell::new(false),
            tainted: Cell::new(false),
            unwind_budget: Cell::new(0),
            runnable_log: RefCell::default(),
            accesses: RefCell::default(),
            values: RefCell::default(),
            fibers: [const { Cell::new(std::ptr::null()) }; THREADS],
            body: Cell::new(None),
        }
    }

    pub fn set_options(&mut self, options: Options) {
        let none = Cell::new(Step { address: 0, thread: 0, kind: Kind::Fence });
        self.log = vec![none; options.max_steps as usize].into_boxed_slice();
        self.limit.set(options.max_steps);
        self.options.set(options);
    }

    /// Opens a schedule.
    pub fn begin(&self, threads: usize, strategy: *mut dyn Strategy, record: Record) {
        self.steps.set(0);
        self.stop.set(0);
        self.journal.begin();
        for (number, thread) in self.threads[..threads].iter().enumerate() {
            thread.reset(number);
        }
        self.alive.set(((1u32 << threads) - 1) as Threads);
        self.started.set(0);
        self.waiting.set(0);
        self.sleepers.borrow_mut().clear();
        self.strategy.set(Some(strategy));
        self.tracing.set(record == Record::Values);
        let from = if let Record::Analysis { from } = record { Some(from) } else { None };
        self.analysing.set(from.is_some());
        self.analyse_from.set(from.unwrap_or(u32::MAX));
        self.runnable_log.borrow_mut().clear();
        self.accesses.borrow_mut().clear();
        self.values.borrow_mut().clear();
        self.weak.set(0);
        self.verdict.replace(None);
        self.panic.replace(None);
        self.panicking.set(false);
        self.unwind_budget.set(UNWIND_BUDGET);
        self.mode.set(Mode::Starting);
    }

    /// The threads are done with, one way or the other: from here on operations act directly.
    pub fn after_threads(&self) {
        self.strategy.set(None);
        self.panicking.set(false);
        self.set_current(0);
        self.threads[0].held.borrow_mut().clear();
        self.unwind_budget.set(UNWIND_BUDGET);
        self.direct(Mode::Check);
    }

    /// Switches to a mode in which operations are no steps.
    pub fn direct(&self, mode: Mode) {
        self.mode.set(mode);
        self.stop.set(self.steps.get());
    }

    #[inline]
    pub fn current(&self) -> usize {
        self.current.get()
    }

    #[inline]
    pub fn thread(&self) -> &Thread {
        &self.threads[self.current.get() & (THREADS - 1)]
    }

    /// `thread` is about to be resumed.
    #[inline]
    pub fn set_current(&self, thread: usize) {
        self.current.set(thread);
        self.started.set(self.started.get() | 1 << thread);
    }

    pub fn steps(&self) -> u32 {
        self.steps.get()
    }

    pub fn alive(&self) -> Threads {
        self.alive.get()
    }

    /// Has the thread run to its first operation in this schedule?
    pub fn has_started(&self, thread: usize) -> bool {
        self.started.get() & 1 << thread != 0
    }

    pub fn ended(&self, thread: usize) {
        self.alive.set(self.alive.get() & !(1 << thread));
    }

    /// Is a race between threads possible here? Not while a world is set up, checked or unwound.
    #[inline]
    pub fn is_concurrent(&self) -> bool {
        !matches!(self.mode.get(), Mode::Check | Mode::Unwinding)
    }

    /// Announces an operation, lets the schedule decide, and returns when it is to be executed.
    /// False: the operation is part of something else, and no step.
    #[inline(always)]
    pub fn step(&self, kind: Kind, address: usize) -> bool {
        if self.steps.get() == self.stop.get() && !self.decide_slowly(kind, address, When::Always) {
            return false;
        }
        self.count(kind, address);
        true
    }

    /// The same for an operation that may have to wait.
    #[inline(always)]
    pub fn step_when(&self, kind: Kind, address: usize, when: When) -> bool {
        if (self.steps.get() == self.stop.get() || !self.holds(when))
            && !self.decide_slowly(kind, address, when)
        {
            return false;
        }
        self.count(kind, address);
        true
    }

    #[inline(always)]
    fn count(&self, kind: Kind, address: usize) {
        let step = self.steps.get();
        self.steps.set(step + 1);
        if let Some(slot) = self.log.get(step as usize) {
            slot.set(Step { address, thread: self.current.get() as u8, kind });
        }
    }

    #[inline]
    fn holds(&self, when: When) -> bool {
        use std::sync::atomic::Ordering::Relaxed;
        match when {
            When::Always => true,
            // SAFETY (both): the word is borrowed by the operation that announced it, which is
            // still waiting on its thread's stack. Relaxed: one OS thread.
            When::Zero(word) => unsafe { &*word }.load(Relaxed) == 0,
            When::NoWriter(word) => unsafe { &*word }.load(Relaxed) & WRITER == 0,
            When::Holds(word, condition) => {
                // SAFETY: as above, and the condition lives in the same operation.
                let value = unsafe { &*word }.load(Relaxed);
                // SAFETY: as above.
                let condition = unsafe { &*condition };
                condition(value)
            }
            When::Woken(thread) => self.threads[thread].woken.get(),
        }
    }

    #[cold]
    #[inline(never)]
    fn decide_slowly(&self, kind: Kind, address: usize, when: When) -> bool {
        if self.panicking.get() && !self.panic_caught() {
            return self.act_directly(kind, address, when);
        }
        let me = self.current.get();
        let thread = &self.threads[me];
        match self.mode.get() {
            Mode::Within | Mode::Host | Mode::Check | Mode::Unwinding => {
                return self.act_directly(kind, address, when);
            }
            Mode::Starting => {
                self.announce(thread, kind, address, when);
                self.suspend();
            }
            Mode::Running => {
                self.announce(thread, kind, address, when);
                match self.decide() {
                    Some(next) if next == me => {}
                    Some(next) => {
                        self.next.set(next);
                        self.suspend();
                    }
                    None => self.unwind(),
                }
            }
        }
        if self.mode.get() == Mode::Unwinding {
            self.unwind();
        }
        self.waiting.set(self.waiting.get() & !(1 << me));
        thread.when.set(When::Always);
        true
    }

    fn announce(&self, thread: &Thread, kind: Kind, address: usize, when: When) {
        thread.kind.set(kind);
        thread.address.set(address);
        thread.when.set(when);
        if !matches!(when, When::Always) {
            self.waiting.set(self.waiting.get() | 1 << self.current.get());
        }
    }

    /// An operation that is no step. It cannot wait.
    fn act_directly(&self, kind: Kind, address: usize, when: When) -> bool {
        if self.mode.get() == Mode::Unwinding || self.panicking.get() {
            let left = self.unwind_budget.get();
            self.unwind_budget.set(left.saturating_sub(1));
            if left == 0 || !self.holds(when) {
                self.give_up();
            }
            return false;
        }
        if !self.holds(when) {
            self.fail(
                rule::HOST_BLOCKED,
                format_args!("{} would wait, where nobody else can run", kind.name()),
            );
        }
        self.attach(kind, address);
        false
    }

    /// Records an access that is no step.
    #[inline]
    pub fn attach(&self, kind: Kind, address: usize) {
        if self.analysing.get() && self.is_concurrent() {
            self.accesses.borrow_mut().push(Access {
                after: self.steps.get(),
                thread: self.current.get() as u8,
                kind,
                address,
            });
        }
    }

    /// Who executes the next step; `None`: the schedule is over, the verdict is in.
    pub fn decide(&self) -> Option<usize> {
        let step = self.steps.get();
        let alive = self.alive.get();
        let mut runnable = alive & !self.waiting.get();
        for thread in threads_in(alive & self.waiting.get()) {
            if self.holds(self.threads[thread].when.get()) {
                runnable |= 1 << thread;
            }
        }
        if runnable == 0 {
            self.judge(self.stuck());
            return None;
        }
        if step >= self.limit.get() {
            self.judge(Violation::new(rule::STEP_BOUND, format!("no end within {step} steps")));
            return None;
        }
        let current = (step > 0).then(|| self.current.get());
        let view = View { step, current, runnable, alive };
        let (thread, until) = if alive.is_power_of_two() {
            (alive.trailing_zeros() as usize, u32::MAX)
        } else {
            let strategy = self.strategy.get()?;
            // SAFETY: `Runtime::run` borrows the strategy exclusively for the schedule, and this is
            // the only place that uses it; `choose` has no way back here.
            let choice = unsafe { &mut *strategy }.choose(view);
            let until = if step >= self.analyse_from.get() { step + 1 } else { choice.until };
            (view.fall_back(Some(choice.thread)), until)
        };
        if self.analysing.get() {
            let mut log = self.runnable_log.borrow_mut();
            // Steps executed without a decision ran in a prefix whose sets are known already, or
            // in the only thread left.
            log.resize(step as usize, 0);
            log.push(runnable);
        }
        self.stop.set(until.clamp(step + 1, self.limit.get()));
        Some(thread)
    }

    /// Why nobody can go on.
    fn stuck(&self) -> Violation {
        let sleepers = self.sleepers.borrow();
        let mut lost = None;
        let mut detail = String::new();
        for thread in threads_in(self.alive.get()) {
            let t = &self.threads[thread];
            if !detail.is_empty() {
                detail.push_str("; ");
            }
            detail.push_str(&format!("thread {thread} waits in {}", t.kind.get().name()));
            let held = t.held.borrow();
            if !held.is_empty() {
                let classes: Vec<_> = held.iter().map(|h| format!("{:?}", h.class)).collect();
                detail.push_str(&format!(" holding {}", classes.join(", ")));
            }
            if sleepers.iter().any(|&(_, sleeper)| sleeper == thread) {
                let has_reason = t.reason.get().is_none_or(|reason| {
                    // SAFETY: the closure lives in `park`, which the sleeper has not left.
                    let reason = unsafe { &*reason };
                    self.within(reason)
                });
                if !has_reason {
                    lost = Some(thread);
                }
            }
        }
        match lost {
            Some(thread) => Violation::new(
                rule::LOST_WAKEUP,
                format!("thread {thread} sleeps, and what it waited for has happened ({detail})"),
            ),
            None => Violation::new(rule::DEADLOCK, detail),
        }
    }

    /// The verdict, if none is in yet; the threads are to unwind.
    pub fn judge(&self, violation: Violation) {
        let mut verdict = self.verdict.borrow_mut();
        if verdict.is_none() {
            *verdict = Some(violation);
        }
        drop(verdict);
        if self.mode.get() != Mode::Host {
            self.direct(Mode::Unwinding);
        }
    }

    /// Ends the schedule with a violation found by the code that runs now.
    #[cold]
    pub fn fail(&self, rule: &'static str, detail: std::fmt::Arguments<'_>) -> ! {
        let panicking = self.panicking.get() && !self.panic_caught();
        let again = self.mode.get() == Mode::Unwinding || panicking;
        if panicking {
            self.judge_panic();
        }
        self.judge(Violation::new(rule, detail.to_string()));
        if again {
            self.give_up()
        }
        self.unwind()
    }

    /// Unwinds the code that runs now, without a sound.
    fn unwind(&self) -> ! {
        std::panic::resume_unwind(Box::new(Stop))
    }

    /// The code that runs now can neither go on nor unwind: its stack is left as it is.
    fn give_up(&self) -> ! {
        if self.mode.get() == Mode::Host {
            // The host's stack cannot be left behind.
            self.unwind()
        }
        self.judge_panic();
        self.tainted.set(self.tainted.get() || std::thread::panicking());
        loop {
            self.fiber().give_up();
        }
    }

    /// The verdict on a panic that nobody caught, if none is in yet.
    pub fn judge_panic(&self) {
        let text = self.panic.borrow_mut().take();
        self.judge(Violation::new(rule::PANIC, text.unwrap_or_else(|| "without a message".into())));
    }

    fn fiber(&self) -> &Fiber {
        // SAFETY: the pool stores a pointer to each thread's fiber before it first runs, and keeps
        // it for as long as the fiber can run.
        unsafe { &*self.fibers[self.current.get()].get() }
    }

    fn suspend(&self) {
        self.fiber().suspend();
    }

    /// Runs `f` on the host's stack.
    pub fn on_host<R>(&self, f: impl FnOnce() -> R) -> R {
        if !matches!(self.mode.get(), Mode::Running | Mode::Within) {
            return f();
        }
        let mode = self.mode.get();
        self.direct(Mode::Host);
        let result = self.fiber().on_host(f);
        self.direct(mode);
        match result {
            Ok(result) => result,
            Err(payload) => {
                if self.verdict.borrow().is_some() {
                    self.direct(Mode::Unwinding);
                }
                std::panic::resume_unwind(payload)
            }
        }
    }

    /// Runs `f` as part of the step that executes now.
    #[inline]
    pub fn within<R>(&self, f: impl FnOnce() -> R) -> R {
        let mode = self.mode.get();
        if mode != Mode::Running {
            return f();
        }
        let stop = self.stop.get();
        self.direct(Mode::Within);
        let result = f();
        if self.mode.get() == Mode::Within {
            self.mode.set(mode);
            self.stop.set(stop);
        }
        result
    }

    /// The panic hook's report. From here on the thread's operations act directly, until the
    /// panic has been caught.
    pub fn note_panic(&self, text: String) {
        self.panic.replace(Some(text));
        self.panicking.set(true);
        self.stop.set(self.steps.get());
    }

    fn panic_caught(&self) -> bool {
        let caught = !self.tainted.get() && !std::thread::panicking();
        if caught {
            self.panicking.set(false);
        }
        caught
    }

    /// Does this weak compare-exchange fail for no reason?
    #[inline]
    pub fn fails_spuriously(&self) -> bool {
        let which = self.options.get().spurious_failure;
        if which == 0 || self.mode.get() != Mode::Running {
            return false;
        }
        self.weak.set(self.weak.get() + 1);
        self.weak.get() == which
    }

    /// Records what the step that has just been executed did to its word.
    #[inline(always)]
    pub fn values(&self, before: u64, after: u64) {
        if self.tracing.get() {
            self.record_values(before, after);
        }
    }

    #[cold]
    fn record_values(&self, before: u64, after: u64) {
        if self.mode.get() != Mode::Running {
            return;
        }
        let mut values = self.values.borrow_mut();
        let steps = self.steps.get() as usize;
        values.resize(steps.max(1) - 1, Values::default());
        values.push(Values { operation: self.thread().operation.get(), before, after });
    }

    /// What the schedule that ran last recorded.
    pub fn recorded(&self) -> Recorded {
        let steps = self.steps.get() as usize;
        let mut values = self.values.borrow().clone();
        values.resize(steps, Values::default());
        Recorded { steps: self.log[..steps].iter().map(Cell::get).collect(), values }
    }

    /// The steps executed so far.
    pub fn log(&self) -> &[Cell<Step>] {
        &self.log[..self.steps.get() as usize]
    }

    /// The analysis' notes.
    pub fn analysis<R>(&self, f: impl FnOnce(&[Threads], &[Access]) -> R) -> R {
        f(&self.runnable_log.borrow(), &self.accesses.borrow())
    }
}

/// What is recorded beyond the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Nothing.
    Steps,
    /// Each step's word before and after.
    Values,
    /// Runnable sets from step `from` on, and accesses that are no steps.
    Analysis {
        /// First step whose runnable set is wanted.
        from: u32,
    },
}

/// A replayed schedule.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What was executed.
    pub steps: Vec<Step>,
    /// What it did, step by step.
    pub values: Vec<Values>,
}
