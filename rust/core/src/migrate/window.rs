//! Unmaps and moves windows of locked pages: step 6, and steps 8 to 12, of the table at the head of
//! [`super`], each for all pages of the window before the next step (lifecycle 6.3).
//!
//! Run page by page, the steps take and release the lock of an LRU batch and that of an array of free frames
//! for each page, and add to the same counters again and again. In a window one lock and one addition serve
//! many pages, and the records of the pages are in the cache from step to step.
//!
//! # What the order of the steps must keep
//!
//! * A page passes its own steps in the order of the table. All pages of the window are locked and unmapped
//!   until their steps 10 to 12, so a thread that waits for one of them may wait for the others too, but for
//!   nothing else.
//! * Once all steps have run, the lists, batches and free frames are as if the pages had moved one after the
//!   other. The batches get the destinations, and the allocator gets the sources, in the order of the
//!   pages. A page that drains the batch ends a run of step 9. A movable page outside of the LRU, which has
//!   no step 9 and frees its source in step 8, is a window of its own.
//! * A page that cannot be unmapped gives back its destination, which the next page then gets. A page that
//!   looks pinned therefore ends a window of step 6.
//! * A machine that records its calls moves each page alone. The recorded kernels do so, and the recorded
//!   calls show the order.

use super::one::{Copying, Pair, uncounts_isolated};
use super::{Mode, Outcome, Reason, Target};
use crate::calls::Call;
use crate::machine::Machine;
use crate::page::{Flags, Folio, PIN, Pfn};
use crate::release::Release;
use arrayvec::ArrayVec;
use std::slice;

/// The most pages of a window. Their records stay in the cache from step to step, and one fence serves all
/// their copies.
const WINDOW: usize = 64;

/// Flags of pages that may fail in steps 1 to 6, or that move to no base page.
const HARD_TO_MOVE: Flags = Flags::LOCKED
    .union(Flags::WRITEBACK)
    .union(Flags::ISOLATED)
    .union(Flags::HEAD)
    .union(Flags::HAS_HWPOISONED);

impl<R: Release> Machine<R> {
    /// The number of pages in a full window.
    fn window(&self) -> usize {
        if self.records_calls() { 1 } else { WINDOW }
    }

    /// Tells the source of destinations how many of the next pages will ask for a base page and keep it,
    /// unless another thread interferes. Returns the number of pages after which to look again, at least 1.
    ///
    /// A page that may give its destination back is not counted, nor are the pages after it, because the next
    /// page would get that destination.
    #[inline]
    pub(super) fn expect_window(&self, next: &[Pfn], target: Target<'_>) -> usize {
        let window = &next[..next.len().min(self.window())];
        if window.len() < 2 {
            return 1;
        }
        window.iter().for_each(|&pfn| self.frames.prefetch(pfn));
        let plain = |&pfn: &Pfn| {
            let word = self.frames[pfn].word();
            !word.any(HARD_TO_MOVE) && (2..PIN).contains(&word.count())
        };
        let pages = window.iter().take_while(|pfn| plain(pfn)).count();
        if pages > 1 {
            target.expect(pages);
        }
        pages.max(1)
    }

    /// Returns true if locked pages are to be unmapped before the next page is locked: they fill a window, or
    /// the last of them looks pinned, so that it may stay where it is.
    #[inline]
    pub(super) fn ends_window(&self, locked: &[Pair]) -> bool {
        locked.len() >= self.window()
            || locked.last().is_some_and(|pair| self.frames.may_be_pinned(pair.source()))
    }

    /// Step 6 for locked pages: every mapping becomes a migration entry.
    pub(super) fn migrate_unmap(&self, locked: &mut [Pair]) {
        let records = self.records_calls();
        for pair in &mut *locked {
            pair.was_mapped = !pair.movable && self.frames.folio_mapcount(pair.source()) > 0;
            if records && pair.was_mapped {
                self.calls_on(Call::TryToMigrate, pair.src);
            }
        }
        self.unmap_all_to_migration(locked.iter().filter(|pair| pair.was_mapped).map(|pair| pair.src));
    }

