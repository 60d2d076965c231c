//! Handles: references, pins, isolation tokens and page locks that last longer than one call.
//!
//! Native code keeps its references within one call and needs no handles. A script may hold a
//! reference for any time and name any frame at any time. So each operation here starts from a bare
//! frame number, returns an error instead of panicking, and records the handle in the [`Ledger`]
//! that the audit adds up.
//!
//! A handle is given back once, by one of [`Machine::let_go`], [`Machine::let_go_range`],
//! [`Machine::try_let_go_movable`], [`Machine::put_isolated`], [`Machine::migrate_isolated`] and
//! [`Machine::migrate_held`]. The caller must make sure of that.

use crate::audit::{Handle, Ledger};
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::memory::WORDS;
use crate::migrate::{Isolation, Migrated, Mode, NewPage, Outcome, Reason, Target};
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::broken;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

impl<R: Release> Machine<R> {
    /// Allocates a block of 2^`order` pages on `node`, whose first reference is a handle.
    ///
    /// Errors as [`Machine::alloc_pages`].
    pub fn hold_new(&self, ledger: &Ledger, node: usize, order: u8) -> Result<Pfn> {
        let pfn = self.alloc_pages(node, order)?;
        ledger.add(pfn, Handle::Ref);
        Ok(pfn)
    }

    /// Allocates the frames of a range, each with a handle.
    ///
    /// Errors as [`Machine::alloc_contig_range`].
    pub fn hold_range(&self, ledger: &Ledger, range: Range<Pfn>) -> Result<()> {
        self.alloc_contig_range(range.clone())?;
        for pfn in (range.start.0..range.end.0).map(Pfn) {
            if let Err(error) = Error::unless_interrupted() {
                (range.start.0..pfn.0).for_each(|pfn| _ = ledger.remove(Pfn(pfn), Handle::Ref));
                self.free_contig_range(range);
                return Err(error);
            }
            ledger.add(pfn, Handle::Ref);
        }
        Ok(())
    }

    /// Gives the frames of [`Machine::hold_range`] back.
    pub fn let_go_range(&self, ledger: &Ledger, range: Range<Pfn>) {
        (range.start.0..range.end.0).for_each(|pfn| _ = ledger.remove(Pfn(pfn), Handle::Ref));
        self.free_contig_range(range);
    }

    /// Adds references to the page that a frame is part of, and returns its head. A handle names
    /// the frame that the caller asked for, and its reference counts for the whole page.
    fn add_refs(&self, pfn: Pfn, n: u32) -> Result<Pfn> {
        let page = self.page(pfn)?;
        if !page.word().has(Flags::TAIL) {
            return page.try_add(pfn, n).map(|()| pfn);
        }
        // The first reference keeps the page from being split or freed.
        let none = || Error::at(Errno::EBUSY, pfn, Why::NoReference);
        let head = self.try_get_page(pfn).ok_or_else(none)?;
        let more = if n > 1 { self.frames[head].try_add(head, n - 1) } else { Ok(()) };
        if let Err(error) = more {
            self.put(head);
            return Err(error);
        }
        Ok(head)
    }

    /// Takes a reference. For a part of a large page it is a reference on the whole page. `EBUSY` if
    /// the page is free or frozen, `ENOMEM` at the limit of its count.
    pub fn hold(&self, ledger: &Ledger, pfn: Pfn) -> Result<()> {
        self.add_refs(pfn, 1)?;
        ledger.add(pfn, Handle::Ref);
        Ok(())
    }

    /// Pins the page that a frame holds. Once this succeeds, the page does not move.
    ///
    /// A migration compares the count under the page lock, and may have done so before this pin's
    /// references were added. So a page whose lock is held is refused with `EAGAIN`: wait for the
    /// unlock, and call again. A frame from which its page has moved away is refused with `EBUSY`,
    /// because nothing leads to it any more; so is a free or frozen page. In kernels whose pins are plain
    /// references a movable page is refused with `EBUSY` too: its migration compares no count. `ENOMEM` at
    /// the limit of the count.
    pub fn hold_pin(&self, ledger: &Ledger, pfn: Pfn) -> Result<()> {
        self.pin_checked(ledger, pfn, false)
    }

    /// Like [`Machine::hold_pin`], for a caller that knows that no migration holds the page lock.
    pub fn hold_pin_locked(&self, ledger: &Ledger, pfn: Pfn) -> Result<()> {
        self.pin_checked(ledger, pfn, true)
    }

