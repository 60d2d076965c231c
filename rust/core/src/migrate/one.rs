//! The steps for one page; numbers as in lifecycle 6.3.

use super::{Mode, Outcome, Reason, Target};
use crate::calls::Call;
use crate::error::Errno;
use crate::machine::Machine;
use crate::map::{File, SWAP_CACHE_REFERENCES};
use crate::owner::OwnerId;
use crate::page::{Flags, Folio, PIN, Pfn, Word};
use crate::profile::{CopyOrder, MigrationOrder};
use crate::release::Release;
use crate::sync::{Mutation, broken, mutated};

/// Copied from the source to the destination.
const COPIED: Flags = Flags::REFERENCED
    .union(Flags::UPTODATE)
    .union(Flags::WORKINGSET)
    .union(Flags::DIRTY)
    .union(Flags::SWAPBACKED)
    .union(Flags::ANON)
    .union(Flags::MAPPEDTODISK)
    .union(Flags::IDLE)
    .union(Flags::YOUNG);

/// Moved: set on the destination, cleared on the source.
const MOVED: Flags = Flags::ACTIVE.union(Flags::UNEVICTABLE);

/// What belongs to a frame, a list or an entry, not to the page: it stays behind (`RECLAIM` in some kernels only). Said
/// apart from what goes along, so that the one can be checked against the other.
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

/// A source and its destination, both locked, the source unmapped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub src: Pfn,
    pub dst: Pfn,
    was_mapped: bool,
    /// It was locked into memory: so must be the destination, as soon as it is mapped.
    was_mlocked: bool,
    movable: bool,
}

/// Why an attempt ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Somebody is in the way: worth another try.
    Again,
    /// Not this page, whatever we try.
    Failed,
    /// No frame to move to.
    NoMemory,
    /// A large page that waits to be split is worth moving in parts.
    InParts,
}

impl Stop {
    /// What the kernel's functions return for an attempt.
    fn ret<T>(attempt: Result<T, Stop>) -> i32 {
        match attempt {
            Ok(_) => 0,
            Err(Stop::Again | Stop::InParts) => Errno::EAGAIN.status(),
            Err(Stop::Failed) => Errno::EBUSY.status(),
            Err(Stop::NoMemory) => Errno::ENOMEM.status(),
        }
    }

    /// What it makes of the page, if it is the last attempt.
    pub fn outcome(self) -> Outcome {
        match self {
            Stop::Again | Stop::InParts => Outcome::Again,
            Stop::Failed => Outcome::Refused,
            Stop::NoMemory => Outcome::NoMemory,
        }
    }
}

/// What the first half made of a page.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unmapped {
    /// Ready to move.
    Ready(Pair),
    /// Its users had let go of it; it is freed. How many base pages it had.
    WasFreed(u32),
}

impl<R: Release> Machine<R> {
    /// Steps 1 to 7: everything up to the flush. Waits for what `mode` allows, and not before `force`.
    pub(super) fn migrate_unmap(
        &self,
        src: Pfn,
        target: Target<'_>,
        mode: Mode,
        force: bool,
        reason: Reason,
    ) -> Result<Unmapped, Stop> {
        let page = &self.frames[src];
        let word = page.word();
        // 2. Only the isolation holds it: everybody else has let go.
        if word.count() == 1 && !word.has(Flags::ISOLATED) {
            let pages = 1u32 << page.order();
            page.clear(MOVED);
            self.count_isolated_for(src, reason);
            self.stats.has_moved(i64::from(pages));
            // The caller's to put, as after any success.
            if reason != Reason::MemoryFailure {
                self.put(src);
            }
            return Ok(Unmapped::WasFreed(pages));
        }
        // A part of it is bad: what is in it must not be read.
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
        // 1. A frame to move to.
        let dst = target.get_new_page(src).ok_or(Stop::NoMemory)?;
        if word.has(Flags::HEAD) && self.frames[dst].order() != page.order() {
            // Whoever allocates does not know large pages.
            self.put(dst);
            return Err(Stop::NoMemory);
        }
        // 3. The source's lock; an asynchronous migration never waits for it.
        if !page.trylock() {
            // Since kernels have batches, a light one waits for locks that are held shortly, not for a read from a device.
            let reads = mode == Mode::SyncLight
                && self.profile.migration == MigrationOrder::Batched
                && !page.word().has(Flags::UPTODATE);
            if mode == Mode::Async || !force || reads {
                self.put(dst);
                return Err(Stop::Again);
            }
            page.lock();
        }
        // 4. The device still reads the frame.
        if page.word().has(Flags::WRITEBACK) {
            if mode != Mode::Sync || !force {
                page.unlock(src);
                self.put(dst);
                return Err(if mode == Mode::Sync { Stop::Again } else { Stop::Failed });
            }
            page.wait_writeback();
        }
        // 6. The destination's lock: it is fresh, so somebody in the way is a stale user.
        if !self.frames[dst].trylock() {
            page.unlock(src);
            self.put(dst);
            return Err(Stop::Again);
        }
        let movable = page.word().has(Flags::ISOLATED);
        let mut pair = Pair { src, dst, was_mapped: false, was_mlocked: word.has(Flags::MLOCKED), movable };
        // 7. Every mapping becomes a migration entry.
        if !movable && self.frames.folio_mapcount(folio) > 0 {
            pair.was_mapped = true;
            self.calls_on(Call::TryToMigrate, src);
            if !self.unmap_to_migration(src) {
                self.migrate_undo(pair);
                return Err(Stop::Again);
            }
        }
        Ok(Unmapped::Ready(pair))
    }

