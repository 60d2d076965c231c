//! Migrates a list of pages: passes, retries, batches (lifecycle 6.2, 6.9).

use super::one::{LockOutcome, Pair, Stop};
use super::{Mode, Outcome, Reason, Target};
use crate::calls::{Call, Returned};
use crate::error::Errno;
use crate::machine::Machine;
use crate::page::{Flags, HUGE_ORDER, Pfn, reckon};
use crate::pressure::state::context;
use crate::profile::{LargeMigration, MigrationOrder};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, broken, interrupted, mutated};
use std::slice;

/// The most pages, large or not, that are unmapped before the first of them moves
/// (`NR_MAX_BATCHED_MIGRATION`).
const BATCH: usize = 512;

/// Passes of an asynchronous batched migration (`NR_MAX_MIGRATE_PAGES_RETRY`).
const ASYNC_PASSES: u8 = 10;

/// The result of migrating a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Base pages that moved, or that their users had freed.
    pub succeeded: u32,
    /// Pages that were attempted and are left on the list, plus large pages that were split. 0 if
    /// the list is empty in the end.
    pub failed: u32,
    /// Base pages that were attempted and are left.
    pub failed_pages: u32,
    /// Large pages that were split during the migration.
    pub split: u32,
    /// Pages among the failed ones that cannot move, however often they are tried.
    pub refused: u32,
    /// Attempts that ended with `EAGAIN`.
    pub retries: u32,
    /// `ENOMEM` if the migration stopped early because there was no frame to move to, `EINTR` if it was
    /// interrupted.
    pub errno: Option<Errno>,
}

impl Returned for Migrated {
    fn ret(&self) -> i32 {
        Migrated::ret(self)
    }
}

impl Migrated {
    /// The return value of the kernel's functions: the number of pages left, or the errno that
    /// stopped the migration.
    pub fn ret(&self) -> i32 {
        self.errno.map_or(self.failed as i32, Errno::status)
    }

    fn add(&mut self, other: Migrated) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.failed_pages += other.failed_pages;
        self.split += other.split;
        self.refused += other.refused;
        self.retries += other.retries;
        self.errno = self.errno.or(other.errno);
    }
}

impl<R: Release> Machine<R> {
    /// Migrates isolated pages to frames that `target` allocates. Pages that could not move stay on
    /// `list`, still isolated: hand it to [`Machine::putback_movable_pages`].
    pub fn migrate_pages(
        &self,
        list: &mut Vec<Pfn>,
        target: Target<'_>,
        mode: Mode,
        reason: Reason,
    ) -> Migrated {
        self.traced(Call::MigratePages, (), || self.migrate_whole_list(list, target, mode, reason))
    }

