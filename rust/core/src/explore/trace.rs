//! Traces: the steps of a schedule, with their objects and values.

use super::functions;
use crate::sync::explored::{Kind, Recorded, Violation};
use std::collections::HashMap;
use std::fmt;

/// One step of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The thread that took the step.
    pub thread: u8,
    /// The operation of the thread's program, counted from zero.
    pub operation: u32,
    /// The kind of the step.
    pub kind: Kind,
    /// The object: the name of the word, or the class of the lock and its holder. Without a known name:
    /// `unnamed word N`, or the class of the lock and a number, in order of first use. Empty for a fence.
    pub object: String,
    /// The word before the step.
    pub before: u64,
    /// The word after it.
    pub after: u64,
    /// The function of the core that took the step; for an unlock, the one that took the lock.
    /// Empty outside of the core.
    pub function: &'static str,
    /// The function's file and the step's line: `migrate/one.rs:120`.
    pub place: String,
}

/// A schedule, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The steps.
    pub rows: Vec<Row>,
    /// The end state's fingerprint, or the rule that the last step broke. If all threads had ended,
    /// the check after the last step found the violation.
    pub outcome: Result<u64, Violation>,
    /// A hash of all steps, the same on every host: threads, kinds, objects in order of first
    /// use, values.
    pub hash: u64,
}

impl Trace {
    pub(super) fn new(
        outcome: Result<u64, Violation>,
        recorded: Recorded,
        label: impl Fn(usize) -> Option<String>,
        holder: impl Fn(usize) -> Option<String>,
    ) -> Trace {
        let mut numbers = HashMap::new();
        let mut hash = 0;
        let rows = recorded.steps.iter().zip(&recorded.values).map(|(step, values)| {
            let next = numbers.len();
            let number = *numbers.entry(step.address).or_insert(next);
            for part in [u64::from(step.thread), step.kind as u64, number as u64, values.before, values.after]
            {
                hash = mix(hash, part);
            }
            let object = match step.kind {
                Kind::Fence => String::new(),
                _ => label(step.address)
                    .or_else(|| lock(&recorded, step.address, &holder))
                    .or_else(|| made(&recorded, step.address))
                    .unwrap_or_else(|| format!("unnamed word {number}")),
            };
            let (function, place) = values.place.map_or((None, String::new()), functions::at);
            Row {
                thread: step.owner() as u8,
                operation: values.operation,
                kind: step.kind,
                object,
                before: values.before,
                after: values.after,
                function: function.unwrap_or_default(),
                place,
            }
        });
        let rows = rows.collect();
        Trace { rows, outcome, hash }
    }
}

/// The name of the lock at `address`, with the object that the lock is part of. If the object has no name,
/// the name of the lock is its class and a number: the second lock of the class to be used has the number 2.
fn lock(recorded: &Recorded, address: usize, holder: impl Fn(usize) -> Option<String>) -> Option<String> {
    let (_, class) = recorded.locks.iter().find(|(lock, _)| *lock == address)?;
    if let Some(holder) = holder(address) {
        return Some(format!("{} of {holder}", class.name()));
    }
    if let Some(space) = made(recorded, address) {
        return Some(format!("{} of {space}", class.name()));
    }
    let mut same = recorded.locks.iter().filter(|(_, other)| other == class);
    Some(match same.position(|(lock, _)| *lock == address)? {
        0 => class.name().into(),
        before => format!("{} {}", class.name(), before + 1),
    })
}

/// The name of the word or lock at `address` if the schedule has made its object.
fn made(recorded: &Recorded, address: usize) -> Option<String> {
    recorded.made.iter().rev().find_map(|words| words.name_at(address))
}

/// Folds `part` into `hash` with the finaliser of SplitMix64.
fn mix(hash: u64, part: u64) -> u64 {
    let z = (hash ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

impl fmt::Display for Trace {
    /// Writes one line per step, and marks the step that broke the rule.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.rows.len().wrapping_sub(1);
        for (place, row) in self.rows.iter().enumerate() {
            let mark = if self.outcome.is_err() && place == last { '>' } else { ' ' };
            write!(
                f,
                "{mark}{place:5}  {}  #{:<3} {:11} {}",
                row.thread,
                row.operation,
                row.kind.name(),
                row.object
            )?;
            if row.kind != Kind::Fence {
                match row.before == row.after {
                    true => write!(f, "  {:#x}", row.before)?,
                    false => write!(f, "  {:#x} -> {:#x}", row.before, row.after)?,
                }
            }
            writeln!(f)?;
        }
        match &self.outcome {
            Ok(_) => Ok(()),
            Err(violation) => writeln!(f, "{violation}"),
        }
    }
}
