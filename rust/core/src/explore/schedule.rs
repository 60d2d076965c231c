//! An interleaving as data.

use crate::sync::explored::{Choice, Strategy, THREADS, View};
use std::fmt;
use std::str::FromStr;

/// A list of thread numbers: the thread that executes each step.
///
/// Every list is a schedule of every program. Where the listed thread is not runnable, or the list
/// has ended, the current thread goes on; if it cannot, the lowest runnable thread does. So a list
/// may be cut, spliced and shrunk freely.
///
/// Its text is a list of runs: `0x12,1x3,0` is twelve steps of thread 0, three of thread 1, one
/// of thread 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Schedule(Vec<u8>);

/// The error for a text that is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{run:?} is no run of a schedule: write the thread's number (below {most}), or number x steps, as in \
     0x12,1,0x3",
    most = THREADS
)]
pub struct ScheduleError {
    run: String,
}

impl Schedule {
    /// The schedule of these threads.
    pub fn new(threads: impl IntoIterator<Item = u8>) -> Self {
        Schedule(threads.into_iter().collect())
    }

    /// The thread that is to execute each step.
    pub fn threads(&self) -> &[u8] {
        &self.0
    }

    /// Maximal stretches of one thread: thread and length.
    pub fn runs(&self) -> Vec<(u8, usize)> {
        self.0.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
    }

    /// The number of times that one thread follows another.
    pub fn switches(&self) -> usize {
        self.runs().len().saturating_sub(1)
    }

    /// The steps of these runs.
    pub fn from_runs(runs: &[(u8, usize)]) -> Self {
        Schedule(runs.iter().flat_map(|&(thread, length)| std::iter::repeat_n(thread, length)).collect())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (thread, length)) in self.runs().into_iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            match length {
                1 => write!(f, "{thread}")?,
                _ => write!(f, "{thread}x{length}")?,
            }
        }
        Ok(())
    }
}

/// The most steps of a schedule, and the highest bound on steps. Without the bound a text of a few
/// characters, such as `0x99999999999`, would exhaust the memory.
pub const MAX_STEPS: usize = 1 << 24;

/// Characters of a wrong run that the error shows.
const SHOWN: usize = 40;

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let mut threads = Vec::new();
        for run in text.split(',').map(str::trim).filter(|run| !run.is_empty()) {
            let (thread, length) = run.split_once('x').unwrap_or((run, "1"));
            let parsed = thread.parse::<u8>().ok().zip(length.parse::<usize>().ok());
            match parsed {
                Some((thread, length))
                    if (thread as usize) < THREADS && length <= MAX_STEPS - threads.len() =>
                {
                    threads.extend(std::iter::repeat_n(thread, length));
                }
                _ => return Err(ScheduleError { run: run.chars().take(SHOWN).collect() }),
            }
        }
        Ok(Schedule(threads))
    }
}

/// Follows a schedule.
pub(super) struct Replay<'a>(&'a [u8]);

impl<'a> Replay<'a> {
    pub fn new(schedule: &'a Schedule) -> Self {
        Replay(&schedule.0)
    }

    /// Follows a list of threads.
    pub fn of(threads: &'a [u8]) -> Self {
        Replay(threads)
    }
}

impl Strategy for Replay<'_> {
    fn choose(&mut self, view: View) -> Choice {
        let step = view.step as usize;
        let Some(&wanted) = self.0.get(step) else {
            return Choice { thread: view.fall_back(None), until: u32::MAX };
        };
        let thread = view.fall_back(Some(wanted as usize));
        let until = if thread == wanted as usize {
            step + self.0[step..].iter().take_while(|&&t| t == wanted).count()
        } else {
            // The wanted thread may become runnable again.
            step + 1
        };
        Choice { thread, until: until as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_schedule_are_the_same() {
        let schedule = Schedule::new([0, 0, 0, 1, 1, 0, 2]);
        assert_eq!(schedule.to_string(), "0x3,1x2,0,2");
        assert_eq!(schedule.to_string().parse(), Ok(schedule.clone()));
        assert_eq!(Schedule::from_runs(&schedule.runs()), schedule);
        assert_eq!("".parse(), Ok(Schedule::default()));
    }

    #[test]
    fn nonsense_names_the_run() {
        for text in ["0x3,y", "9", "0x-1", "1x99999999999"] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }
}
