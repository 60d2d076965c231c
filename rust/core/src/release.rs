//! The release designs that mmcore compares: the work of a put, and the end of a migration.
//!
//! mmcore began with one patch (lifecycle 6.7): a successful migration ends with `put_page` instead
//! of `putback_lru_page`. The discussion of the patch rejected a hook in `put_page` that would look
//! for movable pages. Such a hook makes every put slower, and needs a lock so that the flag does not
//! change between the look and the drop. Here the choices stand side by side behind one trait; all other
//! code is shared. `docs/design.md`, "The release designs", tells the cost of each and when to use it.
//!
//! | design | ends a migration | `put` |
//! |---|---|---|
//! | [`Putback`] | success and failure: put back; the old page is freed when its batch drains | plain |
//! | [`Split`] | success: put; failure: put back | plain |
//! | [`Hook`] | as `Split` | looks for the movable mark before the drop, under a lock |
//! | [`HookLate`] | as `Split` | looks for the mark once the count is zero |
//! | [`Packed`] | as `Split`, with unlock and put in one step | looks for the mark in the value that the drop returns |
//! | [`Mine`] | yours | yours |
//!
//! Measured machines are compiled for one design, so that no put pays for the choice. All other
//! machines use [`Chosen`], which reads the profile at each put: compiling everything once for each
//! design would take minutes.

mod chosen;
pub(crate) mod design;
mod freed;
mod hook;
mod hook_late;
mod mine;
mod packed;
mod putback;
mod split;

pub use chosen::Chosen;
#[cfg(not(any(loom, feature = "explored")))]
pub(crate) use chosen::with_design;
pub use design::Designed;
pub use hook::Hook;
pub use hook_late::HookLate;
pub use mine::Mine;
pub use packed::Packed;
pub use putback::Putback;
pub use split::Split;

use crate::calls::Call;
use crate::machine::Machine;
use crate::movable::ops::MovableOps;
use crate::page::{Dropped, Flags, OF_A_TAIL, Pfn, Word, lives};
use crate::profile::{Atomics, Design};
use crate::stat::{Event, NodeItem};
#[cfg(feature = "explored")]
use crate::sync::explored::checks_all;
use crate::sync::{Mutation, broken, mutated};
use freed::Freed;

/// The record of the page this many places ahead is prefetched.
const AHEAD: usize = 16;

/// The state in which a design's put leaves a page, and with it the work that is left to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Left {
    /// The page has other references.
    Live,
    /// The count is zero: the caller frees the page. Holds the word that the drop found.
    Dead(Word),
    /// The count is zero, and the put has found the movable mark: the caller tells the page's owner, then
    /// frees the page.
    DeadMovable(Word),
}

impl From<Dropped> for Left {
    /// The state after a drop by a put that looks for no mark.
    #[inline]
    fn from(dropped: Dropped) -> Left {
        match dropped {
            Dropped::Live => Left::Live,
            Dropped::Last(word) => Left::Dead(word),
        }
    }
}

/// A release design. The provided methods are the kernel's sequence, with one read-modify-write
/// for each step unless the profile merges atomic operations. A design overrides the methods that it does
/// in another way.
///
/// The functions take any machine, and the design's state for it. A machine that was built for the
/// design and one that chooses its design at run time ([`Chosen`]) run the same code.
pub trait Release: Designed<Driver = dyn MovableOps<Self>> {
    /// True if a put looks for movable pages, so that an owner may put its reference without
    /// clearing the mark.
    const LOOKS: bool;

    /// Drops one reference. The machine frees the page, alone or with others, if the answer says so.
    fn put<M: Release>(machine: &Machine<M>, state: &Self::State, pfn: Pfn) -> Left;

    /// Claims a listed page for isolation and takes the isolation's reference; the caller holds
    /// another one. Returns false, with nothing changed, if the page is not on a list.
    #[inline]
    fn claim<M: Release>(machine: &Machine<M>, pfn: Pfn) -> bool {
        let page = &machine.frames[pfn];
        if machine.merges_atomics() {
            return page.claim_lru(pfn);
        }
        let claimed = page.test_and_clear_lru();
        if claimed {
            page.get(pfn);
        }
        claimed
    }

    /// Takes the count of a locked page from `expected` to zero. If the count is another, nothing
    /// changes and the error holds it.
    #[inline]
    fn freeze<M: Release>(machine: &Machine<M>, pfn: Pfn, expected: u32) -> Result<(), u32> {
        machine.frames[pfn].freeze(expected)
    }