    fn pin_checked(&self, ledger: &Ledger, pfn: Pfn, locked: bool) -> Result<()> {
        let head = self.add_refs(pfn, self.pin_references())?;
        if self.pin_references() > 1 {
            self.frames.count_pin(self.frames.folio(head), true);
        }
        if let Err(error) = self.stays(ledger, pfn, head, locked) {
            self.drop_pin(head);
            return Err(error);
        }
        ledger.add(pfn, Handle::Pin);
        Ok(())
    }

    /// Checks that the page that was just pinned stays where it is.
    fn stays(&self, ledger: &Ledger, pfn: Pfn, head: Pfn, locked: bool) -> Result<()> {
        // The race is with a migration that compared the count before our references were added.
        // Either the migration still holds the page lock, and this read of the word sees the lock;
        // or it has released the lock, and its changes to the page are visible. A migration that
        // compares later sees our references.
        let may_migrate = || !locked && self.frames[head].word().has(Flags::LOCKED);
        let moving = || {
            let why = "the page is locked, and may be on its way to another frame";
            Err(Error::at(Errno::EAGAIN, pfn, Why::State(why.into())))
        };
        if may_migrate() {
            return moving();
        }
        if self.pin_references() == 1 && self.frames[head].word().has(Flags::MOVABLE) {
            let why =
                "its owner moves the page whatever references it has: in this kernel a pin is one of them";
            return Err(Error::at(Errno::EBUSY, pfn, Why::State(why.into())));
        }
        if self.can_be_found(head) || self.is_held(ledger, head) {
            return Ok(());
        }
        // A migration that begins after our references were added unmaps the page for a while, and
        // then gives up. During this time nothing leads to the page, but the page lock is held.
        if may_migrate() {
            return moving();
        }
        let why = "no entry, file or owner leads to the page any more: it has moved, or was released";
        Err(Error::at(Errno::EBUSY, pfn, Why::State(why.into())))
    }

    /// Gives back the references of a pin.
    fn drop_pin(&self, head: Pfn) {
        let references = self.pin_references();
        if references > 1 {
            self.frames.count_pin(self.frames.folio(head), false);
            // All references but one are dropped at once. None of them is the last one, so the
            // release design has no work with them.
            self.frames[head].drop_refs(head, references - 1);
        }
        self.put(head);
    }

    /// True if anything besides references leads to the page: an entry, a slot of a file or of
    /// swap, or an owner.
    fn can_be_found(&self, head: Pfn) -> bool {
        let word = self.frames[head].word();
        // A sticky mark outlives the ownership: a released page has the mark and no owner.
        word.any(Flags::FILE | Flags::SWAPCACHE)
            || (word.has(Flags::MOVABLE) && self.frames[head].owner() != 0)
            || self.frames.folio_mapcount(self.frames.folio(head)) > 0
    }

    /// True if a handle, such as one from [`Machine::hold_new`], keeps the page. Always false for an
    /// anonymous page.
    fn is_held(&self, ledger: &Ledger, head: Pfn) -> bool {
        let keeps = |&(handle, _): &_| matches!(handle, Handle::Ref | Handle::Pin | Handle::Lock);
        let anon = self.frames[head].word().has(Flags::ANON);
        !anon && self.frames.parts(head).any(|part| ledger.of(part).iter().any(keeps))
    }

    /// Takes the page lock, and a reference that keeps the page. Returns false if the lock is held.
    /// Errors as [`Machine::hold`].
    pub fn hold_lock(&self, ledger: &Ledger, pfn: Pfn) -> Result<bool> {
        let head = self.add_refs(pfn, 1)?;
        if !self.frames[head].trylock() {
            self.put(head);
            return Ok(false);
        }
        ledger.add(pfn, Handle::Lock);
        Ok(true)
    }

    /// The bytes that a frame holds at this moment, read word by word, whatever page is in it.
    ///
    /// Until a frame is published, plain stores fill it: a fresh page with zeroes, the destination
    /// of a migration with its source's content. A read of such a frame would be a data race. So
    /// only published content is read. A reference keeps the page during the read, so that no other
    /// page begins in the frame.
    ///
    /// `EBUSY` if the frame is free or frozen. `ENODATA` if it has no content yet, as in a page
    /// that was only allocated. `ENODEV` on an unbacked machine.
    pub fn frame_bytes(&self, pfn: Pfn) -> Result<Vec<u8>> {
        self.page(pfn)?;
        if !self.memory.is_backed() {
            return Err(Error::new(Errno::ENODEV, "this machine is unbacked: its pages have no bytes"));
        }
        let head = self.add_refs(pfn, 1)?;
        // The Acquire of `word` pairs with the Release of `publish`: the stores that filled the
        // frame happened before.
        let bytes = match self.frames[head].word().any(Flags::UPTODATE | Flags::MOVABLE) {
            true => Ok((0..WORDS).flat_map(|word| self.memory.load(pfn, word).to_le_bytes()).collect()),
            false => {
                let why = "the page has no content yet: it is being filled, or was only allocated";
                Err(Error::at(Errno::ENODATA, pfn, Why::State(why.into())))
            }
        };
        self.put(head);
        bytes
    }

