//! A large page becomes base pages (`split_folio`).
//!
//! # Steps
//!
//! 1. The page lock and one reference are the caller's. With any other reference, but those of its mappings, the page
//!    stays as it is (`EAGAIN`): nobody could say of which part it is.
//! 2. Every entry that maps a part becomes a migration entry: whoever needs the page waits.
//! 3. Freeze: from one reference to none. Whoever comes by its number now fails.
//! 4. Under the lruvec lock, part after part, the last first: what the head is, the lock, a place on the list before the
//!    head, and at last one reference. Then the head itself.
//! 5. The entries lead to the parts again; those of a part of zeroes to the zero page, where the kernel does that, so that
//!    step 6 frees the part.
//! 6. The caller keeps the part that it asked for. The others are unlocked and put: they live on by their mappings,
//!    and what nothing maps any more is free. Or all are the caller's: the isolated ones are on its list, each with the
//!    isolation's reference.
//!
//! # What can go wrong
//!
//! * A reference that is not counted in, as a batch's or a pin's: step 1 and 3 say no.
//! * A part that can be had before it is one: see [`page::large`](crate::page).
//! * The caller's reference is left on the head although the page it wants is another (kernel a3e0f9e47d5e).

use crate::calls::Call;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::page::{Flags, Folio, HUGE_ORDER, Pfn};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, broken, mutated};

/// What a part has of the head.
const INHERITED: Flags = Flags::REFERENCED
    .union(Flags::WORKINGSET)
    .union(Flags::ACTIVE)
    .union(Flags::UNEVICTABLE)
    .union(Flags::MLOCKED)
    .union(Flags::DIRTY)
    .union(Flags::UPTODATE)
    .union(Flags::SWAPBACKED)
    .union(Flags::ANON)
    .union(Flags::IDLE)
    .union(Flags::YOUNG);

/// What is never split: who has it knows it by its head.
const WHOLE: Flags = Flags::FILE
    .union(Flags::SWAPCACHE)
    .union(Flags::WRITEBACK)
    .union(Flags::MOVABLE)
    .union(Flags::ISOLATED)
    .union(Flags::RESERVED);

impl<R: Release> Machine<R> {
    /// Splits the large page that `pfn` is part of, which the caller has locked and holds one reference on. Lock and
    /// reference are on `pfn` itself afterwards (`split_huge_page`); of a base page nothing is left to do.
    ///
    /// `EAGAIN` if somebody else holds the page, `EBUSY` if it is none that can be split. Then nothing has changed.
    pub fn split_page(&self, pfn: Pfn) -> Result<()> {
        self.split(pfn, None)
    }

    /// The same for a page that is isolated, or the caller's own and on no list (`split_folio_to_list`): lock and
    /// reference stay on the head; the other parts go to `list`, unlocked, and each with a reference that is what the
    /// caller's is, a token of the isolation or a plain one.
    pub fn split_to_list(&self, head: Pfn, list: &mut Vec<Pfn>) -> Result<()> {
        self.split(head, Some(list))
    }

    fn split(&self, keep: Pfn, list: Option<&mut Vec<Pfn>>) -> Result<()> {
        // 1.
        let folio = self.frames.folio(keep);
        let head = folio.head;
        let page = &self.frames[head];
        page.expect_locked();
        if !folio.large {
            return Ok(());
        }
        self.calls_on(Call::SplitFolio, head);
        let huge = page.order() == HUGE_ORDER;
        let split = self.split_steps(folio, keep, list);
        if huge {
            self.stats.event(if split.is_ok() { Event::ThpSplitPage } else { Event::ThpSplitPageFailed }, 1);
        }
        self.returns(Call::SplitFolio, split.as_ref().map_or_else(|error| error.errno.status(), |()| 0));
        split
    }

