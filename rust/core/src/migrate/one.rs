//! Runs the steps for one page, numbered as in the table at the head of [`super`] (lifecycle 6.3).

use super::{Mode, Outcome, Reason, Target};
use crate::calls::{Call, Returned};
use crate::error::Errno;
use crate::machine::Machine;
use crate::owner::OwnerId;
use crate::page::{Flags, Folio, PIN, Page, Pfn, Word, reckon};
use crate::pressure::state::context;
use crate::profile::{CallNames, CopyOrder, MigrationOrder};
use crate::release::Release;
use crate::sync::{Mutation, broken, in_order, mutated};

/// Flags that are copied from the source to the destination.
const COPIED: Flags = Flags::REFERENCED
    .union(Flags::UPTODATE)
    .union(Flags::WORKINGSET)
    .union(Flags::DIRTY)
    .union(Flags::SWAPBACKED)
    .union(Flags::ANON)
    .union(Flags::MAPPEDTODISK)
    .union(Flags::IDLE)
    .union(Flags::YOUNG);

/// Flags that are set on the destination and cleared on the source.
const MOVED: Flags = Flags::ACTIVE.union(Flags::UNEVICTABLE);

/// Flags that belong to a frame, a list or an entry, not to the page: they stay with the source
/// (`RECLAIM` in some kernels only). The set is written out and not derived from the flags that
/// move, so that a check can compare the two.
const STAY: Flags = Flags::LOCKED
    .union(Flags::WAITERS)
    .union(Flags::LRU)
    .union(Flags::MLOCKED)
    .union(Flags::WRITEBACK)
    .union(Flags::PRIVATE)
    .union(Flags::SWAPCACHE)
    .union(Flags::RECLAIM)
    .union(Flags::ISOLATED)
    .union(Flags::MOVABLE)
    .union(Flags::RESERVED)
    .union(Flags::HWPOISON)
    .union(Flags::ERROR)
    .union(Flags::ANON_EXCLUSIVE)
    .union(Flags::HEAD)
    .union(Flags::TAIL)
    .union(Flags::BUDDY)
    .union(Flags::OWNER_PRIVATE)
    .union(Flags::HAS_HWPOISONED)
    .union(Flags::REFUSED);

/// A source and its destination. Both are locked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub src: Pfn,
    pub dst: Pfn,
    /// The order of both pages.
    pub order: u8,
    /// Entries mapped the source before step 6.
    pub was_mapped: bool,
    /// The source was mlocked, so the destination must be on a list when its entries mlock it.
    pub was_mlocked: bool,
    pub movable: bool,
    /// The source was in a cache when its migration began. It may have left the cache since.
    cached: bool,
    /// The destination has the bytes already ([`Machine::copy_ahead`]).
    copied: bool,
    /// The result of the last attempt at steps 8 to 12; `Again` before the first.
    pub moved: Result<Outcome, Stop>,
}

impl Pair {
    /// The source as a whole page.
    #[inline]
    pub fn source(&self) -> Folio {
        Folio { head: self.src, large: self.order > 0 }
    }
}

/// The reason why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Another thread is in the way; the next attempt may succeed.
    Again,
    /// The page cannot move; further attempts are useless.
    Failed,
    /// There is no frame to move to.
    NoMemory,
    /// The large page waits to be split, so its parts should move instead.
    InParts,
}

impl<T> Returned for Result<T, Stop> {
    fn ret(&self) -> i32 {
        match self {
            Ok(_) => 0,
            Err(Stop::Again | Stop::InParts) => Errno::EAGAIN.status(),
            Err(Stop::Failed) => Errno::EBUSY.status(),
            Err(Stop::NoMemory) => Errno::ENOMEM.status(),
        }
    }
}

/// The moment at which the bytes of a page are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copying {
    /// Before the mapping is switched.
    BeforeCommit,
    /// After the mapping is switched.
    AfterCommit,
    /// After the destination is mapped: a defect.
    AfterRestore,
}