    fn migrate_whole_list(
        &self,
        list: &mut Vec<Pfn>,
        target: Target<'_>,
        mode: Mode,
        reason: Reason,
    ) -> Migrated {
        let pages = list.len();
        reckon::note_migration_start(&self.frames, list);
        let mut total = Migrated::default();
        match self.profile.migration {
            MigrationOrder::OneByOne => total.add(self.migrate_one_by_one(list, target, mode, reason)),
            MigrationOrder::Batched => {
                let mut rest = std::mem::take(list).into_iter();
                while !rest.as_slice().is_empty() && total.errno.is_none() {
                    if interrupted() {
                        total.errno = Some(Errno::EINTR);
                        break;
                    }
                    let together = self.batch_of(rest.as_slice());
                    let mut batch: Vec<Pfn> = rest.by_ref().take(together).collect();
                    let mut parts = Vec::new();
                    total.add(match mode {
                        Mode::Async => {
                            self.migrate_batch(&mut batch, target, mode, reason, ASYNC_PASSES, &mut parts)
                        }
                        _ => self.traced(Call::MigratePagesSync, (), || {
                            self.migrate_batch_then_singly(&mut batch, target, mode, reason, &mut parts)
                        }),
                    });
                    list.append(&mut batch);
                    if total.errno.is_none() && !parts.is_empty() {
                        // The parts of a split page are tried once, without waiting. The large page
                        // has been counted as failed already, so `failed` is left out here.
                        let Migrated { succeeded, failed_pages, retries, .. } =
                            self.migrate_batch(&mut parts, target, Mode::Async, reason, 1, &mut Vec::new());
                        total.add(Migrated { succeeded, failed_pages, retries, ..Migrated::default() });
                    }
                    list.append(&mut parts);
                }
                list.extend(rest);
            }
        }
        if list.is_empty() {
            total.failed = 0;
        }
        // Without an error each page was attempted, and a page that is not on the list has moved. A
        // large page that failed counts once, but its parts may be on the list one by one.
        let tried = total.failed as usize == list.len() || total.split > 0 || total.errno.is_some();
        let gone = pages.saturating_sub(list.len());
        if cfg!(feature = "explored") && (!tried || (total.succeeded as usize) < gone) {
            broken(
                "a migration accounts for its list",
                format_args!("{pages} pages, {} left: {total:?}", list.len()),
            );
        }
        reckon::migration_ended(&self.frames, list, total.errno.is_none());
        self.stats.event(Event::PgmigrateSuccess, i64::from(total.succeeded));
        self.stats.event(Event::PgmigrateFail, i64::from(total.failed_pages));
        let Migrated { succeeded, failed_pages, .. } = total;
        self.calls(Call::MmMigratePages { succeeded, failed: failed_pages, mode, reason });
        total
    }

    /// Number of pages at the beginning of a list that are migrated together: up to the page with which they
    /// are [`BATCH`] base pages or more.
    fn batch_of(&self, list: &[Pfn]) -> usize {
        // All pages of a small machine fit into one batch.
        if (self.frames.len() as usize) < BATCH {
            return list.len();
        }
        let mut pages = 0;
        let last = list.iter().position(|&pfn| {
            pages += 1 << self.frames[pfn].order();
            pages >= BATCH
        });
        last.map_or(list.len(), |last| last + 1)
    }

    /// Splits an isolated large page that cannot move as a whole. The parts go to `parts`, each
    /// isolated (`try_split_folio`). An asynchronous migration may hold the locks of other pages of
    /// its batch, and the caller of an allocation that migrates may hold other page locks. Neither
    /// waits for this page's lock.
    fn try_split(&self, head: Pfn, mode: Mode, parts: &mut Vec<Pfn>) -> bool {
        let page = &self.frames[head];
        match mode == Mode::Async || self.pressure.is_in(context::ALLOCATES) {
            true if !page.trylock() => return false,
            true => {}
            false => page.lock(),
        }
        let (huge, first) = (page.order() == HUGE_ORDER, parts.len());
        let split = self.split_to_list(head, parts).is_ok();
        page.unlock(head);
        if split {
            parts.insert(first, head);
            self.stats.event(Event::ThpMigrationSplit, huge.into());
        }
        split
    }

    /// Number of base pages on a list.
    fn base_pages(&self, list: &[Pfn]) -> u32 {
        list.iter().map(|&pfn| 1 << self.frames[pfn].order()).sum()
    }

    /// Counts pages that could not move as a whole.
    fn note_failed(&self, list: &[Pfn], result: &mut Migrated) {
        let huge = list.iter().filter(|pfn| self.frames[**pfn].order() == HUGE_ORDER).count();
        self.stats.event(Event::ThpMigrationFail, huge as i64);
        result.failed += list.len() as u32;
        result.failed_pages += self.base_pages(list);
    }

    /// Counts a page that has moved as a whole.
    fn note_moved(&self, order: u8, result: &mut Migrated) {
        result.succeeded += 1 << order;
        if order == HUGE_ORDER {
            self.stats.event(Event::ThpMigrationSuccess, 1);
        }
    }

