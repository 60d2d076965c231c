//! `packed`: count, lock and flags of a page are one word, and one atomic operation changes them
//! together where the kernel needs two:
//!
//! | transition | kernel | here |
//! |---|---|---|
//! | drop, and learn whether the page is movable | drop, load the mark | the drop returns the mark |
//! | claim for isolation | clear `LRU`, get | one compare-exchange |
//! | unlock and put | clear `LOCKED`, drop | one compare-exchange |
//! | freeze | compare-exchange of the count | compare-exchange of count and lock |
//!
//! Other threads may change flags right after a drop. A put therefore trusts the word that its drop
//! returned only for flags that nobody changes without a reference to the page.
//! `HWPOISON` is set without a reference, so the free path and the allocation check it again. An
//! unlock with sleepers takes the slow path: the lock bit must be cleared before the wake-up, and
//! the caller's reference must keep the page until the wake-up is done.

use super::{Designed, Left, Release};
use crate::machine::Machine;
use crate::movable::ops::MovableOps;
use crate::page::{Dropped, Flags, Pfn};
use crate::profile::Design;

/// The design that needs one atomic operation where the other designs need two.
#[derive(Debug)]
pub struct Packed;

impl Packed {
    /// Reads the mark in the word that a drop has returned.
    #[inline]
    fn left(dropped: Dropped) -> Left {
        match dropped {
            Dropped::Last(word) if word.has(Flags::MOVABLE) => Left::DeadMovable(word),
            other => other.into(),
        }
    }
}

impl Designed for Packed {
    const DESIGN: Design = Design::Packed;
    type State = ();
    type Driver = dyn MovableOps<Self>;
}

impl Release for Packed {
    const LOOKS: bool = true;

    #[inline]
    fn put<M: Release>(machine: &Machine<M>, _state: &(), pfn: Pfn) -> Left {
        Self::left(machine.frames[pfn].drop_refs(pfn, 1))
    }

    #[inline]
    fn claim<M: Release>(machine: &Machine<M>, pfn: Pfn) -> bool {
        machine.frames[pfn].claim_lru(pfn)
    }

    #[inline]
    fn freeze<M: Release>(machine: &Machine<M>, pfn: Pfn, expected: u32) -> Result<(), u32> {
        machine.frames[pfn].freeze_locked(expected)
    }

    #[inline]
    fn unlock_and_put<M: Release>(machine: &Machine<M>, _state: &(), pfn: Pfn) -> Left {
        Self::left(machine.frames[pfn].unlock_and_drop(pfn))
    }

    #[inline]
    fn finish<M: Release>(machine: &Machine<M>, state: &(), from: Pfn) -> Left {
        Self::unlock_and_put(machine, state, from)
    }
}
