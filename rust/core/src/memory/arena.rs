//! The bytes of frames, in reserved, lazily committed address space.

use super::copy::{Copier, CopyKind};
use super::table::{Table, Zeroable};
use crate::error::{Errno, Error, Result};
use crate::page::pfn::Pfn;
use crate::page::record::Page;
use crate::page::size::WORDS;
use crate::sync::{AtomicU64, Ordering};

// SAFETY: atomics of integers; zero is valid; nothing to drop.
unsafe impl Zeroable for Page {}

/// The bytes of every frame of a backed machine, or nothing for an unbacked one.
#[derive(Debug)]
pub struct Memory {
    words: Option<Table<AtomicU64>>,
    copier: Copier,
}

const FRAME_WORDS: usize = WORDS;

/// The words of a frame.
#[inline]
fn words_of(words: &Table<AtomicU64>, pfn: Pfn) -> &[AtomicU64] {
    let start = pfn.index() * FRAME_WORDS;
    &words[start..start + FRAME_WORDS]
}

impl Memory {
    /// Bytes for `frames` frames, which are copied in the way `kind`. `EINVAL` if the processor cannot
    /// copy in this way.
    pub fn backed(frames: u32, kind: CopyKind) -> Result<Memory> {
        let copier = Copier::new(kind).ok_or_else(|| {
            Error::new(Errno::EINVAL, format!("this processor cannot copy pages with {}", kind.name()))
        })?;
        Ok(Memory { words: Some(Table::zeroed(frames as usize * FRAME_WORDS)?), copier })
    }

    /// Memory without bytes, for a machine that has page records only.
    pub fn unbacked() -> Memory {
        Memory { words: None, copier: Copier::PLAIN }
    }

    /// True if the frames have bytes.
    #[inline]
    pub fn is_backed(&self) -> bool {
        self.words.is_some()
    }

    /// The words of a frame; `None` on an unbacked machine.
    #[inline]
    pub fn frame(&self, pfn: Pfn) -> Option<&[AtomicU64]> {
        self.words.as_ref().map(|words| words_of(words, pfn))
    }

    /// Loads one word for a user. Zero on an unbacked machine.
    #[inline]
    pub fn load(&self, pfn: Pfn, word: usize) -> u64 {
        // Relaxed: users' accesses race as on real hardware and order nothing.
        self.frame(pfn).map_or(0, |frame| frame[word].load(Ordering::Relaxed))
    }

    /// Stores one word for a user. Does nothing on an unbacked machine.
    #[inline]
    pub fn store(&self, pfn: Pfn, word: usize, value: u64) {
        if let Some(frame) = self.frame(pfn) {
            // Relaxed: as in `load`.
            frame[word].store(value, Ordering::Relaxed);
        }
    }

    /// Loads neighbouring words for a user. Zeroes on an unbacked machine.
    #[inline]
    pub fn load_words(&self, pfn: Pfn, first: usize, into: &mut [u64]) {
        match self.frame(pfn) {
            // Relaxed: as in `load`.
            Some(frame) => into.iter_mut().zip(&frame[first..]).for_each(|(value, word)| {
                *value = word.load(Ordering::Relaxed);
            }),
            None => into.fill(0),
        }
    }

    /// Stores neighbouring words for a user. Does nothing on an unbacked machine.
    #[inline]
    pub fn store_words(&self, pfn: Pfn, first: usize, from: &[u64]) {
        if let Some(frame) = self.frame(pfn) {
            // Relaxed: as in `load`.
            from.iter().zip(&frame[first..]).for_each(|(value, word)| word.store(*value, Ordering::Relaxed));
        }
    }

    /// Reports that a user has loaded or stored one word of [`Memory::frame`]. Only the explored
    /// build uses the report.
    #[inline(always)]
    pub fn used(&self, _pfn: Pfn, _word: usize, _stored: bool) {}

    /// Reports that a frame is about to be free. Only the explored build uses the report.
    #[inline(always)]
    pub fn retire(&self, _pfn: Pfn) {}

    /// Fills a frame with zeroes. No other thread can reach the frame (a fresh anonymous page).
    #[inline]
    pub fn zero_page(&self, pfn: Pfn) {
        if let Some(frame) = self.frame(pfn) {
            super::copy::zero(frame);
        }
    }

    /// True if a frame holds nothing but zeroes. No thread stores to the frame during the call.
    /// False on an unbacked machine, whose content is not known.
    pub fn is_zero(&self, pfn: Pfn) -> bool {
        // Relaxed: the caller has waited for every thread that stored to the frame.
        self.frame(pfn).is_some_and(|frame| frame.iter().all(|word| word.load(Ordering::Relaxed) == 0))
    }

    /// Copies a whole frame. The module's documentation lists what the caller has made sure of.
    #[inline]
    pub fn copy_page(&self, from: Pfn, to: Pfn) {
        self.copy_pages(std::iter::once((from, to)));
    }

    /// Copies whole frames, each `(from, to)`, one right after the other. The module's documentation
    /// lists what the caller has made sure of.
    #[inline]
    pub fn copy_pages(&self, pages: impl Iterator<Item = (Pfn, Pfn)>) {
        let Some(words) = &self.words else { return };
        let mut pages = pages.peekable();
        while let Some((from, to)) = pages.next() {
            let next = pages.peek().map_or(from, |&(next, _)| next);
            self.copier.copy(words_of(words, from), words_of(words, to), words_of(words, next));
        }
        self.copier.fence();
    }

    /// Copies a whole frame of a file's page. Other threads may read the source meanwhile, but no
    /// thread stores to it.
    #[inline]
    pub fn copy_cached_page(&self, from: Pfn, to: Pfn) {
        self.copy_page(from, to);
    }
}
