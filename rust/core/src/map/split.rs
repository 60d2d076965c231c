//! Splits a large page into base pages (`split_folio`).
//!
//! # Steps
//!
//! 1. The caller holds the page lock and one reference. If there are more references than this one and those
//!    of the mappings and of the swap cache, the page stays whole (`EAGAIN`): a further reference is counted
//!    on the head, so nothing tells which part its holder uses.
//! 2. Every entry that maps a part becomes a migration entry: faults on it wait for the page lock. The
//!    entries of a bad part become poisoned entries for good, in kernels that do so.
//! 3. Freeze the count, from the references of the caller and of the swap cache to none. A thread that tries
//!    to get the page by its number now fails. A page in the swap cache is frozen under the swap lock, so
//!    that a lookup of its slots waits for step 4.
//! 4. Part after part, the last first: take the part's lock; give the part the head's flags and owner, and
//!    its own swap slot if the page is in the swap cache; set its count to one reference, and one more for a
//!    slot. If the head is on a list, all this happens under the lruvec lock, and the part is linked next to
//!    the head (with generations, the parts and the head are linked anew). Then thaw the head itself.
//! 5. Each entry maps its part again. A part that holds nothing but zeroes is replaced by the zero page, in
//!    kernels that do so, and step 6 frees it.
//! 6. The caller keeps the part that it asked for. The other parts are unlocked and put: mapped parts live on
//!    by their mappings' references, and parts in the swap cache by their slots, if an entry names them; all
//!    others are freed. A caller that gave a list keeps all parts: the list gets the others, each with a
//!    reference of its own.
//!
//! # What can go wrong
//!
//! * A batch or a pin holds a reference, and the split leaves it on the head although the holder uses another
//!   part. Steps 1 and 3 therefore refuse the split of a page with further references.
//! * A thread gets a part before it is a page of its own, with flags and owner: see
//!   [`page::large`](crate::page).
//! * The caller's reference is left on the head, although the caller asked for another part. The head then
//!   leaks, and the part is freed under the caller (kernel a3e0f9e47d5e).

use crate::calls::Call;
use crate::error::{Errno, Error, Result, Why};
use crate::lru::model::Verb;
use crate::machine::Machine;
use crate::page::{Flags, Folio, HUGE_ORDER, Page, Pfn, Word, reckon};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, broken, in_order, mutated};

/// The flags that a part inherits from the head.
const INHERITED: Flags = Flags::REFERENCED
    .union(Flags::WORKINGSET)
    .union(Flags::ACTIVE)
    .union(Flags::UNEVICTABLE)
    .union(Flags::MLOCKED)
    .union(Flags::DIRTY)
    .union(Flags::UPTODATE)
    .union(Flags::SWAPBACKED)
    .union(Flags::SWAPCACHE)
    .union(Flags::ANON)
    .union(Flags::IDLE)
    .union(Flags::YOUNG);

/// The flags that stay with the head, or that a part has for itself. The set is written out and not derived
/// from the flags that a part inherits, so that a check can compare the two.
const STAY: Flags = Flags::LOCKED
    .union(Flags::WAITERS)
    .union(Flags::LRU)
    .union(Flags::HEAD)
    .union(Flags::HWPOISON)
    .union(Flags::HAS_HWPOISONED)
    .union(Flags::ANON_EXCLUSIVE)
    .union(Flags::RECLAIM)
    .union(Flags::PRIVATE)
    .union(Flags::OWNER_PRIVATE)
    .union(Flags::MAPPEDTODISK)
    .union(Flags::ERROR);

/// The flags of pages that are never split, because the file, the write-back or the driver that uses such a
/// page knows the frame number of the head only.
const WHOLE: Flags =
    Flags::FILE.union(Flags::WRITEBACK).union(Flags::MOVABLE).union(Flags::ISOLATED).union(Flags::RESERVED);

impl<R: Release> Machine<R> {
    /// Splits the large page that `pfn` is part of (`split_huge_page`). The caller holds the page's
    /// lock and one reference on it; afterwards both are on `pfn` itself. A base page is left as it
    /// is.
    ///
    /// `EAGAIN` if another holder has a reference, `EBUSY` if pages of this kind are never split.
    /// After an error the page is as before, except that entries of a bad part may have become poisoned
    /// entries (step 2).
    pub fn split_page(&self, pfn: Pfn) -> Result<()> {
        self.split(pfn, None)
    }

