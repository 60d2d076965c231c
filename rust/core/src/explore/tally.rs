//! Which operations of an explored program did anything, in any schedule: a search that could not do what the
//! program says is no pass of it.
//!
//! One tally serves the worlds of all jobs. It lies outside of the door, so that keeping it is no step, and costs a
//! look at one word for each operation.

use crate::error::Errno;
use crate::program::session::Step;
use crate::program::{Op, Program, Refused};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the operations of the threads, and of `finally`, came to.
#[derive(Debug)]
pub(super) struct Tally {
    sections: Vec<Vec<Told>>,
    /// Also why the first one failed.
    words: bool,
}

/// What one operation came to.
#[derive(Debug, Default)]
struct Told {
    /// It did something, in some schedule.
    did: AtomicBool,
    /// The ways in which it failed: a bit for each number of an errno.
    errnos: [AtomicU64; 3],
    why: OnceLock<String>,
}

impl Tally {
    /// Nothing was tried yet. With `words` it is also kept why an operation failed at first, which costs.
    pub fn new(program: &Program, words: bool) -> Tally {
        let threads = program.threads.iter().map(|thread| &thread.ops).chain([&program.finally]);
        let sections = threads.map(|ops| ops.iter().map(|_| Told::default()).collect()).collect();
        Tally { sections, words }
    }

    /// Adds what operation `i` of a section came to: the threads in order, then `finally`.
    // Relaxed (all): each word is a fact of its own, and is read when the jobs have been joined.
    #[inline]
    pub fn add(&self, section: usize, i: usize, op: &Op, step: &Step) {
        let told = &self.sections[section][i];
        if told.did.load(Ordering::Relaxed) {
            return;
        }
        match step.did_anything(op) {
            true => told.did.store(true, Ordering::Relaxed),
            false => self.failed(told, step),
        }
    }

    fn failed(&self, told: &Told, step: &Step) {
        for Errno(number) in step.errnos() {
            let (word, bit) = (number as usize / 64, 1 << (number as usize % 64));
            if let Some(word) = told.errnos.get(word)
                && word.load(Ordering::Relaxed) & bit == 0
            {
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
        if self.words {
            told.why.get_or_init(|| step.why());
        }
    }

    /// The operations that were tried and never did anything; `why` are the words of another tally.
    pub fn refused(&self, program: &Program, why: &Tally) -> Vec<Refused> {
        let threads = program.threads.iter().map(|thread| (thread.name.as_str(), &thread.ops));
        let sections = threads.chain([("finally", &program.finally)]);
        let mut refused = Vec::new();
        for (at, (section, ops)) in sections.enumerate() {
            for (i, op) in ops.iter().enumerate() {
                let told = &self.sections[at][i];
                let errnos = told.errnos();
                if errnos.is_empty() || told.did.load(Ordering::Relaxed) {
                    continue;
                }
                let why = why.sections[at][i].why.get().cloned().unwrap_or_default();
                refused.push(Refused::new((section, i, op), errnos, why));
            }
        }
        refused
    }

    /// Is there an operation that was tried and never did anything?
    pub fn has_refused(&self) -> bool {
        let never = |told: &Told| !told.did.load(Ordering::Relaxed) && !told.errnos().is_empty();
        self.sections.iter().flatten().any(never)
    }
}

impl Told {
    fn errnos(&self) -> Vec<Errno> {
        let words: Vec<u64> = self.errnos.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        let set = |number: &i32| words[*number as usize / 64] >> (number % 64) & 1 == 1;
        (0..64 * words.len() as i32).filter(set).map(Errno).collect()
    }
}
