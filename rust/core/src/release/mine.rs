//! `mine`: your own design. A commented copy of `split` to start from.
//!
//! `make try DESIGN=mine` builds incrementally, audits, explores the standard set and compares with
//! `split`. The trait's provided methods (`claim`, `freeze`, `unlock_and_put`, `mark`) are the
//! kernel's sequence; override one to try another. Every design must keep these rules:
//!
//! * Exactly one caller sees the count reach zero, and it alone frees.
//! * No thread reads the page after its drop, unless the drop was the last one.
//! * If `LOOKS`, the owner's `released` runs exactly once for a page whose last reference is put while its
//!   mark is set.

use super::{Designed, Left, Release};
use crate::machine::Machine;
use crate::movable::ops::MovableOps;
use crate::page::Pfn;
use crate::profile::Design;

/// Your design.
#[derive(Debug)]
pub struct Mine;

impl Designed for Mine {
    // The design's name in profiles, on the command line and in reports.
    const DESIGN: Design = Design::Mine;

    // The design's state for each machine, such as a table of locks.
    type State = ();

    // The type under which a machine of your design keeps an owner of movable pages.
    type Driver = dyn MovableOps<Self>;
}

impl Release for Mine {
    // Set this if your put looks for movable pages: owners then put without clearing their mark.
    const LOOKS: bool = false;

    // The hot path: every reference in the machine is dropped here. If the count is zero afterwards, the
    // answer tells the machine so: the machine unlinks the page from the LRU, checks it, resets it, and gives
    // it to the allocator, alone or with others.
    #[inline]
    fn put<M: Release>(machine: &Machine<M>, _state: &(), pfn: Pfn) -> Left {
        machine.frames[pfn].drop_refs(pfn, 1).into()
    }

    // Called when a migration has succeeded: `from` is locked, unmapped and replaced, and the
    // isolation's reference is left on it.
    #[inline]
    fn finish<M: Release>(machine: &Machine<M>, state: &(), from: Pfn) -> Left {
        Self::unlock_and_put(machine, state, from)
    }
}