impl Stop {
    /// The page's outcome, if this attempt was the last one.
    pub fn outcome(self) -> Outcome {
        match self {
            Stop::Again | Stop::InParts => Outcome::Again,
            Stop::Failed => Outcome::Refused,
            Stop::NoMemory => Outcome::NoMemory,
        }
    }
}

/// The result of steps 1 to 5 for a page.
#[derive(Clone, Copy, Debug)]
pub(super) enum LockOutcome {
    /// The page and its destination are locked.
    Locked(Pair),
    /// The page had no users any more and is freed. Holds the number of its base pages.
    WasFreed(u32),
}

impl<R: Release> Machine<R> {
    /// Steps 1 to 5: the page and its destination are locked. Waits only with `force`, and only for events
    /// that `mode` allows.
    // Inlined, because a call would copy the pair, and cost a migrated page more than the step.
    #[inline(always)]
    pub(super) fn migrate_lock(
        &self,
        src: Pfn,
        target: Target<'_>,
        mode: Mode,
        force: bool,
        reason: Reason,
    ) -> Result<LockOutcome, Stop> {
        reckon::tried(&self.frames, src);
        let page = &self.frames[src];
        let word = page.word();
        // 1. Only the isolation holds the page, so its users have freed it.
        if word.count() == 1 && (!word.has(Flags::ISOLATED) || self.profile.freed_movable_checked) {
            let pages = 1u32 << page.order();
            page.clear(MOVED);
            reckon::has_left(page);
            match word.has(Flags::ISOLATED) {
                true => self.end_isolation(src),
                false => self.count_isolated_for(src, reason),
            }
            self.stats.has_moved(i64::from(pages));
            // Memory failure puts the isolation's reference itself, as after any success.
            if reason != Reason::MemoryFailure {
                self.put(src);
            }
            return Ok(LockOutcome::WasFreed(pages));
        }
        // A part of the large page is bad, and its bytes must not be read.
        if word.has(Flags::HAS_HWPOISONED) {
            return Err(Stop::Failed);
        }
        let folio = Folio { head: src, large: word.has(Flags::HEAD) };
        if self.profile.migration_splits_queued
            && folio.large
            && self.may_split(src, reason)
            && self.frames.waits_for_split(folio)
        {
            return Err(Stop::InParts);
        }
        // 2. The destination is allocated.
        let dst = target.get_new_page(src).ok_or(Stop::NoMemory)?;
        if word.has(Flags::HEAD) && self.frames[dst].order() != page.order() {
            // The allocator of destinations does not know large pages.
            self.discard_target(dst, target);
            return Err(Stop::NoMemory);
        }
        // Steps 3 to 5.
        if let Err(stop) = self.lock_pair((page, src), dst, mode, force) {
            self.discard_target(dst, target);
            return Err(stop);
        }
        let movable = page.word().has(Flags::ISOLATED);
        let was_mlocked = word.has(Flags::MLOCKED);
        let cached = word.any(Flags::FILE | Flags::SWAPCACHE);
        Ok(LockOutcome::Locked(Pair {
            src,
            dst,
            order: page.order(),
            was_mapped: false,
            was_mlocked,
            movable,
            cached,
            copied: false,
            moved: Err(Stop::Again),
        }))
    }

