//! The trace's accesses by thread, the values that stores write, and the plain array with which the
//! memory is compared at the end.

use crate::load::content::{Violation, Wrong};
use crate::load::fault::{Finding, LoadError, unless_interrupted};
use crate::machine::Machine;
use crate::map::Area;
use crate::memory::WORDS;
use crate::page::PAGE_SIZE;
use crate::release::Release;
use std::sync::Arc;

/// The number of pages that an access can name.
const MAX_PAGES: u32 = 1 << 31;

/// A trace: access `i` touches page `ids[i]`, numbered densely, and writes if `writes[i]` is not 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The page of each access.
    pub ids: Vec<u32>,
    /// 1 for an access that writes, 0 for one that reads.
    pub writes: Vec<u8>,
}

impl Trace {
    /// Returns the number of distinct pages.
    pub(super) fn footprint(&self) -> u32 {
        self.ids.iter().max().map_or(0, |&last| last + 1)
    }

    pub(super) fn check(&self) -> Result<(), LoadError> {
        let wrong = |why: String| Err(LoadError::Config(why));
        if self.ids.len() != self.writes.len() {
            return wrong(format!(
                "a trace of {} accesses, but {} write marks",
                self.ids.len(),
                self.writes.len()
            ));
        }
        if self.ids.is_empty() {
            return wrong("the trace is empty".into());
        }
        if self.ids.len() > MAX_ACCESSES {
            return wrong(format!("the trace has more than {} accesses", MAX_ACCESSES));
        }
        match self.ids.iter().max() {
            Some(&last) if last >= MAX_PAGES => wrong(format!("the trace has more than {} pages", MAX_PAGES)),
            _ => Ok(()),
        }
    }
}

/// The most accesses of a trace.
pub(super) const MAX_ACCESSES: usize = u32::MAX as usize;

/// An access of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// The page's number, and the store bit on top.
    what: u32,
    /// The position in the trace.
    position: u32,
}

impl Access {
    const STORE: u32 = 1 << 31;

    fn new(page: u32, store: bool, position: u32) -> Access {
        Access { what: page | if store { Self::STORE } else { 0 }, position }
    }

    #[inline]
    pub fn page(self) -> u32 {
        self.what & !Self::STORE
    }

    #[inline]
    pub fn is_store(self) -> bool {
        self.what & Self::STORE != 0
    }

    /// Returns the word of the page. A trace names only the page, so the position in the trace
    /// chooses a word, the same in every pass.
    #[inline]
    pub fn word(self) -> u32 {
        (mix(u64::from(self.position)) >> 32) as u32 % WORDS as u32
    }
}