    /// May a large page be split if it does not move whole? Not one that follows its user about, for whom it is worth
    /// less in parts; nor one of memory failure, which knows of no other part. Of a page outside of the LRU its owner
    /// has but one.
    pub(super) fn may_split(&self, head: Pfn, reason: Reason) -> bool {
        let page = &self.frames[head];
        !matches!(reason, Reason::NumaMisplaced | Reason::MemoryFailure)
            && page.word().has(Flags::HEAD)
            && !page.word().has(Flags::ISOLATED)
    }

    /// Steps 8 to 13: the flush is done, nobody uses the source's bytes.
    pub(super) fn migrate_move(&self, pair: Pair, mode: Mode, reason: Reason) -> Result<Outcome, Stop> {
        self.calls_from_to(Call::MigrateFolioMove, pair.src, pair.dst);
        let moved = self.migrate_move_steps(pair, mode, reason);
        self.returns(Call::MigrateFolioMove, Stop::ret(moved));
        moved
    }

    fn migrate_move_steps(&self, pair: Pair, mode: Mode, reason: Reason) -> Result<Outcome, Stop> {
        let Pair { src, dst, was_mapped, movable, .. } = pair;
        if movable {
            return self.migrate_movable(pair, mode, reason);
        }
        // 8. Copy and switch: the commit point.
        self.calls_from_to(Call::MoveToNew, src, dst);
        let committed = self.commit(src, dst);
        self.returns_from_to(Call::MoveToNew, Stop::ret(committed), "switched", src, dst);
        committed?;
        // 11. On a list before it is mapped, so that mapping into a locked area finds it there.
        self.lru_add(dst);
        if was_mapped && (self.profile.drain_after_move || pair.was_mlocked) {
            self.lru_drain_local();
        }
        // 12. The mappings now lead to the destination.
        if was_mapped {
            self.restore_mappings(src, dst);
        }
        let folio = Folio { head: src, large: self.frames[src].word().has(Flags::HEAD) };
        if self.frames.waits_for_split(folio) {
            self.frames.queue_split(Folio { head: dst, large: true });
        }
        if mutated(Mutation::CopyAfterRestore) {
            self.copy_parts(src, dst);
        }
        // 13. The destination belongs to its mappings; the source's last reference is the isolation's.
        self.unlock_and_put(dst);
        self.count_isolated_for(src, reason);
        self.stats.has_moved(1 << self.frames[src].order());
        self.calls_on(Call::MigrateDone, src);
        if reason == Reason::MemoryFailure {
            self.frames[src].unlock(src);
        } else {
            self.finish_migration(src);
        }
        Ok(Outcome::Moved(dst))
    }

    /// The commit point: what finds the page from now on finds the destination (lifecycle 6.4).
    fn commit(&self, src: Pfn, dst: Pfn) -> Result<(), Stop> {
        self.frames[src].expect_locked();
        self.frames[dst].expect_locked();
        let word = self.frames[src].word();
        match word {
            _ if word.has(Flags::FILE) => self.commit_file(src, dst),
            _ if word.has(Flags::SWAPCACHE) => self.commit_swapped(src, dst),
            _ => self.commit_anon(src, dst),
        }?;
        // Who marks the page accessed, before its count was compared or once it can be found again, changes these.
        self.expect_flags(word, Flags::REFERENCED | Flags::ACTIVE | Flags::IDLE, dst);
        Ok(())
    }

