//! Ends a schedule on a violation.
//!
//! The first violation is the verdict. Then every thread unwinds: its destructors run, and their
//! operations act directly and are no steps. A thread that cannot unwind, because a destructor
//! finds another violation or waits for an event that will not happen, is abandoned: its stack
//! stays as it is. Nothing is printed, and the process does not abort.

use super::context::{Context, Mode};
use super::step::{Kind, threads_in};
use super::violation::{Violation, rule};

/// The panic payload that unwinds a thread once the verdict is in.
pub(super) struct Stop;

impl Context {
    /// Describes why no thread can go on: a deadlock, or a lost wake-up.
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
            let action = match t.kind.get() {
                Kind::Wake => "sleeps".into(),
                kind => format!("waits in {}", kind.name()),
            };
            detail.push_str(&format!("thread {thread} {action}"));
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
                format!(
                    "thread {thread} sleeps although the event that it waits for has happened ({detail})"
                ),
            ),
            None => Violation::new(rule::DEADLOCK, detail),
        }
    }

    /// Makes `violation` the verdict if none is in yet, and lets the threads unwind. In a callback on
    /// the host's stack, the unwinding begins when the callback has ended.
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

    /// Makes an uncaught panic the verdict if none is in yet.
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
            self.abandon()
        }
        self.unwind()
    }

    /// Unwinds the running code without calling the panic hook.
    pub(super) fn unwind(&self) -> ! {
        std::panic::resume_unwind(Box::new(Stop))
    }

    /// Abandons the stack of code that can neither go on nor unwind.
    pub(super) fn abandon(&self) -> ! {
        if self.turns.on_host() {
            // The host's stack cannot be abandoned.
            self.unwind()
        }
        self.judge_panic();
        self.tainted.set(self.tainted.get() || std::thread::panicking());
        self.leave_for_ever()
    }

    /// Records a panic that the hook reports. From here on the thread's operations act directly,
    /// until the panic has been caught.
    pub(super) fn note_panic(&self, text: String) {
        self.panic.replace(Some(text));
        self.panicking.set(true);
        self.stop.set(self.steps.get());
    }

    /// Returns true if the noted panic has been caught meanwhile; if so, operations are steps
    /// again.
    pub(super) fn panic_caught(&self) -> bool {
        let caught = !self.tainted.get() && !std::thread::panicking();
        if caught {
            self.panicking.set(false);
        }
        caught
    }
}
