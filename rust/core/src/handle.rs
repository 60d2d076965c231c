//! Handles: references, pins, isolation tokens and page locks that last longer than one call.
//!
//! Native code keeps its references inside one call and needs none of this. A script holds them as long as
//! it likes and may name any frame at any time, so each verb here starts from a bare frame number, says
//! no instead of stopping, and writes what it gave into the [`Ledger`] that the audit adds up.
//!
//! What is taken is given back by exactly one of [`Machine::let_go`], [`Machine::put_isolated`],
//! [`Machine::migrate_isolated`] and [`Machine::migrate_held`]; that it is exactly one is the caller's duty.

use crate::audit::{Handle, Ledger};
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::memory::WORDS;
use crate::migrate::{Isolation, Migrated, Mode, NewPage, Outcome, Reason, Target};
use crate::page::{Flags, PIN, Pfn};
use crate::release::Release;
use crate::sync::broken;
use std::collections::{HashMap, HashSet};

impl<R: Release> Machine<R> {
    /// A block of 2^`order` pages on `node`, whose first reference is a handle.
    ///
    /// Errors as [`Machine::alloc_pages`].
    pub fn hold_new(&self, ledger: &Ledger, node: usize, order: u8) -> Result<Pfn> {
        let pfn = self.alloc_pages(node, order)?;
        ledger.add(pfn, Handle::Ref);
        Ok(pfn)
    }

    /// References on the page that a frame is part of, whose head is returned: handles name the frame that was asked
    /// for, and count for the whole.
    fn add_refs(&self, pfn: Pfn, n: u32) -> Result<Pfn> {
        let page = self.page(pfn)?;
        if !page.word().has(Flags::TAIL) {
            return page.try_add(pfn, n).map(|()| pfn);
        }
        // One first, which keeps the page as it is.
        let none = || Error::at(Errno::EBUSY, pfn, Why::NoReference);
        let head = self.try_get_page(pfn).ok_or_else(none)?;
        let more = if n > 1 { self.frames[head].try_add(head, n - 1) } else { Ok(()) };
        if let Err(error) = more {
            self.put(head);
            return Err(error);
        }
        Ok(head)
    }

    /// One more reference; of a part of a large page on the whole. `EBUSY` if the page is free or frozen, `ENOMEM` at
    /// the limit of its count.
    pub fn hold(&self, ledger: &Ledger, pfn: Pfn) -> Result<()> {
        self.add_refs(pfn, 1)?;
        ledger.add(pfn, Handle::Ref);
        Ok(())
    }

    /// A pin on the page that a frame holds: from its success on the page does not move.
    ///
    /// A migration compares the count under the page lock, and may have done so before our references came. So a page
    /// whose lock is held is refused with `EAGAIN`: wait until it is free, and call again. What has moved away leaves
    /// a frame behind that nobody can find any more, `EBUSY` as one that is free or frozen. `ENOMEM` at the limit of
    /// the count.
    pub fn hold_pin(&self, ledger: &Ledger, pfn: Pfn) -> Result<()> {
        self.pin_checked(ledger, pfn, false)
    }

    /// The same for who knows that the page lock is held and by whom, and that this is no migration.
    pub fn hold_pin_locked(&self, ledger: &Ledger, pfn: Pfn) -> Result<()> {
        self.pin_checked(ledger, pfn, true)
    }

    fn pin_checked(&self, ledger: &Ledger, pfn: Pfn, locked: bool) -> Result<()> {
        let head = self.add_refs(pfn, PIN)?;
        self.frames.count_pin(self.frames.folio(head), true);
        if let Err(error) = self.stays(ledger, pfn, head, locked) {
            self.drop_pin(head);
            return Err(error);
        }
        ledger.add(pfn, Handle::Pin);
        Ok(())
    }

    /// Does the page that has just been pinned stay where it is?
    fn stays(&self, ledger: &Ledger, pfn: Pfn, head: Pfn, locked: bool) -> Result<()> {
        // The word after our references: a migration that had compared the count before them still holds the lock, or
        // has opened it, and then what it did to the page is seen. One that compares it later sees them.
        let in_the_way = || !locked && self.frames[head].word().has(Flags::LOCKED);
        let moving = || {
            let why = "the page is locked, and may be on its way to another frame";
            Err(Error::at(Errno::EAGAIN, pfn, Why::State(why.into())))
        };
        if in_the_way() {
            return moving();
        }
        if self.can_be_found(head) || self.is_held(ledger, head) {
            return Ok(());
        }
        // A migration that began after our references unmaps the page for a moment.
        if in_the_way() {
            return moving();
        }
        let why = "nothing leads to the page any more: it has moved, or was let go";
        Err(Error::at(Errno::EBUSY, pfn, Why::State(why.into())))
    }