    /// Migrates a batch in two rounds: first together, without waiting; then each page that is left
    /// over alone, in the mode that the caller wants. A page that the first round could not move is
    /// counted by the second round only.
    fn migrate_batch_then_singly(
        &self,
        list: &mut Vec<Pfn>,
        target: Target<'_>,
        mode: Mode,
        reason: Reason,
        parts: &mut Vec<Pfn>,
    ) -> Migrated {
        let mut total = self.migrate_batch(list, target, Mode::Async, reason, self.profile.passes, parts);
        if total.errno.is_some() {
            return total;
        }
        // Large pages that were split have failed for good; they are not attempted again as a
        // whole.
        total.failed = total.split;
        if !mutated(Mutation::FailuresCountedTwice) {
            total.failed_pages = 0;
        }
        total.refused = 0;
        let left = std::mem::take(list);
        let mut left = left.into_iter();
        for pfn in left.by_ref() {
            let mut single = vec![pfn];
            total.add(self.migrate_batch(&mut single, target, mode, reason, self.profile.sync_passes, parts));
            list.append(&mut single);
            if total.errno.is_some() {
                break;
            }
        }
        list.extend(left);
        total
    }

    /// Unmaps as many pages as possible, flushes the TLBs once, and moves the pages. Large pages
    /// that cannot move as a whole are split where that helps; their parts go to `parts`.
    fn migrate_batch(
        &self,
        list: &mut Vec<Pfn>,
        target: Target<'_>,
        mode: Mode,
        reason: Reason,
        passes: u8,
        parts: &mut Vec<Pfn>,
    ) -> Migrated {
        let call = Call::MigratePagesBatch { mode: mode as u8, passes };
        self.traced(call, (), || self.migrate_batch_steps(list, target, mode, reason, passes, parts))
    }

    fn migrate_batch_steps(
        &self,
        list: &mut Vec<Pfn>,
        target: Target<'_>,
        mode: Mode,
        reason: Reason,
        passes: u8,
        parts: &mut Vec<Pfn>,
    ) -> Migrated {
        let mut result = Migrated::default();
        let mut pairs: Vec<Pair> = Vec::with_capacity(list.len());
        // Pages that cannot move, in the order of the list.
        let mut failed: Vec<Pfn> = Vec::new();

        let mut untried = Vec::new();
        for pass in 0..passes {
            let mut again = Vec::new();
            // Pages from here on are locked and not unmapped yet.
            let mut mapped = pairs.len();
            let mut pages = std::mem::take(list).into_iter();
            let mut expected = 0;
            loop {
                if expected == 0 {
                    expected = self.expect_window(pages.as_slice(), target);
                }
                expected -= 1;
                let Some(src) = pages.next() else { break };
                // Steps 1 to 5.
                match self.migrate_lock(src, target, mode, true, reason) {
                    Ok(LockOutcome::Locked(pair)) => {
                        pairs.push(pair);
                        if self.ends_window(&pairs[mapped..]) {
                            mapped = self.unmap_from(mapped, &mut pairs, target, &mut again);
                        }
                    }
                    Ok(LockOutcome::WasFreed(pages)) => {
                        result.succeeded += pages;
                        target.ended(src, Outcome::Freed);
                    }
                    Err(Stop::InParts | Stop::NoMemory)
                        if self.may_split(src, reason) && self.try_split(src, mode, parts) =>
                    {
                        result.split += 1;
                    }
                    Err(stop) => {
                        target.ended(src, stop.outcome());
                        match stop {
                            Stop::Again | Stop::InParts => again.push(src),
                            Stop::Failed => {
                                result.refused += 1;
                                failed.push(src);
                            }
                            Stop::NoMemory => {
                                // No further page is unmapped; the pages unmapped so far still
                                // move.
                                result.errno = Some(Errno::ENOMEM);
                                failed.push(src);
                                untried.extend(pages.by_ref());
                            }
                        }
                    }
                }
            }
            self.unmap_from(mapped, &mut pairs, target, &mut again);
            *list = again;
            result.retries += list.len() as u32;
            if list.is_empty() || result.errno.is_some() || pass + 1 == passes {
                break;
            }
        }
        failed.append(list);

        if !pairs.is_empty() {
            // 7. One flush serves all pages of the batch, before any byte is copied.
            if !mutated(Mutation::CopyBeforeFlush) {
                self.tlb.flush();
            }
            let outcomes = target.wants_outcomes();
            for _ in 0..passes {
                let mut again = Vec::new();
                for window in self.windows(&mut pairs) {
                    if self.memory.is_backed() {
                        self.copy_ahead(window);
                    }
                    // Steps 8 to 12.
                    self.migrate_move(window, mode, reason);
                    for pair in &*window {
                        if outcomes {
                            target.ended(pair.src, pair.moved.unwrap_or_else(Stop::outcome));
                        }
                        match pair.moved {
                            Ok(_) => self.note_moved(pair.order, &mut result),
                            Err(Stop::Again) => again.push(*pair),
                            Err(_) => {
                                result.refused += 1;
                                if !mutated(Mutation::FailedCopyNotUndone) {
                                    self.migrate_undo(*pair, target);
                                }
                                failed.push(pair.src);
                            }
                        }
                    }
                }
                // Pages that may be tried again stay unmapped and locked, with the same
                // destination.
                pairs = again;
                result.retries += pairs.len() as u32;
                if pairs.is_empty() {
                    break;
                }
            }
            for pair in pairs {
                self.migrate_undo(pair, target);
                failed.push(pair.src);
            }
        }
        result.failed = result.split;
        self.note_failed(&failed, &mut result);
        if !mutated(Mutation::UntriedPagesForgotten) {
            failed.append(&mut untried);
        }
        *list = failed;
        result
    }