    /// Splits a page that is isolated, or that is the caller's own and on no list (`split_folio_to_list`).
    /// Lock and reference stay on the head. The other parts go to `list`, unlocked. Each has a
    /// reference of the same kind as the caller's: the isolation's, or a plain one.
    pub fn split_to_list(&self, head: Pfn, list: &mut Vec<Pfn>) -> Result<()> {
        self.split(head, Some(list))
    }

    fn split(&self, keep: Pfn, list: Option<&mut Vec<Pfn>>) -> Result<()> {
        // Step 1: the locked large page.
        let folio = self.frames.folio(keep);
        let head = folio.head;
        let page = &self.frames[head];
        page.expect_locked();
        if !folio.large {
            return Ok(());
        }
        self.traced(Call::SplitFolio, head, || {
            let huge = page.order() == HUGE_ORDER;
            reckon::note_split_start(&self.frames, head);
            let split = self.split_steps(folio, keep, list);
            reckon::note_split_end();
            if huge {
                self.stats
                    .event(if split.is_ok() { Event::ThpSplitPage } else { Event::ThpSplitPageFailed }, 1);
            }
            split
        })
    }

    fn split_steps(&self, folio: Folio, keep: Pfn, list: Option<&mut Vec<Pfn>>) -> Result<()> {
        let head = folio.head;
        let page = &self.frames[head];
        let word = page.word();
        if word.any(WHOLE) {
            return Err(Error::at(
                Errno::EBUSY,
                head,
                Why::State(format!("a page in this state is never split ({word})")),
            ));
        }
        let mappings = self.frames.folio_mapcount(folio);
        let cached = word.has(Flags::SWAPCACHE);
        let unshared = if cached { self.swap_cache_references(head) } else { 1 };
        let (count, expected) = (page.count(), unshared + mappings);
        if count != expected && !mutated(Mutation::SplitWithoutFreeze) {
            return Err(Error::at(Errno::EAGAIN, head, Why::Count { count, expected }));
        }
        // Step 2: the migration entries. The frames do not change, so a store that is under way
        // goes to the right page. After the flush no such store is left.
        let mapped = mappings > 0;
        self.calls_on(Call::TryToMigrate, head);
        let unmapped = !mapped || self.unmap_to_migration(head);
        if mapped {
            self.tlb.flush();
        }
        self.step("large page unmapped", head);
        // Step 3: the freeze.
        let swap = if cached { self.swap_space() } else { None };
        let changing = swap.as_ref().map(|swap| self.lock_slots(swap));
        let frozen = match unmapped {
            true => self.freeze(head, unshared),
            false => Err(page.count()),
        };
        if let Err(count) = frozen
            && !mutated(Mutation::SplitWithoutFreeze)
        {
            drop(changing);
            self.calls_on(Call::RemoveMigrationPtes, head);
            if mapped {
                self.restore_mappings(head, head);
            }
            return Err(Error::at(Errno::EAGAIN, head, Why::Count { count, expected: unshared }));
        }
        // Step 4: the parts.
        let parts: Vec<Pfn> = self.frames.parts(head).collect();
        self.separate(&parts, cached, frozen.is_ok());
        drop(changing);
        // Step 5: the entries map their parts again.
        if self.records_calls() {
            parts.iter().for_each(|&part| self.calls_on(Call::RemoveMigrationPtes, part));
        }
        if mapped && !mutated(Mutation::SplitForgetsMappings) {
            parts.iter().for_each(|&part| self.restore_part(part, self.is_unused(part)));
        }
        // Step 6: the references.
        let keep = if mutated(Mutation::PinStaysOnHead) { head } else { keep };
        let others = parts.into_iter().filter(|&part| part != keep);
        match list {
            Some(list) => others.for_each(|part| {
                self.frames[part].unlock(part);
                list.push(part);
            }),
            None if cached => others.for_each(|part| {
                self.frames[part].unlock(part);
                self.free_swap_if_unmapped(part);
                self.put(part);
            }),
            None => others.for_each(|part| self.unlock_and_put(part)),
        }
        Ok(())
    }

