//! `packed`: lock-aware reference counting. Count, lock and flags are one word, so what the kernel
//! does in two or three atomics is one transition here:
//!
//! | transition | kernel | here |
//! |---|---|---|
//! | drop and look for a movable page | drop, then look | the drop's own value is the look |
//! | claim for isolation | clear `LRU`, get | one compare-exchange |
//! | unlock and put | clear `LOCKED`, drop | one compare-exchange |
//! | freeze | compare the count | compares count and lock at once |
//!
//! What to mind: the value that a drop returns decides only about bits that reference holders alone
//! change. `HWPOISON` is set without a reference and is checked again by the free path and at
//! hand-out. With sleepers marked, unlock takes the slow path: waking needs the lock bit cleared
//! first, while our reference still keeps the page.

use super::Release;
use crate::machine::Machine;
use crate::page::{Dropped, Flags, Pfn};
use crate::profile::Design;

/// One atomic transition where others take several.
#[derive(Debug)]
pub struct Packed;

impl Packed {
    #[inline]
    fn dropped<M: Release>(machine: &Machine<M>, pfn: Pfn, dropped: Dropped) {
        match dropped {
            Dropped::Live => {}
            Dropped::Last(word) if word.has(Flags::MOVABLE) => machine.free_movable(pfn, word),
            Dropped::Last(word) => machine.free_last(pfn, word),
        }
    }
}

impl Release for Packed {
    const DESIGN: Design = Design::Packed;
    const LOOKS: bool = true;
    type State = ();

    #[inline]
    fn put<M: Release>(machine: &Machine<M>, _state: &(), pfn: Pfn) {
        Self::dropped(machine, pfn, machine.frames[pfn].drop_refs(pfn, 1));
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
    fn unlock_and_put<M: Release>(machine: &Machine<M>, _state: &(), pfn: Pfn) {
        Self::dropped(machine, pfn, machine.frames[pfn].unlock_and_drop(pfn));
    }

    #[inline]
    fn finish<M: Release>(machine: &Machine<M>, state: &(), from: Pfn) {
        Self::unlock_and_put(machine, state, from);
    }
}