    /// Gives back the references of a pin.
    fn drop_pin(&self, head: Pfn) {
        self.frames.count_pin(self.frames.folio(head), false);
        // All but one at once: not the last, so no release design is asked.
        self.frames[head].drop_refs(head, PIN - 1);
        self.put(head);
    }

    /// Does anything lead to the page but references: an entry, a slot of a file or of swap, an owner?
    fn can_be_found(&self, head: Pfn) -> bool {
        let word = self.frames[head].word();
        word.any(Flags::FILE | Flags::SWAPCACHE | Flags::MOVABLE)
            || self.frames.folio_mapcount(self.frames.folio(head)) > 0
    }

    /// Does a handle keep the page, as one that [`Machine::hold_new`] has given?
    fn is_held(&self, ledger: &Ledger, head: Pfn) -> bool {
        let keeps = |&(handle, _): &_| matches!(handle, Handle::Ref | Handle::Pin | Handle::Lock);
        let anon = self.frames[head].word().has(Flags::ANON);
        !anon && self.frames.parts(head).any(|part| ledger.of(part).iter().any(keeps))
    }

    /// The page lock, if it is free, with a reference that keeps the page. False if it is locked; else as
    /// [`Machine::hold`].
    pub fn hold_lock(&self, ledger: &Ledger, pfn: Pfn) -> Result<bool> {
        let head = self.add_refs(pfn, 1)?;
        if !self.frames[head].trylock() {
            self.put(head);
            return Ok(false);
        }
        ledger.add(pfn, Handle::Lock);
        Ok(true)
    }

    /// The bytes of a frame as they are now, word by word, whoever owns it. `ENODEV` on an unbacked
    /// machine.
    pub fn frame_bytes(&self, pfn: Pfn) -> Result<Vec<u8>> {
        self.page(pfn)?;
        if !self.memory.is_backed() {
            return Err(Error::new(Errno::ENODEV, "this machine is unbacked: its pages have no bytes"));
        }
        Ok((0..WORDS).flat_map(|word| self.memory.load(pfn, word).to_le_bytes()).collect())
    }

    /// Takes a page off its LRU list, or from its owner if it is a movable one, and says which token
    /// that is; a large page as a whole. `EBUSY` if it is neither there nor willing.
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

    /// Splits the large page that a frame is part of into base pages (`split_huge_page`). What nothing maps is freed
    /// then, unless a handle on the page is spent for it: see [`Machine::split_held`]. May sleep on the page lock.
    ///
    /// `EAGAIN` if somebody holds the page, as a handle or a batch does; `EBUSY` if it is free, frozen, or none that
    /// can be split. Of a base page nothing is left to do.
    pub fn split_huge_page(&self, pfn: Pfn) -> Result<()> {
        let head = self.add_refs(pfn, 1)?;
        self.frames[head].lock();
        let split = self.split_page(pfn);
        // Of the part that was asked for, if it is one now.
        let now = self.frames.head(pfn);
        self.unlock_and_put(now);
        split
    }