    /// Steps 3 to 5: takes the locks of both pages and leaves them to the caller. On an error
    /// neither lock is held.
    #[inline]
    fn lock_pair(&self, (page, src): (&Page, Pfn), dst: Pfn, mode: Mode, force: bool) -> Result<(), Stop> {
        // 3. The source is locked. An asynchronous migration never waits for the lock.
        let locked = match page.try_locked(src) {
            Some(locked) => locked,
            None => {
                // In kernels with batches, `SyncLight` waits for locks that are held for a short
                // time. The lock of a page that is not up to date is held until a device has read
                // it, which takes too long.
                let reads = mode == Mode::SyncLight
                    && self.profile.migration == MigrationOrder::Batched
                    && !page.word().has(Flags::UPTODATE);
                // A thread that compacts for an allocation may hold the lock itself.
                if mode == Mode::Async || !force || reads || self.pressure.is_in(context::ALLOCATES) {
                    return Err(Stop::Again);
                }
                page.locked(src)
            }
        };
        // 4. The migration waits until the device has written the page: until then the device reads
        // the source frame.
        if page.word().has(Flags::WRITEBACK) {
            if mode != Mode::Sync || !force {
                return Err(if mode == Mode::Sync { Stop::Again } else { Stop::Failed });
            }
            page.wait_writeback();
        }
        // 5. The destination is locked by trylock. It is a fresh page, so only a thread that still
        // looks at its frame by number can hold the lock.
        if !self.frames[dst].trylock() {
            return Err(Stop::Again);
        }
        locked.keep();
        Ok(())
    }

    /// Returns true if a large page may be split when it cannot move as a whole. A page that
    /// follows its users is not split: in parts it is worth less to them. Memory failure hands over
    /// one page and expects no parts on its list. A movable page outside of the LRU is one page to
    /// its owner.
    pub(super) fn may_split(&self, head: Pfn, reason: Reason) -> bool {
        let page = &self.frames[head];
        !matches!(reason, Reason::NumaMisplaced | Reason::MemoryFailure)
            && page.word().has(Flags::HEAD)
            && !page.word().has(Flags::ISOLATED)
    }

    /// Step 8, the commit point: from now on each lookup of the page finds the destination
    /// (lifecycle 6.4).
    #[inline(always)]
    pub(super) fn commit(&self, &Pair { src, dst, copied, .. }: &Pair) -> Result<(), Stop> {
        let (from, to) = (&self.frames[src], &self.frames[dst]);
        from.expect_locked();
        to.expect_locked();
        let word = from.word();
        match word {
            _ if word.has(Flags::FILE) => self.commit_file(src, dst),
            _ if word.has(Flags::SWAPCACHE) => self.commit_swapped(src, dst),
            _ => self.commit_anon(from, to, (src, dst), copied),
        }?;
        // Another thread may mark the page accessed, before its count is compared or after it can
        // be found again, so these flags may differ.
        self.expect_flags(word, Flags::REFERENCED | Flags::ACTIVE | Flags::IDLE, dst);
        Ok(())
    }

    /// Checks that the destination has every flag of the source's `word` that moves, except those
    /// that other threads may have changed.
    fn expect_flags(&self, word: Word, changing: Flags, dst: Pfn) {
        if cfg!(feature = "explored") {
            let has = self.frames[dst].word();
            if !has.has(word.flags().difference(STAY.union(changing))) {
                broken("a migrated page keeps its flags", format_args!("{word} became {has}"));
            }
        }
    }

    /// Commits a page that is in no cache. A thread can find the source only by its frame number,
    /// and takes a reference then. So comparing the count is enough, and the page need not be
    /// frozen. The bytes may have been `copied` before.
    #[inline(always)]
    fn commit_anon(&self, from: &Page, to: &Page, (src, dst): (Pfn, Pfn), copied: bool) -> Result<(), Stop> {
        // The isolation's reference.
        const EXPECTED: u32 = 1;
        let compare = |count: u32| match count == EXPECTED || mutated(Mutation::CountNotCompared) {
            true => Ok(()),
            false => Err(Stop::Again),
        };
        let copying = self.copying();
        // Without bytes nothing is copied, but a recording shows the copy, and an injected fault strikes it.
        let copies = !copied && (self.memory.is_backed() || self.records_calls());
        if copies && self.profile.copy == CopyOrder::BeforeCommit {
            // The count is compared before the copy too, so that a page that cannot be switched is
            // not copied in vain.
            compare(from.count())?;
            if copying == Copying::BeforeCommit {
                self.copy_traced(src, dst, || self.copy_parts(src, dst))?;
            }
        }
        let switch = Call::MigrateMapping { expected: EXPECTED, extra: 0 };
        let word = self.traced(switch, src, || {
            let word = from.word();
            compare(word.count()).map(|()| word)
        })?;
        if copying == Copying::AfterCommit {
            self.copy_parts(src, dst);
        }
        let name = || to.set_owner(from.owner(), from.index());
        in_order(Mutation::AnonBeforeOwner, name, || self.move_flags(word, from, to));
        // Only the isolation holds a reference, so no other thread changes a flag any more.
        self.expect_flags(word, Flags::empty(), dst);
        Ok(())
    }

