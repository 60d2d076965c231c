//! The race detector: the happens-before order of accesses.
//!
//! Threads learn of each other's past through releases and acquires, by the rules of the C++20
//! memory model. An acquire load of a value that a release wrote (or that a chain of
//! read-modify-writes passed on) adds the releasing thread's clock to the loading thread's clock.
//! Fences do so for the relaxed accesses around them. A lock passes on the clock of its last
//! holder, and a wake-up the clock of the waking thread. Sequential consistency orders steps, but
//! passes no clock on, as in the memory model.
//!
//! Two accesses to plain data, one of them a write, must be ordered by the clocks. The verdict
//! depends only on the order of the *synchronisation* in a schedule, and not on which access came
//! first. So a race is found in each schedule with the same synchronisation, in whatever order the
//! two accesses come.

use super::clock::Clock;
use super::context::Context;
use super::journal::{Entry, Home, Stamp};
use super::violation::rule;
use std::sync::atomic::Ordering;

#[inline(always)]
fn acquires(order: Ordering) -> bool {
    matches!(order, Ordering::Acquire | Ordering::AcqRel | Ordering::SeqCst)
}

#[inline(always)]
fn releases(order: Ordering) -> bool {
    matches!(order, Ordering::Release | Ordering::AcqRel | Ordering::SeqCst)
}

impl Context {
    #[inline]
    fn learn(&self, published: Clock, order: Ordering) {
        // Most words were not released in this schedule.
        if published == Clock::ZERO {
            return;
        }
        let thread = self.thread();
        if acquires(order) {
            thread.clock.set(thread.clock.get().join(published));
        } else {
            thread.seen.set(thread.seen.get().join(published));
        }
    }

    /// Returns the clock that a write with `order` publishes. A release also raises the thread's
    /// own component, so that later accesses are told apart from earlier ones.
    #[inline]
    pub(super) fn publish(&self, order: Ordering) -> Clock {
        let thread = self.thread();
        if !releases(order) {
            return thread.fenced.get();
        }
        let clock = thread.clock.get();
        thread.clock.set(clock.raised(self.current.get()));
        clock
    }

    /// Handles a load. A word that no thread wrote in this schedule publishes nothing.
    #[inline]
    pub(super) fn loaded(&self, stamp: &Stamp, order: Ordering) {
        if let Some(entry) = self.journal.find(stamp) {
            self.learn(entry.clock.get(), order);
        }
    }

    /// Handles a store. The store replaces the clocks that earlier releases published in the word.
    #[inline]
    pub(super) fn stored(&self, stamp: &Stamp, old: impl FnOnce() -> (Home, u64), order: Ordering) {
        let entry = self.entry(stamp, old);
        entry.clock.set(self.publish(order));
    }

    /// Handles a read-modify-write. The word keeps the clock that was published in it, joined with
    /// the clock that this thread publishes.
    #[inline]
    pub(super) fn modified(&self, stamp: &Stamp, old: impl FnOnce() -> (Home, u64), order: Ordering) {
        let entry = self.entry(stamp, old);
        let published = entry.clock.get();
        self.learn(published, order);
        entry.clock.set(published.join(self.publish(order)));
    }

    pub(super) fn fenced(&self, order: Ordering) {
        let thread = self.thread();
        if acquires(order) {
            thread.clock.set(thread.clock.get().join(thread.seen.get()));
        }
        if releases(order) {
            thread.fenced.set(self.publish(Ordering::Release));
        }
    }

    /// Passes the current thread's clock to `sleeper`, which the thread wakes.
    pub(super) fn wakes(&self, sleeper: usize) {
        let clock = self.publish(Ordering::Release);
        let thread = &self.threads[sleeper];
        thread.clock.set(thread.clock.get().join(clock));
    }

    /// Returns the journal's entry of an object that is about to change.
    #[inline]
    pub(super) fn entry(&self, stamp: &Stamp, old: impl FnOnce() -> (Home, u64)) -> &Entry {
        match self.journal.touch(stamp, old) {
            Some(entry) => entry,
            None => self.fail(rule::JOURNAL_FULL, format_args!("one schedule touches too many words")),
        }
    }

    /// Checks and records a read of plain data.
    #[inline]
    pub(super) fn plain_read(&self, stamp: &Stamp, old: impl FnOnce() -> (Home, u64)) {
        if !self.is_concurrent() {
            return;
        }
        let entry = self.entry(stamp, old);
        let me = self.current.get();
        let knows = self.thread().clock.get();
        self.check_writer(entry, knows, "read");
        entry.clock.set(entry.clock.get().with(me, knows.0[me]));
    }

    /// Checks and records a write of plain data.
    #[inline]
    pub(super) fn plain_write(&self, stamp: &Stamp, old: impl FnOnce() -> (Home, u64)) {
        let entry = self.entry(stamp, old);
        if !self.is_concurrent() {
            return;
        }
        let me = self.current.get();
        let knows = self.thread().clock.get();
        self.check_writer(entry, knows, "written");
        if let Some(reader) = entry.clock.get().first_beyond(knows) {
            self.race(reader, "read", "written");
        }
        // A thread that is ordered after this write is also ordered after the reads before it.
        entry.clock.set(Clock::ZERO);
        entry.writer.set(me as u32);
        entry.when.set(knows.0[me]);
    }

    #[inline]
    fn check_writer(&self, entry: &Entry, knows: Clock, how: &str) {
        let writer = entry.writer.get() as usize;
        if entry.when.get() > knows.0[writer] {
            self.race(writer, "written", how);
        }
    }

    #[cold]
    fn race(&self, other: usize, theirs: &str, mine: &str) -> ! {
        self.fail(
            rule::DATA_RACE,
            format_args!(
                "plain data {theirs} by thread {other} and {mine} by thread {}, and nothing orders the two",
                self.current.get()
            ),
        )
    }
}