    fn split_steps(&self, folio: Folio, keep: Pfn, list: Option<&mut Vec<Pfn>>) -> Result<()> {
        let head = folio.head;
        let page = &self.frames[head];
        let word = page.word();
        if word.any(WHOLE) {
            return Err(Error::at(
                Errno::EBUSY,
                head,
                Why::State(format!("a page like this is not split ({word})")),
            ));
        }
        let mappings = self.frames.folio_mapcount(folio);
        let (count, expected) = (page.count(), 1 + mappings);
        if count != expected && !mutated(Mutation::SplitWithoutFreeze) {
            return Err(Error::at(Errno::EAGAIN, head, Why::Count { count, expected }));
        }
        // 2. The frames stay, so a store that is under way goes where it should; after the flush it is over.
        let mapped = mappings > 0;
        let unmapped = !mapped || self.unmap_to_migration(head);
        if mapped {
            self.tlb.flush();
        }
        self.step("large page unmapped", head);
        // 3.
        let frozen = match unmapped {
            true => self.freeze(head, 1),
            false => Err(page.count()),
        };
        if let Err(count) = frozen
            && !mutated(Mutation::SplitWithoutFreeze)
        {
            if mapped {
                self.restore_mappings(head, head);
            }
            return Err(Error::at(Errno::EAGAIN, head, Why::Count { count, expected: 1 }));
        }
        // 4.
        let parts: Vec<Pfn> = self.frames.parts(head).collect();
        self.separate(&parts, frozen.is_ok());
        // 5.
        if mapped && !mutated(Mutation::SplitForgetsMappings) {
            parts.iter().for_each(|&part| self.restore_part(part, self.is_unused(part)));
        }
        // 6.
        let keep = if mutated(Mutation::PinStaysOnHead) { head } else { keep };
        let others = parts.into_iter().filter(|&part| part != keep);
        match list {
            Some(list) => others.for_each(|part| {
                self.frames[part].unlock(part);
                list.push(part);
            }),
            None => others.for_each(|part| self.unlock_and_put(part)),
        }
        Ok(())
    }

    /// Is a part of a page that was split not worth a frame, since it holds nothing but zeroes? A bad one is not read.
    fn is_unused(&self, part: Pfn) -> bool {
        let word = self.frames[part].word();
        self.profile.split_frees_zeroes
            && word.has(Flags::ANON)
            && !word.has(Flags::HWPOISON)
            && self.memory.is_zero(part)
    }

    /// Step 4, for a page that is frozen and whose first part is its head. Whoever has the lruvec lock finds the page
    /// whole or in parts.
    fn separate(&self, parts: &[Pfn], frozen: bool) {
        let head = parts[0];
        let page = &self.frames[head];
        // Nobody claims the page's place on its list without a reference.
        let listed = page.word().has(Flags::LRU);
        let mut lruvec = listed.then(|| self.nodes[self.node_of(head)].lruvec.lock());
        // A page's generation is counted with the page: the parts are linked as pages that come anew.
        let anew = lruvec.as_ref().is_some_and(|lruvec| lruvec.has_generations());
        if let Some(lruvec) = lruvec.as_mut().filter(|_| anew) {
            lruvec.remove(&self.frames, head);
            page.clear(Flags::LRU);
        }
        let flags = page.flags() & INHERITED;
        let (owner, index) = (page.owner(), page.index());
        for &pfn in parts[1..].iter().rev() {
            let part = &self.frames[pfn];
            // Whoever sleeps on a migration entry of this part sleeps on its lock from now on.
            if !part.trylock() {
                broken("a part of a large page has no lock of its own", format_args!("page {pfn}"));
            }
            let index = if owner == 0 { 0 } else { index + (pfn.0 - head.0) };
            if mutated(Mutation::TailBeforeLink) {
                part.unfreeze(pfn, 1);
                part.separate(flags, owner, index);
            } else {
                part.separate(flags, owner, index);
                // All that the part is comes before its count: pairs with the Acquire of `try_get`.
                part.unfreeze(pfn, 1);
            }
            match &mut lruvec {
                Some(lruvec) if anew => lruvec.relink(&self.frames, pfn),
                Some(lruvec) => lruvec.link_part(&self.frames, pfn, head),
                None => {}
            }
        }
        page.clear(Flags::HEAD | Flags::HAS_HWPOISONED);
        page.set_extra(0, page.private());
        if let Some(lruvec) = lruvec.as_mut().filter(|_| anew) {
            lruvec.relink(&self.frames, head);
        }
        if frozen {
            page.unfreeze(head, 1);
        }
    }
}