    /// Copies the bytes of a page, part by part.
    #[inline]
    pub(super) fn copy_parts(&self, src: Pfn, dst: Pfn) {
        if !self.memory.is_backed() {
            return;
        }
        self.memory.copy_pages(self.frames.parts(src).zip(self.frames.parts(dst)));
    }

    /// Copies the bytes of pages that step 8 will switch next, back to back, and notes in each pair
    /// whether its bytes were copied. An atomic operation between two copies would wait for the
    /// streaming stores of the first one, so copies that alternate with commits are slower.
    ///
    /// The condition is that of the copy in [`Machine::commit_anon`]: only the isolation holds the page,
    /// which is locked, unmapped and flushed, so no thread stores to it. A cache would hold a reference
    /// of its own. The switch compares the count again; a thread that has taken a reference meanwhile
    /// makes the switch fail, and the next attempt copies the page anew. A machine that records its
    /// calls copies each page within its commit, because the recorded kernels do.
    pub(super) fn copy_ahead(&self, pairs: &mut [Pair]) {
        let ahead = self.copying() == Copying::BeforeCommit && !self.records_calls();
        for pair in &mut *pairs {
            let alone = || self.frames[pair.src].count() == 1;
            pair.copied = ahead && !pair.movable && !pair.cached && alone();
        }
        let copied = pairs.iter().filter(|pair| pair.copied);
        self.memory
            .copy_pages(copied.flat_map(|pair| self.frames.parts(pair.src).zip(self.frames.parts(pair.dst))));
        // The copied bytes have pushed the records out of the first-level cache, and the next steps use them.
        for pair in &*pairs {
            self.frames.prefetch(pair.src);
            self.frames.prefetch(pair.dst);
        }
    }

    /// The moment at which the bytes of a page that is in no cache are copied: as the profile says,
    /// or late under the defect.
    pub(super) fn copying(&self) -> Copying {
        match self.profile.copy {
            _ if mutated(Mutation::CopyAfterRestore) => Copying::AfterRestore,
            CopyOrder::BeforeCommit => Copying::BeforeCommit,
            CopyOrder::AfterCommit => Copying::AfterCommit,
        }
    }

    /// Copies a page before the switch. If the copy meets a machine check (`folio_mc_copy`),
    /// nothing has been switched, and the page cannot move.
    #[inline]
    fn copy_traced(&self, src: Pfn, dst: Pfn, copy: impl FnOnce()) -> Result<(), Stop> {
        let copied = self.traced(Call::Copy, (src, dst), || match self.copy_strikes(src) {
            true => Err(Errno::EHWPOISON),
            false => {
                copy();
                Ok(())
            }
        });
        copied.map_err(|_| Stop::Failed)
    }

    /// Copies the bytes of a page that is in a cache, part by part.
    fn copy_cached_parts(&self, src: Pfn, dst: Pfn) {
        let parts = self.frames.parts(src).zip(self.frames.parts(dst));
        parts.for_each(|(src, dst)| self.memory.copy_cached_page(src, dst));
    }

    /// Copies the bytes of a page that is in a cache, before the switch.
    fn copy_cached(&self, src: Pfn, dst: Pfn) -> Result<(), Stop> {
        self.copy_traced(src, dst, || self.copy_cached_parts(src, dst))
    }

