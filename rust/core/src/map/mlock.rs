//! mlock(2) and munlock(2): pages that reclaim must leave in memory (lifecycle 5.7).
//!
//! 1. Under each entry's lock, mark the area's page as locked or unlocked, and lock or unlock the page that
//!    the entry maps. All code that fills or empties an entry reads this mark under the same lock, so each
//!    mapping is counted once. (The kernel instead holds faults off, and sets `VM_IO` against the rmap walks
//!    of migration.) A migration entry is skipped, because the code that restores it reads the mark.
//! 2. Merge neighbouring pages with equal attributes into one stretch.
//! 3. mlock faults missing pages in, breaks copy-on-write, and marks each page accessed. Each stretch of
//!    pages with equal attributes (the kernel's VMA) ends with a drain.

use super::fault::{Cause, no_hwpoison, no_page};
use super::{AddressSpace, Area, Attributes, Entry, Pte};
use crate::calls::Call;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::page::reckon::{self, Fact};
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::{Mutation, interrupted, mutated};
use std::ops::Range;

impl<R: Release> Machine<R> {
    /// Locks pages of an area into memory (`mlock`).
    ///
    /// `EINVAL` for a range that does not lie in the area. `ENOMEM` for a range with a hole: the
    /// pages before the hole are locked, but not faulted in. `ENOMEM` if no frame is free, `EFAULT` for a
    /// poisoned page, and `EINTR` if the call was interrupted: not all pages are locked then, or not all were
    /// faulted in.
    pub fn mlock(&self, space: &AddressSpace, area: &Area, pages: Range<u32>) -> Result<()> {
        if self.profile.mlock_drains_all {
            self.calls(Call::LruAddDrainAll);
            self.lru_drain_all();
        }
        self.change_lock(space, area, pages.clone(), true)?;
        area.stretches(pages).try_for_each(|(mut stretch, _)| {
            let populated = stretch.try_for_each(|index| {
                Error::unless_interrupted()?;
                self.populate(area, index)
            });
            self.lru_drain_local();
            if mutated(Mutation::MlockForgetsFault) { Ok(()) } else { populated }
        })
    }

    /// Unlocks pages of an area (`munlock`).
    ///
    /// `EINVAL` for a range that does not lie in the area; `ENOMEM` for a range with a hole: the pages before
    /// the hole are unlocked. `EINTR` if the call was interrupted: not all pages are unlocked then.
    pub fn munlock(&self, space: &AddressSpace, area: &Area, pages: Range<u32>) -> Result<()> {
        self.change_lock(space, area, pages, false)
    }

    /// Marks the pages and merges the stretches (steps 1 and 2), up to the first hole. The lock on
    /// the space's areas is held for writing, so that no other thread changes their attributes.
    fn change_lock(&self, space: &AddressSpace, area: &Area, pages: Range<u32>, lock: bool) -> Result<()> {
        space.covers(area, &pages)?;
        self.may_go_on("mlock")?;
        let areas = space.areas.write();
        let mut ended = false;
        let hole = pages.clone().find(|&index| area.attributes(index).contains(Attributes::UNMAPPED));
        let other = |index: &u32| area.attributes(*index).contains(Attributes::LOCKED) != lock;
        // The attributes are read one by one, as pages change: no other thread locks or unlocks
        // meanwhile.
        let mut changed = (pages.start..hole.unwrap_or(pages.end)).filter(other).peekable();
        if changed.peek().is_some() {
            if lock {
                let _no_faults = area.faults.write();
                area.set_special();
            }
            // A page in an LRU batch would miss its move to the unevictable list: after the drain
            // it is on a list.
            self.lru_drain_local();
            // The large page that the walk has met last, and whether it may be locked.
            let mut met = (None, true);
            for index in changed {
                if interrupted() {
                    ended = true;
                    break;
                }
                if lock && area.order() > 0 && !self.profile.mlock_parts {
                    self.may_mlock(area, index, &pages, &mut met);
                }
                let guard = area.lock(index);
                match lock {
                    true => area.mark(index, Attributes::LOCKED),
                    false => area.unmark(index, Attributes::LOCKED),
                };
                if let Entry::Present { pfn, zero: false } = guard.pte().entry() {
                    // A large page counts one lock for each of its entries.
                    let head = self.frames.head(pfn);
                    match lock {
                        true if met == (Some(head), false) => {}
                        true => self.mlock_page(head),
                        false => self.munlock_page(head),
                    }
                }
            }
            self.lru_drain_local();
            let _no_faults = area.faults.write();
            area.merge_stretches();
        }
        drop(areas);
        if ended {
            // Pages before the interruption are locked or unlocked already.
            return Err(Error { errno: Errno::EINTR, pfn: None, why: Why::Interrupted });
        }
        match hole {
            Some(index) => Err(Error { errno: Errno::ENOMEM, ..no_page(area, index) }),
            None => Ok(()),
        }
    }

    /// Finds out whether mlock of `pages` locks the large page behind an entry (`allow_mlock_folio`): only
    /// if the pages include all of its parts, and an entry maps each. `met` is the page that was looked at
    /// last, and the answer.
    fn may_mlock(&self, area: &Area, index: u32, pages: &Range<u32>, met: &mut (Option<Pfn>, bool)) {
        let Some(head) = self.get_page_at(area, index) else { return };
        if met.0 != Some(head) {
            let first = self.frames[head].index();
            let mut parts = (first..).zip(self.frames.parts(head));
            let whole = parts.all(|(at, part)| pages.contains(&at) && area.look(at).unlocked().maps(part));
            *met = (Some(head), self.frames[head].order() == 0 || whole);
        }
        self.put(head);
    }

    /// Locks a page that reclaim has isolated, when reclaim has met a mapping of the page that is
    /// locked into memory (`try_to_unmap_one`). A page that has `MLOCKED` already is counted by the
    /// thread that set the flag.
    pub(super) fn note_missed_lock(&self, pfn: Pfn) {
        if !self.frames[pfn].word().has(Flags::MLOCKED) {
            self.mlock_page(pfn);
        }
    }

    /// Faults one page in and marks it accessed (step 3; `populate_vma_page_range`). A private page
    /// becomes this process's own. A shared page is only read, so that it does not become dirty.
    fn populate(&self, area: &Area, index: u32) -> Result<()> {
        let write = !area.is_shared();
        // Another round follows only after a fault, as in an access.
        loop {
            let cause = {
                let guard = area.lock(index);
                let pte = guard.pte();
                match pte.entry() {
                    Entry::Present { pfn, zero } if !write || (pte.has(Pte::WRITE) && !zero) => {
                        if !zero {
                            let head = self.frames.head(pfn);
                            if write && !pte.has(Pte::DIRTY) && !self.frames[head].word().has(Flags::DIRTY) {
                                self.set_page_dirty(head);
                            }
                            self.mark_page_accessed(head);
                        }
                        return Ok(());
                    }
                    _ if write => Cause::Write,
                    _ => Cause::Read,
                }
            };
            reckon::happened(Fact::Fault, 1);
            self.fault_for(area, index, cause).map_err(no_hwpoison)?;
        }
    }
}
