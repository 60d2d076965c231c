//! Memory under the explorer and in weak-memory models. A frame has two words, and each access of a
//! user is an atomic. The copy of a migration is a pair of watched, non-atomic accesses, with which
//! no other access may overlap.

use super::copy::CopyKind;
use crate::error::Result;
use crate::page::pfn::Pfn;
use crate::page::size::WORDS;
use crate::sync::{AtomicU64, Ordering, PlainU64};

/// The content of a frame that no thread has written to since it was free. No program writes this
/// value, so a check recognises it.
const STALE: u64 = if cfg!(feature = "explored") { 0xdead_f00d_dead_f00d } else { 0 };

/// The words of every frame.
#[derive(Debug)]
pub struct Memory {
    words: Box<[AtomicU64]>,
    /// One watched cell for each word. Every access of a user reads the cell, so that users may
    /// race with each other. A copy writes the cell, so that a copy which nothing orders with a
    /// user's access, or with another copy, is a data race.
    watch: Box<[PlainU64]>,
    /// One cell for each word as in `watch`, but read by users' stores alone: a copy of a cached
    /// page may overlap with their loads.
    stores: Box<[PlainU64]>,
}

impl Memory {
    /// Words for `frames` frames. They are copied word by word, whatever the way `_kind`.
    pub fn backed(frames: u32, _kind: CopyKind) -> Result<Memory> {
        let count = frames as usize * WORDS;
        Ok(Memory {
            words: (0..count).map(|_| AtomicU64::new(STALE)).collect(),
            watch: (0..count).map(|_| PlainU64::new(0)).collect(),
            stores: (0..count).map(|_| PlainU64::new(0)).collect(),
        })
    }

    /// Memory without words. The explored build has no unbacked machines, because it checks the
    /// content of pages.
    pub fn unbacked() -> Memory {
        Memory { words: Box::default(), watch: Box::default(), stores: Box::default() }
    }

    /// True if the frames have words.
    pub fn is_backed(&self) -> bool {
        !self.words.is_empty()
    }

    /// The words of a frame.
    pub fn frame(&self, pfn: Pfn) -> Option<&[AtomicU64]> {
        let start = pfn.index() * WORDS;
        self.words.get(start..start + WORDS)
    }

    /// Loads one word for a user.
    pub fn load(&self, pfn: Pfn, word: usize) -> u64 {
        self.frame(pfn).map_or(0, |frame| {
            // Relaxed: users' accesses race as on real hardware and order nothing.
            let value = frame[word].load(Ordering::Relaxed);
            self.watch[pfn.index() * WORDS + word].get();
            value
        })
    }

    /// Stores one word for a user.
    pub fn store(&self, pfn: Pfn, word: usize, value: u64) {
        if let Some(frame) = self.frame(pfn) {
            // Relaxed: as in `load`.
            frame[word].store(value, Ordering::Relaxed);
            self.watch[pfn.index() * WORDS + word].get();
            self.stores[pfn.index() * WORDS + word].get();
        }
    }

    /// Loads neighbouring words for a user.
    pub fn load_words(&self, pfn: Pfn, first: usize, into: &mut [u64]) {
        into.iter_mut().zip(first..).for_each(|(value, word)| *value = self.load(pfn, word));
    }

    /// Stores neighbouring words for a user.
    pub fn store_words(&self, pfn: Pfn, first: usize, from: &[u64]) {
        from.iter().zip(first..).for_each(|(value, word)| self.store(pfn, word, *value));
    }

    /// Reports that a user has loaded or stored one word of [`Memory::frame`].
    pub fn used(&self, pfn: Pfn, word: usize, stored: bool) {
        if let Some(watch) = self.watch.get(pfn.index() * WORDS + word) {
            watch.get();
            if stored {
                self.stores[pfn.index() * WORDS + word].get();
            }
        }
    }

    /// Ends the use of a frame that is about to be free. An access that nothing orders before the
    /// call is a data race, and the content is overwritten, so that no later page finds it.
    #[cfg(feature = "explored")]
    pub fn retire(&self, pfn: Pfn) {
        for (word, cell) in self.frame(pfn).into_iter().flatten().enumerate() {
            let place = pfn.index() * WORDS + word;
            self.watch[place].set(0);
            self.stores[place].set(0);
            cell.overwrite(STALE);
        }
    }

    /// Does nothing: models of weak memory do not watch free frames.
    #[cfg(not(feature = "explored"))]
    pub fn retire(&self, _pfn: Pfn) {}

    /// Fills a frame with zeroes. No other thread can reach the frame.
    pub fn zero_page(&self, pfn: Pfn) {
        for word in 0..WORDS.min(self.words.len()) {
            self.store(pfn, word, 0);
        }
    }

    /// True if a frame holds nothing but zeroes. No thread stores to the frame during the call.
    /// False for frames without words, whose content is not known.
    pub fn is_zero(&self, pfn: Pfn) -> bool {
        self.is_backed() && (0..WORDS).all(|word| self.load(pfn, word) == 0)
    }

    /// Copies a frame word by word. A concurrent access to either frame is a data race.
    pub fn copy_page(&self, from: Pfn, to: Pfn) {
        if !self.is_backed() {
            return;
        }
        for word in 0..WORDS {
            let (source, target) = (from.index() * WORDS + word, to.index() * WORDS + word);
            self.store(to, word, self.load(from, word));
            self.watch[source].set(0);
            self.watch[target].set(0);
        }
    }

    /// Copies frames, each `(from, to)`, one after the other.
    pub fn copy_pages(&self, pages: impl Iterator<Item = (Pfn, Pfn)>) {
        pages.for_each(|(from, to)| self.copy_page(from, to));
    }

    /// Copies a frame of a file's page word by word. A concurrent store to either frame is a data
    /// race, and so is a concurrent load of the target.
    pub fn copy_cached_page(&self, from: Pfn, to: Pfn) {
        if !self.is_backed() {
            return;
        }
        for word in 0..WORDS {
            let (source, target) = (from.index() * WORDS + word, to.index() * WORDS + word);
            self.store(to, word, self.load(from, word));
            self.stores[source].set(0);
            self.watch[target].set(0);
        }
    }
}