    /// Switches the slot of a cache from the source to the destination, unless the count is not as
    /// expected; `replace` returns whether it was.
    fn switch_cached(&self, src: Pfn, call: Call, replace: impl FnOnce() -> bool) -> Result<(), Stop> {
        self.traced(call, src, || match replace() {
            true => Ok(()),
            false => Err(Stop::Again),
        })
    }

    /// Commits a page of a file. Another thread can find the page in its file at any time, so the
    /// source is frozen while the slot is switched.
    fn commit_file(&self, src: Pfn, dst: Pfn) -> Result<(), Stop> {
        // The page lock keeps the page in its file, and the page keeps the file alive.
        let file = self.owners.file(OwnerId(self.frames[src].owner())).ok_or(Stop::Failed)?;
        let expected = self.cache_references(src);
        let switch = Call::MigrateMapping { expected, extra: 0 };
        match self.profile.copy {
            CopyOrder::BeforeCommit => {
                // The count is compared first, so that the page is not copied in vain. A thread
                // that gets the page during the copy only reads it, because stores need the page
                // lock or a mapping. Its reference makes the freeze fail.
                if self.frames[src].count() != expected {
                    return Err(Stop::Again);
                }
                self.copy_cached(src, dst)?;
                self.switch_cached(src, switch, || self.cache_replace(&file, src, dst))?;
            }
            CopyOrder::AfterCommit => {
                // With buffers (`buffer_migrate_folio`) the count is compared before anything is
                // switched.
                let page = &self.frames[src];
                if page.word().has(Flags::PRIVATE) && page.count() != expected {
                    return Err(Stop::Again);
                }
                self.switch_cached(src, switch, || self.cache_replace(&file, src, dst))?;
                // A thread that finds the destination waits for its lock, because the page is not
                // up to date yet.
                self.memory.copy_cached_page(src, dst);
            }
        }
        self.move_flags(self.frames[src].word(), &self.frames[src], &self.frames[dst]);
        Ok(())
    }

    /// Commits a page of the swap cache. Another thread can find it there at any time, as in a
    /// file.
    fn commit_swapped(&self, src: Pfn, dst: Pfn) -> Result<(), Stop> {
        let expected = self.swap_cache_references(src);
        let switch = Call::MigrateMapping { expected, extra: 0 };
        if self.profile.copy == CopyOrder::BeforeCommit {
            // The count is compared first, and threads that get the page during the copy only read
            // it, as in `commit_file`.
            if self.frames[src].count() != expected {
                return Err(Stop::Again);
            }
            self.copy_cached(src, dst)?;
        }
        self.switch_cached(src, switch, || self.swap_replace(src, dst))?;
        if self.profile.copy == CopyOrder::AfterCommit {
            // A thread that finds the destination waits for its lock.
            self.copy_cached_parts(src, dst);
        }
        self.move_flags(self.frames[src].word(), &self.frames[src], &self.frames[dst]);
        Ok(())
    }

    /// Sets on the destination the flags that move from a source with this word. Called after the
    /// bytes are there: once `UPTODATE` is set, threads read the destination without its lock.
    #[inline]
    fn move_flags(&self, word: Word, from: &Page, to: &Page) {
        let mark = if self.profile.reclaim_mark_moves { Flags::RECLAIM } else { Flags::empty() };
        to.publish(word.flags() & (COPIED | MOVED | mark));
        if word.any(MOVED) {
            from.clear(MOVED);
            reckon::has_left(from);
        }
    }

