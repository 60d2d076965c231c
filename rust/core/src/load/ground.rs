//! A range of pages with the knowledge of one thread about them: the number of its own writes, and the
//! writes of other mutators that it has seen.

use super::content::{Layout, MAX_SEQUENCE, Seen, Stamp, Violation, check_exact};
use super::fault::{Finding, unless_interrupted};
use crate::machine::Machine;
use crate::map::{AddressSpace, Advice, Area};
use crate::memory::WORDS;
use crate::page::Pfn;
use crate::release::Release;
use std::sync::Arc;

/// The values that are common to all ranges of one mutator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub layout: Layout,
    /// The mutator's number as a writer.
    pub me: u32,
    /// True if the machine keeps the bytes of pages, so that contents can be checked.
    pub backed: bool,
}

impl Terms {
    /// Returns the place and the content of the mutator's write number `sequence` to a page.
    pub fn stamp(self, page: u32, sequence: u32) -> (u32, u64) {
        let word = self.layout.word(self.me, sequence);
        (word, Stamp { page, word, writer: self.me, sequence }.encode())
    }

    /// Checks a word of a page to which this mutator made `mine` writes and other writers none.
    pub fn check_private(self, page: u32, word: u32, value: u64, mine: u32) -> Result<(), Violation> {
        if !self.backed {
            return Ok(());
        }
        let own = self.layout.writer_of(word) == Some(self.me);
        check_exact(self.layout, page, word, value, if own { mine } else { 0 })
    }
}

/// A range of pages.
#[derive(Debug)]
pub(super) struct Ground {
    pub area: Arc<Area>,
    terms: Terms,
    /// The number of the range's first page among all pages of the load.
    first: u32,
    /// The mutator's own writes, by page.
    written: Vec<u32>,
    /// The writes of other mutators that this one has seen; `None` for a private range.
    seen: Option<Seen>,
}

impl Ground {
    /// Makes a range of pages that all mutators write to.
    pub fn shared(terms: Terms, area: &Arc<Area>, first: u32) -> Ground {
        let seen = Seen::new(terms.layout, first, area.pages());
        Ground { seen: Some(seen), ..Ground::private(terms, Arc::clone(area), first) }
    }

    /// Makes a range of pages that only one mutator uses.
    pub fn private(terms: Terms, area: Arc<Area>, first: u32) -> Ground {
        let written = vec![0; area.pages() as usize];
        Ground { area, terms, first, written, seen: None }
    }

    /// Returns the number of a page among all pages of the load.
    pub fn page(&self, index: u32) -> u32 {
        self.first + index
    }

    /// Returns the number of the mutator's own writes to a page.
    pub fn written(&self, index: u32) -> u32 {
        self.written[index as usize]
    }

    /// Makes the mutator's next write to a page. Returns the word and its content, or `None` if the
    /// mutator has made its last write to the page.
    #[inline]
    pub fn write<R: Release>(
        &mut self,
        machine: &Machine<R>,
        index: u32,
    ) -> Result<Option<(u32, u64)>, Finding> {
        let sequence = self.written(index) + 1;
        if sequence > MAX_SEQUENCE {
            return Ok(None);
        }
        let (word, value) = self.terms.stamp(self.page(index), sequence);
        machine.write_word(&self.area, index, word as usize, value).map_err(Finding::refused("a store"))?;
        self.written[index as usize] = sequence;
        Ok(Some((word, value)))
    }

    /// Reads and checks a word.
    #[inline]
    pub fn read<R: Release>(&mut self, machine: &Machine<R>, index: u32, word: u32) -> Result<(), Finding> {
        let value =
            machine.read_word(&self.area, index, word as usize).map_err(Finding::refused("a load"))?;
        Ok(self.check(index, word, value)?)
    }

    /// Checks the content of a word.
    #[inline]
    pub fn check(&mut self, index: u32, word: u32, value: u64) -> Result<(), Violation> {
        let Terms { layout, me, backed } = self.terms;
        let page = self.page(index);
        match &mut self.seen {
            _ if !backed => Ok(()),
            Some(seen) if layout.writer_of(word) != Some(me) => seen.check(page, word, value),
            _ => self.terms.check_private(page, word, value, self.written(index)),
        }
    }

    /// Drops a page of a private range. Its content is zero afterwards.
    pub fn forget<R: Release>(
        &mut self,
        machine: &Machine<R>,
        space: &AddressSpace,
        index: u32,
    ) -> Result<(), Finding> {
        let dropped = machine.madvise(space, &self.area, index..index + 1, Advice::Dontneed);
        dropped.map_err(Finding::refused("madvise"))?;
        self.written[index as usize] = 0;
        Ok(())
    }

    /// Reads and checks every word; returns the number of words.
    pub fn verify<R: Release>(&mut self, machine: &Machine<R>) -> Result<u64, Finding> {
        for index in 0..self.area.pages() {
            unless_interrupted()?;
            for word in 0..WORDS as u32 {
                self.read(machine, index, word)?;
            }
        }
        Ok(u64::from(self.area.pages()) * WORDS as u64)
    }

    /// Returns the frame of a page, if the page is mapped now.
    #[inline]
    pub fn frame<R: Release>(&self, machine: &Machine<R>, index: u32) -> Option<Pfn> {
        machine.page_at(&self.area, index)
    }
}
