//! How a schedule ends badly.
//!
//! The first violation is the verdict. Then every thread unwinds: its destructors run, their
//! operations act directly and are no steps. A thread that cannot unwind, because a destructor
//! finds the next violation or waits for what nobody will do, is given up: its stack stays as it
//! is. Nothing is printed, nothing aborts.

use super::context::{Context, Mode};
use super::step::{Kind, threads_in};
use super::violation::{Violation, rule};

/// Payload that unwinds a thread once the verdict is in.
pub(super) struct Stop;

impl Context {
    #[cold]
    pub(super) fn judge_endless(&self, steps: u32) {
        self.judge(Violation::new(rule::STEP_BOUND, format!("no end within {steps} steps")));
    }

    /// Why nobody can go on.
    #[cold]
    pub(super) fn stuck(&self) -> Violation {
        let sleepers = self.sleepers.borrow();
        let mut lost = None;
        let mut detail = String::new();
        for thread in threads_in(self.alive.get()) {
            let t = &self.threads[thread];
            if !detail.is_empty() {
                detail.push_str("; ");
            }
            let what = match t.kind.get() {
                Kind::Wake => "sleeps".into(),
                kind => format!("waits in {}", kind.name()),
            };
            detail.push_str(&format!("thread {thread} {what}"));
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
    pub(super) fn judge(&self, violation: Violation) {
        let mut verdict = self.verdict.borrow_mut();
        if verdict.is_none() {
            *verdict = Some(violation);
        }
        drop(verdict);
        if self.mode.get() != Mode::Host {
            self.direct(Mode::Unwinding);
        }
    }

    /// The verdict on a panic that nobody caught, if none is in yet.
    pub(super) fn judge_panic(&self) {
        let text = self.panic.borrow_mut().take();
        self.judge(Violation::new(rule::PANIC, text.unwrap_or_else(|| "without a message".into())));
    }

    /// Ends the schedule with a violation found by the code that runs now.
    #[cold]
    pub(super) fn fail(&self, rule: &'static str, detail: std::fmt::Arguments<'_>) -> ! {
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
    pub(super) fn unwind(&self) -> ! {
        std::panic::resume_unwind(Box::new(Stop))
    }

    /// The code that runs now can neither go on nor unwind: its stack is left as it is.
    pub(super) fn give_up(&self) -> ! {
        if self.turns.on_host() {
            // The host's stack cannot be left behind.
            self.unwind()
        }
        self.judge_panic();
        self.tainted.set(self.tainted.get() || std::thread::panicking());
        self.leave_for_ever()
    }

    /// The panic hook's report. From here on the thread's operations act directly, until the
    /// panic has been caught.
    pub(super) fn note_panic(&self, text: String) {
        self.panic.replace(Some(text));
        self.panicking.set(true);
        self.stop.set(self.steps.get());
    }

    pub(super) fn panic_caught(&self) -> bool {
        let caught = !self.tainted.get() && !std::thread::panicking();
        if caught {
            self.panicking.set(false);
        }
        caught
    }
}