    /// Step 6 for the pairs from `first` on. A page that stays mapped is undone and goes to `again`. Returns
    /// the number of pairs.
    fn unmap_from(
        &self,
        first: usize,
        pairs: &mut Vec<Pair>,
        target: Target<'_>,
        again: &mut Vec<Pfn>,
    ) -> usize {
        self.migrate_unmap(&mut pairs[first..]);
        if pairs[first..].iter().any(|pair| self.stayed_mapped(pair)) {
            for pair in pairs.extract_if(first.., |pair| self.stayed_mapped(pair)) {
                self.migrate_undo(pair, target);
                target.ended(pair.src, Outcome::Again);
                again.push(pair.src);
            }
            // Entries of these pages were replaced for a while. A thread that has unmapped such a page
            // meanwhile found no entry to flush, so without this flush a processor could go on using the
            // entry from before.
            self.tlb.flush();
        }
        pairs.len()
    }

    /// Migrates each page through all steps before the next page begins; then, in the same way, the
    /// parts of the large pages that could not move as a whole.
    fn migrate_one_by_one(
        &self,
        list: &mut Vec<Pfn>,
        target: Target<'_>,
        mode: Mode,
        reason: Reason,
    ) -> Migrated {
        if self.profile.large_migration == LargeMigration::InParts {
            self.split_first(list, mode, reason);
        }
        let mut parts = Vec::new();
        let mut result = self.migrate_singly(list, target, mode, reason, &mut parts);
        if result.errno.is_none() && !parts.is_empty() {
            // The large page has been counted as failed already, so only the other figures of its
            // parts are added.
            let Migrated { succeeded, failed_pages, retries, refused, errno, .. } =
                self.migrate_singly(&mut parts, target, mode, reason, &mut Vec::new());
            result.add(Migrated { succeeded, failed_pages, retries, refused, errno, ..Migrated::default() });
        }
        list.append(&mut parts);
        result
    }

