//! The hook that every operation of the door calls.
//!
//! The fast path is a comparison and a 16-byte store, as long as the strategy's last choice holds
//! (`steps != stop`). All rare cases set `stop` to `steps` and take the slow path: decisions,
//! set-up, callbacks that must not be interrupted, unwinding.

use super::context::{Context, Mode, Thread, WRITER, When};
use super::step::{Kind, Step, Threads, View, threads_in};
use super::violation::rule;

impl Context {
    /// Announces an operation, lets the schedule decide, and returns when the operation may
    /// execute. Returns false if the operation is no step of its own: it belongs to another step, or
    /// is executed while the threads do not race (in a set-up, a check or an unwinding).
    #[inline(always)]
    pub(super) fn step(&self, kind: Kind, address: usize) -> bool {
        if self.steps.get() == self.stop.get() && !self.decide_slowly(kind, address, When::Always) {
            return false;
        }
        self.count(kind, address);
        true
    }

    /// Like [`Context::step`], for an operation that may have to wait.
    #[inline(always)]
    pub(super) fn step_when(&self, kind: Kind, address: usize, when: When) -> bool {
        if (self.steps.get() == self.stop.get() || !self.holds(when))
            && !self.decide_slowly(kind, address, when)
        {
            return false;
        }
        self.count(kind, address);
        true
    }

    #[inline(always)]
    pub(super) fn count(&self, kind: Kind, address: usize) {
        self.append(Step { address, thread: self.current.get() as u8, kind });
    }

    #[inline]
    pub(super) fn holds(&self, when: When) -> bool {
        // Relaxed: one OS thread runs all threads of a schedule.
        use std::sync::atomic::Ordering::Relaxed;
        // The operation that announced `when` borrows the words and the condition, and has not
        // returned: it waits on its thread's stack.
        match when {
            When::Always => true,
            // SAFETY: see the comment above the match.
            When::Zero(word) => unsafe { &*word }.load(Relaxed) == 0,
            // SAFETY: see the comment above the match.
            When::NoWriter(word) => unsafe { &*word }.load(Relaxed) & WRITER == 0,
            When::Holds(word, condition) => {
                // SAFETY: see the comment above the match.
                let value = unsafe { &*word }.load(Relaxed);
                // SAFETY: see the comment above the match.
                let condition = unsafe { &*condition };
                condition(value)
            }
            When::Woken(thread) => self.threads[thread].woken.get(),
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn decide_slowly(&self, kind: Kind, address: usize, when: When) -> bool {
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
                self.leave_turn(me);
            }
            Mode::Running => {
                self.announce(thread, kind, address, when);
                match self.decide() {
                    Some(next) if next == me => {}
                    Some(next) => self.pass_turn(me, next),
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

    pub(super) fn announce(&self, thread: &Thread, kind: Kind, address: usize, when: When) {
        thread.kind.set(kind);
        thread.address.set(address);
        thread.when.set(when);
        if !matches!(when, When::Always) {
            self.waiting.set(self.waiting.get() | 1 << self.current.get());
        }
    }

    /// Executes an operation that is no step. The schedule fails if the operation would have to
    /// wait.
    pub(super) fn act_directly(&self, kind: Kind, address: usize, when: When) -> bool {
        if self.mode.get() == Mode::Unwinding || self.panicking.get() {
            let left = self.unwind_budget.get();
            self.unwind_budget.set(left.saturating_sub(1));
            if left == 0 || !self.holds(when) {
                self.abandon();
            }
            return false;
        }
        if !self.holds(when) {
            self.fail(
                rule::HOST_BLOCKED,
                format_args!("{} would wait, where no other thread can run", kind.name()),
            );
        }
        self.attach(kind, address);
        false
    }

    /// Runs `f` as part of the step that executes now.
    #[inline]
    pub(super) fn within<R>(&self, f: impl FnOnce() -> R) -> R {
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

    /// Returns the threads that can execute their next step.
    pub(super) fn able(&self) -> Threads {
        let alive = self.alive.get();
        let mut able = alive & !self.waiting.get();
        for thread in threads_in(alive & self.waiting.get()) {
            if self.holds(self.threads[thread].when.get()) {
                able |= 1 << thread;
            }
        }
        able
    }

    /// Chooses the thread that executes the next step. `None` once the schedule has its verdict.
    pub(super) fn decide(&self) -> Option<usize> {
        if self.buffers.enabled.get() {
            return self.decide_with_buffers();
        }
        let step = self.steps.get();
        let alive = self.alive.get();
        let runnable = self.able();
        if runnable == 0 {
            self.judge(self.stuck());
            return None;
        }
        if step >= self.limit.get() && !self.goes_on_fairly() {
            return None;
        }
        let current = (step > 0).then(|| self.current.get());
        let view = View { step, current, runnable, alive };
        // The threads that are runnable before each step up to the next choice, if they are to be recorded.
        let mut meanwhile = 0;
        let (thread, until) = if alive.is_power_of_two() {
            (alive.trailing_zeros() as usize, u32::MAX)
        } else if let Some(turn) = self.fair_choice(view) {
            turn
        } else {
            let strategy = self.strategy.get()?;
            // SAFETY: `Runtime::run` borrows the strategy exclusively for the schedule, and only
            // this line and `decide_with_buffers` use it; `choose` cannot call back into the context.
            let choice = unsafe { &mut *strategy }.choose(view);
            let thread = view.fall_back(Some(choice.thread));
            if step < self.recording.analyse_from.get() {
                (thread, choice.until)
            } else if self.waiting.get() & alive & !(1 << thread) == 0 {
                // No other thread waits for what this one may do, so the same threads stay runnable.
                meanwhile = runnable;
                (thread, choice.until)
            } else {
                (thread, step + 1)
            }
        };
        if self.watching.get() && current != Some(thread) {
            self.look_between_turns(current, thread);
        }
        self.recording.runnable(step, runnable, meanwhile);
        self.stop.set(until.clamp(step + 1, self.limit.get()));
        Some(thread)
    }

    /// Returns true if this weak compare-exchange is the one that fails spuriously.
    #[inline]
    pub(super) fn fails_spuriously(&self) -> bool {
        let which = self.options.get().spurious_failure;
        if which == 0 || !self.is_concurrent() {
            return false;
        }
        self.weak.set(self.weak.get() + 1);
        self.weak.get() == which
    }
}