    /// Isolates a page from its LRU list, or from its owner if it is movable, and returns the kind
    /// of the token. A large page is isolated as a whole. `EBUSY` if the page is on no list, or the
    /// owner refuses.
    pub fn hold_isolated(&self, ledger: &Ledger, part: Pfn) -> Result<Handle> {
        let pfn = self.add_refs(part, 1)?;
        let page = &self.frames[pfn];
        let movable = page.word().has(Flags::MOVABLE);
        let isolated = match movable {
            true if self.isolate_movable_page(pfn) => Ok(Handle::IsolatedMovable),
            true => {
                Err(Error::at(Errno::EBUSY, pfn, Why::State("the owner does not let the page go".into())))
            }
            false => self.isolate(pfn).map(|()| Handle::Isolated),
        };
        if let Ok(handle) = isolated {
            ledger.add(part, handle);
        }
        self.put(pfn);
        isolated
    }

    /// Splits the large page that a frame is part of into base pages (`split_huge_page`). Parts
    /// that nothing maps are freed, unless a handle on the page is converted: see
    /// [`Machine::split_held`]. May sleep on the page lock.
    ///
    /// `EAGAIN` if a handle or a batch holds the page; `EBUSY` if the page is free, frozen, or of a
    /// kind that cannot be split. A base page needs no split, and the call succeeds.
    pub fn split_huge_page(&self, pfn: Pfn) -> Result<()> {
        let head = self.add_refs(pfn, 1)?;
        self.frames[head].lock();
        let split = self.split_page(pfn);
        // After a split the lock and the reference are those of the frame's own part.
        let now = self.frames.head(pfn);
        self.unlock_and_put(now);
        split
    }

    /// Splits a large page on which the caller's handle on the head is the only reference.
    /// Afterwards the caller has a handle on each part; returns the parts other than the head. May
    /// sleep on the page lock.
    ///
    /// Errors as [`Machine::split_huge_page`]; on an error the handle is unchanged.
    pub fn split_held(&self, ledger: &Ledger, head: Pfn, handle: Handle) -> Result<Vec<Pfn>> {
        if self.frames[head].word().has(Flags::TAIL) {
            let why = "a reference on a part of a large page counts for the whole page: split it by its head";
            return Err(Error::at(Errno::EBUSY, head, Why::State(why.into())));
        }
        let mut parts = Vec::new();
        self.frames[head].lock();
        let split = self.split_to_list(head, &mut parts);
        self.frames[head].unlock(head);
        split?;
        parts.iter().for_each(|&part| ledger.add(part, handle));
        Ok(parts)
    }

    /// Gives a handle back in the way that changes least: references are dropped, locks released,
    /// isolated pages put back. Must not be called with a freeze, which ends with an unfreeze, nor
    /// with a write-back, which its file ends. May sleep on the page lock for a token of a movable
    /// page.
    pub fn let_go(&self, ledger: &Ledger, pfn: Pfn, handle: Handle) {
        ledger.remove(pfn, handle);
        // The handle's reference keeps the page from being split.
        let pfn = self.frames.head(pfn);
        match handle {
            Handle::Ref => self.put(pfn),
            Handle::Pin => self.drop_pin(pfn),
            Handle::Isolated => self.putback(pfn),
            Handle::IsolatedMovable => self.putback_movable_page(pfn),
            Handle::Lock => self.unlock_and_put(pfn),
            Handle::Frozen => broken("let go of a freeze", format_args!("page {pfn}: an unfreeze ends it")),
            Handle::Writeback => {
                broken("let go of a write-back", format_args!("page {pfn}: its file ends it"))
            }
        }
    }

    /// Gives the token of a movable page back to its owner if the page lock is free; else returns
    /// false.
    pub fn try_let_go_movable(&self, ledger: &Ledger, pfn: Pfn) -> bool {
        // The isolation's reference keeps the page.
        if !self.frames[pfn].trylock() {
            return false;
        }
        ledger.remove(pfn, Handle::IsolatedMovable);
        self.putback_locked(pfn);
        true
    }

