//! The tally: which operations of an explored program had an effect in any schedule. A search in
//! which an operation never had an effect has not tested that operation.
//!
//! One tally serves the worlds of all jobs. It uses `std` atomics, so keeping it takes no step, and
//! costs one load for each operation.

use crate::error::Errno;
use crate::program::session::Step;
use crate::program::{NO_SITE, Op, Program, Refused};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The results of the operations of the threads, and of `finally`.
#[derive(Debug)]
pub(super) struct Tally {
    sections: Vec<Vec<OpTally>>,
    /// True if the reason of an operation's first failure is kept.
    reasons: bool,
}

/// The results of one operation.
#[derive(Debug, Default)]
struct OpTally {
    /// True if it had an effect in some schedule.
    had_effect: AtomicBool,
    /// True if it was tried without an effect. Some of these attempts have no errno.
    tried: AtomicBool,
    /// The errnos with which it failed: a bit for each number.
    errnos: [AtomicU64; 3],
    reason: OnceLock<String>,
}

impl Tally {
    /// An empty tally. With `reasons` it also keeps the reason of each operation's first failure,
    /// which costs time.
    pub fn new(program: &Program, reasons: bool) -> Tally {
        let threads = program.threads.iter().map(|thread| &thread.ops).chain([&program.finally]);
        let sections = threads.map(|ops| ops.iter().map(|_| OpTally::default()).collect()).collect();
        Tally { sections, reasons }
    }

    /// Adds the result of operation `i` of a section. The sections are the threads in order, then
    /// `finally`.
    #[inline]
    pub fn add(&self, section: usize, i: usize, op: &Op, step: &Step) {
        // The operation after a `fail` tells whether the fault has struck.
        if matches!(op, Op::Fail { .. }) {
            return;
        }
        if let Some((struck, armed)) = step.fault.zip(i.checked_sub(1)) {
            let armed = &self.sections[section][armed];
            match struck {
                0 => armed.missed(),
                // Relaxed: as below.
                _ => armed.had_effect.store(true, Ordering::Relaxed),
            }
        }
        let tally = &self.sections[section][i];
        // Relaxed: a job that misses the effect which another job has just noted tallies once more.
        if tally.had_effect.load(Ordering::Relaxed) {
            return;
        }
        match step.did_anything(op) {
            // Relaxed: the words of a tally are independent, and are read after the jobs were joined.
            true => tally.had_effect.store(true, Ordering::Relaxed),
            false => self.failed(tally, step),
        }
    }

    fn failed(&self, tally: &OpTally, step: &Step) {
        // Relaxed: as in `add`.
        if !tally.tried.load(Ordering::Relaxed) {
            tally.tried.store(true, Ordering::Relaxed);
        }
        for Errno(number) in step.errnos() {
            let (word, bit) = (number as usize / 64, 1 << (number as usize % 64));
            if let Some(word) = tally.errnos.get(word)
                // Relaxed, here and in the next step: as in `add`. A bit that is missed is set again.
                && word.load(Ordering::Relaxed) & bit == 0
            {
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
        if self.reasons {
            tally.reason.get_or_init(|| step.why());
        }
    }

    /// The operations that were tried and never had an effect; `reasons` is a tally that kept
    /// reasons.
    pub fn refused(&self, program: &Program, reasons: &Tally) -> Vec<Refused> {
        let threads = program.threads.iter().map(|thread| (thread.name.as_str(), &thread.ops));
        let sections = threads.chain([("finally", &program.finally)]);
        let mut refused = Vec::new();
        for (at, (section, ops)) in sections.enumerate() {
            for (i, op) in ops.iter().enumerate() {
                let tally = &self.sections[at][i];
                if !tally.never_had_effect() {
                    continue;
                }
                let errnos = tally.errnos();
                let reason = reasons.sections[at][i].reason.get().cloned().unwrap_or_default();
                refused.push(Refused::new((section, i, op), errnos, reason));
            }
        }
        refused
    }

    /// True if an operation was tried and never had an effect.
    pub fn has_refused(&self) -> bool {
        self.sections.iter().flatten().any(OpTally::never_had_effect)
    }
}

impl OpTally {
    /// Notes that the fault which the operation armed has not struck.
    fn missed(&self) {
        // Relaxed: as in `Tally::add`.
        self.tried.store(true, Ordering::Relaxed);
        self.reason.get_or_init(|| NO_SITE.into());
    }

    /// True if it was tried and never had an effect.
    fn never_had_effect(&self) -> bool {
        // Relaxed (both): joining the jobs has ordered their stores before these loads.
        self.tried.load(Ordering::Relaxed) && !self.had_effect.load(Ordering::Relaxed)
    }

    fn errnos(&self) -> Vec<Errno> {
        // Relaxed: as in `never_had_effect`.
        let words: Vec<u64> = self.errnos.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        let set = |number: &i32| words[*number as usize / 64] >> (number % 64) & 1 == 1;
        (0..64 * words.len() as i32).filter(set).map(Errno).collect()
    }
}