    /// Releases the page lock, then puts a reference.
    #[inline]
    fn unlock_and_put<M: Release>(machine: &Machine<M>, state: &Self::State, pfn: Pfn) -> Left {
        // A put that looks for the mark does so in a step of its own after the unlock, so unlock and put
        // are not merged.
        if machine.merges_atomics() && !Self::LOOKS {
            return machine.frames[pfn].unlock_and_drop(pfn).into();
        }
        machine.frames[pfn].unlock(pfn);
        Self::put(machine, state, pfn)
    }

    /// Ends a successful migration of the LRU page `from`: unlocks it and releases the isolation's
    /// reference.
    fn finish<M: Release>(machine: &Machine<M>, state: &Self::State, from: Pfn) -> Left;

    /// Sets or clears the movable mark, under the page lock.
    #[inline]
    fn mark<M: Release>(machine: &Machine<M>, _state: &Self::State, pfn: Pfn, movable: bool) {
        let page = &machine.frames[pfn];
        match movable {
            true => page.publish(Flags::MOVABLE),
            false => {
                page.clear(Flags::MOVABLE);
            }
        }
    }

    /// [`Release::LOOKS`] of the machine's design.
    #[inline]
    fn looks(_design: Design) -> bool {
        Self::LOOKS
    }
}

/// Returns the mark of a movable page if the defect that leaves the mark on free pages is in force.
#[inline]
fn mark_that_stays() -> Flags {
    match mutated(Mutation::MarkOutlivesPage) {
        true => Flags::MOVABLE,
        false => Flags::empty(),
    }
}

impl<R: Release> Machine<R> {
    /// Drops one reference of the caller (`folio_put`); frees the page if it was the last. Not to
    /// be called under a lruvec lock, because the last put takes it.
    #[inline]
    pub fn put(&self, pfn: Pfn) {
        self.end(pfn, R::put(self, &self.design, pfn));
    }

    /// Releases the page lock, then puts a reference of the caller.
    #[inline(always)]
    pub fn unlock_and_put(&self, pfn: Pfn) {
        self.end(pfn, R::unlock_and_put(self, &self.design, pfn));
    }

    /// Does the work that a put has left.
    #[inline]
    fn end(&self, pfn: Pfn, left: Left) {
        match left {
            Left::Live => {}
            Left::Dead(word) => self.free_last(pfn, word),
            Left::DeadMovable(word) => self.free_movable(pfn, word),
        }
    }

    /// Ends successful migrations of LRU pages: unlocks each page and releases the isolation's reference.
    #[inline]
    pub fn finish_migrations(&self, pages: impl Iterator<Item = Pfn>) {
        let mut freed = Freed::new(self);
        pages.for_each(|from| freed.add(from, R::finish(self, &self.design, from)));
    }

    /// Takes the count of a locked page from `expected` to zero. If the count is another, nothing
    /// changes and the error holds it.
    #[inline]
    pub fn freeze(&self, pfn: Pfn, expected: u32) -> Result<(), u32> {
        R::freeze(self, pfn, expected)
    }

    /// Returns true if one atomic operation takes several steps of the kernel's sequence: see
    /// [`Atomics::Merged`].
    #[inline(always)]
    pub(crate) fn merges_atomics(&self) -> bool {
        self.profile.atomics == Atomics::Merged
    }

    /// Returns true if a put looks for movable pages ([`Release::LOOKS`]).
    #[inline]
    pub fn put_looks(&self) -> bool {
        R::looks(self.profile.release)
    }

    /// Drops one reference of the caller on the page of which a frame is a part (`put_page`, where
    /// `put` is `folio_put`).
    pub fn put_page(&self, pfn: Pfn) {
        self.put(self.frames.head(pfn));
    }

    /// Takes a reference on the page of which a frame is a part, by the frame's number
    /// (`get_page_unless_zero`), and returns the page's head. `None` if the page's count is zero,
    /// because it is free or frozen, or if there is no such frame.
    pub fn try_get_page(&self, pfn: Pfn) -> Option<Pfn> {
        let page = self.frames.get(pfn)?;
        // The loop ends: a further round needs a split or a free of the large page in between.
        loop {
            // A tail has no count of its own, so `try_get` fails on one.
            if page.try_get() {
                return Some(pfn);
            }
            if !page.word().has(Flags::TAIL) {
                return None;
            }
            let head = Pfn(page.owner());
            let got = self.frames.get(head).is_some_and(|page| page.try_get());
            // The reference on the head keeps the large page. Only now it is certain whether the
            // frame is a part of it.
            if page.word().has(Flags::TAIL) && page.owner() == head.0 {
                return got.then_some(head);
            }
            if got {
                self.put(head);
            }
        }
    }