    /// Ends the isolation of an LRU page by dropping its reference: the page goes to no list, and
    /// is freed if it has no other holder.
    ///
    /// `EBUSY` if the page is mapped, or in a file or the swap cache, because such a page belongs
    /// on a list. The isolation continues.
    pub fn put_isolated(&self, ledger: &Ledger, pfn: Pfn) -> Result<()> {
        let part = pfn;
        let pfn = self.frames.head(part);
        // The isolation's reference keeps the page, and a page that nothing leads to cannot be
        // mapped.
        if self.can_be_found(pfn) {
            let why = "the page is in use, and belongs on its list: put it back instead";
            return Err(Error::at(Errno::EBUSY, pfn, Why::State(why.into())));
        }
        ledger.remove(part, Handle::Isolated);
        self.count_isolated(pfn, -1);
        // The flags name a list that the page will never be on; a freed page must not have them.
        self.frames[pfn].clear(Flags::ACTIVE | Flags::UNEVICTABLE);
        self.put(pfn);
        Ok(())
    }

    /// Migrates one isolated page to `node` and ends its isolation in any case: a page that cannot
    /// move is put back. Returns the new frame of the page, or of the part that was isolated of a
    /// large page. Returns `None` if all users of the page had released it.
    ///
    /// `ENOMEM` if `node` has no free frame; `EBUSY` if a holder was in the way on every attempt
    /// (the error shows the count before the putback); `EINTR` if the call was interrupted. `EINVAL`,
    /// with the page put back, for a node that does not exist, and for the reasons `memory_failure`
    /// and `demotion`, which need further work after the migration.
    pub fn migrate_isolated(
        &self,
        ledger: &Ledger,
        pfn: Pfn,
        handle: Handle,
        node: usize,
        mode: Mode,
        reason: Reason,
    ) -> Result<Option<Pfn>> {
        let refused = match reason {
            Reason::MemoryFailure | Reason::Demotion => {
                Some("a migration for this reason needs further work, which this call does not do".to_owned())
            }
            _ if node >= self.nodes.len() => Some(format!("no node {node}")),
            _ => None,
        };
        if let Some(why) = refused {
            self.let_go(ledger, pfn, handle);
            return Err(Error::at(Errno::EINVAL, pfn, Why::State(why)));
        }
        let part = pfn;
        let pfn = self.frames.head(part);
        let order = self.frames[pfn].order();
        let mut allocate = |src: Pfn| self.alloc_pages(node, self.frames[src].order()).ok();
        let mut recorder = OutcomeRecorder { target: &mut allocate, outcomes: HashMap::new() };
        let mut list = vec![pfn];
        let result = self.migrate_pages(&mut list, &mut recorder, mode, reason);
        ledger.remove(part, handle);
        if list.is_empty() {
            return Ok(match recorder.of_part(pfn, part, &HashSet::new()) {
                Some(Outcome::Moved(dst)) => Some(dst),
                _ => None,
            });
        }
        let count = self.frames[list[0]].count();
        // A large page may have been split, so the list may hold several of its parts.
        self.putback_movable_pages(&mut list);
        Err(match result.errno {
            Some(Errno::ENOMEM) => Error::at(Errno::ENOMEM, pfn, Why::NoFrame { node: node as u8, order }),
            Some(errno) => Error::at(errno, pfn, Why::State(errno.text().into())),
            None => Error::at(
                Errno::EBUSY,
                pfn,
                Why::State(format!(
                    "the page could not move: it had {count} references after {} retries",
                    result.retries
                )),
            ),
        })
    }

