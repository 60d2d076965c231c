//! A call that drains the batches before it gives up is refused by no batch.
//!
//! What keeps a page from being moved may be a reference that nobody means: that of a batch in which the
//! page waits. So move_pages and a lasting pin drain first. If one of them gives a page up that has been
//! waiting since before the call, nothing real stood in its way: alone, a moment later, it would succeed.
//!
//! Only the explored build knows when a page was queued.

use super::Session;
use crate::audit::Finding;
#[cfg(feature = "explored")]
use crate::page::Flags;
use crate::page::Pfn;
use crate::release::Release;

/// The rule.
#[cfg(feature = "explored")]
const REFUSED: &str = "no batch refuses a call that drains";

/// A call begins: the number of the next step, if steps have numbers.
pub(super) fn begins() -> Option<u32> {
    #[cfg(feature = "explored")]
    return crate::sync::explored::moment();
    #[cfg(not(feature = "explored"))]
    None
}

impl<R: Release> Session<R> {
    /// What is wrong, if anything, with a call that began at `began` and was refused these pages.
    pub(super) fn refused_for_a_batch(
        &self,
        began: Option<u32>,
        pages: impl IntoIterator<Item = Pfn>,
    ) -> Option<Finding> {
        #[cfg(feature = "explored")]
        {
            let began = began?;
            // A bad page is refused whatever it waits for.
            let bad = |pfn: Pfn| self.machine.frames()[pfn].word().has(Flags::HWPOISON);
            let pfn = pages.into_iter().find(|&pfn| !bad(pfn) && self.machine.waits_since(pfn, began))?;
            let detail = format!("it waits since before the call ({})", self.machine.frames()[pfn].word());
            Some(Finding { rule: REFUSED, pfn: Some(pfn), detail })
        }
        #[cfg(not(feature = "explored"))]
        {
            let _ = (began, pages);
            None
        }
    }
}
