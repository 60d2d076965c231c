//! The frames that the owner of a pool can read and write. The owner is written once for all
//! machines, so it reaches the machine of its pool through this view.

use crate::machine::Machine;
use crate::memory::WORDS;
use crate::page::{Pfn, Word};
use crate::release::Release;

/// The frames of a machine, as the owner of a pool sees them.
pub trait PageView {
    /// Returns true if the machine has a frame of this number.
    fn has(&self, pfn: Pfn) -> bool;

    /// Returns the node of a frame.
    fn node_of(&self, pfn: Pfn) -> usize;

    /// Returns the word of a frame's record: the count and the flags.
    fn page_word(&self, pfn: Pfn) -> Word;

    /// Returns a word of a frame's content. `word` counts modulo the number of words.
    fn load(&self, pfn: Pfn, word: usize) -> u64;

    /// Writes a word of a frame's content.
    fn store(&self, pfn: Pfn, word: usize, value: u64);

    /// Puts a reference of the owner.
    fn put(&self, pfn: Pfn);
}

impl<R: Release> PageView for Machine<R> {
    fn has(&self, pfn: Pfn) -> bool {
        self.frames().get(pfn).is_some()
    }

    fn node_of(&self, pfn: Pfn) -> usize {
        Machine::node_of(self, pfn)
    }

    fn page_word(&self, pfn: Pfn) -> Word {
        self.frames()[pfn].word()
    }

    fn load(&self, pfn: Pfn, word: usize) -> u64 {
        self.memory().load(pfn, word % WORDS)
    }

    fn store(&self, pfn: Pfn, word: usize, value: u64) {
        self.memory().store(pfn, word % WORDS, value);
    }

    fn put(&self, pfn: Pfn) {
        Machine::put(self, pfn);
    }
}
