//! The release designs under comparison: what a put does, and what ends a migration.
//!
//! mmcore began with one patch (lifecycle 6.7): a successful migration ends with `put_page` instead of
//! `putback_lru_page`. The discussion rejected a hook in `put_page` that would look for movable pages:
//! it costs the hot path, and the flag it looks at must be kept stable against a concurrent put.
//! Here the choices stand side by side behind one trait; everything else is one source.
//! What each costs, and when to use it: `docs/design.md`, "The release designs".
//!
//! | design | ends a migration | `put` |
//! |---|---|---|
//! | [`Putback`] | put back in both cases; a dead page dies when its batch drains | plain |
//! | [`Split`] | success: put; failure: put back | plain |
//! | [`Hook`] | one release for LRU and movable pages | looks before the drop, under a lock |
//! | [`HookLate`] | as `Hook` | looks after the count is zero |
//! | [`Packed`] | as `Hook` | the transition that drops is the look |
//! | [`Mine`] | yours | yours |
//!
//! A machine is compiled for one of them, so that no put pays for the choice, wherever that is measured; or for
//! [`Chosen`], which asks the profile at each put, wherever it is not: compiling everything once for each design would
//! take minutes.

mod chosen;
mod hook;
mod hook_late;
mod mine;
mod packed;
mod putback;
mod split;

pub use chosen::Chosen;
#[cfg(not(any(loom, feature = "explored")))]
pub(crate) use chosen::with_design;
pub use hook::Hook;
pub use hook_late::HookLate;
pub use mine::Mine;
pub use packed::Packed;
pub use putback::Putback;
pub use split::Split;

use crate::calls::Call;
use crate::machine::Machine;
use crate::page::{Dropped, Flags, OF_A_TAIL, Pfn, Word};
use crate::profile::Design;
use crate::stat::{Event, NodeItem};
use crate::sync::{Mutation, broken, mutated};

/// One design. The provided methods are the kernel's sequence, one read-modify-write a step; a
/// design overrides what it does otherwise.
///
/// Its functions take any machine, and what the design keeps for it: that of a machine built for the design, or of one
/// that chooses its design when it runs ([`Chosen`]). Both run the same code.
pub trait Release: Sized + Send + Sync + 'static {
    /// Its name in profiles.
    const DESIGN: Design;

    /// Does a put look for movable pages, so that their owner may just put its reference?
    const LOOKS: bool;

    /// What the design keeps for each machine.
    type State: Default + Send + Sync;

    /// Drops one reference; frees the page if it was the last.
    fn put<M: Release>(machine: &Machine<M>, state: &Self::State, pfn: Pfn);

    /// Claims an LRU page for isolation and takes the isolation's reference; the caller holds another
    /// one. False, with nothing changed, if the page is not on a list.
    #[inline]
    fn claim<M: Release>(machine: &Machine<M>, pfn: Pfn) -> bool {
        let page = &machine.frames[pfn];
        let claimed = page.test_and_clear_lru();
        if claimed {
            page.get(pfn);
        }
        claimed
    }

    /// Takes the count of a locked page from `expected` to zero, or says what it found.
    #[inline]
    fn freeze<M: Release>(machine: &Machine<M>, pfn: Pfn, expected: u32) -> Result<(), u32> {
        machine.frames[pfn].freeze(expected)
    }

    /// Gives back the page lock and then a reference.
    #[inline]
    fn unlock_and_put<M: Release>(machine: &Machine<M>, state: &Self::State, pfn: Pfn) {
        machine.frames[pfn].unlock(pfn);
        Self::put(machine, state, pfn);
    }

    /// Ends a successful migration of the LRU page `from`: unlocks it and releases the isolation's
    /// reference.
    fn finish<M: Release>(machine: &Machine<M>, state: &Self::State, from: Pfn);

    /// Sets or clears the movable mark, under the page lock.
    #[inline]
    fn mark<M: Release>(machine: &Machine<M>, _state: &Self::State, pfn: Pfn, movable: bool) {
        let page = &machine.frames[pfn];
        match movable {
            true => page.set(Flags::MOVABLE),
            false => page.clear(Flags::MOVABLE),
        };
    }

    /// Can a machine of this type be of a design?
    fn serves(design: Design) -> bool {
        design == Self::DESIGN
    }

    /// [`Release::LOOKS`], of the design that the machine is of.
    #[inline]
    fn looks(_design: Design) -> bool {
        Self::LOOKS
    }
}

impl<R: Release> Machine<R> {
    /// Drops one reference of the caller (`folio_put`); frees the page if it was the last. Not to be
    /// called under a lruvec lock: the last put takes it.
    #[inline]
    pub fn put(&self, pfn: Pfn) {
        R::put(self, &self.design, pfn);
    }

    /// Gives back the page lock and then a reference of the caller.
    #[inline]
    pub fn unlock_and_put(&self, pfn: Pfn) {
        R::unlock_and_put(self, &self.design, pfn);
    }

    /// Ends a successful migration of the LRU page `from`: unlocks it and releases the isolation's reference.
    #[inline]
    pub fn finish_migration(&self, from: Pfn) {
        R::finish(self, &self.design, from);
    }