    /// Drops one reference on each page (`release_pages`).
    #[inline(always)]
    pub fn put_all(&self, pages: &[Pfn]) {
        self.traced(Call::ReleasePages, (), || {
            let mut freed = Freed::new(self);
            for (at, &pfn) in pages.iter().enumerate() {
                if let Some(&ahead) = pages.get(at + AHEAD) {
                    self.frames.prefetch(ahead);
                }
                freed.add(pfn, R::put(self, &self.design, pfn));
            }
        });
    }

    /// Frees a page whose count is zero: takes it off its list and gives it to the allocator
    /// (lifecycle 3.3). No other thread can reach the page.
    pub(crate) fn free_last(&self, pfn: Pfn, word: Word) {
        self.calls_on(Call::PutFinal, pfn);
        self.lru_unlink_dead(&[(pfn, word)]);
        if let Some(order) = self.retire(pfn) {
            self.free_to_allocator(pfn, order);
        }
    }

    /// Resets the record of a page whose count is zero and that is on no list. Returns its order if the
    /// caller is to give its frames to the allocator. Returns `None` if a frame is poisoned: the good frames
    /// of a large page are then with the allocator already.
    // Inlined, because a call would cost a migration half as much as the work.
    #[inline(always)]
    fn retire(&self, pfn: Pfn) -> Option<u8> {
        let page = &self.frames[pfn];
        let order = page.order();
        let word = page.word();
        if word.has(Flags::MLOCKED) {
            // The page is freed while it is mlocked: its last mapping ended, or it waited in a
            // batch to be munlocked.
            self.stats.node(self.node_of(pfn), NodeItem::Mlock, -(1 << order));
            self.stats.event(Event::UnevictableCleared, 1 << order);
            page.clear(Flags::MLOCKED);
        }
        if word.has(Flags::HWPOISON) && mutated(Mutation::PoisonCheckedAtFree) {
            broken("bad page at free", format_args!("page {pfn} ({word})"));
        }
        if order == 0 && word.has(Flags::HWPOISON) && !mutated(Mutation::PoisonedPageFreed) && page.refuse() {
            // A poisoned frame is not given to the allocator, so it is never handed out again. The
            // record keeps the state of the page's last use.
            return None;
        }
        if word.any(Flags::CHECK_AT_FREE) || page.mapcount() != 0 {
            broken("bad page at free", format_args!("page {pfn} mapped {} times ({word})", page.mapcount()));
        }
        #[cfg(feature = "explored")]
        if checks_all() {
            crate::page::marks::check_at_free(pfn, &page.end(word));
        }
        lives::on_freed(page, pfn);
        let mut poisoned = order > 0 && word.has(Flags::HWPOISON);
        for tail in 1..1u32 << order {
            let pfn = pfn.plus(tail);
            let tail = &self.frames[pfn];
            if tail.mapcount() != 0 {
                let mapped = tail.mapcount();
                broken("bad page at free", format_args!("page {pfn}, a part, mapped {mapped} times"));
            }
            // `TAIL` is cleared before the head's number, so that no thread reads number 0 as a
            // head.
            poisoned |= tail.clear(OF_A_TAIL | Flags::ANON_EXCLUSIVE).has(Flags::HWPOISON);
            tail.set_owner(0, 0);
            tail.set_extra(0, 0);
        }
        for frame in 0..1u32 << order {
            self.memory.retire(pfn.plus(frame));
        }
        page.set_owner(0, 0);
        page.set_extra(0, 0);
        // `WAITERS` stays. It belongs to the wait queue, and a thread that waits for a migration to
        // end holds no reference.
        if word.more_accesses() > 0 && !mutated(Mutation::AccessesOutlivePage) {
            page.forget_accesses();
        }
        if word.any(!(Flags::HWPOISON | Flags::WAITERS)) {
            page.clear(!(Flags::HWPOISON | Flags::WAITERS | mark_that_stays()));
        }
        if poisoned {
            let refused = self.give_good(pfn, order);
            self.stats.event(Event::Pgfree, (1 << order) - i64::from(refused));
            return None;
        }
        Some(order)
    }

    /// Frees a page whose last put found the movable mark: tells its owner first.
    #[cold]
    pub(crate) fn free_movable(&self, pfn: Pfn, word: Word) {
        if let Some(ops) = self.driver(pfn) {
            ops.released(self, pfn);
        }
        self.frames[pfn].clear(Flags::MOVABLE | Flags::ISOLATED);
        self.free_last(pfn, word);
    }
}
