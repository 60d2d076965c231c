//! Interruption of long operations. An interpreter runs its signal handlers only where it is asked to, so
//! a long operation asks now and then, between two pages.
//!
//! The operation then ends as one of the kernel does with a signal pending: the part that was done stays,
//! isolated pages go back to their lists, and no lock stays held. From the moment at which the caller said
//! that the operation ends, each further question gets the same answer, so that loops within loops end too.
//! An operation that gives everything back after an error asks no questions.

use super::expect_may_sleep;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// One of this many questions reads the clock, because a question must cost less than the work on a page.
const STRIDE: u32 = 16;

/// The time between two questions that reach the caller.
const INTERVAL: Duration = Duration::from_millis(20);

/// An operation that can be interrupted.
#[derive(Clone, Copy)]
struct Operation {
    /// Asks the caller whether the operation is to end.
    ask: fn() -> bool,
    /// Questions since the clock was read.
    questions: u32,
    /// The time at which the caller is asked next; `None` until the clock is read for the first time.
    next: Option<Instant>,
    /// True if the caller has ended the operation.
    finished: bool,
}

thread_local! {
    static CURRENT: Cell<Option<Operation>> = const { Cell::new(None) };
}

/// Runs `work`, whose long operations ask from time to time whether they are to end. `ask` answers with true
/// to end them; it is called on this thread, without a lock under which a thread must not sleep. It must
/// start no operation on the same machine, because the operation that asks may hold any other lock.
pub fn interruptible<T>(ask: fn() -> bool, work: impl FnOnce() -> T) -> T {
    let _before =
        Restore(CURRENT.replace(Some(Operation { ask, questions: 0, next: None, finished: false })));
    work()
}

/// Runs `work` as outside of [`interruptible`]: its operations ask nothing, so that all of `work` is done. An
/// operation that has begun to give its pages back would leave some of them behind otherwise.
pub fn uninterrupted<T>(work: impl FnOnce() -> T) -> T {
    let _before = Restore(CURRENT.take());
    work()
}

/// Puts back the operation that the thread was in before.
struct Restore(Option<Operation>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Returns true if the calling thread's operation is to end now, because the caller wants it. Each long loop
/// over pages asks, at a place where it could return an error. Outside of [`interruptible`] the answer is no.
#[inline]
pub fn interrupted() -> bool {
    expect_may_sleep();
    #[cfg(all(test, not(any(feature = "explored", feature = "counted", loom))))]
    if let Some(finished) = ended::question() {
        return finished;
    }
    match CURRENT.get() {
        None => false,
        Some(operation) => operation.is_finished(),
    }
}

impl Operation {
    fn is_finished(mut self) -> bool {
        self.questions += 1;
        if !self.finished && self.questions == STRIDE {
            self.questions = 0;
            let now = Instant::now();
            if self.next.is_some_and(|next| now >= next) {
                // The caller's code may run operations of other machines, which ask for themselves.
                CURRENT.set(None);
                self.finished = (self.ask)();
            }
            if self.next.is_none_or(|next| now >= next) {
                self.next = Some(now + INTERVAL);
            }
        }
        CURRENT.set(Some(self));
        self.finished
    }
}

/// Operations that end at a given question, for tests: the clock would choose another one in each run.
#[cfg(all(test, not(any(feature = "explored", feature = "counted", loom))))]
pub(crate) mod ended {
    use std::cell::Cell;

    thread_local! {
        /// The number of questions that are answered with no before all others are answered with yes.
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
        static ENDED: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs `work`, which is to end at its question number `at`. Returns its result, and whether it came to
    /// that question.
    pub fn at<T>(at: u32, work: impl FnOnce() -> T) -> (T, bool) {
        LEFT.set(Some(at));
        ENDED.set(false);
        let result = work();
        LEFT.set(None);
        (result, ENDED.get())
    }

    pub(super) fn question() -> Option<bool> {
        let left = LEFT.get()?;
        LEFT.set(Some(left.saturating_sub(1)));
        ENDED.set(ENDED.get() || left == 0);
        Some(left == 0)
    }
}

#[cfg(all(test, not(any(feature = "explored", loom))))]
mod tests {
    use super::*;

    /// Asks until the answer is yes. Returns the number of questions; `most` if there was no yes.
    fn questions(most: u32) -> u32 {
        (1..most)
            .find(|_| {
                std::thread::sleep(Duration::from_micros(100));
                interrupted()
            })
            .unwrap_or(most)
    }

    #[test]
    fn a_thread_outside_of_an_operation_is_never_interrupted() {
        assert_eq!(questions(2000), 2000);
    }

    #[test]
    fn an_operation_that_was_ended_stays_ended_and_its_caller_is_asked_no_more() {
        thread_local! {
            static ASKED: Cell<u32> = const { Cell::new(0) };
        }
        let ask = || {
            ASKED.set(ASKED.get() + 1);
            ASKED.get() == 2
        };
        interruptible(ask, || {
            assert!(questions(100_000) < 100_000);
            assert!((0..100).all(|_| interrupted()));
        });
        assert_eq!(ASKED.get(), 2);
        assert!(!interrupted());
    }

    #[test]
    fn the_rest_of_an_ended_operation_can_be_done_without_a_question() {
        interruptible(
            || true,
            || {
                assert!(questions(100_000) < 100_000);
                assert_eq!(uninterrupted(|| questions(2000)), 2000);
                assert!(interrupted());
            },
        );
    }

    #[test]
    fn an_operation_within_another_one_asks_for_itself() {
        interruptible(
            || true,
            || {
                assert!(questions(100_000) < 100_000);
                interruptible(|| false, || assert_eq!(questions(2000), 2000));
                assert!(interrupted());
            },
        );
    }
}
