//! Takes a reference on the page behind a frame number (lifecycle 8.1).
//!
//! | found | outcome |
//! |---|---|
//! | on a list; movable, for soft offline | a reference |
//! | on the free lists | free, and no reference |
//! | in use, but not handleable (in a batch, isolated, a driver's, a table) | the batches are drained, and it is tried again; in the end `EIO` |
//! | on its way from or to the allocator | it is tried again; in the end `EIO` or `EBUSY` |

use crate::calls::Call;
use crate::error::{Errno, Error};
use crate::machine::Machine;
use crate::page::{Flags, Pfn, Word};
use crate::release::Release;
use crate::sync::{Mutation, mutated};

/// The state of the frame behind a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// The frame is free.
    Free,
    /// The frame is in use, and the caller holds a reference on its page now.
    InUse,
}

impl<R: Release> Machine<R> {
    /// Takes a reference, or finds that the frame is free (`get_hwpoison_page`). A caller that
    /// brings a reference (`counted`) keeps it on success; on an error it is put.
    pub(super) fn get_hwpoison_page(&self, pfn: Pfn, counted: bool, soft: bool) -> Result<Got, Errno> {
        // The per-CPU arrays are kept empty, so that a frame that is freed meanwhile goes to the
        // buddy lists, where it is found.
        let node = self.node_of(pfn);
        self.pcp_disable(node);
        let got = self.get_any_page(pfn, counted, soft);
        self.pcp_enable(node);
        self.returns(
            Call::GetHwpoisonPage,
            got.map_or_else(Errno::status, |got| i32::from(got == Got::InUse)),
        );
        got
    }

    fn get_any_page(&self, pfn: Pfn, mut counted: bool, soft: bool) -> Result<Got, Errno> {
        for retries_left in (0..=self.profile.poison_retries).rev() {
            if !counted {
                // The page's state is checked before a reference is taken, because some owners
                // expect theirs to be the only one.
                if !self.is_handleable(pfn, soft) && !self.is_free_buddy(pfn) {
                    if retries_left == 0 {
                        return Err(Errno::EIO);
                    }
                    self.shake_page(pfn);
                    continue;
                }
                if self.try_get_page(pfn).is_none() {
                    let taken = self.word_of(pfn).count() > 0;
                    match (taken, retries_left) {
                        // Another thread has allocated the frame.
                        (true, 0) => return Err(Errno::EBUSY),
                        (true, _) => continue,
                        (false, _) if self.is_free_buddy(pfn) => return Ok(Got::Free),
                        // Another thread is freeing the page.
                        (false, 0) => return Err(Errno::EIO),
                        (false, _) => continue,
                    }
                }
            }
            if self.is_handleable(pfn, soft) {
                return Ok(Got::InUse);
            }
            // The page cannot be handled in its present state, and this reference would keep the page
            // in that state. The reference is put, and the next round takes a new one.
            self.put_page(pfn);
            if retries_left == 0 {
                break;
            }
            self.shake_page(pfn);
            counted = false;
        }
        Err(Errno::EIO)
    }

    /// Returns true if memory failure can handle the page (`HWPoisonHandlable`).
    fn is_handleable(&self, pfn: Pfn, soft: bool) -> bool {
        let word = self.word_of(pfn);
        word.has(Flags::LRU) || (soft && self.profile.soft_offline_movable && word.has(Flags::MOVABLE))
    }

    /// The word of the page of which a frame is a part. Without a reference it may be out of date
    /// at once.
    fn word_of(&self, pfn: Pfn) -> Word {
        let part = &self.frames[pfn];
        self.frames.get(self.frames.head(pfn)).unwrap_or(part).word()
    }

    /// Splits a large page for a failure of its part `pfn` (`try_to_split_thp_page`). On success
    /// the caller's reference is on that part. A base page is left as it is. If the split fails,
    /// the reference stays where it was.
    pub(super) fn split_for_failure(&self, pfn: Pfn) -> Result<(), Error> {
        let folio = self.frames.folio(pfn);
        if !folio.large {
            return Ok(());
        }
        self.frames[folio.head].lock();
        let split = self.split_page(pfn);
        let locked = if mutated(Mutation::PinStaysOnHead) { folio.head } else { self.frames.head(pfn) };
        self.frames[locked].unlock(locked);
        split
    }

    /// Drains all LRU batches, because one of them may hold the page (`shake_page`).
    pub(super) fn shake_page(&self, pfn: Pfn) {
        self.calls_on(Call::ShakePage, pfn);
        self.calls(Call::LruAddDrainAll);
        self.lru_drain_all();
    }

    /// Like [`Machine::shake_page`], for hard failure, which the kernel records under another name.
    pub(super) fn shake_folio(&self, pfn: Pfn) {
        self.calls_on(Call::ShakeFolio, pfn);
        self.calls(Call::LruAddDrainAll);
        self.lru_drain_all();
    }
}