    /// Migrates isolated pages as one list to the frames of `target`, and ends all isolations: a
    /// page that cannot move is put back. Returns the outcome of each token, in order; `None` for a
    /// page that was not tried. A token of a part of a large page moves the whole page, and gets
    /// the outcome of the part.
    ///
    /// Two reasons need further work after the migration, which is done here: for `memory_failure`
    /// the last reference is put, and a `demotion` is counted as reclaim counts it.
    pub fn migrate_held(
        &self,
        ledger: &Ledger,
        tokens: &[(Pfn, Handle)],
        target: Target<'_>,
        mode: Mode,
        reason: Reason,
    ) -> (Migrated, Vec<Option<Outcome>>) {
        // The isolations keep the pages as they are until they migrate.
        let heads: Vec<Pfn> = tokens.iter().map(|&(part, _)| self.frames.head(part)).collect();
        let of_lru = |pfn: &Pfn| reason == Reason::Demotion && !self.frames[*pfn].word().has(Flags::ISOLATED);
        // The isolations are read before the migration, because the pages may be free or in other
        // use afterwards.
        let before: Vec<Isolation> =
            heads.iter().copied().filter(of_lru).map(|pfn| self.isolation_of(pfn)).collect();
        let mut recorder = OutcomeRecorder { target, outcomes: HashMap::new() };
        let mut list = heads.clone();
        let result = self.migrate_pages(&mut list, &mut recorder, mode, reason);
        for &(part, handle) in tokens {
            ledger.remove(part, handle);
        }
        let after = list.iter().copied().filter(of_lru).map(|pfn| self.isolation_of(pfn).negated());
        for Isolation { node, item, pages } in before.into_iter().chain(after) {
            self.stats.node(node, item, -pages);
        }
        let left: HashSet<Pfn> = list.iter().copied().collect();
        let outcomes: Vec<_> =
            heads.iter().zip(tokens).map(|(&head, &(part, _))| recorder.of_part(head, part, &left)).collect();
        if reason == Reason::MemoryFailure {
            // A migration for this reason splits no page, so each head has an outcome of its own.
            let gone =
                |pfn: &&Pfn| matches!(recorder.outcomes.get(pfn), Some(Outcome::Moved(_) | Outcome::Freed));
            heads.iter().filter(gone).for_each(|&pfn| self.put(pfn));
        }
        self.putback_movable_pages(&mut list);
        (result, outcomes)
    }
}

/// Records the outcome of each page of a migration.
struct OutcomeRecorder<'a> {
    target: Target<'a>,
    outcomes: HashMap<Pfn, Outcome>,
}

impl OutcomeRecorder<'_> {
    /// The outcome of a part of the page with this head; `left` are the pages still on the
    /// migration's list. A page that was split has an outcome for each part; one that moved whole
    /// only for the head.
    fn of_part(&self, head: Pfn, part: Pfn, left: &HashSet<Pfn>) -> Option<Outcome> {
        if self.outcomes.contains_key(&part) || left.contains(&part) {
            return self.outcomes.get(&part).copied();
        }
        match self.outcomes.get(&head).copied() {
            Some(Outcome::Moved(dst)) => Some(Outcome::Moved(dst.plus(part.0 - head.0))),
            other => other,
        }
    }
}

impl NewPage for OutcomeRecorder<'_> {
    fn get_new_page(&mut self, src: Pfn) -> Option<Pfn> {
        self.target.get_new_page(src)
    }

    fn expect(&mut self, pages: usize) {
        self.target.expect(pages);
    }

    fn takes_back(&self) -> bool {
        self.target.takes_back()
    }

    fn take_back(&mut self, dst: Pfn) {
        self.target.take_back(dst);
    }

    fn ended(&mut self, src: Pfn, outcome: Outcome) {
        self.target.ended(src, outcome);
        self.outcomes.insert(src, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Config;
    use crate::movable::PagePool;
    use crate::release::Split;

    #[test]
    fn only_published_content_is_read_from_a_frame() {
        let machine = Machine::<Split>::new(&Config::new(2, 64)).unwrap();
        let ledger = Ledger::default();
        let errno = |pfn| machine.frame_bytes(pfn).map(drop).unwrap_err().errno;
        let bytes = |pfn| machine.frame_bytes(pfn).unwrap();
        let space = machine.address_space().unwrap();
        let area = machine.mmap(&space, 1).unwrap();
        machine.write_word(&area, 0, 1, 7).unwrap();
        let old = machine.page_at(&area, 0).unwrap();
        assert_eq!((bytes(old)[8], bytes(old).len()), (7, WORDS * 8));
        machine.lru_drain_all();

        // After the migration its destination has the content, and its source is free.
        let token = machine.hold_isolated(&ledger, old).unwrap();
        let node = 1 - machine.node_of(old);
        let new = machine.migrate_isolated(&ledger, old, token, node, Mode::Sync, Reason::Compaction);
        let new = new.unwrap().unwrap();
        assert_eq!((bytes(new)[8], errno(old)), (7, Errno::EBUSY));
        machine.exit(&space);
        machine.lru_drain_all();
        assert_eq!(errno(new), Errno::EBUSY);

        // A page that was only allocated has no content that is known.
        let raw = machine.hold_new(&ledger, 0, 0).unwrap();
        assert_eq!((errno(raw), machine.page(raw).unwrap().count()), (Errno::ENODATA, 1));
        machine.let_go(&ledger, raw, Handle::Ref);

        let pool = PagePool::new(&machine).unwrap();
        let page = pool.add(&machine, 0).unwrap();
        pool.write(&machine, page, 0, 9).unwrap();
        assert_eq!(bytes(pool.pfn(page).unwrap())[0], 9);
        pool.release(&machine, page).unwrap();
    }
}