fn mix(value: u64) -> u64 {
    let value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (value ^ value >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Bits of a stored word that hold the checksum.
const CHECK: u64 = (1 << 24) - 1;

/// Returns the value that a store writes: the running number of the store in 40 bits (from 1, so
/// never zero), and a checksum of number and place.
#[inline]
pub(super) fn value(number: u64, page: u32, word: u32) -> u64 {
    let number = number + 1;
    let place = u64::from(page) * WORDS as u64 + u64::from(word);
    number << 24 | mix(number ^ place.rotate_left(40)) >> 40
}

/// Checks the value that a load finds: zero, or a value that some store writes to this place.
#[inline]
pub(super) fn check(page: u32, word: u32, found: u64) -> Result<(), Violation> {
    if found == 0 || value((found >> 24).wrapping_sub(1), page, word) == found {
        return Ok(());
    }
    Err(Violation { page, word, value: found, wrong: Wrong::Garbage })
}

const _: () = assert!(CHECK.count_ones() == 24);

/// A thread's part of the trace, and its position in it.
#[derive(Clone, Debug)]
pub(super) struct Part {
    accesses: Arc<[Access]>,
    next: usize,
    /// Passes over the part that were completed.
    passes: u64,
    /// Accesses of the whole trace: with each pass the running numbers grow by this.
    total: u64,
}

impl Part {
    /// Assigns each access of a trace to a part, by a hash of its page.
    pub fn deal(trace: &Trace, threads: usize) -> Vec<Part> {
        let mut parts = vec![Vec::new(); threads];
        for (position, (&page, &write)) in trace.ids.iter().zip(&trace.writes).enumerate() {
            let thread = (mix(u64::from(page)) >> 32) as usize % threads;
            parts[thread].push(Access::new(page, write != 0, position as u32));
        }
        let total = trace.ids.len() as u64;
        parts
            .into_iter()
            .map(|accesses| Part { accesses: accesses.into(), next: 0, passes: 0, total })
            .collect()
    }

    /// Returns the number of completed passes over the part. A part without accesses counts as
    /// completed at any time.
    pub fn passes(&self) -> u64 {
        if self.accesses.is_empty() { u64::MAX } else { self.passes }
    }

    /// Returns the next access with its running number. `None` if the part is empty.
    #[inline]
    pub fn next(&mut self) -> Option<(Access, u64)> {
        let access = *self.accesses.get(self.next)?;
        let number = self.number(access, self.passes);
        self.next += 1;
        if self.next == self.accesses.len() {
            self.next = 0;
            self.passes += 1;
        }
        Some((access, number))
    }

    #[inline]
    fn number(&self, access: Access, pass: u64) -> u64 {
        pass * self.total + u64::from(access.position)
    }

    /// Applies the stores of the part to an array. Each pass repeats every access at the same word,
    /// so the last completed pass and the one that has begun determine the content.
    fn replay(&self, array: &mut [u64]) {
        let running = self.accesses[..self.next].iter().map(|&access| (access, self.passes));
        let finished = match self.passes {
            0 => &[][..],
            _ => &self.accesses[self.next..],
        };
        let finished = finished.iter().map(|&access| (access, self.passes - 1));
        for (access, pass) in finished.chain(running).filter(|(access, _)| access.is_store()) {
            let (page, word) = (access.page(), access.word());
            array[page as usize * WORDS + word as usize] = value(self.number(access, pass), page, word);
        }
    }
}

/// Compares every byte of the area with a plain replay; returns the number of words.
pub(super) fn verify<'a, R: Release>(
    machine: &Machine<R>,
    area: &Area,
    parts: impl Iterator<Item = &'a Part>,
) -> Result<u64, Finding> {
    let mut array = vec![0; area.pages() as usize * WORDS];
    parts.for_each(|part| part.replay(&mut array));
    let mut bytes = [0; PAGE_SIZE];
    for (page, expected) in (0..).zip(array.chunks_exact(WORDS)) {
        unless_interrupted()?;
        let offset = u64::from(page) * PAGE_SIZE as u64;
        machine.read_bytes(area, offset, &mut bytes).map_err(Finding::refused("a load"))?;
        for (word, (&expected, found)) in (0..).zip(expected.iter().zip(bytes.chunks_exact(8))) {
            let value = u64::from_le_bytes(found.try_into().expect("chunks of eight"));
            if value != expected {
                return Err(Violation { page, word, value, wrong: Wrong::NotReplay { expected } }.into());
            }
        }
    }
    Ok(array.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Compares the shortcut over the last two passes with a replay of every access.
        #[test]
        fn the_last_two_passes_tell_the_whole_replay(
            accesses in prop::collection::vec((0u32..20, any::<bool>()), 1..100),
            threads in 1usize..4, done in 0usize..500,
        ) {
            let trace = Trace {
                ids: accesses.iter().map(|a| a.0).collect(),
                writes: accesses.iter().map(|a| u8::from(a.1)).collect(),
            };
            let (mut plain, mut short) = (vec![0; 20 * WORDS], vec![0; 20 * WORDS]);
            for mut part in Part::deal(&trace, threads) {
                for _ in 0..done {
                    let Some((access, number)) = part.next() else { break };
                    let (page, word) = (access.page(), access.word());
                    let slot = &mut plain[page as usize * WORDS + word as usize];
                    check(page, word, *slot).unwrap();
                    if access.is_store() {
                        *slot = value(number, page, word);
                    }
                }
                part.replay(&mut short);
            }
            prop_assert_eq!(plain, short);
        }

        #[test]
        fn a_word_from_another_place_is_noticed(
            number in 0u64..1 << 39,
            page in 0u32..1 << 20,
            word in 0u32..512,
        ) {
            let stored = value(number, page, word);
            prop_assert!(check(page, word, stored).is_ok());
            prop_assert!(check(page + 1, word, stored).is_err());
            prop_assert!(check(page, word ^ 1, stored).is_err());
            prop_assert!(check(page, word, stored ^ 1 << 30).is_err());
        }
    }

    #[test]
    fn every_page_belongs_to_one_thread_and_keeps_its_order() {
        let trace = Trace { ids: (0..1000).map(|i| i * 7 % 50).collect(), writes: vec![1; 1000] };
        let parts = Part::deal(&trace, 3);
        assert_eq!(parts.iter().map(|part| part.accesses.len()).sum::<usize>(), 1000);
        for page in 0..50 {
            let with = parts.iter().filter(|part| part.accesses.iter().any(|a| a.page() == page));
            assert_eq!(with.count(), 1);
        }
        for part in &parts {
            assert!(part.accesses.is_sorted_by_key(|access| access.position));
        }
    }
}