    /// Splits a large page of which the caller has the only reference, a handle on its head: it has one on each part
    /// afterwards. The other parts. May sleep on the page lock.
    ///
    /// Errors as [`Machine::split_huge_page`]; then the handle is as it was.
    pub fn split_held(&self, ledger: &Ledger, head: Pfn, handle: Handle) -> Result<Vec<Pfn>> {
        if self.frames[head].word().has(Flags::TAIL) {
            let why = "a reference on a part of a large page is one on the whole: split by its head";
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

    /// Gives a handle back in the way that changes least: references are dropped, locks opened,
    /// isolated pages put back. A freeze or a write-back, which none of the verbs here gives, ends otherwise. May sleep on the page lock for a token of a movable page.
    pub fn let_go(&self, ledger: &Ledger, pfn: Pfn, handle: Handle) {
        ledger.remove(pfn, handle);
        // Its reference keeps the page as it is.
        let pfn = self.frames.head(pfn);
        match handle {
            Handle::Ref => self.put(pfn),
            Handle::Pin => self.drop_pin(pfn),
            Handle::Isolated => self.putback(pfn),
            Handle::IsolatedMovable => self.putback_movable_page(pfn),
            Handle::Lock => self.unlock_and_put(pfn),
            Handle::Frozen => broken("let go of a freeze", format_args!("page {pfn}: to which count?")),
            Handle::Writeback => broken("let go of a write-back", format_args!("page {pfn}: of which file?")),
        }
    }

    /// Gives the token of a movable page back to its owner, if the page lock is free; false if not.
    pub fn try_let_go_movable(&self, ledger: &Ledger, pfn: Pfn) -> bool {
        // The isolation's reference keeps the page.
        if !self.frames[pfn].trylock() {
            return false;
        }
        ledger.remove(pfn, Handle::IsolatedMovable);
        self.putback_locked(pfn);
        true
    }

    /// Ends the isolation of an LRU page by dropping its reference: the page goes to no list, and is freed
    /// if nobody else holds it.
    ///
    /// `EBUSY` if it is mapped, or in a file or the swap cache: it belongs on a list then. The isolation lasts on.
    pub fn put_isolated(&self, ledger: &Ledger, pfn: Pfn) -> Result<()> {
        let part = pfn;
        let pfn = self.frames.head(part);
        // The isolation's reference keeps the page as it is, and what leads to no page cannot map it.
        if self.can_be_found(pfn) {
            let why = "the page is in use, and belongs on its list: put it back instead";
            return Err(Error::at(Errno::EBUSY, pfn, Why::State(why.into())));
        }
        ledger.remove(part, Handle::Isolated);
        self.count_isolated(pfn, -1);
        // What a list would mean by them is over; a page that is freed must not show them.
        self.frames[pfn].clear(Flags::ACTIVE | Flags::UNEVICTABLE);
        self.put(pfn);
        Ok(())
    }

    /// Migrates one isolated page to `node` and ends its isolation, whatever happens: a page that could
    /// not move is put back. The new frame, of a part of a large page that of the part; or `None` if the page's users had
    /// all let go of it.
    ///
    /// `ENOMEM` without a frame to move to, `EBUSY` if somebody was in the way on every attempt; then the
    /// state found is that of before the putback. `EINVAL`, with the page put back, for a node that
    /// is not there, and for the reasons `memory_failure` and `demotion`, whose callers do more than migrate.
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
                Some("this reason belongs to its own caller".to_owned())
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
        let mut heard = Heard { of: &mut allocate, outcomes: HashMap::new() };
        let mut list = vec![pfn];
        let result = self.migrate_pages(&mut list, &mut heard, mode, reason);
        ledger.remove(part, handle);
        if list.is_empty() {
            return Ok(match heard.of_part(pfn, part, &HashSet::new()) {
                Some(Outcome::Moved(dst)) => Some(dst),
                _ => None,
            });
        }
        let count = self.frames[list[0]].count();
        // All of them: a large page may be on the list in parts.
        self.putback_movable_pages(&mut list);
        Err(match result.errno {
            Some(errno) => Error::at(errno, pfn, Why::NoFrame { node: node as u8, order }),
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

    /// Migrates isolated pages as one list to where `target` says, and ends all isolations: what could not move is put
    /// back, whyever. What became of each, in order; `None` for those that were not tried. A token of a part of a large
    /// page is one of the whole, and hears what became of the part.
    ///
    /// For the reasons whose callers have something left to do, it is done here: the last reference after
    /// `memory_failure` is put, and `demotion` is counted as reclaim counts it.
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
        // Before the pages can be freed, or somebody else's.
        let before: Vec<Isolation> =
            heads.iter().copied().filter(of_lru).map(|pfn| self.isolation_of(pfn)).collect();
        let mut heard = Heard { of: target, outcomes: HashMap::new() };
        let mut list = heads.clone();
        let result = self.migrate_pages(&mut list, &mut heard, mode, reason);
        for &(part, handle) in tokens {
            ledger.remove(part, handle);
        }
        let after = list.iter().copied().filter(of_lru).map(|pfn| self.isolation_of(pfn).negated());
        for Isolation { node, item, pages } in before.into_iter().chain(after) {
            self.stats.node(node, item, -pages);
        }
        let left: HashSet<Pfn> = list.iter().copied().collect();
        let outcomes: Vec<_> =
            heads.iter().zip(tokens).map(|(&head, &(part, _))| heard.of_part(head, part, &left)).collect();
        if reason == Reason::MemoryFailure {
            // None of them was split for this reason.
            let gone =
                |pfn: &&Pfn| matches!(heard.outcomes.get(pfn), Some(Outcome::Moved(_) | Outcome::Freed));
            heads.iter().filter(gone).for_each(|&pfn| self.put(pfn));
        }
        self.putback_movable_pages(&mut list);
        (result, outcomes)
    }
}

/// Listens to what became of the pages.
struct Heard<'a> {
    of: Target<'a>,
    outcomes: HashMap<Pfn, Outcome>,
}

impl Heard<'_> {
    /// What became of a part of the page that had this head; `left` are the pages that the migration has left on its
    /// list. A page that was split says it of each part by itself; one that moved as a whole says it of the head alone.
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

impl NewPage for Heard<'_> {
    fn get_new_page(&mut self, src: Pfn) -> Option<Pfn> {
        self.of.get_new_page(src)
    }

    fn ended(&mut self, src: Pfn, outcome: Outcome) {
        self.of.ended(src, outcome);
        self.outcomes.insert(src, outcome);
    }
}