    /// The destination has every flag of the source's `word` that moves, but for those which others may have changed.
    fn expect_flags(&self, word: Word, changing: Flags, dst: Pfn) {
        if cfg!(feature = "explored") {
            let has = self.frames[dst].word();
            if !has.has(word.flags().difference(STAY.union(changing))) {
                broken("a migrated page keeps its flags", format_args!("{word} became {has}"));
            }
        }
    }

    /// A page without a file behind it: nobody can find it but by its frame number, and such a look
    /// holds a reference. So the count decides, and nothing is frozen.
    fn commit_anon(&self, src: Pfn, dst: Pfn) -> Result<(), Stop> {
        let (from, to) = (&self.frames[src], &self.frames[dst]);
        // The isolation's.
        const EXPECTED: u32 = 1;
        if self.profile.copy == CopyOrder::BeforeCommit {
            // A page that cannot be switched is not worth a copy.
            if from.count() != EXPECTED && !mutated(Mutation::CountNotCompared) {
                return Err(Stop::Again);
            }
            if self.calls_copy(src, dst) {
                return Err(self.copy_failed());
            }
            if !mutated(Mutation::CopyAfterRestore) {
                self.copy_parts(src, dst);
            }
            self.returns(Call::Copy, 0);
        }
        let switch = Call::MigrateMapping { expected: EXPECTED, extra: 0 };
        self.calls_on(switch, src);
        let word = from.word();
        if word.count() != EXPECTED && !mutated(Mutation::CountNotCompared) {
            self.returns(switch, Stop::ret::<()>(Err(Stop::Again)));
            return Err(Stop::Again);
        }
        self.returns(switch, 0);
        if self.profile.copy == CopyOrder::AfterCommit && !mutated(Mutation::CopyAfterRestore) {
            self.copy_parts(src, dst);
        }
        to.set_owner(from.owner(), from.index());
        self.move_flags(word, src, dst);
        // The count was the isolation's alone: nobody changes a mark any more.
        self.expect_flags(word, Flags::empty(), dst);
        Ok(())
    }

    /// The bytes of a page, part by part.
    fn copy_parts(&self, src: Pfn, dst: Pfn) {
        self.frames
            .parts(src)
            .zip(self.frames.parts(dst))
            .for_each(|(from, to)| self.memory.copy_page(from, to));
    }

    /// The copy has met a machine check (`folio_mc_copy`): nothing has been switched, and this page cannot move.
    #[cold]
    fn copy_failed(&self) -> Stop {
        self.returns(Call::Copy, Errno::EHWPOISON.status());
        Stop::Failed
    }

    /// The bytes of a page that can be found in a cache, before the switch.
    fn copy_cached(&self, src: Pfn, dst: Pfn) -> Result<(), Stop> {
        if self.calls_copy(src, dst) {
            return Err(self.copy_failed());
        }
        self.memory.copy_cached_page(src, dst);
        self.returns(Call::Copy, 0);
        Ok(())
    }

    /// The slot changes hands, if the count is as expected.
    fn switch_cached(&self, file: &File, src: Pfn, dst: Pfn, call: Call) -> Result<(), Stop> {
        self.calls_on(call, src);
        let switched = match self.cache_replace(file, src, dst) {
            true => Ok(()),
            false => Err(Stop::Again),
        };
        self.returns(call, Stop::ret(switched));
        switched
    }

    /// A page of a file can be found there at any time: the source is frozen while the slot changes hands.
    fn commit_file(&self, src: Pfn, dst: Pfn) -> Result<(), Stop> {
        // The page lock keeps the page in its file, and the page the file.
        let file = self.owners.file(OwnerId(self.frames[src].owner())).ok_or(Stop::Failed)?;
        let expected = self.cache_references(src);
        let switch = Call::MigrateMapping { expected, extra: 0 };
        match self.profile.copy {
            CopyOrder::BeforeCommit => {
                // The copy is not begun for nothing; who gets the page meanwhile only reads it, because stores
                // need the page lock or a mapping, and is seen by the freeze.
                if self.frames[src].count() != expected {
                    return Err(Stop::Again);
                }
                self.copy_cached(src, dst)?;
                self.switch_cached(&file, src, dst, switch)?;
            }
            CopyOrder::AfterCommit => {
                // With buffers (`buffer_migrate_folio`) the count is looked at before anything is begun.
                let page = &self.frames[src];
                if page.word().has(Flags::PRIVATE) && page.count() != expected {
                    return Err(Stop::Again);
                }
                self.switch_cached(&file, src, dst, switch)?;
                // Who finds the destination waits for its lock: it is not up to date.
                self.memory.copy_cached_page(src, dst);
            }
        }
        self.move_flags(self.frames[src].word(), src, dst);
        Ok(())
    }

