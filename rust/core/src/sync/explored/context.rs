//! The running schedule.
//!
//! A thread of a schedule is always suspended *before* an operation that it has announced. A chosen
//! thread executes this operation and all code up to its next operation. So a schedule is one
//! thread number for each operation, and no other choice affects the run.
//!
//! This file holds the state. `hook` handles an operation, `turns` passes turns from stack to
//! stack, and `verdict` ends a schedule on a violation.

use super::buffers::Buffers;
use super::clock::Clock;
use super::held::Held;
use super::journal::Journal;
use super::progress::{FAIR_STEPS, Progress};
use super::record::{Options, Record, Recording};
use super::stacks::Turns;
use super::step::{Kind, Step, Strategy, THREADS, Threads};
use super::violation::Violation;
use super::watch::Watch;
use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;

/// The phase in which code calls the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Threads run to their first operation.
    Starting,
    /// The schedule runs.
    Running,
    /// A closure runs as part of a step; no other thread may run in between.
    Within,
    /// A thread's callback runs on the host's stack, where no switch to another thread is possible.
    Host,
    /// No thread runs; the world is set up, checked or put back.
    Check,
    /// The schedule has its verdict; threads unwind.
    Unwinding,
}

/// The condition under which an announced operation can be executed.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Always,
    /// The word is zero: the lock is free.
    Zero(*const std::sync::atomic::AtomicU64),
    /// No writer holds the lock.
    NoWriter(*const std::sync::atomic::AtomicU64),
    /// The condition holds for the word.
    Holds(*const std::sync::atomic::AtomicU64, *const dyn Fn(u64) -> bool),
    /// Another thread has woken this thread.
    Woken(usize),
}

/// The value of a lock's word while a writer holds the lock.
pub(super) const WRITER: u64 = 1 << 63;

/// A thread of the schedule.
#[derive(Debug)]
pub(super) struct Thread {
    /// The operation that the thread has announced.
    pub kind: Cell<Kind>,
    pub address: Cell<usize>,
    pub when: Cell<When>,
    pub woken: Cell<bool>,
    /// The condition that justifies the sleep of a sleeping thread.
    pub reason: Cell<Option<*const dyn Fn() -> bool>>,
    /// The thread's vector clock.
    pub clock: Cell<Clock>,
    /// The clocks published in the values of its relaxed loads, for a later acquire fence.
    pub seen: Cell<Clock>,
    /// The thread's clock at its last release fence.
    pub fenced: Cell<Clock>,
    pub held: RefCell<Vec<Held>>,
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
    }
}

/// The number of operations that a thread may execute while it unwinds. A thread that needs more is
/// abandoned.
const UNWIND_BUDGET: u32 = 100_000;

pub(super) struct Context {
    /// The number of executed steps.
    pub steps: Cell<u32>,
    /// The step at which the hook takes the slow path.
    pub stop: Cell<u32>,
    /// The steps. Those that no schedule has reached cost only address space.
    log: Box<[Cell<MaybeUninit<Step>>]>,
    pub mode: Cell<Mode>,
    pub limit: Cell<u32>,
    pub options: Cell<Options>,
    /// The number of weak compare-exchanges so far.
    pub weak: Cell<u32>,

    /// The running thread.
    pub current: Cell<usize>,
    pub threads: [Thread; THREADS],
    /// The threads that have not ended.
    pub alive: Cell<Threads>,
    /// The threads that have run at all.
    pub started: Cell<Threads>,
    /// The threads whose announced operation may have to wait.
    pub waiting: Cell<Threads>,
    /// Sleepers in order of arrival: address and thread.
    pub sleepers: RefCell<Vec<(usize, usize)>>,
    /// Events under way: id, and the step before which each began.
    pub pending: RefCell<Vec<(usize, u32)>>,
    /// The running operations whose pages the explorer samples.
    pub watches: RefCell<Vec<Watch>>,
    /// True if `watches` is not empty.
    pub watching: Cell<bool>,
    pub strategy: Cell<Option<*mut dyn Strategy>>,
    pub progress: Progress,

    pub journal: Journal,
    /// The stores that other threads do not see yet.
    pub buffers: Buffers,
    pub recording: Recording,
    pub turns: Turns,

    pub verdict: RefCell<Option<Violation>>,
    /// The text of a panic that is unwinding.
    pub panic: RefCell<Option<String>>,
    pub panicking: Cell<bool>,
    /// True if an unwinding thread was abandoned, so that `std::thread::panicking` stays true for
    /// this OS thread.
    pub tainted: Cell<bool>,
    pub unwind_budget: Cell<u32>,
}

thread_local! {
    static CURRENT: Cell<*const Context> = const { Cell::new(std::ptr::null()) };
}

