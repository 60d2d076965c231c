//! The rule that a call which drains the batches does not fail because of a batch.
//!
//! A page in a batch has a reference of the batch, which keeps it from being migrated although no
//! user holds it. So move_pages and a lasting pin drain first. If such a call fails on a page that
//! has been in a batch since before the call, the drain has missed the page, and no user was in the
//! way: without other threads, a second call would succeed.
//!
//! Only the explored build knows when a page was queued.

use super::Session;
use crate::audit::Finding;
#[cfg(feature = "explored")]
use crate::page::Flags;
use crate::page::Pfn;
use crate::release::Release;

/// The name of the rule.
#[cfg(feature = "explored")]
const REFUSED: &str = "a call that drains does not fail because of a batch";

/// Returns the number of the next step as the start of a call; `None` where steps have no numbers.
pub(super) fn call_start() -> Option<u32> {
    #[cfg(feature = "explored")]
    return crate::sync::explored::next_step();
    #[cfg(not(feature = "explored"))]
    None
}

impl<R: Release> Session<R> {
    /// Returns the finding, if any, for a call that began at `start` and failed on these pages.
    pub(super) fn refused_for_a_batch(
        &self,
        start: Option<u32>,
        pages: impl IntoIterator<Item = Pfn>,
    ) -> Option<Finding> {
        #[cfg(feature = "explored")]
        {
            // An operation in which a fault has struck may have failed because of the fault.
            let start = start.filter(|_| self.machine.next_fault().is_none_or(|struck| struck == 0))?;
            // A poisoned page is refused for its poison, in a batch or not.
            let bad = |pfn: Pfn| self.machine.frames()[pfn].word().has(Flags::HWPOISON);
            let pfn = pages.into_iter().find(|&pfn| !bad(pfn) && self.machine.waits_since(pfn, start))?;
            let word = self.machine.frames()[pfn].word();
            let detail = format!("the page has been in a batch since before the call ({word})");
            Some(Finding { rule: REFUSED, pfn: Some(pfn), detail })
        }
        #[cfg(not(feature = "explored"))]
        {
            let _ = (start, pages);
            None
        }
    }
}