    /// Returns true if the part holds nothing but zeroes, and so is not worth a frame. A bad frame
    /// is not read.
    fn is_unused(&self, part: Pfn) -> bool {
        let word = self.frames[part].word();
        self.profile.split_frees_zeroes
            && word.has(Flags::ANON)
            && !word.has(Flags::HWPOISON)
            && self.memory.is_zero(part)
    }

    /// Makes the parts of a frozen page base pages (step 4); the first part is the head. A holder
    /// of the lruvec lock finds the page either whole or in parts. The swap lock is held if the page is
    /// `cached` in its slots.
    fn separate(&self, parts: &[Pfn], cached: bool, frozen: bool) {
        let head = parts[0];
        let page = &self.frames[head];
        // The frozen page has no reference, and without one no thread takes the page off its list.
        let listed = page.word().has(Flags::LRU);
        let mut lruvec = listed.then(|| self.nodes[self.node_of(head)].lruvec.lock());
        // The counts of a generation include the whole page, so with generations the parts are
        // linked as new pages.
        let anew = lruvec.as_ref().is_some_and(|lruvec| lruvec.has_generations());
        if let Some(lruvec) = lruvec.as_mut().filter(|_| anew) {
            lruvec.remove(&self.frames, head);
            lruvec.tell(&self.frames, Verb::Removed, head);
            page.clear(Flags::LRU);
        }
        let word = page.word();
        let used = match mutated(Mutation::SplitForgetsUse) {
            true => Flags::REFERENCED | Flags::WORKINGSET | Flags::YOUNG | Flags::IDLE,
            false => Flags::empty(),
        };
        let flags = (word.flags() & INHERITED).difference(used);
        let (owner, index, slot) = (page.owner(), page.index(), page.private());
        // A reference of the caller, and one of the part's slot.
        let references = 1 + u32::from(cached);
        for &pfn in parts[1..].iter().rev() {
            let part = &self.frames[pfn];
            // A fault on a migration entry of this part sleeps on the part's own lock from now on.
            if !part.trylock() {
                broken("no part of a large page is locked by itself", format_args!("page {pfn}"));
            }
            let index = if owner == 0 { 0 } else { index + (pfn.0 - head.0) };
            let slot = match cached && !mutated(Mutation::SplitForgetsSlots) {
                true => slot + (pfn.0 - head.0),
                false => 0,
            };
            // The part's flags and owner are stored before its count. The Release that stores the count
            // pairs with the Acquire of `try_get`.
            let describe = || {
                part.separate(flags, owner, index, slot);
                expect_inherited(word, part, pfn);
            };
            in_order(Mutation::TailBeforeLink, describe, || part.unfreeze(pfn, references));
            match &mut lruvec {
                Some(lruvec) if anew => {
                    lruvec.relink(&self.frames, pfn);
                    lruvec.tell(&self.frames, Verb::Added, pfn);
                }
                Some(lruvec) => {
                    lruvec.link_part(&self.frames, pfn, head);
                    lruvec.tell(&self.frames, Verb::SplitFrom(head), pfn);
                }
                None => {}
            }
        }
        let end = || {
            page.clear(Flags::HEAD | Flags::HAS_HWPOISONED);
            reckon::split(&self.frames, parts);
            page.set_extra(0, page.private());
        };
        let late = mutated(Mutation::ThawBeforeSplit);
        if !late {
            end();
        }
        if let Some(lruvec) = lruvec.as_mut().filter(|_| anew) {
            lruvec.relink(&self.frames, head);
            lruvec.tell(&self.frames, Verb::Added, head);
        }
        if frozen {
            page.unfreeze(head, references);
        }
        if late {
            end();
        }
    }
}

/// Checks, in the explored build only, that a part which no other thread can find yet has every flag of the
/// page's `word` that belongs to its content.
fn expect_inherited(word: Word, part: &Page, pfn: Pfn) {
    if cfg!(feature = "explored") {
        let has = part.word();
        if !has.has(word.flags().difference(STAY)) {
            broken("a part of a split page keeps its flags", format_args!("page {pfn}: {word} became {has}"));
        }
    }
}