/// Makes this OS thread's operations use `context`.
pub(super) fn enter(context: *const Context) {
    assert!(CURRENT.get().is_null(), "an exploration within an exploration");
    CURRENT.set(context);
}

/// Makes this OS thread's operations act directly again.
pub(super) fn leave() {
    CURRENT.set(std::ptr::null());
}

/// Runs `f` as code outside of any exploration: its operations are no steps. `f` changes nothing and does not
/// wait.
#[inline]
pub(super) fn aside<T>(f: impl FnOnce() -> T) -> T {
    struct Back(*const Context);
    impl Drop for Back {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _back = Back(CURRENT.replace(std::ptr::null()));
    f()
}

/// Returns the exploration that runs on this OS thread, if any.
#[inline(always)]
pub(super) fn context<'a>() -> Option<&'a Context> {
    // SAFETY: `Runtime::run` sets the pointer for as long as it borrows the context, and the
    // borrows made here are used within one operation, which ends before `run` does
    // (an operation on an abandoned stack is never resumed).
    unsafe { CURRENT.get().as_ref() }
}

impl Context {
    pub fn new(options: Options) -> Self {
        let log =
            Box::<[Cell<MaybeUninit<Step>>]>::new_uninit_slice((options.max_steps + FAIR_STEPS) as usize);
        Context {
            steps: Cell::new(0),
            stop: Cell::new(0),
            // SAFETY: a cell of `MaybeUninit` needs no initialisation.
            log: unsafe { log.assume_init() },
            mode: Cell::new(Mode::Check),
            limit: Cell::new(options.max_steps),
            options: Cell::new(options),
            weak: Cell::new(0),
            current: Cell::new(0),
            threads: std::array::from_fn(|_| Thread::new()),
            alive: Cell::new(0),
            started: Cell::new(0),
            waiting: Cell::new(0),
            sleepers: RefCell::default(),
            pending: RefCell::default(),
            watches: RefCell::default(),
            watching: Cell::new(false),
            strategy: Cell::new(None),
            progress: Progress::default(),
            journal: Journal::new(),
            buffers: Buffers::default(),
            recording: Recording::default(),
            turns: Turns::default(),
            verdict: RefCell::new(None),
            panic: RefCell::new(None),
            panicking: Cell::new(false),
            tainted: Cell::new(false),
            unwind_budget: Cell::new(0),
        }
    }

    /// Opens a schedule.
    pub fn begin(&self, threads: usize, strategy: *mut dyn Strategy, record: Record) {
        self.steps.set(0);
        self.stop.set(0);
        self.limit.set(self.options.get().max_steps);
        self.progress.begin();
        self.journal.begin();
        self.buffers.clear();
        for (number, thread) in self.threads[..threads].iter().enumerate() {
            thread.reset(number);
        }
        self.alive.set(((1u32 << threads) - 1) as Threads);
        self.started.set(0);
        self.waiting.set(0);
        self.sleepers.borrow_mut().clear();
        self.pending.borrow_mut().clear();
        self.watches.borrow_mut().clear();
        self.watching.set(false);
        self.strategy.set(Some(strategy));
        self.recording.begin(record, self.options.get().pairs);
        self.weak.set(0);
        self.verdict.replace(None);
        self.panic.replace(None);
        self.panicking.set(false);
        self.unwind_budget.set(UNWIND_BUDGET);
        self.mode.set(Mode::Starting);
    }

    /// Adds a step to the log.
    #[inline(always)]
    pub fn append(&self, executed: Step) {
        let step = self.steps.get();
        self.steps.set(step + 1);
        if let Some(slot) = self.log.get(step as usize) {
            slot.set(MaybeUninit::new(executed));
        }
    }

    /// Returns the steps executed so far.
    pub fn log(&self) -> &[Cell<Step>] {
        let executed: *const [Cell<MaybeUninit<Step>>] = &raw const self.log[..self.steps.get() as usize];
        // SAFETY: same layout; `append`, which alone makes `steps` larger, has initialised each of these.
        unsafe { &*(executed as *const [Cell<Step>]) }
    }

    /// Ends the phase of the threads, after they have ended or unwound. From now on operations act
    /// directly.
    pub fn after_threads(&self) {
        self.strategy.set(None);
        // After a verdict the buffers may still have stores.
        self.buffers.clear();
        self.panicking.set(false);
        self.current.set(0);
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
    pub fn thread(&self) -> &Thread {
        &self.threads[self.current.get() & (THREADS - 1)]
    }

    /// Returns true if threads can race now, and false while a world is set up, checked or unwound.
    #[inline]
    pub fn is_concurrent(&self) -> bool {
        !matches!(self.mode.get(), Mode::Check | Mode::Unwinding)
    }
}
