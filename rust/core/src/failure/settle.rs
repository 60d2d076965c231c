//! Ends an injected fault: puts its references, and handles the failures that were only flagged.

use super::Signal;
use crate::inject::Left;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;

impl<R: Release> Machine<R> {
    /// Ends a plan: puts the plan's references, then handles the failures of
    /// its frames, as [`Machine::memory_failure`] does once a frame is flagged. Returns the signals
    /// that were sent, in order. Waits for page locks if frames are bad.
    ///
    /// A frame that was unpoisoned or handled by another thread meanwhile is left alone.
    pub fn settle(&self, left: Left) -> Vec<Signal> {
        left.references.into_iter().for_each(|head| self.put_page(head));
        left.bad.into_iter().flat_map(|pfn| self.fail_flagged(pfn)).collect()
    }

    fn fail_flagged(&self, pfn: Pfn) -> Vec<Signal> {
        {
            let _serial = self.failure.mutex.lock();
            let unheld = self.failure.books.lock().unheld.contains_key(&pfn);
            if !unheld || !self.frames[pfn].word().has(Flags::HWPOISON) {
                return Vec::new();
            }
            // The frame is uncounted here; the handling below counts it again by its result.
            self.failure.uncount(pfn);
        }
        self.fail_with(pfn, super::hard::Found::Flagged, None).signals
    }
}
