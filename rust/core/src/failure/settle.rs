//! The end of an injected fault: references go, and failures that were only flagged are handled.

use super::Signal;
use super::contain::Cause;
use crate::inject::Left;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;

impl<R: Release> Machine<R> {
    /// Ends what a plan has left behind: puts its references, then has the failures of its frames handled, as
    /// [`Machine::memory_failure`] does once a frame is flagged. Who was told, in order. Waits for page locks if frames
    /// are bad.
    ///
    /// A frame whose poison was taken off, or which somebody else has handled meanwhile, is left alone.
    pub fn settle(&self, left: Left) -> Vec<Signal> {
        left.references.into_iter().for_each(|head| self.put_page(head));
        left.bad.into_iter().flat_map(|pfn| self.fail_flagged(pfn)).collect()
    }

    /// A frame is flagged as bad and counted; nothing else has happened to it. False if it was already. The caller has
    /// the mutex of failures.
    pub(crate) fn flag_failed(&self, pfn: Pfn) -> bool {
        let flagged = self.frames[pfn].poison();
        if flagged {
            self.count_poisoned(pfn, Cause::Hard, false);
        }
        flagged
    }

    fn fail_flagged(&self, pfn: Pfn) -> Vec<Signal> {
        {
            let _serial = self.failure.mutex.lock();
            let loose = self.failure.books.lock().loose.contains_key(&pfn);
            if !loose || !self.frames[pfn].word().has(Flags::HWPOISON) {
                return Vec::new();
            }
            // Counted anew by whatever the failure comes to.
            self.uncount_poisoned(pfn);
        }
        self.fail_with(pfn, super::hard::Found::Flagged, None).signals
    }
}