    /// Takes the count of a locked page from `expected` to zero, or says what it found.
    #[inline]
    pub fn freeze(&self, pfn: Pfn, expected: u32) -> Result<(), u32> {
        R::freeze(self, pfn, expected)
    }

    /// Does a put look for movable pages ([`Release::LOOKS`])?
    #[inline]
    pub fn put_looks(&self) -> bool {
        R::looks(self.profile.release)
    }

    /// The same for who holds the page that a frame is part of (`put_page`, where `put` is `folio_put`).
    pub fn put_page(&self, pfn: Pfn) {
        self.put(self.frames.head(pfn));
    }

    /// A reference on whatever page a frame is part of, by its number (`get_page_unless_zero`): the head of that page, or
    /// `None` if nobody has it, somebody has frozen it, or there is no such frame.
    pub fn try_get_page(&self, pfn: Pfn) -> Option<Pfn> {
        let page = self.frames.get(pfn)?;
        // Each further round follows from a split or the end of a large page.
        loop {
            // A tail has no count of its own, so this fails on one.
            if page.try_get() {
                return Some(pfn);
            }
            if !page.word().has(Flags::TAIL) {
                return None;
            }
            let head = Pfn(page.owner());
            let got = self.frames.get(head).is_some_and(|page| page.try_get());
            // Only now is it known whose part this is.
            if page.word().has(Flags::TAIL) && page.owner() == head.0 {
                return got.then_some(head);
            }
            if got {
                self.put(head);
            }
        }
    }

    /// Drops one reference on each page (`release_pages`).
    #[inline]
    pub fn put_all(&self, pages: &[Pfn]) {
        self.calls(Call::ReleasePages);
        for &pfn in pages {
            self.put(pfn);
        }
        self.returns(Call::ReleasePages, 0);
    }

    /// The plain drop: no look at anything but the count.
    #[inline]
    pub(crate) fn put_plain(&self, pfn: Pfn) {
        if let Dropped::Last(word) = self.frames[pfn].drop_refs(pfn, 1) {
            self.free_last(pfn, word);
        }
    }

    /// The count is zero and the page is ours alone: take it off its list and free it
    /// (lifecycle 3.3).
    pub(crate) fn free_last(&self, pfn: Pfn, word: Word) {
        self.calls_on(Call::PutFinal, pfn);
        self.lru_unlink_dead(pfn, word);
        let page = &self.frames[pfn];
        let order = page.order();
        let word = page.word();
        if word.has(Flags::MLOCKED) {
            // Freed while it was locked: by its last mapping's end, or while it waited to be unlocked.
            self.stats.node(self.node_of(pfn), NodeItem::Mlock, -(1 << order));
            self.stats.event(Event::UnevictableCleared, 1 << order);
            page.clear(Flags::MLOCKED);
        }
        if word.has(Flags::HWPOISON) && mutated(Mutation::PoisonCheckedAtFree) {
            broken("bad page at free", format_args!("page {pfn} ({word})"));
        }
        if order == 0 && word.has(Flags::HWPOISON) && !mutated(Mutation::PoisonedPageFreed) && page.refuse() {
            // A poisoned frame goes nowhere: it is never handed out again. It keeps what it says of its last life.
            return;
        }
        if word.any(Flags::CHECK_AT_FREE) || page.mapcount() != 0 {
            broken("bad page at free", format_args!("page {pfn} mapped {} times ({word})", page.mapcount()));
        }
        let mut poisoned = order > 0 && word.has(Flags::HWPOISON);
        for tail in 1..1u32 << order {
            let pfn = pfn.plus(tail);
            let tail = &self.frames[pfn];
            if tail.mapcount() != 0 {
                let mapped = tail.mapcount();
                broken("bad page at free", format_args!("page {pfn}, a part, mapped {mapped} times"));
            }
            // The link before the head's number.
            poisoned |= tail.clear(OF_A_TAIL | Flags::ANON_EXCLUSIVE).has(Flags::HWPOISON);
            tail.set_owner(0, 0);
            tail.set_extra(0, 0);
        }
        for frame in 0..1u32 << order {
            self.memory.retire(pfn.plus(frame));
        }
        page.set_owner(0, 0);
        page.set_extra(0, 0);
        // `WAITERS` stays: it belongs to the wait queue, and somebody who waits for a migration to end
        // holds no reference.
        if word.more_accesses() > 0 {
            page.forget_accesses();
        }
        if word.any(!(Flags::HWPOISON | Flags::WAITERS)) {
            page.clear(!(Flags::HWPOISON | Flags::WAITERS));
        }
        if poisoned {
            let refused = self.give_good(pfn, order);
            return self.stats.event(Event::Pgfree, (1 << order) - i64::from(refused));
        }
        self.free_to_allocator(pfn, order);
    }

    /// The last put found a movable mark: its owner hears of it, then the page is freed.
    #[cold]
    pub(crate) fn free_movable(&self, pfn: Pfn, word: Word) {
        if let Some(ops) = self.driver(pfn) {
            ops.released(self, pfn);
        }
        self.frames[pfn].clear(Flags::MOVABLE | Flags::ISOLATED);
        self.free_last(pfn, word);
    }
}