    /// Step 8 of a movable page outside of the LRU: the owner copies and switches it. Then steps 11
    /// and 12.
    pub(super) fn migrate_movable(
        &self,
        Pair { src, dst, .. }: Pair,
        mode: Mode,
        reason: Reason,
    ) -> Result<Outcome, Stop> {
        let page = &self.frames[src];
        // The owner may have freed the page while it was isolated. Then there is nothing to move,
        // and the destination is untouched. The owner has cleared the movable mark, or, where a put
        // looks for the mark, has put its reference, so that only the isolation's is left.
        let word = page.word();
        let wanted = word.has(Flags::MOVABLE) && word.count() > 1;
        // The owner does not compare the count, so it would not notice a pin.
        if wanted && word.count() >= PIN {
            return Err(Stop::Again);
        }
        // Under a sticky mark a page without an owner was released too.
        let ops = match wanted {
            true => self.driver(src),
            false => None,
        };
        if wanted && ops.is_none() && !self.mark_sticks() {
            return Err(Stop::Failed);
        }
        let moved = ops.is_some();
        if let Some(ops) = ops {
            self.may_ask("migration by the owner", src).map_err(|_| Stop::Failed)?;
            let again = |errno| match errno {
                Errno::EAGAIN => Stop::Again,
                _ => Stop::Failed,
            };
            match self.profile.call_names {
                CallNames::Pages => self
                    .traced(Call::MoveToNew, (src, dst), || ops.migrate(self, src, dst, mode))
                    .map_err(again),
                CallNames::Folios => ops.migrate(self, src, dst, mode).map_err(again),
            }?;
        }
        // `moved` was set before the target is unlocked, and decides here. Once the target is unlocked,
        // its owner may release it, so its flags no longer tell (kernel e0a352fabce6).
        if !moved && self.profile.unused_target_to_lru {
            self.frames[dst].unlock(dst);
            self.lru_add(dst);
            self.put(dst);
        } else {
            self.unlock_and_put(dst);
        }
        if mutated(Mutation::MovableInIsolated) {
            self.count_isolated(src, -1);
        }
        self.end_isolation(src);
        self.stats.has_moved(1);
        self.calls_on(Call::MigrateDone, src);
        if reason == Reason::MemoryFailure {
            // Memory failure puts the isolation's reference itself, as after any success.
            page.unlock(src);
        } else {
            // The source is put, under every release design: `finish` may put a page on the LRU,
            // where a movable page must never be.
            self.unlock_and_put(src);
        }
        Ok(if moved { Outcome::Moved(dst) } else { Outcome::Freed })
    }

    /// Undoes steps 2 to 6, in reverse: mappings, locks, destination. The source stays isolated.
    #[cold]
    pub(super) fn migrate_undo(&self, pair: Pair, target: Target<'_>) {
        self.calls_on(Call::MigrateUndoSrc { was_mapped: pair.was_mapped, locked: true }, pair.src);
        if pair.was_mapped && !mutated(Mutation::UndoForgetsMappings) {
            self.restore_mappings(pair.src, pair.src);
        }
        self.frames[pair.src].unlock(pair.src);
        match target.takes_back() {
            true => {
                self.frames[pair.dst].unlock(pair.dst);
                target.take_back(pair.dst);
            }
            false => self.unlock_and_put(pair.dst),
        }
    }

    /// Gives a destination that was not used back to its source, or puts it.
    #[cold]
    fn discard_target(&self, dst: Pfn, target: Target<'_>) {
        match target.takes_back() {
            true => target.take_back(dst),
            false => self.put(dst),
        }
    }

    /// Uncounts a source from `nr_isolated_*`, unless its caller does so itself.
    fn count_isolated_for(&self, src: Pfn, reason: Reason) {
        if uncounts_isolated(reason) {
            self.count_isolated(src, -1);
        }
    }
}

/// Returns true if the migration uncounts its sources from `nr_isolated_*`. Reclaim subtracts its isolated
/// pages itself, all at once; subtracting them here too would count them twice (kernel 35e41024c4c2).
#[inline]
pub(super) fn uncounts_isolated(reason: Reason) -> bool {
    reason != Reason::Demotion || mutated(Mutation::DemotionCountedTwice)
}
