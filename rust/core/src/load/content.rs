//! The words of a page, and how a reader judges them.
//!
//! Every word that a storm writes encodes its page, its place in the page, its writer, and the
//! number of this writer's write to the page; six bits are a checksum of the other bits. From these
//! a reader recognises the content of another page, a word that was never written, and a word that
//! is too old.
//!
//! ```text
//!  63      44 43    35 34    30 29                   6 5      0
//! | page: 20 | word: 9 | writer: 5 | sequence: 24      | check: 6 |
//! ```
//!
//! # How a reader knows the content of a word without storing it
//!
//! Each word of a page belongs to one writer. A writer's writes visit its words in a fixed cyclic
//! order. The number of the writer's writes to a page therefore determines the content of *each* of
//! the writer's words there:
//!
//! * The writer knows its number exactly, and so the exact content of its words ([`Layout::expected`]).
//! * Another reader knows a lower bound: the highest sequence that it has seen ([`Seen`]). The bound implies
//!   a lowest sequence for each word. A word below it shows that a write was lost, or was replaced by an
//!   older one.
//!
//! The bound holds across words, because each access is a TLB section of its own, which begins with
//! a full fence (`map::tlb`). A reader that has seen a write therefore also sees all earlier
//! writes.

use crate::memory::WORDS;

const PAGE_SHIFT: u32 = 44;
const WORD_SHIFT: u32 = 35;
const WRITER_SHIFT: u32 = 30;
const SEQUENCE_SHIFT: u32 = 6;
const CHECK: u64 = (1 << SEQUENCE_SHIFT) - 1;

/// The number of writers that a word can tell apart.
pub const MAX_THREADS: usize = 31;
/// The number of pages that a word can tell apart.
pub(super) const MAX_PAGES: u32 = 1 << 20;
const _: () = assert!(MAX_PAGES == 1 << (64 - PAGE_SHIFT) && WORDS == 1 << (PAGE_SHIFT - WORD_SHIFT));
const _: () = assert!(MAX_THREADS < 1 << (WORD_SHIFT - WRITER_SHIFT));

/// The most writes of a writer to one page. The writer then leaves the page alone, so that sequences
/// never wrap.
pub const MAX_SEQUENCE: u32 = (1 << (WRITER_SHIFT - SEQUENCE_SHIFT)) - 1;

/// The decoded content of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The page, as the load numbers it.
    pub page: u32,
    /// The word of the page.
    pub word: u32,
    /// The writer.
    pub writer: u32,
    /// The number of this write among the writer's writes to the page, from 1.
    pub sequence: u32,
}

impl Stamp {
    /// Encodes the stamp as a word. The word is never zero: zero is the content of a fresh page.
    pub const fn encode(self) -> u64 {
        let bits = (self.page as u64) << PAGE_SHIFT
            | (self.word as u64) << WORD_SHIFT
            | (self.writer as u64) << WRITER_SHIFT
            | (self.sequence as u64) << SEQUENCE_SHIFT;
        bits | check(bits)
    }

    /// Decodes a word; `None` if it is zero or its checksum is wrong.
    pub const fn decode(value: u64) -> Option<Stamp> {
        let bits = value & !CHECK;
        if value == 0 || value & CHECK != check(bits) {
            return None;
        }
        Some(Stamp {
            page: (bits >> PAGE_SHIFT) as u32,
            word: (bits >> WORD_SHIFT) as u32 & (WORDS as u32 - 1),
            writer: (bits >> WRITER_SHIFT) as u32 & MAX_THREADS as u32,
            sequence: (bits >> SEQUENCE_SHIFT) as u32 & MAX_SEQUENCE,
        })
    }
}

/// Returns the checksum: the top bits of a product with an odd constant, which depend on each bit
/// of the word.
const fn check(bits: u64) -> u64 {
    (bits ^ bits >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SEQUENCE_SHIFT)
}

/// The assignment of a page's words to the writers, and the order in which each writer visits its
/// own.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    writers: u32,
    /// The number of words of each writer.
    slots: u32,
    /// The distance from the word of one write to the word of the next, counted in the writer's own
    /// words; coprime to `slots`.
    stride: u32,
    /// The inverse of `stride` modulo `slots`.
    inverse: u32,
}

impl Layout {
    /// Makes the layout for `writers` writers, numbered from 0.
    pub fn new(writers: u32) -> Layout {
        let slots = WORDS as u32 / writers;
        // The stride is the greatest number up to 5/8 of `slots` that has an inverse. A large stride lets two
        // writes reach both halves of a page. The search ends, because 1 has an inverse.
        let stride = (1..=(slots * 5 / 8).max(1)).rev().find(|&stride| gcd(stride, slots) == 1).unwrap_or(1);
        let inverse = (0..slots).find(|inverse| inverse * stride % slots == 1 % slots).unwrap_or(0);
        Layout { writers, slots, stride, inverse }
    }

    /// Returns the number of writers.
    pub fn writers(self) -> u32 {
        self.writers
    }

