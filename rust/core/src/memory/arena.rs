//! The bytes of frames, in reserved, lazily committed address space.

use super::table::{Table, Zeroable};
use crate::error::Result;
use crate::page::pfn::Pfn;
use crate::page::record::Page;
use crate::page::size::WORDS;
use crate::sync::{AtomicU64, Ordering};

// SAFETY: atomics of integers; zero is valid; nothing to drop.
unsafe impl Zeroable for Page {}

/// The bytes of every frame of a backed machine, or nothing for an unbacked one.
#[derive(Debug)]
pub struct Memory(Option<Table<AtomicU64>>);

const FRAME_WORDS: usize = WORDS;

impl Memory {
    /// Bytes for `frames` frames.
    pub fn backed(frames: u32) -> Result<Memory> {
        Ok(Memory(Some(Table::zeroed(frames as usize * FRAME_WORDS)?)))
    }

    /// Memory without bytes, for a machine that has page records only.
    pub fn unbacked() -> Memory {
        Memory(None)
    }

    /// True if the frames have bytes.
    #[inline]
    pub fn is_backed(&self) -> bool {
        self.0.is_some()
    }

    /// The words of a frame; `None` on an unbacked machine.
    #[inline]
    pub fn frame(&self, pfn: Pfn) -> Option<&[AtomicU64]> {
        let start = pfn.index() * FRAME_WORDS;
        self.0.as_ref().map(|words| &words[start..start + FRAME_WORDS])
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

    /// Whether a frame holds nothing but zeroes. No thread stores to the frame during the call.
    /// False on an unbacked machine, whose content is not known.
    pub fn is_zero(&self, pfn: Pfn) -> bool {
        // Relaxed: the caller has waited for every thread that stored to the frame.
        self.frame(pfn).is_some_and(|frame| frame.iter().all(|word| word.load(Ordering::Relaxed) == 0))
    }

    /// Copies a whole frame. The module's documentation lists what the caller has made sure of.
    #[inline]
    pub fn copy_page(&self, from: Pfn, to: Pfn) {
        if let (Some(from), Some(to)) = (self.frame(from), self.frame(to)) {
            super::copy::copy(from, to);
        }
    }

    /// Copies a whole frame of a file's page. Other threads may read the source meanwhile, but no
    /// thread stores to it.
    #[inline]
    pub fn copy_cached_page(&self, from: Pfn, to: Pfn) {
        self.copy_page(from, to);
    }

    /// Starts loading a frame into the cache that will be copied next.
    #[inline]
    pub fn prefetch_page(&self, pfn: Pfn) {
        if let Some(frame) = self.frame(pfn) {
            super::copy::prefetch_frame(frame);
        }
    }
}