    /// Returns true if entries still map the source of a pair after step 6.
    #[inline]
    pub(super) fn stayed_mapped(&self, pair: &Pair) -> bool {
        pair.was_mapped && self.frames.folio_mapcount(pair.source()) > 0
    }

    /// Divides unmapped pages into windows.
    pub(super) fn windows<'a>(
        &self,
        pairs: &'a mut [Pair],
    ) -> impl Iterator<Item = &'a mut [Pair]> + use<'a, R> {
        let most = self.window();
        let alike = pairs.chunk_by_mut(|before, after| !before.movable && !after.movable);
        alike.flat_map(move |run| run.chunks_mut(most))
    }

    /// Steps 8 to 12 for a window; the result of each page is in its pair. The flush of step 7 is done, so no
    /// CPU writes to the sources.
    pub(super) fn migrate_move(&self, window: &mut [Pair], mode: Mode, reason: Reason) {
        match window {
            [pair] => {
                let (src, dst) = (pair.src, pair.dst);
                pair.moved = self.traced(Call::MigrateFolioMove, (src, dst), || match pair.movable {
                    true => self.migrate_movable(*pair, mode, reason),
                    false => {
                        self.move_window(slice::from_mut(pair), reason);
                        pair.moved
                    }
                });
            }
            _ => self.move_window(window, reason),
        }
    }

    #[inline]
    fn move_window(&self, window: &mut [Pair], reason: Reason) {
        // 8. Each page is copied and switched: the commit point.
        for pair in &mut *window {
            let (src, dst) = (pair.src, pair.dst);
            let switched = self.traced(Call::MoveToNew, (src, dst), || self.commit(pair));
            if switched.is_ok() {
                self.step_from_to("switched", src, dst);
            }
            pair.moved = switched.map(|()| Outcome::Moved(dst));
        }
        let moved = || window.iter().filter(|pair| pair.moved.is_ok());
        // 9. The destinations are queued for their lists before they are mapped: an entry in a locked area
        // mlocks its page, which must be in a batch or on a list by then.
        let drains = |pair: &Pair| {
            pair.was_mapped && (self.profile.drain_after_move || pair.was_mlocked) && pair.moved.is_ok()
        };
        for run in window.split_inclusive(drains) {
            let fresh = run.iter().filter(|pair| pair.moved.is_ok()).map(|pair| pair.dst);
            self.lru_add_all(&fresh.collect::<ArrayVec<Pfn, WINDOW>>());
            if run.last().is_some_and(drains) {
                self.lru_drain_local();
            }
        }
        // 10. The migration entries become mappings of the destinations.
        self.restore_all_mappings(moved().filter(|pair| pair.was_mapped).map(|pair| (pair.src, pair.dst)));
        for pair in moved() {
            let (src, dst) = (pair.src, pair.dst);
            if self.frames.waits_for_split(pair.source()) {
                self.queue_split(Folio { head: dst, large: true });
            }
            if self.copying() == Copying::AfterRestore {
                self.copy_parts(src, dst);
            }
            // 11. The mappings hold the destination now, so the reference of its allocation is put.
            self.unlock_and_put(dst);
        }
        // 12. The isolation's reference is a source's last one, and is put.
        if uncounts_isolated(reason) {
            self.count_isolated_all(moved().map(|pair| pair.src), -1);
        }
        moved().for_each(|pair| self.stats.has_moved(1 << pair.order));
        if self.records_calls() {
            moved().for_each(|pair| self.calls_on(Call::MigrateDone, pair.src));
        }
        match reason {
            Reason::MemoryFailure => moved().for_each(|pair| self.frames[pair.src].unlock(pair.src)),
            _ => self.finish_migrations(moved().map(|pair| pair.src)),
        }
    }
}