    /// Returns the writer of a word; `None` for the last words of a page, which no writer gets.
    pub fn writer_of(self, word: u32) -> Option<u32> {
        (word < self.slots * self.writers).then(|| word % self.writers)
    }

    /// Returns the word of a writer's write number `sequence`, from 1.
    #[inline]
    pub fn word(self, writer: u32, sequence: u32) -> u32 {
        let slot = u64::from(sequence - 1) * u64::from(self.stride) % u64::from(self.slots);
        slot as u32 * self.writers + writer
    }

    /// Returns the sequence that a word must have after its writer's first `writes` writes to the
    /// page; 0 for a word that was not written yet.
    #[inline]
    pub fn expected(self, word: u32, writes: u32) -> u32 {
        // `first` is the number, from 0, of the first write to this word. Every `slots`-th write after
        // this one goes to the same word.
        let first = word / self.writers * self.inverse % self.slots;
        if writes <= first { 0 } else { writes - (writes - 1 - first) % self.slots }
    }
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A word with a content that it must not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("word {word} of page {page} holds {value:#018x}: {wrong}")]
pub struct Violation {
    /// The page, as the load numbers it.
    pub page: u32,
    /// The word.
    pub word: u32,
    /// The content of the word.
    pub value: u64,
    /// The mistake of the content.
    pub wrong: Wrong,
}

/// The mistakes that a word can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// A wrong checksum: no writer stores such a word.
    #[error("no writer stores this value: its checksum is wrong")]
    Garbage,
    /// The content of another place.
    #[error("writer {writer} wrote this value to word {word} of page {page}")]
    Elsewhere {
        /// The page that the content names.
        page: u32,
        /// The word that the content names.
        word: u32,
        /// The writer that the content names.
        writer: u32,
    },
    /// A zero, although the word was written.
    #[error("write {expected} of writer {writer} is lost: the word is empty")]
    Empty {
        /// The writer.
        writer: u32,
        /// The lowest write number that the word may have.
        expected: u32,
    },
    /// An older write than the lowest that the word may have.
    #[error("this is the older write {found} of writer {writer}, which has made write {expected} already")]
    Old {
        /// The writer.
        writer: u32,
        /// The write number of the word.
        found: u32,
        /// The lowest write number that the word may have.
        expected: u32,
    },
    /// A write that its writer has not made yet.
    #[error("writer {writer} has not made write {found} yet")]
    Future {
        /// The writer.
        writer: u32,
        /// The write number of the word.
        found: u32,
    },
    /// A word of a forked child that changed although the child did not write to it.
    #[error("a forked child read {before:#018x} before, and has not written to the word")]
    Changed {
        /// The value that the child read first.
        before: u64,
    },
    /// A changed value, where one value was written and must stay.
    #[error("{expected:#018x} was written once and must stay")]
    NotKept {
        /// The value that was written.
        expected: u64,
    },
    /// A value other than the one that the replay stores.
    #[error("a replay of the trace on a plain array ends with {expected:#018x}")]
    NotReplay {
        /// The value that the replay stores.
        expected: u64,
    },
}

/// The highest sequence that one reader has seen of each writer on each page.
#[derive(Clone, Debug)]
pub struct Seen {
    layout: Layout,
    /// The first of the pages that are covered.
    first: u32,
    highest: Box<[u32]>,
}

impl Seen {
    /// Covers `pages` pages from `first` on; no write has been seen yet.
    pub fn new(layout: Layout, first: u32, pages: u32) -> Seen {
        let entries = pages as usize * layout.writers as usize;
        Seen { layout, first, highest: vec![0; entries].into() }
    }

    /// Checks the content of a word, and remembers its sequence.
    ///
    /// # Errors
    /// The mistake that the word shows.
    #[inline]
    pub fn check(&mut self, page: u32, word: u32, value: u64) -> Result<(), Violation> {
        let Some(writer) = self.layout.writer_of(word) else { return nothing(page, word, value) };
        let at = (page - self.first) as usize * self.layout.writers as usize + writer as usize;
        let expected = self.layout.expected(word, self.highest[at]);
        let found = sequence(self.layout, page, word, value)?;
        if found < expected {
            return Err(too_old(page, word, value, writer, found, expected));
        }
        self.highest[at] = self.highest[at].max(found);
        Ok(())
    }
}

/// Checks the content of a word whose writer made exactly `writes` writes to the page.
///
/// # Errors
/// The mistake that the word shows.
#[inline]
pub fn check_exact(layout: Layout, page: u32, word: u32, value: u64, writes: u32) -> Result<(), Violation> {
    let Some(writer) = layout.writer_of(word) else { return nothing(page, word, value) };
    let expected = layout.expected(word, writes);
    let found = sequence(layout, page, word, value)?;
    match found.cmp(&expected) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(too_old(page, word, value, writer, found, expected)),
        std::cmp::Ordering::Greater => {
            Err(Violation { page, word, value, wrong: Wrong::Future { writer, found } })
        }
    }
}