    /// Passes over the whole list several times, page by page. Large pages that find no frame are
    /// split; their parts go to `parts`.
    fn migrate_singly(
        &self,
        list: &mut Vec<Pfn>,
        target: Target<'_>,
        mode: Mode,
        reason: Reason,
        parts: &mut Vec<Pfn>,
    ) -> Migrated {
        let mut result = Migrated::default();
        let mut failed = Vec::new();
        let mut untried = Vec::new();
        for pass in 0..self.profile.passes {
            let mut again = Vec::new();
            let mut pages = std::mem::take(list).into_iter();
            while let Some(src) = pages.next() {
                if interrupted() {
                    result.errno = Some(Errno::EINTR);
                    untried.push(src);
                    untried.extend(pages);
                    break;
                }
                let order = self.frames[src].order();
                // Steps 1 to 6. From the fourth pass on the attempt may wait (`force`).
                let attempt = match self.migrate_lock(src, target, mode, pass > 2, reason) {
                    Ok(LockOutcome::WasFreed(pages)) => {
                        result.succeeded += pages;
                        target.ended(src, Outcome::Freed);
                        continue;
                    }
                    Ok(LockOutcome::Locked(mut pair)) => {
                        let window = slice::from_mut(&mut pair);
                        self.migrate_unmap(window);
                        // Step 7, also for a page of which only some entries were taken away.
                        self.tlb.flush();
                        if !self.stayed_mapped(&window[0]) {
                            // Steps 8 to 12.
                            self.migrate_move(window, mode, reason);
                        }
                        pair.moved.inspect_err(|_| self.migrate_undo(pair, target))
                    }
                    Err(Stop::InParts | Stop::NoMemory)
                        if self.may_split(src, reason) && self.try_split(src, mode, parts) =>
                    {
                        result.split += 1;
                        continue;
                    }
                    Err(stop) => Err(stop),
                };
                target.ended(src, attempt.unwrap_or_else(Stop::outcome));
                match attempt {
                    Ok(_) => self.note_moved(order, &mut result),
                    Err(Stop::Again | Stop::InParts) => again.push(src),
                    Err(Stop::Failed) => {
                        result.refused += 1;
                        failed.push(src);
                    }
                    Err(Stop::NoMemory) => {
                        result.errno = Some(Errno::ENOMEM);
                        failed.push(src);
                        untried.extend(pages.by_ref());
                    }
                }
            }
            *list = again;
            result.retries += list.len() as u32;
            if list.is_empty() || result.errno.is_some() {
                break;
            }
        }
        failed.append(list);
        result.failed = result.split;
        self.note_failed(&failed, &mut result);
        failed.append(&mut untried);
        *list = failed;
        result
    }

    /// Splits the large pages of a list. A page that another thread holds stays whole.
    fn split_first(&self, list: &mut Vec<Pfn>, mode: Mode, reason: Reason) {
        for pfn in std::mem::take(list) {
            if !self.may_split(pfn, reason) || !self.try_split(pfn, mode, list) {
                list.push(pfn);
            }
        }
    }

    /// Gives back every page that a migration left, to its list or its owner, and drops the
    /// isolations' references (`putback_movable_pages`).
    pub fn putback_movable_pages(&self, list: &mut Vec<Pfn>) {
        self.calls(Call::PutbackMovablePages);
        if mutated(Mutation::FirstPutBackOnly) {
            list.truncate(1);
        }
        let is_movable = |&pfn: &Pfn| {
            let word = self.frames[pfn].word();
            match mutated(Mutation::MovablePutOnLru) {
                // The defect asks whether the page could be isolated: it is movable, and only its
                // owner holds it.
                true => word.has(Flags::MOVABLE) && word.count() == 1,
                false => word.has(Flags::ISOLATED),
            }
        };
        for run in list.chunk_by(|before, after| !is_movable(before) && !is_movable(after)) {
            match run {
                [pfn] if is_movable(pfn) => self.putback_movable_page(*pfn),
                _ => self.putback_all(run),
            }
        }
        list.clear();
    }
}
