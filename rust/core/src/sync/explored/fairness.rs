//! Schedules that do not end within their bound.
//!
//! A search may be unfair: it may never run the thread for which another one waits. So a schedule that has
//! reached its bound goes on for [`FAIR_STEPS`] more steps under a fair scheduler: the threads take turns of
//! [`TURN`] steps, so that each thread runs again within so many steps of every other one. The fair part
//! of the schedule tells three cases apart:
//!
//! * *No progress*: in the second half of these steps no operation ends, and each thread only repeats
//!   accesses of the first half. No scheduler can help.
//! * *Busy wait*: a thread alone had repeated itself up to the bound, and its operation ends now that
//!   other threads run. The thread waits for them without sleeping.
//! * *Step bound*: all others. The schedule is long, and the bound is too small for it.
//!
//! The steps of a thread that repeats itself alone are folded: the schedule is cut after the second round.
//! The other rounds need not be in the schedule, because the current thread goes on after its last step.

use super::context::{Context, Mode};
use super::progress::{FAIR_STEPS, Fair};
use super::step::{Kind, Step, THREADS, View, threads_in};
use super::violation::{Violation, rule};
use std::cell::Cell;
use std::collections::HashSet;

/// The steps of a turn of the fair scheduler.
const TURN: u32 = 64;

/// The fewest and the most steps before the bound that are searched for a thread that repeats itself. A loop
/// of retries that ends after some rounds takes fewer steps.
const WINDOW: std::ops::RangeInclusive<usize> = 2_048..=4_096;

impl Context {
    /// Notes that the current thread begins an operation of its program, or has ended one.
    #[inline]
    pub(super) fn mark_operation(&self) {
        let mut marks = self.progress.marks.get();
        marks[self.current.get() & (THREADS - 1)] = self.steps.get();
        self.progress.marks.set(marks);
    }

    /// Returns true if no other thread has taken a step since the current thread took the first step of its
    /// operation, and no other thread is in the middle of an operation. Returns false if stores are delayed.
    pub(super) fn ran_alone(&self) -> bool {
        let (marks, log, me) = (self.progress.marks.get(), self.log(), self.current.get());
        let steps_of = |thread: usize| &log[marks[thread] as usize..];
        let mut own = steps_of(me).iter().skip_while(|step| step.get().owner() != me);
        let inside = |thread: usize| steps_of(thread).iter().any(|step| step.get().owner() == thread);
        !self.buffers.enabled.get()
            && own.all(|step| step.get().owner() == me)
            && !threads_in(self.alive.get()).any(|thread| thread != me && inside(thread))
    }

    /// Notes that the current thread, or an operation of its program, has ended. Returns false once the
    /// schedule has its verdict.
    #[inline]
    pub(super) fn ends_operation(&self) -> bool {
        self.mark_operation();
        if let Some(fair) = self.progress.fair.get() {
            self.progressed(fair);
        }
        self.mode.get() != Mode::Unwinding
    }

    /// Takes note of an operation that ends under the fair scheduler, and gives the verdict if this end
    /// decides it. The end of another thread's operation decides nothing about a thread that repeats itself.
    #[cold]
    fn progressed(&self, fair: Fair) {
        let me = self.current.get();
        let others_ran =
            || self.log()[fair.first_step as usize..].iter().any(|step| step.get().owner() != me);
        match fair.repeats {
            Some(thread) if thread != me => {}
            Some(_) if others_ran() => {
                let steps = self.fold(fair.first_step as usize);
                let detail = format!("thread {me} repeats {steps} until other threads go on; {ASLEEP}");
                self.judge(Violation::new(rule::BUSY_WAIT, detail));
            }
            Some(_) => self.judge(too_long(fair.first_step)),
            None if self.alive.get() == 0 => self.judge(too_long(fair.first_step)),
            None => self.progress.fair.set(Some(Fair { ended: self.steps.get(), ..fair })),
        }
    }