/// Checks a word without a writer, which must be zero.
fn nothing(page: u32, word: u32, value: u64) -> Result<(), Violation> {
    match value {
        0 => Ok(()),
        _ => sequence(Layout::new(1), page, word, value).map(|_| ()),
    }
}

/// Checks a word's place, writer and order, and returns its sequence, or 0 if the word is zero.
#[inline]
fn sequence(layout: Layout, page: u32, word: u32, value: u64) -> Result<u32, Violation> {
    if value == 0 {
        return Ok(0);
    }
    let wrong = |wrong| Violation { page, word, value, wrong };
    let stamp = Stamp::decode(value).ok_or(wrong(Wrong::Garbage))?;
    let here = stamp.page == page && stamp.word == word && layout.writer_of(word) == Some(stamp.writer);
    if !here || stamp.sequence == 0 || layout.word(stamp.writer, stamp.sequence) != word {
        return Err(wrong(Wrong::Elsewhere { page: stamp.page, word: stamp.word, writer: stamp.writer }));
    }
    Ok(stamp.sequence)
}

#[cold]
fn too_old(page: u32, word: u32, value: u64, writer: u32, found: u32, expected: u32) -> Violation {
    let wrong = match found {
        0 => Wrong::Empty { writer, expected },
        _ => Wrong::Old { writer, found, expected },
    };
    Violation { page, word, value, wrong }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stamp_reads_back_and_a_wrong_checksum_is_noticed(
            page in 0u32..MAX_PAGES, word in 0u32..512, writer in 0u32..31, sequence in 1u32..=MAX_SEQUENCE
        ) {
            let stamp = Stamp { page, word, writer, sequence };
            prop_assert_eq!(Stamp::decode(stamp.encode()), Some(stamp));
            prop_assert_ne!(stamp.encode(), 0);
            for bit in 0..SEQUENCE_SHIFT {
                prop_assert_eq!(Stamp::decode(stamp.encode() ^ 1 << bit), None);
            }
        }

        /// Compares the rule that one number determines every word with a plain array of all
        /// writes.
        #[test]
        fn one_number_tells_what_each_word_says(writers in 1u32..=31, writes in 0u32..2000) {
            let layout = Layout::new(writers);
            for writer in [0, writers - 1] {
                let mut words = [0u32; WORDS];
                for sequence in 1..=writes {
                    let word = layout.word(writer, sequence);
                    prop_assert_eq!(layout.writer_of(word), Some(writer));
                    words[word as usize] = sequence;
                }
                for word in (0..WORDS as u32).filter(|&word| layout.writer_of(word) == Some(writer)) {
                    prop_assert_eq!(layout.expected(word, writes), words[word as usize], "word {}", word);
                }
            }
        }

        /// A reader that reads words in any order, while the writer goes on, reports no mistake.
        /// Once the reader has seen a later write, it reports each word that a skipped copy has set
        /// back to an earlier moment.
        #[test]
        fn a_reader_accepts_every_order_and_refuses_every_lost_write(
            writers in 1u32..8,
            writes in 200u32..900,
            looks in prop::collection::vec((0u32..512, 0u32..30), 1..60),
        ) {
            let layout = Layout::new(writers);
            let value = |word: u32, writes: u32| match layout.expected(word, writes) {
                0 => 0,
                sequence => Stamp { page: 7, word, writer: word % writers, sequence }.encode(),
            };
            let mut seen = Seen::new(layout, 0, 8);
            let mut now = writes;
            for (word, progress) in looks {
                if layout.writer_of(word).is_some() {
                    seen.check(7, word, value(word, now)).unwrap();
                    check_exact(layout, 7, word, value(word, now), now).unwrap();
                }
                now += progress;
            }
            // The reader has seen the newest write of writer 0.
            let newest = layout.word(0, now);
            seen.check(7, newest, value(newest, now)).unwrap();
            for word in (0..512).filter(|&word| layout.writer_of(word) == Some(0)) {
                let lost = layout.expected(word, writes / 2) != layout.expected(word, now);
                prop_assert_eq!(seen.clone().check(7, word, value(word, writes / 2)).is_err(), lost);
            }
        }
    }

    #[test]
    fn each_kind_of_wrong_content_is_named() {
        let layout = Layout::new(2);
        let stamp = |page, sequence| {
            let word = layout.word(1, sequence);
            (word, Stamp { page, word, writer: 1, sequence }.encode())
        };
        let (word, fifth) = stamp(3, 5);
        let wrong = |value, writes| check_exact(layout, 3, word, value, writes).unwrap_err().wrong;
        assert_eq!(wrong(0, 5), Wrong::Empty { writer: 1, expected: 5 });
        assert_eq!(wrong(fifth ^ 1, 5), Wrong::Garbage);
        assert_eq!(wrong(stamp(4, 5).1, 5), Wrong::Elsewhere { page: 4, word, writer: 1 });
        assert_eq!(wrong(fifth, 5 + 256), Wrong::Old { writer: 1, found: 5, expected: 261 });
        assert_eq!(wrong(fifth, 4), Wrong::Future { writer: 1, found: 5 });
    }
}
