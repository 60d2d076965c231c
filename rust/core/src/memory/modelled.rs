//! Memory under the explorer and in weak-memory models: two words a frame, every user access an
//! atomic, and the copy of a migration a pair of watched, non-atomic accesses that no other may overlap.

use super::WORDS;
use crate::error::Result;
use crate::page::Pfn;
use crate::sync::{AtomicU64, Ordering, PlainU64};

/// A fixed array of default values.
#[derive(Debug)]
pub struct Table<T>(Box<[T]>);

impl<T: Default> Table<T> {
    /// `len` default values.
    pub fn zeroed(len: usize) -> Result<Table<T>> {
        Ok(Table((0..len).map(|_| T::default()).collect()))
    }

    /// Nothing to load early here.
    pub fn prefetch(&self, _index: usize) {}
}

impl<T> std::ops::Deref for Table<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

/// What a frame holds that nobody has written to since it was free: no program writes it.
const STALE: u64 = if cfg!(feature = "explored") { 0xdead_f00d_dead_f00d } else { 0 };

/// The words of every frame.
#[derive(Debug)]
pub struct Memory {
    words: Box<[AtomicU64]>,
    /// One watched cell a word, read by users' accesses of either kind and written by a copy: users
    /// may race with each other, but a copy that nothing orders with a user's access, or with
    /// another copy, is a data race.
    watch: Box<[PlainU64]>,
    /// As `watch`, for users' stores alone: a copy of a cached page races with them only.
    stores: Box<[PlainU64]>,
}

impl Memory {
    /// Words for `frames` frames.
    pub fn backed(frames: u32) -> Result<Memory> {
        let count = frames as usize * WORDS;
        Ok(Memory {
            words: (0..count).map(|_| AtomicU64::new(STALE)).collect(),
            watch: (0..count).map(|_| PlainU64::new(0)).collect(),
            stores: (0..count).map(|_| PlainU64::new(0)).collect(),
        })
    }

    /// The explored build has no unbacked machines: content is what it checks.
    pub fn unbacked() -> Memory {
        Memory { words: Box::default(), watch: Box::default(), stores: Box::default() }
    }

    /// Do frames have words?
    pub fn is_backed(&self) -> bool {
        !self.words.is_empty()
    }

    /// The words of a frame.
    pub fn frame(&self, pfn: Pfn) -> Option<&[AtomicU64]> {
        let start = pfn.index() * WORDS;
        self.words.get(start..start + WORDS)
    }

    /// A user's load of one word.
    pub fn load(&self, pfn: Pfn, word: usize) -> u64 {
        self.frame(pfn).map_or(0, |frame| {
            // Relaxed: users' accesses race as on real hardware and order nothing.
            let value = frame[word].load(Ordering::Relaxed);
            self.watch[pfn.index() * WORDS + word].get();
            value
        })
    }

    /// A user's store of one word.
    pub fn store(&self, pfn: Pfn, word: usize, value: u64) {
        if let Some(frame) = self.frame(pfn) {
            // Relaxed: as in `load`.
            frame[word].store(value, Ordering::Relaxed);
            self.watch[pfn.index() * WORDS + word].get();
            self.stores[pfn.index() * WORDS + word].get();
        }
    }

    /// A user has loaded or stored one word of [`Memory::frame`].
    pub fn used(&self, pfn: Pfn, word: usize, stored: bool) {
        if let Some(watch) = self.watch.get(pfn.index() * WORDS + word) {
            watch.get();
            if stored {
                self.stores[pfn.index() * WORDS + word].get();
            }
        }
    }

    /// The frame is about to be free: whoever used it must have ended, and nobody finds in it what was there.
    #[cfg(feature = "explored")]
    pub fn retire(&self, pfn: Pfn) {
        for (word, cell) in self.frame(pfn).into_iter().flatten().enumerate() {
            let place = pfn.index() * WORDS + word;
            self.watch[place].set(0);
            self.stores[place].set(0);
            cell.overwrite(STALE);
        }
    }

    /// Models watch less.
    #[cfg(not(feature = "explored"))]
    pub fn retire(&self, _pfn: Pfn) {}

    /// Fills a frame that nobody else can reach with zeroes.
    pub fn zero_page(&self, pfn: Pfn) {
        for word in 0..WORDS.min(self.words.len()) {
            self.store(pfn, word, 0);
        }
    }

    /// Is there nothing but zeroes in a frame that nobody stores to? Not known, hence no, of frames without words.
    pub fn is_zero(&self, pfn: Pfn) -> bool {
        self.is_backed() && (0..WORDS).all(|word| self.load(pfn, word) == 0)
    }

    /// Copies a frame word by word; a concurrent access to either frame is a race.
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

    /// Copies a frame of a file's page word by word; a concurrent store to either frame is a race, and a
    /// concurrent load of the target.
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

    /// Nothing to load early here.
    pub fn prefetch_page(&self, _pfn: Pfn) {}
}