    /// Lets a schedule that has reached its bound go on under the fair scheduler. Returns false once the
    /// schedule has its verdict.
    #[cold]
    pub(super) fn goes_on_fairly(&self) -> bool {
        let step = self.steps.get();
        let Some(fair) = self.progress.fair.get() else {
            let repeats = self.repeats_alone();
            self.progress.fair.set(Some(Fair { first_step: step, turn_end: step, repeats, ended: step }));
            self.limit.set(step + FAIR_STEPS);
            return true;
        };
        let (first_step, end) = (fair.first_step as usize, step as usize);
        let middle = first_step + (end - first_step) / 2;
        if fair.ended as usize > middle || !self.is_repeated(first_step, middle, end) {
            self.judge(too_long(fair.first_step));
            return false;
        }
        let ran = self.log()[middle..].iter().fold(0u32, |ran, step| ran | 1 << step.get().owner());
        let mut detail = String::new();
        for thread in threads_in(self.alive.get()) {
            let does = match (ran & 1 << thread != 0, self.threads[thread].kind.get()) {
                (true, _) => "repeats itself".to_owned(),
                (false, Kind::Wake) => "sleeps".to_owned(),
                (false, kind) => format!("waits in {}", kind.name()),
            };
            detail.push_str(&format!("thread {thread} {does}; "));
        }
        let steps = match ran.is_power_of_two() {
            true => self.fold(end),
            false => "their steps".into(),
        };
        let detail = format!(
            "{detail}no operation ends although the threads have taken turns for {FAIR_STEPS} more steps; \
             they repeat {steps}"
        );
        self.judge(Violation::new(rule::NO_PROGRESS, detail));
        false
    }

    /// The thread that has taken all of the last steps, within one operation, and repeats itself.
    fn repeats_alone(&self) -> Option<usize> {
        let log = self.log();
        let first = log.len().checked_sub((log.len() / 2).min(*WINDOW.end()))?;
        let thread = log.last()?.get().owner();
        let alone = log[first..].iter().all(|step| step.get().owner() == thread);
        let within = self.progress.marks.get()[thread] as usize <= first;
        let long = log.len() - first >= *WINDOW.start();
        let middle = first + (log.len() - first) / 2;
        (alone && within && long && self.is_repeated(first, middle, log.len())).then_some(thread)
    }

    /// Returns true if each thread only repeats, in the steps from `middle` on, accesses that it has made
    /// from `first` to `middle`.
    fn is_repeated(&self, first: usize, middle: usize, end: usize) -> bool {
        let seen = |step: &Cell<Step>| {
            let Step { address, thread, kind } = step.get();
            (address, thread, kind)
        };
        let before: HashSet<_> = self.log()[first..middle].iter().map(seen).collect();
        self.log()[middle..end].iter().all(|step| before.contains(&seen(step)))
    }

    /// Looks for a loop at the end of the first `end` steps of the log, and cuts the log after the second
    /// round of this loop. The schedule then shows the loop, but not each of its rounds. Returns a name for
    /// the repeated steps; nothing is cut if the rounds differ.
    fn fold(&self, end: usize) -> String {
        let log = &self.log()[..end];
        let same = |place: usize, round: usize| {
            let (now, before) = (log[place].get(), log[place - round].get());
            (now.address, now.kind, now.thread) == (before.address, before.kind, before.thread)
        };
        let rounds = 1..log.len().min(*WINDOW.end()) / 4;
        let repeats =
            |round: &usize| (log.len() - 2 * round..log.len()).rev().all(|place| same(place, *round));
        let Some(round) = rounds.into_iter().find(repeats) else { return "its steps".into() };
        let differs = (round..log.len()).rev().find(|&place| !same(place, round));
        let second = differs.map_or(round, |place| place + 1);
        self.steps.set((second + round) as u32);
        if round == 1 { "the last step".into() } else { format!("the last {round} steps") }
    }

    /// Returns the thread that the fair scheduler lets run, and the step at which the thread's turn ends;
    /// `None` within the bound.
    #[inline]
    pub(super) fn fair_choice(&self, view: View) -> Option<(usize, u32)> {
        let fair = self.progress.fair.get()?;
        let runnable = |thread: usize| view.runnable & 1 << thread != 0;
        let current = view.current.unwrap_or(0);
        if runnable(current) && view.step < fair.turn_end {
            return Some((current, fair.turn_end));
        }
        let next = (1..=THREADS).map(|further| (current + further) % THREADS);
        let thread = next.into_iter().find(|&thread| runnable(thread))?;
        let turn_end = view.step + TURN;
        self.progress.fair.set(Some(Fair { turn_end, ..fair }));
        Some((thread, turn_end))
    }
}

/// The detail of a busy wait.
const ASLEEP: &str = "a thread that waits must sleep, or another one with a lower priority never runs";

fn too_long(steps: u32) -> Violation {
    let detail = format!("no end within {steps} steps");
    Violation::new(rule::STEP_BOUND, detail)
}