    /// A page in the swap cache can be found there at any time, as one of a file.
    fn commit_swapped(&self, src: Pfn, dst: Pfn) -> Result<(), Stop> {
        let switch = Call::MigrateMapping { expected: SWAP_CACHE_REFERENCES, extra: 0 };
        if self.profile.copy == CopyOrder::BeforeCommit {
            // As for a file's page: not for nothing, and who gets it meanwhile only reads it.
            if self.frames[src].count() != SWAP_CACHE_REFERENCES {
                return Err(Stop::Again);
            }
            self.copy_cached(src, dst)?;
        }
        self.calls_on(switch, src);
        let switched = match self.swap_replace(src, dst) {
            true => Ok(()),
            false => Err(Stop::Again),
        };
        self.returns(switch, Stop::ret(switched));
        switched?;
        if self.profile.copy == CopyOrder::AfterCommit {
            // Who finds the destination waits for its lock.
            self.memory.copy_cached_page(src, dst);
        }
        self.move_flags(self.frames[src].word(), src, dst);
        Ok(())
    }

    /// The flags that go along from a source with this word, after the content: with `UPTODATE` the
    /// destination may be read without its lock.
    #[inline]
    fn move_flags(&self, word: Word, src: Pfn, dst: Pfn) {
        let mark = if self.profile.reclaim_mark_moves { Flags::RECLAIM } else { Flags::empty() };
        self.frames[dst].publish(word.flags() & (COPIED | MOVED | mark));
        if word.any(MOVED) {
            self.frames[src].clear(MOVED);
        }
    }

    /// A page outside of the LRU: its owner copies and switches.
    fn migrate_movable(&self, pair: Pair, mode: Mode, reason: Reason) -> Result<Outcome, Stop> {
        let Pair { src, dst, .. } = pair;
        let page = &self.frames[src];
        // The owner may have let go of the page while it was isolated: then there is nothing to move, and
        // the destination was never touched. It has cleared the mark, or (where a put looks) put its
        // reference and left the isolation's alone.
        let word = page.word();
        let wanted = word.has(Flags::MOVABLE) && word.count() > 1;
        // Its owner counts no references, so a pin would not be seen by it.
        if wanted && word.count() >= PIN {
            return Err(Stop::Again);
        }
        if wanted {
            let ops = self.driver(src).ok_or(Stop::Failed)?;
            self.may_ask("migration by the owner", src).map_err(|_| Stop::Failed)?;
            ops.migrate(self, src, dst, mode).map_err(|errno| match errno {
                Errno::EAGAIN => Stop::Again,
                _ => Stop::Failed,
            })?;
        }
        self.unlock_and_put(dst);
        if mutated(Mutation::MovableInIsolated) {
            self.count_isolated(src, -1);
        }
        page.clear(Flags::ISOLATED);
        self.stats.has_moved(1);
        if reason == Reason::MemoryFailure {
            // The caller's to put, as after any success.
            page.unlock(src);
        } else {
            // A page outside of the LRU must not enter it under any design: put, not `finish`.
            self.unlock_and_put(src);
        }
        Ok(if wanted { Outcome::Moved(dst) } else { Outcome::Freed })
    }

    /// Undoes the first half, in reverse: mappings, locks, destination. The source stays isolated.
    pub(super) fn migrate_undo(&self, pair: Pair) {
        self.calls_on(Call::MigrateUndoSrc { was_mapped: pair.was_mapped, locked: true }, pair.src);
        if pair.was_mapped && !mutated(Mutation::UndoForgetsMappings) {
            self.restore_mappings(pair.src, pair.src);
        }
        self.frames[pair.src].unlock(pair.src);
        self.unlock_and_put(pair.dst);
    }

    /// A source that leaves the isolated pages, unless its caller counts for itself.
    fn count_isolated_for(&self, src: Pfn, reason: Reason) {
        // Reclaim subtracts what it isolated as one batch (kernel 35e41024c4c2).
        if reason != Reason::Demotion || mutated(Mutation::DemotionCountedTwice) {
            self.count_isolated(src, -1);
        }
    }
}
