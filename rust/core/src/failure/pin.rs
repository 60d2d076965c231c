//! A reference on whatever is behind a frame number (lifecycle 8.1).
//!
//! | found | outcome |
//! |---|---|
//! | on a list; movable, for soft offline | a reference |
//! | on the free lists | free, and no reference |
//! | in use, but by whom? (in a batch, isolated, a driver's, a table) | the batches are drained; then `EIO` |
//! | on its way from or to the allocator | again; then `EIO` or `EBUSY` |

use crate::calls::Call;
use crate::error::{Errno, Error};
use crate::machine::Machine;
use crate::page::{Flags, Pfn, Word};
use crate::release::Release;
use crate::sync::{Mutation, mutated};

/// Attempts after the first.
const RETRIES: u8 = 3;

/// What is behind the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// Nothing: the frame is free.
    Free,
    /// A page in use, on which the caller has a reference now.
    InUse,
}

impl<R: Release> Machine<R> {
    /// A reference, or the knowledge that the frame is free (`get_hwpoison_page`). A caller that brings one
    /// (`counted`) keeps it on success; on an error it is dropped.
    pub(super) fn get_hwpoison_page(&self, pfn: Pfn, counted: bool, soft: bool) -> Result<Got, Errno> {
        // So that a frame that is freed meanwhile shows up on the buddy lists.
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
        for retries_left in (0..=RETRIES).rev() {
            if !counted {
                // Looked at before a reference is taken: some owners take theirs for the only ones.
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
                        // Somebody allocated it.
                        (true, 0) => return Err(Errno::EBUSY),
                        (true, _) => continue,
                        (false, _) if self.is_free_buddy(pfn) => return Ok(Got::Free),
                        // Somebody frees it.
                        (false, 0) => return Err(Errno::EIO),
                        (false, _) => continue,
                    }
                }
            }
            if self.is_handleable(pfn, soft) {
                return Ok(Got::InUse);
            }
            // Ours keeps the page where it is: back with it, and the next round takes its own.
            self.put_page(pfn);
            if retries_left == 0 {
                break;
            }
            self.shake_page(pfn);
            counted = false;
        }
        Err(Errno::EIO)
    }

    /// Is the page one that memory failure knows how to handle (`HWPoisonHandlable`)?
    fn is_handleable(&self, pfn: Pfn, soft: bool) -> bool {
        let word = self.word_of(pfn);
        word.has(Flags::LRU) || (soft && word.has(Flags::MOVABLE))
    }

    /// The word of the page that a frame is part of, as it was a moment ago.
    fn word_of(&self, pfn: Pfn) -> Word {
        let part = &self.frames[pfn];
        self.frames.get(self.frames.head(pfn)).unwrap_or(part).word()
    }

    /// A large page has become base pages, of which `pfn` is one and has the caller's reference and no other
    /// (`try_to_split_thp_page`). Of a base page nothing is left to do; the reference stays if that failed.
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

    /// Brings a page out of the batches (`shake_page`).
    pub(super) fn shake_page(&self, pfn: Pfn) {
        self.calls_on(Call::ShakePage, pfn);
        self.calls(Call::LruAddDrainAll);
        self.lru_drain_all();
    }

    /// The same, by hard failure.
    pub(super) fn shake_folio(&self, pfn: Pfn) {
        self.calls_on(Call::ShakeFolio, pfn);
        self.calls(Call::LruAddDrainAll);
        self.lru_drain_all();
    }
}
